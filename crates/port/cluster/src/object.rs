//! What objects are called, in which order they are brought, and how progress is told.

use std::fmt;

use galley_problem::{Kind, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The field manager of everything that is applied.
pub const MANAGER: &str = "galley-bootstrap";

/// Names one object of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Group and version, `v1` for the core group.
    pub api_version: String,
    /// Kind, as in `Deployment`.
    pub kind: String,
    /// Namespace, if it lives in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectRef {
    /// Reads the name of a desired object.
    ///
    /// # Errors
    /// G1109 if `apiVersion`, `kind` or `metadata.name` is missing.
    pub fn of(object: &Value) -> Result<ObjectRef, Problem> {
        let field = |path: &str| {
            text(object, path).filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(|| {
                let named = path.trim_start_matches('/').replace('/', ".");
                Problem::new("G1109", Kind::Invalid, format!("An object to be applied has no `{named}`."))
            })
        };
        Ok(ObjectRef {
            api_version: field("/apiVersion")?,
            kind: field("/kind")?,
            namespace: text(object, "/metadata/namespace").map(str::to_owned),
            name: field("/metadata/name")?,
        })
    }

    /// The API group, empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether it is the same object, whatever version it was written in.
    pub fn same(&self, other: &ObjectRef) -> bool {
        self.group() == other.group()
            && self.kind == other.kind
            && self.namespace == other.namespace
            && self.name == other.name
    }

    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        self.group() == group && self.kind == kind
    }

    pub(crate) fn is_namespace(&self) -> bool {
        self.is("", "Namespace")
    }

    pub(crate) fn is_application(&self) -> bool {
        self.is("argoproj.io", "Application")
    }

    /// Position in the order of bringing; the order of taking away is the reverse.
    pub(crate) fn wave(&self) -> Wave {
        match (self.group(), self.kind.as_str()) {
            ("", "Namespace") => Wave::Namespaces,
            ("apiextensions.k8s.io", "CustomResourceDefinition") => Wave::Definitions,
            ("", "ServiceAccount") | ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => Wave::Roles,
            ("rbac.authorization.k8s.io", _) => Wave::Bindings,
            ("", "Service" | "Endpoints") | ("discovery.k8s.io", _) => Wave::Services,
            ("", "Pod" | "ReplicationController")
            | ("apps" | "batch" | "autoscaling" | "policy", _)
            | ("networking.k8s.io", "Ingress") => Wave::Workloads,
            ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => Wave::Webhooks,
            (group, _) if built_in(group) => Wave::Settings,
            _ => Wave::Custom,
        }
    }
}

/// Whether Kubernetes itself serves the group.
fn built_in(group: &str) -> bool {
    matches!(group, "" | "apps" | "batch" | "autoscaling" | "policy")
        || (group.ends_with(".k8s.io")
            && !matches!(group, "gateway.networking.k8s.io" | "snapshot.storage.k8s.io"))
}

/// Objects of a wave stand on those of earlier waves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Wave {
    Namespaces,
    Definitions,
    Roles,
    Bindings,
    Settings,
    Services,
    Workloads,
    Webhooks,
    Custom,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Where an object stands on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "phase", content = "detail")]
pub enum Phase {
    /// It is being created or changed.
    Applying,
    /// It is there now and was not before.
    Created,
    /// It has our fields now.
    Changed,
    /// It was as wanted.
    Same,
    /// Something is waited for.
    Waiting(String),
    /// The request failed and is made again.
    Retrying(String),
    /// It is being deleted.
    Deleting,
    /// It is gone.
    Deleted,
    /// Our fields were taken back, the object stays.
    Released,
    /// It stays, for this reason.
    Kept(String),
}

/// One step of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The object.
    pub object: ObjectRef,
    /// Its phase.
    #[serde(flatten)]
    pub phase: Phase,
}

/// Hears what happens. Called from the task that works; must not block.
pub trait Progress: Send + Sync {
    /// One object moved on.
    fn event(&self, event: Event);
}

/// Hears nothing.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event) {}
}

pub(crate) fn tell(progress: &dyn Progress, object: &ObjectRef, phase: Phase) {
    progress.event(Event { object: object.clone(), phase });
}

/// The text at a JSON pointer.
pub(crate) fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path).and_then(Value::as_str)
}

/// The list at a JSON pointer; empty if there is none.
pub(crate) fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(api_version: &str, kind: &str) -> ObjectRef {
        ObjectRef::of(&json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}}))
            .expect("named")
    }

    #[test]
    fn waves_put_foundations_first() {
        let order = [
            ("v1", "Namespace"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            ("rbac.authorization.k8s.io/v1", "ClusterRole"),
            ("rbac.authorization.k8s.io/v1", "RoleBinding"),
            ("v1", "Secret"),
            ("v1", "Service"),
            ("apps/v1", "Deployment"),
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
            ("argoproj.io/v1alpha1", "Application"),
        ];
        for pair in order.windows(2) {
            let (earlier, later) = (named(pair[0].0, pair[0].1), named(pair[1].0, pair[1].1));
            assert!(earlier.wave() < later.wave(), "{earlier} before {later}");
        }
        assert_eq!(named("gateway.networking.k8s.io/v1", "HTTPRoute").wave(), Wave::Custom);
        assert_eq!(named("storage.k8s.io/v1", "StorageClass").wave(), Wave::Settings);
    }

    #[test]
    fn an_object_without_a_name_is_refused() {
        let problem = ObjectRef::of(&json!({"apiVersion": "v1", "kind": "ConfigMap"})).expect_err("no name");
        assert_eq!(problem.code, "G1109");
        assert!(problem.what.contains("metadata.name"), "{problem}");
    }
}
