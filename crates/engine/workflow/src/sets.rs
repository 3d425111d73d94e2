//! Container sets: several containers of one pod in an order, each with a node of its own.
//!
//! The order is the runtime's to keep: the pod carries it in the annotation
//! `runtime.galley.dev/container-dependencies` (container name to the names it waits for).

use galley_argo_workflows::{ContainerSet, NodePhase, NodeType, Template};
use serde_json::{Map, Value, json};

use crate::run::{Holder, Opts, Run};
use crate::seen::{ContainerState, PodPhase, PodSeen};

/// The annotation with the order of containers.
pub(crate) const ANNOTATION_ORDER: &str = "runtime.galley.dev/container-dependencies";

fn name_of(container: &Map<String, Value>) -> &str {
    container.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn needs(container: &Map<String, Value>) -> Vec<&str> {
    let list = container.get("dependencies").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The containers as Kubernetes knows them, with the mounts of all.
pub(crate) fn containers_of(set: &ContainerSet) -> Vec<Map<String, Value>> {
    set.containers
        .iter()
        .map(|container| {
            let mut container = container.clone();
            container.remove("dependencies");
            if !set.volume_mounts.is_empty() {
                let own = container.entry("volumeMounts").or_insert_with(|| json!([]));
                if let Value::Array(own) = own {
                    own.extend(set.volume_mounts.iter().cloned());
                }
            }
            container
        })
        .collect()
}

/// The order as the runtime reads it; `None` when nothing waits.
pub(crate) fn order_of(set: &ContainerSet) -> Option<String> {
    let order: Map<String, Value> = set
        .containers
        .iter()
        .filter(|container| !needs(container).is_empty())
        .map(|container| (name_of(container).to_owned(), json!(needs(container))))
        .collect();
    (!order.is_empty()).then(|| Value::Object(order).to_string())
}

impl Run<'_> {
    /// Makes the nodes of a set's containers below its pod's node.
    pub(crate) fn init_set(&mut self, name: &str, template: &Template, holder: &Holder, scope: &str) {
        let Some(set) = &template.container_set else { return };
        let node = |container: &str| format!("{name}.{container}");
        let opts = Opts { boundary: self.id(name), ..Opts::default() };
        for container in &set.containers {
            let own = node(name_of(container));
            if self.node(&own).is_none() {
                self.init(&own, NodeType::Container, scope, holder, &opts, NodePhase::Pending, "");
            }
        }
        for container in &set.containers {
            let own = node(name_of(container));
            let before = needs(container);
            if before.is_empty() {
                self.add_child(name, &own);
            }
            for other in before {
                self.add_child(&node(other), &own);
            }
        }
    }

    /// Brings the nodes of a set's containers up to date with their pod.
    pub(crate) fn look_at_set(&mut self, pod: &PodSeen) {
        let Some(parent) = self.by_id(&pod.node_id) else { return };
        let (name, parent_phase) = (parent.name.clone(), parent.phase);
        let containers = pod.containers.iter().filter(|container| !container.init);
        for container in containers {
            let own = format!("{name}.{}", container.name);
            if self
                .node(&own)
                .is_none_or(|node| node.kind != NodeType::Container || node.phase.is_fulfilled())
            {
                continue;
            }
            match &container.state {
                ContainerState::Running => self.mark(&own, NodePhase::Running, None),
                ContainerState::Terminated { exit_code: 0, .. } => {
                    self.mark(&own, NodePhase::Succeeded, None);
                }
                ContainerState::Terminated { exit_code, reason, message, .. } => {
                    // 64 is the runtime's own: the container did not begin.
                    let phase = if *exit_code == 64 { NodePhase::Error } else { NodePhase::Failed };
                    let reason = if reason.is_empty() { "Error" } else { reason };
                    let why = format!("{}: {reason} (exit code {exit_code}): {message}", container.name);
                    self.mark(&own, phase, Some(&why));
                }
                _ => {}
            }
        }
        if parent_phase.is_fulfilled() {
            self.end_set(&pod.node_id, parent_phase, pod.phase == PodPhase::Succeeded);
        }
    }

    /// Nodes of containers do not outlive their pod's.
    pub(crate) fn end_set(&mut self, id: &str, phase: NodePhase, good: bool) {
        let left: Vec<String> = self
            .status
            .nodes
            .values()
            .filter(|node| {
                node.kind == NodeType::Container && node.boundary_id == id && !node.phase.is_fulfilled()
            })
            .map(|node| node.name.clone())
            .collect();
        let phase = if good { NodePhase::Succeeded } else { phase };
        for name in left {
            self.mark(&name, phase, (!good).then_some("container deleted"));
        }
    }
}
