//! From a commit to objects.

use std::time::{Duration, Instant};

use galley_argo_cd::{Application, HealthCode, OperationPhase, SyncCode};
use kube::api::DeleteParams;
use serde_json::json;

use crate::house::{House, job, map};

fn automated() -> serde_json::Value {
    json!({"spec": {"syncPolicy": {"automated": {"prune": true, "selfHeal": true}}}})
}

fn synced_at(commit: &str) -> impl Fn(&Application) -> bool {
    let commit = commit.to_owned();
    move |app| {
        app.status.sync.status == SyncCode::Synced
            && app.status.sync.revision == commit
            && app.status.operation_state.as_ref().is_some_and(|s| s.phase == OperationPhase::Succeeded)
    }
}

fn phase(app: &Application) -> Option<OperationPhase> {
    app.status.operation_state.as_ref().map(|state| state.phase)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_applied_drift_is_undone_and_what_leaves_git_goes() {
    let mut house =
        House::new(&[("app/a.yaml", &map("a", "{v: one, old: x}")), ("app/b.yaml", &map("b", "{}"))]).await;
    house.application(automated()).await;
    house.start();
    let first = house.repo.resolve("main").await.expect("resolves").expect("main");
    let app = house.until("the first sync", synced_at(&first)).await;
    assert_eq!(app.status.health.status, Some(HealthCode::Healthy));
    assert_eq!((app.status.source_type.as_str(), app.status.history.len()), ("Directory", 1));
    let results = app.status.operation_state.and_then(|s| s.sync_result).expect("a result").resources;
    let messages: Vec<&str> = results.iter().map(|r| r.message.as_str()).collect();
    assert_eq!(messages, ["configmap/a created", "configmap/b created"]);

    // A push.
    let begun = Instant::now();
    let second = house.push(&[("app/a.yaml", &map("a", "{v: two}")), ("app/c.yaml", &map("c", "{}"))]).await;
    let app = house.until("the second sync", synced_at(&second)).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "a push took {took:?}");
    assert_eq!(house.map_names().await, ["a", "c"]);
    let a = house.maps().get("a").await.expect("a");
    assert_eq!(a.data["data"], json!({"v": "two"}), "a field that left git is still there");
    assert_eq!(app.status.history.len(), 2);

    // Drift, of three sorts.
    let begun = Instant::now();
    house.patch(&house.maps(), "a", json!({"data": {"v": "drifted"}})).await;
    let healed =
        |o: Option<&kube::api::DynamicObject>| o.is_some_and(|o| o.data["data"]["v"] == json!("two"));
    house.wait(house.maps(), "a", "drift is undone", healed).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "healing took {:?}", begun.elapsed());
    house.maps().delete("c", &DeleteParams::default()).await.expect("is deleted");
    house.wait(house.maps(), "c", "c is made again", |o| o.is_some()).await;
    let app = house.until("healed", synced_at(&second)).await;
    assert_eq!(app.status.history.len(), 2, "healing is no history");
    house.patch(&house.maps(), "a", json!({"data": {"mine": "stays"}})).await;
    let third = house.push(&[("app/a.yaml", &map("a", "{v: three}")), ("app/c.yaml", &map("c", "{}"))]).await;
    house.until("the third sync", synced_at(&third)).await;
    let a = house.maps().get("a").await.expect("a");
    assert_eq!(a.data["data"], json!({"v": "three", "mine": "stays"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_policy_nothing_happens_until_asked() {
    let mut house = House::new(&[("app/a.yaml", &map("a", "{}"))]).await;
    house.application(json!({})).await;
    house.start();
    let app = house.until("it is seen", |app| app.status.sync.status == SyncCode::OutOfSync).await;
    assert_eq!(phase(&app), None);
    assert!(house.map_names().await.is_empty());
    let ask =
        |sync: serde_json::Value| json!({"operation": {"sync": sync, "initiatedBy": {"username": "ada"}}});
    house.patch(&house.applications(), "app", ask(json!({"dryRun": true}))).await;
    let app = house
        .until("a dry run", |a| phase(a) == Some(OperationPhase::Succeeded) && a.operation.is_none())
        .await;
    let state = app.status.operation_state.expect("a state");
    assert_eq!(state.sync_result.expect("a result").resources[0].message, "configmap/a created (dry run)");
    assert!(house.map_names().await.is_empty());

    house.patch(&house.applications(), "app", ask(json!({}))).await;
    let app =
        house.until("a sync", |a| a.status.sync.status == SyncCode::Synced && a.operation.is_none()).await;
    assert_eq!(app.status.history[0].initiated_by.username, "ada");
    assert_eq!(house.map_names().await, ["a"]);

    // What leaves git is not deleted unless that is asked for.
    house.push(&[("app/b.yaml", &map("b", "{}"))]).await;
    house.until("it is seen", |a| a.status.resources.iter().any(|r| r.requires_pruning)).await;
    house.patch(&house.applications(), "app", ask(json!({}))).await;
    house.until("a sync", |a| a.status.history.len() == 2 && a.operation.is_none()).await;
    assert_eq!(house.map_names().await, ["a", "b"]);
    house.patch(&house.applications(), "app", ask(json!({"prune": true}))).await;
    house.until("a sync", |a| a.status.history.len() == 3 && a.status.sync.status == SyncCode::Synced).await;
    assert_eq!(house.map_names().await, ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waves_and_hooks_wait_for_each_other() {
    let hook = |phase: &str| {
        format!("argocd.argoproj.io/hook: {phase}, argocd.argoproj.io/hook-delete-policy: HookSucceeded")
    };
    let web = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1, selector: {matchLabels: {a: b}}, \
               template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}\n";
    let late = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late, annotations: {argocd.argoproj.io/sync-wave: '1'}}\n";
    let files = [
        ("app/before.yaml", job("before", &hook("PreSync"))),
        ("app/after.yaml", job("after", &hook("PostSync"))),
        ("app/web.yaml", web.to_owned()),
        ("app/late.yaml", late.to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let mut house = House::new(&files).await;
    house.application(automated()).await;
    house.start();
    house.wait(house.jobs(), "before", "the first hook", |o| o.is_some()).await;
    let message = "waiting for completion of hook batch/Job/before";
    house
        .until("it waits", |a| a.status.operation_state.as_ref().is_some_and(|s| s.message == message))
        .await;
    assert!(
        house.deployments().get_opt("web").await.expect("asks").is_none(),
        "applied before its hook has ended"
    );
    house.end_job("before", "Complete").await;
    let live = house.wait(house.deployments(), "web", "the first wave", |o| o.is_some()).await.expect("live");
    let message = "waiting for healthy state of apps/Deployment/web";
    house
        .until("it waits", |a| a.status.operation_state.as_ref().is_some_and(|s| s.message == message))
        .await;
    assert!(house.map_names().await.is_empty(), "the second wave came before the first was healthy");
    let status = json!({"observedGeneration": live.metadata.generation, "replicas": 1, "updatedReplicas": 1,
        "readyReplicas": 1, "availableReplicas": 1});
    house.patch_status(&house.deployments(), "web", status).await;
    house.wait(house.maps(), "late", "the second wave", |o| o.is_some()).await;
    house.wait(house.jobs(), "after", "the last hook", |o| o.is_some()).await;
    house.end_job("after", "Complete").await;
    let app = house.until("the end", |a| phase(a) == Some(OperationPhase::Succeeded)).await;
    let state = app.status.operation_state.expect("a state");
    assert_eq!(state.message, "successfully synced (no more tasks)");
    house.wait(house.jobs(), "before", "the hook is deleted", |o| o.is_none()).await;
    house.wait(house.jobs(), "after", "the hook is deleted", |o| o.is_none()).await;
    let app = house.until("all is well", |a| a.status.health.status == Some(HealthCode::Healthy)).await;
    assert_eq!(app.status.sync.status, SyncCode::Synced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_where_it_was() {
    let before = job("before", "argocd.argoproj.io/hook: PreSync");
    let mut house = House::new(&[("app/before.yaml", &before), ("app/a.yaml", &map("a", "{}"))]).await;
    house.application(automated()).await;
    house.start();
    let hook = house.wait(house.jobs(), "before", "the hook", |o| o.is_some()).await.expect("the hook");
    house.until("it waits", |a| phase(a) == Some(OperationPhase::Running)).await;
    house.stop().await;
    house.end_job("before", "Complete").await;
    house.start();
    let commit = house.repo.resolve("main").await.expect("resolves").expect("main");
    let app = house.until("the end", synced_at(&commit)).await;
    assert_eq!(app.status.history.len(), 1);
    let now = house.jobs().get("before").await.expect("the hook");
    assert_eq!(now.metadata.uid, hook.metadata.uid, "the hook was made a second time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_object_is_told_retried_and_mended_by_a_commit() {
    let bad = "apiVersion: own.example/v1\nkind: Oven\nmetadata: {name: big}\n";
    let mut house = House::new(&[("app/a.yaml", &map("a", "{}")), ("app/o.yaml", bad)]).await;
    let retry = json!({"limit": 2, "backoff": {"duration": "1h"}});
    let policy = json!({"spec": {"syncPolicy": {"automated": {"prune": true}, "retry": retry}}});
    house.application(policy).await;
    house.start();
    let retries = |a: &Application| {
        a.status.operation_state.as_ref().is_some_and(|s| s.message.contains("Retrying attempt #1"))
    };
    let app = house.until("it will be tried again", retries).await;
    let results = app.status.operation_state.and_then(|s| s.sync_result).expect("a result").resources;
    assert!(
        results[0].message.starts_with("The Kubernetes API could not find own.example/Oven"),
        "{results:?}"
    );
    // The next attempt is an hour away, but a newer commit is not made to wait for it.
    let commit = house.push(&[("app/a.yaml", &map("a", "{v: '2'}"))]).await;
    house.until("mended", synced_at(&commit)).await;
    assert_eq!(house.map_names().await, ["a"]);
}
