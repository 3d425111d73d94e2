//! Deadlines, shutdown and daemons: what ends nodes from outside.

use std::time::Duration;

use galley_argo_workflows::{NodePhase, NodeType, Template};
use jiff::Timestamp;
use serde_json::Value;

use crate::action::Action;
use crate::run::{Opts, Run};
use crate::seen::PodSeen;
use crate::template::duration_of;

/// How long the runtime may take to end a pod at its deadline before the engine does.
const GRACE: Duration = Duration::from_secs(5);
const TOO_LONG: &str = "Pod was active on the node longer than the specified deadline";

impl Run<'_> {
    /// Ends what a shutdown or the workflow's deadline ends.
    pub(crate) fn end_by_control(&mut self) {
        let late = self
            .deadline
            .and_then(|deadline| deadline.checked_add(GRACE).ok())
            .is_some_and(|end| self.now >= end);
        let nodes: Vec<_> = self
            .status
            .nodes
            .values()
            .filter(|node| !node.phase.is_fulfilled() || node.daemoned == Some(true))
            .map(|node| {
                (node.name.clone(), node.id.clone(), node.kind, node.phase, self.in_exit_handler(node))
            })
            .collect();
        for (name, id, kind, phase, in_exit) in nodes {
            let shutdown = self.shutdown().map(str::to_owned);
            if let Some(shutdown) = shutdown.filter(|_| !self.may_begin(in_exit)) {
                match kind {
                    NodeType::Pod => {
                        self.mark(
                            &name,
                            NodePhase::Failed,
                            Some(&format!("workflow shutdown with strategy:  {shutdown}")),
                        );
                        self.delete_pod(&id);
                    }
                    NodeType::Suspend => self.mark(
                        &name,
                        NodePhase::Failed,
                        Some(&format!("Stopped with strategy '{shutdown}'")),
                    ),
                    _ => {}
                }
                continue;
            }
            if in_exit || !self.is_past_deadline() {
                continue;
            }
            let has_pod = self.pods.contains_key(id.as_str());
            match kind {
                NodeType::Suspend => self.mark(&name, NodePhase::Failed, Some("Step exceeded its deadline")),
                NodeType::Pod if phase == NodePhase::Pending && !has_pod => {
                    self.mark(&name, NodePhase::Failed, Some("Step exceeded its deadline"));
                }
                NodeType::Pod if late => {
                    self.mark(&name, NodePhase::Failed, Some(TOO_LONG));
                    self.delete_pod(&id);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn delete_pod(&mut self, id: &str) {
        if let Some(pod) = self.pods.get(id).filter(|pod| !pod.deleting) {
            let name = pod.name.clone();
            self.actions.push(Action::DeletePod { name });
        }
    }

    /// Ends a pod whose own time is over, if the runtime has not.
    pub(crate) fn keep_deadline(&mut self, name: &str, template: &Template, _opts: &Opts, pod: &PodSeen) {
        let began = self.node(name).and_then(|node| node.started_at);
        let own = self.own_deadline(template).ok().flatten();
        let own = own
            .zip(began)
            .and_then(|(seconds, began)| began.checked_add(Duration::from_secs(seconds.max(0) as u64)).ok());
        let timeout = self.timeout_of(template, name).ok().flatten();
        let Some(end) = [own, timeout].into_iter().flatten().min() else { return };
        let end = end.checked_add(GRACE).unwrap_or(Timestamp::MAX);
        if self.now >= end {
            self.mark(name, NodePhase::Failed, Some(TOO_LONG));
            if !pod.deleting {
                self.actions.push(Action::DeletePod { name: pod.name.clone() });
            }
        } else {
            self.wake_at(end);
        }
    }

    /// `activeDeadlineSeconds` of a template.
    pub(crate) fn own_deadline(&self, template: &Template) -> Result<Option<i64>, String> {
        match &template.active_deadline_seconds {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_i64()),
            Some(other) => {
                let text = other.as_str().unwrap_or_default();
                text.parse()
                    .map(Some)
                    .map_err(|_| format!("activeDeadlineSeconds `{text}` is not a whole number"))
            }
        }
    }

    /// The moment at which `timeout` of a template ends a node.
    pub(crate) fn timeout_of(&self, template: &Template, name: &str) -> Result<Option<Timestamp>, String> {
        let Some(text) = template.timeout.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let wait = duration_of(text).map_err(|why| format!("invalid timeout format. {why}"))?;
        let began = self.node(name).and_then(|node| node.started_at).unwrap_or(self.now);
        Ok(Some(began.checked_add(wait).unwrap_or(Timestamp::MAX)))
    }

    /// Ends the daemons of a steps or DAG node that has ended.
    pub(crate) fn end_daemons(&mut self, boundary: &str) {
        let daemons: Vec<_> = self
            .status
            .nodes
            .values()
            .filter(|node| {
                node.daemoned == Some(true) && (boundary.is_empty() || node.boundary_id == boundary)
            })
            .map(|node| (node.name.clone(), node.id.clone()))
            .collect();
        for (name, id) in daemons {
            if let Some(node) = self.node_mut(&name) {
                node.daemoned = None;
            }
            self.mark(&name, NodePhase::Succeeded, None);
            self.delete_pod(&id);
        }
    }
}
