//! What the engine is told: pods, objects, ConfigMaps, templates.

use std::collections::BTreeMap;

use galley_argo_workflows::{
    ANNOTATION_NODE_ID, Artifact, LABEL_COMPLETED, Parameter, TemplateSource, WorkflowSpec,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::manifest::{ANNOTATION_COLLECTED, ANNOTATION_OUTPUTS};

/// Everything seen at a moment. All of it belongs to the workflow's namespace.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// The pods of the workflow.
    pub pods: Vec<PodSeen>,
    /// What came of requests for objects.
    pub resources: Vec<ResourceSeen>,
    /// Pods that the API server refused to make: node id and its words. Only final refusals.
    pub refused: BTreeMap<String, String>,
    /// ConfigMaps with the label `workflows.argoproj.io/configmap-type: Parameter`: name, then key and value.
    pub parameters: BTreeMap<String, BTreeMap<String, String>>,
    /// Caches: ConfigMap name, then key and entry.
    pub caches: BTreeMap<String, BTreeMap<String, String>>,
    /// Answers to HTTP requests.
    pub http: Vec<HttpSeen>,
    /// Locks by name, as others stand to them. A mutex that is not here is free; a semaphore that is not here has no
    /// size and cannot be taken.
    pub locks: BTreeMap<String, LockSeen>,
    /// What the runtime of the pods can do.
    pub abilities: Abilities,
}

/// What the runtime of the pods can do beyond running containers. What it cannot do is refused with a reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// It fetches and keeps artifacts (annotation `runtime.galley.dev/artifacts`).
    pub artifacts: bool,
    /// It keeps the order of containers (annotation `runtime.galley.dev/container-dependencies`).
    pub container_order: bool,
    /// It ends a pod's sidecars when the main container has ended (annotation `runtime.galley.dev/ends-with`). Without
    /// it such pods are deleted, and their logs with them.
    pub sidecars: bool,
}

/// A lock as other runs stand to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockSeen {
    /// How many may hold it.
    pub limit: i64,
    /// How many holders of other runs it has.
    pub others: usize,
    /// How many of other runs wait for it since before this run.
    pub ahead: usize,
}

/// What came of an HTTP request.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSeen {
    /// The node that asked.
    pub node_id: String,
    /// The answer, or why there is none.
    pub result: Result<HttpAnswer, String>,
}

/// The answer to an HTTP request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
    /// The headers.
    pub headers: BTreeMap<String, Vec<String>>,
}

/// Templates of other objects.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    /// WorkflowTemplates of the namespace by name.
    pub namespaced: BTreeMap<String, WorkflowSpec>,
    /// ClusterWorkflowTemplates by name.
    pub cluster: BTreeMap<String, WorkflowSpec>,
}

impl TemplateSource for Templates {
    fn spec_of(&self, name: &str, cluster: bool) -> Option<&WorkflowSpec> {
        if cluster { self.cluster.get(name) } else { self.namespaced.get(name) }
    }
}

/// The phase of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodPhase {
    /// Not all containers run yet.
    #[default]
    Pending,
    /// Containers run.
    Running,
    /// All ended well.
    Succeeded,
    /// One ended badly.
    Failed,
}

/// A pod as it was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodSeen {
    /// The pod's name.
    pub name: String,
    /// The node it belongs to.
    pub node_id: String,
    /// Its phase.
    pub phase: PodPhase,
    /// `status.message`.
    pub message: String,
    /// The machine it runs on.
    pub host: String,
    /// Its address.
    pub ip: String,
    /// Labels that templates gave it; those of the engine are left out.
    pub labels: BTreeMap<String, String>,
    /// Whether its label says that the engine is done with it.
    pub completed: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its containers, init containers first.
    pub containers: Vec<ContainerSeen>,
    /// Files and output of the main container, once it has ended.
    pub collected: Option<Collected>,
    /// What the node wants of it; written into the pod when it was made.
    pub(crate) wanted: Wanted,
}

/// A container as it was seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerSeen {
    /// Its name.
    pub name: String,
    /// Whether it is an init container.
    pub init: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// Its state.
    pub state: ContainerState,
}

