//! Mutexes and semaphores across workflows.
//!
//! The truth is in the workflows' statuses; the table is read from them once and kept up to date by every look.
//! Waiting workflows are woken when a lock they wait for is given back.

use std::collections::{BTreeMap, BTreeSet};

use galley_argo_workflows::{Workflow, WorkflowStatus};
use galley_workflow::{LockSeen, Templates};
use jiff::Timestamp;
use kube::Api;
use kube::api::{DynamicObject, ListParams};

use crate::Error;
use crate::api::{argo, as_workflow, core, within};
use crate::service::{Context, Key};

/// How one workflow stands to locks.
#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    /// Locks and how many holders of the workflow each has.
    held: BTreeMap<String, usize>,
    waiting: BTreeSet<String>,
    priority: i64,
    created: Option<Timestamp>,
}

impl Entry {
    fn of(workflow: &Workflow) -> Entry {
        let mut entry = Entry {
            priority: workflow.spec.priority.unwrap_or(0),
            created: workflow.metadata.creation_timestamp,
            ..Entry::default()
        };
        let status =
            workflow.status.as_ref().and_then(|status: &WorkflowStatus| status.synchronization.as_deref());
        if let Some(status) = status {
            for (lock, _) in status.all_held() {
                *entry.held.entry(lock.to_owned()).or_default() += 1;
            }
            entry.waiting.extend(status.all_waiting().into_iter().map(str::to_owned));
        }
        entry
    }

    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.waiting.is_empty()
    }

    fn is_before(&self, other: &Entry) -> bool {
        (-self.priority, self.created) < (-other.priority, other.created)
    }
}

/// All workflows that hold locks or wait for some.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: BTreeMap<Key, Entry>,
    is_read: bool,
}

/// Whether a workflow may use locks.
pub(crate) fn uses(workflow: &Workflow, templates: &Templates) -> bool {
    let stored = workflow.status.as_ref().is_some_and(|status| {
        status.synchronization.is_some()
            || status.stored_templates.values().any(|template| template.synchronization.is_some())
            || status.stored_spec.as_ref().is_some_and(|spec| asks(spec))
    });
    stored
        || asks(&workflow.spec)
        || templates.namespaced.values().chain(templates.cluster.values()).any(asks)
}

fn asks(spec: &galley_argo_workflows::WorkflowSpec) -> bool {
    let defaults = spec.template_defaults.iter().map(|template| &**template);
    spec.synchronization.is_some()
        || spec.templates.iter().chain(defaults).any(|template| template.synchronization.is_some())
}

impl Table {
    /// The locks as others stand to them, for the look at one workflow.
    pub(crate) async fn seen(
        &mut self,
        context: &Context,
        key: &Key,
        workflow: &Workflow,
    ) -> Result<BTreeMap<String, LockSeen>, Error> {
        if !self.is_read {
            let all: Api<DynamicObject> = Api::all_with(context.client.clone(), &argo("Workflow"));
            let list = all.list(&ListParams::default()).await.map_err(Error::api("listing workflows"))?;
            for workflow in list.iter().filter_map(|object| as_workflow(object).ok()) {
                let key = Key {
                    namespace: workflow.metadata.namespace.clone().unwrap_or_default(),
                    name: workflow.metadata.name.clone(),
                };
                self.enter(key, Entry::of(&workflow));
            }
            self.is_read = true;
        }
        let mut seen = limits(context, &key.namespace).await?;
        let own = Entry::of(workflow);
        for (other, entry) in self.entries.iter().filter(|(other, _)| *other != key) {
            for (lock, count) in &entry.held {
                mutex(&mut seen, lock).others += count;
            }
            // Who waits for several locks may wait long for the others; nobody stands behind it.
            if entry.waiting.len() == 1 && (entry.is_before(&own) && other != key) {
                for lock in &entry.waiting {
                    mutex(&mut seen, lock).ahead += 1;
                }
            }
        }
        Ok(seen)
    }

    fn enter(&mut self, key: Key, entry: Entry) {
        if entry.is_empty() {
            self.entries.remove(&key);
        } else {
            self.entries.insert(key, entry);
        }
    }

    /// Notes how a workflow stands to locks now; gives the workflows to look at because of it.
    pub(crate) fn note(&mut self, key: &Key, workflow: &Workflow) -> Vec<Key> {
        let done = workflow.status.as_ref().is_some_and(|status| status.phase.is_done());
        let new = if done { Entry::default() } else { Entry::of(workflow) };
        let old = self.entries.get(key).cloned().unwrap_or_default();
        let given_back = |lock: &String| {
            let less = new.held.get(lock).copied().unwrap_or(0) < old.held.get(lock).copied().unwrap_or(0);
            less || (old.waiting.contains(lock) && !new.waiting.contains(lock))
        };
        let free: BTreeSet<String> =
            old.held.keys().chain(&old.waiting).filter(|lock| given_back(lock)).cloned().collect();
        self.enter(key.clone(), new);
        let waits = |entry: &Entry| entry.waiting.iter().any(|lock| free.contains(lock));
        let others = self.entries.iter().filter(|(other, entry)| *other != key && waits(entry));
        others.map(|(other, _)| other.clone()).collect()
    }
}

fn mutex<'s>(seen: &'s mut BTreeMap<String, LockSeen>, lock: &str) -> &'s mut LockSeen {
    let limit = i64::from(lock.split('/').nth(1) == Some("Mutex"));
    seen.entry(lock.to_owned()).or_insert(LockSeen { limit, ..LockSeen::default() })
}

/// The sizes of semaphores: whole numbers in the ConfigMaps of the namespace.
async fn limits(context: &Context, namespace: &str) -> Result<BTreeMap<String, LockSeen>, Error> {
    let maps = within(&context.client, namespace, &core("ConfigMap"));
    let list = maps.list(&ListParams::default()).await.map_err(Error::api("listing ConfigMaps"))?;
    let mut seen = BTreeMap::new();
    for map in list.iter() {
        let name = map.metadata.name.as_deref().unwrap_or_default();
        for (key, value) in map.data["data"].as_object().into_iter().flatten() {
            if let Some(limit) = value.as_str().and_then(|text| text.trim().parse::<i64>().ok()) {
                let lock = format!("{namespace}/ConfigMap/{name}/{key}");
                seen.insert(lock, LockSeen { limit, ..LockSeen::default() });
            }
        }
    }
    Ok(seen)
}

/// A workflow is gone: what it held is free.
pub(crate) async fn forget(context: &Context, key: &Key) {
    let woken = context.locks.lock().await.note(key, &Workflow::default());
    wake(context, woken).await;
}

/// Has workflows looked at.
pub(crate) async fn wake(context: &Context, keys: Vec<Key>) {
    for key in keys {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            _ = context.workflows.send(key) => {}
        }
    }
}
