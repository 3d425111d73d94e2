//! Proves that nodes can pull and run an image: one short-lived pod on each, deleted whatever happens.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream};
use galley_problem::{Kind, Problem};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    Cluster,
    explain::{one_line, pod_reasons},
    problem::refused,
};

/// Nodes checked at once.
const AT_ONCE: usize = 8;
/// At most so many nodes are checked.
const MOST: usize = 100;
/// Finds the pods of checks that were killed.
const LABEL: &str = "galley.dev/check=pull";

/// What to check.
#[derive(Clone, Debug)]
pub struct PullCheck {
    /// The image, by digest or tag.
    pub image: String,
    /// What to run in it, as in `["/galley", "--version"]`.
    pub command: Vec<String>,
    /// Where the pods are made.
    pub namespace: String,
    /// Only nodes with these labels; all if empty.
    pub nodes: BTreeMap<String, String>,
    /// Pull even if the node has the image.
    pub always: bool,
    /// How long each node may take.
    pub deadline: Duration,
}

impl PullCheck {
    /// Checks all ready nodes, a minute each.
    pub fn new(namespace: &str, image: &str, command: &[&str]) -> PullCheck {
        PullCheck {
            image: image.into(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            namespace: namespace.into(),
            nodes: BTreeMap::new(),
            always: false,
            deadline: Duration::from_secs(60),
        }
    }
}

/// What a node made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodePull {
    /// The node.
    pub node: String,
    /// Pulled, ran and ended well.
    pub ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Cluster {
    /// Runs the image once on every ready node that matches.
    ///
    /// # Errors
    /// G1117 if no node is ready; G1104 to G1109 if pods cannot be made at all.
    pub async fn check_pull(&self, check: &PullCheck) -> Result<Vec<NodePull>, Problem> {
        let nodes = self.ready_nodes(&check.nodes).await?;
        if nodes.is_empty() {
            return Err(Problem::new("G1117", Kind::Unavailable, "No ready node can run a pod.")
                .try_this("`kubectl get nodes` shows the nodes and their state."));
        }
        let pods: Api<Pod> = Api::namespaced(self.client(), &check.namespace);
        // Left by a run that was killed.
        let leftover = ListParams::default().labels(LABEL);
        let swept = pods.delete_collection(&DeleteParams::background().grace_period(0), &leftover).await;
        swept.map_err(|e| refused(format!("use pods of the namespace `{}`", check.namespace), &e))?;
        let run = galley_units::random_suffix(5);
        let results: Vec<Result<NodePull, Problem>> = stream::iter(nodes.into_iter().take(MOST).enumerate())
            .map(|(i, node)| self.check_node(check, node, format!("galley-check-{run}-{i}")))
            .buffered(AT_ONCE)
            .collect()
            .await;
        results.into_iter().collect()
    }

    async fn ready_nodes(&self, wanted: &BTreeMap<String, String>) -> Result<Vec<String>, Problem> {
        let nodes: Api<Node> = Api::all(self.client());
        let nodes = nodes.list(&ListParams::default()).await.map_err(|e| refused("list nodes", &e))?;
        let fits = |node: &Node| {
            let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
            let ready =
                conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
            let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
            ready && !cordoned && wanted.iter().all(|(key, value)| node.labels().get(key) == Some(value))
        };
        Ok(nodes.into_iter().filter(fits).map(|node| node.name_any()).collect())
    }

    async fn check_node(&self, check: &PullCheck, node: String, name: String) -> Result<NodePull, Problem> {
        let pods: Api<Pod> = Api::namespaced(self.client(), &check.namespace);
        let pod = pod(check, &node, &name);
        let doing = format!("make a pod in the namespace `{}`", check.namespace);
        pods.create(&PostParams::default(), &pod).await.map_err(|e| refused(doing, &e))?;
        let sweeper = Sweeper { pods: Some(pods.clone()), name: name.clone() };
        let reason = outcome(&pods, &name, check.deadline).await;
        sweeper.sweep().await;
        Ok(NodePull { node, ok: reason.is_none(), reason })
    }
}

/// Deletes the pod also when the check itself is dropped.
struct Sweeper {
    pods: Option<Api<Pod>>,
    name: String,
}

impl Sweeper {
    async fn sweep(mut self) {
        if let Some(pods) = self.pods.take() {
            delete(&pods, &self.name).await;
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        let Some(pods) = self.pods.take() else { return };
        let name = std::mem::take(&mut self.name);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { delete(&pods, &name).await });
        }
    }
}

