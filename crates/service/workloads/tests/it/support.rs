//! A whole little world: API server, sandbox and the room.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use galley_apiserver::ApiServer;
use galley_sandbox::{Mode, Sandbox};
use galley_store::Database;
use galley_units::{Secret, SystemClock};
use galley_workloads::{
    Artifacts, Config, Credentials, Deps, Error, Handle, ImageError, Images, KeptArtifacts, PreparedImage,
    PullPolicy, Service,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const TESTBED: &str = env!("CARGO_BIN_EXE_galley-workloads-testbed");
const PATIENCE: Duration = Duration::from_secs(40);

pub struct World {
    pub client: Client,
    pub handle: Handle,
    pub mode: Mode,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
    api: JoinHandle<()>,
    pub dir: Arc<tempfile::TempDir>,
}

/// Images are all the same: the testbed program.
struct TestImages {
    layer: PathBuf,
}

#[async_trait::async_trait]
impl Images for TestImages {
    async fn prepare(&self, reference: &str, _: PullPolicy) -> Result<PreparedImage, ImageError> {
        if reference.contains("missing") {
            let message = "no such image".to_owned();
            return Err(ImageError { reason: "ErrImagePull".to_owned(), message });
        }
        Ok(PreparedImage {
            digest: format!("sha256:{}", "0".repeat(64)),
            layers: vec![self.layer.clone()],
            entrypoint: vec!["/testbed".to_owned()],
            env: vec!["FROM_IMAGE=yes".to_owned()],
            ..PreparedImage::default()
        })
    }
}

struct TestCredentials;

impl Credentials for TestCredentials {
    fn token(&self, namespace: &str, service_account: &str) -> Secret<String> {
        Secret::new(format!("token-of-{namespace}-{service_account}"))
    }

    fn ca_pem(&self) -> String {
        "certificate".to_owned()
    }

    fn api_server(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 6443))
    }
}

/// Artifacts are files of their names.
struct TestArtifacts(PathBuf);

#[async_trait::async_trait]
impl Artifacts for TestArtifacts {
    async fn fetch(&self, _: &str, orders: &str, places: &BTreeMap<String, PathBuf>) -> Result<(), String> {
        let orders: serde_json::Value = serde_json::from_str(orders).unwrap();
        for input in orders["inputs"].as_array().into_iter().flatten() {
            let (name, path) = (input["name"].as_str().unwrap(), input["path"].as_str().unwrap());
            std::fs::create_dir_all(places[path].parent().unwrap()).unwrap();
            std::fs::copy(self.0.join(name), &places[path]).map_err(|_| format!("no {name}"))?;
        }
        Ok(())
    }

    async fn keep(&self, _: &str, orders: &str, places: &BTreeMap<String, PathBuf>) -> KeptArtifacts {
        let orders: serde_json::Value = serde_json::from_str(orders).unwrap();
        std::fs::create_dir_all(&self.0).unwrap();
        let mut kept = KeptArtifacts::default();
        for output in orders["outputs"].as_array().into_iter().flatten() {
            let (name, path) = (output["name"].as_str().unwrap(), output["path"].as_str().unwrap());
            if std::fs::copy(&places[path], self.0.join(name)).is_ok() {
                kept.kept.push(name.to_owned());
            }
        }
        kept
    }
}

/// A fresh world, or `None` where the kernel refuses the mode.
pub async fn world(mode: Mode) -> Option<World> {
    start(mode, Arc::new(tempfile::tempdir().unwrap())).await
}

