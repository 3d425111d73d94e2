//! Builds every service, hands each its doors to the others, and owns their tasks.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use galley_apiserver::{ApiServer, CertificateAuthority, TokenAuthority};
use galley_git::Repo;
use galley_problem::{Kind, Problem};
use galley_release_types::{Environment, PIPELINE_NAMESPACE, PLATFORM_NAMESPACE};
use galley_releases::Recorded;
use galley_sandbox::Sandbox;
use galley_store::Database;
use galley_units::{Clock, Secret, SystemClock};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    REGISTRY_NAME,
    doors::{Deputies, Images, LogDoor, PodDialer, repositories, wake_on_push},
    ports::Listeners,
    seed::{self, Embedded},
    supervisor::Supervisor,
};
use crate::{
    Answer,
    cli::{Global, Isolation, Ports, Up, steps::Services},
    commands::workflow::artifacts,
    ground::Ground,
    kinds,
    state::{Running, State},
    steps,
};

/// A lasting trouble with the repository is reported by `--once` after this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The running control plane.
pub struct House {
    state: State,
    dir: std::path::PathBuf,
    client: kube::Client,
    repository: Repo,
    embedded: Vec<Embedded>,
    token: Secret<String>,
    endpoints: watch::Receiver<BTreeMap<String, String>>,
    running: Running,
    settled: watch::Receiver<bool>,
    trouble: watch::Receiver<Option<Problem>>,
    trouble_since: Option<std::time::Instant>,
    releases: Option<galley_releases::Service>,
    supervisor: Supervisor,
    database: Database,
}