async fn delete(pods: &Api<Pod>, name: &str) {
    if let Err(error) = pods.delete(name, &DeleteParams::background().grace_period(0)).await {
        tracing::debug!(%error, pod = name, "a check's pod was not deleted");
    }
}

/// Nothing if the pod ended well, otherwise the reason.
async fn outcome(pods: &Api<Pod>, name: &str, deadline: Duration) -> Option<String> {
    let mut states = Box::pin(watcher::watch_object(pods.clone(), name).default_backoff());
    let mut last = "the node has not taken the pod".to_owned();
    let waited = tokio::time::timeout(deadline, async {
        while let Some(state) = states.next().await {
            let Ok(Some(pod)) = state else { continue };
            match pod.status.as_ref().and_then(|status| status.phase.as_deref()) {
                Some("Succeeded") => return None,
                Some("Failed") => return Some(words(&pod, "the command failed")),
                _ => last = words(&pod, &last),
            }
            if let Some(reason) = refusal(&pod) {
                return Some(reason);
            }
        }
        Some("the pod could not be watched".to_owned())
    });
    match waited.await {
        Ok(reason) => reason,
        Err(_) => Some(format!("{last} (after {} s)", deadline.as_secs())),
    }
}

fn words(pod: &Pod, otherwise: &str) -> String {
    let reasons = pod_reasons(pod);
    if reasons.is_empty() { otherwise.to_owned() } else { reasons.join("; ") }
}

/// A pull that failed, in the runtime's own words. The back-off that follows says less, so the first message counts.
fn refusal(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let waiting = statuses.iter().find_map(|status| status.state.as_ref()?.waiting.as_ref())?;
    let reason = waiting.reason.as_deref()?;
    let final_reasons = [
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    ];
    if !final_reasons.contains(&reason) {
        return None;
    }
    Some(format!("{reason}: {}", one_line(waiting.message.as_deref().unwrap_or("no message"))))
}

fn pod(check: &PullCheck, node: &str, name: &str) -> Pod {
    let pod = json!({
        "metadata": { "name": name, "labels": { "galley.dev/check": "pull" } },
        "spec": {
            // Named directly, so that taints and a full scheduler do not hide what the node itself can do.
            "nodeName": node,
            "tolerations": [{ "operator": "Exists" }],
            "restartPolicy": "Never",
            "activeDeadlineSeconds": check.deadline.as_secs().max(1),
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "check",
                "image": check.image,
                "imagePullPolicy": if check.always { "Always" } else { "IfNotPresent" },
                "command": check.command,
                "resources": { "requests": { "cpu": "10m", "memory": "32Mi" }, "limits": { "memory": "256Mi" } },
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    });
    serde_json::from_value(pod).expect("the pod above is one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_runs_on_its_node_and_ends_by_itself() {
        let check = PullCheck::new("n", "registry:5000/galley:1", &["/galley", "--version"]);
        let pod = pod(&check, "node-1", "x");
        let spec = pod.spec.expect("a spec");
        assert_eq!(spec.node_name.as_deref(), Some("node-1"));
        assert_eq!(spec.active_deadline_seconds, Some(60));
        assert_eq!(
            spec.containers[0].command.as_deref(),
            Some(&["/galley".to_owned(), "--version".to_owned()][..])
        );
    }

    #[test]
    fn a_failed_pull_is_told_in_the_runtimes_words() {
        let waiting = |reason: &str| -> Pod {
            serde_json::from_value(
                json!({"status": {"containerStatuses": [{"name": "check", "image": "i", "imageID": "",
                "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": "manifest unknown\nmore"}}}]}}),
            )
            .expect("a pod")
        };
        assert_eq!(refusal(&waiting("ErrImagePull")).as_deref(), Some("ErrImagePull: manifest unknown"));
        assert_eq!(refusal(&waiting("ContainerCreating")), None);
    }
}
