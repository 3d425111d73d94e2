//! Patches of all kinds, and server-side apply.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::support::{code, config_map, deployment, start, typed, widget, widgets};

#[tokio::test]
async fn merge_json_and_strategic_patches() {
    let f = start();
    let api: Api<Deployment> = Api::default_namespaced(f.client.clone());
    api.create(&PostParams::default(), &typed(deployment("web"))).await.expect("created");
    let params = PatchParams::default();
    let containers = |object: &Deployment| {
        let spec = object.spec.template.spec.clone().expect("a pod");
        spec.containers
            .iter()
            .map(|c| (c.name.clone(), c.image.clone().unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let pair = |name: &str, image: &str| (name.to_owned(), image.to_owned());

    let sidecar = json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s:1"}]}}}});
    let patched = api.patch("web", &params, &Patch::Strategic(&sidecar)).await.expect("patched");
    assert_eq!(containers(&patched), [pair("web", "nginx:1.27"), pair("side", "s:1")]);
    let gone =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}});
    let patched = api.patch("web", &params, &Patch::Strategic(&gone)).await.expect("patched");
    assert_eq!(containers(&patched), [pair("web", "nginx:1.27")]);

    let merge = json!({"spec": {"template": {"spec": {"containers": [{"name": "only", "image": "o:1"}]}}}});
    let patched = api.patch("web", &params, &Patch::Merge(&merge)).await.expect("patched");
    assert_eq!(containers(&patched), [pair("only", "o:1")]);

    let operations: json_patch::Patch = serde_json::from_value(json!([
        {"op": "test", "path": "/spec/replicas", "value": 2},
        {"op": "replace", "path": "/spec/replicas", "value": 7}]))
    .expect("a patch");
    let patched = api.patch("web", &params, &Patch::Json::<()>(operations.clone())).await.expect("patched");
    assert_eq!(patched.spec.replicas, Some(7));
    assert_eq!(code(api.patch("web", &params, &Patch::Json::<()>(operations)).await), 422);
}

#[tokio::test]
async fn patches_that_do_not_fit_are_refused() {
    let f = start();
    let api = widgets(&f.client);
    api.create(&PostParams::default(), &widget("a", json!({}))).await.expect("created");
    let params = PatchParams::default();
    assert_eq!(code(api.patch("a", &params, &Patch::Strategic(json!({}))).await), 415);
    assert_eq!(code(api.patch("a", &params, &Patch::Merge(json!([]))).await), 400);
    assert_eq!(code(api.patch("b", &params, &Patch::Merge(json!({}))).await), 404);
    let old = json!({"metadata": {"resourceVersion": "1"}, "spec": {"x": 1}});
    assert_eq!(code(api.patch("a", &params, &Patch::Merge(old)).await), 409);
    assert_eq!(code(api.patch("a", &params, &Patch::Merge(json!({"metadata": {"name": "b"}}))).await), 400);
}

#[tokio::test]
async fn concurrent_patches_are_all_applied() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    maps.create(&PostParams::default(), &typed(config_map("a"))).await.expect("created");
    let patches = (0..16).map(|n| {
        let maps = maps.clone();
        async move {
            let patch = Patch::Merge(json!({"data": {format!("k{n}"): "x"}}));
            maps.patch("a", &PatchParams::default(), &patch).await.map(|_| ())
        }
    });
    let outcomes = futures::future::join_all(patches).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(maps.get("a").await.expect("found").data.expect("data").len(), 17);
}

#[tokio::test]
async fn server_side_apply_creates_merges_and_takes_back() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    let config = |data: serde_json::Value| {
        Patch::Apply(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}),
        )
    };
    let one = PatchParams::apply("one");
    let two = PatchParams::apply("two");
    maps.patch("a", &one, &config(json!({"x": "1", "y": "1"}))).await.expect("created");
    maps.patch("a", &two, &config(json!({"z": "1"}))).await.expect("merged");
    let now = maps.patch("a", &one, &config(json!({"x": "2"}))).await.expect("applied");
    let data = now.data.expect("data");
    assert_eq!(data.into_iter().collect::<Vec<_>>(), [("x".into(), "2".into()), ("z".into(), "1".into())]);
    assert_eq!(now.metadata.managed_fields.expect("managers").len(), 2);

    assert_eq!(code(maps.patch("a", &two, &config(json!({"x": "9"}))).await), 409);
    let forced = maps.patch("a", &two.clone().force(), &config(json!({"x": "9"}))).await.expect("forced");
    assert_eq!(forced.data.expect("data")["x"], "9");
    let again = maps.patch("a", &two, &config(json!({"x": "9"}))).await.expect("applied");
    assert_eq!(again.metadata.resource_version, forced.metadata.resource_version, "nothing changed");
    assert_eq!(code(maps.patch("a", &PatchParams::default(), &config(json!({}))).await), 400);
}
