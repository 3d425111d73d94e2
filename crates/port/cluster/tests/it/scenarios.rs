//! What must hold on any cluster.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt as _;
use galley_cluster::{Access, Action, ApplyOptions, Claim, How, Lock, ObjectRef, PlanOptions, RemoveOptions};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{Ahead, Ear, PATIENCE, Site, until};

async fn versions(site: &Site, objects: &[Value]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for object in objects {
        let named = ObjectRef::of(object).expect("named");
        let plural = format!("{}s", named.kind.to_lowercase());
        let api = site.api(&named.api_version, &named.kind, &plural, named.namespace.as_deref());
        let live = api.get(&named.name).await.unwrap_or_else(|e| panic!("{named}: {e}"));
        // A definition's conditions and a namespace's phase are written by others; what we write shows in the generation
        // or the fields.
        let mark = match named.kind.as_str() {
            "Deployment" | "CustomResourceDefinition" => format!("{:?}", live.metadata.generation),
            _ => live.metadata.resource_version.unwrap_or_default(),
        };
        found.insert(named.to_string(), mark);
    }
    found
}

/// The first run makes everything, the second moves nothing, a changed wish changes that alone, removal leaves nothing.
pub async fn a_second_run_moves_nothing(site: &Site) {
    let mut objects = site.objects();
    let (plan, applied) = site.bring(&objects, false).await.expect("brought");
    assert!(plan.objects.iter().all(|p| p.action == Action::Create), "{plan:?}");
    assert_eq!(applied.created.len(), objects.len());
    let kinds: Vec<_> = applied.created.iter().map(|object| object.kind.as_str()).collect();
    let order = [
        "Namespace",
        "CustomResourceDefinition",
        "ServiceAccount",
        "ClusterRole",
        "ConfigMap",
        "Secret",
        "Deployment",
        "Widget",
    ];
    assert_eq!(kinds.len(), order.len());
    for kind in ["Namespace", "CustomResourceDefinition"] {
        assert_eq!(kinds.iter().position(|k| *k == kind), order.iter().position(|k| *k == kind));
    }
    assert_eq!(kinds.last(), Some(&"Widget"));

    let before = versions(site, &objects).await;
    let memory = site.maps(&site.home().namespace);
    let remembered = memory.get(&site.home().name).await.expect("the inventory").metadata.resource_version;
    let (plan, applied) = site.bring(&objects, false).await.expect("brought again");
    assert!(plan.is_empty(), "{plan:#?}");
    assert_eq!((applied.created.len(), applied.changed.len(), applied.same), (0, 0, objects.len()));
    assert_eq!(versions(site, &objects).await, before);
    let again = memory.get(&site.home().name).await.expect("the inventory").metadata.resource_version;
    assert_eq!(again, remembered, "the inventory was written although nothing changed");

    objects[2]["data"] = json!({"a": "2"});
    objects[3]["stringData"]["token"] = json!("whisper");
    let plan = site.cluster.plan(&objects, &PlanOptions::default()).await.expect("planned");
    assert_eq!(plan.counts(), (0, 2, objects.len() - 2), "{plan:#?}");
    let shown = serde_json::to_string(&plan).expect("printable");
    assert!(shown.contains(r#""path":"data.a","old":"1","new":"2""#), "{shown}");
    for leak in ["hush", "whisper", "aHVzaC1odXNo", "d2hpc3Blcg"] {
        assert!(!shown.contains(leak), "a secret is shown: {shown}");
    }
    let (_, applied) = site.bring(&objects, false).await.expect("changed");
    assert_eq!(applied.changed.len(), 2);

    let removed = site.remove(&RemoveOptions::default()).await.expect("removed");
    assert!(removed.kept.is_empty(), "{removed:?}");
    nothing_is_left(site).await;
}

async fn nothing_is_left(site: &Site) {
    let gone = |live: Option<DynamicObject>| live.is_none();
    assert!(gone(site.namespaces().get_opt(&site.name("ours")).await.expect("an answer")));
    assert!(gone(site.namespaces().get_opt(&site.home().namespace).await.expect("an answer")));
    let definition = format!("widgets.{}", site.group());
    assert!(gone(site.definitions().get_opt(&definition).await.expect("an answer")));
    let roles = site.api("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", None);
    assert!(gone(roles.get_opt(&site.name("r")).await.expect("an answer")));
}

/// Killed after each of its steps, a run can be repeated, and can be removed at once: nothing is left either way.
pub async fn killed_anywhere_nothing_is_lost(site: &Site, steps: impl Iterator<Item = usize>) {
    let objects = site.objects();
    for step in steps {
        for repeat in [true, false] {
            kill_after(site, &objects, step).await;
            // The lease of the killed run has expired by then.
            let later = site.cluster.clone().with_clock(Arc::new(Ahead(20)));
            if repeat {
                let plan = later.plan(&objects, &PlanOptions::default()).await.expect("planned");
                let lock = site.lock(&later).await;
                later
                    .apply(&plan, &lock, &ApplyOptions::default(), &Ear::default())
                    .await
                    .expect("completed");
                lock.release().await.expect("released");
                let inventory = later.inventory(&site.home()).await.expect("read").expect("there");
                for object in &objects {
                    let named = ObjectRef::of(object).expect("named");
                    let entry =
                        inventory.find(&named).unwrap_or_else(|| panic!("step {step}: {named} is forgotten"));
                    assert_eq!((entry.how, entry.done), (How::Created, true), "step {step}: {named}");
                }
            }
            let lock = site.lock(&later).await;
            let removed =
                later.remove(lock, &RemoveOptions::default(), &Ear::default()).await.expect("removed");
            assert!(removed.kept.is_empty(), "step {step}: {removed:?}");
            nothing_is_left(site).await;
        }
    }
}

async fn kill_after(site: &Site, objects: &[Value], step: usize) {
    let plan = site.cluster.plan(objects, &PlanOptions::default()).await.expect("planned");
    let lock = site.lock(&site.cluster).await;
    let ear = Ear { stop_after: Some(step), ..Ear::default() };
    let options = ApplyOptions::default();
    tokio::select! {
        biased;
        () = ear.stop.cancelled() => {}
        _ = site.cluster.apply(&plan, &lock, &options, &ear) => {}
    }
    drop(lock);
    site.quiet().await;
}

/// Killed while it removes, the next run takes away the rest.
pub async fn a_killed_removal_is_completed(site: &Site, steps: impl Iterator<Item = usize>) {
    for step in steps {
        site.bring(&site.objects(), false).await.expect("brought");
        let ear = Ear { stop_after: Some(step), ..Ear::default() };
        let lock = site.lock(&site.cluster).await;
        let options = RemoveOptions::default();
        tokio::select! {
            biased;
            () = ear.stop.cancelled() => {}
            _ = site.cluster.remove(lock, &options, &ear) => {}
        }
        site.quiet().await;
        let later = site.cluster.clone().with_clock(Arc::new(Ahead(20)));
        let lock = site.lock(&later).await;
        let removed = later.remove(lock, &RemoveOptions::default(), &Ear::default()).await.expect("removed");
        assert!(removed.kept.is_empty(), "step {step}: {removed:?}");
        nothing_is_left(site).await;
    }
}

/// What was there before, and what others made meanwhile, stays.
pub async fn removal_takes_exactly_what_is_ours(site: &Site) {
    let theirs = site.name("theirs");
    site.somebody(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": theirs}})).await;
    site.somebody(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": theirs}, "data": {"theirs": "1"}}))
        .await;
    let mut objects = site.objects();
    objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": theirs, "labels": {"ours": "yes"}}}));
    objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": theirs}, "data": {"ours": "2"}}));
    let (_, applied) = site.bring(&objects, false).await.expect("brought");
    assert_eq!(applied.changed.len(), 2, "{applied:?}");
    let uid = site.maps(&theirs).get("c").await.expect("there").metadata.uid;

    let ours = site.name("ours");
    site.somebody(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "guest", "namespace": ours}}),
    )
    .await;
    let widget = json!({"apiVersion": format!("{}/v1", site.group()), "kind": "Widget",
        "metadata": {"name": "guest", "namespace": theirs}});
    site.somebody(widget).await;
    // Ours, deleted and made anew by somebody else: not ours any more.
    site.maps(&ours).delete("c", &DeleteParams::default()).await.expect("deleted");
    site.somebody(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": ours}}),
    )
    .await;

    let removed = site.remove(&RemoveOptions::default()).await.expect("removed");
    let kept: BTreeMap<_, _> =
        removed.kept.iter().map(|k| (k.object.kind.as_str(), k.why.as_str())).collect();
    assert!(
        kept["Namespace"].contains("ConfigMap guest") && kept["Namespace"].contains("ConfigMap c"),
        "{kept:?}"
    );
    assert!(kept["CustomResourceDefinition"].contains(&format!("Widget {theirs}/guest")), "{kept:?}");
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(site.maps(&ours).get_opt("guest").await.expect("an answer").is_some());
    assert!(site.widgets(&theirs).get_opt("guest").await.expect("an answer").is_some());
    assert!(site.widgets(&ours).get_opt("w").await.expect("an answer").is_none());
    let changed = site.maps(&theirs).get("c").await.expect("theirs stays");
    assert_eq!((changed.metadata.uid, &changed.data["data"]), (uid, &json!({"theirs": "1"})));
    let namespace = site.namespaces().get(&theirs).await.expect("theirs stays");
    assert!(!namespace.metadata.labels.unwrap_or_default().contains_key("ours"));
    assert_eq!(removed.released.len(), 2, "{removed:?}");

    // Once the guests have left, the rest goes; a claimed kind counts as ours.
    site.widgets(&theirs).delete("guest", &DeleteParams::default()).await.expect("deleted");
    let options = RemoveOptions { claims: vec![Claim::of("", "ConfigMap")], ..RemoveOptions::default() };
    let removed = site.remove(&options).await.expect("removed");
    assert!(removed.kept.is_empty(), "{removed:?}");
    nothing_is_left(site).await;
    assert!(
        site.maps(&theirs).get_opt("c").await.expect("an answer").is_some(),
        "claims end at our namespaces"
    );
    site.namespaces().delete(&theirs, &DeleteParams::default()).await.expect("tidied up");
}

/// One at a time; an expired lease is taken over, and its holder stops.
pub async fn one_bootstrap_at_a_time(site: &Site) {
    let home = site.home();
    let first = Lock::take(&site.cluster, &home, "alice@laptop", Duration::ZERO).await.expect("free");
    let refused = Lock::take(&site.cluster, &home, "bob@desk", Duration::ZERO).await.err().expect("held");
    assert_eq!(refused.code, "G1113");
    assert!(refused.what.contains("alice@laptop"), "{refused}");
    assert!(refused.causes[0].contains(" s more"), "{refused}");

    let later = site.cluster.clone().with_clock(Arc::new(Ahead(20)));
    let second = Lock::take(&later, &home, "bob@desk", Duration::ZERO).await.expect("expired by that clock");
    tokio::time::timeout(PATIENCE, first.lost().cancelled()).await.expect("the first holder notices");
    assert_eq!(first.check().expect_err("lost").code, "G1114");
    first.release().await.expect("nothing to give back");
    second.check().expect("still held");
    let removed = later.remove(second, &RemoveOptions::default(), &Ear::default()).await.expect("removed");
    assert_eq!(removed.deleted.len(), 1, "the home namespace: {removed:?}");
    assert!(site.namespaces().get_opt(&home.namespace).await.expect("an answer").is_none());
}

/// Fields of others are named and left alone, unless taken over on purpose.
pub async fn conflicts_are_named(site: &Site) {
    let namespace = site.name("ours");
    site.somebody(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).await;
    site.somebody(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": namespace}, "data": {"a": "theirs"}}))
        .await;
    let wanted = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": namespace}, "data": {"a": "ours"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new", "namespace": namespace}}),
    ];
    let refused = site.bring(&wanted, false).await.expect_err("a conflict");
    assert_eq!(refused.code, "G1110");
    assert!(refused.causes[0].contains("`somebody`") && refused.causes[0].contains(".data.a"), "{refused}");
    assert!(site.maps(&namespace).get_opt("new").await.expect("an answer").is_none(), "nothing is written");
    let (_, applied) = site.bring(&wanted, true).await.expect("taken over");
    assert_eq!((applied.created.len(), applied.changed.len()), (1, 1));
    assert_eq!(site.maps(&namespace).get("c").await.expect("there").data["data"]["a"], "ours");
    site.remove(&RemoveOptions::default()).await.expect("removed");
    assert!(site.maps(&namespace).get_opt("c").await.expect("an answer").is_some());
    assert!(site.maps(&namespace).get_opt("new").await.expect("an answer").is_none());
    site.namespaces().delete(&namespace, &DeleteParams::default()).await.expect("tidied up");
}

