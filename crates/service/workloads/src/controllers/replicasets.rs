//! ReplicaSets: as many pods as asked for.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};

use super::{create_pod, delete_pod};
use crate::error::{Attempt, Error};
use crate::objects::{
    Context, is_active, is_controlled_by, list, name_of, namespace_of, phase, ready_since, uid_of,
};

/// The most pods that one round makes for one ReplicaSet; the next round follows at once.
const BURST: usize = 50;

/// Brings every ReplicaSet's pods to their number and reports.
pub(crate) async fn reconcile(cx: &Context) -> Result<Option<Duration>, Error> {
    let sets = list::<ReplicaSet>(&cx.client).await?;
    let pods = list::<Pod>(&cx.client).await?;
    let mut wake = None;
    let mut failed = None;
    for set in sets.iter().filter(|set| set.metadata.deletion_timestamp.is_none()) {
        let own: Vec<&Pod> = pods
            .iter()
            .filter(|pod| {
                namespace_of(&pod.metadata) == namespace_of(&set.metadata)
                    && is_controlled_by(&pod.metadata, uid_of(&set.metadata))
            })
            .collect();
        // One failing set must not keep the others from being served.
        match reconcile_one(cx, set, &own).await {
            Ok(again) => wake = wake.into_iter().chain(again).min(),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(wake), Err)
}

async fn reconcile_one(cx: &Context, set: &ReplicaSet, pods: &[&Pod]) -> Result<Option<Duration>, Error> {
    let active: Vec<&Pod> = pods.iter().copied().filter(|pod| is_active(pod)).collect();
    let plan = plan(desired(set), &active);
    for _ in 0..plan.create.min(BURST) {
        let template = set.spec.template.clone().unwrap_or_default();
        create_pod(cx, set, &template).await?;
    }
    for pod in &plan.delete {
        delete_pod(cx, set, pod).await?;
    }
    let now = cx.clock.now();
    let (status, wake) = status(set, &active, now);
    if set.status.as_ref() != Some(&status) {
        let name = name_of(&set.metadata);
        let api = Api::<ReplicaSet>::namespaced(cx.client.clone(), namespace_of(&set.metadata));
        let mut set = set.clone();
        set.status = Some(status);
        api.replace_status(name, &PostParams::default(), &set)
            .await
            .attempt(|| format!("report the state of the ReplicaSet `{name}`"))?;
    }
    Ok(wake)
}

fn desired(set: &ReplicaSet) -> usize {
    let replicas = set.spec.replicas.unwrap_or(1);
    usize::try_from(replicas).unwrap_or(0)
}

/// How many pods to make, and which to delete.
#[derive(Debug, Default)]
struct Plan<'a> {
    create: usize,
    delete: Vec<&'a Pod>,
}

fn plan<'a>(desired: usize, active: &[&'a Pod]) -> Plan<'a> {
    if active.len() <= desired {
        return Plan { create: desired - active.len(), delete: Vec::new() };
    }
    let mut ranked = active.to_vec();
    // The least useful first: not scheduled, not running, not ready, ready for the shortest time, youngest.
    ranked.sort_by_key(|pod| {
        let scheduled = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        let ready = ready_since(pod);
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (
            scheduled,
            phase(pod) == "Running",
            ready.is_some(),
            std::cmp::Reverse(ready),
            std::cmp::Reverse(created),
            name_of(&pod.metadata).to_owned(),
        )
    });
    ranked.truncate(active.len() - desired);
    Plan { create: 0, delete: ranked }
}

/// The status, and when it will change by itself.
fn status(set: &ReplicaSet, active: &[&Pod], now: Timestamp) -> (ReplicaSetStatus, Option<Duration>) {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let wait = set.spec.min_ready_seconds.unwrap_or(0);
    let wait = jiff::SignedDuration::from_secs(i64::from(wait));
    let ready: Vec<Timestamp> = active.iter().filter_map(|pod| ready_since(pod)).collect();
    let (available, waiting): (Vec<_>, Vec<_>) = ready
        .iter()
        .map(|since| since.saturating_add(wait).unwrap_or(Timestamp::MAX))
        .partition(|at| *at <= now);
    let template = set.spec.template.as_ref().and_then(|template| template.metadata.as_ref()?.labels.clone());
    let labels = template.unwrap_or_default();
    let labelled = active.iter().filter(|pod| {
        let own = pod.metadata.labels.clone().unwrap_or_default();
        labels.iter().all(|(key, value)| own.get(key) == Some(value))
    });
    let status = ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: Some(count(labelled.count())),
        ready_replicas: Some(count(ready.len())),
        available_replicas: Some(count(available.len())),
        observed_generation: set.metadata.generation,
        ..ReplicaSetStatus::default()
    };
    let wake = waiting.into_iter().min().map(|at| at.duration_since(now).unsigned_abs());
    (status, wake)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, ready_since: Option<&str>, scheduled: bool) -> Pod {
        let conditions =
            ready_since.map(|time| json!([{"type": "Ready", "status": "True", "lastTransitionTime": time}]));
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"containers": [], "nodeName": scheduled.then_some("galley")},
            "status": {"phase": if ready_since.is_some() { "Running" } else { "Pending" }, "conditions": conditions}
        }))
        .unwrap()
    }

    #[test]
    fn the_least_useful_pods_go_first() {
        let pods = [
            pod("old", Some("2026-01-01T00:00:00Z"), true),
            pod("new", Some("2026-01-02T00:00:00Z"), true),
            pod("starting", None, true),
            pod("unscheduled", None, false),
        ];
        let all: Vec<&Pod> = pods.iter().collect();
        let names = |desired| {
            plan(desired, &all).delete.iter().map(|pod| name_of(&pod.metadata).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(3), ["unscheduled"]);
        assert_eq!(names(1), ["unscheduled", "starting", "new"]);
        assert_eq!(plan(6, &all).create, 2);
    }

    #[test]
    fn pods_are_available_after_their_time() {
        let set: ReplicaSet = serde_json::from_value(json!({
            "metadata": {"generation": 3}, "spec": {"minReadySeconds": 30, "selector": {}}
        }))
        .unwrap();
        let pods =
            [pod("a", Some("2026-01-01T00:00:00Z"), true), pod("b", Some("2026-01-01T00:00:20Z"), true)];
        let all: Vec<&Pod> = pods.iter().collect();
        let (status, wake) = status(&set, &all, "2026-01-01T00:00:40Z".parse().unwrap());
        assert_eq!((status.ready_replicas, status.available_replicas), (Some(2), Some(1)));
        assert_eq!((status.observed_generation, wake), (Some(3), Some(Duration::from_secs(10))));
    }
}
