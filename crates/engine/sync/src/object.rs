//! Objects as JSON values: keys, annotations, and whose they are.

use std::fmt;

use base64::Engine as _;
use galley_argo_cd::names;
use serde::Serialize;
use serde_json::{Map, Value};

/// Which object it is, whatever its version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// API group; empty for the core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty if there is none.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// The key of an object; `None` if it has no kind.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = text(object.get("kind"));
        let metadata = object.get("metadata");
        (!kind.is_empty()).then(|| Key {
            group: group_of(object).to_owned(),
            kind,
            namespace: text(metadata.and_then(|m| m.get("namespace"))),
            name: text(metadata.and_then(|m| m.get("name"))),
        })
    }

    /// As kubectl names it: `deployment.apps/web`.
    pub fn kubectl(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        format!("{}{dot}{}/{}", self.kind.to_lowercase(), self.group, self.name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        f.write_str(" ")?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// The API group of an object.
pub(crate) fn group_of(object: &Value) -> &str {
    let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    version.split_once('/').map_or("", |(group, _)| group)
}

/// The API version of an object, without its group.
pub(crate) fn version_of(object: &Value) -> &str {
    let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    version.rsplit('/').next().unwrap_or_default()
}

/// An annotation's value.
pub fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

/// Whether a comma-separated annotation has this entry, as in `Prune=false`.
pub(crate) fn has_option(object: &Value, name: &str, option: &str) -> bool {
    annotation(object, name).is_some_and(|list| list.split(',').any(|entry| entry.trim() == option))
}

/// What a tracking annotation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// The Application.
    pub application: String,
    /// The object it was written for. A copy of an object carries the annotation of the original.
    pub key: Key,
}

impl fmt::Display for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { group, kind, namespace, name } = &self.key;
        write!(f, "{}:{group}/{kind}:{namespace}/{name}", self.application)
    }
}

/// Whose object it is, if its tracking annotation was really written for it.
pub fn tracking_of(object: &Value) -> Option<Tracking> {
    let text = annotation(object, names::TRACKING_ID)?;
    // The name may hold colons (RBAC), the rest may not.
    let mut parts = text.splitn(3, ':');
    let (application, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    let (group, kind) = kind.split_once('/')?;
    let (namespace, name) = name.split_once('/')?;
    let own = |text: &str| text.to_owned();
    let key = Key { group: own(group), kind: own(kind), namespace: own(namespace), name: own(name) };
    let real = Key::of(object)?;
    // A cluster-scoped object is tracked under the namespace of its Application's destination.
    let same = key.group == real.group
        && key.kind == real.kind
        && key.name == real.name
        && (real.namespace.is_empty() || key.namespace == real.namespace);
    same.then(|| Tracking { application: own(application), key })
}

/// A rendered manifest made ready for the cluster: it gets its namespace (or loses it, if its kind has none), the
/// tracking annotation, and a Secret's `stringData` becomes `data`. What only a server writes is taken out.
pub fn prepare(mut object: Value, application: &str, destination: &str, namespaced: bool) -> Value {
    let Some(fields) = object.as_object_mut() else { return object };
    fields.shift_remove("status");
    plain_data(fields);
    let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        for server in
            ["creationTimestamp", "resourceVersion", "uid", "generation", "managedFields", "selfLink"]
        {
            metadata.shift_remove(server);
        }
        let named = metadata.get("namespace").and_then(Value::as_str).is_some_and(|n| !n.is_empty());
        match (namespaced, named) {
            (true, false) if !destination.is_empty() => {
                metadata.insert("namespace".into(), destination.into());
            }
            (false, _) => {
                metadata.shift_remove("namespace");
            }
            _ => {}
        }
        for nullable in ["labels", "annotations"] {
            if metadata.get(nullable).is_some_and(Value::is_null) {
                metadata.shift_remove(nullable);
            }
        }
    }
    track(&mut object, application, destination);
    object
}

/// Writes the tracking annotation.
pub(crate) fn track(object: &mut Value, application: &str, destination: &str) {
    let Some(mut key) = Key::of(object) else { return };
    if key.namespace.is_empty() {
        destination.clone_into(&mut key.namespace);
    }
    let id = Tracking { application: application.to_owned(), key }.to_string();
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(names::TRACKING_ID.into(), id.into());
    }
}

fn plain_data(fields: &mut Map<String, Value>) {
    let is_secret = fields.get("kind").and_then(Value::as_str) == Some("Secret")
        && fields.get("apiVersion").and_then(Value::as_str) == Some("v1");
    if !is_secret || !fields.get("stringData").is_some_and(Value::is_object) {
        return;
    }
    let Some(Value::Object(plain)) = fields.shift_remove("stringData") else { return };
    let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    if let Some(data) = data.as_object_mut() {
        for (key, value) in plain {
            let bytes = value.as_str().unwrap_or_default().as_bytes();
            data.insert(key, base64::engine::general_purpose::STANDARD.encode(bytes).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_get_their_namespace_and_their_tracking() {
        let check = |object: Value, namespaced: bool, namespace: Value, id: &str| {
            let object = prepare(object, "app", "ns", namespaced);
            assert_eq!(object["metadata"]["namespace"], namespace);
            assert_eq!(annotation(&object, names::TRACKING_ID), Some(id));
            assert_eq!(tracking_of(&object).map(|t| t.application).as_deref(), Some("app"));
        };
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        check(map.clone(), true, json!("ns"), "app:/ConfigMap:ns/a");
        let mut elsewhere = map;
        elsewhere["metadata"]["namespace"] = json!("other");
        check(elsewhere, true, json!("other"), "app:/ConfigMap:other/a");
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "system:x", "namespace": "wrong", "annotations": null}});
        check(role, false, Value::Null, "app:rbac.authorization.k8s.io/ClusterRole:ns/system:x");
    }

    #[test]
    fn a_copied_annotation_tracks_nothing() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "copy", "namespace": "ns",
            "annotations": {names::TRACKING_ID: "app:/ConfigMap:ns/original"}}});
        assert_eq!(tracking_of(&object), None);
    }

    #[test]
    fn secrets_lose_their_plain_text() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "stringData": {"a": "x"}, "data": {"b": "eQ=="}});
        assert_eq!(prepare(secret, "app", "ns", true)["data"], json!({"b": "eQ==", "a": "eA=="}));
    }
}
