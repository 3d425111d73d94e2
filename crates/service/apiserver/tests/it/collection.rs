//! Collections: selectors, pages, tables, custom kinds, discovery.

use k8s_openapi::{
    api::core::v1::{ConfigMap, Event, Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Discovery, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::support::{code, start, typed, until};

pub fn gadget_definition() -> CustomResourceDefinition {
    typed(json!({
        "metadata": {"name": "gadgets.shop.dev"},
        "spec": {"group": "shop.dev", "scope": "Namespaced",
            "names": {"kind": "Gadget", "plural": "gadgets", "shortNames": ["gd"]},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
                {"name": "v1beta1", "served": true, "storage": false,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}
    }))
}

fn gadget_resource(version: &str) -> ApiResource {
    ApiResource {
        group: "shop.dev".into(),
        version: version.into(),
        api_version: format!("shop.dev/{version}"),
        kind: "Gadget".into(),
        plural: "gadgets".into(),
    }
}

pub fn gadgets(client: &Client) -> Api<DynamicObject> {
    Api::default_namespaced_with(client.clone(), &gadget_resource("v1"))
}

async fn make(client: &Client, name: &str, labels: Value) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let map: ConfigMap = typed(json!({"metadata": {"name": name, "labels": labels}}));
    maps.create(&PostParams::default(), &map).await.expect("created");
}

#[tokio::test]
async fn lists_are_selected_and_paged() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    for (n, tier) in ["web", "db", "web", "cache", "web"].into_iter().enumerate() {
        make(&f.client, &format!("m{n}"), json!({"tier": tier})).await;
    }
    let names = |list: kube::core::ObjectList<ConfigMap>| {
        list.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    let web = maps.list(&ListParams::default().labels("tier=web")).await.expect("lists");
    assert_eq!(names(web), ["m0", "m2", "m4"]);
    let some = maps.list(&ListParams::default().labels("tier in (db, cache), tier")).await.expect("lists");
    assert_eq!(names(some), ["m1", "m3"]);
    let one = maps.list(&ListParams::default().fields("metadata.name=m3")).await.expect("lists");
    assert_eq!(names(one), ["m3"]);
    assert_eq!(code(maps.list(&ListParams::default().labels("tier in web")).await), 400);
    assert_eq!(code(maps.list(&ListParams::default().fields("data.a=1")).await), 400);

    let everywhere: Api<ConfigMap> = Api::all(f.client.clone());
    let mut params = ListParams::default().limit(2).labels("tier");
    let mut seen = Vec::new();
    let mut revisions = std::collections::BTreeSet::new();
    loop {
        let page = everywhere.list(&params).await.expect("lists");
        revisions.insert(page.metadata.resource_version.clone());
        let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
        seen.extend(names(page));
        match next {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(seen, ["m0", "m1", "m2", "m3", "m4"]);
    assert_eq!(revisions.len(), 1, "all pages show the revision of the first");

    let empty: Api<ConfigMap> = Api::namespaced(f.client.clone(), "nowhere");
    assert!(empty.list(&ListParams::default()).await.expect("an empty list").items.is_empty());
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("tier=web"))
        .await
        .expect("deleted");
    assert_eq!(names(maps.list(&ListParams::default().labels("tier")).await.expect("lists")), ["m1", "m3"]);
}

#[tokio::test]
async fn pods_and_events_are_selected_by_their_fields() {
    let f = start();
    let pods: Api<Pod> = Api::default_namespaced(f.client.clone());
    for (name, node) in [("a", "one"), ("b", "two")] {
        let pod: Pod = typed(json!({"metadata": {"name": name},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}}));
        pods.create(&PostParams::default(), &pod).await.expect("created");
    }
    let list = pods
        .list(&ListParams::default().fields("spec.nodeName=two,status.phase=Pending"))
        .await
        .expect("lists");
    assert_eq!(list.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["b"]);
    let events: Api<Event> = Api::default_namespaced(f.client.clone());
    let event: Event =
        typed(json!({"metadata": {"generateName": "a."}, "reason": "Started", "type": "Normal",
        "involvedObject": {"kind": "Pod", "name": "a", "namespace": "default"}}));
    events.create(&PostParams::default(), &event).await.expect("created");
    let of_a = ListParams::default().fields("involvedObject.name=a,involvedObject.kind=Pod");
    assert_eq!(events.list(&of_a).await.expect("lists").items.len(), 1);
    let of_b = ListParams::default().fields("involvedObject.name=b");
    assert_eq!(events.list(&of_b).await.expect("lists").items.len(), 0);
}

#[tokio::test]
async fn tables_and_metadata_are_given_on_request() {
    let f = start();
    make(&f.client, "a", json!({})).await;
    let ask = |accept: &str| {
        let request =
            http::Request::get("/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Da")
                .header("accept", accept)
                .body(Vec::new())
                .expect("a request");
        f.client.request::<Value>(request)
    };
    let table = ask("application/json;as=Table;v=v1;g=meta.k8s.io,application/json").await.expect("a table");
    assert_eq!(table["kind"], "Table");
    let heads: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .expect("columns")
        .iter()
        .filter_map(|column| column["name"].as_str())
        .collect();
    assert_eq!(heads, ["Name", "Data", "Age"]);
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    let meta = maps.list_metadata(&ListParams::default()).await.expect("metadata");
    assert!(meta.items.iter().any(|item| item.name_any() == "a"));
    assert_eq!(code(ask("text/html").await), 406);
}

#[tokio::test]
async fn custom_kinds_are_served_as_soon_as_they_are_defined() {
    let f = start();
    let definitions: Api<CustomResourceDefinition> = Api::all(f.client.clone());
    assert_eq!(code(gadgets(&f.client).list(&ListParams::default()).await), 404);
    let made = definitions.create(&PostParams::default(), &gadget_definition()).await.expect("created");
    let conditions = made.status.and_then(|status| status.conditions).expect("conditions");
    assert!(conditions.iter().any(|c| c.type_ == "Established" && c.status == "True"));

    let object = DynamicObject::new("g", &gadget_resource("v1")).data(json!({"spec": {"size": 3}}));
    gadgets(&f.client).create(&PostParams::default(), &object).await.expect("created");
    let old: Api<DynamicObject> = Api::default_namespaced_with(f.client.clone(), &gadget_resource("v1beta1"));
    let seen = old.get("g").await.expect("also in the other version");
    assert_eq!(seen.types.expect("types").api_version, "shop.dev/v1beta1");
    let listed = old.list(&ListParams::default()).await.expect("lists");
    assert_eq!(listed.items[0].types.as_ref().expect("types").api_version, "shop.dev/v1beta1");

    let discovery = Discovery::new(f.client.clone()).run().await.expect("discovers");
    let group = discovery.groups().find(|group| group.name() == "shop.dev").expect("the group");
    assert_eq!(group.recommended_resources().len(), 1);
    assert!(discovery.groups().any(|group| group.name() == "apps"));

    definitions.delete("gadgets.shop.dev", &DeleteParams::default()).await.expect("deleted");
    until("the kind is gone with its objects", || async {
        let gone = definitions.get_opt("gadgets.shop.dev").await.expect("answers").is_none();
        gone.then_some(())
    })
    .await;
    assert_eq!(code(gadgets(&f.client).list(&ListParams::default()).await), 404);
}
