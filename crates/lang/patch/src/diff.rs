//! The difference GitOps looks for: what the wanted object says and the live one does not.
//!
//! What only the live object has is somebody's default or status and is no difference, unless it was applied
//! before ([`diff_since`]).

use std::{borrow::Cow, fmt};

use serde_json::Value;

use crate::schema::{Lists, Place, Schema, distinct, identity};

/// One field in which the live object is not as wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The field, as in `spec.template.spec.containers[name=web].image`.
    pub path: String,
    /// The wanted value; `None` if the field should be gone.
    pub desired: Option<Value>,
    /// The live value; `None` if the field is absent.
    pub live: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<Value>| value.as_ref().map_or("absent".into(), Value::to_string);
        write!(f, "{}: {} -> {}", self.path, show(&self.live), show(&self.desired))
    }
}

/// Where `live` does not contain what `desired` says; empty if it contains all of it.
///
/// Empty and absent are the same, quantities are compared by value, lists with a merge key by key, all others
/// item by item. A Secret's `stringData` is compared with `data`.
pub fn diff(desired: &Value, live: &Value) -> Vec<Difference> {
    diff_since(None, desired, live)
}

/// As [`diff`], and also what `last` (applied before) says, `desired` does not any more, and `live` still has.
pub fn diff_since(last: Option<&Value>, desired: &Value, live: &Value) -> Vec<Difference> {
    let (desired, last) = (with_data(desired), last.map(with_data));
    let mut walk = Walk { path: String::new(), found: Vec::new() };
    walk.compare(Schema::of(&desired).top(), last.as_deref(), Some(&desired), Some(live));
    walk.found
}

struct Walk {
    path: String,
    found: Vec<Difference>,
}

impl Walk {
    fn compare(
        &mut self,
        place: Place<'_>,
        last: Option<&Value>,
        desired: Option<&Value>,
        live: Option<&Value>,
    ) {
        match (desired, live) {
            (None | Some(Value::Null), None) => {}
            (None, Some(live)) => {
                if last.is_some_and(|last| !is_empty(last)) && !is_empty(live) {
                    self.report(None, Some(live));
                }
            }
            (Some(Value::Null), Some(live)) => {
                if !live.is_null() {
                    self.report(None, Some(live));
                }
            }
            (Some(Value::Object(fields)), live) if live.is_none_or(Value::is_object) => {
                let before = last.and_then(Value::as_object);
                let gone = before.into_iter().flat_map(|b| b.keys()).filter(|key| !fields.contains_key(*key));
                for key in fields.keys().chain(gone) {
                    let parts =
                        (before.and_then(|b| b.get(key)), fields.get(key), live.and_then(|l| l.get(key)));
                    self.below(&format!(".{key}"), |walk| {
                        walk.compare(place.field(key), parts.0, parts.1, parts.2)
                    });
                }
            }
            (Some(Value::Array(items)), Some(Value::Array(live))) => self.lists(place, last, items, live),
            (Some(desired), None) => {
                if !is_empty(desired) {
                    self.report(Some(desired), None);
                }
            }
            (Some(desired), Some(live)) => {
                if !same(place, desired, live) {
                    self.report(Some(desired), Some(live));
                }
            }
        }
    }

