//! The small JSONPath of printed columns and scale subresources: `.a.b[0]`, `['a.b']`, `[*]`, and
//! `[?(@.type=="Ready")]`. A leading dot and surrounding braces are optional.

use serde_json::{Map, Value};

#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Field(String),
    Index(usize),
    All,
    Where(&'a str, &'a str),
}

/// The first value at a path.
pub(crate) fn find(object: &Value, path: &str) -> Option<Value> {
    let steps = parse(path)?;
    let mut found = vec![object];
    for step in &steps {
        found = found.into_iter().flat_map(|value| follow(value, step)).collect();
    }
    found.first().map(|value| (*value).clone())
}

/// Sets the value at a path of fields, making objects on the way; `false` if the path is anything else.
pub(crate) fn set(object: &mut Value, path: &str, value: Value) -> bool {
    let Some(steps) = parse(path) else { return false };
    let mut here = object;
    for step in steps {
        let Step::Field(name) = step else { return false };
        if !here.is_object() {
            *here = Value::Object(Map::new());
        }
        let Value::Object(fields) = here else { return false };
        here = fields.entry(name).or_insert(Value::Null);
    }
    *here = value;
    true
}

fn follow<'v>(value: &'v Value, step: &Step<'_>) -> Vec<&'v Value> {
    match step {
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::Index(index) => value.get(index).into_iter().collect(),
        Step::All => match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => fields.values().collect(),
            _ => Vec::new(),
        },
        Step::Where(path, wanted) => {
            let matches =
                |item: &&Value| find(item, path).is_some_and(|found| found.as_str() == Some(*wanted));
            value.as_array().into_iter().flatten().filter(matches).collect()
        }
    }
}

fn parse(path: &str) -> Option<Vec<Step<'_>>> {
    let mut rest = path.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']')?;
            let text = &inner[..end];
            steps.push(if text == "*" {
                Step::All
            } else if let Some(test) = text.strip_prefix("?(@").and_then(|t| t.strip_suffix(')')) {
                let (path, wanted) = test.split_once("==")?;
                Step::Where(path.trim(), wanted.trim().trim_matches(['"', '\'']))
            } else if let Some(name) = text.strip_prefix(['\'', '"']) {
                Step::Field(name.trim_end_matches(['\'', '"']).to_owned())
            } else {
                Step::Index(text.parse().ok()?)
            });
            rest = &inner[end + 1..];
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let mut name = String::new();
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, letter)) = chars.next() {
            match letter {
                '\\' => name.extend(chars.next().map(|(_, letter)| letter)),
                '.' | '[' => {
                    end = at;
                    break;
                }
                letter => name.push(letter),
            }
        }
        rest = &rest[end..];
        if !name.is_empty() {
            steps.push(Step::Field(name));
        } else if rest.is_empty() {
            break;
        } else if !rest.starts_with('[') {
            return None;
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_printed_columns() {
        let object = json!({"metadata": {"annotations": {"a.b/c": "x"}}, "spec": {"hosts": ["one", "two"]},
            "status": {"conditions": [{"type": "A", "status": "False"}, {"type": "Ready", "status": "True"}]}});
        let check = |path: &str, expected: Value| {
            assert_eq!(find(&object, path).unwrap_or_default(), expected, "{path}")
        };
        check(".spec.hosts[1]", json!("two"));
        check("{.spec.hosts[*]}", json!("one"));
        check(".metadata.annotations.a\\.b/c", json!("x"));
        check(".metadata.annotations['a.b/c']", json!("x"));
        check(".status.conditions[?(@.type==\"Ready\")].status", json!("True"));
        check(".status.conditions[?(@.type=='None')].status", json!(null));
        check(".spec..hosts", json!(null));
        check(".spec.hosts[", json!(null));
    }

    #[test]
    fn setting_makes_the_way() {
        let mut object = json!({});
        assert!(set(&mut object, ".spec.replicas", json!(3)));
        assert_eq!(object, json!({"spec": {"replicas": 3}}));
        assert!(!set(&mut object, ".spec[0]", json!(3)));
    }
}
