//! An API server in process, the service, and a kubelet that ends pods by a rule.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use galley_apiserver::{ApiServer, Config, MIGRATION, ResourceDef, kubernetes_kinds};
use galley_store::Database;
use galley_units::{Clock, SystemClock};
use galley_workflows::{Deps, Service};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The namespace of all tests.
pub const NAMESPACE: &str = "pipe";
/// No wait in a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How a pod ends.
#[derive(Clone, Debug, Default)]
pub struct End {
    pub code: i64,
    pub stdout: String,
    pub files: Vec<(&'static str, &'static str)>,
    /// It never ends.
    pub never: bool,
}

/// The house of a test; everything ends when it is dropped.
pub struct House {
    pub client: Client,
    /// Names of the pods that were run, in order.
    pub ran: Arc<Mutex<Vec<String>>>,
    clock: Arc<dyn Clock>,
    service: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
    _stop: DropGuard,
    _folder: tempfile::TempDir,
}

fn kinds() -> Vec<ResourceDef> {
    let argo = |kind: &str, plural: &str| ResourceDef::new("argoproj.io", "v1alpha1", kind, plural);
    let mut kinds = kubernetes_kinds();
    kinds.extend([
        argo("Workflow", "workflows"),
        argo("WorkflowTemplate", "workflowtemplates"),
        argo("ClusterWorkflowTemplate", "clusterworkflowtemplates").cluster(),
        argo("CronWorkflow", "cronworkflows"),
    ]);
    kinds
}

impl House {
    pub async fn new(rule: impl Fn(&Value) -> End + Send + Sync + 'static) -> House {
        House::with_clock(Arc::new(SystemClock), rule).await
    }

    pub async fn with_clock(
        clock: Arc<dyn Clock>,
        rule: impl Fn(&Value) -> End + Send + Sync + 'static,
    ) -> House {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("api.db"), &[MIGRATION]).unwrap();
        let config = Config { kinds: kinds(), ..Config::default() };
        let server = ApiServer::open(config, database, Arc::clone(&clock)).unwrap();
        let client = server.client(NAMESPACE);
        let stop = CancellationToken::new();
        tokio::spawn(server.run(stop.clone()));
        let mut house = House {
            client: client.clone(),
            ran: Arc::default(),
            clock,
            service: None,
            _stop: stop.clone().drop_guard(),
            _folder: folder,
        };
        house.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})).await;
        tokio::spawn(kubelet(client, Arc::new(rule), Arc::clone(&house.ran), stop));
        house.start();
        house
    }

    pub fn start(&mut self) {
        let stop = CancellationToken::new();
        let deps = Deps { client: self.client.clone(), clock: Arc::clone(&self.clock) };
        let service = Service::new(galley_workflows::Config::default(), deps);
        self.service = Some((stop.clone(), tokio::spawn(service.run(stop))));
    }

    pub async fn stop(&mut self) {
        if let Some((stop, task)) = self.service.take() {
            stop.cancel();
            task.await.unwrap();
        }
    }

    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        let (group, version) =
            if kind.contains("Workflow") { ("argoproj.io", "v1alpha1") } else { ("", "v1") };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match kind {
            "Namespace" | "ClusterWorkflowTemplate" => Api::all_with(self.client.clone(), &resource),
            _ => Api::namespaced_with(self.client.clone(), NAMESPACE, &resource),
        }
    }

    pub async fn create(&self, object: Value) -> DynamicObject {
        let api = self.api(object["kind"].as_str().unwrap());
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap()
    }

    pub async fn apply_yaml(&self, text: &str) {
        for document in galley_yaml::parse_documents("test", text).unwrap() {
            self.create(document.value).await;
        }
    }

    pub async fn status(&self, name: &str) -> Value {
        self.api("Workflow").get(name).await.unwrap().data["status"].clone()
    }

    /// Waits until a workflow has ended; gives its status.
    pub async fn ended(&self, name: &str) -> Value {
        let phase = galley_workflows::wait(&self.client, NAMESPACE, name, PATIENCE).await;
        assert!(phase.is_ok(), "{phase:?}: {:#}", self.status(name).await);
        self.status(name).await
    }

    pub fn pods_run(&self) -> Vec<String> {
        self.ran.lock().unwrap().clone()
    }
}

/// Waits for a condition, looking at every change of a short interval; never longer than [`PATIENCE`].
pub async fn until<F, Fut, T>(what: &str, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Nodes by display name: phase and message.
pub fn phases(status: &Value) -> std::collections::BTreeMap<String, String> {
    let nodes = status["nodes"].as_object().cloned().unwrap_or_default();
    nodes
        .values()
        .map(|node| (node["name"].as_str().unwrap().to_owned(), node["phase"].as_str().unwrap().to_owned()))
        .collect()
}

async fn kubelet(
    client: Client,
    rule: Arc<dyn Fn(&Value) -> End + Send + Sync>,
    ran: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let pods: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &resource);
    let mut events = watcher(pods.clone(), watcher::Config::default()).default_backoff().boxed();
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.try_next() => event,
        };
        let Ok(Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) = event else { continue };
        if matches!(pod.data["status"]["phase"].as_str(), Some("Running" | "Succeeded" | "Failed")) {
            continue;
        }
        // A pod that is deleted meanwhile is none's fault.
        let _ = run_pod(&pods, &pod, &*rule, &ran).await;
    }
}

async fn run_pod(
    pods: &Api<DynamicObject>,
    pod: &DynamicObject,
    rule: &(dyn Fn(&Value) -> End + Send + Sync),
    ran: &Mutex<Vec<String>>,
) -> kube::Result<()> {
    let name = pod.name_any();
    ran.lock().unwrap().push(name.clone());
    let end = rule(&serde_json::to_value(pod).unwrap());
    let status = |value: Value| Patch::Merge(json!({"status": value}));
    let running = json!({"phase": "Running", "containerStatuses": [{"name": "main", "ready": true, "state": {"running": {}}}]});
    pods.patch_status(&name, &PatchParams::default(), &status(running)).await?;
    if end.never {
        return Ok(());
    }
    let files: serde_json::Map<String, Value> =
        end.files.iter().map(|(path, text)| ((*path).to_owned(), Value::from(*text))).collect();
    let collected = json!({"files": files, "missing": [], "stdout": end.stdout}).to_string();
    let notes =
        Patch::Merge(json!({"metadata": {"annotations": {"runtime.galley.dev/collected": collected}}}));
    pods.patch(&name, &PatchParams::default(), &notes).await?;
    let (phase, reason) = if end.code == 0 { ("Succeeded", "Completed") } else { ("Failed", "Error") };
    let ended = json!({"phase": phase, "containerStatuses": [
        {"name": "main", "state": {"running": null, "terminated": {"exitCode": end.code, "reason": reason}}}]});
    pods.patch_status(&name, &PatchParams::default(), &status(ended)).await?;
    Ok(())
}
