//! Single values by path, as `helm --set` reads them: `image.tag=1.2`, `hosts[0]=a`, `list={a,b}`.

use galley_problem::{Kind, Problem};
use galley_sprig::Value;
use galley_sprig::value::{IntType, List, Map};

use crate::{Result, SetKind};

/// Largest list index.
const MAX_INDEX: usize = 65_536;
/// Longest path.
const MAX_STEPS: usize = 30;

#[derive(Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

/// Sets one value. With `text`, it stays text.
pub(crate) fn apply(values: &Map, path: &str, value: &str, text: bool) -> Result<()> {
    set(values, path, read(value, text))
}

fn set(values: &Map, path: &str, value: Value) -> Result<()> {
    let steps = steps(path).ok_or_else(|| {
        Problem::new("G0313", Kind::Invalid, format!("`{path}` is not a path to a value.")).try_this(
            "Write it as `image.tag` or `hosts[0].name`; put `\\` before a dot that is part of a name.",
        )
    })?;
    let root = put(Some(Value::Map(values.clone())), &steps, value).ok_or_else(|| {
        Problem::new("G0313", Kind::Invalid, format!("`{path}` does not fit the other values."))
    })?;
    drop(root);
    Ok(())
}

/// Applies what stands after `--set` and its kind: `a.b=1,c={x,y}`.
pub(crate) fn expression(
    values: &Map,
    kind: SetKind,
    text: &str,
    files: &std::collections::BTreeMap<String, String>,
) -> Result<()> {
    let wrong = |what: String| {
        Problem::new("G0313", Kind::Invalid, what).try_this("Write it as `image.tag=1.2,replicas=3`.")
    };
    if kind == SetKind::Json && text.trim_start().starts_with('{') {
        let given: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| wrong(format!("`{text}` is not valid JSON.")).because(&error))?;
        if let Value::Map(map) = Value::from_json(&given) {
            crate::values::merge(values, &map);
        }
        return Ok(());
    }
    let mut rest = text;
    while !rest.is_empty() {
        let Some(equals) = unescaped(rest, b'=') else {
            return Err(wrong(format!("The key `{rest}` has no value.")));
        };
        let (path, after) = (&rest[..equals], &rest[equals + 1..]);
        let end = match kind {
            SetKind::Literal => after.len(),
            SetKind::Json => json_end(after).ok_or_else(|| wrong(format!("`{after}` is not valid JSON.")))?,
            _ if after.starts_with('{') => unescaped(after, b'}').map_or(after.len(), |at| at + 1),
            _ => unescaped(after, b',').unwrap_or(after.len()),
        };
        let (value, after) = after.split_at(end);
        rest = after.strip_prefix(',').unwrap_or(after);
        let value = match kind {
            SetKind::Json => {
                let value = serde_json::from_str::<serde_json::Value>(value)
                    .map_err(|error| wrong(format!("`{value}` is not valid JSON.")).because(&error))?;
                Value::from_json(&value)
            }
            SetKind::Literal => Value::text(value),
            SetKind::File => {
                let file = unescape(value);
                let missing = || wrong(format!("The file `{file}` was not read."));
                Value::text(files.get(&file).ok_or_else(missing)?)
            }
            SetKind::Typed | SetKind::Text => read(value, kind == SetKind::Text),
        };
        set(values, path, value)?;
    }
    Ok(())
}

/// The files that an expression of `--set-file` names.
pub fn files_of(text: &str) -> Vec<String> {
    let (mut names, mut rest) = (Vec::new(), text);
    while let Some(equals) = unescaped(rest, b'=') {
        let after = &rest[equals + 1..];
        let end = unescaped(after, b',').unwrap_or(after.len());
        names.push(unescape(&after[..end]));
        rest = after[end..].strip_prefix(',').unwrap_or("");
    }
    names
}

/// Where a letter stands that no `\\` precedes.
fn unescaped(text: &str, wanted: u8) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = byte == wanted && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

