//! What git says, made ready for comparison.

use galley_problem::{Kind, Problem};
use galley_patch::LAST_APPLIED;
use serde_json::{Value, json};

/// The annotation by which an Application knows its objects.
pub const TRACKING: &str = "argocd.argoproj.io/tracking-id";
const WAVE: &str = "argocd.argoproj.io/sync-wave";
const HOOK: &str = "argocd.argoproj.io/hook";

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// API group; empty for core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for cluster-wide objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        write!(f, " ")?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Before the sync.
    PreSync,
    /// With the sync.
    Sync,
    /// After everything is healthy.
    PostSync,
    /// Not applied at all, or only when something fails.
    Skip,
}

/// Whose objects they are.
#[derive(Clone, Debug)]
pub struct Owner<'a> {
    /// The Application's name.
    pub application: &'a str,
    /// Namespace for manifests without one.
    pub namespace: &'a str,
}

/// One manifest, ready to be applied.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Its name.
    pub key: Key,
    /// API version, as written.
    pub api_version: String,
    /// The object with namespace and tracking annotation.
    pub object: Value,
    /// Objects of a lower wave come first.
    pub wave: i64,
    /// Set for hooks.
    pub hook: Option<Hook>,
}

/// The tracking annotation's value.
pub fn tracking_id(application: &str, key: &Key) -> String {
    format!("{application}:{}/{}:{}/{}", key.group, key.kind, key.namespace, key.name)
}

/// Makes a manifest ready. `namespaced` says whether its kind lives in namespaces.
///
/// # Errors
/// G0420 if it has no kind or no name.
pub fn desired(owner: &Owner<'_>, mut object: Value, namespaced: bool, file: &str, line: usize) -> Result<Desired, Problem> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    if api_version.is_empty() || kind.is_empty() || name.is_empty() {
        return Err(Problem::new("G0420", Kind::Invalid, "A manifest needs `apiVersion`, `kind` and `metadata.name`.")
            .at(file, line, 0));
    }
    let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
    let namespace = match (namespaced, text("/metadata/namespace")) {
        (false, _) => String::new(),
        (true, given) if given.is_empty() => owner.namespace.to_owned(),
        (true, given) => given,
    };
    let key = Key { group, kind, namespace, name };
    let annotation = |name: &str| object["metadata"]["annotations"][name].as_str().map(str::to_owned);
    // A wave that is no integer counts as 0, as Argo CD has it.
    let wave = annotation(WAVE).and_then(|wave| wave.parse().ok()).unwrap_or(0);
    let hook = annotation(HOOK).map(|hook| match hook.as_str() {
        "PreSync" => Hook::PreSync,
        "Sync" => Hook::Sync,
        "PostSync" => Hook::PostSync,
        _ => Hook::Skip,
    });
    if namespaced {
        object["metadata"]["namespace"] = json!(key.namespace);
    }
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    object["metadata"]["annotations"][TRACKING] = json!(tracking_id(owner.application, &key));
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    Ok(Desired { key, api_version, object, wave, hook })
}