async fn start(mode: Mode, dir: Arc<tempfile::TempDir>) -> Option<World> {
    let layer = dir.path().join("layer");
    if !layer.exists() {
        std::fs::create_dir_all(&layer).unwrap();
        std::fs::hard_link(TESTBED, layer.join("testbed"))
            .or_else(|_| std::fs::copy(TESTBED, layer.join("testbed")).map(drop))
            .unwrap();
    }
    let config = galley_sandbox::Config {
        helper: TESTBED.into(),
        state_dir: dir.path().join("sandbox"),
        mode,
        clock: Arc::new(SystemClock),
    };
    let sandbox = match Sandbox::start(config).await {
        Ok((sandbox, _)) => sandbox,
        Err(galley_sandbox::Error::Refused { reason }) => {
            #[expect(clippy::disallowed_macros, reason = "a skipped test must say so")]
            {
                eprintln!("skipped: {reason}");
            }
            return None;
        }
        Err(error) => panic!("{error:?}"),
    };
    let database = Database::open(&dir.path().join("api.db"), &[galley_apiserver::MIGRATION]).unwrap();
    let server =
        ApiServer::open(galley_apiserver::Config::default(), database, Arc::new(SystemClock)).unwrap();
    let client = server.client("default");
    let shutdown = CancellationToken::new();
    let api = tokio::spawn(server.run(shutdown.clone()));
    let config = Config {
        state_dir: dir.path().join("workloads"),
        auto_host_ports: true,
        back_off_initial_ms: 100,
        resolvers: Some(Vec::new()),
        ..Config::default()
    };
    let deps = Deps {
        client: client.clone(),
        sandbox,
        images: Arc::new(TestImages { layer }),
        credentials: Arc::new(TestCredentials),
        artifacts: Some(Arc::new(TestArtifacts(dir.path().join("kept")))),
        clock: Arc::new(SystemClock),
    };
    let service = Service::new(config, deps).unwrap();
    let handle = service.handle();
    let task = tokio::spawn(service.run(shutdown.clone()));
    Some(World { client, handle, mode, shutdown, task, api, dir })
}

impl World {
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    pub async fn create<K>(&self, object: serde_json::Value) -> K
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await.unwrap()
    }

    /// Makes a pod whose container `main` runs the testbed with these arguments.
    pub async fn pod(&self, name: &str, args: &[&str], more: serde_json::Value) -> Pod {
        self.create(pod(name, args, more)).await
    }

    /// Waits until a condition holds for an object; `None` stands for "it is gone".
    pub async fn until<K>(&self, name: &str, what: &str, holds: impl Fn(Option<&K>) -> bool) -> Option<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let api = self.api::<K>();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let object = api.get_opt(name).await.unwrap();
            if holds(object.as_ref()) {
                return object;
            }
            assert!(tokio::time::Instant::now() < deadline, "{name} is not {what}: {object:#?}");
            assert!(!self.task.is_finished(), "the room has stopped");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a pod is in a phase.
    pub async fn phase(&self, name: &str, phase: &str) -> Pod {
        let holds = |pod: Option<&Pod>| pod.is_some_and(|pod| in_phase(pod, phase));
        self.until(name, phase, holds).await.unwrap()
    }

    /// The whole log of a pod's only container.
    pub async fn log(&self, pod: &str) -> String {
        use futures::StreamExt;
        let options = galley_workloads::LogOptions::default();
        let stream = self.handle.logs().logs("default", pod, options).await.unwrap();
        let mut stream = std::pin::pin!(stream);
        let mut text = String::new();
        while let Some(bytes) = stream.next().await {
            text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        }
        text
    }

    /// Stops everything as an orderly shutdown does, and starts it again on the same files.
    pub async fn restart(self) -> World {
        let (mode, dir) = (self.mode, Arc::clone(&self.dir));
        self.stop().await;
        start(mode, dir).await.unwrap()
    }

    /// Drops everything without a word, as `kill -9` does, and starts it again on the same files.
    pub async fn crash(self) -> World {
        let (mode, dir) = (self.mode, Arc::clone(&self.dir));
        self.task.abort();
        self.api.abort();
        let _ = self.task.await;
        let _ = self.api.await;
        drop((self.client, self.handle));
        start(mode, dir).await.unwrap()
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
        let _ = self.api.await;
    }
}

pub fn in_phase(pod: &Pod, phase: &str) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(phase)
}

/// A pod with one container, `main`; `more` is merged into the spec.
pub fn pod(name: &str, args: &[&str], more: serde_json::Value) -> serde_json::Value {
    let mut pod = serde_json::json!({
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "testbed:1", "args": args}]}
    });
    merge(&mut pod, more);
    pod
}

fn merge(into: &mut serde_json::Value, from: serde_json::Value) {
    match (into, from) {
        (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (serde_json::Value::Array(into), serde_json::Value::Array(from)) if into.len() == from.len() => {
            for (into, from) in into.iter_mut().zip(from) {
                merge(into, from);
            }
        }
        (_, serde_json::Value::Null) => {}
        (into, from) => *into = from,
    }
}
