//! Running templates: nodes, variables, limits, and templates that run others.

use std::ops::Range;
use std::rc::Rc;

use galley_sprig::Value;
use galley_sprig::print::show;
use galley_sprig::value::IntType;

use crate::ast::{Node, Pipe, Source, Template};
use crate::error::{Error, Failure, Reason};
use crate::{Engine, Functions, Limits, Set, knows, parse};

/// Deepest nesting of nodes and pipelines over all templates that are running.
const MAX_FRAMES: usize = 20_000;

/// What a missing value prints as; Helm removes it afterwards.
pub(crate) const NO_VALUE: &str = "<no value>";

/// Runs a template.
pub(crate) fn run(
    functions: &dyn Functions,
    set: &Rc<Set>,
    name: &str,
    data: Value,
    limits: &Limits,
) -> Result<Rendered, Error> {
    let mut machine = Machine {
        functions,
        set: Rc::clone(set),
        limits: *limits,
        depth: 0,
        frames: 0,
        steps: 0,
        bytes: 0,
        pieces: Vec::new(),
    };
    match machine.include(name, data) {
        Ok(text) => {
            let source = set.find(name).map(|template| Rc::clone(&template.source.text)).unwrap_or_default();
            Ok(Rendered { text, source, pieces: machine.pieces })
        }
        Err(Failure::Template(error)) => Err(*error),
        Err(Failure::Message(message) | Failure::Requested(message) | Failure::Limit(message)) => {
            Err(Error {
                reason: Reason::Execution,
                file: name.to_owned(),
                line: 0,
                column: 0,
                template: None,
                excerpt: None,
                message,
                cause: None,
            })
        }
    }
}

/// A piece of printed text and where in the source it comes from.
#[derive(Clone, Copy, Debug)]
struct Piece {
    printed: usize,
    source: usize,
    /// Copied from the source, rather than the value of an action.
    literal: bool,
}

/// The text of a template that ran, with the way back to its source.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The text.
    pub text: String,
    source: Rc<str>,
    pieces: Vec<Piece>,
}

impl Rendered {
    /// The text without any mention of missing values, as Helm hands it out.
    #[must_use]
    pub fn without_missing(self) -> Rendered {
        if !self.text.contains(NO_VALUE) {
            return self;
        }
        let cuts: Vec<usize> = self.text.match_indices(NO_VALUE).map(|(at, _)| at).collect();
        let moved = |at: usize| {
            let before = cuts.partition_point(|cut| cut + NO_VALUE.len() <= at);
            let inside = cuts.get(before).map_or(0, |cut| at.saturating_sub(*cut));
            at - before * NO_VALUE.len() - inside
        };
        let pieces =
            self.pieces.iter().map(|piece| Piece { printed: moved(piece.printed), ..*piece }).collect();
        Rendered { text: self.text.replace(NO_VALUE, ""), source: self.source, pieces }
    }

    /// The line of the source that printed what is at a line and a column (from 1) of the text. The column too,
    /// where the text was copied; otherwise it is that of the action.
    pub fn origin(&self, line: usize, column: usize) -> (usize, usize) {
        let start = self.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
        let rest = &self.text[start..];
        let width: usize =
            rest.chars().take(column.saturating_sub(1)).take_while(|c| *c != '\n').map(char::len_utf8).sum();
        let at = start + width;
        let index = self.pieces.partition_point(|piece| piece.printed <= at);
        let Some(piece) = index.checked_sub(1).and_then(|index| self.pieces.get(index)) else {
            return (1, 1);
        };
        let source = if piece.literal { piece.source + (at - piece.printed) } else { piece.source };
        Source { file: Rc::from(""), text: Rc::clone(&self.source) }.place(source)
    }
}

/// What all templates of one run share.
pub(crate) struct Machine<'a> {
    pub(crate) functions: &'a dyn Functions,
    set: Rc<Set>,
    pub(crate) limits: Limits,
    depth: usize,
    frames: usize,
    steps: usize,
    bytes: usize,
    pieces: Vec<Piece>,
}

impl Engine for Machine<'_> {
    fn include(&mut self, name: &str, data: Value) -> Result<String, Failure> {
        let Some(template) = self.set.find(name).cloned() else {
            return Err(Failure::Message(format!("no template {name:?} associated with template \"gotpl\"")));
        };
        let mut out = String::new();
        self.template(&template, data, &mut out)?;
        Ok(out)
    }

    fn tpl(&mut self, text: &str, data: Value) -> Result<String, Failure> {
        let templates = parse::parse("tpl", text, &|name| knows(self.functions, name))
            .map_err(|error| Failure::Template(Box::new(error)))?;
        let mut set = Set::over(Rc::clone(&self.set));
        // Also where the text is empty and a template of its name is there already: it is the text that runs.
        let main = set.add(templates);
        let outer = std::mem::replace(&mut self.set, Rc::new(set));
        let result = match main {
            Some(main) => {
                let mut out = String::new();
                self.template(&main, data, &mut out).map(|()| out)
            }
            None => Ok(String::new()),
        };
        self.set = outer;
        result.map(|text| text.replace(NO_VALUE, ""))
    }
}

