//! How lists of the built-in kinds are merged.
//!
//! The table restates the `x-kubernetes-patch-*` and `x-kubernetes-list-*` marks of the Kubernetes API types. Field
//! names are unambiguous in the built-in kinds once the field above is known, so a [`Place`] keeps only these two.

use serde_json::Value;

/// How a list is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// The list is one value: the new one replaces the old one.
    Atomic,
    /// A set of scalars.
    Set,
    /// A map: items are the same when their keys are. The first key identifies an item in strategic merge; all
    /// of them together do in server-side apply.
    Map(&'static [&'static str]),
}

/// What is known of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    builtin: bool,
    service: bool,
}

/// A position in an object: its field and the field above it; list items stand where their list stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    schema: Schema,
    parent: &'a str,
    field: &'a str,
}

impl Schema {
    /// The schema of a kind in an API group (`""` is core).
    pub fn of_kind(group: &str, kind: &str) -> Self {
        let builtin = matches!(group, "" | "apps" | "batch" | "autoscaling" | "policy" | "events.k8s.io")
            || group.ends_with(".k8s.io") && !group.starts_with("gateway.");
        Schema { builtin, service: group.is_empty() && kind == "Service" }
    }

    /// The schema of an object, by its `apiVersion` and `kind`.
    pub fn of(object: &Value) -> Self {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
        Schema::of_kind(group, text("kind"))
    }

    /// Whether the kind is one of Kubernetes' own, so that strategic merge patches apply.
    pub fn is_builtin(self) -> bool {
        self.builtin
    }

    /// The top of an object.
    pub fn top(self) -> Place<'static> {
        Place { schema: self, parent: "", field: "" }
    }
}

impl<'a> Place<'a> {
    /// The place one field further down.
    #[must_use]
    pub fn field<'b>(self, field: &'b str) -> Place<'b>
    where
        'a: 'b,
    {
        Place { schema: self.schema, parent: self.field, field }
    }

    /// How the list at this place is merged.
    pub fn lists(self) -> Lists {
        match (self.parent, self.field) {
            ("metadata", "finalizers") => return Lists::Set,
            ("metadata", "ownerReferences") => return Lists::Map(&["uid"]),
            _ if !self.schema.builtin => return Lists::Atomic,
            _ => {}
        }
        match (self.parent, self.field) {
            (
                "spec",
                "containers" | "initContainers" | "ephemeralContainers" | "volumes" | "imagePullSecrets",
            )
            | ("spec", "schedulingGates" | "resourceClaims")
            | ("resources", "claims")
            | ("", "secrets" | "imagePullSecrets" | "webhooks")
            | ("status", "volumesAttached") => Lists::Map(&["name"]),
            ("containers" | "initContainers" | "ephemeralContainers", field) => match field {
                "env" => Lists::Map(&["name"]),
                "ports" => Lists::Map(&["containerPort", "protocol"]),
                "volumeMounts" => Lists::Map(&["mountPath"]),
                "volumeDevices" => Lists::Map(&["devicePath"]),
                _ => Lists::Atomic,
            },
            ("spec", "ports") if self.schema.service => Lists::Map(&["port", "protocol"]),
            ("spec", "hostAliases") | ("status", "podIPs" | "hostIPs") => Lists::Map(&["ip"]),
            ("spec", "topologySpreadConstraints") => Lists::Map(&["topologyKey", "whenUnsatisfiable"]),
            ("spec", "taints") => Lists::Map(&["key", "effect"]),
            ("status", "conditions" | "addresses") => Lists::Map(&["type"]),
            _ => Lists::Atomic,
        }
    }

    /// Whether the object at this place is a union: what a wanted object does not name is removed from it.
    pub fn retains_only_named_keys(self) -> bool {
        self.schema.builtin && matches!((self.parent, self.field), ("spec", "strategy" | "volumes"))
    }

    /// Whether scalars at this place are quantities (`500m`, `0.5`), which differ in writing but not in value.
    pub fn is_quantity(self) -> bool {
        matches!(self.parent, "limits" | "requests" | "capacity" | "allocatable" | "hard" | "overhead")
            || matches!(self.field, "sizeLimit" | "divisor")
    }
}

/// The identity of a list item: the values of `keys`; `protocol` is TCP when absent. `None` if the first is absent.
pub(crate) fn identity<'v>(item: &'v Value, keys: &[&str]) -> Option<Vec<&'v Value>> {
    static TCP: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| Value::from("TCP"));
    static NULL: Value = Value::Null;
    item.get(keys[0])?;
    let value = |key: &&str| match item.get(key) {
        Some(value) => value,
        None if *key == "protocol" => &TCP,
        None => &NULL,
    };
    Some(keys.iter().map(value).collect())
}

/// Whether every item of both lists can be told from its neighbours by `keys`; a list where two items have the
/// same keys cannot be merged by them.
pub(crate) fn distinct(list: &[Value], keys: &[&str]) -> bool {
    let identities: Vec<_> = list.iter().map(|item| identity(item, keys)).collect();
    identities.iter().enumerate().all(|(n, this)| this.is_some() && !identities[..n].contains(this))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_between_services_and_containers() {
        let service = Schema::of_kind("", "Service").top().field("spec").field("ports");
        assert_eq!(service.lists(), Lists::Map(&["port", "protocol"]));
        let pod = Schema::of_kind("", "Pod").top().field("spec");
        assert_eq!(
            pod.field("containers").field("ports").lists(),
            Lists::Map(&["containerPort", "protocol"])
        );
        assert_eq!(pod.field("containers").field("args").lists(), Lists::Atomic);
        let route = Schema::of_kind("gateway.networking.k8s.io", "HTTPRoute").top().field("spec");
        assert_eq!(route.field("containers").lists(), Lists::Atomic);
    }

    #[test]
    fn an_absent_protocol_is_tcp() {
        let (a, b) = (serde_json::json!({"port": 80}), serde_json::json!({"port": 80, "protocol": "TCP"}));
        assert_eq!(identity(&a, &["port", "protocol"]), identity(&b, &["port", "protocol"]));
        assert!(!distinct(&[a, b], &["port", "protocol"]));
    }
}
