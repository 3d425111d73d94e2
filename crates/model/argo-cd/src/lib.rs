//! The nouns of Argo CD, in the JSON that Argo CD reads and writes.
//!
//! | module | is |
//! |---|---|
//! | `application` | [`Application`]: what is to be where |
//! | `status` | what is known of it: sync, health, history, the last operation |
//! | `operation` | a sync that somebody asked for |
//! | `project` | [`AppProject`]: what Applications may do |
//! | `fields` | the names Argo CD knows, to tell a slip of the pen with its place |
//!
//! The types are lenient: a field they do not know is passed over, because objects from an API may be newer than we
//! are. Files that a person wrote go through [`read_application`], which is strict. What Argo CD does not care about
//! (most of metadata) is kept as it is.

mod application;
mod fields;
mod operation;
mod project;
mod status;

pub use application::{
    Application, ApplicationSpec, Automated, Backoff, Destination, DirectorySource, HelmParameter,
    HelmSource, IgnoreDifference, ManagedNamespaceMetadata, Metadata, RetryStrategy, Source, SyncPolicy,
};
pub use fields::{UnknownField, read_application, unknown_fields};
pub use operation::{InitiatedBy, Operation, SyncOperation, SyncOperationResource};
pub use project::{AppProject, AppProjectSpec, GroupKind, ProjectDestination};
pub use status::{
    ApplicationStatus, ComparedTo, Condition, Health, HealthCode, History, HookPhase, HookType,
    OperationPhase, OperationState, ResourceResult, ResourceStatus, ResultCode, Summary, SyncCode, SyncPhase,
    SyncResult, SyncStatus,
};

/// The API version of all kinds here.
pub const API_VERSION: &str = "argoproj.io/v1alpha1";
/// The name of the cluster that Galley or Argo CD runs in.
pub const IN_CLUSTER: &str = "https://kubernetes.default.svc";

/// Names of annotations and finalizers.
pub mod names {
    /// Says which Application an object belongs to: `app:group/kind:namespace/name`.
    pub const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
    /// Asks for a new look: `normal` or `hard`.
    pub const REFRESH: &str = "argocd.argoproj.io/refresh";
    /// An integer; lower ones are applied first.
    pub const SYNC_WAVE: &str = "argocd.argoproj.io/sync-wave";
    /// Makes an object a hook of the phases it names.
    pub const HOOK: &str = "argocd.argoproj.io/hook";
    /// When a hook is deleted.
    pub const HOOK_DELETE_POLICY: &str = "argocd.argoproj.io/hook-delete-policy";
    /// Options of one object, or of all.
    pub const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";
    /// `IgnoreExtraneous` keeps an object from making its Application OutOfSync.
    pub const COMPARE_OPTIONS: &str = "argocd.argoproj.io/compare-options";
    /// `"true"`: the health of this object does not count.
    pub const IGNORE_HEALTHCHECK: &str = "argocd.argoproj.io/ignore-healthcheck";
    /// Deletes an Application's objects before it goes.
    pub const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";
    /// The same, said to be in the foreground.
    pub const FINALIZER_FOREGROUND: &str = "resources-finalizer.argocd.argoproj.io/foreground";
    /// The same, without waiting for the objects to be gone.
    pub const FINALIZER_BACKGROUND: &str = "resources-finalizer.argocd.argoproj.io/background";
    /// Helm's own annotation for hooks.
    pub const HELM_HOOK: &str = "helm.sh/hook";
    /// Helm's order of hooks.
    pub const HELM_HOOK_WEIGHT: &str = "helm.sh/hook-weight";
    /// When Helm deletes a hook.
    pub const HELM_HOOK_DELETE_POLICY: &str = "helm.sh/hook-delete-policy";
    /// `keep`: neither pruned nor deleted.
    pub const HELM_RESOURCE_POLICY: &str = "helm.sh/resource-policy";
}
