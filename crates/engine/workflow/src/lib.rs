//! The workflow state machine: Argo Workflows on one machine, without a clock, processes or a network.
//!
//! [`Engine::step`] takes the moment and what was seen of pods and objects, moves the tree of nodes on and says what
//! to do next. Its whole memory is the workflow's status; what it asks for is a level, not an edge: a pod that should
//! exist and does not is asked for again at every step, under the same name. So whoever runs it writes the status
//! first and acts afterwards, and may die at any moment in between.
//!
//! Map: `engine` (one step from start to end), `run` (the tree of nodes), `template` (one template with its
//! arguments), `retry`, `steps`, `dag`, `items`, `hooks`, `scope` (what names mean), `pods` (from a pod to a node),
//! `manifest` and `artifacts` (from a template to a pod), `sets` (container sets), `resource`, `http`, `locks`,
//! `cache`; beside the engine `again` (retry, resubmit) and `drawing`. Names, ids, phases and messages are Argo's.

mod action;
mod again;
mod artifacts;
mod cache;
mod control;
mod dag;
mod drawing;
mod engine;
mod globals;
mod graph;
mod hooks;
mod http;
mod items;
mod locks;
mod manifest;
mod pods;
mod resource;
mod retry;
mod run;
mod scope;
mod seen;
mod select;
mod sets;
mod steps;
mod suspend;
mod template;
mod tidy;

pub use action::{Action, HeaderValue, HttpRequest, ResourceRequest, ResourceVerb};
pub use again::{LABEL_PREVIOUS, NodeSelector, Retried, RetryOptions, resubmit, retry};
pub use artifacts::ANNOTATION_ARTIFACTS;
pub use drawing::{mermaid, outline};
pub use engine::Engine;
pub use manifest::{ANNOTATION_COLLECTED, pod_name};
pub use run::node_id;
pub use seen::{
    Abilities, Collected, ContainerSeen, ContainerState, HttpAnswer, HttpSeen, LockSeen, Observations,
    PodPhase, PodSeen, ResourceSeen, Templates,
};
