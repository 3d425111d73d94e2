//! The run loop: which Application is looked at next, and why.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use galley_problem::Problem;
use galley_sync::TRACKING;
use galley_units::{Clock, rfc3339};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
    runtime::{WatchStreamExt, watcher},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Repositories,
    objects::Objects,
    reconcile::{self, FINALIZER, NAMESPACE, Progress},
    status,
};

/// Settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// First pause after a failed look, in milliseconds; it doubles with every failure.
    pub retry_milliseconds: u64,
    /// Longest pause between two looks after failures, in seconds.
    pub retry_limit_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { retry_milliseconds: 500, retry_limit_seconds: 60 }
    }
}

/// What the service needs from outside.
pub struct Deps {
    /// The API server.
    pub client: Client,
    /// Repositories by address.
    pub repositories: Arc<dyn Repositories>,
    /// Changes at every push.
    pub wake: watch::Receiver<u64>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Reconciles Applications.
pub struct Service {
    config: Config,
    objects: Objects,
    deps: Deps,
    /// What was last seen of each Application, so that our own status writes do not wake us.
    seen: HashMap<String, String>,
    failures: HashMap<String, u32>,
    watched: HashSet<ApiResource>,
}

/// Something that may have changed what an Application looks like.
enum Event {
    Application(Box<DynamicObject>),
    Gone(String),
    Object(String),
}

impl Service {
    /// A service that does nothing until [`Service::run`].
    pub fn new(config: Config, deps: Deps) -> Self {
        Service {
            config,
            objects: Objects::new(deps.client.clone()),
            deps,
            seen: HashMap::new(),
            failures: HashMap::new(),
            watched: HashSet::new(),
        }
    }

