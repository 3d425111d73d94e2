//! What happens by itself: finalizers, owners, namespaces.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use serde_json::{Value, json};

use crate::support::{code, config_map, start, typed, until, widget, widgets};

fn maps(client: &Client) -> Api<ConfigMap> {
    Api::default_namespaced(client.clone())
}

/// An owner and what it owns.
async fn family(client: &Client, blocks: bool) -> String {
    let owner =
        widgets(client).create(&PostParams::default(), &widget("owner", json!({}))).await.expect("created");
    let uid = owner.uid().expect("a uid");
    for name in ["child-a", "child-b"] {
        let mut child = config_map(name);
        child["metadata"]["ownerReferences"] = json!([{"apiVersion": "test.dev/v1", "kind": "Widget",
            "name": "owner", "uid": uid, "blockOwnerDeletion": blocks}]);
        maps(client).create(&PostParams::default(), &typed(child)).await.expect("created");
    }
    uid
}

async fn gone(client: &Client, name: &str) {
    until(&format!("{name} is gone"), || async {
        maps(client).get_opt(name).await.expect("answers").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_removed() {
    let f = start();
    let mut held = config_map("a");
    held["metadata"]["finalizers"] = json!(["test.dev/hold"]);
    let maps = maps(&f.client);
    maps.create(&PostParams::default(), &typed(held)).await.expect("created");
    let marked =
        maps.delete("a", &DeleteParams::default()).await.expect("marked").left().expect("the object");
    assert!(marked.metadata.deletion_timestamp.is_some());
    let add = Patch::Merge(json!({"metadata": {"finalizers": ["test.dev/hold", "test.dev/more"]}}));
    assert_eq!(code(maps.patch("a", &PatchParams::default(), &add).await), 422);
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("a", &PatchParams::default(), &release).await.expect("released");
    assert_eq!(code(maps.get("a").await), 404);
}

#[tokio::test]
async fn dependents_go_after_their_owner() {
    let f = start();
    family(&f.client, false).await;
    widgets(&f.client).delete("owner", &DeleteParams::default()).await.expect("deleted");
    gone(&f.client, "child-a").await;
    gone(&f.client, "child-b").await;
}

#[tokio::test]
async fn dependents_go_before_their_owner_in_the_foreground() {
    let f = start();
    family(&f.client, true).await;
    let hold = Patch::Merge(json!({"metadata": {"finalizers": ["test.dev/hold"]}}));
    maps(&f.client).patch("child-a", &PatchParams::default(), &hold).await.expect("held");
    let params = DeleteParams::foreground();
    let marked =
        widgets(&f.client).delete("owner", &params).await.expect("marked").left().expect("the owner");
    assert_eq!(marked.finalizers(), ["foregroundDeletion"]);
    gone(&f.client, "child-b").await;
    widgets(&f.client).get("owner").await.expect("waits for the child that is held");
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps(&f.client).patch("child-a", &PatchParams::default(), &release).await.expect("released");
    until("the owner is gone", || async {
        widgets(&f.client).get_opt("owner").await.expect("answers").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn orphans_stay_without_their_owner() {
    let f = start();
    family(&f.client, false).await;
    let params =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    widgets(&f.client).delete("owner", &params).await.expect("deleted");
    until("the owner is gone", || async {
        widgets(&f.client).get_opt("owner").await.expect("answers").is_none().then_some(())
    })
    .await;
    assert!(maps(&f.client).get("child-a").await.expect("there").owner_references().is_empty());
}

#[tokio::test]
async fn an_object_whose_owner_never_was_goes_and_one_with_another_owner_stays() {
    let f = start();
    let uid = family(&f.client, false).await;
    let owner =
        |uid: &str| json!({"apiVersion": "test.dev/v1", "kind": "Widget", "name": "owner", "uid": uid});
    let mut lost = config_map("lost");
    lost["metadata"]["ownerReferences"] = json!([owner("never-was")]);
    maps(&f.client).create(&PostParams::default(), &typed(lost)).await.expect("created");
    gone(&f.client, "lost").await;
    let mut shared = config_map("shared");
    shared["metadata"]["ownerReferences"] = json!([owner("never-was"), owner(&uid)]);
    maps(&f.client).create(&PostParams::default(), &typed(shared)).await.expect("created");
    until("only the living owner is named", || async {
        let owners = maps(&f.client).get("shared").await.expect("there").owner_references().to_vec();
        (owners.len() == 1 && owners[0].uid == uid).then_some(())
    })
    .await;
}

#[tokio::test]
async fn deletions_have_preconditions() {
    let f = start();
    let maps = maps(&f.client);
    maps.create(&PostParams::default(), &typed(config_map("a"))).await.expect("created");
    let other = DeleteParams {
        preconditions: Some(kube::api::Preconditions { uid: Some("other".into()), resource_version: None }),
        ..DeleteParams::default()
    };
    assert_eq!(code(maps.delete("a", &other).await), 409);
    maps.get("a").await.expect("still there");
}

#[tokio::test]
async fn a_namespace_takes_its_contents_with_it() {
    let f = start();
    let namespaces: Api<Namespace> = Api::all(f.client.clone());
    let team: Namespace = typed(json!({"metadata": {"name": "team"}}));
    namespaces.create(&PostParams::default(), &team).await.expect("created");
    let inside: Api<ConfigMap> = Api::namespaced(f.client.clone(), "team");
    let mut held: Value = config_map("held");
    held["metadata"]["finalizers"] = json!(["test.dev/hold"]);
    inside.create(&PostParams::default(), &typed(held)).await.expect("created");
    inside.create(&PostParams::default(), &typed(config_map("free"))).await.expect("created");
    let marked =
        namespaces.delete("team", &DeleteParams::default()).await.expect("marked").left().expect("it");
    assert_eq!(marked.status.and_then(|status| status.phase).as_deref(), Some("Terminating"));
    until("the free one is gone", || async {
        inside.get_opt("free").await.expect("answers").is_none().then_some(())
    })
    .await;
    assert_eq!(code(inside.create(&PostParams::default(), &typed(config_map("late"))).await), 403);
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    inside.patch("held", &PatchParams::default(), &release).await.expect("released");
    until("the namespace is gone", || async {
        namespaces.get_opt("team").await.expect("answers").is_none().then_some(())
    })
    .await;
    namespaces.create(&PostParams::default(), &team).await.expect("the name is free again");
    assert_eq!(code(namespaces.delete("default", &DeleteParams::default()).await), 403);
}
