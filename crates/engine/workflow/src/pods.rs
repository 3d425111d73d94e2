//! From a pod to its node: phase, message, outputs.

use galley_argo_workflows::{NodePhase, NodeStatus, NodeType, Outputs, Template};

use crate::action::Action;
use crate::run::{Halt, Holder, Opts, Run};
use crate::seen::{ContainerSeen, ContainerState, PodPhase, PodSeen};

/// The most characters of a result.
const MAX_RESULT: usize = 256 * 1024;

impl Run<'_> {
    /// Brings every node whose pod was seen up to date.
    pub(crate) fn look_at_pods(&mut self) {
        let seen = self.seen;
        for pod in &seen.pods {
            let Some(node) = self.status.nodes.get(&pod.node_id) else { continue };
            if node.phase.is_fulfilled() {
                if ended(pod) && !pod.completed {
                    self.actions.push(Action::CompletePod { name: pod.name.clone() });
                }
                continue;
            }
            let mut node = node.clone();
            self.assess(pod, &mut node);
            let name = node.name.clone();
            let done = node.phase;
            let outputs = node.outputs.clone();
            self.changes += 1;
            self.status.nodes.insert(pod.node_id.clone(), node);
            if pod.wanted.set {
                self.look_at_set(pod);
            }
            if let Some(outputs) = outputs {
                self.add_global_outputs(&outputs);
            }
            if done == NodePhase::Succeeded {
                self.save_cache(&name);
            }
            if done.is_fulfilled() && !ended(pod) && !seen.abilities.sidecars {
                // Sidecars that would run for ever.
                self.actions.push(Action::DeletePod { name: pod.name.clone() });
            }
        }
    }

    fn assess(&self, pod: &PodSeen, node: &mut NodeStatus) {
        if !pod.host.is_empty() {
            node.host_node_name.clone_from(&pod.host);
        }
        let before = node.phase;
        match pod.phase {
            PodPhase::Pending => {
                node.message = pending_reason(pod);
                return;
            }
            PodPhase::Running => match main_ended(pod) {
                Some(0) if !pod.wanted.daemon => node.phase = NodePhase::Succeeded,
                Some(_) => (node.phase, node.message) = why_failed(pod),
                None => {
                    if before == NodePhase::Pending {
                        node.message.clear();
                    }
                    if pod.wanted.daemon
                        && !pod.containers.iter().all(|container| container.init || container.ready)
                    {
                        return;
                    }
                    node.phase = NodePhase::Running;
                    if pod.wanted.daemon {
                        node.daemoned = Some(true);
                        node.pod_ip.clone_from(&pod.ip);
                    }
                    return;
                }
            },
            PodPhase::Succeeded if pod.wanted.daemon => node.phase = NodePhase::Failed,
            PodPhase::Succeeded => {
                node.phase = NodePhase::Succeeded;
                node.message.clear();
            }
            PodPhase::Failed => (node.phase, node.message) = why_failed(pod),
        }
        if node.phase == NodePhase::Succeeded {
            node.message.clear();
        }
        node.daemoned = None;
        self.read_outputs(pod, node);
        if node.phase.is_fulfilled() && node.finished_at.is_none() {
            node.finished_at = Some(finished_at(pod).unwrap_or(self.now));
        }
    }

    fn read_outputs(&self, pod: &PodSeen, node: &mut NodeStatus) {
        let mut outputs = Outputs { parameters: pod.wanted.parameters.clone(), ..Outputs::default() };
        if let Some(code) = main(pod).and_then(exit_code) {
            outputs.exit_code = Some(code.to_string());
        }
        let collected = pod.collected.clone().unwrap_or_default();
        if pod.wanted.result
            && let Some(text) = &collected.stdout
        {
            let text = text.strip_suffix('\n').unwrap_or(text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            let start = text.len().saturating_sub(MAX_RESULT);
            outputs.result = Some(text[text.ceil_char_boundary(start)..].to_owned());
        }
        for parameter in &mut outputs.parameters {
            let Some(from) = &parameter.value_from else { continue };
            let path = from.path.as_deref().unwrap_or_default();
            if let Some(text) = collected.files.get(path) {
                parameter.value = Some(text.strip_suffix('\n').unwrap_or(text).into());
            } else if let Some(default) = &from.default {
                parameter.value = Some(default.clone());
            } else {
                if node.phase == NodePhase::Succeeded {
                    node.phase = NodePhase::Error;
                    node.message = format!(
                        "wait: Error (exit code 64): open /var/run/argo/outputs/parameters{path}: no such file or directory"
                    );
                }
                break;
            }
        }
        self.read_artifacts(pod, &collected, node, &mut outputs);
        node.outputs = (!outputs.is_empty()).then_some(outputs);
    }

    /// Carries out a container or script: makes its pod, or waits for it.
    pub(crate) fn execute_pod(
        &mut self,
        name: &str,
        template: &Template,
        holder: &Holder,
        scope: &str,
        opts: &Opts,
    ) -> Result<(), Halt> {
        let set = template.container_set.as_ref();
        let ordered = set.is_some_and(|set| crate::sets::order_of(set).is_some());
        if ordered && !self.seen.abilities.container_order {
            let what = "containerSet with dependencies needs a runtime that keeps the order of containers, which this one does not";
            return Err(self.fail_or_init(name, scope, holder, opts, what));
        }
        let fresh = self.node(name).is_none();
        let begins = self.begin_leaf(name, template, holder, scope, opts);
        if fresh {
            self.init_set(name, template, holder, scope);
        }
        if !begins {
            return Ok(());
        }
        let id = self.id(name);
        let phase = self.phase(name).unwrap_or_default();
        if let Some(pod) = self.pods.get(id.as_str()).copied() {
            self.keep_deadline(name, template, opts, pod);
            return Ok(());
        }
        if phase == NodePhase::Running {
            self.mark_error(name, "pod deleted");
            return Ok(());
        }
        if let Some(why) = self.seen.refused.get(&id) {
            return Err(Halt::Wrong(why.clone()));
        }
        let (pod, manifest) = self.pod_manifest(name, template, holder, opts).map_err(Halt::Wrong)?;
        self.actions.push(Action::CreatePod { node_id: id, name: pod, manifest });
        Ok(())
    }

    /// Makes the node of a leaf unless it exists. False when nothing may begin any more.
    pub(crate) fn begin_leaf(
        &mut self,
        name: &str,
        template: &Template,
        holder: &Holder,
        scope: &str,
        opts: &Opts,
    ) -> bool {
        let fresh = self.node(name).is_none();
        if fresh {
            self.init_executable(name, NodeType::Pod, scope, template, holder, opts, NodePhase::Pending);
        }
        let waits = fresh || !self.pods.contains_key(self.id(name).as_str());
        if waits && self.phase(name) == Some(NodePhase::Pending) {
            if !self.may_begin(opts.on_exit) {
                let shutdown = self.shutdown().unwrap_or_default().to_owned();
                self.mark(
                    name,
                    NodePhase::Failed,
                    Some(&format!("workflow shutdown with strategy:  {shutdown}")),
                );
                return false;
            }
            if self.is_past_deadline() && !opts.on_exit {
                self.mark(name, NodePhase::Failed, Some("Step exceeded its deadline"));
                return false;
            }
        }
        !self.is_fulfilled(name)
    }
}