    /// Runs until cancelled.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let (events, mut queue) = mpsc::channel(1024);
        let mut watchers = JoinSet::new();
        watchers.spawn(follow_applications(applications(&self.deps.client), events.clone()));
        let mut dirty: BTreeSet<String> = BTreeSet::new();
        let mut later: BTreeMap<tokio::time::Instant, String> = BTreeMap::new();
        loop {
            let next = later.keys().next().copied();
            let timer = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = self.deps.wake.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    dirty.extend(self.seen.keys().cloned());
                }
                event = queue.recv() => {
                    if let Some(event) = event {
                        self.note(event, &mut dirty);
                    }
                }
                () = timer => dirty.extend(later.pop_first().map(|(_, name)| name)),
            }
            // What came at the same time is looked at once.
            while let Ok(event) = queue.try_recv() {
                self.note(event, &mut dirty);
            }
            for name in std::mem::take(&mut dirty) {
                if let Some(pause) = self.look(&name, &events, &mut watchers).await {
                    later.insert(tokio::time::Instant::now() + pause, name);
                }
            }
        }
    }

    fn note(&mut self, event: Event, dirty: &mut BTreeSet<String>) {
        match event {
            Event::Application(application) => {
                let name = application.name_any();
                let essence = essence(&application);
                if self.seen.insert(name.clone(), essence.clone()).as_ref() != Some(&essence) {
                    dirty.insert(name);
                }
            }
            Event::Gone(name) => {
                self.seen.remove(&name);
                self.failures.remove(&name);
            }
            Event::Object(name) => {
                if self.seen.contains_key(&name) {
                    dirty.insert(name);
                }
            }
        }
    }

    /// Looks at one Application; how long to wait before the next look, if one is needed.
    async fn look(&mut self, name: &str, events: &mpsc::Sender<Event>, watchers: &mut JoinSet<()>) -> Option<Duration> {
        match self.reconcile(name, events, watchers).await {
            Ok(()) => {
                self.failures.remove(name);
                None
            }
            Err(problem) => {
                tracing::warn!(application = name, %problem, "not synced");
                let failures = self.failures.entry(name.to_owned()).or_default();
                *failures = failures.saturating_add(1);
                let pause = self.config.retry_milliseconds.saturating_mul(1 << (*failures - 1).min(16));
                let pause = Duration::from_millis(pause).min(Duration::from_secs(self.config.retry_limit_seconds));
                self.tell(name, &problem).await;
                Some(pause)
            }
        }
    }

    async fn reconcile(
        &mut self,
        name: &str,
        events: &mpsc::Sender<Event>,
        watchers: &mut JoinSet<()>,
    ) -> Result<(), Problem> {
        let key = reconcile::application_key(name);
        let Some(application) = self.objects.get("argoproj.io/v1alpha1", &key).await? else { return Ok(()) };
        if application["metadata"]["deletionTimestamp"].is_string() {
            return self.remove(name, &application).await;
        }
        let repositories = Arc::clone(&self.deps.repositories);
        let mut compared = reconcile::compare(&self.objects, &*repositories, name, &application).await?;
        self.watch_kinds(&compared, events, watchers).await;
        let automated = &application["spec"]["syncPolicy"]["automated"];
        let operation = &application["operation"]["sync"];
        let asked = operation.is_object();
        let mut state = None;
        if asked || (automated.is_object() && !compared.plan.is_empty()) {
            let prune = if asked { operation["prune"] == true || automated["prune"] == true } else { automated["prune"] == true };
            let progress = reconcile::act(&self.objects, &application, &compared, prune).await?;
            compared = reconcile::compare(&self.objects, &*repositories, name, &application).await?;
            state = Some(self.operation_state(&application, &compared.source.revision, &progress));
            if asked && progress == Progress::Done {
                self.objects.merge("argoproj.io/v1alpha1", &key, &json!({ "operation": null })).await?;
            }
        }
        self.write_status(name, &application, &compared, state).await?;
        if application["metadata"]["annotations"].get("argocd.argoproj.io/refresh").is_some() {
            let patch = json!({ "metadata": { "annotations": { "argocd.argoproj.io/refresh": null } } });
            self.objects.merge("argoproj.io/v1alpha1", &key, &patch).await?;
        }
        Ok(())
    }

    fn operation_state(&self, application: &Value, revision: &str, progress: &Progress) -> Value {
        let now = rfc3339(self.deps.clock.now());
        let before = &application["status"]["operationState"];
        let running = before["phase"] == "Running" && before["syncResult"]["revision"] == revision;
        let started = if running { before["startedAt"].clone() } else { json!(now) };
        let (phase, message, finished) = match progress {
            Progress::Done => ("Succeeded", "successfully synced (all tasks run)".to_owned(), json!(now)),
            Progress::Waiting(why) => ("Running", why.clone(), Value::Null),
        };
        json!({
            "phase": phase, "message": message, "startedAt": started, "finishedAt": finished,
            "operation": { "sync": { "revision": revision } },
            "syncResult": { "revision": revision, "source": application["spec"]["source"] },
        })
    }

    async fn write_status(
        &self,
        name: &str,
        application: &Value,
        compared: &reconcile::Compared,
        operation: Option<Value>,
    ) -> Result<(), Problem> {
        let before = &application["status"];
        let mut after = status::of(&status::Found {
            revision: &compared.source.revision,
            plan: &compared.plan,
            live: &compared.live,
            spec: &application["spec"],
            source_type: compared.source.kind,
        });
        if let Some(operation) = operation {
            if operation["phase"] == "Succeeded" {
                after["history"] = history(before, &operation);
            }
            after["operationState"] = operation;
        }
        self.patch_status(name, before, after).await
    }

    async fn patch_status(&self, name: &str, before: &Value, mut after: Value) -> Result<(), Problem> {
        let unchanged = after.as_object().is_some_and(|after| after.iter().all(|(key, value)| before.get(key) == Some(value)));
        if unchanged {
            return Ok(());
        }
        after["reconciledAt"] = json!(rfc3339(self.deps.clock.now()));
        let patch = Patch::Merge(json!({ "status": after }));
        let patched = applications(&self.deps.client).patch_status(name, &PatchParams::default(), &patch).await;
        patched.map(drop).map_err(|e| crate::api_problem("to change an Application's status", &e))
    }

    async fn tell(&self, name: &str, problem: &Problem) {
        let key = reconcile::application_key(name);
        let Ok(Some(application)) = self.objects.get("argoproj.io/v1alpha1", &key).await else { return };
        let before = &application["status"];
        let after = status::of_problem(before, problem, &rfc3339(self.deps.clock.now()));
        if let Err(problem) = self.patch_status(name, before, after).await {
            tracing::warn!(application = name, %problem, "status not written");
        }
    }

    /// Takes away what was delivered, then lets the Application go.
    async fn remove(&self, name: &str, application: &Value) -> Result<(), Problem> {
        let finalizers: Vec<Value> = application["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(());
        }
        for resource in application["status"]["resources"].as_array().into_iter().flatten() {
            let text = |field: &str| resource[field].as_str().unwrap_or_default().to_owned();
            let api_version = if text("group").is_empty() { text("version") } else { format!("{}/{}", text("group"), text("version")) };
            let key = galley_sync::Key {
                group: text("group"),
                kind: text("kind"),
                namespace: text("namespace"),
                name: text("name"),
            };
            let live = self.objects.get(&api_version, &key).await?;
            let mine = json!(galley_sync::tracking_id(name, &key));
            if live.is_some_and(|live| live["metadata"]["annotations"][TRACKING] == mine) {
                self.objects.delete(&api_version, &key).await?;
            }
        }
        let left: Vec<_> = finalizers.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
        let patch = json!({ "metadata": { "finalizers": left } });
        self.objects.merge("argoproj.io/v1alpha1", &reconcile::application_key(name), &patch).await
    }

    /// Follows every kind that an Application has delivered, once.
    async fn watch_kinds(&mut self, compared: &reconcile::Compared, events: &mpsc::Sender<Event>, watchers: &mut JoinSet<()>) {
        for item in &compared.plan.items {
            let Ok((resource, _)) = self.objects.resource(&item.api_version, &item.key.kind).await else { continue };
            if self.watched.insert(resource.clone()) {
                let api: Api<DynamicObject> = Api::all_with(self.deps.client.clone(), &resource);
                watchers.spawn(follow_objects(api, events.clone()));
            }
        }
    }
}

