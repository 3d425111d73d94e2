//! Nodes that people change by hand: waits that are given values, let go on, or ended.

use std::collections::BTreeMap;

use galley_argo_workflows::{NodePhase, NodeType};
use galley_problem::{Kind, Problem};
use galley_workflow::NodeSelector;
use kube::Client;
use kube::api::PostParams;

use crate::Error;
use crate::api::{argo, as_workflow, within};
use crate::door::{TRIES, find, refuse_ended};
use crate::error::code_of;

/// What is changed of nodes that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeChange {
    /// Values of output parameters that a person supplies.
    pub outputs: BTreeMap<String, String>,
    /// `Succeeded`, `Failed`, `Error` or `Skipped`: how they end. They go on waiting without.
    pub phase: Option<NodePhase>,
    /// Why.
    pub message: Option<String>,
}

/// Changes the suspended nodes that `nodes` chooses; gives their names.
///
/// # Errors
/// When there is no such workflow, when it has ended, when nothing that waits is chosen, or when a node that is to
/// end well lacks a value.
pub async fn change_nodes(
    client: &Client,
    namespace: &str,
    name: &str,
    nodes: &NodeSelector,
    change: &NodeChange,
) -> Result<Vec<String>, Problem> {
    let workflows = within(client, namespace, &argo("Workflow"));
    for _ in 0..TRIES {
        let mut object = find(client, namespace, name).await?;
        let workflow = as_workflow(&object)?;
        refuse_ended(&workflow)?;
        let mut status = workflow.status.unwrap_or_default();
        let mut changed = Vec::new();
        for node in status.nodes.values_mut() {
            if node.kind != NodeType::Suspend || node.phase != NodePhase::Running || !nodes.matches(node) {
                continue;
            }
            apply(node, change)?;
            changed.push(node.name.clone());
        }
        if changed.is_empty() {
            let what = format!("No node of workflow `{name}` that waits is chosen.");
            return Err(Problem::new("G0512", Kind::Conflict, what));
        }
        object.data["status"] = serde_json::to_value(&status)
            .map_err(|source| Error::Form { what: "the status".to_owned(), source })?;
        match workflows.replace_status(name, &PostParams::default(), &object).await {
            Ok(_) => return Ok(changed),
            // The controller wrote in between.
            Err(error) if code_of(&error) == Some(409) => {}
            Err(error) => return Err(Error::api("changing nodes of the workflow")(error).into()),
        }
    }
    Err(Problem::new("G0509", Kind::Conflict, format!("Workflow `{name}` changes too fast."))
        .try_this("Try again."))
}

fn apply(node: &mut galley_argo_workflows::NodeStatus, change: &NodeChange) -> Result<(), Problem> {
    let refuse = |what: String| Problem::new("G0512", Kind::Conflict, what);
    for (name, value) in &change.outputs {
        let found = node
            .outputs
            .iter_mut()
            .flat_map(|outputs| &mut outputs.parameters)
            .find(|parameter| parameter.name == *name);
        let parameter = found
            .ok_or_else(|| refuse(format!("`{}` has no output parameter `{name}`.", node.display_name)))?;
        parameter.value = Some(value.as_str().into());
    }
    if let Some(message) = &change.message {
        node.message.clone_from(message);
    }
    let Some(phase) = change.phase else { return Ok(()) };
    if phase == NodePhase::Succeeded {
        for parameter in node.outputs.iter_mut().flat_map(|outputs| &mut outputs.parameters) {
            if parameter.value.is_none() {
                let default = parameter.value_from.as_ref().and_then(|from| from.default.clone());
                let what = format!("`{}` waits for the value of `{}`.", node.display_name, parameter.name);
                parameter.value = Some(default.ok_or_else(|| {
                    refuse(what).try_this("Supply it, or give the parameter a default in the template.")
                })?);
            }
        }
    }
    if !phase.is_fulfilled() {
        return Err(refuse(format!("A node cannot be set to {}.", phase.as_str())));
    }
    node.phase = phase;
    Ok(())
}
