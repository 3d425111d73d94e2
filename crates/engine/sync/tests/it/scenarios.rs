//! Scenarios that were played on the real Argo CD 3.2; the expected lines are what it answered.

use galley_argo_cd::{HealthCode, OperationPhase, SyncCode, SyncOperationResource};
use galley_sync::{Action, Options, Plan, Refusal};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Done, config_map, job, object};

/// One line per result: `name status hookPhase syncPhase: message`.
fn lines(done: &Done) -> Vec<String> {
    let word = |value: Value| value.as_str().unwrap_or("-").to_owned();
    done.results
        .iter()
        .map(|r| {
            let parts = [json!(r.status), json!(r.hook_phase), json!(r.sync_phase)].map(word).join(" ");
            format!("{} {parts}: {}", r.name, r.message)
        })
        .collect()
}

fn prune() -> Options {
    Options { prune: true, ..Options::default() }
}

#[test]
fn a_first_sync_and_a_second_one() {
    let wanted = [
        config_map("flour", json!({})),
        object("v1", "Service", "shop", json!({})),
        object("apps/v1", "Deployment", "shop", json!({})),
    ];
    let mut cluster = Cluster::new();
    let before = cluster.compare(&wanted);
    assert_eq!((before.sync_code(), before.health()), (SyncCode::OutOfSync, HealthCode::Missing));
    let done = cluster.sync(&wanted, &Options::default());
    assert_eq!(
        (done.phase, done.message.as_str()),
        (OperationPhase::Succeeded, "successfully synced (all tasks run)")
    );
    let expected = [
        "flour \"Synced\" Running Sync: configmap/flour created",
        "shop Synced Running Sync: service/shop created",
        "shop Synced Running Sync: deployment.apps/shop created",
    ];
    assert_eq!(lines(&done), expected.map(|line| line.replace('"', "")));
    let after = cluster.compare(&wanted);
    assert_eq!((after.sync_code(), after.health()), (SyncCode::Synced, HealthCode::Healthy));
    let kinds: Vec<String> = after.resources().into_iter().map(|r| r.kind).collect();
    assert_eq!(kinds, ["ConfigMap", "Service", "Deployment"]);
    let again = cluster.sync(&wanted, &Options::default());
    assert!(lines(&again).iter().all(|line| line.ends_with("unchanged")), "{:?}", lines(&again));
}

