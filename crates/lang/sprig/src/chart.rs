//! Helm's own functions over YAML, JSON and TOML.

use crate::codec::to_json_value;
use crate::encode::from_json;
use crate::function::{Function, Param, function, sized, text};
use crate::toml;
use crate::value::{List, Value};

use Param::{Any, Text};

pub(crate) const FUNCTIONS: &[Function] = &[
    function("toYaml", &[Any], None, |_, a| sized(to_yaml(&a[0]).unwrap_or_default())),
    function("mustToYaml", &[Any], None, |_, a| sized(to_yaml(&a[0])?)),
    function("toYamlPretty", &[Any], None, |_, a| sized(indent_lists(&to_yaml(&a[0]).unwrap_or_default()))),
    function("fromYaml", &[Text], None, |_, a| {
        Ok(match from_yaml(text(a, 0)) {
            Ok(value @ Value::Map(_)) => value,
            Ok(Value::Nil) => Value::map([]),
            Ok(other) => error_map(cannot("YAML to", &other, "map[string]interface {}")),
            Err(error) => error_map(error),
        })
    }),
    function("fromYamlArray", &[Text], None, |_, a| {
        Ok(match from_yaml(text(a, 0)) {
            Ok(value @ Value::List(_)) => value,
            Ok(Value::Nil) => Value::List(List::new(Vec::new())),
            Ok(other) => error_list(cannot("YAML to", &other, "[]interface {}")),
            Err(error) => error_list(error),
        })
    }),
    function("fromJson", &[Text], None, |_, a| {
        Ok(match from_json(text(a, 0)) {
            Ok(value @ Value::Map(_)) => value,
            Ok(Value::Nil) => Value::map([]),
            Ok(other) => error_map(cannot("", &other, "map[string]interface {}")),
            Err(error) => error_map(error),
        })
    }),
    function("fromJsonArray", &[Text], None, |_, a| {
        Ok(match from_json(text(a, 0)) {
            Ok(value @ Value::List(_)) => value,
            Ok(Value::Nil) => Value::List(List::new(Vec::new())),
            Ok(other) => error_list(cannot("", &other, "[]interface {}")),
            Err(error) => error_list(error),
        })
    }),
    function("toToml", &[Any], None, |_, a| sized(toml::write(&a[0]).unwrap_or_else(|error| error))),
    function("mustToToml", &[Any], None, |_, a| sized(toml::write(&a[0])?)),
    function("fromToml", &[Text], None, |_, _| {
        Err("`fromToml` is not supported: give the values as YAML or JSON".to_owned())
    }),
];

/// YAML without its last newline.
fn to_yaml(value: &Value) -> Result<String, String> {
    let text = galley_yaml::to_string(&to_json_value(value)?);
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// Lists indented below their key, as `toYamlPretty` writes them.
fn indent_lists(text: &str) -> String {
    // Each open list adds two columns to everything inside of it.
    let mut out = String::new();
    let mut open: Vec<usize> = Vec::new();
    let mut block: Option<usize> = None;
    for (number, line) in text.split('\n').enumerate() {
        let column = line.len() - line.trim_start_matches(' ').len();
        let content = &line[column..];
        if block.is_some_and(|parent| content.is_empty() || column > parent) {
            push_line(&mut out, number, open.len(), line);
            continue;
        }
        block = None;
        while open.last().is_some_and(|at| column < *at || column == *at && !content.starts_with("- ")) {
            open.pop();
        }
        let begins = content.starts_with("- ") && open.last() != Some(&column);
        let below_key = number > 0 && out.lines().last().is_some_and(|line| line.ends_with(':'));
        if begins && below_key {
            open.push(column);
        }
        push_line(&mut out, number, open.len(), line);
        let header = content.rsplit(' ').next().unwrap_or_default();
        if header.starts_with('|') || header.starts_with('>') {
            let dashes = content.len() - content.trim_start_matches("- ").len();
            block = Some(column + dashes);
        }
    }
    out
}

fn push_line(out: &mut String, number: usize, levels: usize, line: &str) {
    if number > 0 {
        out.push('\n');
    }
    if !line.is_empty() {
        out.extend(std::iter::repeat_n("  ", levels));
    }
    out.push_str(line);
}

fn from_yaml(text: &str) -> Result<Value, String> {
    match galley_yaml::parse_documents_leniently("", text) {
        Ok(documents) => {
            Ok(documents.first().map_or(Value::Nil, |document| Value::from_json(&document.value)))
        }
        Err(problem) => {
            let line = problem.place.as_ref().map_or(1, |place| place.line);
            Err(format!("error converting YAML to JSON: yaml: line {line}: {}", problem.what))
        }
    }
}

fn cannot(how: &str, value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Map(_) => "object",
        Value::List(_) => "array",
        Value::Text(_) => "string",
        Value::Bool(_) => "bool",
        _ => "number",
    };
    let how = if how.is_empty() { "" } else { "error unmarshaling JSON: while decoding JSON: " };
    format!("{how}json: cannot unmarshal {found} into Go value of type {wanted}")
}

fn error_map(error: String) -> Value {
    Value::map([("Error", Value::from(error))])
}

fn error_list(error: String) -> Value {
    Value::List(List::new(vec![Value::from(error)]))
}
