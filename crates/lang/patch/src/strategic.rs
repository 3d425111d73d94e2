//! Strategic merge patches: a merge patch that knows which lists are maps or sets.
//!
//! Directives: `$patch: merge|replace|delete` in an object or as an item of a keyed list,
//! `$deleteFromPrimitiveList/FIELD`, `$setElementOrder/FIELD` and `$retainKeys`.

use serde_json::{Map, Value};

use crate::{
    Error,
    schema::{Lists, Place, Schema, identity},
};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies a strategic merge patch to an object of a built-in kind.
///
/// # Errors
/// [`Error::Strategic`] for an unknown directive or an item without its merge key, [`Error::NotAnObject`].
pub fn apply_strategic_patch(schema: Schema, target: &mut Value, patch: &Value) -> Result<(), Error> {
    let patch = patch.as_object().ok_or(Error::NotAnObject("a strategic merge patch"))?;
    let target = target.as_object_mut().ok_or(Error::NotAnObject("the patched object"))?;
    merge_object(schema.top(), &mut Vec::new(), target, patch)
}

type Path<'a> = Vec<&'a str>;

fn wrong(path: &Path<'_>, reason: impl Into<String>) -> Error {
    Error::Strategic { path: path.join("."), reason: reason.into() }
}

fn merge_object<'p>(
    place: Place<'_>,
    path: &mut Path<'p>,
    target: &mut Map<String, Value>,
    patch: &'p Map<String, Value>,
) -> Result<(), Error> {
    match patch.get(PATCH).map(Value::as_str) {
        None | Some(Some("merge")) => {}
        Some(Some("replace")) => {
            target.clear();
            target.extend(patch.iter().filter(|(k, _)| *k != PATCH).map(|(k, v)| (k.clone(), v.clone())));
            return Ok(());
        }
        Some(Some("delete")) => {
            target.clear();
            return Ok(());
        }
        Some(_) => return Err(wrong(path, "`$patch` must be merge, replace or delete")),
    }
    if let Some(keys) = patch.get(RETAIN) {
        let keys = keys.as_array().ok_or_else(|| wrong(path, "`$retainKeys` must be a list"))?;
        target.retain(|key, _| keys.iter().any(|kept| kept == key));
    }
    for (key, value) in patch {
        if key == PATCH || key == RETAIN || key.starts_with(ORDER) {
            continue;
        }
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            let gone = value.as_array().ok_or_else(|| wrong(path, format!("`{key}` must be a list")))?;
            if let Some(Value::Array(list)) = target.get_mut(field) {
                list.retain(|item| !gone.contains(item));
            }
            continue;
        }
        path.push(key);
        merge_field(place.field(key), path, target, key, value)?;
        path.pop();
    }
    for (key, order) in patch {
        if let (Some(field), Some(order)) = (key.strip_prefix(ORDER), order.as_array())
            && let Some(Value::Array(list)) = target.get_mut(field)
        {
            reorder(place.field(field), list, order);
        }
    }
    Ok(())
}

fn merge_field<'p>(
    place: Place<'_>,
    path: &mut Path<'p>,
    target: &mut Map<String, Value>,
    key: &str,
    value: &'p Value,
) -> Result<(), Error> {
    match value {
        Value::Null => {
            target.shift_remove(key);
        }
        Value::Object(patch) => {
            let slot = target.entry(key).or_insert_with(|| Value::Object(Map::new()));
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            let Value::Object(inner) = slot else { return Ok(()) };
            merge_object(place, path, inner, patch)?;
            if patch.get(PATCH).and_then(Value::as_str) == Some("delete") {
                target.shift_remove(key);
            }
        }
        Value::Array(patch) => {
            let current = match target.get_mut(key).map(Value::take) {
                Some(Value::Array(list)) => list,
                _ => Vec::new(),
            };
            target.insert(key.to_owned(), Value::Array(merge_list(place, path, current, patch)?));
        }
        scalar => {
            target.insert(key.to_owned(), scalar.clone());
        }
    }
    Ok(())
}