impl House {
    /// Builds and starts everything. When it returns, every address answers.
    ///
    /// # Errors
    /// Whatever keeps a service from starting.
    pub async fn build(
        state: &State,
        dir: &Path,
        args: &Up,
        shutdown: CancellationToken,
    ) -> Result<House, Problem> {
        let mut listeners = Listeners::bind(state, args.ports).await?;
        let ports = listeners.ports();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut supervisor = Supervisor::new(shutdown.clone());

        let migrations = [galley_apiserver::MIGRATION, galley_store::tracking::MIGRATION];
        let database = Database::open(&state.path("galley.db"), &migrations)
            .map_err(|e| failed("opening the database", &e))?;
        let authority = CertificateAuthority::load_or_create(&state.path("auth"), Arc::clone(&clock))
            .map_err(|e| failed("making the certificates", &e))?;
        let tokens = TokenAuthority::load_or_create(&state.path("auth"), Arc::clone(&clock))
            .map_err(|e| failed("making the tokens", &e))?;
        let config = galley_apiserver::Config {
            kinds: kinds::all(),
            ca_certificate: Some(authority.ca_pem().to_owned()),
            ..Default::default()
        };
        let server = ApiServer::open(config, database.clone(), Arc::clone(&clock))
            .map_err(|e| failed("opening the API server", &e))?;
        let client = server.client(PIPELINE_NAMESPACE);

        let repository = Repo::init_or_open(state.path("git/pipeline.git")).await?;
        let store = image_store(state, &listeners)?;
        let base = tokio::task::spawn_blocking({
            let store = store.clone();
            move || steps::image::store_base(&store)
        });
        let (sandbox, report) = start_sandbox(state, args).await?;

        // The API server first: everything else reconciles through it.
        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let service_ip = "10.96.0.1".parse().map_err(|_| never("an address"))?;
        let tls = authority
            .server_tls(
                &names,
                &[std::net::Ipv4Addr::LOCALHOST.into(), service_ip, sandbox_api_address(&sandbox)],
            )
            .map_err(|e| failed("making the server's certificate", &e))?;
        let api_port = listeners.port("api");
        let listener = listeners.take("api")?;
        supervisor.start("api objects", {
            let server = server.clone();
            move |stop| server.run(stop)
        });
        supervisor.try_start("api", {
            let (server, tokens) = (server.clone(), tokens.clone());
            move |stop| server.serve_tls(listener, tls, tokens, stop)
        });
        let admin = tokens.admin_token();
        let kubeconfig = galley_apiserver::kubeconfig(
            &format!("https://127.0.0.1:{api_port}"),
            authority.ca_pem(),
            &admin,
            "default",
        );
        crate::state::write_private(&state.kubeconfig(), kubeconfig.as_bytes())
            .map_err(|e| crate::io(&state.kubeconfig(), "writing", &e))?;
        crate::state::write_private(&state.path("token"), admin.expose().as_bytes())
            .map_err(|e| crate::io(&state.path("token"), "writing", &e))?;

        let authorize: Arc<dyn Fn(&str) -> bool + Send + Sync> = {
            let tokens = tokens.clone();
            Arc::new(move |token: &str| tokens.verify(token).is_some())
        };
        let wake = embed_git(state, &mut listeners, &mut supervisor, &authorize)?;
        embed_registry(&mut listeners, &mut supervisor, &store, &authorize)?;
        embed_tracking(state, &mut listeners, &mut supervisor, &database, &clock, &authorize)?;

        let api_address = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, api_port));
        let deputies =
            Deputies { tokens: tokens.clone(), ca_pem: authority.ca_pem().to_owned(), api: api_address };
        let workloads = workloads(state, args, &client, &sandbox, &store, deputies, &clock)?;
        let pods = workloads.handle();
        server.set_log_source(Arc::new(LogDoor(pods.logs())));
        supervisor.try_start("workloads", move |stop| workloads.run(stop));
        supervisor.start("workflows", {
            let deps = galley_workflows::Deps { client: client.clone(), clock: Arc::clone(&clock) };
            let service = galley_workflows::Service::new(workflows_config(), deps);
            move |stop| service.run(stop)
        });
        supervisor.try_start("gitops", {
            let deps = galley_gitops::Deps {
                client: client.clone(),
                repositories: repositories(repository.clone(), state.path("mirrors")),
                wake: wake.clone(),
                clock: Arc::clone(&clock),
            };
            let service = galley_gitops::Service::new(super::gitops_config(), deps)
                .map_err(|e| failed("preparing gitops", &e))?;
            move |stop| service.run(stop)
        });
        let argo = crate::commands::workflow::argo::router(&client, &tokens, state.root(), shutdown.clone());
        supervisor.serve("argo", listeners.take("argo")?, argo);
        gateway(&mut listeners, &mut supervisor, &client, pods, &clock)?;
        let endpoints = own_endpoints(&ports);
        let (endpoints_out, endpoints_in) = watch::channel(endpoints);
        let states = states(state, &clock, &authorize)?;
        dashboard(&mut listeners, &mut supervisor, &client, &clock, &endpoints_in, states)?;
        let argocd =
            super::argocd::router(&client, repository.clone(), state.path("mirrors"), &clock, &tokens);
        supervisor.serve("argocd", listeners.take("argocd")?, argocd);
        let (settled_out, settled) = watch::channel(false);
        let (trouble_out, trouble) = watch::channel(None);
        let releases = galley_releases::Service::new(
            galley_releases::Config::default(),
            galley_releases::Deps {
                client: client.clone(),
                repository: repository.clone(),
                wake,
                clock: Arc::clone(&clock),
                settled: settled_out,
                trouble: trouble_out,
            },
        );
        base.await.map_err(|e| failed("building the base image", &e))??;

        let running = Running {
            pid: std::process::id(),
            pipeline: dir.to_owned(),
            endpoints: endpoints_in.borrow().clone(),
            isolation: report.0,
            notices: report.1,
        };
        state.write(&running)?;
        supervisor.start("addresses", {
            let (state, running, client) = (state.clone(), running.clone(), client.clone());
            move |stop| super::addresses::follow(state, running, client, endpoints_out, stop)
        });
        let embedded = embedded(&ports);
        let token = tokens.service_account_token(PIPELINE_NAMESPACE, "pipeline");
        Ok(House {
            state: state.clone(),
            dir: dir.to_owned(),
            client,
            repository,
            embedded,
            token,
            endpoints: endpoints_in,
            running,
            settled,
            trouble,
            trouble_since: None,
            releases: Some(releases),
            supervisor,
            database,
        })
    }

    /// Gives the control plane its objects and its repository, then lets releases begin.
    ///
    /// # Errors
    /// What git or the API server refuses.
    pub async fn seed(&mut self) -> Result<(), Problem> {
        let url = format!("{}/pipeline.git", self.endpoint("git")?);
        let executable = std::env::current_exe().map_err(|e| failed("finding the own program", &e))?;
        let helper = credential_helper(&executable, &self.state)?;
        seed::connect(&self.dir, &self.repository, &url, &helper).await?;
        seed::objects(&self.client, &self.embedded, &self.token).await?;
        if let Some(releases) = self.releases.take() {
            self.supervisor.start("releases", move |stop| releases.run(stop));
        }
        Ok(())
    }

    /// The API, in process.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// What other commands are told.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Name to address, as of now.
    pub fn endpoints(&self) -> BTreeMap<String, String> {
        self.endpoints.borrow().clone()
    }

    /// Whether the repository's present head asks for nothing further.
    pub fn settled(&self) -> bool {
        *self.settled.borrow()
    }

    /// What is wrong with the repository now, if anything is.
    pub fn trouble(&self) -> Option<Problem> {
        self.trouble.borrow().clone().filter(|problem| problem.code != "G1005")
    }

    /// What has been wrong for so long that waiting is no use.
    pub fn lasting_trouble(&mut self) -> Option<Problem> {
        let Some(trouble) = self.trouble.borrow().clone() else {
            self.trouble_since = None;
            return None;
        };
        let since = self.trouble_since.get_or_insert_with(std::time::Instant::now);
        (since.elapsed() > PATIENCE).then_some(trouble)
    }

    /// Whether production answers with what the repository says it runs.
    pub async fn production_answers(&self, _latest: &Recorded) -> bool {
        let Ok(Some(commit)) = self.repository.resolve("main").await else { return false };
        let file = Environment::Production.values_file();
        let Ok(Some(values)) = self.repository.read_file(&commit, &file).await else { return false };
        let wanted = crate::ground::deployed(&String::from_utf8_lossy(&values));
        let global = Global {
            state: Some(self.state.root().to_owned()),
            kubeconfig: None,
            context: None,
            verbose: 0,
            quiet: true,
        };
        let services = Services { tracking: None, pipeline: None, registry: None, outputs: None };
        let Ok(ground) = Ground::find(&global, &services).await else { return false };
        let Ok(http) = ground.http() else { return false };
        let answered = steps::answered_version(&http, &ground, Environment::Production).await;
        wanted.is_some() && answered == wanted.map(|wanted| wanted.version)
    }

    /// Whether the workflow that carried a release has ended; so it has if it is gone.
    pub async fn workflow_ended(&self, recorded: &Recorded) -> bool {
        let Some(name) = &recorded.release.status.workflow else { return true };
        match crate::commands::objects::workflows(&self.client, Some(PIPELINE_NAMESPACE)).get_opt(name).await
        {
            Ok(Some(workflow)) => workflow.data["status"]["finishedAt"].is_string(),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Ends when a task has ended that should not have.
    ///
    /// # Errors
    /// G0113 always: it only returns when something went wrong.
    pub fn failed(&self) -> impl Future<Output = Result<Answer, Problem>> + use<> {
        let failed = self.supervisor.failed();
        async move { Err(failed.await) }
    }

    /// Stops everything, in a bounded time.
    pub async fn stop(self) {
        self.supervisor.stop().await;
        self.database.close();
    }

    fn endpoint(&self, name: &str) -> Result<String, Problem> {
        self.endpoints.borrow().get(name).cloned().ok_or_else(|| never("an endpoint"))
    }
}

fn image_store(state: &State, listeners: &Listeners) -> Result<galley_oci::Store, Problem> {
    let port = listeners.port("registry");
    let options = galley_oci::Options {
        own_hosts: vec![REGISTRY_NAME.to_owned(), format!("127.0.0.1:{port}"), format!("localhost:{port}")],
        ..Default::default()
    };
    galley_oci::Store::open(state.path("oci"), options).map_err(|e| e.problem())
}

/// The sandbox, and what to tell people of it: mode and notices.
async fn start_sandbox(state: &State, args: &Up) -> Result<(Sandbox, (String, Vec<String>)), Problem> {
    let mode = match args.isolation {
        Isolation::Auto => galley_sandbox::Mode::Auto,
        Isolation::Namespaces => galley_sandbox::Mode::Namespaces,
        Isolation::Plain => galley_sandbox::Mode::Plain,
    };
    let helper = std::env::current_exe().map_err(|e| failed("finding the own program", &e))?;
    let config =
        galley_sandbox::Config { helper, state_dir: state.path("run"), mode, clock: Arc::new(SystemClock) };
    let (sandbox, report) = Sandbox::start(config).await.map_err(|e| e.to_problem())?;
    let mode = match report.mode {
        galley_sandbox::Mode::Plain => "plain processes",
        _ => "namespaces of their own",
    };
    Ok((sandbox, (mode.to_owned(), report.notices)))
}

/// Pods here fetch and keep artifacts, and keep the order of containers.
fn workflows_config() -> galley_workflows::Config {
    galley_workflows::Config { artifacts: true, container_order: true, sidecars: true, ..Default::default() }
}

/// Where the API server's Service lies for pods.
fn sandbox_api_address(sandbox: &Sandbox) -> std::net::IpAddr {
    match sandbox.mode() {
        galley_sandbox::Mode::Plain => std::net::Ipv4Addr::new(127, 96, 0, 1).into(),
        _ => std::net::Ipv4Addr::new(10, 96, 0, 1).into(),
    }
}

fn embed_git(
    state: &State,
    listeners: &mut Listeners,
    supervisor: &mut Supervisor,
    authorize: &Arc<dyn Fn(&str) -> bool + Send + Sync>,
) -> Result<watch::Receiver<u64>, Problem> {
    let config = galley_gitserver::Config { folder: state.path("git"), ..Default::default() };
    let deps = galley_gitserver::Deps { verify: Arc::clone(authorize) };
    let service =
        galley_gitserver::Service::new(config, deps).map_err(|e| failed("opening the git server", &e))?;
    let wake = wake_on_push(service.pushes(), supervisor);
    supervisor.serve("git", listeners.take("git")?, service.router());
    Ok(wake)
}

fn embed_registry(
    listeners: &mut Listeners,
    supervisor: &mut Supervisor,
    store: &galley_oci::Store,
    authorize: &Arc<dyn Fn(&str) -> bool + Send + Sync>,
) -> Result<(), Problem> {
    let deps = galley_registry::Deps { store: store.clone(), authorize: Some(Arc::clone(authorize)) };
    let service = galley_registry::Service::new(galley_registry::Config::default(), deps)
        .map_err(|e| failed("opening the registry", &e))?;
    supervisor.serve("registry", listeners.take("registry")?, service.router());
    Ok(())
}

fn embed_tracking(
    state: &State,
    listeners: &mut Listeners,
    supervisor: &mut Supervisor,
    database: &Database,
    clock: &Arc<dyn Clock>,
    authorize: &Arc<dyn Fn(&str) -> bool + Send + Sync>,
) -> Result<(), Problem> {
    let config = galley_tracking::Config { artifact_dir: state.path("artifacts"), ..Default::default() };
    let deps = galley_tracking::Deps {
        database: database.clone(),
        clock: Arc::clone(clock),
        authorize: Some(Arc::clone(authorize)),
    };
    let service =
        galley_tracking::Service::new(config, deps).map_err(|e| failed("opening the tracking server", &e))?;
    supervisor.serve("tracking", listeners.take("tracking")?, service.router());
    Ok(())
}

fn workloads(
    state: &State,
    args: &Up,
    client: &kube::Client,
    sandbox: &Sandbox,
    store: &galley_oci::Store,
    deputies: Deputies,
    clock: &Arc<dyn Clock>,
) -> Result<galley_workloads::Service, Problem> {
    let config = galley_workloads::Config {
        state_dir: state.path("run"),
        auto_host_ports: args.ports == Ports::Auto,
        ..Default::default()
    };
    let deps = galley_workloads::Deps {
        client: client.clone(),
        sandbox: sandbox.clone(),
        images: Arc::new(Images::new(store.clone())?),
        credentials: Arc::new(deputies),
        artifacts: Some(Arc::new(artifacts::Store(
            artifacts::store_of(state.root()).with_secrets(client.clone()),
        ))),
        clock: Arc::clone(clock),
    };
    galley_workloads::Service::new(config, deps).map_err(|e| failed("preparing the workloads", &e))
}

fn gateway(
    listeners: &mut Listeners,
    supervisor: &mut Supervisor,
    client: &kube::Client,
    pods: galley_workloads::Handle,
    clock: &Arc<dyn Clock>,
) -> Result<(), Problem> {
    let deps = galley_gateway::Deps {
        client: client.clone(),
        dialer: Arc::new(PodDialer(pods)),
        clock: Arc::clone(clock),
        seed: u64::from(galley_units::fnv1a_32(&galley_units::uuid())),
        listeners: [(80, listeners.take("gateway")?)].into(),
    };
    let service =
        galley_gateway::Service::new(galley_gateway::Config::default(), deps).map_err(|e| e.problem())?;
    supervisor.try_start("gateway", move |stop| service.run(stop));
    Ok(())
}

/// The state of infrastructure, below `/infra/` on the dashboard's port.
fn states(
    state: &State,
    clock: &Arc<dyn Clock>,
    authorize: &Arc<dyn Fn(&str) -> bool + Send + Sync>,
) -> Result<axum::Router, Problem> {
    let config = galley_statestore::Config { folder: state.path("infra-state"), ..Default::default() };
    let deps = galley_statestore::Deps { clock: Arc::clone(clock), authorize: Arc::clone(authorize) };
    let service =
        galley_statestore::Service::new(config, deps).map_err(|e| failed("opening the state store", &e))?;
    Ok(service.router())
}

fn dashboard(
    listeners: &mut Listeners,
    supervisor: &mut Supervisor,
    client: &kube::Client,
    clock: &Arc<dyn Clock>,
    endpoints: &watch::Receiver<BTreeMap<String, String>>,
    more: axum::Router,
) -> Result<(), Problem> {
    let links = endpoints
        .borrow()
        .iter()
        .map(|(name, url)| galley_dashboard::Link { name: name.clone(), url: url.clone() })
        .collect();
    let config = galley_dashboard::Config { title: "GourmetGram".into(), links, ..Default::default() };
    let deps = galley_dashboard::Deps { client: client.clone(), clock: Arc::clone(clock), versions: None };
    let service =
        galley_dashboard::Service::new(config, deps).map_err(|e| failed("preparing the dashboard", &e))?;
    let router = service.router().merge(more);
    supervisor.start("dashboard watches", move |stop| service.run(stop));
    supervisor.serve("dashboard", listeners.take("dashboard")?, router);
    Ok(())
}

fn failed(attempt: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new("G0114", Kind::Unavailable, format!("Galley could not start: {attempt} failed."))
        .because(error)
}

fn never(what: &str) -> Problem {
    Problem::new("G0101", Kind::Internal, format!("Something inside Galley has no {what}."))
}

/// Addresses of the embedded servers.
fn own_endpoints(ports: &BTreeMap<&'static str, u16>) -> BTreeMap<String, String> {
    ports
        .iter()
        .map(|(name, port)| {
            let scheme = if *name == "api" { "https" } else { "http" };
            ((*name).to_owned(), format!("{scheme}://127.0.0.1:{port}"))
        })
        .collect()
}

/// The embedded servers that pods reach by a Service.
fn embedded(endpoints: &BTreeMap<&'static str, u16>) -> Vec<Embedded> {
    let of = |namespace, service, port_name, name: &str| Embedded {
        namespace,
        service,
        port_name,
        port: endpoints.get(name).copied().unwrap_or_default(),
    };
    vec![
        of("default", "kubernetes", "https", "api"),
        of(PLATFORM_NAMESPACE, "mlflow", "http", "tracking"),
        of(PLATFORM_NAMESPACE, "registry", "http", "registry"),
        of(PLATFORM_NAMESPACE, "git", "http", "git"),
    ]
}

/// What git runs to learn the password for the served repository: this program, with the state folder's name.
fn credential_helper(executable: &Path, state: &State) -> Result<String, Problem> {
    let root = std::fs::canonicalize(state.root()).map_err(|e| crate::io(state.root(), "finding", &e))?;
    Ok(format!("!'{}' git-credential --state '{}'", executable.display(), root.display()))
}