/// Whether the pod itself says that it has ended.
fn ended(pod: &PodSeen) -> bool {
    matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed)
}

/// Whether only sidecars still run, which the runtime ends.
pub(crate) fn has_ended_its_work(pod: &PodSeen) -> bool {
    !pod.wanted.set && !pod.wanted.daemon && main(pod).is_some_and(|main| exit_code(main).is_some())
}

fn main(pod: &PodSeen) -> Option<&ContainerSeen> {
    pod.containers.iter().find(|container| !container.init && container.name == "main")
}

fn exit_code(container: &ContainerSeen) -> Option<i64> {
    match &container.state {
        ContainerState::Terminated { exit_code, .. } => Some(*exit_code),
        _ => None,
    }
}

/// The exit code of the main container when only others still run, and what is wanted of it is there.
fn main_ended(pod: &PodSeen) -> Option<i64> {
    if pod.wanted.set {
        return None;
    }
    let code = exit_code(main(pod)?)?;
    let others = pod.containers.iter().any(|container| container.name != "main" && !container.init);
    let wants = pod.wanted.result || !pod.wanted.parameters.is_empty() || !pod.wanted.artifacts.is_empty();
    (others && (!wants || pod.collected.is_some())).then_some(code)
}

fn finished_at(pod: &PodSeen) -> Option<jiff::Timestamp> {
    pod.containers
        .iter()
        .filter_map(|container| match &container.state {
            ContainerState::Terminated { finished_at, .. } => *finished_at,
            _ => None,
        })
        .max()
}

fn pending_reason(pod: &PodSeen) -> String {
    pod.containers
        .iter()
        .find_map(|container| match &container.state {
            ContainerState::Waiting { reason, message } if !message.is_empty() => {
                Some(format!("{reason}: {message}"))
            }
            ContainerState::Waiting { reason, .. } if !reason.is_empty() => Some(reason.clone()),
            _ => None,
        })
        .unwrap_or_else(|| pod.message.clone())
}

/// Why a pod failed: its own message, or the first container that ended badly (init containers, then `main`).
fn why_failed(pod: &PodSeen) -> (NodePhase, String) {
    if !pod.message.is_empty() {
        return (NodePhase::Failed, pod.message.clone());
    }
    let mut containers: Vec<&ContainerSeen> = pod.containers.iter().collect();
    if pod.wanted.set {
        containers.sort_by_key(|container| (!container.init, container.name.clone()));
    } else {
        containers.sort_by_key(|container| (!container.init, container.name != "main"));
    }
    for container in &containers {
        match &container.state {
            ContainerState::Waiting { reason, message } if !reason.is_empty() => {
                let what = format!(
                    "Pod failed before {} container starts due to {reason}: {message}",
                    container.name
                );
                return (NodePhase::Error, what);
            }
            ContainerState::Terminated { exit_code, reason, message, .. } if *exit_code != 0 => {
                // A sidecar that was ended from outside is none's fault.
                let sidecar = !container.init && container.name != "main" && !pod.wanted.set;
                if sidecar && matches!(exit_code, 137 | 143) {
                    continue;
                }
                let reason = if reason.is_empty() { "Error" } else { reason };
                // The runtime's own, before the template's containers: artifacts that cannot be had.
                let phase = if container.init && container.name == "init" {
                    NodePhase::Error
                } else {
                    NodePhase::Failed
                };
                let mut what = format!("{}: {reason} (exit code {exit_code})", container.name);
                if !message.is_empty() {
                    what = format!("{what}: {message}");
                }
                return (phase, what);
            }
            _ => {}
        }
    }
    match main(pod).and_then(exit_code) {
        Some(0) => (NodePhase::Succeeded, String::new()),
        None if pod.wanted.set && pod.containers.iter().all(|one| exit_code(one) == Some(0)) => {
            (NodePhase::Succeeded, String::new())
        }
        _ => (NodePhase::Failed, format!("can't find failed message for pod {}", pod.name)),
    }
}
