//! What is left to do for pods and claims that are no longer needed: labels, `podGC`, `volumeClaimGC`.

use std::collections::{BTreeMap, HashSet};

use galley_argo_workflows::{NodePhase, WorkflowPhase};
use serde_json::Value;

use crate::action::Action;
use crate::run::Run;
use crate::seen::PodPhase;

impl Run<'_> {
    /// What is left to do for pods and claims that are no longer needed.
    pub(crate) fn clean_up(&mut self) {
        let done = self.status.phase.is_done();
        let labelled: HashSet<String> = self
            .actions
            .iter()
            .filter_map(|action| match action {
                Action::CompletePod { name } => Some(name.clone()),
                _ => None,
            })
            .collect();
        if done {
            for pod in &self.seen.pods {
                let ended = matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed);
                let ending = self.seen.abilities.sidecars && crate::pods::has_ended_its_work(pod);
                if !ended && !pod.deleting && !ending {
                    self.actions.push(Action::DeletePod { name: pod.name.clone() });
                } else if ended && !pod.completed && !labelled.contains(&pod.name) {
                    self.actions.push(Action::CompletePod { name: pod.name.clone() });
                }
            }
            let succeeded = self.status.phase == WorkflowPhase::Succeeded;
            let always =
                self.spec.volume_claim_gc.as_ref().is_some_and(|gc| gc["strategy"] == "OnWorkflowCompletion");
            if succeeded || always {
                for claim in std::mem::take(&mut self.status.persistent_volume_claims) {
                    let name =
                        claim["persistentVolumeClaim"]["claimName"].as_str().unwrap_or_default().to_owned();
                    self.actions.push(Action::DeleteClaim { name });
                }
            }
        }
        self.collect_pods(done);
    }

    /// `podGC`.
    fn collect_pods(&mut self, done: bool) {
        let Some(gc) = self.spec.pod_gc.clone() else { return };
        let going: HashSet<String> = self
            .actions
            .iter()
            .filter_map(|action| match action {
                Action::DeletePod { name } => Some(name.clone()),
                _ => None,
            })
            .collect();
        let strategy = gc.strategy.as_deref().unwrap_or_default();
        let succeeded = self.status.phase == WorkflowPhase::Succeeded;
        for pod in &self.seen.pods {
            let Some(node) = self.status.nodes.get(&pod.node_id) else { continue };
            let due = match strategy {
                "OnPodCompletion" => node.phase.is_completed(),
                "OnPodSuccess" => node.phase == NodePhase::Succeeded,
                "OnWorkflowCompletion" => done,
                "OnWorkflowSuccess" => done && succeeded,
                _ => false,
            };
            let due = due && selects(gc.label_selector.as_ref(), &pod.labels);
            if due && !pod.deleting && !going.contains(&pod.name) {
                self.actions.push(Action::DeletePod { name: pod.name.clone() });
            }
        }
    }
}

/// Whether a label selector (`matchLabels`, `matchExpressions`) takes these labels; none takes all.
fn selects(selector: Option<&Value>, labels: &BTreeMap<String, String>) -> bool {
    let Some(selector) = selector else { return true };
    let mut equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut rules = selector["matchExpressions"].as_array().into_iter().flatten();
    equal.all(|(name, value)| labels.get(name).map(String::as_str) == value.as_str())
        && rules.all(|rule| {
            let own = labels.get(rule["key"].as_str().unwrap_or_default());
            let listed = || {
                let mut values = rule["values"].as_array().into_iter().flatten();
                own.is_some_and(|own| values.any(|value| value.as_str() == Some(own)))
            };
            match rule["operator"].as_str() {
                Some("In") => listed(),
                Some("NotIn") => !listed(),
                Some("Exists") => own.is_some(),
                Some("DoesNotExist") => own.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_are_chosen_by_labels() {
        let labels = BTreeMap::from([("tier".to_owned(), "test".to_owned())]);
        let takes = |selector: Value| selects(Some(&selector), &labels);
        assert!(selects(None, &labels));
        assert!(takes(json!({"matchLabels": {"tier": "test"}})));
        assert!(!takes(json!({"matchLabels": {"tier": "prod"}})));
        assert!(takes(
            json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "test"]}]})
        ));
        assert!(takes(json!({"matchExpressions": [{"key": "own", "operator": "DoesNotExist"}]})));
        assert!(!takes(
            json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["test"]}]})
        ));
    }
}
