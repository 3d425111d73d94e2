//! The gateway on a real API server: objects in, traffic and statuses out.

mod statuses;
mod traffic;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use galley_apiserver::{ApiServer, Config as ApiConfig, MIGRATION, ResourceDef, kubernetes_kinds};
use galley_gateway::{Config, Deps, HostDialer, Metrics, Service};
use galley_gateway_types::GROUP;
use galley_store::Database;
use galley_units::SystemClock;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

/// An API server and a gateway with one socket, known as port 80.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Metrics,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl World {
    /// Starts both, with the class `galley`, the gateway `infra/main`, and the namespaces `infra`, `app` and `canary`.
    pub(crate) async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("galley.db"), &[MIGRATION]).unwrap();
        let mut kinds = kubernetes_kinds();
        kinds.push(ResourceDef::new(GROUP, "v1", "GatewayClass", "gatewayclasses").cluster());
        kinds.push(ResourceDef::new(GROUP, "v1", "Gateway", "gateways"));
        kinds.push(ResourceDef::new(GROUP, "v1", "HTTPRoute", "httproutes"));
        kinds.push(ResourceDef::new(GROUP, "v1beta1", "ReferenceGrant", "referencegrants"));
        let config = ApiConfig { kinds, ..ApiConfig::default() };
        let client = ApiServer::open(config, database, Arc::new(SystemClock)).unwrap().client("default");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let deps = Deps {
            client: client.clone(),
            dialer: Arc::new(HostDialer),
            clock: Arc::new(SystemClock),
            listeners: BTreeMap::from([(80, listener)]),
            seed: 7,
        };
        let service = Service::new(Config { drain_seconds: 1, ..Config::default() }, deps).unwrap();
        let (metrics, shutdown) = (service.metrics(), CancellationToken::new());
        let running = service.run(shutdown.clone());
        let served = tokio::spawn(async move { running.await.unwrap() });
        let world = World { client, address, metrics, shutdown, served, _folder: folder };
        for name in ["infra", "app", "canary"] {
            world.create("v1", "Namespace", "", json!({"metadata": {"name": name}})).await;
        }
        let class = json!({"metadata": {"name": "galley"}, "spec": {"controllerName": "galley.dev/gateway"}});
        world.create(&gateway_api("v1"), "GatewayClass", "", class).await;
        let gateway = json!({"metadata": {"name": "main"}, "spec": {"gatewayClassName": "galley",
            "listeners": [{"name": "http", "port": 80, "protocol": "HTTP",
                "allowedRoutes": {"namespaces": {"from": "All"}}}]}});
        world.create(&gateway_api("v1"), "Gateway", "infra", gateway).await;
        world
    }

    /// Ends the gateway and waits for it.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.served).await.unwrap().unwrap();
    }

    pub(crate) fn api(&self, version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let resource = match kind {
            "GatewayClass" => resource(group, version, kind, "gatewayclasses"),
            _ => ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)),
        };
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    pub(crate) async fn create(&self, version: &str, kind: &str, namespace: &str, object: Value) {
        let mut object = object;
        object["apiVersion"] = version.into();
        object["kind"] = kind.into();
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        self.api(version, kind, namespace).create(&PostParams::default(), &object).await.unwrap();
    }

    pub(crate) async fn patch(&self, version: &str, kind: &str, namespace: &str, name: &str, patch: Value) {
        let api = self.api(version, kind, namespace);
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// A Service with port 80, and a slice with these endpoints.
    pub(crate) async fn service(&self, namespace: &str, name: &str, endpoints: &[SocketAddr]) {
        let service = json!({"metadata": {"name": name}, "spec": {"ports": [{"name": "http", "port": 80}]}});
        self.create("v1", "Service", namespace, service).await;
        for endpoint in endpoints {
            self.slice(namespace, name, *endpoint).await;
        }
    }

    /// A slice with one endpoint; its name ends with the endpoint's port.
    pub(crate) async fn slice(&self, namespace: &str, service: &str, endpoint: SocketAddr) {
        let slice = json!({
            "metadata": {"name": format!("{service}-{}", endpoint.port()),
                "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": endpoint.port(), "protocol": "TCP"}],
            "endpoints": [{"addresses": [endpoint.ip().to_string()], "conditions": {"ready": true}}]});
        self.create("discovery.k8s.io/v1", "EndpointSlice", namespace, slice).await;
    }

    pub(crate) async fn route(&self, name: &str, rules: Value) {
        let route = json!({"metadata": {"name": name}, "spec": {
            "parentRefs": [{"name": "main", "namespace": "infra"}], "rules": rules}});
        self.create(&gateway_api("v1"), "HTTPRoute", "app", route).await;
    }

    /// The object as JSON, once `is_right` holds.
    pub(crate) async fn wait(
        &self,
        version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        is_right: impl Fn(&Value) -> bool,
    ) -> Value {
        let api = self.api(version, kind, namespace);
        let mut last = Value::Null;
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                last = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
                if is_right(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(waited.is_ok(), "{kind} {name} never became right: {last:#}");
        last
    }

    /// `GET path`: status, and the name of the backend that answered.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let asked = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let head = format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let backend = answer.lines().find_map(|line| line.strip_prefix("x-galley-backend: "));
        (status, backend.unwrap_or_default().to_owned())
    }

    /// Asks until the answer is right.
    pub(crate) async fn until(&self, path: &str, is_right: impl Fn(&(u16, String)) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_right(&self.get(path).await) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(waited.is_ok(), "{path} never answered as it should");
    }
}

pub(crate) fn gateway_api(version: &str) -> String {
    format!("{GROUP}/{version}")
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: format!("{group}/{version}"),
        kind: kind.into(),
        plural: plural.into(),
    }
}

/// A backend that answers every request with 200 until it is dropped.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
}

impl Backend {
    pub(crate) async fn start() -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let router = axum::Router::new().fallback(|| async { "ok" });
        tokio::spawn(async move {
            tokio::select! {
                outcome = axum::serve(listener, router) => outcome.unwrap(),
                () = stopped.cancelled() => {}
            }
        });
        Backend { address, stop }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
