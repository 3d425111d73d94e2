//! Values as JSON, the way Go's `encoding/json` writes it.

use std::fmt::Write as _;

use galley_yaml::number::float_json;
use serde_json::{Map, Number, Value as Json};

use crate::value::{MAX_DEPTH, Value};

/// How JSON is laid out.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// Two spaces a level, or everything on one line.
    pub(crate) pretty: bool,
    /// Whether `<`, `>` and `&` are escaped.
    pub(crate) html: bool,
}

/// A value as JSON on one line, keys in order.
///
/// # Errors
/// Go's message for what JSON cannot hold: floats that are not finite, values nested too deeply.
pub fn to_json(value: &Value) -> Result<String, String> {
    encode(value, Layout { pretty: false, html: true })
}

pub(crate) fn encode(value: &Value, layout: Layout) -> Result<String, String> {
    let mut out = String::new();
    write(&mut out, value, layout, 0)?;
    Ok(out)
}

fn too_deep() -> String {
    "json: unsupported value: nested too deeply".to_owned()
}

fn write(out: &mut String, value: &Value, layout: Layout, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value, _) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) if value.is_finite() => out.push_str(&float_json(*value)),
        Value::Float(value) => {
            return Err(format!("json: unsupported value: {}", galley_yaml::number::float_g(*value)));
        }
        Value::Text(text) => write_text(out, text, layout.html),
        Value::Bytes(bytes) => write_text(out, &crate::encode::base64(bytes), layout.html),
        Value::List(list) if list.is_nil() => out.push_str("null"),
        Value::List(list) => {
            write_parts(out, '[', ']', list.items().iter(), layout, depth, |out, item| {
                write(out, item, layout, depth + 1)
            })?;
        }
        Value::Map(map) => {
            write_parts(out, '{', '}', map.entries().iter(), layout, depth, |out, (key, value)| {
                write_text(out, key, layout.html);
                out.push_str(if layout.pretty { ": " } else { ":" });
                write(out, value, layout, depth + 1)
            })?;
        }
        Value::Time(time) => {
            write_text(out, &time.format("2006-01-02T15:04:05.999999999Z07:00"), layout.html)
        }
        Value::Object(object) => match object.plain() {
            Some(plain) => write(out, &plain, layout, depth + 1)?,
            None => out.push_str(&object.json().to_string()),
        },
    }
    Ok(())
}

fn write_parts<T>(
    out: &mut String,
    open: char,
    close: char,
    parts: impl ExactSizeIterator<Item = T>,
    layout: Layout,
    depth: usize,
    mut each: impl FnMut(&mut String, T) -> Result<(), String>,
) -> Result<(), String> {
    let line = |out: &mut String, depth: usize| {
        if layout.pretty {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    };
    out.push(open);
    let some = parts.len() > 0;
    for (index, part) in parts.enumerate() {
        if index > 0 {
            out.push(',');
        }
        line(out, depth + 1);
        each(out, part)?;
    }
    if some {
        line(out, depth);
    }
    out.push(close);
    Ok(())
}

fn write_text(out: &mut String, text: &str, html: bool) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' if html => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// A value as a JSON tree.
///
/// # Errors
/// As [`to_json`].
pub fn to_json_value(value: &Value) -> Result<Json, String> {
    tree(value, 0)
}

fn tree(value: &Value, depth: usize) -> Result<Json, String> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    Ok(match value {
        Value::Nil => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value, _) => Json::from(*value),
        Value::Float(value) => Json::Number(
            Number::from_f64(*value)
                .ok_or_else(|| "json: unsupported value: not a finite number".to_owned())?,
        ),
        Value::Text(text) => Json::from(text.as_ref()),
        Value::Bytes(bytes) => Json::from(crate::encode::base64(bytes)),
        Value::List(list) if list.is_nil() => Json::Null,
        Value::List(list) => {
            Json::Array(list.items().iter().map(|item| tree(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Value::Map(map) => {
            let mut object = Map::new();
            for (key, value) in map.entries().iter() {
                object.insert(key.to_string(), tree(value, depth + 1)?);
            }
            Json::Object(object)
        }
        Value::Time(time) => Json::from(time.format("2006-01-02T15:04:05.999999999Z07:00")),
        Value::Object(object) => match object.plain() {
            Some(plain) => tree(&plain, depth + 1)?,
            None => object.json(),
        },
    })
}
