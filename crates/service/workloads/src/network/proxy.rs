//! The proxy in front of Services: a listener for each address and port, connections to ready endpoints in turn.
//!
//! A connection, once made, lives on whatever happens to the endpoints.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use galley_sandbox::Sandbox;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;

/// Connections through one listener at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;
/// How long a connection waits for the first ready endpoint, so that a restart is a pause and not an error.
const WAIT_FOR_BACKEND: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 3;

/// The endpoints behind a listener.
#[derive(Default)]
pub(crate) struct Backends {
    addresses: Mutex<Arc<[SocketAddr]>>,
    turn: AtomicUsize,
    changed: Notify,
}

impl Backends {
    pub(crate) fn set(&self, addresses: Vec<SocketAddr>) {
        let mut current = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if **current != *addresses {
            *current = addresses.into();
            self.changed.notify_waiters();
        }
    }

    /// The address whose turn it is.
    fn next(&self) -> Option<SocketAddr> {
        let addresses = Arc::clone(&self.addresses.lock().unwrap_or_else(PoisonError::into_inner));
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (!addresses.is_empty()).then(|| addresses[turn % addresses.len()])
    }

    async fn wait_for_next(&self) -> Option<SocketAddr> {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if let Some(address) = self.next() {
                    return address;
                }
                changed.await;
            }
        };
        tokio::time::timeout(WAIT_FOR_BACKEND, waiting).await.ok()
    }
}

/// Which pods serve, and how many connections each has.
#[derive(Clone, Default)]
pub(crate) struct Load(Arc<LoadInner>);

#[derive(Default)]
struct LoadInner {
    connections: Mutex<HashMap<IpAddr, usize>>,
    serving: Mutex<HashSet<IpAddr>>,
    changed: Notify,
}

impl Load {
    fn set_serving(&self, serving: HashSet<IpAddr>) {
        *self.0.serving.lock().unwrap_or_else(PoisonError::into_inner) = serving;
        self.0.changed.notify_waiters();
    }

    /// Whether new connections may still go to a pod.
    pub(crate) fn serves(&self, pod: Ipv4Addr) -> bool {
        self.0.serving.lock().unwrap_or_else(PoisonError::into_inner).contains(&IpAddr::from(pod))
    }

    /// Waits until a pod neither serves nor has a connection.
    pub(crate) async fn drained(&self, pod: Ipv4Addr) {
        loop {
            let changed = self.0.changed.notified();
            if !self.serves(pod) && !self.connections().contains_key(&IpAddr::from(pod)) {
                return;
            }
            changed.await;
        }
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, address: IpAddr) -> Entered {
        *self.connections().entry(address).or_default() += 1;
        Entered { load: self.clone(), address }
    }
}

/// A connection that is counted until this is dropped.
struct Entered {
    load: Load,
    address: IpAddr,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut connections = self.load.connections();
        if let Some(count) = connections.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.address);
            }
        }
        drop(connections);
        self.load.0.changed.notify_waiters();
    }
}

/// All listeners.
pub(crate) struct Proxy {
    sandbox: Sandbox,
    load: Load,
    services: BTreeMap<SocketAddr, Listener>,
    /// Listeners on the host, by Service.
    pub(super) hosts: BTreeMap<(String, String), HostListener>,
    /// Addresses that could not be bound; told once each.
    refused: HashSet<SocketAddr>,
    accepting: JoinSet<()>,
    connections: TaskTracker,
    closed: CancellationToken,
}

struct Listener {
    backends: Shared,
    task: AbortHandle,
}

/// A listener on the host.
pub(super) struct HostListener {
    pub asked: u16,
    pub bound: u16,
    pub backends: Shared,
    task: AbortHandle,
}

impl Proxy {
    pub(crate) fn new(sandbox: Sandbox, load: Load) -> Self {
        Proxy {
            sandbox,
            load,
            services: BTreeMap::new(),
            hosts: BTreeMap::new(),
            refused: HashSet::new(),
            accepting: JoinSet::new(),
            connections: TaskTracker::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Makes the listeners in the pod network match; returns how many could not be bound.
    pub(crate) async fn serve(&mut self, wanted: BTreeMap<SocketAddr, Vec<SocketAddr>>) -> usize {
        self.load.set_serving(wanted.values().flatten().map(SocketAddr::ip).collect());
        self.services.retain(|address, listener| {
            let kept = wanted.contains_key(address);
            if !kept {
                listener.task.abort();
            }
            kept
        });
        let mut refused = 0;
        for (address, addresses) in wanted {
            if let Some(listener) = self.services.get(&address) {
                listener.backends.set(addresses);
                continue;
            }
            match self.sandbox.listen(address).await {
                Ok(socket) => {
                    let backends = Shared::default();
                    backends.set(addresses);
                    let task = self.accept(socket, Arc::clone(&backends));
                    self.services.insert(address, Listener { backends, task });
                }
                Err(error) => {
                    refused += 1;
                    if self.refused.insert(address) {
                        tracing::warn!(%address, %error, "could not listen on a service address; trying again");
                    }
                }
            }
        }
        // Aborted acceptors are collected here.
        while self.accepting.try_join_next().is_some() {}
        refused
    }

    /// Listens on the host's loopback for a Service.
    pub(super) async fn listen_on_host(
        &mut self,
        service: (String, String),
        asked: u16,
        port: u16,
        addresses: Vec<SocketAddr>,
    ) -> std::io::Result<u16> {
        let socket = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let bound = socket.local_addr()?.port();
        let backends = Shared::default();
        backends.set(addresses);
        let task = self.accept(socket, Arc::clone(&backends));
        self.hosts.insert(service, HostListener { asked, bound, backends, task });
        Ok(bound)
    }

    /// Stops listening on the host for a Service.
    pub(super) fn close_host(&mut self, service: &(String, String)) {
        if let Some(listener) = self.hosts.remove(service) {
            listener.task.abort();
        }
    }

    fn accept(&mut self, socket: TcpListener, backends: Shared) -> AbortHandle {
        let (sandbox, load, closed) = (self.sandbox.clone(), self.load.clone(), self.closed.clone());
        let connections = self.connections.clone();
        let permits = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
        self.accepting.spawn(async move {
            loop {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                let stream = match socket.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of descriptors, most likely: others must end first.
                        tracing::warn!(%error, "could not accept a connection");
                        tokio::time::sleep(crate::service::SOON).await;
                        continue;
                    }
                };
                let (sandbox, load, backends) = (sandbox.clone(), load.clone(), Arc::clone(&backends));
                let closed = closed.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = carry(stream, &sandbox, &load, &backends) => {}
                        () = closed.cancelled() => {}
                    }
                    drop(permit);
                });
            }
        })
    }

    /// Closes everything.
    pub(crate) async fn close(&mut self) {
        self.accepting.shutdown().await;
        self.services.clear();
        self.hosts.clear();
        self.closed.cancel();
        self.connections.close();
        self.connections.wait().await;
    }
}

async fn carry(mut client: TcpStream, sandbox: &Sandbox, load: &Load, backends: &Backends) {
    let _ = client.set_nodelay(true);
    for _ in 0..ATTEMPTS {
        let Some(address) = backends.wait_for_next().await else { return };
        let entered = load.enter(address.ip());
        match super::connect(sandbox, address).await {
            Ok(mut server) => {
                let _ = server.set_nodelay(true);
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                return;
            }
            Err(error) => tracing::debug!(%address, %error, "an endpoint does not answer; trying the next"),
        }
        drop(entered);
    }
}