/// Applications are waited for with reasons, and take what they manage with them when they go.
pub async fn applications_come_and_go(site: &Site, argo_runs: bool) {
    if argo_runs {
        return;
    }
    site.ensure_applications().await;
    let namespace = site.name("ours");
    let application = |name: &str| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name, "namespace": namespace},
            "spec": {"project": "default", "destination": {"namespace": namespace, "server": "https://kubernetes.default.svc"},
                "source": {"repoURL": "http://nowhere.invalid", "path": "apps"}}})
    };
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        application("root"),
    ];
    site.bring(&objects, false).await.expect("brought");
    let api = site.api("argoproj.io/v1alpha1", "Application", "applications", Some(&namespace));
    let names = ["root".to_owned(), "child".to_owned()];
    let mut states = Box::pin(site.cluster.wait_applications(&namespace, &names, PATIENCE));
    let first = states.next().await.expect("a state").expect("no problem");
    assert!(!first.ready());

    // The part of Argo CD.
    let mut child = application("child");
    child["metadata"]["finalizers"] = json!(["example.com/hold"]);
    site.somebody(child).await;
    let status = |health: &str| {
        json!({"status": {"sync": {"status": "Synced", "revision": "abc"}, "health": {"status": health},
            "resources": [{"group": "argoproj.io", "kind": "Application", "namespace": namespace, "name": "child",
                "status": "Synced", "health": {"status": health}}]}})
    };
    let params = PatchParams::default();
    api.patch("child", &params, &Patch::Merge(status("Degraded"))).await.expect("patched");
    api.patch("root", &params, &Patch::Merge(status("Healthy"))).await.expect("patched");
    loop {
        let state = states.next().await.expect("a state").expect("no problem");
        if state.name == "child" && state.health == "Degraded" {
            assert_eq!(state.unhealthy[0].object, format!("Application {namespace}/child"));
            break;
        }
    }
    let short = site.cluster.wait_applications(&namespace, &names, Duration::from_millis(500));
    let problem = Box::pin(short.filter_map(|item| async { item.err() })).next().await.expect("a problem");
    assert_eq!(problem.code, "G1116");
    assert!(problem.what.contains("child") && !problem.what.contains("root"), "{problem}");
    api.patch("child", &params, &Patch::Merge(json!({"status": {"health": {"status": "Healthy"}}})))
        .await
        .expect("patched");
    while let Some(state) = states.next().await {
        state.expect("no problem");
    }

    // Nobody answers the finalizer: it is said what holds it, and nothing else is taken away.
    let impatient = RemoveOptions { applications: Duration::from_secs(1), ..RemoveOptions::default() };
    let stuck = site.remove(&impatient).await.expect_err("stuck");
    assert_eq!(stuck.code, "G1119");
    assert!(stuck.causes.iter().any(|cause| cause.contains("resources-finalizer")), "{stuck}");
    let child = api.get("child").await.expect("there");
    assert!(
        child.metadata.finalizers.unwrap_or_default().iter().any(|f| f.contains("resources-finalizer")),
        "children too"
    );
    for name in ["child", "root"] {
        let _ = api.delete(name, &DeleteParams::default()).await;
        api.patch(name, &params, &Patch::Merge(json!({"metadata": {"finalizers": null}})))
            .await
            .expect("let go");
    }
    let later = site.cluster.clone().with_clock(Arc::new(Ahead(20)));
    let removed = later
        .remove(site.lock(&later).await, &RemoveOptions::default(), &Ear::default())
        .await
        .expect("removed");
    assert!(removed.kept.is_empty(), "{removed:?}");
    until("the namespace is gone", || async {
        site.namespaces().get_opt(&namespace).await.ok()?.is_none().then_some(())
    })
    .await;
}

/// Facts are read, rights are asked for, workloads are explained.
pub async fn looking_around(site: &Site) {
    let facts = site.cluster.facts().await.expect("facts");
    assert!(facts.version.major >= 1 && facts.version.minor > 20, "{facts:?}");
    assert!(facts.groups.contains_key("apps") && facts.unread.is_empty(), "{facts:?}");
    let wanted =
        [Access::to("create", "apps", "deployments"), Access::to("get", "", "pods/log").within("default")];
    assert_eq!(site.cluster.may(&wanted).await.expect("answers"), []);
    let nowhere = ObjectRef {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: Some("default".into()),
        name: site.name("nowhere"),
    };
    let late = site.cluster.wait_workload(&nowhere, Duration::from_millis(300)).await.expect_err("not there");
    assert_eq!((late.code, late.causes[0].as_str()), ("G1117", "It is not there yet."));
    let unknown = ObjectRef { api_version: "nothing.invalid/v1".into(), ..nowhere };
    assert_eq!(site.cluster.wait_workload(&unknown, PATIENCE).await.expect_err("no such kind").code, "G1111");
    let way = site.cluster.tunnel("default", &site.name("nowhere"), 80).await.expect_err("no such Service");
    assert_eq!(way.code, "G1118");
}
