//! Services: addresses, endpoints, the proxy in front of pods, ports on the host, and names.
//!
//! One reconciliation lists Services, EndpointSlices and Pods, writes what is missing (cluster addresses, slices), and
//! makes the listeners match. The resolver and the proxy read what it has left in memory.

mod addresses;
pub(crate) mod dns;
mod endpoints;
mod hostports;
mod names;
mod proxy;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use galley_sandbox::{Mode, Sandbox};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::net::TcpStream;

use self::names::Names;
use self::proxy::{Backends, Proxy};
use crate::error::Error;
use crate::objects::{Context, list, name_of, namespace_of, uid_of};

/// The label that ties a slice to its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const HOST_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A port that could not be bound is tried again.
const BIND_RETRY: Duration = Duration::from_secs(5);

/// Connects to an address of the pod network, or of the host if it is the host's loopback.
pub(crate) async fn connect(sandbox: &Sandbox, address: SocketAddr) -> std::io::Result<TcpStream> {
    let network = sandbox.network();
    let inside = matches!(address.ip(), IpAddr::V4(ip) if network.is_pod(ip) || network.is_service(ip));
    if inside || !address.ip().is_loopback() {
        return sandbox.connect(address).await;
    }
    match tokio::time::timeout(HOST_CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(connected) => connected,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

/// The state of the network.
pub(crate) struct Network {
    cx: Arc<Context>,
    names: Mutex<Arc<Names>>,
    proxy: tokio::sync::Mutex<Proxy>,
    /// How many connections of the proxy each pod address serves now, and whether it is among the endpoints.
    load: proxy::Load,
    /// Addresses of pods that run now, by uid. A stored status may name an address of the time before a restart.
    running: Mutex<HashMap<String, Ipv4Addr>>,
}

impl Network {
    pub(crate) fn new(cx: Arc<Context>) -> Self {
        let load = proxy::Load::default();
        let proxy = tokio::sync::Mutex::new(Proxy::new(cx.sandbox.clone(), load.clone()));
        Network { cx, names: Mutex::default(), proxy, load, running: Mutex::default() }
    }

    /// The names as of the last reconciliation.
    pub(crate) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn context(&self) -> &Context {
        &self.cx
    }

    /// Tells that a pod runs at an address.
    pub(crate) fn announce(&self, uid: &str, address: Ipv4Addr) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), address);
    }

    /// Tells that a pod runs no more.
    pub(crate) fn withdraw(&self, uid: &str) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Forgets addresses in statuses that are not of pods that run now.
    fn without_stale_addresses(&self, mut pods: Vec<Pod>) -> Vec<Pod> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for pod in &mut pods {
            let address = running.get(uid_of(&pod.metadata)).map(Ipv4Addr::to_string);
            if let Some(status) = pod.status.as_mut().filter(|status| status.pod_ip != address) {
                status.pod_ip = None;
            }
        }
        pods
    }

    /// Waits until the proxy has no connection to a pod any more; it must have left the endpoints.
    pub(crate) async fn drained(&self, pod: Ipv4Addr) {
        self.load.drained(pod).await;
    }

    /// Whether new connections may still go to a pod.
    pub(crate) fn serves(&self, pod: Ipv4Addr) -> bool {
        self.load.serves(pod)
    }

    /// Makes everything match the objects.
    pub(crate) async fn reconcile(&self) -> Result<Option<Duration>, Error> {
        let cx = &*self.cx;
        addresses::ensure_kubernetes(cx).await?;
        let mut services = list::<Service>(&cx.client).await?;
        let pods = self.without_stale_addresses(list::<Pod>(&cx.client).await?);
        addresses::allocate(cx, &mut services).await?;
        let slices = list::<EndpointSlice>(&cx.client).await?;
        let slices = endpoints::reconcile(cx, &services, &pods, slices).await?;
        let names = names::collect(cx, &services, &slices, &pods);
        if cx.sandbox.mode() == Mode::Plain {
            write_hosts(&hosts_file(cx), &names)?;
        }
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(names);
        let mut proxy = self.proxy.lock().await;
        let refused = proxy.serve(wanted(&services, &slices)).await;
        let hosts = hostports::reconcile(cx, &services, &slices, &mut proxy).await;
        let retry = refused > 0 || hosts > 0;
        Ok(retry.then_some(BIND_RETRY))
    }

    /// Closes every listener and connection.
    pub(crate) async fn close(&self) {
        self.proxy.lock().await.close().await;
    }
}

/// For plain processes, which cannot be given a resolver: the names of all Services as a hosts file.
pub(crate) fn hosts_file(cx: &Context) -> PathBuf {
    cx.config.state_dir.join("hosts")
}

fn write_hosts(path: &Path, names: &Names) -> Result<(), Error> {
    let text = format!("127.0.0.1\tlocalhost\n{}", names.hosts());
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path));
    written.map_err(|source| Error::File { action: "write", path: path.to_owned(), source })
}

/// The listeners that Services ask for, with the backends of each.
fn wanted(services: &[Service], slices: &[EndpointSlice]) -> BTreeMap<SocketAddr, Vec<SocketAddr>> {
    let mut wanted = BTreeMap::new();
    for service in services {
        let Some(address) = addresses::cluster_ip(service) else { continue };
        for port in ports(service).filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP") {
            let Ok(number) = u16::try_from(port.port) else { continue };
            let backends = backends(service, slices, port.name.as_deref());
            wanted.insert(SocketAddr::from((address, number)), backends);
        }
    }
    wanted
}

fn ports(service: &Service) -> impl Iterator<Item = &k8s_openapi::api::core::v1::ServicePort> {
    service.spec.iter().flat_map(|spec| spec.ports.iter().flatten())
}

/// The slices of a Service.
fn slices_of<'a>(
    service: &'a Service,
    slices: &'a [EndpointSlice],
) -> impl Iterator<Item = &'a EndpointSlice> {
    let (name, namespace) = (name_of(&service.metadata), namespace_of(&service.metadata));
    slices.iter().filter(move |slice| {
        namespace_of(&slice.metadata) == namespace
            && slice
                .metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(SERVICE_NAME))
                .is_some_and(|n| n == name)
    })
}

/// The ready addresses behind a port of a Service.
fn backends(service: &Service, slices: &[EndpointSlice], port: Option<&str>) -> Vec<SocketAddr> {
    let mut backends = Vec::new();
    for slice in slices_of(service, slices) {
        let number =
            slice.ports.iter().flatten().find(|one| one.name.as_deref().unwrap_or("") == port.unwrap_or(""));
        let Some(number) = number.and_then(|one| one.port).and_then(|one| u16::try_from(one).ok()) else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten() {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let addresses = endpoint.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok());
            if ready {
                backends.extend(addresses.map(|address| SocketAddr::from((address, number))));
            }
        }
    }
    backends.sort_unstable();
    backends.dedup();
    backends
}

/// Backends that a listener shares with the reconciliation.
type Shared = Arc<Backends>;
