//! Why pods and claims of a namespace are not ready, in short sentences.

use std::time::Duration;

use galley_problem::Problem;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, PersistentVolumeClaim, Pod};
use kube::{Api, ResourceExt as _, api::ListParams};

use crate::{Cluster, retry::retried};

const DEADLINE: Duration = Duration::from_secs(15);
/// At most so many objects of a kind are looked at.
const MOST: u32 = 500;
/// At most so many sentences.
const SENTENCES: usize = 20;

impl Cluster {
    /// Says what is not ready in a namespace and why, the plainest reasons first; empty if all is well.
    ///
    /// # Errors
    /// G1104 to G1108 if pods cannot be read. Claims and events that may not be read are left out.
    pub async fn explain(&self, namespace: &str) -> Result<Vec<String>, Problem> {
        let limited = ListParams::default().limit(MOST);
        let pods: Api<Pod> = Api::namespaced(self.client(), namespace);
        let doing = format!("list pods of `{namespace}`");
        let pods = retried(&doing, DEADLINE, |_| {}, || pods.list(&limited)).await?.items;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client(), namespace);
        let claims = claims.list(&limited).await.map(|list| list.items).unwrap_or_default();
        let events: Api<Event> = Api::namespaced(self.client(), namespace);
        let warnings = ListParams::default().limit(MOST).fields("type=Warning");
        let mut events = events.list(&warnings).await.map(|list| list.items).unwrap_or_default();
        events.sort_by_key(|event| std::cmp::Reverse(moment(event)));

        let mut sentences = Vec::new();
        for pod in &pods {
            sentences
                .extend(pod_reasons(pod).into_iter().map(|why| format!("Pod {}: {why}", pod.name_any())));
        }
        for claim in claims.iter().filter(|claim| phase(claim) != "Bound") {
            let event = newest(&events, "PersistentVolumeClaim", &claim.name_any());
            sentences.push(claim_reason(claim, event));
        }
        for pod in pods.iter().filter(|pod| !ready(pod) && !finished(pod)) {
            if let Some(event) = newest(&events, "Pod", &pod.name_any()) {
                sentences.push(format!("Pod {}: {}", pod.name_any(), said(event)));
            }
        }
        // What stops pods from being made at all is said of their owners: quotas, missing service accounts.
        for kind in ["ReplicaSet", "StatefulSet", "DaemonSet", "Job"] {
            let failed = events.iter().find(|event| {
                event.involved_object.kind.as_deref() == Some(kind)
                    && event.reason.as_deref() == Some("FailedCreate")
            });
            if let Some(event) = failed.filter(|event| pods.iter().all(|pod| !owned_by(pod, event))) {
                let name = event.involved_object.name.as_deref().unwrap_or_default();
                sentences.push(format!("{kind} {name}: {}", said(event)));
            }
        }
        let mut seen = std::collections::HashSet::new();
        sentences.retain(|sentence| seen.insert(sentence.clone()));
        sentences.truncate(SENTENCES);
        Ok(sentences)
    }
}

fn owned_by(pod: &Pod, event: &Event) -> bool {
    pod.owner_references()
        .iter()
        .any(|owner| event.involved_object.uid.as_deref() == Some(owner.uid.as_str()))
}

fn moment(event: &Event) -> Option<jiff::Timestamp> {
    let series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    series.or(last).or(first).or_else(|| event.creation_timestamp().map(|time| time.0))
}

fn newest<'a>(events: &'a [Event], kind: &str, name: &str) -> Option<&'a Event> {
    events.iter().find(|event| {
        event.involved_object.kind.as_deref() == Some(kind)
            && event.involved_object.name.as_deref() == Some(name)
    })
}

fn said(event: &Event) -> String {
    let message = event.message.as_deref().unwrap_or_default().trim();
    format!("{} ({})", one_line(message), event.reason.as_deref().unwrap_or("no reason given"))
}

/// The first line, not too long.
pub(crate) fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(400) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn claim_reason(claim: &PersistentVolumeClaim, event: Option<&Event>) -> String {
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    let class = class.map_or("no storage class".to_owned(), |class| format!("storage class `{class}`"));
    let start = format!("Claim {}: {} ({class})", claim.name_any(), phase(claim));
    match event {
        Some(event) => format!("{start}: {}", said(event)),
        None => format!("{start}."),
    }
}

fn finished(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded")
}

/// Whether the pod's Ready condition holds.
pub(crate) fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

/// What the pod's own status says against it.
pub(crate) fn pod_reasons(pod: &Pod) -> Vec<String> {
    let Some(status) = &pod.status else { return vec!["has no status yet.".into()] };
    if ready(pod) || finished(pod) {
        return Vec::new();
    }
    let mut reasons = Vec::new();
    let unscheduled =
        status.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(condition) = unscheduled {
        reasons.push(format!(
            "not scheduled: {}",
            one_line(condition.message.as_deref().unwrap_or("no reason given."))
        ));
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    for container in containers {
        reasons.extend(container_reason(container));
    }
    if reasons.is_empty() && status.phase.as_deref() == Some("Failed") {
        let why = status.message.as_deref().or(status.reason.as_deref()).unwrap_or("no reason given");
        reasons.push(format!("failed: {}", one_line(why)));
    }
    if pod.metadata.deletion_timestamp.is_some() {
        reasons.push("is being deleted.".into());
    }
    if reasons.is_empty() && status.phase.as_deref() == Some("Running") {
        reasons.push("runs but is not ready (its readiness probe has not succeeded).".into());
    }
    reasons
}

fn container_reason(container: &ContainerStatus) -> Option<String> {
    let state = container.state.as_ref()?;
    let name = &container.name;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("Waiting");
        if matches!(reason, "ContainerCreating" | "PodInitializing") {
            return None;
        }
        let ended = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        let last = ended.map_or(String::new(), |t| {
            format!("; it ended with code {} ({})", t.exit_code, t.reason.as_deref().unwrap_or("Error"))
        });
        let message =
            waiting.message.as_deref().map_or(String::new(), |text| format!(": {}", one_line(text)));
        return Some(format!("container {name} waits: {reason}{message}{last}"));
    }
    let ended = state.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let message = ended.message.as_deref().map_or(String::new(), |text| format!(": {}", one_line(text)));
    Some(format!("container {name} ended with code {} ({reason}){message}", ended.exit_code))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_says_what_holds_it() {
        let check = |status: serde_json::Value, expected: &[&str]| {
            let pod: Pod =
                serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).expect("a pod");
            assert_eq!(pod_reasons(&pod), expected);
        };
        check(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}), &[]);
        check(json!({"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "False"}]}), &[]);
        check(
            json!({"phase": "Pending", "containerStatuses": [{"name": "web", "image": "i", "imageID": "", "ready": false,
                "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"i\""}}}]}),
            &["container web waits: ImagePullBackOff: Back-off pulling image \"i\""],
        );
        check(
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available."}]}),
            &["not scheduled: 0/3 nodes are available."],
        );
        check(
            json!({"phase": "Running", "containerStatuses": [{"name": "web", "image": "i", "imageID": "", "ready": false,
                "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}),
            &["container web waits: CrashLoopBackOff; it ended with code 137 (OOMKilled)"],
        );
    }
}