impl Machine<'_> {
    /// Runs a template and appends its text.
    fn template(&mut self, template: &Rc<Template>, data: Value, out: &mut String) -> Result<(), Failure> {
        if self.depth >= self.limits.depth {
            return Err(Failure::Limit(format!("exceeded maximum template depth ({})", self.limits.depth)));
        }
        self.depth += 1;
        let mut state =
            State { machine: self, template, variables: vec![(Rc::from("$"), data.clone())], out };
        let result = state.walk(&data, &template.root);
        self.depth -= 1;
        result.map(drop).map_err(|error| Failure::Template(Box::new(error)))
    }

    pub(crate) fn step(&mut self) -> Result<(), Failure> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(Failure::Limit("the template takes too many steps".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.bytes {
            return Err(Failure::Limit("the template makes too much text".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn enter(&mut self) -> Result<(), Failure> {
        self.frames += 1;
        if self.frames > MAX_FRAMES {
            return Err(Failure::Limit("the templates are nested too deeply".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.frames -= 1;
    }
}

/// How a list of nodes was left.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Through,
    Break,
    Continue,
}

/// One template while it runs.
pub(crate) struct State<'m, 'a, 't> {
    pub(crate) machine: &'m mut Machine<'a>,
    pub(crate) template: &'t Template,
    variables: Vec<(Rc<str>, Value)>,
    out: &'m mut String,
}

impl State<'_, '_, '_> {
    fn source(&self) -> &Source {
        &self.template.source
    }

    /// An error at a node.
    pub(crate) fn error(&self, at: &Range<usize>, message: impl Into<String>) -> Error {
        self.fail(at, "", Failure::Message(message.into()))
    }

    /// An error from a failure, at a node; `calling` names the function that failed.
    pub(crate) fn fail(&self, at: &Range<usize>, calling: &str, failure: Failure) -> Error {
        let (line, column) = self.source().place(at.start);
        let call = |message: String| {
            if calling.is_empty() { message } else { format!("error calling {calling}: {message}") }
        };
        let (reason, message, cause) = match failure {
            Failure::Message(message) => (Reason::Execution, call(message), None),
            Failure::Limit(message) => (Reason::Limit, message, None),
            Failure::Requested(message) => (Reason::Requested, message, None),
            Failure::Template(cause) => (cause.reason, format!("error calling {calling}"), Some(cause)),
        };
        Error {
            reason,
            file: self.source().file.to_string(),
            line,
            column,
            template: Some(self.template.name.to_string()),
            excerpt: Some(self.source().excerpt(at)),
            message,
            cause,
        }
    }

    fn walk(&mut self, dot: &Value, nodes: &[Node]) -> Result<Flow, Error> {
        for node in nodes {
            let flow = self.node(dot, node)?;
            if flow != Flow::Through {
                return Ok(flow);
            }
        }
        Ok(Flow::Through)
    }

    fn node(&mut self, dot: &Value, node: &Node) -> Result<Flow, Error> {
        match node {
            Node::Text(text, start) => {
                self.print(text, &(*start..*start + text.len()), true).map(|()| Flow::Through)
            }
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.print_value(&value, &pipe.range)?;
                }
                Ok(Flow::Through)
            }
            Node::Break => Ok(Flow::Break),
            Node::Continue => Ok(Flow::Continue),
            Node::If { pipe, then, otherwise } => self.scoped(&pipe.range, |state| {
                let nodes = if state.pipe(dot, pipe)?.truth() { then } else { otherwise };
                state.walk(dot, nodes)
            }),
            Node::With { pipe, then, otherwise } => self.scoped(&pipe.range, |state| {
                let value = state.pipe(dot, pipe)?;
                if value.truth() { state.walk(&value, then) } else { state.walk(dot, otherwise) }
            }),
            Node::Range { pipe, body, otherwise } => {
                self.scoped(&pipe.range, |state| state.range(dot, pipe, body, otherwise))
            }
            Node::Template { name, pipe, range } => {
                let data = pipe.as_ref().map_or(Ok(Value::Nil), |pipe| self.pipe(dot, pipe))?;
                let Some(template) = self.machine.set.find(name).cloned() else {
                    return Err(self.error(range, format!("template {name:?} not defined")));
                };
                let mut text = String::new();
                let result = self.machine.template(&template, data, &mut text);
                result.map_err(|failure| self.fail(range, "template", failure))?;
                self.print(&text, range, false)?;
                Ok(Flow::Through)
            }
        }
    }

    /// Runs a block; its variables end with it.
    fn scoped(
        &mut self,
        at: &Range<usize>,
        block: impl FnOnce(&mut Self) -> Result<Flow, Error>,
    ) -> Result<Flow, Error> {
        self.machine.enter().map_err(|failure| self.fail(at, "", failure))?;
        let mark = self.variables.len();
        let result = block(self);
        self.variables.truncate(mark);
        self.machine.leave();
        result
    }

    fn range(&mut self, dot: &Value, pipe: &Pipe, body: &[Node], otherwise: &[Node]) -> Result<Flow, Error> {
        let value = self.pipe(dot, pipe)?;
        let mut ran = false;
        match value.plain() {
            Value::Int(count, kind) => {
                if pipe.variables.len() > 1 {
                    let message = format!("can't use {count} to iterate over more than one variable");
                    return Err(self.error(&pipe.range, message));
                }
                for number in 0..count {
                    ran = true;
                    let item = Value::Int(number, kind);
                    if !self.iteration(pipe, Value::Nil, item, body)? {
                        break;
                    }
                }
            }
            Value::List(list) => {
                for (index, item) in list.items().iter().enumerate() {
                    ran = true;
                    if !self.iteration(pipe, Value::int(index), item.clone(), body)? {
                        break;
                    }
                }
            }
            Value::Bytes(bytes) => {
                for (index, byte) in bytes.iter().enumerate() {
                    ran = true;
                    let item = Value::Int(i64::from(*byte), IntType::Uint8);
                    if !self.iteration(pipe, Value::int(index), item, body)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                // The body may change the map: what is walked is the map as it was.
                let entries: Vec<(Rc<str>, Value)> =
                    map.entries().iter().map(|(key, value)| (Rc::clone(key), value.clone())).collect();
                for (key, item) in entries {
                    ran = true;
                    if !self.iteration(pipe, Value::Text(key), item, body)? {
                        break;
                    }
                }
            }
            Value::Nil => {}
            other => {
                let message = format!("range can't iterate over {}", show(&other));
                return Err(self.error(&pipe.range, message));
            }
        }
        if ran { Ok(Flow::Through) } else { self.walk(dot, otherwise) }
    }

    /// Runs the body of a `range` once; false if it said `break`.
    fn iteration(&mut self, pipe: &Pipe, index: Value, item: Value, body: &[Node]) -> Result<bool, Error> {
        self.machine.step().map_err(|failure| self.fail(&pipe.range, "", failure))?;
        let mark = self.variables.len();
        let values = match pipe.variables.len() {
            2 => vec![index, item.clone()],
            1 => vec![item.clone()],
            _ => Vec::new(),
        };
        for (name, value) in pipe.variables.iter().zip(values) {
            if pipe.assigns {
                self.assign(name, value);
            } else {
                self.variables.push((Rc::clone(name), value));
            }
        }
        let flow = self.walk(&item, body)?;
        self.variables.truncate(mark);
        Ok(flow != Flow::Break)
    }

    /// Sets the innermost variable of this name.
    pub(crate) fn assign(&mut self, name: &str, value: Value) {
        if let Some((_, slot)) = self.variables.iter_mut().rev().find(|(known, _)| &**known == name) {
            *slot = value;
        }
    }

    pub(crate) fn declare(&mut self, name: &Rc<str>, value: Value) {
        self.variables.push((Rc::clone(name), value));
    }

    pub(crate) fn variable(&self, name: &str) -> Option<Value> {
        self.variables.iter().rev().find(|(known, _)| &**known == name).map(|(_, value)| value.clone())
    }

    fn print(&mut self, text: &str, at: &Range<usize>, literal: bool) -> Result<(), Error> {
        if self.machine.depth == 1 {
            self.machine.pieces.push(Piece { printed: self.out.len(), source: at.start, literal });
        }
        let spent = self.machine.step().and_then(|()| self.machine.spend(text.len()));
        spent.map_err(|failure| self.fail(at, "", failure))?;
        self.out.push_str(text);
        Ok(())
    }

    fn print_value(&mut self, value: &Value, at: &Range<usize>) -> Result<(), Error> {
        match value {
            Value::Nil => self.print(NO_VALUE, at, false),
            Value::Text(text) => self.print(text, at, false),
            other => self.print(&show(other), at, false),
        }
    }
}
