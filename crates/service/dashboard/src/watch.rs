//! One watch per kind, shared by all readers.
//!
//! Each watch keeps its own objects and counts up a revision when they change; readers take a snapshot and follow the
//! revision. A kind that cannot be read (not served, no permission, server away) is noted as a problem and tried again
//! with growing pauses.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::StreamExt;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::snapshot::{Key, Kind, Objects, Snapshot};

/// Most objects of one kind that are kept; more are noted as a problem.
const MAX_OBJECTS: usize = 5_000;

impl Kind {
    fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Kind::Application => ("argoproj.io", "v1alpha1", "Application", "applications"),
            Kind::Workflow => ("argoproj.io", "v1alpha1", "Workflow", "workflows"),
            Kind::Release => {
                (galley_release_types::GROUP, galley_release_types::VERSION, "Release", "releases")
            }
            Kind::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Kind::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}

#[derive(Default)]
struct Known {
    objects: Objects,
    problem: Option<String>,
    listed: bool,
}

/// What all watches know.
pub(crate) struct Watches {
    known: Mutex<BTreeMap<Kind, Known>>,
    revision: watch::Sender<u64>,
}

impl Watches {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Watches { known: Mutex::new(BTreeMap::new()), revision: watch::channel(0).0 })
    }

    /// Counts up whenever something changes.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Every kind has been listed once, or cannot be.
    pub(crate) fn is_complete(&self) -> bool {
        let known = self.known.lock().unwrap_or_else(|p| p.into_inner());
        Kind::ALL
            .iter()
            .all(|kind| known.get(kind).is_some_and(|known| known.listed || known.problem.is_some()))
    }

    /// All objects at this moment.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let known = self.known.lock().unwrap_or_else(|p| p.into_inner());
        let mut snapshot = Snapshot::default();
        for kind in Kind::ALL {
            match known.get(&kind) {
                Some(Known { objects, problem, .. }) => {
                    snapshot.set(kind, objects.clone());
                    snapshot.problems.extend(problem.clone().map(|problem| (kind, problem)));
                }
                None => snapshot.problems.push((kind, "They have not been read yet.".into())),
            }
        }
        snapshot
    }

    fn change(&self, kind: Kind, change: impl FnOnce(&mut Known)) {
        change(self.known.lock().unwrap_or_else(|p| p.into_inner()).entry(kind).or_default());
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Watches all kinds until cancelled.
    pub(crate) async fn run(self: Arc<Self>, client: Client, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            let (watches, client) = (self.clone(), client.clone());
            let until = shutdown.clone();
            tasks.spawn(async move { until.run_until_cancelled(watches.watch(kind, client)).await });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(error = &error as &dyn std::error::Error, "a watch of the dashboard broke");
            }
        }
    }

    async fn watch(&self, kind: Kind, client: Client) {
        let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
        let mut listing = Objects::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => listing.clear(),
                Ok(watcher::Event::InitApply(object)) => insert(&mut listing, object),
                Ok(watcher::Event::InitDone) => {
                    let objects = std::mem::take(&mut listing);
                    self.change(kind, |known| {
                        *known = Known { problem: too_many(&objects), objects, listed: true }
                    });
                }
                Ok(watcher::Event::Apply(object)) => self.change(kind, |known| {
                    insert(&mut known.objects, object);
                    known.problem = too_many(&known.objects);
                }),
                Ok(watcher::Event::Delete(object)) => self.change(kind, |known| {
                    known.objects.remove(&key(&object));
                    known.problem = too_many(&known.objects);
                }),
                Err(error) => {
                    tracing::debug!(
                        kind = kind.plural(),
                        error = &error as &dyn std::error::Error,
                        "watch failed"
                    );
                    let problem = told(&error);
                    let known = self.known.lock().unwrap_or_else(|p| p.into_inner());
                    let repeated =
                        known.get(&kind).is_some_and(|known| known.problem.as_ref() == Some(&problem));
                    drop(known);
                    if !repeated {
                        self.change(kind, |known| known.problem = Some(problem));
                    }
                }
            }
        }
    }
}

fn key(object: &DynamicObject) -> Key {
    (object.metadata.namespace.clone().unwrap_or_default(), object.metadata.name.clone().unwrap_or_default())
}

fn insert(objects: &mut Objects, mut object: DynamicObject) {
    let key = key(&object);
    if objects.len() >= MAX_OBJECTS && !objects.contains_key(&key) {
        return;
    }
    // Nobody reads them here, and they may be the larger part.
    object.metadata.managed_fields = None;
    objects.insert(key, Arc::new(serde_json::to_value(object).unwrap_or(Value::Null)));
}

fn too_many(objects: &Objects) -> Option<String> {
    (objects.len() >= MAX_OBJECTS).then(|| format!("Only {MAX_OBJECTS} of them are shown."))
}

/// What a person reads when a kind cannot be read.
fn told(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => match status.code {
            404 => "The API server does not serve them.".into(),
            401 | 403 => "The API server does not let the dashboard read them.".into(),
            _ => format!("The API server answers: {}", status.message),
        },
        _ => "The API server cannot be reached.".into(),
    }
}
