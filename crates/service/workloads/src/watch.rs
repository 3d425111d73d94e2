//! What wakes the controllers: one watch per kind, and a number that grows with every change.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use futures::future::select_all;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::service::Tasks;

/// Changes of a burst are taken together.
const DEBOUNCE: Duration = Duration::from_millis(10);
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// The kinds that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Pod,
    Service,
    EndpointSlice,
    Deployment,
    ReplicaSet,
    Job,
    Claim,
}

/// Tells of changes, by kind.
pub(crate) struct Changes {
    senders: HashMap<Kind, watch::Sender<u64>>,
}

impl Changes {
    /// Watches every kind in tasks of their own.
    pub(crate) fn watch(client: &Client, tasks: &mut Tasks, shutdown: &CancellationToken) -> Self {
        let mut changes = Changes { senders: HashMap::new() };
        changes.add::<Pod>(Kind::Pod, client, tasks, shutdown);
        changes.add::<Service>(Kind::Service, client, tasks, shutdown);
        changes.add::<EndpointSlice>(Kind::EndpointSlice, client, tasks, shutdown);
        changes.add::<Deployment>(Kind::Deployment, client, tasks, shutdown);
        changes.add::<ReplicaSet>(Kind::ReplicaSet, client, tasks, shutdown);
        changes.add::<Job>(Kind::Job, client, tasks, shutdown);
        changes.add::<PersistentVolumeClaim>(Kind::Claim, client, tasks, shutdown);
        changes
    }

    fn add<K>(&mut self, kind: Kind, client: &Client, tasks: &mut Tasks, shutdown: &CancellationToken)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let (sender, _) = watch::channel(0);
        self.senders.insert(kind, sender.clone());
        let api = Api::<K>::all(client.clone());
        let shutdown = shutdown.clone();
        tasks.spawn(format!("watch {}", K::plural(&())), async move {
            let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    event = events.next() => match event {
                        Some(Ok(_)) => sender.send_modify(|count| *count += 1),
                        Some(Err(error)) => tracing::debug!(kind = %K::kind(&()), %error, "watching failed; trying again"),
                        None => return,
                    },
                }
            }
        });
    }

    /// Receivers for some kinds.
    pub(crate) fn of(&self, kinds: &[Kind]) -> Vec<watch::Receiver<u64>> {
        kinds.iter().filter_map(|kind| self.senders.get(kind)).map(watch::Sender::subscribe).collect()
    }
}

/// Runs a controller until shutdown: at once, after every change, and when it has asked to be woken.
pub(crate) async fn run<F>(
    name: &'static str,
    mut changes: Vec<watch::Receiver<u64>>,
    shutdown: CancellationToken,
    mut reconcile: impl FnMut() -> F,
) where
    F: Future<Output = Result<Option<Duration>, Error>>,
{
    let mut retry = FIRST_RETRY;
    loop {
        for receiver in &mut changes {
            receiver.mark_unchanged();
        }
        let pause = tokio::select! {
            () = shutdown.cancelled() => return,
            result = reconcile() => match result {
                Ok(again) => {
                    retry = FIRST_RETRY;
                    again
                }
                Err(error) => {
                    retry = (retry * 2).min(LAST_RETRY);
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(controller = name, error, "reconciling failed; trying again");
                    Some(if is_stale(error) { FIRST_RETRY } else { retry })
                }
            },
        };
        let timer = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = timer => {}
            () = any(&mut changes) => tokio::time::sleep(DEBOUNCE).await,
        }
    }
}

fn is_stale(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<Error>().is_some_and(Error::is_stale)
}

async fn any(changes: &mut [watch::Receiver<u64>]) {
    if changes.is_empty() {
        return std::future::pending().await;
    }
    let waiting = changes.iter_mut().map(|receiver| Box::pin(receiver.changed()));
    let (result, ..) = select_all(waiting).await;
    if result.is_err() {
        // The watch has ended, which happens at shutdown only.
        std::future::pending().await
    }
}
