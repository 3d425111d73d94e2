//! A Service of the cluster, reachable from this machine: a loopback port whose connections go through the API server to
//! a ready pod.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use galley_problem::{Kind, Problem};
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{ListParams, Portforwarder},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Cluster,
    problem::{absent, refused},
};

/// Connections at once; more wait in the listener's queue.
const CONNECTIONS: usize = 64;
/// How many pods are tried for a connection.
const TRIES: usize = 3;
const DEADLINE: Duration = Duration::from_secs(15);

/// Forwards a loopback port until it is dropped.
#[derive(Debug)]
pub struct Tunnel {
    address: SocketAddr,
    _open: DropGuard,
}

impl Tunnel {
    /// Where to connect.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// What connections lead to.
struct Goal {
    cluster: Cluster,
    namespace: String,
    service: String,
    /// The Service port's name; endpoint slices name their ports so.
    port: Option<String>,
    turn: AtomicUsize,
}

impl Cluster {
    /// Opens a way to a port of a Service.
    ///
    /// # Errors
    /// G1118 if there is no such Service or port, or no ready pod behind it; G1104 to G1108 if the cluster refuses.
    pub async fn tunnel(&self, namespace: &str, service: &str, port: u16) -> Result<Tunnel, Problem> {
        let goal = Goal {
            port: self.service_port(namespace, service, port).await?,
            cluster: self.clone(),
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            turn: AtomicUsize::new(0),
        };
        if goal.pods().await?.is_empty() {
            let mut problem = no_way(namespace, service, "No ready pod stands behind it.")
                .try_this("Wait until its pods are ready.");
            problem.causes.extend(self.explain(namespace).await.unwrap_or_default());
            return Err(problem);
        }
        let bound = async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = bound.await.map_err(|e: std::io::Error| {
            Problem::new("G1118", Kind::Unavailable, "No local port could be opened for a tunnel.")
                .because(&e)
        })?;
        let closed = CancellationToken::new();
        tokio::spawn(serve(listener, Arc::new(goal), closed.clone()));
        Ok(Tunnel { address, _open: closed.drop_guard() })
    }

    /// The name of a Service's port, if ports there have names.
    async fn service_port(
        &self,
        namespace: &str,
        service: &str,
        port: u16,
    ) -> Result<Option<String>, Problem> {
        let services: Api<Service> = Api::namespaced(self.client(), namespace);
        let found = services
            .get_opt(service)
            .await
            .map_err(|e| refused(format!("read Service {namespace}/{service}"), &e))?
            .ok_or_else(|| no_way(namespace, service, "There is no such Service."))?;
        let ports = found.spec.and_then(|spec| spec.ports).unwrap_or_default();
        match ports.iter().find(|known| known.port == i32::from(port)) {
            Some(known) => Ok(known.name.clone().filter(|name| !name.is_empty())),
            None => {
                let known: Vec<String> = ports.iter().map(|known| known.port.to_string()).collect();
                Err(no_way(namespace, service, &format!("It has no port {port}, only {}.", known.join(", "))))
            }
        }
    }
}

fn no_way(namespace: &str, service: &str, why: &str) -> Problem {
    Problem::new("G1118", Kind::Unavailable, format!("There is no way to Service {namespace}/{service}."))
        .because_of(why)
}

impl Goal {
    /// Ready pods with the port's number on each: a named target port may differ between pods.
    async fn pods(&self) -> Result<Vec<(String, u16)>, Problem> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.cluster.client(), &self.namespace);
        let of_service =
            ListParams::default().labels(&format!("kubernetes.io/service-name={}", self.service));
        let slices = slices
            .list(&of_service)
            .await
            .map_err(|e| refused(format!("read the endpoints of {}/{}", self.namespace, self.service), &e))?;
        let mut pods = Vec::new();
        for slice in slices {
            let port = slice
                .ports
                .iter()
                .flatten()
                .find(|port| port.name.clone().filter(|name| !name.is_empty()) == self.port);
            let Some(port) = port.and_then(|port| port.port).and_then(|port| u16::try_from(port).ok()) else {
                continue;
            };
            for endpoint in slice.endpoints.into_iter().flatten() {
                let ready = endpoint.conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
                let pod = endpoint.target_ref.filter(|target| target.kind.as_deref() == Some("Pod"));
                if let Some(name) = pod.and_then(|target| target.name).filter(|_| ready) {
                    pods.push((name, port));
                }
            }
        }
        pods.sort();
        pods.dedup();
        Ok(pods)
    }

    /// A stream to a pod; another pod if one does not answer.
    async fn dial(&self) -> Result<(Portforwarder, u16), Problem> {
        let api: Api<Pod> = Api::namespaced(self.cluster.client(), &self.namespace);
        let mut last = no_way(&self.namespace, &self.service, "No ready pod stands behind it.");
        let mut failed: Vec<String> = Vec::new();
        for _ in 0..TRIES {
            let mut pods = self.pods().await?;
            if pods.iter().any(|(name, _)| !failed.contains(name)) {
                pods.retain(|(name, _)| !failed.contains(name));
            }
            if pods.is_empty() {
                break;
            }
            let (name, port) = &pods[self.turn.fetch_add(1, Ordering::Relaxed) % pods.len()];
            match api.portforward(name, &[*port]).await {
                Ok(forwarder) => return Ok((forwarder, *port)),
                Err(error) => {
                    tracing::debug!(%error, pod = name, gone = absent(&error), "no way to this pod");
                    last = refused(format!("reach port {port} of pod {}/{name}", self.namespace), &error);
                    failed.push(name.clone());
                }
            }
        }
        Err(last)
    }
}

async fn serve(listener: TcpListener, goal: Arc<Goal>, closed: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let accepting = async {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let goal = goal.clone();
                    connections.spawn(async move {
                        let _place = place;
                        carry(stream, &goal).await;
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: connections that end make room.
                    tracing::debug!(%error, "a tunnel cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = closed.cancelled() => {}
        () = accepting => {}
    }
    connections.shutdown().await;
}

async fn carry(mut stream: TcpStream, goal: &Goal) {
    let (mut forwarder, port) = match tokio::time::timeout(DEADLINE, goal.dial()).await {
        Ok(Ok(way)) => way,
        Ok(Err(problem)) => return tracing::warn!(%problem, "a connection through a tunnel was closed"),
        Err(_) => return tracing::warn!(service = goal.service, "a pod did not answer a tunnel in time"),
    };
    if let Some(mut inside) = forwarder.take_stream(port)
        && let Err(error) = tokio::io::copy_bidirectional(&mut stream, &mut inside).await
    {
        tracing::debug!(%error, "a connection through a tunnel ended");
    }
    forwarder.abort();
}
