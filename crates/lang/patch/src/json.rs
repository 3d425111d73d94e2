//! RFC 7386 merge patches and RFC 6902 JSON patches.

use serde_json::{Map, Value};

use crate::Error;

/// Applies a merge patch: objects are merged, `null` removes, everything else replaces.
pub fn apply_merge_patch(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

/// The smallest merge patch that makes `to` out of `from`. A `null` in `to` cannot be told from an absent field.
pub fn merge_patch_between(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    for (key, old) in from {
        match to.get(key) {
            None => {
                patch.insert(key.clone(), Value::Null);
            }
            Some(new) if new != old => {
                patch.insert(key.clone(), merge_patch_between(old, new));
            }
            Some(_) => {}
        }
    }
    for (key, new) in to.iter().filter(|(key, _)| !from.contains_key(*key)) {
        patch.insert(key.clone(), new.clone());
    }
    Value::Object(patch)
}

/// Applies a list of operations; the target is unchanged if one of them fails.
///
/// # Errors
/// [`Error::ReadJsonPatch`] if `patch` is no list of operations, [`Error::JsonPatch`] if one does not fit.
pub fn apply_json_patch(target: &mut Value, patch: &Value) -> Result<(), Error> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone()).map_err(Error::ReadJsonPatch)?;
    json_patch::patch(target, &patch).map_err(Error::JsonPatch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_between_two_objects_leads_from_one_to_the_other() {
        let from = json!({"a": 1, "b": {"c": [1, 2], "d": "x"}, "e": true});
        let to = json!({"a": 1, "b": {"c": [2], "f": {}}, "g": null});
        let patch = merge_patch_between(&from, &to);
        assert_eq!(patch, json!({"b": {"c": [2], "d": null, "f": {}}, "e": null, "g": null}));
        let mut done = from;
        apply_merge_patch(&mut done, &patch);
        assert_eq!(done, json!({"a": 1, "b": {"c": [2], "f": {}}}));
    }

    #[test]
    fn a_failed_test_changes_nothing() {
        let mut object = json!({"a": 1});
        let patch =
            json!([{"op": "add", "path": "/b", "value": 2}, {"op": "test", "path": "/a", "value": 9}]);
        assert!(matches!(apply_json_patch(&mut object, &patch), Err(Error::JsonPatch(_))));
        assert_eq!(object, json!({"a": 1}));
        assert!(matches!(apply_json_patch(&mut object, &json!({})), Err(Error::ReadJsonPatch(_))));
    }
}
