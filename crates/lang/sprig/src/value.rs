//! Values as templates see them.
//!
//! A [`Value`] carries as much of its Go type as a template can notice: integers and floats differ, lists of strings
//! differ from lists of anything, and maps are shared so that `set` is seen by everybody who holds the map.
//! Maps are always in key order. Dropping a value never recurses, however deep a template has nested it.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::time::Time;

/// Deepest value that is printed, copied, compared or encoded.
pub const MAX_DEPTH: usize = 300;

/// A value in a template.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Go's untyped nil; a missing key.
    #[default]
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64, IntType),
    /// A float; what numbers in values files are.
    Float(f64),
    /// A string.
    Text(Rc<str>),
    /// Bytes that need not be text.
    Bytes(Rc<[u8]>),
    /// A list.
    List(List),
    /// A map with string keys.
    Map(Map),
    /// A point in time.
    Time(Time),
    /// Something with fields or methods of its own.
    Object(Rc<dyn Object>),
}

/// Which of Go's integer types a number has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntType {
    /// `int`: literals, lengths, indexes.
    Int,
    /// `int64`: results of arithmetic.
    Int64,
    /// `uint64`.
    Uint64,
    /// `int32`: characters.
    Int32,
    /// `uint8`: bytes.
    Uint8,
}

/// Which of Go's element types a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem {
    /// `[]interface {}`
    Any,
    /// `[]string`
    Text,
    /// `[]int`
    Int,
    /// `[][]interface {}`
    Lists,
}

/// Which of Go's map types a map has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapType {
    /// `map[string]interface {}`
    Any,
    /// `map[string]string`
    Text,
    /// Helm's own type of the values of a chart.
    Values,
}

/// A thing with a Go type of its own: fields, methods, or a list or map with methods.
pub trait Object: fmt::Debug {
    /// The Go type, for `typeOf` and messages.
    fn type_name(&self) -> &str;
    /// The field of this name.
    fn field(&self, name: &str) -> Option<Value>;
    /// Calls the method of this name; nothing if there is none.
    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>>;
    /// The list or map that this is apart from its methods.
    fn plain(&self) -> Option<Value> {
        None
    }
    /// How it prints.
    fn show(&self) -> String;
    /// How it is written as JSON.
    fn json(&self) -> serde_json::Value;
}

/// A list; sharing is never visible since nothing changes a list in place.
#[derive(Clone, Debug)]
pub struct List {
    items: Rc<Items>,
    elem: Elem,
    nil: bool,
}

/// A map shared by everybody who holds it.
#[derive(Clone, Debug)]
pub struct Map {
    cell: Rc<Cell>,
    kind: MapType,
}

/// The keys and values of a map, in key order.
pub type Entries = BTreeMap<Rc<str>, Value>;

#[derive(Debug, Default)]
struct Items(Vec<Value>);

#[derive(Debug, Default)]
struct Cell(RefCell<Entries>);

/// Drops nested containers from a work list instead of recursively.
fn drop_all(mut pending: Vec<Value>) {
    while let Some(value) = pending.pop() {
        match value {
            Value::List(list) => {
                if let Ok(mut items) = Rc::try_unwrap(list.items) {
                    pending.append(&mut items.0);
                }
            }
            Value::Map(map) => {
                if let Ok(cell) = Rc::try_unwrap(map.cell) {
                    pending.extend(std::mem::take(&mut *cell.0.borrow_mut()).into_values());
                }
            }
            _ => {}
        }
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            drop_all(std::mem::take(&mut self.0));
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let entries = std::mem::take(self.0.get_mut());
        if !entries.is_empty() {
            drop_all(entries.into_values().collect());
        }
    }
}

impl List {
    /// A `[]interface {}`.
    pub fn new(items: Vec<Value>) -> List {
        List::typed(items, Elem::Any)
    }

    /// A list with a type.
    pub fn typed(items: Vec<Value>, elem: Elem) -> List {
        List { items: Rc::new(Items(items)), elem, nil: false }
    }

    /// Go's nil list: empty, and `null` in JSON.
    pub fn nil(elem: Elem) -> List {
        List { items: Rc::default(), elem, nil: true }
    }

    /// The items.
    pub fn items(&self) -> &[Value] {
        &self.items.0
    }

    /// The type of the items.
    pub fn elem(&self) -> Elem {
        self.elem
    }

    /// Whether it is Go's nil list.
    pub fn is_nil(&self) -> bool {
        self.nil
    }
}

impl Map {
    /// A `map[string]interface {}`.
    pub fn new(entries: Entries) -> Map {
        Map::typed(entries, MapType::Any)
    }

    /// A map with a type.
    pub fn typed(entries: Entries, kind: MapType) -> Map {
        Map { cell: Rc::new(Cell(RefCell::new(entries))), kind }
    }

    /// The same map under another type.
    #[must_use]
    pub fn retyped(&self, kind: MapType) -> Map {
        Map { cell: Rc::clone(&self.cell), kind }
    }