#[test]
fn kinds_go_in_the_order_of_need() {
    let rbac = "rbac.authorization.k8s.io/v1";
    let wanted = [
        job("job", json!({})),
        object("apps/v1", "Deployment", "web", json!({})),
        object("v1", "Service", "web", json!({})),
        config_map("settings", json!({})),
        object("v1", "Secret", "keys", json!({})),
        object(rbac, "RoleBinding", "reads", json!({})),
        object(rbac, "Role", "reads", json!({})),
        object("v1", "ServiceAccount", "who", json!({})),
        object("v1", "ResourceQuota", "quota", json!({})),
        object("networking.k8s.io/v1", "NetworkPolicy", "net", json!({})),
        object("v1", "LimitRange", "limits", json!({})),
    ];
    let done = Cluster::new().sync(&wanted, &Options::default());
    let kinds: Vec<&str> = done.results.iter().map(|r| r.kind.as_str()).collect();
    let expected = [
        "NetworkPolicy",
        "ResourceQuota",
        "LimitRange",
        "ServiceAccount",
        "Secret",
        "ConfigMap",
        "Role",
        "RoleBinding",
        "Service",
        "Deployment",
        "Job",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn hooks_run_in_their_phases_and_are_deleted_by_their_policies() {
    let wanted = [
        config_map("body", json!({})),
        job("before", json!({"hook": "PreSync", "hook-delete-policy": "HookSucceeded"})),
        job(
            "before-before",
            json!({"hook": "PreSync", "sync-wave": "-1", "hook-delete-policy": "BeforeHookCreation"}),
        ),
        config_map("during", json!({"hook": "Sync"})),
        job("after", json!({"hook": "PostSync"})),
        config_map("on-failure", json!({"hook": "SyncFail"})),
        config_map("skipped", json!({"hook": "Skip"})),
    ];
    let mut cluster = Cluster::new();
    for word in ["created", "unchanged"] {
        let done = cluster.sync(&wanted, &Options::default());
        assert_eq!(done.message, "successfully synced (no more tasks)");
        let pods = "Reached expected number of succeeded pods";
        let expected = [
            format!("before-before - Succeeded PreSync: {pods}"),
            format!("before - Succeeded PreSync: {pods}"),
            "during - Succeeded Sync: during created".into(),
            format!("body Synced Succeeded Sync: configmap/body {word}"),
            format!("after - Succeeded PostSync: {pods}"),
        ];
        assert_eq!(lines(&done), expected);
    }
    let live: Vec<&str> = cluster.live.keys().map(|key| key.name.as_str()).collect();
    assert_eq!(live, ["body", "during", "after", "before-before"]);
    let after = cluster.compare(&wanted);
    assert_eq!(after.sync_code(), SyncCode::Synced);
    let shown: Vec<(String, bool)> = after.resources().into_iter().map(|r| (r.name, r.hook)).collect();
    let expected =
        [("body", false), ("during", true), ("skipped", false), ("after", true), ("before-before", true)];
    assert_eq!(shown, expected.map(|(name, hook)| (name.to_owned(), hook)));
}

#[test]
fn a_failing_post_sync_hook_fails_the_operation_only() {
    let wanted = [
        config_map("body", json!({})),
        job("smoke", json!({"hook": "PostSync", "hook-delete-policy": "HookFailed"})),
        config_map("sad", json!({"hook": "SyncFail"})),
    ];
    let mut cluster = Cluster::new();
    cluster.failing.push("smoke");
    let done = cluster.sync(&wanted, &Options::default());
    assert_eq!(done.phase, OperationPhase::Failed);
    assert_eq!(done.message, "one or more synchronization tasks completed unsuccessfully");
    let expected = [
        "body Synced Succeeded Sync: configmap/body created",
        "smoke - Failed PostSync: Job has reached the specified backoff limit",
        "sad - Succeeded SyncFail: sad created",
    ];
    assert_eq!(lines(&done), expected);
    let after = cluster.compare(&wanted);
    assert_eq!((after.sync_code(), after.health()), (SyncCode::Synced, HealthCode::Healthy));
    assert!(!cluster.live.keys().any(|key| key.name == "smoke"));
}

#[test]
fn pruning_goes_against_the_waves_and_last_when_told() {
    let old = [
        config_map("old-1", json!({"sync-wave": "1"})),
        config_map("old-2", json!({"sync-wave": "2"})),
        config_map("old-last", json!({"sync-options": "PruneLast=true"})),
        config_map("kept", json!({})),
    ];
    let new = [config_map("kept", json!({})), config_map("new", json!({"sync-wave": "5"}))];
    let mut cluster = Cluster::new();
    cluster.sync(&old, &Options::default());
    let between = cluster.compare(&new);
    assert_eq!(between.sync_code(), SyncCode::OutOfSync);
    assert_eq!(between.resources().iter().filter(|r| r.requires_pruning).count(), 3);
    let skipped = Plan::new("app", &between, &Options::default());
    assert_eq!((skipped.count(Action::Prune), skipped.count(Action::PruneSkipped)), (0, 3));

    let done = cluster.sync(&new, &prune());
    let expected = [
        "old-2 Pruned Succeeded Sync: pruned",
        "kept Synced Succeeded Sync: configmap/kept unchanged",
        "old-1 Pruned Succeeded Sync: pruned",
        "new Synced Succeeded Sync: configmap/new created",
        "old-last Pruned Succeeded Sync: pruned",
    ];
    assert_eq!(lines(&done), expected);
    assert_eq!(cluster.compare(&new).sync_code(), SyncCode::Synced);
}

#[test]
fn a_wave_waits_for_health_and_fails_without() {
    let wanted = [
        object("apps/v1", "Deployment", "web", json!({"sync-wave": "1"})),
        config_map("z", json!({"sync-wave": "2"})),
    ];
    let mut cluster = Cluster::new();
    cluster.failing.push("web");
    let done = cluster.sync(&wanted, &Options::default());
    assert_eq!(done.phase, OperationPhase::Failed);
    assert_eq!(lines(&done), ["web Synced Failed Sync: Deployment \"web\" exceeded its progress deadline"]);
    let after = cluster.compare(&wanted);
    assert_eq!((after.sync_code(), after.health()), (SyncCode::OutOfSync, HealthCode::Degraded));

    let mended =
        [config_map("instead", json!({"sync-wave": "1"})), config_map("z", json!({"sync-wave": "2"}))];
    let done = cluster.sync(&mended, &prune());
    let expected = [
        "web Pruned Succeeded Sync: pruned",
        "instead Synced Succeeded Sync: configmap/instead created",
        "z Synced Running Sync: configmap/z created",
    ];
    assert_eq!(lines(&done), expected);
}

#[test]
fn a_refused_object_fails_its_wave() {
    let reason = "Service \"s\" is invalid: port";
    let wanted =
        |wave: &str| [config_map("a", json!({"sync-wave": wave})), object("v1", "Service", "s", json!({}))];
    let mut cluster = Cluster::new();
    cluster.refusing.push(("s", reason));
    // The real one leaves the good object at Running: it does not look again once another has failed.
    let done = cluster.sync(&wanted("0"), &Options::default());
    assert_eq!(done.message, format!("one or more objects failed to apply, reason: {reason}"));
    let expected = [
        "a Synced Running Sync: configmap/a created".to_owned(),
        format!("s SyncFailed Failed Sync: {reason}"),
    ];
    assert_eq!(lines(&done), expected);
    // In a later wave the good one is not reached.
    let done = cluster.sync(&wanted("3"), &Options::default());
    assert_eq!(lines(&done), [format!("s SyncFailed Failed Sync: {reason}")]);
}

#[test]
fn an_unknown_kind_is_refused_before_anything_is_done() {
    let wanted = [config_map("a", json!({})), object("own.example/v1", "Oven", "big", json!({}))];
    let cluster = Cluster::new();
    let mut comparison = cluster.compare(&wanted);
    for object in comparison.objects.iter_mut().filter(|o| o.key.kind == "Oven") {
        object.target.as_mut().expect("wanted").refused = Some(Refusal::UnknownKind("no such kind".into()));
    }
    assert_eq!((comparison.sync_code(), comparison.health()), (SyncCode::OutOfSync, HealthCode::Healthy));
    let plan = Plan::new("app", &comparison, &Options::default());
    let mut results = Vec::new();
    let turn = galley_sync::advance(&plan, &mut results, |_| None);
    let message = "one or more synchronization tasks are not valid".to_owned();
    assert_eq!(turn, galley_sync::Turn::End { phase: OperationPhase::Failed, message, delete: Vec::new() });
    assert_eq!(results.len(), 1);
}

#[test]
fn a_selection_leaves_the_rest_and_hooks_alone() {
    let wanted = ["a", "b", "c"].map(|name| config_map(name, json!({})));
    let mut cluster = Cluster::new();
    let only = SyncOperationResource { kind: "ConfigMap".into(), name: "b".into(), ..Default::default() };
    let done =
        cluster.sync(&wanted, &Options { resources: vec![only], skip_hooks: true, ..Options::default() });
    assert_eq!(lines(&done), ["b Synced Running Sync: configmap/b created"]);
    let options = Options { options: vec!["ApplyOutOfSyncOnly=true".into()], ..Options::default() };
    let done = cluster.sync(&wanted, &options);
    let names: Vec<&str> = done.results.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn generated_names_hold_for_the_whole_operation() {
    let mut hook = job("", json!({"hook": "PreSync,PostSync"}));
    hook["metadata"]["generateName"] = json!("often-");
    hook["metadata"].as_object_mut().expect("metadata").remove("name");
    let wanted = [config_map("a", json!({})), hook];
    let options = Options { revision: "0123456789".into(), started: 42, ..Options::default() };
    let done = Cluster::new().sync(&wanted, &options);
    let names: Vec<&str> = done.results.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["often-0123456-presync-42", "a", "often-0123456-postsync-42"]);
    assert_eq!(done.message, "successfully synced (no more tasks)");
}

#[test]
fn drift_is_a_difference_and_what_nobody_declared_is_none() {
    let mut a = config_map("a", json!({}));
    a["data"] = json!({"v": "one", "old": "x"});
    let mut cluster = Cluster::new();
    cluster.sync(std::slice::from_ref(&a), &Options::default());
    let live = cluster.live.values_mut().next().expect("live");
    live["data"]["extra"] = json!("mine");
    live["metadata"]["labels"] = json!({"extra": "yes"});
    assert_eq!(cluster.compare(std::slice::from_ref(&a)).sync_code(), SyncCode::Synced);
    cluster.live.values_mut().next().expect("live")["data"]["v"] = json!("changed");
    let plan = Plan::new("app", &cluster.compare(std::slice::from_ref(&a)), &Options::default());
    assert_eq!(plan.steps[0].reasons, ["data.v: \"changed\" -> \"one\""]);

    // A field that leaves git leaves the cluster; what others added stays.
    a["data"].as_object_mut().expect("data").remove("old");
    let done = cluster.sync(std::slice::from_ref(&a), &Options::default());
    assert_eq!(lines(&done), ["a Synced Running Sync: configmap/a configured"]);
    assert_eq!(cluster.live.values().next().expect("live")["data"], json!({"v": "one", "extra": "mine"}));
}

#[test]
fn a_plan_is_readable_and_tells_no_secrets() {
    let mut secret = object("v1", "Secret", "keys", json!({}));
    secret["stringData"] = json!({"password": "first"});
    let mut map = config_map("settings", json!({}));
    map["data"] = json!({"a": "1"});
    let mut cluster = Cluster::new();
    cluster.sync(&[secret.clone(), map.clone(), config_map("old", json!({}))], &Options::default());
    secret["stringData"] = json!({"password": "second"});
    map["data"] = json!({"a": "2"});
    let wanted =
        [secret, map, object("v1", "Service", "web", json!({})), job("check", json!({"hook": "PostSync"}))];
    let options = Options { revision: "0123456789abcdef".into(), prune: true, ..Options::default() };
    let text = Plan::new("app", &cluster.compare(&wanted), &options).to_string();
    let expected = "\
app at 0123456789: 1 to create, 2 to change, 1 to delete, 1 to run
  Sync
    - ConfigMap ns/old
    ~ Secret ns/keys
        data.password: \"(secret)\" -> \"(secret)\"
    ~ ConfigMap ns/settings
        data.a: \"1\" -> \"2\"
    + Service ns/web
  PostSync
    > Job.batch ns/check
";
    assert_eq!(text, expected);
}
