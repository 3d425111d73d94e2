//! Templates: what a step or task runs.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::io::{Arguments, Inputs, Outputs};
use crate::objects::MetadataPart;

/// One template of a workflow. Exactly one of its kinds is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Template {
    /// Its name; empty for an inline one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it needs.
    #[serde(skip_serializing_if = "Inputs::is_empty")]
    pub inputs: Inputs,
    /// What it gives.
    #[serde(skip_serializing_if = "Outputs::is_empty")]
    pub outputs: Outputs,
    /// Groups of steps, one group after another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<Steps>>,
    /// A graph of tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dag: Option<Dag>,
    /// A container (core/v1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Map<String, Value>>,
    /// Several containers in one pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_set: Option<ContainerSet>,
    /// A container with the source of its program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// Something done to a Kubernetes object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    /// A wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<Suspend>,
    /// Reads artifacts (not run on one machine).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// An HTTP call (not run on one machine).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Value>,
    /// An executor plugin (not run on one machine).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Value>,
    /// Labels and annotations of the pod.
    #[serde(skip_serializing_if = "MetadataPart::is_empty")]
    pub metadata: MetadataPart,
    /// Whether the container serves while others run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon: Option<bool>,
    /// When a failure is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<RetryStrategy>,
    /// How many children run at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i64>,
    /// Whether the first failure ends the template (with `parallelism`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_fast: Option<bool>,
    /// The time a pod may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<Value>,
    /// The time from the making of the node to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// A cache of outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memoize: Option<Memoize>,
    /// Locks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synchronization: Option<Value>,
    /// A patch of the pod's spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_spec_patch: Option<String>,
    /// The account of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Volumes of the pod.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Value>,
    /// Containers that run before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<Map<String, Value>>,
    /// Containers that run beside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sidecars: Vec<Map<String, Value>>,
    /// Annotations of the node.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
    /// Other fields, such as nodeSelector, affinity, tolerations, securityContext.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Template {
    /// Whether the template is one pod.
    pub fn is_pod(&self) -> bool {
        self.container.is_some()
            || self.script.is_some()
            || self.container_set.is_some()
            || self.resource.is_some()
            || self.data.is_some()
    }

    /// Whether the template has no children of its own.
    pub fn is_leaf(&self) -> bool {
        self.steps.is_none() && self.dag.is_none()
    }

    /// The kinds that are set, by their field names.
    pub fn kinds(&self) -> Vec<&'static str> {
        [
            ("container", self.container.is_some()),
            ("containerSet", self.container_set.is_some()),
            ("steps", self.steps.is_some()),
            ("script", self.script.is_some()),
            ("resource", self.resource.is_some()),
            ("dag", self.dag.is_some()),
            ("suspend", self.suspend.is_some()),
            ("data", self.data.is_some()),
            ("http", self.http.is_some()),
            ("plugin", self.plugin.is_some()),
        ]
        .into_iter()
        .filter_map(|(kind, set)| set.then_some(kind))
        .collect()
    }
}

/// One group of steps that run side by side; written as a bare list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Steps(pub Vec<Step>);

/// A step of a steps template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Step {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The template it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// A template written in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<Box<Template>>,
    /// A template of another object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
    /// What it hands over.
    #[serde(skip_serializing_if = "Arguments::is_empty")]
    pub arguments: Arguments,
    /// Run once for each of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub with_items: Vec<Value>,
    /// Run once for each item of this JSON list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_param: Option<String>,
    /// Run once for each number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_sequence: Option<Sequence>,
    /// The condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Whether the workflow goes on after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continue_on: Option<ContinueOn>,
    /// A template run afterwards (old form of the `exit` hook).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_exit: Option<String>,
    /// Templates run at moments of its life.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub hooks: IndexMap<String, Hook>,
}

/// A task of a DAG.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DagTask {
    /// What it has in common with a step.
    #[serde(flatten)]
    pub step: Step,
    /// The tasks that must have ended well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// The same as an expression over tasks' results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depends: Option<String>,
}

impl Step {
    /// Whether it becomes several.
    pub fn expands(&self) -> bool {
        !self.with_items.is_empty() || self.with_param.is_some() || self.with_sequence.is_some()
    }

    /// The hook that runs when it has ended.
    pub fn exit_hook(&self) -> Option<Hook> {
        let old =
            || self.on_exit.clone().map(|template| Hook { template: Some(template), ..Hook::default() });
        self.hooks.get("exit").cloned().or_else(old)
    }
}

/// Another object's template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateRef {
    /// The object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The template in it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub template: String,
    /// Whether the object is a ClusterWorkflowTemplate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cluster_scope: bool,
}

/// A graph of tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Dag {
    /// The tasks to reach, separated by spaces; all leaves when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The tasks.
    pub tasks: Vec<DagTask>,
    /// Whether the first failed branch decides (default true).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_fast: Option<bool>,
}

/// What failures a step or task lets pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContinueOn {
    /// Errors.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub error: bool,
    /// Failures.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// A template run at a moment of a step's, task's or workflow's life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hook {
    /// The template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What is handed over.
    #[serde(skip_serializing_if = "Arguments::is_empty")]
    pub arguments: Arguments,
    /// A template of another object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
    /// The condition; `exit` hooks need none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

/// A sequence of numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sequence {
    /// How many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<Value>,
    /// The first (default 0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Value>,
    /// The last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Value>,
    /// How each is printed, such as `%03d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// When a failure is tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryStrategy {
    /// How often; without a limit, for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Value>,
    /// Always, OnFailure (default), OnError or OnTransientError; with an expression the default is Always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<String>,
    /// The wait between attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// Where attempts may run (no meaning on one machine).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Value>,
    /// Whether the last attempt is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

/// The wait between attempts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Backoff {
    /// The first wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// What it is multiplied with each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<Value>,
    /// The end of all attempts, from the first one's start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<String>,
    /// The longest wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<String>,
}

/// A container with its program's source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Script {
    /// The program.
    pub source: String,
    /// The container.
    #[serde(flatten)]
    pub container: Map<String, Value>,
}

/// Several containers of one pod, in an order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerSet {
    /// The containers, each with `dependencies`.
    pub containers: Vec<Map<String, Value>>,
    /// Mounts of all containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<Value>,
    /// Retries within the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<Value>,
}

/// Something done to a Kubernetes object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    /// get, create, apply, delete, replace or patch.
    pub action: String,
    /// strategic (default), merge or json, for `patch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_strategy: Option<String>,
    /// The object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The object, from an artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_from: Option<Value>,
    /// Whether the workflow owns the object.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub set_owner_reference: bool,
    /// When the step has ended well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_condition: Option<String>,
    /// When the step has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_condition: Option<String>,
    /// More flags of kubectl.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

/// A wait, until told or for a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Suspend {
    /// The time; bare numbers are seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

/// A cache of outputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memoize {
    /// The entry's key.
    pub key: String,
    /// Where entries are kept: `configMap: {name}`.
    pub cache: Value,
    /// How old an entry may be.
    pub max_age: String,
}
