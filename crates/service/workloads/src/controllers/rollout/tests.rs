//! A simulated ReplicaSet controller drives the plan to its end; the bounds must hold at every step.

use k8s_openapi::api::apps::v1::ReplicaSetStatus;
use serde_json::json;

use super::*;

fn deployment(image: &str, replicas: i32, strategy: serde_json::Value) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "strategy": strategy,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
        }
    }))
    .unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// Carries a plan out, and lets every pod appear; `healthy` says whether pods of an image become available.
fn step(deployment: &mut Deployment, sets: &mut Vec<ReplicaSet>, healthy: impl Fn(&str) -> bool) -> bool {
    let plan = plan(deployment, sets, now());
    let changed = plan.create.is_some() || !plan.scale.is_empty() || !plan.delete.is_empty();
    let limits = Limits::of(deployment);
    if let Some(set) = plan.create {
        sets.push(*set);
    }
    for set in sets.iter_mut() {
        if let Some(to) = plan.scale.get(name_of(&set.metadata)) {
            set.spec.replicas = Some(*to);
        }
    }
    sets.retain(|set| !plan.delete.contains(&name_of(&set.metadata).to_owned()));
    let total: i32 = sets.iter().map(replicas).sum();
    let before: i32 = sets.iter().map(available).sum();
    assert!(total <= limits.desired + limits.surge, "{total} pods");
    // What is available at once after scaling down.
    let kept: i32 = sets.iter().map(|set| available(set).min(replicas(set))).sum();
    if before >= limits.desired - limits.unavailable {
        assert!(kept >= limits.desired - limits.unavailable, "only {kept} available");
    }
    for set in sets.iter_mut() {
        let image =
            set.spec.template.as_ref().unwrap().spec.as_ref().unwrap().containers[0].image.clone().unwrap();
        let count = replicas(set);
        let up = if healthy(&image) { count } else { 0 };
        set.status = Some(ReplicaSetStatus {
            replicas: count,
            ready_replicas: Some(up),
            available_replicas: Some(up),
            ..ReplicaSetStatus::default()
        });
    }
    deployment.status = Some(plan.status);
    changed
}

fn settle(deployment: &mut Deployment, sets: &mut Vec<ReplicaSet>, healthy: impl Fn(&str) -> bool + Copy) {
    for _ in 0..50 {
        if !step(deployment, sets, healthy) {
            step(deployment, sets, healthy);
            return;
        }
    }
    panic!("the rollout does not settle");
}

fn shape(sets: &[ReplicaSet]) -> Vec<i32> {
    sets.iter().map(replicas).collect()
}

#[test]
fn a_rolling_update_replaces_all_pods_within_its_bounds() {
    for strategy in [
        json!({}),
        json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}),
        json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
        json!({"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": "50%"}}),
        json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
    ] {
        for replicas in [1, 2, 3, 10] {
            let mut sets = Vec::new();
            let mut one = deployment("one", replicas, strategy.clone());
            settle(&mut one, &mut sets, |_| true);
            assert_eq!(shape(&sets), [replicas]);
            let mut two = deployment("two", replicas, strategy.clone());
            two.status = one.status;
            two.metadata.generation = Some(2);
            settle(&mut two, &mut sets, |_| true);
            assert_eq!(shape(&sets), [0, replicas], "{strategy}");
            let status = two.status.unwrap();
            assert_eq!(status.updated_replicas, Some(replicas));
            let reasons: Vec<_> = status.conditions.unwrap().into_iter().filter_map(|c| c.reason).collect();
            assert_eq!(reasons, ["MinimumReplicasAvailable", "NewReplicaSetAvailable"]);
            assert_eq!((revision(&sets[0]), revision(&sets[1])), (Some(1), Some(2)));
        }
    }
}

#[test]
fn a_bad_version_does_not_take_the_old_one_down() {
    let mut sets = Vec::new();
    let mut one = deployment("one", 4, json!({}));
    settle(&mut one, &mut sets, |_| true);
    let mut two = deployment("bad", 4, json!({}));
    settle(&mut two, &mut sets, |image| image != "bad");
    // 25 % of 4: one pod may be missing, one more may exist.
    assert_eq!(shape(&sets), [3, 2]);
    assert_eq!(two.status.as_ref().unwrap().conditions.as_ref().unwrap()[0].status.as_deref(), Some("True"));
    // Going back makes the old set the current one again, with a new revision.
    let mut back = deployment("one", 4, json!({}));
    let step = plan(&back, &sets, now());
    assert_eq!(step.revision.as_ref().unwrap().1, 3);
    settle(&mut back, &mut sets, |image| image != "bad");
    assert_eq!(shape(&sets), [4, 0]);
}

#[test]
fn recreate_stops_all_before_it_starts_any() {
    let mut sets = Vec::new();
    let mut one = deployment("one", 2, json!({"type": "Recreate"}));
    settle(&mut one, &mut sets, |_| true);
    let two = deployment("two", 2, json!({"type": "Recreate"}));
    let first = plan(&two, &sets, now());
    assert_eq!(first.scale.values().collect::<Vec<_>>(), [&0]);
    assert_eq!(replicas(&first.create.unwrap()), 0);
}

#[test]
fn no_progress_is_told_after_the_deadline() {
    let mut sets = Vec::new();
    let mut one = deployment("bad", 1, json!({}));
    settle(&mut one, &mut sets, |_| false);
    let later = now().checked_add(SignedDuration::from_secs(601)).unwrap();
    let late = plan(&one, &sets, later);
    let conditions = late.status.conditions.unwrap();
    let progressing =
        conditions.iter().find(|condition| condition.type_.as_deref() == Some("Progressing")).unwrap();
    assert_eq!(progressing.reason.as_deref(), Some("ProgressDeadlineExceeded"));
    assert_eq!(progressing.status.as_deref(), Some("False"));
}

#[test]
fn old_sets_are_forgotten_beyond_the_history() {
    let mut sets = Vec::new();
    for version in 0..14 {
        let mut next = deployment(&version.to_string(), 1, json!({}));
        settle(&mut next, &mut sets, |_| true);
    }
    assert_eq!(sets.len(), 11);
}
