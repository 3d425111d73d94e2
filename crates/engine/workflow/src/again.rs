//! Doing a run again: the whole as a new run, or only what failed in the same run; and choosing nodes.
//!
//! Everything here is pure: it takes a workflow that was read and gives one to write. A run that goes on uses the
//! names of its pods again, so the pods named in [`Retried::pods`] must be gone before it is written.

use std::collections::{BTreeMap, HashSet, VecDeque};

use galley_argo_workflows::{
    LABEL_COMPLETED, LABEL_PHASE, NodePhase, NodeStatus, NodeType, Workflow, WorkflowPhase, WorkflowStatus,
};
use jiff::Timestamp;

use crate::manifest::pod_name;
use crate::run::node_id;

/// Label on a run that was submitted again: the name of the run before.
pub const LABEL_PREVIOUS: &str = "workflows.argoproj.io/resubmitted-from-workflow";

/// What to do again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOptions {
    /// Parameters with other values than before.
    pub parameters: BTreeMap<String, String>,
    /// Whether nodes that ended well are done again too, those that `nodes` chooses.
    pub restart_successful: bool,
    /// Which nodes: see [`NodeSelector`].
    pub nodes: Option<NodeSelector>,
}

/// A run that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Retried {
    /// The run with the nodes that stay.
    pub workflow: Workflow,
    /// The pods of nodes that do not; they must be gone first.
    pub pods: Vec<String>,
}

/// A choice of nodes: `displayName=a,phase!=Failed`; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSelector(Vec<(String, bool, String)>);

impl NodeSelector {
    /// Reads a selector. Fields are `name`, `displayName`, `templateName`, `phase`, `id`, `type`,
    /// `templateRef.name`, `templateRef.template`, `inputs.parameters.NAME.value`.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (field, equal, value) = match (part.split_once("!="), part.split_once('=')) {
                (Some((field, value)), _) => (field, false, value),
                (None, Some((field, value))) => (field, true, value.trim_start_matches('=')),
                (None, None) => return Err(format!("`{part}` is no choice of nodes: write `field=value`")),
            };
            let field = field.trim();
            let known = ["name", "displayName", "templateName", "phase", "id", "type"].contains(&field)
                || field.starts_with("templateRef.")
                || field.starts_with("inputs.parameters.");
            if !known {
                return Err(format!("nodes have no field `{field}`"));
            }
            all.push((field.to_owned(), equal, value.trim().to_owned()));
        }
        if all.is_empty() {
            return Err("the choice of nodes is empty".to_owned());
        }
        Ok(NodeSelector(all))
    }

    /// Whether a node is chosen.
    pub fn matches(&self, node: &NodeStatus) -> bool {
        self.0
            .iter()
            .all(|(field, equal, wanted)| (field_of(node, field).as_deref() == Some(wanted)) == *equal)
    }
}

fn field_of(node: &NodeStatus, field: &str) -> Option<String> {
    Some(match field {
        "name" => node.name.clone(),
        "displayName" => node.display_name.clone(),
        "templateName" => node.template_name.clone(),
        "phase" => node.phase.as_str().to_owned(),
        "id" => node.id.clone(),
        "type" => serde_json::to_value(node.kind).ok()?.as_str()?.to_owned(),
        "templateRef.name" => node.template_ref.as_ref()?.name.clone(),
        "templateRef.template" => node.template_ref.as_ref()?.template.clone(),
        other => {
            let name = other.strip_prefix("inputs.parameters.")?.trim_end_matches(".value");
            node.inputs.as_ref()?.parameter(name)?.value.as_ref()?.as_str().to_owned()
        }
    })
}

/// Lets a run that has ended go on: nodes that failed and everything after them are forgotten, what holds them runs
/// again, everything else stays.
///
/// # Errors
/// When the run has not ended badly (or, with `restart_successful`, nothing is chosen), or a parameter does not exist.
pub fn retry(workflow: &Workflow, options: &RetryOptions, now: Timestamp) -> Result<Retried, String> {
    let status = workflow.status.clone().unwrap_or_default();
    match status.phase {
        WorkflowPhase::Failed | WorkflowPhase::Error => {}
        WorkflowPhase::Succeeded if options.restart_successful && options.nodes.is_some() => {}
        WorkflowPhase::Succeeded => {
            return Err(
                "To retry a succeeded workflow, set the options restartSuccessful and nodeFieldSelector"
                    .to_owned(),
            );
        }
        phase => return Err(format!("Cannot retry a workflow in phase {}", phase.as_str())),
    }
    let mut again = workflow.clone();
    override_parameters(&mut again, &options.parameters)?;
    let gone = forgotten(&workflow.metadata.name, &status, options)?;
    let pods = gone
        .iter()
        .filter_map(|id| status.nodes.get(id))
        .filter(|node| node.kind == NodeType::Pod)
        .map(|node| pod_of(&workflow.metadata.name, node))
        .collect();
    again.status = Some(without(status, &gone, now));
    again.spec.shutdown = None;
    again.metadata.labels.insert(LABEL_COMPLETED.to_owned(), "false".to_owned());
    again.metadata.labels.insert(LABEL_PHASE.to_owned(), "Running".to_owned());
    Ok(Retried { workflow: again, pods })
}

