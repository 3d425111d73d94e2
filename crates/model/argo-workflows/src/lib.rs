//! The nouns of Argo Workflows (`argoproj.io/v1alpha1`): Workflow, WorkflowTemplate, ClusterWorkflowTemplate and
//! CronWorkflow, their status in Argo's JSON shape, and the rules a file must keep.
//!
//! Parts that belong to Kubernetes (containers, volumes, affinity...) are kept as JSON values and passed through.
//! Reading from the API tolerates fields of newer versions; reading from files ([`check_files`]) refuses them, with
//! the place. Map of the modules: [`Workflow`] and its kin in `objects`, templates in `template`, parameters and
//! artifacts in `io`, status in `status`, schema rules in `shape`, meaning in `semantics`, files in `files`.

mod dag;
mod files;
mod io;
mod locks;
mod merge;
mod objects;
mod scope;
mod semantics;
mod shape;
mod status;
mod template;

pub use dag::{Dependency, dependencies_of, depends_logic, leaf_tasks};
pub use files::{Externals, Manifest, check_files, parse_and_check};
pub use io::{AnyString, Arguments, Artifact, Inputs, Outputs, Parameter, ValueFrom};
pub use locks::{LockStatus, MutexHolding, NodeLockStatus, SemaphoreHolding, lock_names};
pub use merge::{execution_spec, lay, with_defaults};
pub use objects::{
    ClusterWorkflowTemplate, CronWorkflow, CronWorkflowSpec, CronWorkflowStatus, LabelsFrom, Meta,
    MetadataPart, PodGc, TtlStrategy, Workflow, WorkflowMetadata, WorkflowSpec, WorkflowTemplate,
    WorkflowTemplateRef,
};
pub use semantics::{TemplateSource, Wrong, check_workflow, check_workflow_template};
pub use shape::{Kind, ShapeFinding, check_shape};
pub use status::{
    Condition, MemoizationStatus, NodeFlag, NodePhase, NodeStatus, NodeType, WorkflowPhase, WorkflowStatus,
};
pub use template::{
    Backoff, ContainerSet, ContinueOn, Dag, DagTask, Hook, Memoize, Resource, RetryStrategy, Script,
    Sequence, Step, Steps, Suspend, Template, TemplateRef,
};

/// The group and version of all kinds here.
pub const API_VERSION: &str = "argoproj.io/v1alpha1";

/// Label on pods and created objects: the workflow's name.
pub const LABEL_WORKFLOW: &str = "workflows.argoproj.io/workflow";
/// Label on workflows and pods: `"true"` when nothing more will happen.
pub const LABEL_COMPLETED: &str = "workflows.argoproj.io/completed";
/// Label on workflows: the phase.
pub const LABEL_PHASE: &str = "workflows.argoproj.io/phase";
/// Label on workflows that a CronWorkflow made: its name.
pub const LABEL_CRON: &str = "workflows.argoproj.io/cron-workflow";
/// Label on workflows that came from a WorkflowTemplate: its name.
pub const LABEL_TEMPLATE: &str = "workflows.argoproj.io/workflow-template";
/// Annotation on pods: the node's id.
pub const ANNOTATION_NODE_ID: &str = "workflows.argoproj.io/node-id";
/// Annotation on pods: the node's name.
pub const ANNOTATION_NODE_NAME: &str = "workflows.argoproj.io/node-name";
/// Annotation on workflows of a CronWorkflow: the moment it was due.
pub const ANNOTATION_SCHEDULED: &str = "workflows.argoproj.io/scheduled-time";
