//! Releases, gates, and the model's own file `galley.yaml`.
//!
//! A release is the journey of one candidate: which commit asked for it, which runs and images it made, which gates
//! judged it and which commits delivered it. [`Release`] is the Kubernetes object that records it; [`ModelFile`] is
//! `galley.yaml`, the part of the pipeline repository that says what to train and what to demand.

mod file;
mod release;

pub use file::{CanaryGates, Data, EvaluationGates, Gates, LoadGates, ModelFile, Training, parse_model_file};
pub use release::{
    Commit, Deployed, ENVIRONMENTS, Environment, Gate, Phase, Release, ReleaseSpec, ReleaseStatus, Verdict,
};

/// API group of Galley's own kinds.
pub const GROUP: &str = "galley.dev";
/// API version of Galley's own kinds.
pub const VERSION: &str = "v1alpha1";
/// Namespace of Releases and Workflows.
pub const PIPELINE_NAMESPACE: &str = "gourmetgram-pipeline";
/// Namespace of the platform's services and routes.
pub const PLATFORM_NAMESPACE: &str = "gourmetgram-platform";
/// Namespace of Argo CD Applications.
pub const APPLICATIONS_NAMESPACE: &str = "argocd";
