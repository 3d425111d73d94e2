//! What wakes a turn: Applications themselves, and the objects that belong to them.

use std::collections::HashSet;

use futures::{Stream, StreamExt as _, stream::BoxStream, stream::SelectAll};
use galley_sync::{Key, tracking_of};
use kube::{
    Api,
    api::DynamicObject,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde_json::{Value, json};

use crate::kinds::{Kinds, Served, to_value};

/// An Application has appeared, changed in what matters, or gone.
pub(crate) enum News {
    /// It is there; what matters of it, as text.
    Is(String, String),
    /// It has gone.
    Gone(String),
}

/// News of Applications. What our own writing changes is not news.
pub(crate) fn applications(api: Api<DynamicObject>) -> BoxStream<'static, News> {
    let stream = watcher(api, watcher::Config::default()).default_backoff();
    let news = stream.filter_map(|event| async move {
        let event =
            event.inspect_err(|error| tracing::warn!(%error, "the watch of Applications broke")).ok()?;
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                let name = object.metadata.name.clone()?;
                Some(News::Is(name, matter(&object)))
            }
            Event::Delete(object) => object.metadata.name.map(News::Gone),
            Event::Init | Event::InitDone => None,
        }
    });
    news.boxed()
}

/// Everything about an Application to which somebody must react.
fn matter(object: &DynamicObject) -> String {
    let phase = object.data.pointer("/status/operationState/phase").and_then(Value::as_str);
    json!([
        object.data.get("spec"),
        object.data.get("operation"),
        object.metadata.annotations,
        object.metadata.labels,
        object.metadata.finalizers,
        object.metadata.deletion_timestamp.is_some(),
        object.metadata.uid,
        phase == Some("Terminating"),
    ])
    .to_string()
}

/// A changed object: which one, and whose it says it is.
pub(crate) struct Changed {
    pub(crate) key: Key,
    pub(crate) application: Option<String>,
}

/// Watches of all kinds that Applications have objects of.
#[derive(Default)]
pub(crate) struct Watches {
    watched: HashSet<String>,
    streams: SelectAll<BoxStream<'static, Changed>>,
}

impl Watches {
    /// Watches these kinds too, if they are not watched yet.
    pub(crate) fn add(&mut self, kinds: &Kinds, served: &[Served]) {
        for served in served {
            if served.listed && self.watched.insert(served.id()) {
                tracing::debug!(kind = served.id(), "is watched");
                self.streams.push(changes(kinds, served.clone()).boxed());
            }
        }
    }

    /// The next change; never ends, whether or not something is watched.
    pub(crate) async fn next(&mut self) -> Changed {
        match self.streams.next().await {
            Some(changed) => changed,
            None => std::future::pending().await,
        }
    }
}

fn changes(kinds: &Kinds, served: Served) -> impl Stream<Item = Changed> + Send + use<> {
    let stream = watcher(kinds.api(&served, ""), watcher::Config::default()).default_backoff();
    stream.filter_map(move |event| {
        let changed = match event {
            Ok(Event::Apply(object) | Event::Delete(object) | Event::InitApply(object)) => {
                let object = to_value(object, &served.resource);
                let application = tracking_of(&object).map(|tracking| tracking.application);
                Key::of(&object).map(|key| Changed { key, application })
            }
            Ok(Event::Init | Event::InitDone) => None,
            Err(error) => {
                tracing::debug!(%error, kind = served.id(), "the watch broke");
                None
            }
        };
        async move { changed }
    })
}
