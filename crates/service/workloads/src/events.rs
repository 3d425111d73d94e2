//! Events: what a person sees under `kubectl describe`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use kube::Resource;
use kube::api::{Api, ObjectMeta, PostParams};

use crate::error::{Attempt, Error};
use crate::objects::{Context, MANAGER, list, merge, name_of, namespace_of, uid_of};

/// How long an event is kept.
const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
const SWEEP: Duration = Duration::from_secs(600);
/// The most different events that one object's part of the room remembers for counting.
const REMEMBERED: usize = 64;

/// Writes events about one object; repeated ones are counted.
pub(crate) struct Events {
    about: ObjectReference,
    written: Mutex<HashMap<(String, String), (String, i32)>>,
}

impl Events {
    pub(crate) fn about<K: Resource<DynamicType = ()>>(object: &K) -> Self {
        let meta = object.meta();
        Events {
            about: ObjectReference {
                api_version: Some(K::api_version(&()).into_owned()),
                kind: Some(K::kind(&()).into_owned()),
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                uid: meta.uid.clone(),
                ..ObjectReference::default()
            },
            written: Mutex::default(),
        }
    }

    /// Writes an event; failure to do so is not worth failing for.
    pub(crate) async fn write(&self, cx: &Context, kind: &str, reason: &str, message: &str) {
        if let Err(error) = self.try_write(cx, kind, reason, message).await {
            tracing::debug!(error = &error as &dyn std::error::Error, reason, "could not write an event");
        }
    }

    pub(crate) async fn warn(&self, cx: &Context, reason: &str, message: &str) {
        self.write(cx, "Warning", reason, message).await;
    }

    async fn try_write(&self, cx: &Context, kind: &str, reason: &str, message: &str) -> Result<(), Error> {
        let namespace = self.about.namespace.as_deref().unwrap_or("default");
        let api = Api::<Event>::namespaced(cx.client.clone(), namespace);
        let key = (reason.to_owned(), message.to_owned());
        let again = {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            if written.len() > REMEMBERED {
                written.clear();
            }
            written.get_mut(&key).map(|(name, count)| {
                *count += 1;
                (name.clone(), *count)
            })
        };
        if let Some((name, count)) = again {
            let patch = serde_json::json!({"count": count, "lastTimestamp": cx.now()});
            return merge(&api, &name, patch).await.map(drop);
        }
        let object = self.about.name.as_deref().unwrap_or_default();
        let name = format!("{object}.{}", galley_units::random_suffix(16));
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: self.about.clone(),
            type_: Some(kind.to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            source: Some(EventSource {
                component: Some(MANAGER.to_owned()),
                host: Some(cx.config.node_name.clone()),
            }),
            first_timestamp: Some(cx.now()),
            last_timestamp: Some(cx.now()),
            count: Some(1),
            reporting_component: Some(MANAGER.to_owned()),
            reporting_instance: Some(cx.config.node_name.clone()),
            ..Event::default()
        };
        api.create(&PostParams::default(), &event).await.attempt(|| format!("write the event `{name}`"))?;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (name, 1));
        Ok(())
    }
}

/// Deletes events that are older than an hour.
pub(crate) async fn sweep(cx: &Context) -> Result<Option<Duration>, Error> {
    let before = cx.clock.now().checked_sub(KEPT).unwrap_or(jiff::Timestamp::MIN);
    for event in list::<Event>(&cx.client).await? {
        let last = event.last_timestamp.as_ref().or(event.metadata.creation_timestamp.as_ref());
        if last.is_some_and(|time| time.0 < before) && !uid_of(&event.metadata).is_empty() {
            let api = Api::<Event>::namespaced(cx.client.clone(), namespace_of(&event.metadata));
            // Somebody else may have been faster.
            let _ = api.delete(name_of(&event.metadata), &kube::api::DeleteParams::default()).await;
        }
    }
    Ok(Some(SWEEP))
}
