//! Watches: from a revision, with selectors, by kube's own watcher, and when the past is gone.

use futures::{StreamExt, TryStreamExt};
use galley_apiserver::{ApiServer, Config, MIGRATION, Retention};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{PATIENCE, config_map, start, typed};

fn show(event: &WatchEvent<ConfigMap>) -> String {
    match event {
        WatchEvent::Added(map) => format!("+{}", map.name_any()),
        WatchEvent::Modified(map) => format!("~{}", map.name_any()),
        WatchEvent::Deleted(map) => format!("-{}", map.name_any()),
        WatchEvent::Bookmark(_) => "bookmark".into(),
        WatchEvent::Error(status) => format!("error {}", status.code),
    }
}

async fn take(
    stream: impl futures::Stream<Item = kube::Result<WatchEvent<ConfigMap>>>,
    count: usize,
) -> Vec<String> {
    let events = stream.take(count).map_ok(|event| show(&event)).try_collect();
    timeout(PATIENCE, events).await.expect("in time").expect("no error")
}

#[tokio::test]
async fn a_watch_tells_everything_after_a_revision() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    maps.create(&PostParams::default(), &typed(config_map("before"))).await.expect("created");
    let revision =
        maps.list(&ListParams::default()).await.expect("lists").metadata.resource_version.expect("one");
    maps.create(&PostParams::default(), &typed(config_map("a"))).await.expect("created");
    let stream = maps.watch(&WatchParams::default(), &revision).await.expect("watches").boxed();
    let patch = Patch::Merge(json!({"data": {"a": "2"}}));
    maps.patch("a", &PatchParams::default(), &patch).await.expect("patched");
    maps.delete("a", &DeleteParams::default()).await.expect("deleted");
    assert_eq!(take(stream, 3).await, ["+a", "~a", "-a"]);
}

#[tokio::test]
async fn an_object_that_ceases_to_be_selected_disappears() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    let revision =
        maps.list(&ListParams::default()).await.expect("lists").metadata.resource_version.expect("one");
    let params = WatchParams::default().labels("on=yes");
    let stream = maps.watch(&params, &revision).await.expect("watches").boxed();
    maps.create(&PostParams::default(), &typed(config_map("a"))).await.expect("created");
    for on in ["yes", "yes", "no", "yes"] {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"on": on}}, "data": {"b": on}}));
        maps.patch("a", &PatchParams::default(), &patch).await.expect("patched");
    }
    let patch = Patch::Merge(json!({"data": {"c": "1"}}));
    maps.patch("a", &PatchParams::default(), &patch).await.expect("patched");
    assert_eq!(take(stream, 4).await, ["+a", "-a", "+a", "~a"], "the second `yes` changed nothing");
}

#[tokio::test]
async fn a_watch_without_a_revision_begins_with_what_is_there() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    maps.create(&PostParams::default(), &typed(config_map("a"))).await.expect("created");
    let stream =
        maps.watch(&WatchParams::default().fields("metadata.name=a"), "0").await.expect("watches").boxed();
    assert_eq!(take(stream, 1).await, ["+a"]);
    let params = WatchParams::default().fields("metadata.name=a").initial_events();
    let stream = maps.watch(&params, "").await.expect("watches").boxed();
    assert_eq!(take(stream, 2).await, ["+a", "bookmark"]);
}

#[tokio::test]
async fn kubes_watcher_follows() {
    let f = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(f.client.clone());
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        maps.create(&PostParams::default(), &typed(config_map("a"))).await.expect("created");
        let mut seen = watcher(maps.clone(), config.fields("metadata.name=a")).applied_objects().boxed();
        let next = timeout(PATIENCE, seen.next()).await.expect("in time").expect("open").expect("no error");
        assert_eq!(next.data.expect("data")["a"], "1");
        let patch = Patch::Merge(json!({"data": {"a": "2"}}));
        maps.patch("a", &PatchParams::default(), &patch).await.expect("patched");
        let next = timeout(PATIENCE, seen.next()).await.expect("in time").expect("open").expect("no error");
        assert_eq!(next.data.expect("data")["a"], "2");
        maps.delete("a", &DeleteParams::default()).await.expect("deleted");
    }
}

#[tokio::test]
async fn a_past_that_is_gone_is_410() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let database = galley_store::Database::open(&dir.path().join("api.db"), &[MIGRATION]).expect("opens");
    let config = Config { retention: Retention { events: 5, bytes: 1 << 20 }, ..Config::default() };
    let clock = std::sync::Arc::new(galley_units::SystemClock);
    let server = ApiServer::open(config, database, clock).expect("opens");
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client("default"));
    let first = maps.create(&PostParams::default(), &typed(config_map("a"))).await.expect("created");
    for n in 0..600 {
        let patch = Patch::Merge(json!({"data": {"a": n.to_string()}}));
        maps.patch("a", &PatchParams::default(), &patch).await.expect("patched");
    }
    let revision = first.resource_version().expect("one");
    let stream = maps.watch(&WatchParams::default(), &revision).await.expect("watches").boxed();
    assert_eq!(take(stream, 1).await, ["error 410"]);
}
