//! Writing statuses: only what says something new, so that a write never leads to another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use galley_gateway_types::{
    Condition, Gateway, GatewayClass, GatewayStatus, HttpRoute, RouteParentStatus, same_conditions,
};
use galley_units::{Clock, rfc3339};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Snapshot, kinds, parse};

/// Pause before writes that failed are tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// Deadline for one write.
const DEADLINE: Duration = Duration::from_secs(10);

/// An object: kind, namespace, name.
type Key = (&'static str, String, String);

pub(super) struct Statuses {
    client: Client,
    clock: Arc<dyn Clock>,
    controller: String,
    /// What was written last: the status, and the version of the object after it. A cache that is older says nothing.
    written: HashMap<Key, (Value, u64)>,
}

impl Statuses {
    pub(super) fn new(client: Client, clock: Arc<dyn Clock>, controller: &str) -> Statuses {
        Statuses { client, clock, controller: controller.to_owned(), written: HashMap::new() }
    }

    /// Writes the statuses of the newest snapshot, for ever.
    pub(super) async fn run(mut self, mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>) {
        let mut complete = true;
        loop {
            let changed = async {
                if complete {
                    return snapshots.changed().await.is_ok();
                }
                // What failed is tried again, with newer objects if there are any by then.
                match tokio::time::timeout(AGAIN, snapshots.changed()).await {
                    Ok(changed) => changed.is_ok(),
                    Err(_) => true,
                }
            };
            if !changed.await {
                return;
            }
            let snapshot = snapshots.borrow_and_update().clone();
            if let Some(snapshot) = snapshot {
                complete = self.write_all(&snapshot).await;
            }
        }
    }

    /// Gives whether everything that had to be written was.
    async fn write_all(&mut self, snapshot: &Snapshot) -> bool {
        let now = rfc3339(self.clock.now());
        let mut complete = true;
        for object in &snapshot.classes {
            let Some(class) = parse::<GatewayClass>(object) else { continue };
            let Some(wanted) = snapshot.verdicts.classes.get(&class.metadata.name) else { continue };
            let current = class.status.map(|status| status.conditions).unwrap_or_default();
            if !same_conditions(&wanted.conditions, &current) {
                let status = json!({"conditions": dated(&wanted.conditions, &current, &now)});
                complete &= self.write("GatewayClass", &kinds::gateway_class(), object, status).await;
            }
        }
        for object in &snapshot.gateways {
            let Some(gateway) = parse::<Gateway>(object) else { continue };
            let key = (gateway.metadata.namespace().to_owned(), gateway.metadata.name.clone());
            let Some(wanted) = snapshot.verdicts.gateways.get(&key) else { continue };
            let current = gateway.status.unwrap_or_default();
            if !same_gateway(wanted, &current) {
                let status = dated_gateway(wanted, &current, &now);
                complete &= self.write("Gateway", &kinds::gateway(), object, json!(status)).await;
            }
        }
        for object in &snapshot.routes {
            let Some(route) = parse::<HttpRoute>(object) else { continue };
            let key = (route.metadata.namespace().to_owned(), route.metadata.name.clone());
            let Some(wanted) = snapshot.verdicts.routes.get(&key) else { continue };
            let current = route.status.map(|status| status.parents).unwrap_or_default();
            let (ours, mut others): (Vec<_>, Vec<_>) =
                current.into_iter().partition(|parent| parent.controller_name == self.controller);
            if !same_parents(wanted, &ours) {
                others.extend(dated_parents(wanted, &ours, &now));
                let status = json!({"parents": others});
                complete &= self.write("HTTPRoute", &kinds::http_route(), object, status).await;
            }
        }
        complete
    }

    /// Writes one status; false if it has to be tried again.
    async fn write(
        &mut self,
        kind: &'static str,
        resource: &ApiResource,
        object: &DynamicObject,
        status: Value,
    ) -> bool {
        let name = object.metadata.name.clone().unwrap_or_default();
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let key = (kind, namespace.clone(), name.clone());
        let version = version_of(object);
        if let Some((written, at)) = self.written.get(&key)
            && version.is_some_and(|version| version < *at)
            && without_times(written) == without_times(&status)
        {
            return true;
        }
        let api: Api<DynamicObject> = if namespace.is_empty() {
            Api::all_with(self.client.clone(), resource)
        } else {
            Api::namespaced_with(self.client.clone(), &namespace, resource)
        };
        // The version keeps a list that somebody else changed meanwhile from being overwritten.
        let patch =
            json!({"metadata": {"resourceVersion": object.metadata.resource_version}, "status": status});
        let parameters = PatchParams::default();
        let patch = Patch::Merge(&patch);
        let sent = api.patch_status(&name, &parameters, &patch);
        match tokio::time::timeout(DEADLINE, sent).await {
            Ok(Ok(after)) => {
                if let Some(version) = version_of(&after) {
                    self.written.insert(key, (status, version));
                }
                true
            }
            // Gone, or changed: the watch tells, and then there is a newer snapshot.
            Ok(Err(kube::Error::Api(answer))) if matches!(answer.code, 404 | 409) => true,
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    kind,
                    namespace,
                    name,
                    "a status was not written"
                );
                false
            }
            Err(_) => {
                tracing::warn!(kind, namespace, name, "writing a status took too long");
                false
            }
        }
    }
}

