//! The `fields` parameter: which parts of an answer are wanted, as in `metadata.name,items.status.phase` or
//! `-status.nodes`.

use serde_json::{Map, Value};

/// Leaves only what is asked for; everything if nothing is.
pub(crate) fn clean(value: Value, fields: &str) -> Value {
    let (fields, exclude) = match fields.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (fields, false),
    };
    let paths: Vec<Vec<&str>> =
        fields.split(',').filter(|path| !path.is_empty()).map(|path| path.split('.').collect()).collect();
    if paths.is_empty() {
        return value;
    }
    let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
    if exclude { without(value, &paths) } else { only(value, &paths) }
}

fn only(value: Value, paths: &[&[&str]]) -> Value {
    if paths.iter().any(|path| path.is_empty()) {
        return value;
    }
    match value {
        Value::Array(items) => items.into_iter().map(|item| only(item, paths)).collect(),
        Value::Object(map) => {
            let mut kept = Map::new();
            for (key, inner) in map {
                let below: Vec<&[&str]> =
                    paths.iter().filter(|path| path[0] == key).map(|path| &path[1..]).collect();
                if !below.is_empty() {
                    kept.insert(key, only(inner, &below));
                }
            }
            Value::Object(kept)
        }
        // Something plain where more was expected.
        _ => Value::Null,
    }
}

fn without(value: Value, paths: &[&[&str]]) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(|item| without(item, paths)).collect(),
        Value::Object(map) => {
            let kept = map.into_iter().filter_map(|(key, inner)| {
                let below: Vec<&[&str]> = paths
                    .iter()
                    .filter(|path| path.first() == Some(&key.as_str()))
                    .map(|path| &path[1..])
                    .collect();
                if below.iter().any(|path| path.is_empty()) {
                    return None;
                }
                Some((key, if below.is_empty() { inner } else { without(inner, &below) }))
            });
            Value::Object(kept.collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_chosen_and_left_out() {
        let list = json!({"metadata": {"resourceVersion": "1"}, "items": [
            {"metadata": {"name": "a", "uid": "u"}, "status": {"phase": "Running", "nodes": {"n": {}}}},
        ]});
        let check =
            |fields: &str, expected: Value| assert_eq!(clean(list.clone(), fields), expected, "{fields}");
        check(
            "items.metadata.name,items.status.phase",
            json!({"items": [{"metadata": {"name": "a"}, "status": {"phase": "Running"}}]}),
        );
        check("metadata", json!({"metadata": {"resourceVersion": "1"}}));
        check(
            "-items.status.nodes,metadata",
            json!({"items": [{"metadata": {"name": "a", "uid": "u"}, "status": {"phase": "Running"}}]}),
        );
        check("", list.clone());
    }
}
