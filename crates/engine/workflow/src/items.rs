//! Items: one step or task becomes several.

use std::collections::BTreeMap;

use galley_argo_workflows::{Sequence, Step};
use galley_expr::{Mode, go_json, substitute, when};
use serde_json::Value;

use crate::scope::go_json_error;

/// One of the several: its name with the item in it, and the step with the item put in.
pub(crate) struct Expanded {
    pub(crate) name: String,
    pub(crate) step: Step,
}

/// Expands a step or task whose references are resolved. One that has no items gives itself.
pub(crate) fn expand(step: &Step, names: &BTreeMap<String, String>) -> Result<Vec<Expanded>, String> {
    if !step.expands() {
        return Ok(vec![Expanded { name: step.name.clone(), step: step.clone() }]);
    }
    let items = match items_of(step) {
        Ok(items) => items,
        // What will not run need not have readable items.
        Err(_) if when(step.when.as_deref().unwrap_or_default()) == Ok(false) => Vec::new(),
        Err(why) => return Err(why),
    };
    let mut bare = step.clone();
    bare.with_items.clear();
    bare.with_param = None;
    bare.with_sequence = None;
    let hooks = serde_json::to_value(&bare.hooks).map_err(|error| error.to_string())?;
    bare.hooks.clear();
    let value = serde_json::to_value(&bare).map_err(|error| error.to_string())?;
    let skipped = when(step.when.as_deref().unwrap_or_default()) == Ok(false);
    let mode = if skipped { Mode::Lenient } else { Mode::Strict };
    let mut names = names.clone();
    items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            // What the item before gave must not be seen.
            names.retain(|name, _| !name.starts_with("item.") && name != "item");
            let shown = describe(item, &mut names);
            let mut one: Step = substitute(&value, &names, mode)
                .map_err(|error| error.to_string())
                .and_then(|value| serde_json::from_value(value).map_err(|error| error.to_string()))?;
            one.hooks = substitute(&hooks, &names, Mode::Lenient)
                .map_err(|error| error.to_string())
                .and_then(|value| serde_json::from_value(value).map_err(|error| error.to_string()))?;
            one.template.clone_from(&step.template);
            let shown: String = shown.chars().filter(|c| *c != '(' && *c != ')').collect();
            one.name = format!("{}({index}:{shown})", step.name);
            Ok(Expanded { name: one.name.clone(), step: one })
        })
        .collect()
}

/// The names an item gives, and how it is shown in a node's name.
fn describe(item: &Value, names: &mut BTreeMap<String, String>) -> String {
    match item {
        Value::Object(map) => {
            let mut shown = Vec::new();
            for (key, value) in map {
                let text = text_of(value);
                names.insert(format!("item.{key}"), text.clone());
                shown.push(format!("{key}:{text}"));
            }
            names.insert("item".to_owned(), go_map(map));
            shown.sort();
            shown.join(",")
        }
        Value::Array(items) => {
            names.insert("item".to_owned(), text_of(item));
            format!("[{}]", items.iter().map(text_of).collect::<Vec<_>>().join(" "))
        }
        other => {
            let text = text_of(other);
            names.insert("item".to_owned(), text.clone());
            text
        }
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Inside an item the order of keys stays as it was written.
        Value::Object(_) | Value::Array(_) => serde_json::to_string(value).unwrap_or_default(),
        other => go_json(other),
    }
}

/// A whole item as text: its own keys in order, what is inside as it was written.
fn go_map(map: &serde_json::Map<String, Value>) -> String {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    let shown: Vec<String> = entries
        .into_iter()
        .map(|(key, value)| {
            let inner = match value {
                Value::Object(_) | Value::Array(_) => serde_json::to_string(value).unwrap_or_default(),
                other => go_json(other),
            };
            format!("{}:{inner}", go_json(&Value::from(key.as_str())))
        })
        .collect();
    format!("{{{}}}", shown.join(","))
}

fn items_of(step: &Step) -> Result<Vec<Value>, String> {
    if !step.with_items.is_empty() {
        return Ok(step.with_items.clone());
    }
    if let Some(text) = &step.with_param {
        return match serde_json::from_str(text) {
            Ok(Value::Array(items)) => Ok(items),
            Ok(Value::Null) => Ok(Vec::new()),
            Ok(_) => Err(format!(
                "withParam value could not be parsed as a JSON list: {}: not a list",
                text.trim()
            )),
            Err(_) => Err(format!(
                "withParam value could not be parsed as a JSON list: {}: {}",
                text.trim(),
                go_json_error(text)
            )),
        };
    }
    step.with_sequence.as_ref().map_or(Ok(Vec::new()), sequence)
}

/// The most numbers a sequence may have.
const MAX_SEQUENCE: i64 = 100_000;

