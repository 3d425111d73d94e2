//! Pods: which ones run here, and a runner for each.
//!
//! A pod without a node is given this one. A pod that has ended, or whose runner has ended, is never started again: a
//! late event of an older state must not repeat work that was done.

mod artifacts;
mod board;
mod collect;
mod container;
mod env;
mod order;
mod probe;
mod rules;
mod runner;
mod status;
mod volumes;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::{Attempt, Error};
use crate::logs::{Live, pod_folder};
use crate::network::Network;
use crate::objects::{Context, is_finished, merge, name_of, namespace_of, uid_of};

/// Watches pods and keeps their runners until shutdown; then every runner stops its containers.
pub(crate) async fn run(cx: Arc<Context>, network: Arc<Network>, live: Live, stop: CancellationToken) {
    let api = Api::<Pod>::all(cx.client.clone());
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut pods = Pods {
        cx,
        network,
        live,
        stop: stop.clone(),
        runners: HashMap::new(),
        ended: HashSet::new(),
        tasks: JoinSet::new(),
        seen: HashSet::new(),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            event = events.next() => match event {
                Some(Ok(event)) => pods.take(event).await,
                Some(Err(error)) => tracing::debug!(%error, "watching pods failed; trying again"),
                None => break,
            },
            Some(ended) = pods.tasks.join_next(), if !pods.tasks.is_empty() => match ended {
                Ok(uid) => pods.runner_ended(&uid).await,
                Err(error) => tracing::error!(%error, "the runner of a pod has failed"),
            },
        }
    }
    while pods.tasks.join_next().await.is_some() {}
}

struct Pods {
    cx: Arc<Context>,
    network: Arc<Network>,
    live: Live,
    stop: CancellationToken,
    runners: HashMap<String, Runner>,
    ended: HashSet<String>,
    tasks: JoinSet<String>,
    /// Pods of the listing that is under way.
    seen: HashSet<String>,
}

struct Runner {
    pod: watch::Sender<Arc<Pod>>,
    gone: CancellationToken,
}

impl Pods {
    async fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.seen.clear(),
            Event::InitApply(pod) => {
                self.seen.insert(uid_of(&pod.metadata).to_owned());
                self.sync(pod).await;
            }
            Event::InitDone => {
                for (_, runner) in self.runners.iter().filter(|(uid, _)| !self.seen.contains(*uid)) {
                    runner.gone.cancel();
                }
                self.ended.retain(|uid| self.seen.contains(uid));
                self.sweep().await;
            }
            Event::Apply(pod) => self.sync(pod).await,
            Event::Delete(pod) => {
                let uid = uid_of(&pod.metadata);
                self.ended.remove(uid);
                match self.runners.get(uid) {
                    Some(runner) => runner.gone.cancel(),
                    None => self.forget(&pod).await,
                }
            }
        }
    }

    async fn sync(&mut self, pod: Pod) {
        let uid = uid_of(&pod.metadata).to_owned();
        let pod = Arc::new(pod);
        if let Some(runner) = self.runners.get(&uid) {
            runner.pod.send_replace(pod);
            return;
        }
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        let ours = node == self.cx.config.node_name;
        if !node.is_empty() && !ours {
            return;
        }
        if pod.metadata.deletion_timestamp.is_some() {
            let result = finish_deletion(&self.cx, &pod).await;
            report(&pod, result);
        } else if is_finished(&pod) || self.ended.contains(&uid) {
            // Nothing is left to do.
        } else if !ours {
            let result = bind(&self.cx, &pod).await;
            report(&pod, result);
        } else {
            self.start(uid, pod);
        }
    }

    fn start(&mut self, uid: String, pod: Arc<Pod>) {
        let (sender, receiver) = watch::channel(pod);
        let gone = CancellationToken::new();
        let runner = runner::Runner {
            cx: Arc::clone(&self.cx),
            network: Arc::clone(&self.network),
            live: self.live.clone(),
            pod: receiver,
            stop: self.stop.clone(),
            gone: gone.clone(),
        };
        self.runners.insert(uid.clone(), Runner { pod: sender, gone });
        self.tasks.spawn(async move {
            runner.run().await;
            uid
        });
    }

    async fn runner_ended(&mut self, uid: &str) {
        let Some(runner) = self.runners.remove(uid) else { return };
        let pod = Arc::clone(&runner.pod.borrow());
        if runner.gone.is_cancelled() {
            self.forget(&pod).await;
            return;
        }
        self.ended.insert(uid.to_owned());
        if pod.metadata.deletion_timestamp.is_some() {
            let result = finish_deletion(&self.cx, &pod).await;
            report(&pod, result);
        }
    }

    /// Deletes what a deleted pod has left.
    async fn forget(&self, pod: &Pod) {
        let (namespace, name) = (namespace_of(&pod.metadata), name_of(&pod.metadata));
        let logs = pod_folder(&self.cx.config.state_dir.join("logs"), namespace, name, uid_of(&pod.metadata));
        delete(&logs).await;
        delete(&folder(&self.cx, pod)).await;
    }

    /// Deletes what pods have left that were deleted while nobody looked.
    async fn sweep(&self) {
        let left = |name: &str, uid: fn(&str) -> &str| {
            let entries =
                std::fs::read_dir(self.cx.config.state_dir.join(name)).into_iter().flatten().flatten();
            let unknown = entries.filter(|entry| {
                let name = entry.file_name();
                let uid = uid(name.to_str().unwrap_or_default()).to_owned();
                !self.seen.contains(&uid) && !self.runners.contains_key(&uid)
            });
            unknown.map(|entry| entry.path()).collect::<Vec<PathBuf>>()
        };
        let mut paths = left("pods", |name| name);
        paths.extend(left("logs", |name| name.rsplit('_').next().unwrap_or_default()));
        for path in paths {
            delete(&path).await;
        }
    }
}

/// The folder of a pod: volumes and what its containers write.
pub(crate) fn folder(cx: &Context, pod: &Pod) -> PathBuf {
    cx.config.state_dir.join("pods").join(uid_of(&pod.metadata))
}

/// Deletes a folder; what cannot be deleted now is tried again when Galley starts next time.
pub(crate) async fn delete(path: &std::path::Path) {
    if let Err(error) = galley_sandbox::Sandbox::delete_folder(path).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "could not delete a folder");
    }
}

async fn bind(cx: &Context, pod: &Pod) -> Result<(), Error> {
    let api = Api::<Pod>::namespaced(cx.client.clone(), namespace_of(&pod.metadata));
    let patch = serde_json::json!({"spec": {"nodeName": cx.config.node_name}});
    merge(&api, name_of(&pod.metadata), patch).await.map(drop)
}

/// Removes the object of a pod that has stopped.
async fn finish_deletion(cx: &Context, pod: &Pod) -> Result<(), Error> {
    let name = name_of(&pod.metadata);
    let api = Api::<Pod>::namespaced(cx.client.clone(), namespace_of(&pod.metadata));
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(name, &params).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.attempt(|| format!("delete the stopped pod `{name}`")).map(drop),
    }
}

fn report(pod: &Pod, result: Result<(), Error>) {
    if let Err(error) = result
        && !error.is_stale()
    {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(
            pod = name_of(&pod.metadata),
            namespace = namespace_of(&pod.metadata),
            error,
            "could not serve a pod"
        );
    }
}
