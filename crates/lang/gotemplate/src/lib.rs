//! Go's `text/template` language.
//!
//! [`Templates`] holds named templates that share functions; running one gives text. Functions come from whoever
//! makes the set, through [`Functions`]; those that run templates themselves (`include`, `tpl`) get an [`Engine`].
//! Every run has [`Limits`], so no template can run forever, fill the memory or exhaust a stack of
//! [`STACK_SIZE`] bytes. Errors name the file, the line, the column and the way through includes.

mod ast;
mod builtins;
mod error;
mod eval;
mod exec;
mod lex;
mod literal;
mod parse;

use std::collections::BTreeMap;
use std::rc::Rc;

use galley_sprig::{Param, Value};

pub use error::{Error, Failure, Reason};
pub use exec::Rendered;

use ast::Template;

/// The stack that running a template within the default limits needs at most.
pub const STACK_SIZE: usize = 256 << 20;

/// What a function takes.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// Types of the fixed parameters.
    pub params: &'static [Param],
    /// Type of further arguments, if there may be any.
    pub rest: Option<Param>,
}

/// The functions of a set of templates. They come before the built-in ones.
pub trait Functions {
    /// The signature of the function of this name, if there is one.
    fn signature(&self, name: &str) -> Option<Signature>;

    /// Calls it with arguments that fit its signature.
    ///
    /// # Errors
    /// A failure in words, or that of a template that was run.
    fn call(&self, name: &str, arguments: &[Value], engine: &mut dyn Engine) -> Result<Value, Failure>;
}

/// What functions may do with the running templates.
pub trait Engine {
    /// Runs a named template and returns its text.
    ///
    /// # Errors
    /// The failure of that template.
    fn include(&mut self, name: &str, data: Value) -> Result<String, Failure>;

    /// Runs a text as a template that sees all others.
    ///
    /// # Errors
    /// The failure of that text.
    fn tpl(&mut self, text: &str, data: Value) -> Result<String, Failure>;
}

/// What a run may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Templates inside of each other.
    pub depth: usize,
    /// Steps taken: one per node and per function call.
    pub steps: usize,
    /// Bytes of text and of function results, all together.
    pub bytes: usize,
    /// A key that a map does not have is a mistake (`missingkey=error`), rather than no value.
    pub strict: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { depth: 1000, steps: 5_000_000, bytes: 256 << 20, strict: false }
    }
}

/// Named templates that see each other.
#[derive(Clone)]
pub struct Templates {
    functions: Rc<dyn Functions>,
    set: Rc<Set>,
}

/// Templates by name; those of a `tpl` lie over those around it.
#[derive(Default)]
pub(crate) struct Set {
    own: BTreeMap<Rc<str>, Rc<Template>>,
    outer: Option<Rc<Set>>,
}

impl Set {
    pub(crate) fn over(outer: Rc<Set>) -> Set {
        Set { own: BTreeMap::new(), outer: Some(outer) }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Rc<Template>> {
        self.own.get(name).or_else(|| self.outer.as_ref()?.find(name))
    }

    /// Adds templates: later ones win, unless they are empty. Returns the last one: the text itself.
    pub(crate) fn add(&mut self, templates: Vec<Template>) -> Option<Rc<Template>> {
        let mut last = None;
        for template in templates.into_iter().map(Rc::new) {
            last = Some(Rc::clone(&template));
            if !parse::is_empty(&template.root) || self.find(&template.name).is_none() {
                self.own.insert(Rc::clone(&template.name), template);
            }
        }
        last
    }
}

impl Templates {
    /// An empty set with these functions.
    pub fn new(functions: Rc<dyn Functions>) -> Templates {
        Templates { functions, set: Rc::default() }
    }

    /// Reads a text and adds it under `name`, with the templates it defines. A later template of the same name wins.
    ///
    /// # Errors
    /// What is wrong with the text, with its place.
    pub fn parse(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let functions = Rc::clone(&self.functions);
        let templates = parse::parse(name, text, &|name| knows(&*functions, name))?;
        let mut own = match Rc::get_mut(&mut self.set) {
            Some(set) => {
                set.add(templates);
                return Ok(());
            }
            None => Set::over(Rc::clone(&self.set)),
        };
        own.add(templates);
        self.set = Rc::new(own);
        Ok(())
    }

    /// Runs the template of this name over a value.
    ///
    /// Run it on a thread with [`STACK_SIZE`] bytes of stack if the template is not your own.
    ///
    /// # Errors
    /// What failed, with its place.
    pub fn execute(&self, name: &str, data: Value, limits: &Limits) -> Result<Rendered, Error> {
        exec::run(&*self.functions, &self.set, name, data, limits)
    }
}

impl std::fmt::Debug for Templates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.set.own.keys()).finish()
    }
}

pub(crate) fn knows(functions: &dyn Functions, name: &str) -> bool {
    functions.signature(name).is_some() || builtins::find(name).is_some()
}
