//! Single objects: identity, concurrency, validation, subresources, durability.

use galley_apiserver::{ApiServer, Config, MIGRATION};
use galley_store::Database;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, Pod, Secret, ServiceAccount},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::support::{code, config_map, deployment, start, typed, until, widget, widgets};

#[tokio::test]
async fn a_created_object_has_an_identity_and_is_found() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    let made = maps.create(&PostParams::default(), &typed(config_map("a"))).await.expect("created");
    assert!(made.uid().is_some() && made.resource_version().is_some() && made.creation_timestamp().is_some());
    assert_eq!(made.namespace().as_deref(), Some("default"));
    assert_eq!(maps.get("a").await.expect("found"), made);
    assert_eq!(code(maps.create(&PostParams::default(), &typed(config_map("a"))).await), 409);
    assert_eq!(code(maps.get("b").await), 404);
    assert_eq!(code(maps.create(&PostParams::default(), &typed(config_map("Not_a_name"))).await), 422);
    let elsewhere: Api<ConfigMap> = Api::namespaced(f.client.clone(), "nowhere");
    assert_eq!(code(elsewhere.create(&PostParams::default(), &typed(config_map("a"))).await), 404);
}

#[tokio::test]
async fn names_are_generated() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    let nameless: ConfigMap = typed(json!({"metadata": {"generateName": "run-"}}));
    let params = PostParams::default();
    let (one, two) = tokio::join!(maps.create(&params, &nameless), maps.create(&params, &nameless));
    let (one, two) = (one.expect("created").name_any(), two.expect("created").name_any());
    assert!(one.starts_with("run-") && one.len() == 9 && one != two, "{one} {two}");
}

#[tokio::test]
async fn of_two_writers_who_read_the_same_one_is_refused() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    let first = maps.create(&PostParams::default(), &typed(config_map("a"))).await.expect("created");
    let with = |text: &str| {
        let mut map = first.clone();
        map.data = Some([("a".to_owned(), text.to_owned())].into());
        map
    };
    let written = maps.replace("a", &PostParams::default(), &with("2")).await.expect("replaced");
    assert_ne!(written.resource_version(), first.resource_version());
    assert_eq!(code(maps.replace("a", &PostParams::default(), &with("3")).await), 409);
    let mut blind = with("4");
    blind.metadata.resource_version = None;
    maps.replace("a", &PostParams::default(), &blind).await.expect("without a revision the last one wins");
}

#[tokio::test]
async fn a_write_that_changes_nothing_writes_nothing() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    let first = maps.create(&PostParams::default(), &typed(config_map("a"))).await.expect("created");
    let again = maps.replace("a", &PostParams::default(), &first).await.expect("replaced");
    let patch = Patch::Merge(json!({"data": {"a": "1"}}));
    let patched = maps.patch("a", &PatchParams::default(), &patch).await.expect("patched");
    assert_eq!(again.resource_version(), first.resource_version());
    assert_eq!(patched.resource_version(), first.resource_version());
}

#[tokio::test]
async fn dry_runs_leave_no_trace() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    maps.create(&dry, &typed(config_map("a"))).await.expect("would be created");
    assert_eq!(code(maps.get("a").await), 404);
    let made = maps.create(&PostParams::default(), &typed(config_map("a"))).await.expect("created");
    assert_eq!(code(maps.create(&dry, &typed(config_map("a"))).await), 409);
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = Patch::Merge(json!({"data": {"a": "2"}}));
    let shown = maps.patch("a", &params, &patch).await.expect("would be patched");
    assert_eq!(shown.data.expect("data")["a"], "2");
    maps.delete("a", &DeleteParams { dry_run: true, ..DeleteParams::default() })
        .await
        .expect("would be deleted");
    assert_eq!(maps.get("a").await.expect("still there"), made);
}