/// The state of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ContainerState {
    /// Nothing is known.
    #[default]
    Unknown,
    /// It waits to begin.
    Waiting {
        /// Why, one word.
        reason: String,
        /// Why, in words.
        message: String,
    },
    /// It runs.
    Running,
    /// It has ended.
    Terminated {
        /// Its exit code.
        exit_code: i64,
        /// Why, one word.
        reason: String,
        /// Why, in words.
        message: String,
        /// When.
        finished_at: Option<Timestamp>,
    },
}

/// What was kept of a container that has ended: the annotation `runtime.galley.dev/collected`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Collected {
    /// Files by path.
    pub files: BTreeMap<String, String>,
    /// Files that were not there.
    pub missing: Vec<String>,
    /// Standard output.
    pub stdout: Option<String>,
    /// Output artifacts that were kept, by name; `None` from a runtime that keeps none.
    pub artifacts: Option<Vec<String>>,
    /// Why an output artifact could not be kept, by name. One that was just not there is in neither.
    pub artifact_errors: BTreeMap<String, String>,
}

/// What a node wants of its pod: kept in the pod, so that it can be read back without the template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Wanted {
    pub(crate) parameters: Vec<Parameter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) artifacts: Vec<Artifact>,
    /// Whether the pod is a set of containers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) set: bool,
    pub(crate) result: bool,
    pub(crate) daemon: bool,
}

/// What came of a request for an object.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceSeen {
    /// The node that asked.
    pub node_id: String,
    /// The object as it is now (`Null` when it was removed), or why the request failed.
    pub result: Result<Value, String>,
}

impl PodSeen {
    /// Reads a pod object; `None` when it carries no node id.
    pub fn from_pod(pod: &Value) -> Option<Self> {
        let meta = &pod["metadata"];
        let annotation = |name: &str| meta["annotations"][name].as_str();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let status = &pod["status"];
        let containers = |list: &str, init: bool| {
            let items = status[list].as_array().cloned().unwrap_or_default();
            items.into_iter().map(move |item| container(&item, init)).collect::<Vec<_>>()
        };
        let mut all = containers("initContainerStatuses", true);
        all.extend(containers("containerStatuses", false));
        Some(PodSeen {
            name: text(&meta["name"]),
            node_id: annotation(ANNOTATION_NODE_ID)?.to_owned(),
            phase: match status["phase"].as_str() {
                Some("Running") => PodPhase::Running,
                Some("Succeeded") => PodPhase::Succeeded,
                Some("Failed") => PodPhase::Failed,
                _ => PodPhase::Pending,
            },
            message: text(&status["message"]),
            host: text(&pod["spec"]["nodeName"]),
            ip: text(&status["podIP"]),
            labels: labels_of(&meta["labels"]),
            completed: meta["labels"][LABEL_COMPLETED] == "true",
            deleting: meta["deletionTimestamp"].is_string(),
            containers: all,
            collected: annotation(ANNOTATION_COLLECTED).and_then(|text| serde_json::from_str(text).ok()),
            wanted: annotation(ANNOTATION_OUTPUTS)
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
        })
    }
}

fn labels_of(labels: &Value) -> BTreeMap<String, String> {
    let own = labels.as_object().into_iter().flatten();
    own.filter(|(name, _)| !name.starts_with("workflows.argoproj.io/"))
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn container(item: &Value, init: bool) -> ContainerSeen {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let state = &item["state"];
    let state = if let Some(ended) = state.get("terminated").filter(|value| value.is_object()) {
        ContainerState::Terminated {
            exit_code: ended["exitCode"].as_i64().unwrap_or(0),
            reason: text(&ended["reason"]),
            message: text(&ended["message"]),
            finished_at: ended["finishedAt"].as_str().and_then(|text| text.parse().ok()),
        }
    } else if state.get("running").is_some_and(Value::is_object) {
        ContainerState::Running
    } else if let Some(waiting) = state.get("waiting").filter(|value| value.is_object()) {
        ContainerState::Waiting { reason: text(&waiting["reason"]), message: text(&waiting["message"]) }
    } else {
        ContainerState::Unknown
    };
    ContainerSeen { name: text(&item["name"]), init, ready: item["ready"] == true, state }
}
