//! CronWorkflows.

use std::sync::Arc;
use std::time::Duration;

use galley_units::{Clock, ManualClock};
use galley_workflows::{SubmitFrom, submit};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::house::{End, House, NAMESPACE, until};

fn cron(policy: &str) -> serde_json::Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "CronWorkflow",
        "metadata": {"name": "nightly", "namespace": NAMESPACE},
        "spec": {
            "schedules": ["0 2 * * *"], "timezone": "Etc/UTC", "concurrencyPolicy": policy,
            "startingDeadlineSeconds": 3600, "successfulJobsHistoryLimit": 2,
            "workflowMetadata": {"labels": {"team": "night"}},
            "workflowSpec": {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "i", "command": ["true"]}}]},
        },
    })
}

async fn runs(house: &House) -> Vec<String> {
    let all = house.api("Workflow").list(&ListParams::default()).await.unwrap();
    let mut names: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
    names.sort();
    names
}

/// A change of the object makes the service look again.
async fn nudge(house: &House, round: usize) {
    change(house, json!({"metadata": {"annotations": {"round": round.to_string()}}})).await;
}

/// Patches the CronWorkflow; the service may write in between, then once more.
async fn change(house: &House, patch: serde_json::Value) {
    let patch = &Patch::Merge(patch);
    until("the change", || async {
        house.api("CronWorkflow").patch("nightly", &PatchParams::default(), patch).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_gives_one_run_and_history_is_short() {
    let clock = ManualClock::new("2026-11-05T01:30:00Z".parse().unwrap());
    let mut house = House::with_clock(Arc::new(clock.clone()), |_| End::default()).await;
    house.create(cron("Forbid")).await;
    let mut expected = Vec::new();
    for round in 0..4 {
        clock.advance(Duration::from_secs(if round == 0 { 31 * 60 } else { 86_400 }));
        nudge(&house, round).await;
        let due = clock.now().as_second() / 86_400 * 86_400 + 2 * 3600;
        let name = format!("nightly-{due}");
        until(&format!("run {name} of round {round}: {:?}", runs(&house).await), || async {
            house.api("Workflow").get_opt(&name).await.unwrap()
        })
        .await;
        assert_eq!(house.ended(&name).await["phase"], "Succeeded");
        expected.push(name);
        // Looking again, even by a new service, begins nothing.
        house.stop().await;
        house.start();
    }
    let kept = expected.split_off(2);
    until("history", || async { (runs(&house).await == kept).then_some(()) }).await;
    let run = house.api("Workflow").get(&kept[0]).await.unwrap();
    assert_eq!(run.labels()["team"], "night");
    assert_eq!(run.labels()["workflows.argoproj.io/cron-workflow"], "nightly");
    assert_eq!(run.owner_references()[0].name, "nightly");
    let status = until("the count", || async {
        let status = house.api("CronWorkflow").get("nightly").await.unwrap().data["status"].clone();
        (status["succeeded"] == 4).then_some(status)
    })
    .await;
    assert_eq!(status["lastScheduledTime"], "2026-11-08T02:00:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_forbids_another() {
    let clock = ManualClock::new("2026-11-05T01:59:30Z".parse().unwrap());
    let house = House::with_clock(Arc::new(clock.clone()), |_| End { never: true, ..End::default() }).await;
    house.create(cron("Forbid")).await;
    clock.advance(Duration::from_secs(60));
    nudge(&house, 1).await;
    until("the first run", || async { (runs(&house).await.len() == 1).then_some(()) }).await;
    clock.advance(Duration::from_secs(86_400));
    nudge(&house, 2).await;
    // With another policy the same moment would give a second run: the first look has left it out for good.
    change(&house, json!({"spec": {"suspend": true}})).await;
    let by_hand =
        submit(&house.client, NAMESPACE, SubmitFrom::CronWorkflow("nightly".to_owned()), &Default::default())
            .await
            .unwrap();
    until("the run by hand", || async { (house.status(&by_hand).await["phase"] == "Running").then_some(()) })
        .await;
    assert_eq!(runs(&house).await.len(), 2);
}
