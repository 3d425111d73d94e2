//! The controller: watches objects, builds tables, writes statuses.
//!
//! Two loops. One follows the watches and puts a new table in place after each burst of changes; it never waits for a
//! write. The other writes the statuses of the newest plan, and only what says something new.

mod kinds;
mod statuses;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use galley_units::Clock;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::DynamicObject;
use kube::runtime::reflector::{self, Lookup, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::statuses::Statuses;
use crate::proxy::Proxy;
use crate::table::{Objects, Settings, Verdicts, build};

/// Changes come in bursts; a table is built when there was none for this long,
const QUIET: Duration = Duration::from_millis(10);
/// or at the latest after this long.
const AT_MOST: Duration = Duration::from_millis(100);

pub(crate) struct Controller {
    client: Client,
    clock: Arc<dyn Clock>,
    settings: Settings,
    proxy: Proxy,
}

/// The newest state of everything that is watched.
struct Caches {
    classes: Store<DynamicObject>,
    gateways: Store<DynamicObject>,
    routes: Store<DynamicObject>,
    grants: Store<DynamicObject>,
    namespaces: Store<Namespace>,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
}

/// What statuses are written from.
pub(super) struct Snapshot {
    pub(super) verdicts: Verdicts,
    pub(super) classes: Vec<Arc<DynamicObject>>,
    pub(super) gateways: Vec<Arc<DynamicObject>>,
    pub(super) routes: Vec<Arc<DynamicObject>>,
}

type Changes = SelectAll<BoxStream<'static, ()>>;

impl Controller {
    pub(crate) fn new(client: Client, clock: Arc<dyn Clock>, settings: Settings, proxy: Proxy) -> Controller {
        Controller { client, clock, settings, proxy }
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let (newest, to_write) = watch::channel(None::<Arc<Snapshot>>);
        let statuses = Statuses::new(self.client.clone(), Arc::clone(&self.clock), &self.settings.controller);
        let work = async { tokio::join!(self.follow(newest), statuses.run(to_write)) };
        tokio::select! {
            _ = work => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// Follows the watches for ever.
    async fn follow(&self, newest: watch::Sender<Option<Arc<Snapshot>>>) {
        let mut changes = Changes::new();
        let caches = Caches {
            classes: watch_dynamic(&self.client, &kinds::gateway_class(), &mut changes),
            gateways: watch_dynamic(&self.client, &kinds::gateway(), &mut changes),
            routes: watch_dynamic(&self.client, &kinds::http_route(), &mut changes),
            grants: watch_dynamic(&self.client, &kinds::reference_grant(), &mut changes),
            namespaces: watch_typed(&self.client, &mut changes),
            services: watch_typed(&self.client, &mut changes),
            slices: watch_typed(&self.client, &mut changes),
        };
        while changes.next().await.is_some() {
            let latest = tokio::time::Instant::now() + AT_MOST;
            loop {
                let quiet = (tokio::time::Instant::now() + QUIET).min(latest);
                match tokio::time::timeout_at(quiet, changes.next()).await {
                    Ok(Some(())) if tokio::time::Instant::now() < latest => {}
                    _ => break,
                }
            }
            if caches.are_filled() {
                let (objects, mut snapshot) = caches.read();
                let plan = build(&objects, &self.settings);
                self.proxy.set_table(plan.table);
                snapshot.verdicts = plan.verdicts;
                newest.send_replace(Some(Arc::new(snapshot)));
            }
        }
    }
}

impl Caches {
    /// Whether every list was read once: a table from half of the objects would send requests astray.
    fn are_filled(&self) -> bool {
        fn filled<K>(store: &Store<K>) -> bool
        where
            K: Lookup + Clone + 'static,
            K::DynamicType: Eq + std::hash::Hash + Clone,
        {
            use futures::FutureExt;
            store.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
        }
        filled(&self.classes)
            && filled(&self.gateways)
            && filled(&self.routes)
            && filled(&self.grants)
            && filled(&self.namespaces)
            && filled(&self.services)
            && filled(&self.slices)
    }

    fn read(&self) -> (Objects, Snapshot) {
        let snapshot = Snapshot {
            verdicts: Verdicts::default(),
            classes: self.classes.state(),
            gateways: self.gateways.state(),
            routes: self.routes.state(),
        };
        let namespaces = self.namespaces.state();
        let labels = namespaces.iter().filter_map(|namespace| {
            let labels = namespace.metadata.labels.clone().unwrap_or_default();
            Some((namespace.metadata.name.clone()?, labels))
        });
        let objects = Objects {
            classes: parse_all(&snapshot.classes),
            gateways: parse_all(&snapshot.gateways),
            routes: parse_all(&snapshot.routes),
            grants: parse_all(&self.grants.state()),
            namespaces: labels.collect(),
            services: self.services.state(),
            slices: self.slices.state(),
        };
        (objects, snapshot)
    }
}

/// Reads what can be read; an object that cannot is left out with a warning.
fn parse_all<T: DeserializeOwned>(objects: &[Arc<DynamicObject>]) -> Vec<T> {
    objects.iter().filter_map(|object| parse(object)).collect()
}

pub(super) fn parse<T: DeserializeOwned>(object: &DynamicObject) -> Option<T> {
    let value = serde_json::to_value(object).ok()?;
    serde_json::from_value(value)
        .inspect_err(|error| {
            let kind = object.types.as_ref().map_or("object", |types| types.kind.as_str());
            let name = object.metadata.name.as_deref().unwrap_or_default();
            tracing::warn!(%error, kind, name, "an object cannot be read and is left out");
        })
        .ok()
}

fn watch_dynamic(
    client: &Client,
    kind: &kube::api::ApiResource,
    changes: &mut Changes,
) -> Store<DynamicObject> {
    let writer = reflector::store::Writer::new(kind.clone());
    let reader = writer.as_reader();
    let api: Api<DynamicObject> = Api::all_with(client.clone(), kind);
    follow_into(api, writer, changes, kind.kind.clone());
    reader
}

fn watch_typed<K>(client: &Client, changes: &mut Changes) -> Store<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    follow_into(Api::all(client.clone()), writer, changes, K::kind(&()).into_owned());
    reader
}

fn follow_into<K>(api: Api<K>, writer: reflector::store::Writer<K>, changes: &mut Changes, kind: String)
where
    K: kube::Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone + Send + Sync,
{
    let events = watcher(api, watcher::Config::default()).default_backoff();
    let stream = kube::runtime::reflector(writer, events).filter_map(move |event| {
        let changed = match event {
            // A list in progress changes nothing until it is complete.
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => None,
            Ok(_) => Some(()),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    kind,
                    "a watch broke off and begins again"
                );
                None
            }
        };
        std::future::ready(changed)
    });
    changes.push(stream.boxed());
}