fn applications(client: &Client) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application");
    Api::namespaced_with(client.clone(), NAMESPACE, &ApiResource::from_gvk_with_plural(&gvk, "applications"))
}

/// The last ten deliveries.
fn history(before: &Value, operation: &Value) -> Value {
    let mut history: Vec<Value> = before["history"].as_array().cloned().unwrap_or_default();
    let revision = &operation["syncResult"]["revision"];
    if history.last().is_none_or(|last| last["revision"] != *revision) {
        let id = history.last().and_then(|last| last["id"].as_u64()).map_or(0, |id| id + 1);
        history.push(json!({
            "id": id, "revision": revision, "deployedAt": operation["finishedAt"],
            "source": operation["syncResult"]["source"],
        }));
    }
    let skip = history.len().saturating_sub(10);
    Value::Array(history.split_off(skip))
}

/// What of an Application is not written by ourselves.
fn essence(application: &DynamicObject) -> String {
    json!([
        application.data["spec"],
        application.data.get("operation"),
        application.metadata.annotations,
        application.metadata.deletion_timestamp,
    ])
    .to_string()
}

async fn follow_applications(api: Api<DynamicObject>, events: mpsc::Sender<Event>) {
    let mut changes = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(change) = changes.next().await {
        let event = match change {
            Ok(watcher::Event::Apply(application) | watcher::Event::InitApply(application)) => {
                Event::Application(Box::new(application))
            }
            Ok(watcher::Event::Delete(application)) => Event::Gone(application.name_any()),
            Ok(watcher::Event::Init | watcher::Event::InitDone) => continue,
            Err(error) => {
                tracing::debug!(%error, "watch of Applications is renewed");
                continue;
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// Wakes the owner of every object that changes.
async fn follow_objects(api: Api<DynamicObject>, events: mpsc::Sender<Event>) {
    let mut changes = watcher(api, watcher::Config::default()).default_backoff().touched_objects().boxed();
    while let Some(change) = changes.next().await {
        let Ok(object) = change else { continue };
        let owner = object.annotations().get(TRACKING).and_then(|id| id.split(':').next()).map(str::to_owned);
        if let Some(owner) = owner
            && events.send(Event::Object(owner)).await.is_err()
        {
            return;
        }
    }
}
