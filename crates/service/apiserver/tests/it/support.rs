//! A server on a scratch database.

use std::{future::Future, sync::Arc, time::Duration};

use galley_apiserver::{ApiServer, Config, MIGRATION, ResourceDef, kubernetes_kinds};
use galley_store::Database;
use galley_units::SystemClock;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Fixture {
    pub server: ApiServer,
    pub client: Client,
    pub database: Database,
    pub dir: tempfile::TempDir,
    _running: DropGuard,
}

/// A running server with Kubernetes' kinds and one of its own.
pub fn start() -> Fixture {
    start_in(tempfile::tempdir().expect("a scratch folder"))
}

pub fn start_in(dir: tempfile::TempDir) -> Fixture {
    let database = Database::open(&dir.path().join("api.db"), &[MIGRATION]).expect("opens");
    let mut kinds = kubernetes_kinds();
    kinds.push(ResourceDef::new("test.dev", "v1", "Widget", "widgets").short(&["wd"]));
    let config = Config { kinds, ca_certificate: Some("CERTIFICATE".into()), ..Config::default() };
    let server = ApiServer::open(config, database.clone(), Arc::new(SystemClock)).expect("opens");
    let shutdown = CancellationToken::new();
    tokio::spawn(server.clone().run(shutdown.clone()));
    let client = server.client("default");
    Fixture { server, client, database, dir, _running: shutdown.drop_guard() }
}

pub fn widget_resource() -> ApiResource {
    ApiResource {
        group: "test.dev".into(),
        version: "v1".into(),
        api_version: "test.dev/v1".into(),
        kind: "Widget".into(),
        plural: "widgets".into(),
    }
}

pub fn widgets(client: &Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), "default", &widget_resource())
}

pub fn widget(name: &str, spec: Value) -> DynamicObject {
    DynamicObject::new(name, &widget_resource()).data(json!({"spec": spec}))
}

/// Reads a typed object from JSON.
pub fn typed<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("of the kind")
}

/// Waits until `probe` gives a value; panics after the deadline.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The HTTP code of a refusal.
pub fn code<T: std::fmt::Debug>(outcome: Result<T, kube::Error>) -> u16 {
    match outcome {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

pub fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

pub fn deployment(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "web", "image": "nginx:1.27", "ports": [{"containerPort": 80}]}]}}}})
}