fn pod_of(workflow: &str, node: &NodeStatus) -> String {
    let template = node.template_ref.as_ref().map_or(&node.template_name, |reference| &reference.template);
    let plain = pod_name(workflow, &node.name, template);
    let suffix = node.id.strip_prefix(&node_id(workflow, &node.name)).unwrap_or_default();
    format!("{plain}{suffix}")
}

fn override_parameters(workflow: &mut Workflow, given: &BTreeMap<String, String>) -> Result<(), String> {
    if given.is_empty() {
        return Ok(());
    }
    let mut kept = workflow.status.as_mut().and_then(|status| status.stored_spec.as_deref_mut());
    for (name, value) in given {
        let own = &mut workflow.spec.arguments.parameters;
        let stored = kept.iter_mut().flat_map(|spec| &mut spec.arguments.parameters);
        let mut met = false;
        for parameter in own.iter_mut().chain(stored).filter(|parameter| parameter.name == *name) {
            parameter.value = Some(value.as_str().into());
            parameter.value_from = None;
            met = true;
        }
        if !met {
            return Err(format!("the workflow has no parameter `{name}`"));
        }
    }
    Ok(())
}

/// The ids of the nodes that are forgotten.
fn forgotten(root: &str, status: &WorkflowStatus, options: &RetryOptions) -> Result<HashSet<String>, String> {
    let on_exit = format!("{root}.onExit");
    let chosen = |node: &NodeStatus| options.nodes.as_ref().is_some_and(|nodes| nodes.matches(node));
    let is_work = |node: &NodeStatus| {
        matches!(
            node.kind,
            NodeType::Pod | NodeType::Container | NodeType::Http | NodeType::Plugin | NodeType::Suspend
        ) || node.kind == NodeType::Skipped
    };
    let mut begin: Vec<&NodeStatus> = status
        .nodes
        .values()
        .filter(|node| {
            let failed = node.phase.is_bad() && is_work(node) && !went_on(status, node);
            failed || (options.restart_successful && chosen(node))
        })
        .collect();
    if options.restart_successful && options.nodes.is_some() && !status.nodes.values().any(chosen) {
        return Err("no node is chosen".to_owned());
    }
    begin.extend(status.nodes.values().filter(|node| node.name.starts_with(&on_exit)));
    let mut gone: HashSet<String> = begin.iter().map(|node| node.id.clone()).collect();
    let mut ahead: VecDeque<&NodeStatus> = begin.into();
    while let Some(node) = ahead.pop_front() {
        let inside =
            status.nodes.values().filter(|other| !node.is_leaf_kind() && other.boundary_id == node.id);
        let after = node.children.iter().filter_map(|id| status.nodes.get(id));
        for next in after.chain(inside) {
            if gone.insert(next.id.clone()) {
                ahead.push_back(next);
            }
        }
    }
    // A pod whose container is forgotten is forgotten whole.
    let pods: Vec<String> = gone
        .iter()
        .filter_map(|id| status.nodes.get(id))
        .filter(|node| node.kind == NodeType::Container)
        .map(|node| node.boundary_id.clone())
        .collect();
    gone.extend(pods);
    // The root stays, unless the run is nothing but one pod.
    if status.nodes.get(root).is_some_and(|node| node.kind != NodeType::Pod) {
        gone.remove(root);
    }
    Ok(gone)
}