fn merge_list<'p>(
    place: Place<'_>,
    path: &mut Path<'p>,
    mut current: Vec<Value>,
    patch: &'p [Value],
) -> Result<Vec<Value>, Error> {
    match place.lists() {
        Lists::Atomic => Ok(patch.to_vec()),
        Lists::Set => {
            for item in patch.iter().filter(|item| !item.is_null()) {
                if !current.contains(item) {
                    current.push(item.clone());
                }
            }
            Ok(current)
        }
        Lists::Map(keys) => {
            // Kubernetes identifies by the first key here: two container ports with one number are one item.
            let keys = &keys[..1];
            let directive = |item: &Value| item.get(PATCH).and_then(Value::as_str).map(str::to_owned);
            if patch.iter().any(|item| directive(item).as_deref() == Some("replace")) {
                current.clear();
            }
            for item in patch {
                let directive = directive(item);
                if directive.as_deref() == Some("replace") && identity(item, keys).is_none() {
                    continue;
                }
                let Some(id) = identity(item, keys) else {
                    return Err(wrong(path, format!("an item lacks its merge key `{}`", keys[0])));
                };
                let fields = item.as_object().ok_or_else(|| wrong(path, "an item must be an object"))?;
                if directive.as_deref() == Some("delete") {
                    current.retain(|old| identity(old, keys).as_ref() != Some(&id));
                    continue;
                }
                let found = current.iter().position(|old| identity(old, keys).as_ref() == Some(&id));
                let slot = match found {
                    Some(index) => &mut current[index],
                    None => {
                        current.push(Value::Object(Map::new()));
                        let last = current.len() - 1;
                        &mut current[last]
                    }
                };
                if let Value::Object(old) = slot {
                    merge_object(place, path, old, fields)?;
                }
            }
            Ok(current)
        }
    }
}

/// Brings the items that `order` names into its order; the others keep their place after the item before them.
fn reorder(place: Place<'_>, list: &mut Vec<Value>, order: &[Value]) {
    let rank = |item: &Value| match place.lists() {
        Lists::Map(keys) => order.iter().position(|o| identity(o, &keys[..1]) == identity(item, &keys[..1])),
        Lists::Set | Lists::Atomic => order.iter().position(|o| o == item),
    };
    let mut last = 0;
    let mut ranked: Vec<(usize, Value)> = Vec::with_capacity(list.len());
    for item in list.drain(..) {
        last = rank(&item).unwrap_or(last);
        ranked.push((last, item));
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    list.extend(ranked.into_iter().map(|(_, item)| item));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(kind: (&str, &str), target: Value, patch: Value, expected: Value) {
        let mut done = target;
        apply_strategic_patch(Schema::of_kind(kind.0, kind.1), &mut done, &patch).expect("applies");
        assert_eq!(done, expected);
        apply_strategic_patch(Schema::of_kind(kind.0, kind.1), &mut done, &patch).expect("applies again");
        assert_eq!(done, expected, "a second time changes nothing");
    }

    #[test]
    fn containers_are_merged_by_name() {
        check(
            ("", "Pod"),
            json!({"spec": {"containers": [{"name": "a", "image": "x", "env": [{"name": "E", "value": "1"}]}]}}),
            json!({"spec": {"containers": [{"name": "a", "image": "y", "env": [{"name": "F", "value": "2"}]},
                                            {"name": "b", "image": "z"}]}}),
            json!({"spec": {"containers": [
                {"name": "a", "image": "y", "env": [{"name": "E", "value": "1"}, {"name": "F", "value": "2"}]},
                {"name": "b", "image": "z"}]}}),
        );
    }

    #[test]
    fn directives_delete_replace_and_order() {
        check(
            ("apps", "Deployment"),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}}}}),
            json!({"spec": {"template": {"spec": {
                "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
                "containers": [{"name": "b", "$patch": "delete"}]}}}}),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c"}, {"name": "a"}]}}}}),
        );
        check(
            ("apps", "Deployment"),
            json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
            json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
            json!({"spec": {"strategy": {"type": "Recreate"}}}),
        );
        check(
            ("", "Pod"),
            json!({"spec": {"containers": [{"name": "a"}], "nodeSelector": {"x": "1"}}}),
            json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "n"}],
                            "nodeSelector": {"$patch": "replace", "y": "2"}}}),
            json!({"spec": {"containers": [{"name": "n"}], "nodeSelector": {"y": "2"}}}),
        );
        check(
            ("", "Pod"),
            json!({"metadata": {"finalizers": ["a", "b"], "labels": {"x": "1"}}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"], "labels": {"x": null}}}),
            json!({"metadata": {"finalizers": ["b", "c"], "labels": {}}}),
        );
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_place() {
        let schema = Schema::of_kind("", "Pod");
        let mut pod = json!({"spec": {"containers": []}});
        let error =
            apply_strategic_patch(schema, &mut pod, &json!({"spec": {"containers": [{"image": "x"}]}}))
                .expect_err("no key");
        assert!(error.to_string().contains("spec.containers"), "{error}");
        assert!(apply_strategic_patch(schema, &mut pod, &json!({"spec": {"$patch": "explode"}})).is_err());
        assert!(apply_strategic_patch(schema, &mut pod, &json!([])).is_err());
    }
}
