//! Start and stop of the room.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use galley_sandbox::Sandbox;
use galley_units::Clock;
use kube::Client;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::controllers::{deployments, jobs, replicasets};
use crate::error::Error;
use crate::images::{Artifacts, Credentials, Images};
use crate::logs::{Live, Logs};
use crate::network::{self, Network};
use crate::objects::Context;
use crate::pods;
use crate::watch::{self, Changes, Kind};
use crate::{claims, events, node};

/// What the room needs of others.
pub struct Deps {
    /// The API.
    pub client: Client,
    /// Where processes run.
    pub sandbox: Sandbox,
    /// Where images come from.
    pub images: Arc<dyn Images>,
    /// What pods need to reach the API.
    pub credentials: Arc<dyn Credentials>,
    /// Who fetches and keeps artifacts, if anybody does.
    pub artifacts: Option<Arc<dyn Artifacts>>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The room, ready to run.
pub struct Service {
    cx: Arc<Context>,
    network: Arc<Network>,
    live: Live,
}

/// What other rooms may use while the service runs.
#[derive(Clone)]
pub struct Handle {
    sandbox: Sandbox,
    logs: Logs,
}

impl Handle {
    /// Connects to a pod or service address through the sandbox, and to a loopback address on the host.
    ///
    /// # Errors
    /// As `connect(2)`, and `TimedOut` after five seconds.
    pub async fn connect(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        network::connect(&self.sandbox, address).await
    }

    /// The logs of containers.
    pub fn logs(&self) -> Logs {
        self.logs.clone()
    }
}

impl Service {
    /// Makes the folders of the room.
    ///
    /// # Errors
    /// [`Error::File`] if a folder cannot be made.
    pub fn new(config: Config, deps: Deps) -> Result<Service, Error> {
        for name in ["pods", "claims", "logs"] {
            let path = config.state_dir.join(name);
            std::fs::create_dir_all(&path).map_err(|source| Error::File {
                action: "make the folder",
                path,
                source,
            })?;
        }
        let Deps { client, sandbox, images, credentials, artifacts, clock } = deps;
        let cx = Arc::new(Context { config, client, sandbox, images, credentials, artifacts, clock });
        let network = Arc::new(Network::new(Arc::clone(&cx)));
        Ok(Service { cx, network, live: Live::default() })
    }

    /// What other rooms may use.
    pub fn handle(&self) -> Handle {
        let logs =
            Logs::new(self.cx.config.state_dir.join("logs"), self.cx.client.clone(), self.live.clone());
        Handle { sandbox: self.cx.sandbox.clone(), logs }
    }

    /// Runs until shutdown; then stops every container, leaving the objects as they are.
    ///
    /// # Errors
    /// [`Error::Task`] if a part of the room has stopped by itself.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut tasks = Tasks::default();
        let stop = shutdown.child_token();
        let changes = Changes::watch(&self.cx.client, &mut tasks, &stop);
        let Service { cx, network, live } = self;
        macro_rules! controller {
            ($name:literal, [$($kind:ident),*], $reconcile:path) => {{
                let (cx, stop) = (Arc::clone(&cx), stop.clone());
                let changes = changes.of(&[$(Kind::$kind),*]);
                tasks.spawn($name.to_owned(), async move {
                    watch::run($name, changes, stop, || $reconcile(&cx)).await;
                });
            }};
        }
        controller!("node", [], node::reconcile);
        controller!("events", [], events::sweep);
        controller!("claims", [Claim], claims::reconcile);
        controller!("deployments", [Deployment, ReplicaSet], deployments::reconcile);
        controller!("replicasets", [ReplicaSet, Pod], replicasets::reconcile);
        controller!("jobs", [Job, Pod], jobs::reconcile);
        let services = changes.of(&[Kind::Service, Kind::EndpointSlice, Kind::Pod]);
        {
            let (network, stop) = (Arc::clone(&network), stop.clone());
            tasks.spawn("services".to_owned(), async move {
                watch::run("services", services, stop, || network.reconcile()).await;
            });
        }
        {
            let (network, stop) = (Arc::clone(&network), stop.clone());
            tasks.spawn("names".to_owned(), async move { network::dns::serve(&network, &stop).await });
        }
        {
            let (network, stop, cx) = (Arc::clone(&network), stop.clone(), Arc::clone(&cx));
            tasks.spawn("pods".to_owned(), async move { pods::run(cx, network, live, stop).await });
        }
        {
            let (sandbox, stop) = (cx.sandbox.clone(), stop.clone());
            tasks.spawn("sandbox".to_owned(), async move {
                tokio::select! {
                    () = sandbox.ended() => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        let result = tasks.join(&stop).await;
        network.close().await;
        result
    }
}

/// The tasks of the room, by name. One that ends before shutdown ends the room.
#[derive(Default)]
pub(crate) struct Tasks {
    set: JoinSet<String>,
}

impl Tasks {
    pub(crate) fn spawn(&mut self, name: String, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(async move {
            task.await;
            name
        });
    }

    async fn join(mut self, stop: &CancellationToken) -> Result<(), Error> {
        let mut result = Ok(());
        while let Some(ended) = self.set.join_next().await {
            if stop.is_cancelled() {
                continue;
            }
            let name = ended.unwrap_or_else(|error| error.to_string());
            tracing::error!(task = name, "a part of the workloads room has stopped by itself");
            result = Err(Error::Task(name));
            stop.cancel();
        }
        result
    }
}

/// A pause for things that are looked at again and again.
pub(crate) const SOON: Duration = Duration::from_millis(100);