/// Whether the run went on after a failure, and well: then the failure stays.
fn went_on(status: &WorkflowStatus, node: &NodeStatus) -> bool {
    let parent = node
        .node_flag
        .filter(|flag| flag.retried)
        .and_then(|_| status.nodes.values().find(|other| other.children.contains(&node.id)));
    let mut seen = HashSet::new();
    let mut ahead: Vec<&str> = parent.unwrap_or(node).children.iter().map(String::as_str).collect();
    while let Some(id) = ahead.pop() {
        let Some(next) = status.nodes.get(id).filter(|_| seen.insert(id)) else { continue };
        if next.phase == NodePhase::Succeeded && next.is_leaf_kind() {
            return true;
        }
        ahead.extend(next.children.iter().map(String::as_str));
    }
    false
}

/// The status without some nodes; what holds them runs again.
fn without(mut status: WorkflowStatus, gone: &HashSet<String>, now: Timestamp) -> WorkflowStatus {
    let lost: Vec<String> =
        gone.iter().filter_map(|id| status.nodes.get(id)).map(|node| node.name.clone()).collect();
    status.nodes.retain(|id, _| !gone.contains(id));
    let holds = |name: &str| {
        lost.iter()
            .any(|other| other.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '[', '('])))
    };
    for node in status.nodes.values_mut() {
        node.children.retain(|id| !gone.contains(id));
        node.outbound_nodes.retain(|id| !gone.contains(id));
        if !node.is_leaf_kind() && holds(&node.name) {
            node.phase = NodePhase::Running;
            node.message.clear();
            node.outputs = None;
            node.outbound_nodes.clear();
            node.started_at = Some(now);
            node.finished_at = None;
        }
    }
    status.phase = WorkflowPhase::Running;
    status.message.clear();
    status.started_at = Some(now);
    status.finished_at = None;
    status.persistent_volume_claims.clear();
    status.synchronization = None;
    for condition in status.conditions.iter_mut().filter(|condition| condition.kind == "Completed") {
        "False".clone_into(&mut condition.status);
    }
    status
}

/// A new run of the same spec. With `memoized` (the run before must have ended badly), what ended well there is not
/// run again: the status is that of the run before, under the new `name`.
///
/// # Errors
/// When the run before does not allow it, or a parameter does not exist.
pub fn resubmit(
    workflow: &Workflow,
    name: &str,
    memoized: bool,
    parameters: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Workflow, String> {
    let old = workflow.metadata.name.clone();
    let mut new = Workflow {
        api_version: workflow.api_version.clone(),
        kind: workflow.kind.clone(),
        spec: workflow.spec.clone(),
        ..Workflow::default()
    };
    new.metadata.name = name.to_owned();
    new.metadata.namespace.clone_from(&workflow.metadata.namespace);
    new.metadata.annotations = workflow.metadata.annotations.clone();
    new.metadata.labels = workflow.metadata.labels.clone();
    new.metadata.labels.retain(|label, _| label != LABEL_COMPLETED && label != LABEL_PHASE);
    new.metadata.labels.insert(LABEL_PREVIOUS.to_owned(), old.clone());
    new.spec.shutdown = None;
    override_parameters(&mut new, parameters)?;
    if !memoized {
        return Ok(new);
    }
    let status = workflow.status.clone().unwrap_or_default();
    if !matches!(status.phase, WorkflowPhase::Failed | WorkflowPhase::Error) {
        return Err("workflow must be Failed/Error to resubmit in memoized mode".to_owned());
    }
    let gone = forgotten(&old, &status, &RetryOptions::default())?;
    let kept = without(status, &gone, now);
    let rename = |text: &str| match text.strip_prefix(&old) {
        Some(rest) => format!("{name}{rest}"),
        None => text.to_owned(),
    };
    let ids: BTreeMap<String, String> =
        kept.nodes.values().map(|node| (node.id.clone(), node_id(name, &rename(&node.name)))).collect();
    let id = |old: &String| ids.get(old).cloned().unwrap_or_default();
    let mut status = WorkflowStatus { nodes: BTreeMap::new(), ..kept.clone() };
    for mut node in kept.nodes.into_values() {
        if node.kind == NodeType::Pod && node.phase == NodePhase::Succeeded {
            node.message = format!("original pod: {}", pod_of(&old, &node));
            node.phase = NodePhase::Skipped;
            node.kind = NodeType::Skipped;
        }
        node.id = id(&node.id);
        node.name = rename(&node.name);
        node.boundary_id = id(&node.boundary_id);
        node.template_scope = node.template_scope.replace(&format!("local/{old}"), &format!("local/{name}"));
        node.children = node.children.iter().map(&id).collect();
        node.outbound_nodes = node.outbound_nodes.iter().map(&id).collect();
        status.nodes.insert(node.id.clone(), node);
    }
    new.status = Some(status);
    Ok(new)
}