/// The version as a number. The specification calls it opaque; where it is no number, writes are not held back.
fn version_of(object: &DynamicObject) -> Option<u64> {
    object.metadata.resource_version.as_ref()?.parse().ok()
}

/// The same status with no times in it.
fn without_times(status: &Value) -> Value {
    match status {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "lastTransitionTime")
            .map(|(name, value)| (name.clone(), without_times(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_times).collect(),
        other => other.clone(),
    }
}

/// Conditions with times: the old one where the status did not change.
fn dated(wanted: &[Condition], current: &[Condition], now: &str) -> Vec<Condition> {
    wanted
        .iter()
        .map(|condition| {
            let since = current
                .iter()
                .find(|old| old.kind == condition.kind && old.status == condition.status)
                .map(|old| old.last_transition_time.as_str())
                .filter(|time| !time.is_empty())
                .unwrap_or(now);
            Condition { last_transition_time: since.to_owned(), ..condition.clone() }
        })
        .collect()
}

fn same_gateway(wanted: &GatewayStatus, current: &GatewayStatus) -> bool {
    wanted.addresses == current.addresses
        && same_conditions(&wanted.conditions, &current.conditions)
        && wanted.listeners.len() == current.listeners.len()
        && wanted.listeners.iter().zip(&current.listeners).all(|(a, b)| {
            a.name == b.name
                && a.supported_kinds == b.supported_kinds
                && a.attached_routes == b.attached_routes
                && same_conditions(&a.conditions, &b.conditions)
        })
}

fn dated_gateway(wanted: &GatewayStatus, current: &GatewayStatus, now: &str) -> GatewayStatus {
    let mut status = wanted.clone();
    status.conditions = dated(&wanted.conditions, &current.conditions, now);
    for listener in &mut status.listeners {
        let old = current.listeners.iter().find(|old| old.name == listener.name);
        let old = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
        listener.conditions = dated(&listener.conditions, old, now);
    }
    status
}

fn same_parents(wanted: &[RouteParentStatus], current: &[RouteParentStatus]) -> bool {
    wanted.len() == current.len()
        && wanted
            .iter()
            .zip(current)
            .all(|(a, b)| a.parent_ref == b.parent_ref && same_conditions(&a.conditions, &b.conditions))
}

fn dated_parents(
    wanted: &[RouteParentStatus],
    current: &[RouteParentStatus],
    now: &str,
) -> Vec<RouteParentStatus> {
    wanted
        .iter()
        .map(|parent| {
            let old = current.iter().find(|old| old.parent_ref == parent.parent_ref);
            let old = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
            RouteParentStatus { conditions: dated(&parent.conditions, old, now), ..parent.clone() }
        })
        .collect()
}