/// How long the JSON at the beginning of a text is.
fn json_end(text: &str) -> Option<usize> {
    if text.is_empty() || text.starts_with(',') {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    stream.next()?.ok()?;
    Some(stream.byte_offset())
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut key = String::new();
    let mut letters = path.chars().peekable();
    let mut indexed = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => key.push(letters.next()?),
            '.' if indexed && key.is_empty() => indexed = false,
            '.' => {
                steps.push(Step::Key(std::mem::take(&mut key)));
            }
            '[' => {
                if !key.is_empty() {
                    steps.push(Step::Key(std::mem::take(&mut key)));
                }
                let mut digits = String::new();
                loop {
                    match letters.next()? {
                        ']' => break,
                        digit => digits.push(digit),
                    }
                }
                steps.push(Step::Index(digits.parse().ok().filter(|index| *index <= MAX_INDEX)?));
                indexed = true;
            }
            letter => {
                indexed = false;
                key.push(letter);
            }
        }
    }
    if !indexed || !key.is_empty() {
        steps.push(Step::Key(key));
    }
    let sound = !steps.is_empty() && steps.len() <= MAX_STEPS && matches!(steps[0], Step::Key(_));
    (sound && !steps.contains(&Step::Key(String::new()))).then_some(steps)
}

/// The value with something set inside of it; nothing if it does not fit.
fn put(old: Option<Value>, steps: &[Step], new: Value) -> Option<Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(new) };
    match step {
        Step::Key(key) => {
            let map = match old {
                Some(Value::Map(map)) => map,
                None | Some(Value::Nil) => Map::new(Default::default()),
                Some(_) => return None,
            };
            let inner = put(map.get(key), rest, new)?;
            map.set(key, inner);
            Some(Value::Map(map))
        }
        Step::Index(index) => {
            let mut items = match old {
                Some(Value::List(list)) => list.items().to_vec(),
                None | Some(Value::Nil) => Vec::new(),
                Some(_) => return None,
            };
            if items.len() <= *index {
                items.resize(index + 1, Value::Nil);
            }
            let inner = put(Some(std::mem::take(&mut items[*index])), rest, new)?;
            items[*index] = inner;
            Some(Value::List(List::new(items)))
        }
    }
}

/// `{a,b}` is a list; anything else one value.
fn read(value: &str, text: bool) -> Value {
    let Some(inside) = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return typed(&unescape(value), text);
    };
    if inside.is_empty() {
        return Value::List(List::new(Vec::new()));
    }
    let mut items = vec![String::new()];
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        // There is always a last item to write to.
        let Some(item) = items.last_mut() else { break };
        match letter {
            '\\' => item.extend(letters.next()),
            ',' => items.push(String::new()),
            letter => item.push(letter),
        }
    }
    Value::List(List::new(items.iter().map(|item| typed(item.trim_start(), text)).collect()))
}

fn unescape(value: &str) -> String {
    let mut out = String::new();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => out.extend(letters.next()),
            letter => out.push(letter),
        }
    }
    out
}

fn typed(value: &str, text: bool) -> Value {
    if text {
        return Value::text(value);
    }
    match value.to_ascii_lowercase().as_str() {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        "null" => return Value::Nil,
        "0" => return Value::Int(0, IntType::Int64),
        _ => {}
    }
    // A leading zero means that it is no number: a date, a phone number, a part of a hash.
    match value.parse::<i64>() {
        Ok(number) if !value.starts_with('0') => Value::Int(number, IntType::Int64),
        _ => Value::text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use galley_sprig::to_json;

    fn set(pairs: &[(&str, &str)]) -> String {
        let values = Map::new(Default::default());
        for (path, value) in pairs {
            if let Err(problem) = apply(&values, path, value, false) {
                return problem.to_string();
            }
        }
        to_json(&Value::Map(values)).unwrap()
    }

    #[test]
    fn paths_and_types() {
        assert_eq!(
            set(&[
                ("a.b", "1"),
                ("a.c", "1.5"),
                ("a.d", "true"),
                ("e\\.f", "x\\,y"),
                ("g", "null"),
                ("h", "007")
            ]),
            r#"{"a":{"b":1,"c":"1.5","d":true},"e.f":"x,y","g":null,"h":"007"}"#
        );
        assert_eq!(
            set(&[("l[1].n", "b"), ("l[0]", "a"), ("m", "{x, 2}"), ("n", "{}")]),
            r#"{"l":["a",{"n":"b"}],"m":["x",2],"n":[]}"#
        );
        assert_eq!(set(&[("a", "1"), ("a.b", "2")]), "`a.b` does not fit the other values.");
        assert_eq!(set(&[("a[99999999]", "1")]), "`a[99999999]` is not a path to a value.");
        assert_eq!(set(&[("a..b", "1")]), "`a..b` is not a path to a value.");
    }
}
