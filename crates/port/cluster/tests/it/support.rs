//! Clusters to try things on.

use std::{path::PathBuf, sync::Arc, sync::Mutex, time::Duration};

use galley_apiserver::{ApiServer, Config, MIGRATION, kubernetes_kinds};
use galley_cluster::{
    Applied, ApplyOptions, Cluster, Event, Home, Lock, Plan, PlanOptions, Progress, RemoveOptions, Removed,
};
use galley_problem::Problem;
use galley_store::Database;
use galley_units::{Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    client::Body,
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster and names in it that nobody else uses.
pub struct Site {
    pub cluster: Cluster,
    pub suffix: String,
    /// Requests under way. A killed client's last request may still be carried out by the server.
    pub requests: TaskTracker,
    _local: Option<(tempfile::TempDir, DropGuard)>,
}

/// Galley's own API server.
pub fn local() -> Site {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let database = Database::open(&dir.path().join("api.db"), &[MIGRATION]).expect("opens");
    let config = Config { kinds: kubernetes_kinds(), ..Config::default() };
    let server = ApiServer::open(config, database, Arc::new(SystemClock)).expect("opens");
    let shutdown = CancellationToken::new();
    tokio::spawn(server.clone().run(shutdown.clone()));
    site(server.client("default"), "http://here", Some((dir, shutdown.drop_guard())))
}

/// The kubeconfig of a real cluster; says so if there is none.
pub fn kubeconfig() -> Option<PathBuf> {
    let path = std::env::var_os("GALLEY_TEST_KUBECONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    if path.is_none() {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "skipped: GALLEY_TEST_KUBECONFIG names no cluster");
    }
    path
}

/// A real cluster, if there is one.
pub async fn real() -> Option<Site> {
    let path = kubeconfig()?;
    let cluster =
        Cluster::connect(Some(&path), None).await.expect("GALLEY_TEST_KUBECONFIG leads to a cluster");
    Some(site(cluster.client(), cluster.server(), None))
}

fn site(client: Client, server: &str, local: Option<(tempfile::TempDir, DropGuard)>) -> Site {
    let requests = TaskTracker::new();
    let tracker = requests.clone();
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let client = client.clone();
        let sent = tracker.spawn(async move { client.send(request).await });
        async move { sent.await.map_err(tower::BoxError::from)?.map_err(tower::BoxError::from) }
    });
    let cluster = Cluster::of(Client::new(service, namespace), server);
    Site { cluster, suffix: galley_units::random_suffix(5), requests, _local: local }
}

/// A clock ahead of the machine's: what another holder's lease looks like once it has expired.
pub struct Ahead(pub i64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_secs(self.0)
    }
}

/// Remembers what it hears, and may call off the work.
#[derive(Default)]
pub struct Ear {
    pub heard: Mutex<Vec<Event>>,
    pub stop_after: Option<usize>,
    pub stop: CancellationToken,
}

impl Progress for Ear {
    fn event(&self, event: Event) {
        let mut heard = self.heard.lock().expect("not poisoned");
        heard.push(event);
        if self.stop_after.is_some_and(|count| heard.len() >= count) {
            self.stop.cancel();
        }
    }
}

impl Site {
    /// Waits until the server has answered what was asked, also what nobody waits for any more.
    pub async fn quiet(&self) {
        self.requests.close();
        tokio::time::timeout(PATIENCE, self.requests.wait()).await.expect("the server answers");
        self.requests.reopen();
    }

    pub fn home(&self) -> Home {
        Home { namespace: format!("home-{}", self.suffix), name: "galley-bootstrap".into() }
    }

    pub fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.suffix)
    }

    pub fn group(&self) -> String {
        format!("{}.example.com", self.suffix)
    }

    pub async fn lock(&self, cluster: &Cluster) -> Lock {
        Lock::take(cluster, &self.home(), "test", Duration::ZERO).await.expect("the lease is free")
    }

    /// A whole run: plan, lease, apply, release.
    pub async fn bring(&self, objects: &[Value], force: bool) -> Result<(Plan, Applied), Problem> {
        let plan = self.cluster.plan(objects, &PlanOptions { force }).await?;
        let lock = self.lock(&self.cluster).await;
        let applied = self.cluster.apply(&plan, &lock, &ApplyOptions::default(), &Ear::default()).await;
        lock.release().await?;
        Ok((plan, applied?))
    }

    pub async fn remove(&self, options: &RemoveOptions) -> Result<Removed, Problem> {
        self.cluster.remove(self.lock(&self.cluster).await, options, &Ear::default()).await
    }

    pub fn api(
        &self,
        api_version: &str,
        kind: &str,
        plural: &str,
        namespace: Option<&str>,
    ) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        match namespace {
            Some(namespace) => Api::namespaced_with(self.cluster.client(), namespace, &resource),
            None => Api::all_with(self.cluster.client(), &resource),
        }
    }

    pub fn maps(&self, namespace: &str) -> Api<DynamicObject> {
        self.api("v1", "ConfigMap", "configmaps", Some(namespace))
    }

    pub fn namespaces(&self) -> Api<DynamicObject> {
        self.api("v1", "Namespace", "namespaces", None)
    }

    pub fn definitions(&self) -> Api<DynamicObject> {
        self.api("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", None)
    }

    pub fn widgets(&self, namespace: &str) -> Api<DynamicObject> {
        self.api(&format!("{}/v1", self.group()), "Widget", "widgets", Some(namespace))
    }

    /// Applies as somebody else.
    pub async fn somebody(&self, object: Value) {
        let named = galley_cluster::ObjectRef::of(&object).expect("an object");
        let plural = format!("{}s", named.kind.to_lowercase());
        let api = self.api(&named.api_version, &named.kind, &plural, named.namespace.as_deref());
        let params = PatchParams::apply("somebody");
        api.patch(&named.name, &params, &Patch::Apply(&object)).await.expect("applied by somebody else");
    }

    /// A foundation of every sort: a namespace, a definition, an object of it, settings, a secret, a workload.
    pub fn objects(&self) -> Vec<Value> {
        let namespace = self.name("ours");
        let group = self.group();
        vec![
            json!({"apiVersion": format!("{group}/v1"), "kind": "Widget",
                "metadata": {"name": "w", "namespace": namespace}, "spec": {"size": 1}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": namespace},
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "d"}},
                    "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": namespace}, "data": {"a": "1"}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": namespace},
                "stringData": {"token": "hush-hush"}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa", "namespace": namespace}}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": self.name("r")},
                "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
            self.definition(),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        ]
    }

    pub fn definition(&self) -> Value {
        let group = self.group();
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {"group": group, "scope": "Namespaced",
                "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
    }

    /// Argo CD's kind, as far as it matters here. On a real cluster it may be there already.
    pub async fn ensure_applications(&self) {
        let name = "applications.argoproj.io";
        if self.definitions().get_opt(name).await.expect("an answer").is_none() {
            self.somebody(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": name},
                "spec": {"group": "argoproj.io", "scope": "Namespaced",
                    "names": {"kind": "Application", "listKind": "ApplicationList", "plural": "applications", "singular": "application"},
                    "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                        {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}))
            .await;
        }
        let api = self.api("argoproj.io/v1alpha1", "Application", "applications", Some("default"));
        until("Applications are served", || async { api.list(&Default::default()).await.ok() }).await;
    }
}

/// Waits until `probe` gives a value; panics after the deadline.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
