//! Values as TOML, as Helm's `toToml` writes them: simple keys first, then tables.

use std::fmt::Write as _;
use std::rc::Rc;

use galley_yaml::number::float_g;

use crate::value::{Entries, MAX_DEPTH, Value};

/// A map as TOML.
///
/// # Errors
/// Go's message for what TOML cannot hold.
pub(crate) fn write(value: &Value) -> Result<String, String> {
    let Value::Map(map) = value.plain() else {
        return Err("toml: top-level values must be Go maps or structs".to_owned());
    };
    let mut out = String::new();
    table(&mut out, &map.entries(), &mut Vec::new())?;
    Ok(out)
}

fn is_table_list(value: &Value) -> bool {
    match value {
        Value::List(list) => {
            !list.items().is_empty() && list.items().iter().all(|item| matches!(item, Value::Map(_)))
        }
        _ => false,
    }
}

fn table(out: &mut String, entries: &Entries, path: &mut Vec<Rc<str>>) -> Result<(), String> {
    if path.len() > MAX_DEPTH {
        return Err("toml: nested too deeply".to_owned());
    }
    let level = |path: &[Rc<str>]| "  ".repeat(path.len().saturating_sub(1));
    let header = |path: &[Rc<str>]| path.iter().map(|part| key(part)).collect::<Vec<_>>().join(".");
    let inner = "  ".repeat(path.len());
    for (name, value) in entries {
        let value = value.plain();
        if value.is_nil() || matches!(value, Value::Map(_)) || is_table_list(&value) {
            continue;
        }
        let _ = write!(out, "{inner}{} = ", key(name));
        scalar(out, &value, 0)?;
        out.push('\n');
    }
    for (name, value) in entries {
        match value.plain() {
            Value::Map(map) => {
                path.push(name.clone());
                if path.len() == 1 && !out.is_empty() {
                    out.push('\n');
                }
                let _ = writeln!(out, "{}[{}]", level(path), header(path));
                table(out, &map.entries(), path)?;
                path.pop();
            }
            value if is_table_list(&value) => {
                let Value::List(list) = value else { continue };
                for item in list.items() {
                    let Value::Map(map) = item else { continue };
                    path.push(name.clone());
                    if !out.is_empty() {
                        out.push('\n');
                    }
                    let _ = writeln!(out, "{}[[{}]]", level(path), header(path));
                    table(out, &map.entries(), path)?;
                    path.pop();
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn scalar(out: &mut String, value: &Value, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("toml: nested too deeply".to_owned());
    }
    match value {
        Value::Bool(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Int(value, _) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) => {
            let text = float_g(*value);
            let bare = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            let _ = write!(out, "{text}{}", if bare { ".0" } else { "" });
        }
        Value::Text(text) => out.push_str(&quoted(text)),
        Value::Time(time) => out.push_str(&time.format("2006-01-02T15:04:05.999999999Z07:00")),
        Value::List(list) => {
            out.push('[');
            for (index, item) in list.items().iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                scalar(out, &item.plain(), depth + 1)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (index, (name, value)) in
                map.entries().iter().filter(|(_, value)| !value.is_nil()).enumerate()
            {
                let _ = write!(out, "{}{} = ", if index > 0 { ", " } else { "" }, key(name));
                scalar(out, &value.plain(), depth + 1)?;
            }
            out.push('}');
        }
        Value::Nil => return Err("toml: cannot encode array with mixed element types".to_owned()),
        Value::Bytes(_) | Value::Object(_) => return Err("toml: cannot encode this value".to_owned()),
    }
    Ok(())
}
