//! `galley service ...`: one service of the platform on its own, as the platform's Deployments run it on a cluster.
//!
//! The token of everything that writes comes as `GALLEY_TOKEN`; without it nothing starts. Objects are reached with the
//! pod's service account, or with the kubeconfig of whoever starts it by hand.

mod refresh;

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::{Router, routing::get};
use galley_git::Repo;
use galley_problem::{Kind, Problem};
use galley_store::Database;
use galley_units::{Clock, SystemClock};
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Answer,
    cli::service::{Gateway, Keeping, Service},
    ground::environment,
    up::{REGISTRY_NAME, Supervisor, interrupted, wake_on_push},
};

type Authorize = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Runs one service until it is told to stop.
///
/// # Errors
/// G0122 without a token, G0111 if the address is taken, and whatever keeps the service from starting.
pub async fn run(service: Service) -> Result<Answer, Problem> {
    let stop = CancellationToken::new();
    let mut supervisor = Supervisor::new(stop);
    match service {
        Service::Git(args) => git(&args, &mut supervisor).await?,
        Service::Registry(args) => registry(&args, &mut supervisor).await?,
        Service::Tracking(args) => tracking(&args, &mut supervisor).await?,
        Service::Gateway(args) => gateway(&args, &mut supervisor).await?,
        Service::State(args) => state(&args, &mut supervisor).await?,
    }
    let failed = supervisor.failed();
    let outcome = tokio::select! {
        () = interrupted() => Ok(Answer::Yes),
        problem = failed => Err(problem),
    };
    supervisor.stop().await;
    outcome
}

async fn git(args: &Keeping, supervisor: &mut Supervisor) -> Result<(), Problem> {
    let authorize = authorize()?;
    let folder = folder(&args.data, "repositories")?;
    let repository = Repo::init_or_open(folder.join("pipeline.git")).await?;
    let client = objects().await?;
    let config = galley_gitserver::Config { folder, anonymous_reads: false, ..Default::default() };
    let service = galley_gitserver::Service::new(config, galley_gitserver::Deps { verify: authorize })
        .map_err(|e| failed("opening the git server", &e))?;
    let wake = wake_on_push(service.pushes(), supervisor);
    supervisor.start("argo cd", {
        let (client, wake) = (client.clone(), wake.clone());
        move |stop| refresh::follow(client, wake, stop)
    });
    supervisor.start("releases", {
        let deps = galley_releases::Deps {
            client,
            repository,
            wake,
            clock: clock(),
            settled: watch::Sender::new(false),
            trouble: watch::Sender::new(None),
        };
        let releases = galley_releases::Service::new(galley_releases::Config::default(), deps);
        move |stop| releases.run(stop)
    });
    serve("git", args.listen, service.router(), supervisor).await
}

async fn registry(args: &Keeping, supervisor: &mut Supervisor) -> Result<(), Problem> {
    let authorize = authorize()?;
    let options = galley_oci::Options { own_hosts: vec![REGISTRY_NAME.to_owned()], ..Default::default() };
    let store = galley_oci::Store::open(folder(&args.data, "oci")?, options).map_err(|e| e.problem())?;
    let deps = galley_registry::Deps { store, authorize: Some(authorize) };
    let service = galley_registry::Service::new(galley_registry::Config::default(), deps)
        .map_err(|e| failed("opening the registry", &e))?;
    serve("registry", args.listen, service.router(), supervisor).await
}

async fn tracking(args: &Keeping, supervisor: &mut Supervisor) -> Result<(), Problem> {
    let authorize = authorize()?;
    let folder = folder(&args.data, "tracking")?;
    let database = Database::open(&folder.join("tracking.db"), &[galley_store::tracking::MIGRATION])
        .map_err(|e| failed("opening the database", &e))?;
    let config = galley_tracking::Config { artifact_dir: folder.join("artifacts"), ..Default::default() };
    let deps = galley_tracking::Deps { database, clock: clock(), authorize: Some(authorize) };
    let service =
        galley_tracking::Service::new(config, deps).map_err(|e| failed("opening the tracking server", &e))?;
    serve("tracking", args.listen, service.router(), supervisor).await
}

async fn gateway(args: &Gateway, supervisor: &mut Supervisor) -> Result<(), Problem> {
    let deps = galley_gateway::Deps {
        client: objects().await?,
        dialer: Arc::new(galley_gateway::HostDialer),
        clock: clock(),
        seed: u64::from(galley_units::fnv1a_32(&galley_units::uuid())),
        listeners: [(args.port, bind(args.listen).await?)].into(),
    };
    let config = galley_gateway::Config { addresses: vec![args.address.clone()], ..Default::default() };
    let service = galley_gateway::Service::new(config, deps).map_err(|e| e.problem())?;
    supervisor.serve("admin", bind(args.admin).await?, service.router());
    supervisor.try_start("gateway", move |stop| service.run(stop));
    Ok(())
}

async fn state(args: &Keeping, supervisor: &mut Supervisor) -> Result<(), Problem> {
    let config =
        galley_statestore::Config { folder: folder(&args.data, "infra-state")?, ..Default::default() };
    let deps = galley_statestore::Deps { clock: clock(), authorize: authorize()? };
    let service =
        galley_statestore::Service::new(config, deps).map_err(|e| failed("opening the state store", &e))?;
    serve("state", args.listen, service.router(), supervisor).await
}

/// Serves the routes, and those that probes ask for.
async fn serve(
    name: &'static str,
    listen: SocketAddr,
    router: Router,
    supervisor: &mut Supervisor,
) -> Result<(), Problem> {
    let ok = || get(async || "ok");
    let router = router.route("/healthz", ok()).route("/readyz", ok());
    supervisor.serve(name, bind(listen).await?, router);
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Problem> {
    TcpListener::bind(address).await.map_err(|error| {
        Problem::new("G0111", Kind::Unavailable, format!("Cannot listen on {address}.")).because(&error)
    })
}

/// Who may write: whoever has the one token.
fn authorize() -> Result<Authorize, Problem> {
    let token = environment("GALLEY_TOKEN").ok_or_else(|| {
        Problem::new("G0122", Kind::Config, "There is no token, so anybody could write.")
            .try_this("Set `GALLEY_TOKEN`; on a cluster it comes from the Secret `platform-credentials`.")
    })?;
    // Digests are compared: how long that takes tells nothing of the token.
    let wanted = Sha256::digest(token.as_bytes());
    Ok(Arc::new(move |given| Sha256::digest(given.as_bytes()) == wanted))
}

async fn objects() -> Result<kube::Client, Problem> {
    kube::Client::try_default().await.map_err(|error| {
        Problem::new("G0107", Kind::Unavailable, "The Kubernetes API cannot be reached.").because(&error)
    })
}

fn folder(data: &Path, name: &str) -> Result<std::path::PathBuf, Problem> {
    let folder = data.join(name);
    std::fs::create_dir_all(&folder).map_err(|e| crate::io(&folder, "making the folder", &e))?;
    Ok(folder)
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn failed(attempt: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new("G0114", Kind::Unavailable, format!("Galley could not start: {attempt} failed."))
        .because(error)
}
