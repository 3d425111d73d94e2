//! What a function is: a name, the Go types of its parameters, and a pure body.
//!
//! Templates check arguments against the parameter types before a body runs, with Go's messages, so a body may rely
//! on them and read its arguments with the small accessors here.

use std::cell::RefCell;
use std::rc::Rc;

use jiff::Timestamp;

use crate::time::Time;
use crate::value::{Elem, List, Map, MapType, Value};

/// Longest text and list that a function makes.
pub const MAX_SIZE: usize = 32 << 20;
/// Longest list that a function makes.
pub const MAX_ITEMS: usize = 1_000_000;

/// A parameter's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// `interface {}`
    Any,
    /// `string`
    Text,
    /// `int`
    Int,
    /// `bool`
    Bool,
    /// `float64`
    Float,
    /// `map[string]interface {}`
    Map,
    /// `[]string`
    Texts,
    /// `time.Time`
    Time,
}

/// A body: the context, the checked arguments, and Go's message if it fails.
pub type Run = fn(&Context, &[Value]) -> Result<Value, String>;

/// A function of the library.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its name in templates.
    pub name: &'static str,
    /// Types of its fixed parameters.
    pub params: &'static [Param],
    /// Type of any further arguments.
    pub rest: Option<Param>,
    /// Its body.
    pub run: Run,
}

/// A source of random bytes.
pub type Random = Box<dyn FnMut(&mut [u8])>;

/// What functions may know of the world: nothing unless it is given.
#[derive(Default)]
pub struct Context {
    now: Option<Timestamp>,
    random: Option<RefCell<Random>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Context {
    /// A context with a time and a source of random bytes.
    pub fn new(now: Timestamp, random: Random) -> Context {
        Context { now: Some(now), random: Some(RefCell::new(random)) }
    }

    /// A context with a time and no randomness.
    pub fn at(now: Timestamp) -> Context {
        Context { now: Some(now), random: None }
    }

    /// The time, if it was given.
    pub(crate) fn now(&self) -> Result<Time, String> {
        self.now.map(Time::utc).ok_or_else(|| {
            "the time is not available here: what is rendered must not depend on when it is rendered"
                .to_owned()
        })
    }

    /// Random bytes, if there is a source.
    pub(crate) fn random(&self, count: usize) -> Result<Vec<u8>, String> {
        let source = self.random.as_ref().ok_or_else(|| {
            "randomness is not available here: what is rendered must be the same every time".to_owned()
        })?;
        let mut bytes = vec![0; count.min(MAX_SIZE)];
        (source.borrow_mut())(&mut bytes);
        Ok(bytes)
    }
}

impl Param {
    /// The Go type.
    pub fn name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::Text => "string",
            Param::Int => "int",
            Param::Bool => "bool",
            Param::Float => "float64",
            Param::Map => "map[string]interface {}",
            Param::Texts => "[]string",
            Param::Time => "time.Time",
        }
    }

    /// The argument as this type, as Go's templates would pass it.
    ///
    /// # Errors
    /// Go's message if it cannot be passed.
    pub fn accept(self, value: Value) -> Result<Value, String> {
        use crate::value::IntType;
        let fits = match (self, &value) {
            (Param::Any, _)
            | (Param::Text, Value::Text(_))
            | (Param::Int, Value::Int(_, IntType::Int))
            | (Param::Bool, Value::Bool(_))
            | (Param::Float, Value::Float(_))
            | (Param::Time, Value::Time(_)) => true,
            (Param::Map, Value::Map(map)) => map.kind() != MapType::Text,
            (Param::Texts, Value::List(list)) => list.elem() == Elem::Text,
            (Param::Map, Value::Nil) => return Ok(Value::Map(Map::new(Default::default()))),
            (Param::Texts, Value::Nil) => return Ok(Value::List(List::nil(Elem::Text))),
            _ => false,
        };
        match fits {
            true => Ok(value),
            false if value.is_nil() => Err(format!("invalid value; expected {}", self.name())),
            false => {
                Err(format!("wrong type for value; expected {}; got {}", self.name(), value.type_name()))
            }
        }
    }
}

/// The string argument at `index`.
pub(crate) fn text(arguments: &[Value], index: usize) -> &str {
    arguments.get(index).and_then(Value::as_text).unwrap_or_default()
}

/// The integer argument at `index`.
pub(crate) fn int(arguments: &[Value], index: usize) -> i64 {
    match arguments.get(index) {
        Some(Value::Int(value, _)) => *value,
        _ => 0,
    }
}

/// The map argument at `index`.
pub(crate) fn map(arguments: &[Value], index: usize) -> Map {
    match arguments.get(index) {
        Some(Value::Map(map)) => map.clone(),
        _ => Map::new(Default::default()),
    }
}

/// The list argument at `index`, whatever its type; Go's message with `what` if it is none.
pub(crate) fn list(arguments: &[Value], index: usize, what: &str) -> Result<List, String> {
    match arguments.get(index).map(Value::plain) {
        Some(Value::List(list)) => Ok(list),
        Some(Value::Bytes(bytes)) => Ok(List::new(
            bytes.iter().map(|byte| Value::Int(i64::from(*byte), crate::value::IntType::Uint8)).collect(),
        )),
        Some(Value::Nil) | None => {
            Err("runtime error: invalid memory address or nil pointer dereference".to_owned())
        }
        Some(other) => Err(format!("{what} type {}", other.kind_name())),
    }
}

/// Text of a size that is still allowed.
pub(crate) fn sized(text: String) -> Result<Value, String> {
    if text.len() > MAX_SIZE {
        return Err(format!("the text is longer than {} MiB", MAX_SIZE >> 20));
    }
    Ok(Value::Text(Rc::from(text)))
}

/// A list of a size that is still allowed.
pub(crate) fn sized_list(items: Vec<Value>, elem: Elem) -> Result<Value, String> {
    if items.len() > MAX_ITEMS {
        return Err(format!("the list has more than {MAX_ITEMS} items"));
    }
    Ok(Value::List(List::typed(items, elem)))
}

/// Shorthand for the tables of functions.
pub(crate) const fn function(
    name: &'static str,
    params: &'static [Param],
    rest: Option<Param>,
    run: Run,
) -> Function {
    Function { name, params, rest, run }
}
