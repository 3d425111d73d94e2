//! The service: watches, queues and the tasks behind them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};
use galley_argo_workflows::{LABEL_CRON, LABEL_WORKFLOW};
use galley_units::Clock;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::{argo, core};
use crate::{cron, locks, queue, reconcile};

/// Settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// How many workflows are looked at at one time.
    pub workers: usize,
    /// Whether the runtime of the pods fetches and keeps artifacts (annotation `runtime.galley.dev/artifacts`).
    /// Without it, templates with artifacts other than raw ones end with an error that says so.
    pub artifacts: bool,
    /// Whether the runtime of the pods keeps the order of containers (annotation
    /// `runtime.galley.dev/container-dependencies`). Without it, container sets end with an error that says so.
    pub container_order: bool,
    /// Whether the runtime of the pods ends sidecars when the main container has ended (annotation
    /// `runtime.galley.dev/ends-with`). Without it such pods are deleted.
    pub sidecars: bool,
    /// How many HTTP requests of workflows are under way at one time.
    pub http_requests: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { workers: 8, artifacts: false, container_order: false, sidecars: false, http_requests: 32 }
    }
}

/// What the service needs from outside.
#[derive(Clone)]
pub struct Deps {
    /// The API server.
    pub client: Client,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    fn of(object: &DynamicObject) -> Key {
        Key { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

/// What all looks share.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) workflows: mpsc::Sender<Key>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) config: Config,
    /// The locks of all workflows. Whoever looks at a workflow with locks holds it.
    pub(crate) locks: tokio::sync::Mutex<locks::Table>,
    /// Limits HTTP requests.
    pub(crate) http: Arc<tokio::sync::Semaphore>,
    memory: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<reconcile::Memory>>>>,
    /// Moments of CronWorkflows that pass without a run.
    pub(crate) left_out: Mutex<HashMap<Key, jiff::Timestamp>>,
}

impl Context {
    /// What was learnt about a workflow since the service began. Losing it costs only repetition.
    pub(crate) fn memory(&self, key: &Key) -> Arc<tokio::sync::Mutex<reconcile::Memory>> {
        let mut all = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(key.clone()).or_default())
    }

    pub(crate) fn forget(&self, key: &Key) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Runs workflows until told to stop.
pub struct Service {
    config: Config,
    deps: Deps,
}

impl Service {
    /// Prepares the service; nothing happens before [`Service::run`].
    pub fn new(config: Config, deps: Deps) -> Self {
        Service { config, deps }
    }

    /// Runs until cancelled.
    pub async fn run(self, shutdown: CancellationToken) {
        let (workflows, workflow_keys) = queue::channel();
        let (crons, cron_keys) = queue::channel();
        let context = Arc::new(Context {
            client: self.deps.client,
            clock: self.deps.clock,
            workflows: workflows.clone(),
            shutdown: shutdown.clone(),
            http: Arc::new(tokio::sync::Semaphore::new(self.config.http_requests.max(1))),
            config: self.config.clone(),
            locks: tokio::sync::Mutex::default(),
            memory: Mutex::default(),
            left_out: Mutex::default(),
        });
        let look = {
            let context = Arc::clone(&context);
            move |key| reconcile::look(Arc::clone(&context), key)
        };
        let look_at_cron = {
            let context = Arc::clone(&context);
            move |key| cron::look(Arc::clone(&context), key)
        };
        let client = &context.client;
        let pods = watcher::Config::default().labels(LABEL_WORKFLOW);
        tokio::join!(
            queue::run(workflow_keys, self.config.workers.max(1), look, shutdown.clone()),
            queue::run(cron_keys, 2, look_at_cron, shutdown.clone()),
            follow(client, argo("Workflow"), watcher::Config::default(), &shutdown, |object| {
                let cron =
                    object.labels().get(LABEL_CRON).map(|name| Key { name: name.clone(), ..Key::of(object) });
                vec![(workflows.clone(), Key::of(object))]
                    .into_iter()
                    .chain(cron.map(|key| (crons.clone(), key)))
                    .collect()
            }),
            follow(client, core("Pod"), pods, &shutdown, |object| {
                let owner = object.labels().get(LABEL_WORKFLOW).cloned().unwrap_or_default();
                vec![(workflows.clone(), Key { name: owner, ..Key::of(object) })]
            }),
            follow(client, argo("CronWorkflow"), watcher::Config::default(), &shutdown, |object| {
                vec![(crons.clone(), Key::of(object))]
            }),
        );
    }
}

/// Watches a kind and sends the keys that each change concerns.
async fn follow(
    client: &Client,
    resource: ApiResource,
    config: watcher::Config,
    shutdown: &CancellationToken,
    keys: impl Fn(&DynamicObject) -> Vec<(mpsc::Sender<Key>, Key)>,
) {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut events = watcher(api, config).default_backoff().boxed();
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.try_next() => event,
        };
        let object = match event {
            Ok(Some(
                watcher::Event::Apply(object)
                | watcher::Event::InitApply(object)
                | watcher::Event::Delete(object),
            )) => object,
            Ok(Some(watcher::Event::Init | watcher::Event::InitDone)) => continue,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(kind = resource.kind, %error, "a watch was interrupted");
                continue;
            }
        };
        for (queue, key) in keys(&object) {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = queue.send(key) => {}
            }
        }
    }
}
