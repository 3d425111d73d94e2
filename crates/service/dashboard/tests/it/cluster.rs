//! An API server with made-up objects, and a dashboard on a free port that watches it.

use std::{collections::BTreeSet, sync::Arc};

use galley_apiserver::{ApiServer, Config as ApiConfig, MIGRATION, ResourceDef, kubernetes_kinds};
use galley_dashboard::{Config, Deps, Link, Service};
use galley_store::Database;
use galley_units::SystemClock;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running dashboard and its API server; they go away together.
pub(crate) struct Cluster {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) http: reqwest::Client,
    _stop: DropGuard,
    _folder: tempfile::TempDir,
}

fn kind(group: &str, version: &str, kind: &str, plural: &str) -> ResourceDef {
    ResourceDef {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        short_names: vec![],
        namespaced: true,
        categories: vec![],
        columns: vec![],
        status: true,
        scale: None,
        schema: None,
    }
}

/// All kinds that the dashboard reads.
pub(crate) fn kinds() -> Vec<ResourceDef> {
    let mut kinds = kubernetes_kinds();
    kinds.push(kind("argoproj.io", "v1alpha1", "Application", "applications"));
    kinds.push(kind("argoproj.io", "v1alpha1", "Workflow", "workflows"));
    kinds.push(kind("galley.dev", "v1alpha1", "Release", "releases"));
    kinds.push(kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"));
    kinds
}

pub(crate) async fn start(objects: &[Value]) -> Cluster {
    start_with(kinds(), objects).await
}

pub(crate) async fn start_with(kinds: Vec<ResourceDef>, objects: &[Value]) -> Cluster {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let database = Database::open(&folder.path().join("api.db"), &[MIGRATION]).expect("a database");
    let config = ApiConfig { kinds, ..ApiConfig::default() };
    let server = ApiServer::open(config, database, Arc::new(SystemClock)).expect("an API server");
    let client = server.client("default");
    let spaces: BTreeSet<&str> =
        objects.iter().filter_map(|object| object["metadata"]["namespace"].as_str()).collect();
    for name in spaces {
        let space = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let space: DynamicObject = serde_json::from_value(space).expect("an object");
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
        let spaces: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        spaces.create(&PostParams::default(), &space).await.expect("made");
    }
    for object in objects {
        put(&client, object).await;
    }
    let links = [
        ("Production", "http://127.0.0.1:8080"),
        ("Tracking", "http://127.0.0.1:5000"),
        ("Git", "http://127.0.0.1:8418/pipeline.git"),
    ];
    let config = Config {
        title: "GourmetGram".into(),
        links: links.map(|(name, url)| Link { name: name.into(), url: url.into() }).into(),
        ..Config::default()
    };
    let versions: galley_dashboard::Versions = Arc::new(|| vec![("production".into(), "6".into())]);
    let deps = Deps { client: client.clone(), clock: Arc::new(SystemClock), versions: Some(versions) };
    let service = Service::new(config, deps).expect("a dashboard");
    let router = service.router();
    let stop = CancellationToken::new();
    tokio::spawn(service.run(stop.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let until = stop.clone();
    tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(until.cancelled_owned()).await.expect("serves")
    });
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    Cluster { url, client, http, _stop: stop.drop_guard(), _folder: folder }
}

fn api(client: &Client, object: &Value) -> Api<DynamicObject> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).expect("a text");
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let kind = text("/kind");
    let plural = format!("{}s", kind.to_lowercase());
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), &plural);
    Api::namespaced_with(client.clone(), text("/metadata/namespace"), &resource)
}

/// Makes an object with its status.
pub(crate) async fn put(client: &Client, object: &Value) {
    let api = api(client, object);
    let made: DynamicObject = serde_json::from_value(object.clone()).expect("an object");
    api.create(&PostParams::default(), &made).await.expect("made");
    if let Some(status) = object.get("status") {
        set_status(client, object, status).await;
    }
}

/// Sets the status of an object.
pub(crate) async fn set_status(client: &Client, object: &Value, status: &Value) {
    let name = object["metadata"]["name"].as_str().expect("a name");
    let patch = json!({ "status": status });
    api(client, object).patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("set");
}

impl Cluster {
    /// A page that must exist.
    pub(crate) async fn page(&self, path: &str) -> String {
        let response = self.http.get(format!("{}{path}", self.url)).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.expect("a page")
    }
}
