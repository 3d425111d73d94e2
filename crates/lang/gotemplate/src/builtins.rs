//! The functions that every template has.

use std::cmp::Ordering;

use galley_sprig::print::{show, sprint, sprintf, sprintln};
use galley_sprig::value::{IntType, List};
use galley_sprig::{Param, Value};

use crate::Signature;
use crate::eval::lookup;

/// A built-in function.
#[derive(Clone, Copy)]
pub(crate) struct Builtin {
    pub(crate) signature: Signature,
    pub(crate) run: fn(&[Value]) -> Result<Value, String>,
}

const ANY: Param = Param::Any;

/// The built-in function of this name.
pub(crate) fn find(name: &str) -> Option<Builtin> {
    type Run = fn(&[Value]) -> Result<Value, String>;
    let (params, rest, run): (&'static [Param], Option<Param>, Run) = match name {
        // Evaluated by the evaluator itself, one argument at a time.
        "and" | "or" => (&[ANY], Some(ANY), |values| Ok(values.last().cloned().unwrap_or_default())),
        "not" => (&[ANY], None, |values| Ok(Value::Bool(!values[0].truth()))),
        "len" => (&[ANY], None, length),
        "index" => (&[ANY], Some(ANY), index),
        "slice" => (&[ANY], Some(ANY), slice),
        "print" => (&[], Some(ANY), |values| Ok(Value::from(sprint(values)))),
        "println" => (&[], Some(ANY), |values| Ok(Value::from(sprintln(values)))),
        "printf" => (&[Param::Text], Some(ANY), |values| {
            Ok(Value::from(sprintf(values[0].as_text().unwrap_or_default(), &values[1..])))
        }),
        "html" => (&[], Some(ANY), |values| Ok(Value::from(html(&joined(values))))),
        "js" => (&[], Some(ANY), |values| Ok(Value::from(js(&joined(values))))),
        "urlquery" => (&[], Some(ANY), |values| Ok(Value::from(urlquery(&joined(values))))),
        "call" => (&[ANY], Some(ANY), |values| {
            Err(match &values[0] {
                Value::Nil => "call of nil".to_owned(),
                other => format!("non-function of type {}", other.type_name()),
            })
        }),
        "eq" => (&[ANY], Some(ANY), |values| equal(values).map(Value::Bool)),
        "ne" => (&[ANY, ANY], None, |values| equal(values).map(|equal| Value::Bool(!equal))),
        "lt" => (&[ANY, ANY], None, |values| less(values).map(Value::Bool)),
        "le" => (&[ANY, ANY], None, |values| Ok(Value::Bool(less(values)? || equal(values)?))),
        "gt" => (&[ANY, ANY], None, |values| Ok(Value::Bool(!(less(values)? || equal(values)?)))),
        "ge" => (&[ANY, ANY], None, |values| less(values).map(|less| Value::Bool(!less))),
        _ => return None,
    };
    Some(Builtin { signature: Signature { params, rest }, run })
}

fn length(values: &[Value]) -> Result<Value, String> {
    Ok(Value::int(match values[0].plain() {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.items().len(),
        Value::Map(map) => map.entries().len(),
        Value::Nil => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    }))
}

