//! Deployments behind Services: names, ports on the host, rolling updates.

use std::time::Duration;

use galley_sandbox::Mode;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{World, world};

fn deployment(name: &str, replicas: i32, body: &str) -> serde_json::Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{
                "name": "web", "image": "testbed:1", "args": ["http", "$(POD_IP):8080", body],
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "ports": [{"name": "http", "containerPort": 8080}],
                "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
            }]}}
        }
    })
}

fn service(name: &str) -> serde_json::Value {
    json!({
        "metadata": {"name": name, "annotations": {"galley.dev/host-port": "8080"}},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 8000, "targetPort": "http"}]}
    })
}

async fn available(world: &World, name: &str, replicas: i32) {
    let holds = |deployment: Option<&Deployment>| {
        deployment.is_some_and(|one| {
            one.status.as_ref().is_some_and(|status| {
                status.available_replicas == Some(replicas)
                    && status.updated_replicas == Some(replicas)
                    && status.replicas == Some(replicas)
                    && status.observed_generation == one.metadata.generation
            })
        })
    };
    world.until::<Deployment>(name, "available", holds).await;
}

async fn host_port(world: &World, name: &str) -> u16 {
    let bound = |service: &Service| {
        service.metadata.annotations.as_ref()?.get("galley.dev/host-port-bound")?.parse::<u16>().ok()
    };
    let holds = |service: Option<&Service>| service.is_some_and(|service| bound(service).is_some());
    bound(&world.until::<Service>(name, "bound", holds).await.unwrap()).unwrap()
}

async fn get(port: u16, path: &str) -> std::io::Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| std::io::Error::other("no answer"))?;
        if head.starts_with("HTTP/1.1 200") {
            Ok(body.to_owned())
        } else {
            Err(std::io::Error::other(head.to_owned()))
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_are_reached_by_name_and_from_the_host() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    world.create::<Deployment>(deployment("web", 2, "hello")).await;
    world.create::<Service>(service("web")).await;
    available(&world, "web", 2).await;
    let port = host_port(&world, "web").await;
    assert_eq!(get(port, "/").await.unwrap(), "hello");
    let args = [
        "get",
        "web.default.svc.cluster.local:8000",
        "/",
        ",",
        "get",
        "web:8000",
        "/",
        ",",
        "env",
        "WEB_SERVICE_PORT",
    ];
    world.pod("asks", &args, json!({})).await;
    world.phase("asks", "Succeeded").await;
    assert_eq!(world.log("asks").await, "hello\nhello\nWEB_SERVICE_PORT=8000\n");
    world.pod("lost", &["get", "nobody:80", "/"], json!({})).await;
    world.phase("lost", "Failed").await;
    // Everything goes with the Deployment.
    world.api::<Deployment>().delete("web", &DeleteParams::default()).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let pods = world.api::<Pod>().list(&ListParams::default().labels("app=web")).await.unwrap();
        let sets = world.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap();
        if pods.items.is_empty() && sets.items.is_empty() {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{} pods, {} sets are left",
            pods.items.len(),
            sets.items.len()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_loses_no_request() {
    for mode in [Mode::Namespaces, Mode::Plain] {
        let Some(world) = world(mode).await else { continue };
        let name = if mode == Mode::Plain { "plain" } else { "rolls" };
        world.create::<Deployment>(deployment(name, 2, "one")).await;
        world.create::<Service>(service(name)).await;
        available(&world, name, 2).await;
        let port = host_port(&world, name).await;
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let load = tokio::spawn(async move {
            let (mut one, mut two) = (0u32, 0u32);
            while !*stopped.borrow_and_update() {
                match get(port, "/slow").await.unwrap().as_str() {
                    "one" => one += 1,
                    "two" => two += 1,
                    other => panic!("{other}"),
                }
            }
            (one, two)
        });
        let args = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "args": ["http", "$(POD_IP):8080", "two"]}]}}}});
        world
            .api::<Deployment>()
            .patch(name, &PatchParams::default(), &Patch::Strategic(args))
            .await
            .unwrap();
        available(&world, name, 2).await;
        // The old pods leave after that; the load goes on until they have.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let pods = world.api::<Pod>().list(&ListParams::default()).await.unwrap();
            if pods.items.len() == 2 {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.send_replace(true);
        let (one, two) = load.await.unwrap();
        assert!(one > 0 && two > 0, "{one} and {two} answers");
        assert_eq!(get(port, "/").await.unwrap(), "two");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_the_host_is_reached_through_a_service() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe host").await.unwrap();
        }
    });
    world
        .create::<Service>(
            json!({"metadata": {"name": "mlflow"}, "spec": {"ports": [{"name": "http", "port": 8000}]}}),
        )
        .await;
    world
        .create::<EndpointSlice>(json!({
            "metadata": {"name": "mlflow-host", "labels": {"kubernetes.io/service-name": "mlflow"}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}]
        }))
        .await;
    let more = json!({"spec": {"restartPolicy": "OnFailure"}});
    world.pod("asks", &["get", "mlflow.default.svc.cluster.local:8000", "/"], more).await;
    world.phase("asks", "Succeeded").await;
    assert!(world.log("asks").await.ends_with("the host\n"));
    let address = world.api::<Service>().get("kubernetes").await.unwrap().spec.unwrap().cluster_ip;
    assert_eq!(address.as_deref(), Some("10.96.0.1"));
    answering.abort();
    world.stop().await;
}
