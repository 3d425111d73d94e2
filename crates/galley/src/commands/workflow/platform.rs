//! The platform of one `galley workflow run`: API server, workflow engine, pods and artifacts, in this process.
//!
//! Without `--state` everything lies in a temporary folder that goes with the process; the database then lies in the
//! machine's memory where there is such a place. Folders that a killed run has left are swept by the next one.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use galley_apiserver::{ApiServer, CertificateAuthority, TokenAuthority};
use galley_problem::{Kind, Problem};
use galley_sandbox::{Mode, Report, Sandbox};
use galley_store::Database;
use galley_units::{Clock, SystemClock};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::artifacts::Store;
use super::images::RootFilesystems;
use crate::cli::Isolation;
use crate::kinds;
use crate::up::{Deputies, LogDoor, Supervisor};

/// Temporary folders begin with this.
const PREFIX: &str = "galley-run-";
/// Where files lie in memory, if the machine has it.
const MEMORY: &str = "/dev/shm";
/// The folder of artifacts below a state folder.
pub const ARTIFACTS: &str = "workflow-artifacts";

/// The folders of a run.
pub struct Folders {
    /// Pods, logs, artifacts.
    pub root: PathBuf,
    database: PathBuf,
    api_port: u16,
    _held: Vec<Held>,
}

/// A folder in use; a temporary one is deleted with it.
struct Held {
    _lock: File,
    _temporary: Option<tempfile::TempDir>,
}

impl Folders {
    /// Those of a state folder that lasts.
    ///
    /// # Errors
    /// G0103, G0104, G0105.
    pub fn lasting(root: &Path) -> Result<Folders, Problem> {
        let failed = |error: &std::io::Error| crate::io(root, "making the state folder", error);
        fs::create_dir_all(root).map_err(|e| failed(&e))?;
        let root = fs::canonicalize(root).map_err(|e| failed(&e))?;
        let lock = lock(&root).map_err(|e| failed(&e))?.ok_or_else(|| {
            Problem::new("G0104", Kind::Conflict, format!("{} is in use by another Galley.", root.display()))
                .try_this("Wait for it, stop it, or give another folder with `--state DIR`.")
        })?;
        let database = root.join("run.db");
        Ok(Folders { root, database, api_port: 0, _held: vec![Held { _lock: lock, _temporary: None }] })
    }

    /// Those of a state folder that somebody else has locked; the API is to listen on this port.
    pub fn locked(root: &Path, api_port: u16) -> Folders {
        Folders { root: root.to_owned(), database: root.join("run.db"), api_port, _held: Vec::new() }
    }

    /// Those of a run that leaves nothing.
    ///
    /// # Errors
    /// G0105 if no temporary folder can be made.
    pub fn passing() -> Result<Folders, Problem> {
        let base = std::env::temp_dir();
        let (root, held) = temporary(&base).map_err(|e| crate::io(&base, "making a folder in", &e))?;
        let mut all = vec![held];
        let database = match temporary(Path::new(MEMORY)) {
            Ok((memory, held)) => {
                all.push(held);
                memory
            }
            Err(_) => root.clone(),
        };
        Ok(Folders { root, database: database.join("run.db"), api_port: 0, _held: all })
    }
}

fn temporary(base: &Path) -> std::io::Result<(PathBuf, Held)> {
    sweep(base);
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(base)?;
    let held = lock(folder.path())?.ok_or(std::io::ErrorKind::WouldBlock)?;
    Ok((folder.path().to_owned(), Held { _lock: held, _temporary: Some(folder) }))
}

