//! The status of a run, in Argo's JSON shape.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::io::{Inputs, Outputs};
use crate::objects::WorkflowSpec;
use crate::template::{Template, TemplateRef};

/// What has happened to a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkflowStatus {
    /// The phase; empty before the first look at it.
    #[serde(skip_serializing_if = "WorkflowPhase::is_unknown")]
    pub phase: WorkflowPhase,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Done and all, such as `3/4`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub progress: String,
    /// Why it is in this phase.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The nodes by id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, NodeStatus>,
    /// Templates of other objects, as they were when the run first used them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stored_templates: BTreeMap<String, Template>,
    /// The spec of the run's WorkflowTemplate merged with its own, as it was at the start.
    #[serde(rename = "storedWorkflowTemplateSpec", skip_serializing_if = "Option::is_none")]
    pub stored_spec: Option<Box<WorkflowSpec>>,
    /// Claims that were made, as volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub persistent_volume_claims: Vec<Value>,
    /// Global outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
    /// Completed, PodRunning and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Locks that are held and waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synchronization: Option<Box<crate::locks::LockStatus>>,
    /// Fields this program does not know.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A condition of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The phase of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WorkflowPhase {
    /// Not looked at yet.
    #[default]
    #[serde(rename = "")]
    Unknown,
    /// Waits for something it needs.
    Pending,
    /// Under way.
    Running,
    /// Ended well.
    Succeeded,
    /// Something in it failed.
    Failed,
    /// It could not be run.
    Error,
}

impl WorkflowPhase {
    /// Whether it has ended.
    pub fn is_done(self) -> bool {
        matches!(self, WorkflowPhase::Succeeded | WorkflowPhase::Failed | WorkflowPhase::Error)
    }

    /// Whether nothing is known yet.
    pub fn is_unknown(&self) -> bool {
        *self == WorkflowPhase::Unknown
    }

    /// The word in the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkflowPhase::Unknown => "",
            WorkflowPhase::Pending => "Pending",
            WorkflowPhase::Running => "Running",
            WorkflowPhase::Succeeded => "Succeeded",
            WorkflowPhase::Failed => "Failed",
            WorkflowPhase::Error => "Error",
        }
    }
}

/// The phase of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NodePhase {
    /// Waits to begin.
    #[default]
    Pending,
    /// Under way.
    Running,
    /// Ended well.
    Succeeded,
    /// Its condition was false.
    Skipped,
    /// Ended badly.
    Failed,
    /// Could not be run.
    Error,
    /// Left out because of how others ended.
    Omitted,
}

impl NodePhase {
    /// Whether nothing more will happen to it.
    pub fn is_fulfilled(self) -> bool {
        !matches!(self, NodePhase::Pending | NodePhase::Running)
    }

    /// Whether it ran to an end.
    pub fn is_completed(self) -> bool {
        matches!(self, NodePhase::Succeeded | NodePhase::Failed | NodePhase::Error)
    }

    /// Whether it ended badly.
    pub fn is_bad(self) -> bool {
        matches!(self, NodePhase::Failed | NodePhase::Error)
    }

    /// The word in the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            NodePhase::Pending => "Pending",
            NodePhase::Running => "Running",
            NodePhase::Succeeded => "Succeeded",
            NodePhase::Skipped => "Skipped",
            NodePhase::Failed => "Failed",
            NodePhase::Error => "Error",
            NodePhase::Omitted => "Omitted",
        }
    }
}

/// What a node stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NodeType {
    /// A pod, or something done to an object.
    #[default]
    Pod,
    /// A container of a set.
    Container,
    /// A steps template.
    Steps,
    /// A group of steps.
    StepGroup,
    /// A DAG.
    #[serde(rename = "DAG")]
    Dag,
    /// A task that became several.
    TaskGroup,
    /// The parent of attempts.
    Retry,
    /// Something that did not run.
    Skipped,
    /// A wait.
    Suspend,
    /// An HTTP call.
    #[serde(rename = "HTTP")]
    Http,
    /// A plugin.
    Plugin,
}

/// How a node came to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFlag {
    /// By a hook.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hooked: bool,
    /// As an attempt of a retry.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retried: bool,
}

/// One node of the tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// The id: the workflow's name, with the FNV-1a hash of the node's name behind it for all but the root.
    pub id: String,
    /// The full name.
    pub name: String,
    /// The name within its parent.
    pub display_name: String,
    /// What it stands for.
    #[serde(rename = "type")]
    pub kind: NodeType,
    /// The template it runs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub template_name: String,
    /// The template of another object it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
    /// Where names of templates are looked up: `local/NAME`, `namespaced/NAME` or `cluster/NAME`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub template_scope: String,
    /// The phase.
    pub phase: NodePhase,
    /// The steps or DAG node it belongs to.
    #[serde(rename = "boundaryID", skip_serializing_if = "String::is_empty")]
    pub boundary_id: String,
    /// Why it is in this phase.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it was made.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Done and all, such as `0/1`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub progress: String,
    /// The address of a daemon.
    #[serde(rename = "podIP", skip_serializing_if = "String::is_empty")]
    pub pod_ip: String,
    /// Whether it serves while others run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemoned: Option<bool>,
    /// How it came to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_flag: Option<NodeFlag>,
    /// What was handed to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
    /// What it gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
    /// The nodes that come after it, by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
    /// The nodes at its end, by id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outbound_nodes: Vec<String>,
    /// The machine it ran on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_node_name: String,
    /// What the cache said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memoization_status: Option<MemoizationStatus>,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synchronization_status: Option<crate::locks::NodeLockStatus>,
    /// Fields this program does not know.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What the cache said of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MemoizationStatus {
    /// Whether it knew the key.
    pub hit: bool,
    /// The key.
    pub key: String,
    /// The cache.
    pub cache_name: String,
}

impl NodeStatus {
    /// Whether it has no nodes of its own below it.
    pub fn is_leaf_kind(&self) -> bool {
        !matches!(
            self.kind,
            NodeType::Steps | NodeType::Dag | NodeType::StepGroup | NodeType::TaskGroup | NodeType::Retry
        )
    }

    /// Whether what comes after it may begin: it has ended, or it is a daemon that serves.
    pub fn is_fulfilled(&self) -> bool {
        self.phase.is_fulfilled() || (self.daemoned == Some(true) && self.phase != NodePhase::Pending)
    }
}
