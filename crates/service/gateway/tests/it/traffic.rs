//! Traffic follows the objects.

use serde_json::json;

use crate::{Backend, World, gateway_api};

#[tokio::test]
async fn weights_grants_and_endpoints_are_followed_as_they_change() {
    let world = World::start().await;
    let (stable, canary) = (Backend::start().await, Backend::start().await);
    world.service("app", "web", &[stable.address]).await;
    let weights = |stable: u32, canary: u32| {
        json!([{"backendRefs": [{"name": "web", "port": 80, "weight": stable},
            {"name": "web", "namespace": "canary", "port": 80, "weight": canary}]}])
    };
    world.route("split", weights(90, 10)).await;
    // Nothing grants the canary yet: its share is refused, and said so.
    world.until("/", |answer| *answer == (200, "app/web".into())).await;
    world.until("/", |(status, _)| *status == 500).await;
    let grant = json!({"metadata": {"name": "app"}, "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "app"}],
        "to": [{"group": "", "kind": "Service"}]}});
    world.create(&gateway_api("v1beta1"), "ReferenceGrant", "canary", grant).await;
    let resolved = |route: &serde_json::Value, reason: &str| {
        route["status"]["parents"][0]["conditions"][1]["reason"] == reason
    };
    let route = |reason: &'static str| {
        world.wait("gateway.networking.k8s.io/v1", "HTTPRoute", "app", "split", move |r| resolved(r, reason))
    };
    route("BackendNotFound").await;
    // Granted, but not there: it costs no request.
    for _ in 0..50 {
        assert_eq!(world.get("/").await, (200, "app/web".into()));
    }
    world.service("canary", "web", &[canary.address]).await;
    route("ResolvedRefs").await;
    world.until("/", |(_, backend)| backend == "canary/web").await;
    let mut to_canary = 0;
    for _ in 0..1000 {
        let (status, backend) = world.get("/").await;
        assert_eq!(status, 200);
        to_canary += usize::from(backend == "canary/web");
    }
    // Mean 100, standard deviation 9.5; the bound is five deviations.
    assert!((53..=147).contains(&to_canary), "{to_canary}");

    let patch = json!({"spec": {"rules": weights(0, 100)}});
    world.patch(&gateway_api("v1"), "HTTPRoute", "app", "split", patch).await;
    world
        .wait(&gateway_api("v1"), "HTTPRoute", "app", "split", |route| {
            route["status"]["parents"][0]["conditions"][0]["observedGeneration"]
                == route["metadata"]["generation"]
        })
        .await;
    for _ in 0..50 {
        assert_eq!(world.get("/").await, (200, "canary/web".into()));
    }
    assert!(world.metrics.requests("app/split", "canary/web", 200) >= 50);
    world.stop().await;
}

#[tokio::test]
async fn replacing_an_endpoint_under_load_fails_no_request() {
    let world = World::start().await;
    let old = Backend::start().await;
    world.service("app", "web", &[old.address]).await;
    world.route("web", json!([{"backendRefs": [{"name": "web", "port": 80}]}])).await;
    world.until("/", |(status, _)| *status == 200).await;
    let load = async {
        for _ in 0..400 {
            assert_eq!(world.get("/").await, (200, "app/web".into()));
        }
    };
    // As a rollout does: the new one is ready, the old one leaves the list, then it ends.
    let rollout = async {
        let new = Backend::start().await;
        world.slice("app", "web", new.address).await;
        let api = world.api("discovery.k8s.io/v1", "EndpointSlice", "app");
        api.delete(&format!("web-{}", old.address.port()), &Default::default()).await.unwrap();
        drop(old);
        new
    };
    let ((), _new) = tokio::join!(load, rollout);
    world.stop().await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_breaks_nothing_else() {
    let world = World::start().await;
    let web = Backend::start().await;
    let broken = json!({"metadata": {"name": "broken"}, "spec": {"rules": "none", "parentRefs": 7}});
    world.create(&gateway_api("v1"), "HTTPRoute", "app", broken).await;
    world.service("app", "web", &[web.address]).await;
    world.route("web", json!([{"backendRefs": [{"name": "web", "port": 80}]}])).await;
    world.until("/", |(status, _)| *status == 200).await;
    world.stop().await;
}