/// The lock of a folder, or `None` if another process has it.
fn lock(folder: &Path) -> std::io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Deletes what killed runs have left. A folder without a lock file is just being made.
fn sweep(base: &Path) {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if ours && path.join("lock").is_file() && matches!(lock(&path), Ok(Some(_))) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// The running platform.
pub struct Platform {
    client: kube::Client,
    supervisor: Supervisor,
    database: Database,
    /// What this machine does not offer.
    pub notices: Vec<String>,
    /// How containers are kept apart.
    pub isolation: Mode,
    /// Who signs tokens.
    pub tokens: TokenAuthority,
    /// The certificate of the API's authority.
    pub ca_pem: String,
    /// Where the API listens.
    pub api: SocketAddr,
    /// Cancelled when everything stops.
    pub shutdown: CancellationToken,
}

impl Platform {
    /// Builds and starts everything.
    ///
    /// # Errors
    /// G0114 with what failed; G06xx from the sandbox.
    pub async fn start(
        folders: &Folders,
        images: Arc<RootFilesystems>,
        isolation: Isolation,
    ) -> Result<Platform, Problem> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mode = match isolation {
            Isolation::Auto => Mode::Auto,
            Isolation::Namespaces => Mode::Namespaces,
            Isolation::Plain => Mode::Plain,
        };
        let helper = std::env::current_exe().map_err(|e| failed("finding the own program", &e))?;
        let state_dir = folders.root.join("run");
        let sandbox = galley_sandbox::Config { helper, state_dir, mode, clock: Arc::clone(&clock) };
        // The two slowest parts side by side.
        let (sandbox, server) = tokio::join!(
            Sandbox::start(sandbox),
            tokio::task::block_in_place(|| Server::open(folders, &clock))
        );
        let (sandbox, report) = sandbox.map_err(|e| e.to_problem())?;
        let Server { server, database, tokens, authority } = server?;
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone());
        let client = server.client("default");
        let api = serve(&server, &tokens, &authority, &mut supervisor, folders.api_port).await?;
        let config = galley_workloads::Config {
            state_dir: folders.root.join("run"),
            auto_host_ports: true,
            shutdown_grace_ms: 300,
            ..Default::default()
        };
        let store = galley_workflows::ArtifactStore::new(folders.root.join(ARTIFACTS));
        let deputies = Deputies { tokens: tokens.clone(), ca_pem: authority.ca_pem().to_owned(), api };
        let deps = galley_workloads::Deps {
            client: client.clone(),
            sandbox,
            images,
            credentials: Arc::new(deputies),
            artifacts: Some(Arc::new(Store(store.with_secrets(client.clone())))),
            clock: Arc::clone(&clock),
        };
        let workloads =
            galley_workloads::Service::new(config, deps).map_err(|e| failed("preparing pods", &e))?;
        server.set_log_source(Arc::new(LogDoor(workloads.handle().logs())));
        supervisor.try_start("workloads", move |stop| workloads.run(stop));
        let config = galley_workflows::Config {
            artifacts: true,
            container_order: true,
            sidecars: true,
            ..Default::default()
        };
        let deps = galley_workflows::Deps { client: client.clone(), clock };
        let workflows = galley_workflows::Service::new(config, deps);
        supervisor.start("workflows", move |stop| workflows.run(stop));
        let ca_pem = authority.ca_pem().to_owned();
        let Report { mode: isolation, notices } = report;
        Ok(Platform { client, supervisor, database, notices, isolation, tokens, ca_pem, api, shutdown })
    }

    /// The API, in process.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Serves a router until everything stops.
    pub fn serve(&mut self, name: &'static str, listener: tokio::net::TcpListener, router: axum::Router) {
        self.supervisor.serve(name, listener, router);
    }

    /// Ends when a part has ended that should not have.
    pub fn failed(&self) -> impl Future<Output = Problem> + use<> {
        self.supervisor.failed()
    }

    /// Stops everything; containers that still run are killed.
    pub async fn stop(self) {
        self.supervisor.stop().await;
        self.database.close();
    }
}

struct Server {
    server: ApiServer,
    database: Database,
    tokens: TokenAuthority,
    authority: CertificateAuthority,
}

impl Server {
    async fn open(folders: &Folders, clock: &Arc<dyn Clock>) -> Result<Server, Problem> {
        let database = Database::open(&folders.database, &[galley_apiserver::MIGRATION])
            .map_err(|e| failed("opening the database", &e))?;
        let auth = folders.root.join("auth");
        let authority = CertificateAuthority::load_or_create(&auth, Arc::clone(clock))
            .map_err(|e| failed("making the certificates", &e))?;
        let tokens = TokenAuthority::load_or_create(&auth, Arc::clone(clock))
            .map_err(|e| failed("making the tokens", &e))?;
        let config = galley_apiserver::Config {
            kinds: kinds::all(),
            ca_certificate: Some(authority.ca_pem().to_owned()),
            ..Default::default()
        };
        let server = ApiServer::open(config, database.clone(), Arc::clone(clock))
            .map_err(|e| failed("opening the API server", &e))?;
        Ok(Server { server, database, tokens, authority })
    }
}

/// Starts the API server, for this process and, on a port of loopback, for pods; gives that address.
async fn serve(
    server: &ApiServer,
    tokens: &TokenAuthority,
    authority: &CertificateAuthority,
    supervisor: &mut Supervisor,
    port: u16,
) -> Result<SocketAddr, Problem> {
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let service = Ipv4Addr::new(10, 96, 0, 1);
    let plain = Ipv4Addr::new(127, 96, 0, 1);
    let addresses = [Ipv4Addr::LOCALHOST.into(), service.into(), plain.into()];
    let tls = authority.server_tls(&names, &addresses).map_err(|e| failed("making the certificate", &e))?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.map_err(|e| failed("listening on loopback", &e))?;
    let address = listener.local_addr().map_err(|e| failed("listening on loopback", &e))?;
    supervisor.start("api objects", {
        let server = server.clone();
        move |stop| server.run(stop)
    });
    supervisor.try_start("api", {
        let (server, tokens) = (server.clone(), tokens.clone());
        move |stop| server.serve_tls(listener, tls, tokens, stop)
    });
    let client = server.client("default");
    super::objects::ensure_namespace(&client, "default").await?;
    let kubernetes = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": service.to_string(), "ports": [{"name": "https", "port": 443}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "kubernetes-galley", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes", "endpointslice.kubernetes.io/managed-by": "galley"}},
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": address.port(), "protocol": "TCP"}],
    });
    for object in [kubernetes, slice] {
        super::objects::put(&client, "default", object).await?;
    }
    Ok(address)
}

fn failed(attempt: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new("G0114", Kind::Unavailable, format!("Galley could not start: {attempt} failed."))
        .because(error)
}
