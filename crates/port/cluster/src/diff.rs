//! Which fields of an object differ, for a person. Secrets' values never leave this module.

use serde::Serialize;
use serde_json::{Map, Value};

/// At most so many changes of one object are listed.
const MOST: usize = 200;
/// Longer values are cut.
const LONGEST: usize = 160;

/// One field that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// As in `spec.replicas` or `spec.containers[web].image`.
    pub path: String,
    /// What is there; nothing if the field is new.
    pub old: Option<String>,
    /// What will be there; nothing if the field goes.
    pub new: Option<String>,
}

/// The object without what the server keeps for itself.
pub(crate) fn content(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in
                ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"]
            {
                metadata.remove(field);
            }
            for field in ["annotations", "labels"] {
                if metadata.get(field).is_some_and(|map| map.as_object().is_some_and(Map::is_empty)) {
                    metadata.remove(field);
                }
            }
        }
    }
    object
}

/// Fields in which two objects' contents differ.
pub(crate) fn changes(live: &Value, wanted: &Value) -> Vec<Change> {
    let (live, wanted) = (content(live), content(wanted));
    let secret = wanted["kind"] == "Secret";
    let mut found = Vec::new();
    walk(String::new(), Some(&live), Some(&wanted), secret, &mut found);
    found
}

fn walk(path: String, old: Option<&Value>, new: Option<&Value>, secret: bool, found: &mut Vec<Change>) {
    if old == new || found.len() >= MOST {
        return;
    }
    match (old, new) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            for key in keys {
                walk(member(&path, key), a.get(key), b.get(key), secret, found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => elements(&path, a, b, secret, found),
        _ => {
            let show = |value: &Value| {
                if secret && is_secret(&path) { "(hidden)".to_owned() } else { short(value) }
            };
            found.push(Change { old: old.map(show), new: new.map(show), path });
        }
    }
}

/// Lists of named things are compared by name, others by position.
fn elements(path: &str, a: &[Value], b: &[Value], secret: bool, found: &mut Vec<Change>) {
    let named = |list: &[Value]| list.iter().all(|item| item["name"].is_string());
    if named(a) && named(b) {
        let find = |list: &'_ [Value], name: &Value| list.iter().position(|item| item["name"] == *name);
        for item in a {
            let other = find(b, &item["name"]).map(|i| &b[i]);
            walk(
                format!("{path}[{}]", item["name"].as_str().unwrap_or_default()),
                Some(item),
                other,
                secret,
                found,
            );
        }
        for item in b.iter().filter(|item| find(a, &item["name"]).is_none()) {
            walk(
                format!("{path}[{}]", item["name"].as_str().unwrap_or_default()),
                None,
                Some(item),
                secret,
                found,
            );
        }
        // The same elements in another order are a change too.
        if a.len() == b.len() && a != b && a.iter().all(|item| b.contains(item)) {
            found.push(Change {
                path: path.to_owned(),
                old: Some("(order)".into()),
                new: Some("(other order)".into()),
            });
        }
        return;
    }
    for i in 0..a.len().max(b.len()) {
        walk(format!("{path}[{i}]"), a.get(i), b.get(i), secret, found);
    }
}

fn member(path: &str, key: &str) -> String {
    let key = if key.contains('.') || key.contains('/') { format!("[{key}]") } else { key.to_owned() };
    if path.is_empty() || key.starts_with('[') { format!("{path}{key}") } else { format!("{path}.{key}") }
}

/// Whether a Secret's field may hold what must not be shown; `kubectl apply` keeps a copy in an annotation.
fn is_secret(path: &str) -> bool {
    ["data", "stringData"].iter().any(|field| {
        path == *field || path.starts_with(&format!("{field}.")) || path.starts_with(&format!("{field}["))
    }) || path.starts_with("metadata.annotations")
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(live: Value, wanted: Value, expected: &[&str]) {
        let found: Vec<String> = changes(&live, &wanted)
            .into_iter()
            .map(|c| {
                format!("{}: {} -> {}", c.path, c.old.unwrap_or("-".into()), c.new.unwrap_or("-".into()))
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn names_what_changes_and_nothing_else() {
        check(
            json!({"metadata": {"resourceVersion": "1", "uid": "u", "labels": {}}, "status": {"a": 1}, "spec": {"replicas": 1, "old": true}}),
            json!({"metadata": {"resourceVersion": "2", "uid": "v"}, "status": {"a": 2}, "spec": {"replicas": 2, "new": "x"}}),
            &["spec.replicas: 1 -> 2", "spec.old: true -> -", "spec.new: - -> x"],
        );
        check(
            json!({"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b"}]}}),
            json!({"spec": {"containers": [{"name": "b"}, {"name": "a", "image": "i:2"}]}}),
            &["spec.containers[a].image: i:1 -> i:2"],
        );
        check(
            json!({"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}),
            json!({"metadata": {"labels": {"app.kubernetes.io/name": "y"}}}),
            &["metadata.labels[app.kubernetes.io/name]: x -> y"],
        );
    }

    #[test]
    fn secrets_stay_hidden() {
        let found = changes(
            &json!({"kind": "Secret", "data": {"token": "aHVzaA==", "a.b": "aHVzaA=="}, "metadata": {"annotations": {"x": "hush"}}}),
            &json!({"kind": "Secret", "data": {"token": "d2hpc3Blcg==", "a.b": "d2hpc3Blcg=="}, "metadata": {"annotations": {"x": "whisper"}}}),
        );
        assert_eq!(found.len(), 3);
        let shown = format!("{found:?}");
        for leak in ["hush", "whisper", "aHVz", "d2hp"] {
            assert!(!shown.contains(leak), "{shown}");
        }
        let whole =
            changes(&json!({"kind": "Secret"}), &json!({"kind": "Secret", "data": {"token": "aHVzaA=="}}));
        assert_eq!(whole[0].new.as_deref(), Some("(hidden)"));
    }
}