fn sequence(sequence: &Sequence) -> Result<Vec<Value>, String> {
    let number = |value: &Option<Value>| -> Result<Option<i64>, String> {
        let Some(value) = value else { return Ok(None) };
        if let Some(number) = value.as_i64() {
            return Ok(Some(number));
        }
        let text = value.as_str().unwrap_or_default();
        text.parse()
            .map(Some)
            .map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", go_json(&Value::from(text))))
    };
    let start = number(&sequence.start)?.unwrap_or(0);
    let end = match (number(&sequence.end)?, number(&sequence.count)?) {
        (Some(end), _) => end,
        (None, Some(0)) => return Ok(Vec::new()),
        (None, Some(count)) => start.saturating_add(count).saturating_sub(1),
        (None, None) => return Err("neither end nor count was specified in withSequence".to_owned()),
    };
    if end.abs_diff(start) as i64 >= MAX_SEQUENCE {
        return Err(format!("withSequence is longer than {MAX_SEQUENCE}"));
    }
    let format = sequence.format.as_deref().filter(|format| !format.is_empty()).unwrap_or("%d");
    let print = |number: i64| printf(format, number).map(Value::from);
    if start <= end { (start..=end).map(print).collect() } else { (end..=start).rev().map(print).collect() }
}

/// Go's `Sprintf` for one integer: `%d`, `%x`, `%X`, `%o`, `%b`, `%c`, `%v` with flags and width.
fn printf(format: &str, number: i64) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut used = false;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let (mut left, mut zero, mut plus) = (false, false, false);
        while let Some(flag) = chars.next_if(|c| "-0+ #".contains(*c)) {
            left |= flag == '-';
            zero |= flag == '0';
            plus |= flag == '+';
        }
        let mut width = 0usize;
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            width = (width * 10 + digit.to_digit(10).unwrap_or(0) as usize).min(256);
        }
        let size = number.unsigned_abs();
        let digits = match chars.next() {
            Some('%') => {
                out.push('%');
                continue;
            }
            Some('d' | 'v') => size.to_string(),
            Some('x') => format!("{size:x}"),
            Some('X') => format!("{size:X}"),
            Some('o') => format!("{size:o}"),
            Some('b') => format!("{size:b}"),
            other => {
                return Err(format!(
                    "withSequence: `%{}` is not a format for whole numbers",
                    other.unwrap_or(' ')
                ));
            }
        };
        used = true;
        let sign = if number < 0 {
            "-"
        } else if plus {
            "+"
        } else {
            ""
        };
        let pad = width.saturating_sub(digits.len() + sign.len());
        out.push_str(&match (left, zero) {
            (true, _) => format!("{sign}{digits}{}", " ".repeat(pad)),
            (false, true) => format!("{sign}{}{digits}", "0".repeat(pad)),
            (false, false) => format!("{}{sign}{digits}", " ".repeat(pad)),
        });
    }
    if !used {
        // Go prints what it could not use.
        out.push_str(&format!("%!(EXTRA int={number})"));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(step: Value) -> Vec<String> {
        let step: Step = serde_json::from_value(step).unwrap();
        expand(&step, &BTreeMap::new()).unwrap().into_iter().map(|one| one.name).collect()
    }

    #[test]
    fn items_are_named_as_in_argo() {
        let check = |step: Value, expected: &[&str]| assert_eq!(names(step), expected);
        check(
            json!({"name": "s", "withItems": [1, 3.5, 1000.0, true, "a(b)"]}),
            &["s(0:1)", "s(1:3.5)", "s(2:1000)", "s(3:true)", "s(4:ab)"],
        );
        check(json!({"name": "s", "withItems": [{"b": 1, "a": [1, "x"]}]}), &["s(0:a:[1,\"x\"],b:1)"]);
        check(
            json!({"name": "s", "withSequence": {"start": "1", "end": "-1"}}),
            &["s(0:1)", "s(1:0)", "s(2:-1)"],
        );
        check(
            json!({"name": "s", "withSequence": {"count": 2, "start": 14, "format": "%02X"}}),
            &["s(0:0E)", "s(1:0F)"],
        );
        check(json!({"name": "s", "withParam": "[]"}), &[]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let step = |value: Value| serde_json::from_value::<Step>(value).unwrap();
        let error =
            expand(&step(json!({"withSequence": {"count": "many"}})), &BTreeMap::new()).err().unwrap();
        assert_eq!(error, "strconv.Atoi: parsing \"many\": invalid syntax");
        assert!(expand(&step(json!({"withSequence": {"count": 10_000_000}})), &BTreeMap::new()).is_err());
        assert!(
            expand(&step(json!({"withParam": "plain", "when": "1 == 2"})), &BTreeMap::new())
                .unwrap()
                .is_empty()
        );
    }
}
