//! Strategic merge, as Kustomize does it: what a patch names comes first in merged lists.

use galley_patch::{Lists, Place, Schema};
use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";

/// What a patch says of the map or list that it stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// The object with the patch merged into it; nothing if the patch deletes it.
pub(crate) fn merge(object: Value, patch: Value) -> Option<Value> {
    let schema = Schema::of(&object);
    both(Some(object), Some(patch), schema.top())
}

/// The merge of two values at the same place; nothing if the place becomes empty.
fn both(old: Option<Value>, patch: Option<Value>, place: Place<'_>) -> Option<Value> {
    match (old, patch) {
        (old, None) => old,
        (_, Some(Value::Null)) => None,
        (old, Some(Value::Object(patch))) => map(old, patch, place),
        (old, Some(Value::Array(patch))) => list(old, patch, place),
        (_, Some(scalar)) => Some(scalar),
    }
}

/// Takes the directive out of a map.
fn directive(patch: &mut Map<String, Value>) -> Directive {
    match patch.shift_remove(DIRECTIVE).as_ref().and_then(Value::as_str) {
        Some("replace") => Directive::Replace,
        Some("delete") => Directive::Delete,
        _ => Directive::Merge,
    }
}

fn map(old: Option<Value>, mut patch: Map<String, Value>, place: Place<'_>) -> Option<Value> {
    let directive = directive(&mut patch);
    if directive == Directive::Delete {
        return None;
    }
    let mut merged = match old {
        Some(Value::Object(old)) if directive == Directive::Merge => old,
        _ => Map::new(),
    };
    for (key, value) in patch {
        let found = both(merged.get(&key).cloned(), Some(value), place.field(&key));
        match found {
            Some(value) => drop(merged.insert(key, value)),
            None => drop(merged.shift_remove(&key)),
        }
    }
    Some(Value::Object(merged))
}

fn list(old: Option<Value>, patch: Vec<Value>, place: Place<'_>) -> Option<Value> {
    let old = match old {
        Some(Value::Array(old)) => old,
        _ => Vec::new(),
    };
    let is_alone =
        |item: &Value| item.as_object().is_some_and(|map| map.len() == 1 && map.contains_key(DIRECTIVE));
    let whole =
        patch.iter().find(|item| is_alone(item)).and_then(|item| item[DIRECTIVE].as_str()).map(str::to_owned);
    let patch: Vec<Value> = patch.into_iter().filter(|item| !is_alone(item)).collect();
    match (whole.as_deref(), place.lists()) {
        (Some("delete"), _) => None,
        (Some("replace"), _) | (_, Lists::Atomic) => {
            Some(Value::Array(patch.into_iter().map(plain).collect()))
        }
        (_, Lists::Set) => {
            let mut merged = patch;
            let rest: Vec<Value> = old.into_iter().filter(|item| !merged.contains(item)).collect();
            merged.extend(rest);
            Some(Value::Array(merged))
        }
        (_, Lists::Map(keys)) => Some(Value::Array(items(old, patch, keys, place))),
    }
}

/// Items that a patch brings where nothing was: without directives.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(key, value)| key != DIRECTIVE && !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, plain(value))).collect())
        }
        other => other,
    }
}

/// The values of an item's keys, as text; absent ones are empty.
fn identity(item: &Value, keys: &[&str]) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    keys.iter().map(|key| item.get(*key).map(text).unwrap_or_default()).collect()
}

/// Whether two items are the same: at least one key is equal and none contradicts.
fn fits(a: &[String], b: &[String]) -> bool {
    let mut common = false;
    for (a, b) in a.iter().zip(b) {
        if a == b {
            common |= !a.is_empty();
        } else if !a.is_empty() && !b.is_empty() {
            return false;
        }
    }
    common
}

fn items(old: Vec<Value>, patch: Vec<Value>, keys: &[&str], place: Place<'_>) -> Vec<Value> {
    let mut rest: Vec<Option<Value>> = old.into_iter().map(Some).collect();
    let mut merged = Vec::new();
    for item in patch {
        let own = identity(&item, keys);
        let found =
            rest.iter().position(|old| old.as_ref().is_some_and(|old| fits(&identity(old, keys), &own)));
        let old = found.and_then(|index| rest[index].take());
        // A list item stands where its list stands.
        let Some(mut value) = both(old, Some(item), place) else { continue };
        if let Value::Object(map) = &mut value {
            for (key, text) in keys.iter().zip(&own) {
                if !text.is_empty() && !map.contains_key(*key) {
                    map.insert((*key).to_owned(), Value::from(text.as_str()));
                }
            }
        }
        merged.push(value);
    }
    merged.extend(rest.into_iter().flatten());
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_merged_by_their_keys_and_patched_items_come_first() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]},
            {"name": "b", "image": "b:1", "args": ["x"]}
        ]}}}});
        let patch = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "b", "image": "b:2", "args": ["y"]},
            {"name": "c", "image": "c:1"},
            {"name": "a", "env": [{"name": "X", "$patch": "delete"}, {"name": "Y", "value": "2"}]}
        ]}}}});
        let merged = merge(object, patch).unwrap();
        assert_eq!(
            merged["spec"]["template"]["spec"]["containers"],
            json!([
                {"name": "b", "image": "b:2", "args": ["y"]},
                {"name": "c", "image": "c:1"},
                {"name": "a", "image": "a:1", "env": [{"name": "Y", "value": "2"}]}
            ])
        );
    }

    #[test]
    fn directives_and_nulls() {
        let object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1", "b": "2"}, "x": {"y": 1}});
        let patch = json!({"data": {"a": null, "c": "3"}, "x": {"$patch": "replace", "z": 2}});
        assert_eq!(
            merge(object.clone(), patch),
            Some(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "2", "c": "3"}, "x": {"z": 2}})
            )
        );
        assert_eq!(merge(object, json!({"$patch": "delete"})), None);
    }
}