#[tokio::test]
async fn status_and_spec_are_written_apart_and_only_the_spec_makes_generations() {
    let f = start();
    let api = widgets(&f.client);
    let mut object = widget("a", json!({"size": 1}));
    object.data["status"] = json!({"phase": "New"});
    let made = api.create(&PostParams::default(), &object).await.expect("created");
    assert_eq!(made.metadata.generation, Some(1));
    assert!(made.data.get("status").is_none(), "a new object has no status");

    let both = json!({"spec": {"size": 2}, "status": {"phase": "Ready"}});
    let status = api.patch_status("a", &PatchParams::default(), &Patch::Merge(&both)).await.expect("patched");
    assert_eq!((&status.data["spec"]["size"], &status.data["status"]["phase"]), (&json!(1), &json!("Ready")));
    assert_eq!(status.metadata.generation, Some(1));
    let other = json!({"spec": {"size": 2}, "status": {"phase": "Broken"}});
    let spec = api.patch("a", &PatchParams::default(), &Patch::Merge(&other)).await.expect("patched");
    assert_eq!((&spec.data["spec"]["size"], &spec.data["status"]["phase"]), (&json!(2), &json!("Ready")));
    assert_eq!(spec.metadata.generation, Some(2));
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    let labelled = api.patch("a", &PatchParams::default(), &Patch::Merge(&labelled)).await.expect("patched");
    assert_eq!(labelled.metadata.generation, Some(2));
    let mut whole = labelled.clone();
    whole.data["status"] = json!({"phase": "Done"});
    whole.data["spec"] = json!({});
    let whole = api.replace_status("a", &PostParams::default(), &whole).await.expect("replaced");
    assert_eq!((&whole.data["spec"]["size"], &whole.data["status"]["phase"]), (&json!(2), &json!("Done")));
}

#[tokio::test]
async fn fields_that_a_kind_does_not_have_are_refused_when_asked() {
    let f = start();
    let mut wrong = deployment("a");
    wrong["spec"]["replica"] = json!(3);
    let send = |query: &str, body: serde_json::Value| {
        let request = http::Request::post(format!("/apis/apps/v1/namespaces/default/deployments{query}"))
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
            .expect("a request");
        f.client.request::<serde_json::Value>(request)
    };
    assert_eq!(code(send("?fieldValidation=Strict", wrong.clone()).await), 400);
    let made = send("?fieldValidation=Warn", wrong).await.expect("created");
    assert!(made["spec"].get("replica").is_none(), "what the kind does not have is not stored");
    let mut mistyped = deployment("b");
    mistyped["spec"]["replicas"] = json!("three");
    assert_eq!(code(send("", mistyped).await), 400);
    let mut other_kind = deployment("c");
    other_kind["kind"] = json!("StatefulSet");
    assert_eq!(code(send("", other_kind).await), 400);
}

#[tokio::test]
async fn scale_is_a_door_of_its_own() {
    let f = start();
    let api: Api<Deployment> = Api::default_namespaced(f.client.clone());
    api.create(&PostParams::default(), &typed(deployment("web"))).await.expect("created");
    let scale = api.get_scale("web").await.expect("a scale");
    assert_eq!(scale.spec.as_ref().and_then(|spec| spec.replicas), Some(2));
    assert_eq!(scale.status.and_then(|status| status.selector).as_deref(), Some("app=web"));
    let patch = json!({"spec": {"replicas": 5}});
    let scaled =
        api.patch_scale("web", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("scaled");
    assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(5));
    let now = api.get("web").await.expect("found");
    assert_eq!((now.spec.replicas, now.metadata.generation), (Some(5), Some(2)));
    let negative = json!({"spec": {"replicas": -1}});
    assert_eq!(code(api.patch_scale("web", &PatchParams::default(), &Patch::Merge(&negative)).await), 422);
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    assert_eq!(code(maps.get_scale("kube-root-ca.crt").await), 404);
}