    /// Its entries, to read.
    pub fn entries(&self) -> Ref<'_, Entries> {
        self.cell.0.borrow()
    }

    /// Its entries, to change; hold this for no longer than one statement.
    pub fn entries_mut(&self) -> RefMut<'_, Entries> {
        self.cell.0.borrow_mut()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.entries().get(key).cloned()
    }

    /// Sets the value of a key.
    pub fn set(&self, key: &str, value: Value) {
        // The old value must not be dropped while the map is borrowed: it may hold this very map.
        let old = self.entries_mut().insert(Rc::from(key), value);
        drop(old);
    }

    /// Its type.
    pub fn kind(&self) -> MapType {
        self.kind
    }

    /// Whether both are one and the same map.
    pub fn is_same(&self, other: &Map) -> bool {
        Rc::ptr_eq(&self.cell, &other.cell)
    }
}

impl Value {
    /// A string.
    pub fn text(text: impl AsRef<str>) -> Value {
        Value::Text(Rc::from(text.as_ref()))
    }

    /// An `int`.
    pub fn int(value: usize) -> Value {
        Value::Int(value as i64, IntType::Int)
    }

    /// A `[]string`.
    pub fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Value {
        Value::List(List::typed(texts.into_iter().map(Value::text).collect(), Elem::Text))
    }

    /// A map from JSON-like pairs.
    pub fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
        Value::Map(Map::new(entries.into_iter().map(|(key, value)| (Rc::from(key), value)).collect()))
    }

    /// A value of a values file: every number is a float, as it is for Helm.
    pub fn from_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(0.0)),
            serde_json::Value::String(text) => Value::text(text),
            serde_json::Value::Array(items) => {
                Value::List(List::new(items.iter().map(Value::from_json).collect()))
            }
            serde_json::Value::Object(map) => Value::Map(Map::new(
                map.iter().map(|(key, value)| (Rc::from(key.as_str()), Value::from_json(value))).collect(),
            )),
        }
    }

    /// The list or map that an object is apart from its methods; anything else is itself.
    #[must_use]
    pub fn plain(&self) -> Value {
        match self {
            Value::Object(object) => object.plain().unwrap_or_else(|| self.clone()),
            value => value.clone(),
        }
    }

    /// Whether it is Go's nil.
    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }

    /// The string, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Go's truth: not the zero value of its type, and not empty.
    pub fn truth(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value, _) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::List(list) => !list.items().is_empty(),
            Value::Map(map) => !map.entries().is_empty(),
            Value::Time(_) => true,
            Value::Object(object) => object.plain().is_none_or(|plain| plain.truth()),
        }
    }

    /// The Go type, as `%T` prints it.
    pub fn type_name(&self) -> String {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_, kind) => kind.name(),
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Bytes(_) => "[]uint8",
            Value::List(list) => match list.elem {
                Elem::Any => "[]interface {}",
                Elem::Text => "[]string",
                Elem::Int => "[]int",
                Elem::Lists => "[][]interface {}",
            },
            Value::Map(map) => match map.kind {
                MapType::Any => "map[string]interface {}",
                MapType::Text => "map[string]string",
                MapType::Values => "common.Values",
            },
            Value::Time(_) => "time.Time",
            Value::Object(object) => return object.type_name().to_owned(),
        }
        .to_owned()
    }

    /// The Go kind, as `reflect` names it.
    pub fn kind_name(&self) -> String {
        match self {
            Value::Nil => "invalid".to_owned(),
            Value::Bytes(_) | Value::List(_) => "slice".to_owned(),
            Value::Map(_) => "map".to_owned(),
            Value::Time(_) => "struct".to_owned(),
            Value::Object(object) => match object.plain() {
                Some(plain) => plain.kind_name(),
                None if object.type_name().starts_with('*') => "ptr".to_owned(),
                None => "struct".to_owned(),
            },
            other => other.type_name(),
        }
    }

    /// Go's `reflect.DeepEqual`: same types, same contents.
    pub fn deep_equal(&self, other: &Value) -> bool {
        deep_equal(self, other, 0)
    }
}

fn deep_equal(a: &Value, b: &Value, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a, x), Value::Int(b, y)) => a == b && x == y,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            a.elem == b.elem
                && a.nil == b.nil
                && a.items().len() == b.items().len()
                && a.items().iter().zip(b.items()).all(|(a, b)| deep_equal(a, b, depth + 1))
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.is_same(b) {
                return a.kind == b.kind;
            }
            let (left, right) = (a.entries(), b.entries());
            a.kind == b.kind
                && left.len() == right.len()
                && left.iter().zip(right.iter()).all(|((k, a), (l, b))| k == l && deep_equal(a, b, depth + 1))
        }
        (Value::Time(a), Value::Time(b)) => a == b,
        (Value::Object(a), Value::Object(b)) => Rc::ptr_eq(a, b),
        _ => false,
    }
}

impl IntType {
    /// The name of the Go type.
    pub fn name(self) -> &'static str {
        match self {
            IntType::Int => "int",
            IntType::Int64 => "int64",
            IntType::Uint64 => "uint64",
            IntType::Int32 => "int32",
            IntType::Uint8 => "uint8",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Float(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(value, IntType::Int64)
    }
}
