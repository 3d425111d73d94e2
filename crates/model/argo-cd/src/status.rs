//! What is known of an Application: the shape of its `status` is Argo CD's, field by field.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Destination, IgnoreDifference, InitiatedBy, Operation, Source, application::is_default};

/// An Application's status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ApplicationStatus {
    /// What is wrong, if anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The namespace of the controller.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub controller_namespace: String,
    /// The worst health of its objects.
    pub health: Health,
    /// What was synced, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// The operation that runs or was the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_state: Option<OperationState>,
    /// When it was compared last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconciled_at: Option<String>,
    /// Its objects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceStatus>,
    /// `Helm`, `Directory` or `Kustomize`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_type: String,
    /// The same for several sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_types: Vec<String>,
    /// Images and addresses.
    pub summary: Summary,
    /// Whether live is as wanted.
    pub sync: SyncStatus,
}

/// Something that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    /// `ComparisonError`, `InvalidSpecError`, `SyncError`, `RepeatedResourceWarning` ...
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is.
    pub message: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
}

/// How well something is, from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HealthCode {
    /// As it should be.
    #[default]
    Healthy,
    /// Paused on purpose.
    Suspended,
    /// On its way.
    Progressing,
    /// Not there.
    Missing,
    /// Failed.
    Degraded,
    /// Cannot be told.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for HealthCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            HealthCode::Healthy => "Healthy",
            HealthCode::Suspended => "Suspended",
            HealthCode::Progressing => "Progressing",
            HealthCode::Missing => "Missing",
            HealthCode::Degraded => "Degraded",
            HealthCode::Unknown => "Unknown",
        })
    }
}

/// Health with a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Health {
    /// How well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<HealthCode>,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
}

impl Health {
    /// Health with a reason (which may be empty).
    pub fn new(status: HealthCode, message: impl Into<String>) -> Self {
        Health { status: Some(status), message: message.into(), last_transition_time: None }
    }
}

/// One sync of the past.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct History {
    /// Counts up.
    pub id: i64,
    /// The commit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The same for several sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// When it was done.
    pub deployed_at: String,
    /// When it was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy_started_at: Option<String>,
    /// Who asked.
    #[serde(skip_serializing_if = "is_default")]
    pub initiated_by: InitiatedBy,
    /// The source as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The sources as they were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationPhase {
    /// At work.
    #[default]
    Running,
    /// Asked to end.
    Terminating,
    /// Something was refused or failed.
    Failed,
    /// It could not be tried.
    Error,
    /// Done.
    Succeeded,
}

impl OperationPhase {
    /// Whether it has ended.
    pub fn is_completed(self) -> bool {
        matches!(self, OperationPhase::Failed | OperationPhase::Error | OperationPhase::Succeeded)
    }
}

/// An operation that runs or has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OperationState {
    /// What was asked for.
    pub operation: Operation,
    /// How far it is.
    pub phase: OperationPhase,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// How often it was tried again.
    #[serde(skip_serializing_if = "is_default")]
    pub retry_count: i64,
    /// What was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_result: Option<SyncResult>,
}

/// What a sync has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncResult {
    /// One entry per object, in the order of application.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceResult>,
    /// The commit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The same for several sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
    /// The source as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The sources as they were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// The outcome for one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResultCode {
    /// It is as wanted.
    Synced,
    /// It was refused.
    SyncFailed,
    /// It is gone.
    Pruned,
    /// It should go, but pruning was not asked for.
    PruneSkipped,
}

/// When in a sync an object is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SyncPhase {
    /// Before.
    PreSync,
    /// The objects themselves.
    #[default]
    Sync,
    /// After all of them are healthy.
    PostSync,
    /// When something failed.
    SyncFail,
}

impl fmt::Display for SyncPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SyncPhase::PreSync => "PreSync",
            SyncPhase::Sync => "Sync",
            SyncPhase::PostSync => "PostSync",
            SyncPhase::SyncFail => "SyncFail",
        })
    }
}

/// What sort of hook an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HookType {
    /// Before the objects.
    PreSync,
    /// Among them.
    Sync,
    /// After them.
    PostSync,
    /// When something failed.
    SyncFail,
    /// Never.
    Skip,
    /// Before the Application goes.
    PreDelete,
    /// After the Application has gone.
    PostDelete,
}

/// How far a hook, or an object that is waited for, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookPhase {
    /// At work.
    Running,
    /// Asked to end.
    Terminating,
    /// It failed.
    Failed,
    /// It could not be made.
    Error,
    /// Done.
    Succeeded,
}

/// What was done with one object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceResult {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The outcome; none for hooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ResultCode>,
    /// In words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Which sort of hook it is, if one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_type: Option<HookType>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_phase: Option<HookPhase>,
    /// When it was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_phase: Option<SyncPhase>,
}

/// Whether live is as wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncCode {
    /// Cannot be told.
    #[default]
    Unknown,
    /// As wanted.
    Synced,
    /// Not as wanted.
    OutOfSync,
}

impl fmt::Display for SyncCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SyncCode::Unknown => "Unknown",
            SyncCode::Synced => "Synced",
            SyncCode::OutOfSync => "OutOfSync",
        })
    }
}

/// One object of an Application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceStatus {
    /// API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// API version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Whether it is as wanted; none for hooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<SyncCode>,
    /// How well it is, if that can be told for its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Whether it is a hook.
    #[serde(skip_serializing_if = "is_default")]
    pub hook: bool,
    /// Whether it should go.
    #[serde(skip_serializing_if = "is_default")]
    pub requires_pruning: bool,
    /// Its wave, if not 0.
    #[serde(skip_serializing_if = "is_default")]
    pub sync_wave: i64,
}

/// Images and addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Summary {
    /// Images of all containers, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Addresses for people.
    #[serde(rename = "externalURLs", skip_serializing_if = "Vec::is_empty")]
    pub external_urls: Vec<String>,
}

/// Whether live is as wanted, and at which commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncStatus {
    /// Whether.
    pub status: SyncCode,
    /// What was compared.
    #[serde(skip_serializing_if = "is_default")]
    pub compared_to: ComparedTo,
    /// The commit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// The same for several sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<String>,
}

/// What was compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ComparedTo {
    /// Where.
    pub destination: Destination,
    /// With what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// With what, if several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// What did not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_differences: Vec<IgnoreDifference>,
}