#[tokio::test]
async fn a_new_namespace_is_furnished() {
    let f = start();
    let namespaces: Api<Namespace> = Api::all(f.client.clone());
    let made: Namespace = typed(json!({"metadata": {"name": "team"}}));
    let made = namespaces.create(&PostParams::default(), &made).await.expect("created");
    assert_eq!(made.status.and_then(|status| status.phase).as_deref(), Some("Active"));
    assert_eq!(made.metadata.labels.expect("labels")["kubernetes.io/metadata.name"], "team");
    let accounts: Api<ServiceAccount> = Api::namespaced(f.client.clone(), "team");
    accounts.get("default").await.expect("there");
    let maps: Api<ConfigMap> = Api::namespaced(f.client.clone(), "team");
    assert_eq!(
        maps.get("kube-root-ca.crt").await.expect("there").data.expect("data")["ca.crt"],
        "CERTIFICATE"
    );
}

#[tokio::test]
async fn secrets_are_stored_in_their_encoded_form() {
    let f = start();
    let secrets: Api<Secret> = Api::default_namespaced(f.client.clone());
    let secret: Secret = typed(json!({"metadata": {"name": "a"}, "stringData": {"key": "value"}}));
    let made = secrets.create(&PostParams::default(), &secret).await.expect("created");
    assert_eq!(made.data.expect("data")["key"].0, b"value");
    assert_eq!((made.string_data, made.type_.as_deref()), (None, Some("Opaque")));
}

#[tokio::test]
async fn a_pod_on_a_node_goes_when_its_agent_says_so() {
    let f = start();
    let pods: Api<Pod> = Api::default_namespaced(f.client.clone());
    let pod = |name: &str, node: serde_json::Value| -> Pod {
        typed(json!({"metadata": {"name": name},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}}))
    };
    pods.create(&PostParams::default(), &pod("waiting", json!(null))).await.expect("created");
    assert!(pods.delete("waiting", &DeleteParams::default()).await.expect("deleted").is_right());
    pods.create(&PostParams::default(), &pod("running", json!("node"))).await.expect("created");
    let marked =
        pods.delete("running", &DeleteParams::default()).await.expect("marked").left().expect("a pod");
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(30));
    assert!(marked.metadata.deletion_timestamp.is_some());
    pods.get("running").await.expect("still there");
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    assert!(pods.delete("running", &now).await.expect("deleted").is_right());
    assert_eq!(code(pods.get("running").await), 404);
}

#[tokio::test]
async fn pods_do_not_change_but_for_their_images() {
    let f = start();
    let pods: Api<Pod> = Api::default_namespaced(f.client.clone());
    let pod: Pod =
        typed(json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}));
    pods.create(&PostParams::default(), &pod).await.expect("created");
    let image = json!({"spec": {"containers": [{"name": "c", "image": "i:2"}]}});
    pods.patch("a", &PatchParams::default(), &Patch::Strategic(&image)).await.expect("patched");
    let env = json!({"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}]}]}});
    assert_eq!(code(pods.patch("a", &PatchParams::default(), &Patch::Strategic(&env)).await), 422);
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    let made = maps.create(&PostParams::default(), &typed(config_map("kept"))).await.expect("created");
    let definition = crate::collection::gadget_definition();
    Api::all(f.client.clone()).create(&PostParams::default(), &definition).await.expect("created");
    let path = f.dir.path().join("api.db");
    f.database.close();

    let database = Database::open(&path, &[MIGRATION]).expect("opens again");
    let clock = std::sync::Arc::new(galley_units::SystemClock);
    let again = ApiServer::open(Config::default(), database, clock).expect("opens again");
    let maps: Api<ConfigMap> = Api::default_namespaced(again.client("default"));
    assert_eq!(maps.get("kept").await.expect("found"), made);
    let gadgets = crate::collection::gadgets(&again.client("default"));
    assert_eq!(gadgets.list(&kube::api::ListParams::default()).await.expect("served").items.len(), 0);
    until("a later revision", || async {
        let next = maps.create(&PostParams::default(), &typed(config_map("next"))).await.ok()?;
        let number = |map: &ConfigMap| map.resource_version().and_then(|text| text.parse::<u64>().ok());
        (number(&next) > number(&made)).then_some(())
    })
    .await;
}
