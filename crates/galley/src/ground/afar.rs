//! A real cluster seen from a person's machine: tunnels to its services, and its token if we may read it.

use std::collections::BTreeMap;

use futures::future::join_all;
use galley_cluster::{Cluster, Tunnel};
use galley_problem::Problem;
use galley_release_types::{ENVIRONMENTS, PIPELINE_NAMESPACE, PLATFORM_NAMESPACE};
use galley_units::Secret;
use k8s_openapi::api::core::v1;
use kube::Api;

use crate::cli::Global;

/// A cluster and the ways into it.
pub struct Afar {
    /// The cluster.
    pub cluster: Cluster,
    /// Name to loopback address; only what runs.
    pub endpoints: BTreeMap<String, String>,
    /// The token of everything that writes, if we may read it.
    pub token: Option<Secret<String>>,
    /// Open as long as this is.
    _tunnels: Vec<Tunnel>,
}

impl Afar {
    /// Connects, and opens a tunnel to each service that runs.
    ///
    /// # Errors
    /// G1101 to G1106 if the cluster cannot be reached.
    pub async fn connect(global: &Global) -> Result<Afar, Problem> {
        let cluster = Cluster::connect(global.kubeconfig.as_deref(), global.context.as_deref()).await?;
        let opened = join_all(services().into_iter().map(async |(name, namespace, service, port)| {
            let tunnel = cluster.tunnel(&namespace, service, port).await;
            tunnel.inspect_err(|problem| tracing::debug!(name, %problem, "no tunnel")).ok().map(|t| (name, t))
        }));
        let (opened, token) = tokio::join!(opened, token(&cluster));
        let opened: Vec<_> = opened.into_iter().flatten().collect();
        let address = |tunnel: &Tunnel| format!("http://{}", tunnel.local_addr());
        let endpoints = opened.iter().map(|(name, tunnel)| ((*name).to_owned(), address(tunnel))).collect();
        let tunnels = opened.into_iter().map(|(_, tunnel)| tunnel).collect();
        Ok(Afar { cluster, endpoints, token, _tunnels: tunnels })
    }
}

/// Name, namespace, Service and port of what commands reach.
fn services() -> Vec<(&'static str, String, &'static str, u16)> {
    let of = |name, service, port| (name, PLATFORM_NAMESPACE.to_owned(), service, port);
    let mut all = vec![
        of("git", "git", 80),
        of("registry", "registry", 5000),
        of("tracking", "mlflow", 8000),
        of("gateway", "gateway", 80),
    ];
    all.extend(ENVIRONMENTS.map(|environment| {
        (
            environment.name(),
            environment.namespace().to_owned(),
            "gourmetgram-app",
            super::port_of(environment),
        )
    }));
    all
}

async fn token(cluster: &Cluster) -> Option<Secret<String>> {
    let secrets: Api<v1::Secret> = Api::namespaced(cluster.client(), PIPELINE_NAMESPACE);
    let secret = secrets.get_opt("pipeline-credentials").await.ok()??;
    let bytes = secret.data?.remove("GALLEY_TOKEN")?;
    String::from_utf8(bytes.0).ok().map(Secret::new)
}