/// A position, which must be an integer.
fn position(value: &Value, length: usize) -> Result<usize, String> {
    match value {
        Value::Int(at, _) => match usize::try_from(*at) {
            Ok(at) if at <= length => Ok(at),
            _ => Err(format!("index out of range: {at}")),
        },
        Value::Nil => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

fn index(values: &[Value]) -> Result<Value, String> {
    let mut item = values[0].plain();
    if item.is_nil() {
        return Err("index of untyped nil".to_owned());
    }
    let end = || "reflect: slice index out of range".to_owned();
    for key in &values[1..] {
        item = match item {
            Value::Nil => return Err("index of nil pointer".to_owned()),
            Value::List(list) => {
                list.items().get(position(key, list.items().len())?).cloned().ok_or_else(end)?.plain()
            }
            Value::Text(text) => byte_at(text.as_bytes(), key)?,
            Value::Bytes(bytes) => byte_at(&bytes, key)?,
            Value::Map(map) => match key {
                Value::Text(key) => lookup(&map, key).plain(),
                Value::Nil => return Err("value is nil; should be of type string".to_owned()),
                other => return Err(format!("value has type {}; should be string", other.type_name())),
            },
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn byte_at(bytes: &[u8], key: &Value) -> Result<Value, String> {
    let at = position(key, bytes.len())?;
    let byte = bytes.get(at).ok_or_else(|| "reflect: string index out of range".to_owned())?;
    Ok(Value::Int(i64::from(*byte), IntType::Uint8))
}

fn slice(values: &[Value]) -> Result<Value, String> {
    let item = values[0].plain();
    let length = match &item {
        Value::Text(text) => text.len(),
        Value::List(list) => list.items().len(),
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if values.len() > 4 {
        return Err(format!("too many slice indexes: {}", values.len() - 1));
    }
    if values.len() == 4 && matches!(item, Value::Text(_)) {
        return Err("cannot 3-index slice a string".to_owned());
    }
    let mut bounds = [0, length, length];
    for (bound, value) in bounds.iter_mut().zip(&values[1..]) {
        *bound = position(value, length)?;
    }
    let [from, to, cap] = bounds;
    if from > to || to > cap {
        let (low, high) = if from > to { (from, to) } else { (to, cap) };
        return Err(format!("invalid slice index: {low} > {high}"));
    }
    Ok(match item {
        Value::Text(text) => Value::from(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()),
        Value::List(list) => Value::List(List::typed(list.items()[from..to].to_vec(), list.elem())),
        other => other,
    })
}

/// What Go calls basic kinds: values of one kind can be compared.
#[derive(Clone, Copy, PartialEq)]
enum Basic {
    Bool,
    Int,
    Uint,
    Float,
    Text,
    Other,
}

fn basic(value: &Value) -> Basic {
    match value {
        Value::Bool(_) => Basic::Bool,
        Value::Int(_, IntType::Uint8 | IntType::Uint64) => Basic::Uint,
        Value::Int(..) => Basic::Int,
        Value::Float(_) => Basic::Float,
        Value::Text(_) => Basic::Text,
        _ => Basic::Other,
    }
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name())
}

fn equal(values: &[Value]) -> Result<bool, String> {
    let Some((first, rest)) = values.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return Err("missing argument for comparison".to_owned());
    };
    for other in rest {
        let (left, right) = (basic(first), basic(other));
        let same = match (first, other) {
            (Value::Int(a, _), Value::Int(b, _)) => a == b,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Nil, Value::Nil) => true,
            (Value::Nil, _) | (_, Value::Nil) => false,
            _ if left != right => return Err(incompatible(first, other)),
            (Value::Time(a), Value::Time(b)) => a == b,
            _ if first.kind_name() != other.kind_name() => {
                return Err(format!("non-comparable types {}: {}", show(first), first.type_name()));
            }
            _ => return Err(format!("non-comparable type {}: {}", show(other), other.type_name())),
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

fn less(values: &[Value]) -> Result<bool, String> {
    let bad = || "invalid type for comparison".to_owned();
    let (a, b) = (&values[0], &values[1]);
    if basic(a) == Basic::Other || basic(b) == Basic::Other {
        return Err(bad());
    }
    match (a, b) {
        (Value::Int(a, _), Value::Int(b, _)) => Ok(a < b),
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b) == Ordering::Less),
        (Value::Bool(_), Value::Bool(_)) => Err(bad()),
        _ => Err(incompatible(a, b)),
    }
}

/// The text of arguments: one text as it is, others as `print` does.
fn joined(values: &[Value]) -> String {
    match values {
        [Value::Text(text)] => text.to_string(),
        values => sprint(values),
    }
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            letter => out.push(letter),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if !c.is_ascii() && (c.is_control() || c.is_whitespace()) => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

fn urlquery(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}
