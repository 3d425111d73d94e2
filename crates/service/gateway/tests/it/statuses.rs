//! Statuses say what is, once.

use serde_json::{Value, json};

use crate::{World, gateway_api};

fn condition<'a>(conditions: &'a Value, kind: &str) -> &'a Value {
    let found = conditions.as_array().and_then(|all| all.iter().find(|condition| condition["type"] == kind));
    found.unwrap_or(&Value::Null)
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

#[tokio::test]
async fn everything_becomes_healthy_and_stays_unwritten() {
    let world = World::start().await;
    let v1 = gateway_api("v1");
    world.service("app", "web", &[]).await;
    world.route("web", json!([{"backendRefs": [{"name": "web", "port": 80}]}])).await;
    let class = world
        .wait(&v1, "GatewayClass", "", "galley", |class| {
            condition(&class["status"]["conditions"], "Accepted")["status"] == "True"
        })
        .await;
    let gateway = world
        .wait(&v1, "Gateway", "infra", "main", |gateway| {
            gateway["status"]["listeners"][0]["attachedRoutes"] == 1
        })
        .await;
    for kind in ["Accepted", "Programmed"] {
        let condition = condition(&gateway["status"]["conditions"], kind);
        assert_eq!(condition["status"], "True", "{gateway:#}");
        assert_eq!(condition["observedGeneration"], gateway["metadata"]["generation"]);
        assert!(condition["lastTransitionTime"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(gateway["status"]["addresses"], json!([{"type": "IPAddress", "value": "127.0.0.1"}]));
    let accepted = |route: &Value| {
        condition(&route["status"]["parents"][0]["conditions"], "Accepted")["status"] == "True"
    };
    let route = world.wait(&v1, "HTTPRoute", "app", "web", accepted).await;
    assert_eq!(route["status"]["parents"][0]["controllerName"], "galley.dev/gateway");
    assert_eq!(condition(&route["status"]["parents"][0]["conditions"], "ResolvedRefs")["status"], "True");

    // Changes that concern none of them must not write any of them: wait for proof that they were seen.
    for n in 0..3 {
        world.service("app", &format!("other-{n}"), &[]).await;
        let name = format!("next-{n}");
        let rules = json!([{"matches": [{"path": {"value": format!("/next-{n}")}}],
            "backendRefs": [{"name": format!("other-{n}"), "port": 80}]}]);
        world.route(&name, rules).await;
        world.wait(&v1, "HTTPRoute", "app", &name, accepted).await;
        world.until(&format!("/next-{n}"), |(status, _)| *status == 503).await;
    }
    let after = world.wait(&v1, "HTTPRoute", "app", "web", |_| true).await;
    assert_eq!(version(&after), version(&route));
    let after = world.wait(&v1, "GatewayClass", "", "galley", |_| true).await;
    assert_eq!(version(&after), version(&class));
    let counted = world
        .wait(&v1, "Gateway", "infra", "main", |gateway| {
            gateway["status"]["listeners"][0]["attachedRoutes"] == 4
        })
        .await;
    let since = |gateway: &Value| {
        condition(&gateway["status"]["conditions"], "Accepted")["lastTransitionTime"].clone()
    };
    assert_eq!(since(&counted), since(&gateway), "the time is that of the last real change");
    world.stop().await;
}

#[tokio::test]
async fn a_route_keeps_what_other_controllers_said_about_it() {
    let world = World::start().await;
    let v1 = gateway_api("v1");
    world.route("web", json!([{"backendRefs": [{"name": "none", "port": 80}]}])).await;
    let ours =
        |route: &Value| route["status"]["parents"].as_array().is_some_and(|parents| !parents.is_empty());
    world.wait(&v1, "HTTPRoute", "app", "web", ours).await;
    let theirs = json!({"parentRef": {"name": "theirs"}, "controllerName": "example.net/x",
        "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    let api = world.api(&v1, "HTTPRoute", "app");
    let patch = json!({"status": {"parents": [theirs]}});
    let parameters = kube::api::PatchParams::default();
    api.patch_status("web", &parameters, &kube::api::Patch::Merge(patch)).await.unwrap();
    // Ours is gone by that; it comes back beside theirs.
    let route = world
        .wait(&v1, "HTTPRoute", "app", "web", |route| {
            route["status"]["parents"].as_array().is_some_and(|parents| parents.len() == 2)
        })
        .await;
    assert_eq!(route["status"]["parents"][0], theirs);
    assert_eq!(route["status"]["parents"][1]["conditions"][1]["reason"], "BackendNotFound");
    world.stop().await;
}
