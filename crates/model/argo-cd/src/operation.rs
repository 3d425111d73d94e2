//! A sync that somebody asked for: the Application's `operation`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{RetryStrategy, Source, application::is_default};

/// What is to be done, and who asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Operation {
    /// The sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<SyncOperation>,
    /// Who asked.
    #[serde(skip_serializing_if = "is_default")]
    pub initiated_by: InitiatedBy,
    /// Notes for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub info: Vec<Value>,
    /// How it is tried again if it fails.
    #[serde(skip_serializing_if = "is_default")]
    pub retry: RetryStrategy,
}

/// Who asked for an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InitiatedBy {
    /// A person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// The policy.
    #[serde(skip_serializing_if = "is_default")]
    pub automated: bool,
}

/// How to sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncOperation {
    /// The commit, branch or tag; the Application's own if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The same for several sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// Whether objects that are no longer wanted go.
    #[serde(skip_serializing_if = "is_default")]
    pub prune: bool,
    /// Whether nothing is to be changed.
    #[serde(skip_serializing_if = "is_default")]
    pub dry_run: bool,
    /// Only these objects; hooks do not run then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<SyncOperationResource>,
    /// Options of this sync.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sync_options: Vec<String>,
    /// `apply` or `hook`, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_strategy: Option<Value>,
    /// Another source than the Application's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The same for several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// How often drift was undone in a row.
    #[serde(skip_serializing_if = "is_default")]
    pub self_heal_attempts_count: i64,
    /// Manifests instead of a repository's; not supported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<String>,
}

impl SyncOperation {
    /// Whether the operation has this option, as in `Replace=true`.
    pub fn has_option(&self, option: &str) -> bool {
        self.sync_options.iter().any(|o| o == option)
    }

    /// Whether hooks are left out, because objects are selected or the strategy says so.
    pub fn skips_hooks(&self) -> bool {
        let apply_only = self.sync_strategy.as_ref().is_some_and(|strategy| {
            strategy.get("apply").is_some_and(|v| !v.is_null())
                && strategy.get("hook").is_none_or(Value::is_null)
        });
        apply_only || !self.resources.is_empty()
    }
}

/// One object of a selective sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncOperationResource {
    /// API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace; any if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Not this one.
    #[serde(skip_serializing_if = "is_default")]
    pub exclude: bool,
}
