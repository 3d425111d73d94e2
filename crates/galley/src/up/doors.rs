//! The doors between services: small adapters, so that no service needs to know another.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use futures::StreamExt;
use galley_apiserver::{LogError, LogQuery, LogSource, LogStream, TokenAuthority};
use galley_git::Repo;
use galley_oci::Store;
use galley_problem::Problem;
use galley_units::Secret;
use tokio::{
    net::TcpStream,
    sync::{broadcast, watch},
};

use super::{PIPELINE_URL, supervisor::Supervisor};

/// Pods' logs, as the API server asks for them.
pub struct LogDoor(pub galley_workloads::Logs);

#[async_trait]
impl LogSource for LogDoor {
    async fn logs(&self, namespace: &str, pod: &str, query: LogQuery) -> Result<LogStream, LogError> {
        let container = query.container.clone();
        let wanted = galley_workloads::LogOptions {
            container: Some(query.container),
            follow: query.follow,
            tail_lines: query.tail_lines.and_then(|lines| usize::try_from(lines).ok()),
            timestamps: query.timestamps,
            previous: query.previous,
            since: query.since,
            limit_bytes: query.limit_bytes,
        };
        match self.0.logs(namespace, pod, wanted).await {
            Ok(stream) => Ok(stream.boxed()),
            Err(galley_workloads::LogError::NotStarted(why)) => Err(LogError::NotStarted(why)),
            Err(galley_workloads::LogError::Io(error)) => Err(LogError::Io(error)),
            Err(_) => Err(LogError::NotFound { pod: pod.to_owned(), container }),
        }
    }
}

/// Images for pods, out of the store that the registry serves.
pub struct Images {
    store: Store,
    client: galley_oci::Client,
}

impl Images {
    /// Images of this store; others are pulled into it.
    pub fn new(store: Store) -> Result<Images, Problem> {
        let client = galley_oci::Client::new(galley_oci::ClientConfig::default()).map_err(|e| e.problem())?;
        Ok(Images { store, client })
    }
}

#[async_trait]
impl galley_workloads::Images for Images {
    async fn prepare(
        &self,
        reference: &str,
        policy: galley_workloads::PullPolicy,
    ) -> Result<galley_workloads::PreparedImage, galley_workloads::ImageError> {
        let refused = |reason: &str, message: String| galley_workloads::ImageError {
            reason: reason.to_owned(),
            message,
        };
        let parsed: galley_oci::Reference =
            reference.parse().map_err(|e: galley_oci::Error| refused("InvalidImageName", e.to_string()))?;
        let policy = match policy {
            galley_workloads::PullPolicy::Always => galley_oci::PullPolicy::Always,
            galley_workloads::PullPolicy::IfNotPresent => galley_oci::PullPolicy::IfNotPresent,
            galley_workloads::PullPolicy::Never => galley_oci::PullPolicy::Never,
        };
        let digest = self
            .client
            .pull(&parsed, &self.store, policy)
            .await
            .map_err(|e| refused("ErrImagePull", e.problem().to_string()))?;
        let store = self.store.clone();
        let prepared = tokio::task::spawn_blocking(move || unpack(&store, &digest));
        match prepared.await {
            Ok(Ok(image)) => Ok(image),
            Ok(Err(error)) => Err(refused("ErrImagePull", error.problem().to_string())),
            Err(error) => Err(refused("ErrImagePull", error.to_string())),
        }
    }
}

fn unpack(store: &Store, digest: &galley_oci::Digest) -> galley_oci::Result<galley_workloads::PreparedImage> {
    let (digest, manifest) = store.image_manifest(digest)?;
    let config = store.image_config(&manifest)?.config;
    Ok(galley_workloads::PreparedImage {
        digest: digest.to_string(),
        layers: store.unpacked_layers(&digest)?,
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        env: config.env,
        working_dir: config.working_dir,
        user: config.user,
    })
}

/// Tokens and addresses that pods are given.
pub struct Deputies {
    /// Makes the tokens.
    pub tokens: TokenAuthority,
    /// Certificate of the API server's authority.
    pub ca_pem: String,
    /// The API server on loopback.
    pub api: SocketAddr,
}

impl galley_workloads::Credentials for Deputies {
    fn token(&self, namespace: &str, service_account: &str) -> Secret<String> {
        self.tokens.service_account_token(namespace, service_account)
    }

    fn ca_pem(&self) -> String {
        self.ca_pem.clone()
    }

    fn api_server(&self) -> SocketAddr {
        self.api
    }
}

/// Dials pods inside their network, and the machine on loopback.
pub struct PodDialer(pub galley_workloads::Handle);

#[async_trait]
impl galley_gateway::Dialer for PodDialer {
    async fn connect(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        self.0.connect(address).await
    }
}

/// Repositories by the address that Applications name: the pipeline repository under its own, all others mirrored.
pub fn repositories(own: Repo, mirrors: PathBuf) -> Arc<dyn galley_gitops::Repositories> {
    let ours = [(PIPELINE_URL.to_owned(), own)];
    Arc::new(galley_gitops::LocalRepositories::new(ours, mirrors, Arc::new(|_| None)))
}

/// A number that changes at every push.
pub fn wake_on_push(
    mut pushes: broadcast::Receiver<galley_gitserver::Push>,
    supervisor: &mut Supervisor,
) -> watch::Receiver<u64> {
    let (wake, woken) = watch::channel(0u64);
    supervisor.start("pushes", move |stop| async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                push = pushes.recv() => match push {
                    // A lagging receiver has missed pushes; one look sees them all.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => wake.send_modify(|n| *n += 1),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            }
        }
    });
    woken
}
