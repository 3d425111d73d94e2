//! The hash of a generated object's content, which becomes part of its name.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The ten letters for an object.
pub(crate) fn hash(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    let text = match kind {
        "ConfigMap" => encode(object, kind, &["data"], "binaryData"),
        "Secret" => encode(object, kind, &["data", "type"], "stringData"),
        _ => go_json(object),
    };
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    // Letters that could make a word, or look like digits, are replaced.
    hex.chars()
        .map(|letter| match letter {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            letter => letter,
        })
        .collect()
}

/// The content that counts. The name does not, though it has its place.
fn encode(object: &Value, kind: &str, always: &[&str], if_there: &str) -> String {
    let mut content = Map::new();
    content.insert("kind".to_owned(), Value::from(kind));
    content.insert("name".to_owned(), Value::from(""));
    for field in always {
        content.insert((*field).to_owned(), object.get(*field).cloned().unwrap_or_else(|| Value::from("")));
    }
    if let Some(value) = object.get(if_there).filter(|value| value.is_object()) {
        content.insert(if_there.to_owned(), value.clone());
    }
    go_json(&Value::Object(content))
}

/// JSON as Go writes it: sorted keys, and signs of HTML as escapes.
pub(crate) fn go_json(value: &Value) -> String {
    let mut out = String::new();
    for letter in sorted(value).to_string().chars() {
        match letter {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            letter => out.push(letter),
        }
    }
    out
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
