//! An Application from its first look to its end.

use std::time::Duration;

use galley_argo_cd::{Application, HealthCode, OperationPhase, SyncCode};
use kube::api::DeleteParams;
use serde_json::json;

use crate::house::{House, URL, map};

fn is_synced(app: &Application) -> bool {
    app.status.sync.status == SyncCode::Synced
        && app.status.operation_state.as_ref().is_some_and(|s| s.phase == OperationPhase::Succeeded)
}

fn automated() -> serde_json::Value {
    json!({"spec": {"syncPolicy": {"automated": {"prune": true, "selfHeal": true}}}})
}

fn condition(app: &Application, kind: &str) -> Option<String> {
    app.status.conditions.iter().find(|c| c.kind == kind).map(|c| c.message.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_must_mend_is_in_the_conditions_with_its_place() {
    let mut house = House::new(&[("app/a.yaml", &map("a", "{}")), ("app/b.yaml", "kind: [broken\n")]).await;
    house.application(automated()).await;
    house.start();
    let app = house.until("it is told", |a| condition(a, "ComparisonError").is_some()).await;
    let message = condition(&app, "ComparisonError").expect("a condition");
    assert!(message.contains("app/b.yaml:"), "{message}");
    assert_eq!(app.status.sync.status, SyncCode::Unknown);
    assert!(house.map_names().await.is_empty());
    house.push(&[("app/a.yaml", &map("a", "{}"))]).await;
    let app = house.until("mended", is_synced).await;
    assert_eq!(app.status.conditions, []);

    for (spec, words) in [
        (json!({"source": {"path": "absent"}}), "app path does not exist"),
        (json!({"source": {"path": "app", "targetRevision": "absent"}}), "unable to resolve 'absent'"),
    ] {
        house.patch(&house.applications(), "app", json!({"spec": spec})).await;
        let told = |a: &Application| condition(a, "ComparisonError").is_some_and(|m| m.contains(words));
        house.until(words, told).await;
    }
    let nowhere = json!({"spec": {"project": "nowhere"}});
    house.patch(&house.applications(), "app", nowhere).await;
    let words = "Application referencing project nowhere which does not exist";
    let app = house.until(words, |a| condition(a, "InvalidSpecError").as_deref() == Some(words)).await;
    assert_eq!(app.status.health.status, Some(HealthCode::Unknown));
    assert_eq!(house.map_names().await, ["a"], "nothing is pruned when git cannot be read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charts_are_rendered_with_values_from_everywhere() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: menu}\ndata:\n  loaf: {{ .Values.loaf | quote }}\n  \
                    night: {{ .Values.night | quote }}\n  set: {{ .Values.set | quote }}\n  release: {{ .Release.Name }}-{{ \
                    .Release.Namespace }}\n  must: {{ required \"a loaf must be named\" .Values.must }}\n";
    let files = [
        ("app/Chart.yaml", "apiVersion: v2\nname: bakery\nversion: 0.1.0\n"),
        ("app/values.yaml", "loaf: rye\nnight: own\nset: own\n"),
        ("app/values-more.yaml", "loaf: wheat\n"),
        ("values/night.yaml", "night: from outside\n"),
        ("app/templates/menu.yaml", template),
    ];
    let mut house = House::new(&files).await;
    let helm = json!({"valueFiles": ["values-more.yaml", "/values/night.yaml"], "parameters": [{"name": "set", "value": "7"}],
        "releaseName": "oven"});
    let mut spec = automated();
    spec["spec"]["source"] = json!({"helm": helm});
    house.application(spec).await;
    house.start();
    let app = house.until("it is told", |a| condition(a, "ComparisonError").is_some()).await;
    let message = condition(&app, "ComparisonError").expect("a condition");
    assert!(
        message.contains("app/templates/menu.yaml:9") && message.contains("a loaf must be named"),
        "{message}"
    );
    let given = json!({"spec": {"source": {"helm": {"valuesObject": {"must": "given"}}}}});
    house.patch(&house.applications(), "app", given).await;
    let app = house.until("synced", is_synced).await;
    assert_eq!(app.status.source_type, "Helm");
    let expected =
        json!({"loaf": "wheat", "night": "from outside", "set": "7", "release": "oven-ns", "must": "given"});
    assert_eq!(house.maps().get("menu").await.expect("menu").data["data"], expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_limits_what_may_be() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";
    let mut house = House::new(&[("app/a.yaml", &map("a", "{}")), ("app/s.yaml", secret)]).await;
    let project = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "strict", "namespace": "argocd"},
        "spec": {"sourceRepos": ["http://git.example/*"], "destinations": [{"server": "*", "namespace": "ns"}],
            "namespaceResourceWhitelist": [{"group": "", "kind": "ConfigMap"}]}});
    house.create(&project).await;
    let mut spec = automated();
    spec["spec"]["project"] = json!("strict");
    spec["spec"]["syncPolicy"]["retry"] = json!({"limit": 0});
    house.application(spec).await;
    house.start();
    let failed = |a: &Application| {
        a.status.operation_state.as_ref().is_some_and(|s| s.phase == OperationPhase::Failed)
    };
    let app = house.until("it is refused", failed).await;
    let state = app.status.operation_state.expect("a state");
    assert_eq!(state.message, "one or more synchronization tasks are not valid");
    let results = state.sync_result.expect("a result").resources;
    assert_eq!(results[0].message, "resource :Secret is not permitted in project strict");
    assert!(house.map_names().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_are_made_when_asked_and_objects_go_with_their_application() {
    let mut house = House::new(&[("app/a.yaml", &map("a", "{}")), ("app/b.yaml", &map("b", "{}"))]).await;
    let spec = json!({
        "metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]},
        "spec": {"destination": {"namespace": "new"}, "syncPolicy": {"automated": {},
            "syncOptions": ["CreateNamespace=true"], "managedNamespaceMetadata": {"labels": {"made": "yes"}}}}});
    house.application(spec).await;
    house.start();
    house.until("synced", is_synced).await;
    let namespaces = house.api("v1", "Namespace", "namespaces", "");
    let made = namespaces.get("new").await.expect("made");
    assert_eq!(made.metadata.labels.expect("labels")["made"], "yes");
    let maps = house.api("v1", "ConfigMap", "configmaps", "new");
    assert!(maps.get_opt("a").await.expect("asks").is_some());

    house.applications().delete("app", &DeleteParams::default()).await.expect("is asked to go");
    house.wait(house.applications(), "app", "the Application is gone", |o| o.is_none()).await;
    assert!(maps.get_opt("a").await.expect("asks").is_none());
    assert!(maps.get_opt("b").await.expect("asks").is_none());
    assert!(
        namespaces.get_opt("new").await.expect("asks").is_some(),
        "the namespace is not the Application's"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_own_writing_wakes_nothing() {
    let mut house = House::new(&[("app/a.yaml", &map("a", "{}"))]).await;
    house.application(automated()).await;
    house.start();
    house.until("synced", is_synced).await;
    let refresh = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}});
    house.patch(&house.applications(), "app", refresh).await;
    let seen = |a: &Application| a.annotation("argocd.argoproj.io/refresh").is_none();
    house.until("refreshed", seen).await;
    // The turn that the refresh's own removal causes, and nothing after it.
    let version = || async { house.applications().get("app").await.expect("app").metadata.resource_version };
    let before = version().await;
    let changed = house.wait(house.applications(), "app", "a change", |o| {
        o.is_some_and(|o| o.metadata.resource_version != before)
    });
    let quiet = tokio::time::timeout(Duration::from_secs(2), changed).await;
    assert!(quiet.is_err(), "the Application was written without need: {:?}", quiet.ok().flatten());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_of_applications() {
    let child = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: child, namespace: argocd, finalizers: \
         [resources-finalizer.argocd.argoproj.io]}}\nspec:\n  project: default\n  destination: {{server: \
         https://kubernetes.default.svc, namespace: ns}}\n  source: {{repoURL: {URL}, targetRevision: main, path: \
         child}}\n  syncPolicy: {{automated: {{}}}}\n"
    );
    let files = [("app/child.yaml", child.as_str()), ("child/c.yaml", &map("c", "{}"))];
    let mut house = House::new(&files).await;
    let mut spec = automated();
    spec["metadata"] = json!({"finalizers": ["resources-finalizer.argocd.argoproj.io"]});
    house.application(spec).await;
    house.start();
    house.until("synced", is_synced).await;
    house.wait(house.maps(), "c", "the child's object", |o| o.is_some()).await;
    house.applications().delete("app", &DeleteParams::default()).await.expect("is asked to go");
    house.wait(house.applications(), "app", "the parent is gone", |o| o.is_none()).await;
    assert!(house.applications().get_opt("child").await.expect("asks").is_none());
    assert!(house.map_names().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_what_a_sync_would_do() {
    let house = House::new(&[("app/a.yaml", &map("a", "{v: one}"))]).await;
    house
        .create(
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "ns"},
        "data": {"v": "other"}}),
        )
        .await;
    let application = json!({"metadata": {"name": "app"}, "spec": {"destination": {"namespace": "ns"},
        "source": {"repoURL": URL, "path": "app"}}});
    let application: Application = serde_json::from_value(application).expect("an Application");
    let plan = galley_gitops::plan(
        house.client.clone(),
        galley_gitops::Config::default(),
        house.repositories.clone(),
        &application,
    )
    .await
    .expect("a plan");
    assert!(plan.has_changes());
    let text = plan.to_string();
    assert!(text.contains("~ ConfigMap ns/a  (app/a.yaml"), "{text}");
    assert!(text.contains("data.v: \"other\" -> \"one\""), "{text}");
    assert_eq!(house.maps().get("a").await.expect("a").data["data"]["v"], json!("other"));
}