    fn lists(&mut self, place: Place<'_>, last: Option<&Value>, desired: &[Value], live: &[Value]) {
        let before = last.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        match place.lists() {
            Lists::Set => {
                let missing = desired.iter().any(|item| !live.contains(item));
                let gone = before.iter().any(|item| !desired.contains(item) && live.contains(item));
                if missing || gone {
                    self.report(Some(&Value::from(desired)), Some(&Value::from(live)));
                }
            }
            Lists::Map(keys) if distinct(desired, keys) && distinct(live, keys) => {
                let find = |list: &'_ [Value], id: &Vec<&Value>| {
                    list.iter().find(|item| identity(item, keys).as_ref() == Some(id)).cloned()
                };
                let gone = before
                    .iter()
                    .filter(|item| identity(item, keys).is_some_and(|id| find(desired, &id).is_none()));
                for item in desired.iter().chain(gone) {
                    let Some(id) = identity(item, keys) else { continue };
                    let parts = (find(before, &id), find(desired, &id), find(live, &id));
                    self.below(&format!("[{}={}]", keys[0], plain(id[0])), |walk| {
                        walk.compare(place, parts.0.as_ref(), parts.1.as_ref(), parts.2.as_ref());
                    });
                }
            }
            Lists::Map(_) | Lists::Atomic if desired.len() != live.len() => {
                self.report(Some(&Value::from(desired)), Some(&Value::from(live)));
            }
            Lists::Map(_) | Lists::Atomic => {
                for (n, (item, live)) in desired.iter().zip(live).enumerate() {
                    let parts = (before.get(n), Some(item), Some(live));
                    self.below(&format!("[{n}]"), |walk| walk.compare(place, parts.0, parts.1, parts.2));
                }
            }
        }
    }

    fn below(&mut self, step: &str, work: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(step);
        work(self);
        self.path.truncate(length);
    }

    fn report(&mut self, desired: Option<&Value>, live: Option<&Value>) {
        self.found.push(Difference {
            path: self.path.trim_start_matches('.').to_owned(),
            desired: desired.cloned(),
            live: live.cloned(),
        });
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Kubernetes drops empty objects and lists when it writes, so they say nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

/// Whether two values mean the same at a place: equal, both empty, or quantities of the same amount.
pub(crate) fn same(place: Place<'_>, a: &Value, b: &Value) -> bool {
    if a == b || is_empty(a) && is_empty(b) {
        return true;
    }
    if let (Some(a), Some(b)) = (a.as_number(), b.as_number()) {
        return a.as_f64() == b.as_f64();
    }
    place.is_quantity() && matches!((amount(a), amount(b)), (Some(a), Some(b)) if close(a, b))
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// The amount of a quantity in base units.
fn amount(value: &Value) -> Option<f64> {
    let text = match value {
        Value::Number(number) => return number.as_f64(),
        Value::String(text) => text,
        _ => return None,
    };
    galley_units::parse_quantity(text).ok()
}

/// A Secret with its `stringData` written into `data`, as the API server does.
fn with_data(object: &Value) -> Cow<'_, Value> {
    let is_secret = object.get("kind").and_then(Value::as_str) == Some("Secret")
        && object.get("apiVersion").and_then(Value::as_str) == Some("v1");
    let Some(Value::Object(plain)) = object.get("stringData").filter(|_| is_secret) else {
        return Cow::Borrowed(object);
    };
    let mut object = object.clone();
    let mut data = object.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in plain {
        data.insert(key.clone(), Value::from(base64(value.as_str().unwrap_or_default().as_bytes())));
    }
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove("stringData");
        fields.insert("data".into(), Value::Object(data));
    }
    Cow::Owned(object)
}

/// Standard base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * n)) as usize & 63];
            text.push(if n <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(desired: Value, live: Value) -> Vec<String> {
        diff(&desired, &live).into_iter().map(|difference| difference.path).collect()
    }

    fn pod(spec: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "spec": spec})
    }

    #[test]
    fn defaults_in_the_live_object_are_no_difference() {
        let desired = pod(
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 80}], "args": []}], "volumes": null}),
        );
        let live = pod(json!({"restartPolicy": "Always", "containers": [
            {"name": "sidecar"},
            {"name": "a", "imagePullPolicy": "Always", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}));
        assert_eq!(paths(desired, live), Vec::<String>::new());
    }

    #[test]
    fn quantities_by_value_but_numbers_are_not_strings() {
        let limits =
            |cpu: Value| pod(json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": cpu}}}]}));
        assert!(paths(limits(json!("0.5")), limits(json!("500m"))).is_empty());
        assert!(paths(limits(json!(0.5)), limits(json!("500m"))).is_empty());
        assert_eq!(
            paths(limits(json!("1")), limits(json!("500m"))),
            ["spec.containers[name=a].resources.limits.cpu"]
        );
        let data = |value: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": value}});
        assert_eq!(paths(data(json!("1000m")), data(json!("1"))), ["data.a"]);
        assert_eq!(paths(data(json!(1)), data(json!("1"))), ["data.a"]);
        assert!(paths(data(json!(1)), data(json!(1.0))).is_empty());
    }

    #[test]
    fn lists_without_keys_are_compared_item_by_item() {
        let args = |args: Value| pod(json!({"containers": [{"name": "a", "args": args}]}));
        assert_eq!(
            paths(args(json!(["a", "b"])), args(json!(["a", "c"]))),
            ["spec.containers[name=a].args[1]"]
        );
        assert_eq!(paths(args(json!(["a"])), args(json!(["a", "c"]))), ["spec.containers[name=a].args"]);
    }

    #[test]
    fn what_was_applied_before_and_is_still_there_is_a_difference() {
        let env = |names: &[&str]| {
            let env: Vec<_> = names.iter().map(|name| json!({"name": name, "value": "1"})).collect();
            pod(json!({"containers": [{"name": "a", "env": env}]}))
        };
        let found = diff_since(Some(&env(&["A", "B"])), &env(&["A"]), &env(&["A", "B", "C"]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "spec.containers[name=a].env[name=B]");
        assert!(diff(&env(&["A"]), &env(&["A", "B", "C"])).is_empty());
    }

    #[test]
    fn secrets_are_compared_in_their_stored_form() {
        let desired = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "hello", "b": "hi"}});
        let live = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "aGVsbG8=", "b": "aGk="}});
        assert!(diff(&desired, &live).is_empty());
    }
}
