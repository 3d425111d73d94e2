//! The three-way merge of `kubectl apply`: what was applied last, what is wanted now, what is live.
//!
//! A field that is wanted gets the wanted value; one that was applied last and is not wanted any more goes; all
//! others stay as they are, because somebody else set them.

use serde_json::{Map, Value};

use crate::{
    Error, LAST_APPLIED,
    diff::same,
    json::merge_patch_between,
    schema::{Lists, Place, Schema, distinct, identity},
};

/// What `kubectl apply` wrote into the object the last time, if it was applied.
pub fn last_applied(live: &Value) -> Option<Value> {
    let text = live.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str()?;
    serde_json::from_str(text).ok()
}

/// The object that results from applying `modified` over `current`, when `original` was applied last.
///
/// # Errors
/// [`Error::NotAnObject`] if one of them is not an object.
pub fn three_way(original: Option<&Value>, modified: &Value, current: &Value) -> Result<Value, Error> {
    for (value, name) in [
        (Some(modified), "what is wanted"),
        (Some(current), "what is live"),
        (original, "what was applied last"),
    ] {
        if value.is_some_and(|value| !value.is_object()) {
            return Err(Error::NotAnObject(name));
        }
    }
    Ok(merge(Schema::of(modified).top(), original, modified, current))
}

/// The merge patch that [`three_way`] amounts to; `{}` when there is nothing to do.
///
/// # Errors
/// As [`three_way`].
pub fn three_way_patch(original: Option<&Value>, modified: &Value, current: &Value) -> Result<Value, Error> {
    Ok(merge_patch_between(current, &three_way(original, modified, current)?))
}

fn merge(place: Place<'_>, original: Option<&Value>, modified: &Value, current: &Value) -> Value {
    match (modified, current) {
        (Value::Object(modified), Value::Object(current)) => {
            Value::Object(merge_objects(place, original.and_then(Value::as_object), modified, current))
        }
        (Value::Array(modified), Value::Array(current)) => {
            Value::Array(merge_lists(place, original.and_then(Value::as_array), modified, current))
        }
        (modified, current) if same(place, modified, current) => current.clone(),
        _ => without_nulls(modified),
    }
}

fn merge_objects(
    place: Place<'_>,
    original: Option<&Map<String, Value>>,
    modified: &Map<String, Value>,
    current: &Map<String, Value>,
) -> Map<String, Value> {
    let mut result = current.clone();
    for key in original.into_iter().flat_map(Map::keys).filter(|key| !modified.contains_key(*key)) {
        result.shift_remove(key);
    }
    let mut changed = false;
    for (key, wanted) in modified {
        let before = original.and_then(|o| o.get(key));
        match (wanted, current.get(key)) {
            (Value::Null, _) => {
                changed |= result.shift_remove(key).is_some();
            }
            (wanted, Some(live)) => {
                let merged = merge(place.field(key), before, wanted, live);
                changed |= merged != *live;
                result.insert(key.clone(), merged);
            }
            (wanted, None) => {
                changed = true;
                result.insert(key.clone(), without_nulls(wanted));
            }
        }
    }
    if changed && place.retains_only_named_keys() {
        result.retain(|key, _| modified.contains_key(key));
    }
    result
}

fn merge_lists(
    place: Place<'_>,
    original: Option<&Vec<Value>>,
    modified: &[Value],
    current: &[Value],
) -> Vec<Value> {
    let before = original.map(Vec::as_slice).unwrap_or_default();
    match place.lists() {
        Lists::Set => {
            let kept = current.iter().filter(|item| !before.contains(item) && !modified.contains(item));
            modified.iter().chain(kept).cloned().collect()
        }
        Lists::Map(keys) if distinct(modified, keys) && distinct(current, keys) => {
            let find = |list: &[Value], id: &Vec<&Value>| {
                list.iter().position(|item| identity(item, keys).as_ref() == Some(id))
            };
            let mut result: Vec<Value> = Vec::with_capacity(current.len().max(modified.len()));
            for item in modified {
                let Some(id) = identity(item, keys) else { continue };
                let before = find(before, &id).map(|index| &before[index]);
                result.push(match find(current, &id) {
                    Some(index) => merge(place, before, item, &current[index]),
                    None => without_nulls(item),
                });
            }
            for item in current {
                let Some(id) = identity(item, keys) else { continue };
                if find(modified, &id).is_none() && find(before, &id).is_none() {
                    result.push(item.clone());
                }
            }
            result
        }
        // A list that is one value still keeps the writing of what did not change (quantities, defaults in items).
        Lists::Map(_) | Lists::Atomic if modified.len() == current.len() && !scalars(modified) => {
            let items = modified.iter().zip(current).enumerate();
            items.map(|(n, (wanted, live))| merge(place, before.get(n), wanted, live)).collect()
        }
        Lists::Map(_) | Lists::Atomic => modified.iter().map(without_nulls).collect(),
    }
}

fn scalars(list: &[Value]) -> bool {
    list.iter().all(|item| !item.is_object())
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, v)| !v.is_null());
            Value::Object(kept.map(|(k, v)| (k.clone(), without_nulls(v))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(spec: Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec})
    }

    #[test]
    fn what_was_applied_and_is_not_wanted_goes_and_what_others_set_stays() {
        let original = json!({"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "1", "b": "2"}});
        let modified = json!({"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "9"}});
        let current =
            json!({"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "1", "b": "2", "c": "3"}});
        let result = three_way(Some(&original), &modified, &current).expect("objects");
        assert_eq!(result["data"], json!({"a": "9", "c": "3"}));
        let patch = three_way_patch(Some(&original), &modified, &current).expect("objects");
        assert_eq!(patch, json!({"data": {"a": "9", "b": null}}));
    }

    #[test]
    fn lists_with_keys_keep_injected_items() {
        let pod = |containers: Value| deployment(json!({"template": {"spec": {"containers": containers}}}));
        let original = pod(json!([{"name": "a", "env": [{"name": "X", "value": "1"}]}, {"name": "old"}]));
        let modified = pod(json!([{"name": "a", "image": "i2"}]));
        let current = pod(json!([
            {"name": "a", "image": "i1", "imagePullPolicy": "Always", "env": [{"name": "X", "value": "1"}]},
            {"name": "old"}, {"name": "sidecar"}]));
        let result = three_way(Some(&original), &modified, &current).expect("objects");
        assert_eq!(
            result["spec"]["template"]["spec"]["containers"],
            json!([{"name": "a", "image": "i2", "imagePullPolicy": "Always"}, {"name": "sidecar"}])
        );
    }

    #[test]
    fn unions_lose_the_other_branch() {
        let modified = deployment(json!({"strategy": {"type": "Recreate"}}));
        let current =
            deployment(json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}));
        let result = three_way(None, &modified, &current).expect("objects");
        assert_eq!(result["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[test]
    fn equal_quantities_are_left_as_written() {
        let pod = |cpu: Value| {
            let spec = json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": cpu}}}]});
            json!({"apiVersion": "v1", "kind": "Pod", "spec": spec})
        };
        let patch = three_way_patch(None, &pod(json!(0.5)), &pod(json!("500m"))).expect("objects");
        assert_eq!(patch, json!({}));
    }
}
