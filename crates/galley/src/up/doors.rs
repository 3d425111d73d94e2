//! The doors between services: small adapters, so that no service needs to know another.

use std::{net::SocketAddr, path::PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use galley_apiserver::{LogError, LogQuery, LogSource, TokenAuthority};
use galley_git::Repo;
use galley_oci::Store;
use galley_problem::Problem;
use galley_sandbox::Sandbox;
use galley_units::Secret;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

/// Pods' logs, as the API server asks for them.
pub struct LogDoor(pub galley_workloads::Logs);

#[async_trait]
impl LogSource for LogDoor {
    async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, std::io::Result<Bytes>>, LogError> {
        let wanted = galley_workloads::LogQuery {
            container: query.container,
            follow: query.follow,
            tail_lines: query.tail_lines,
            timestamps: query.timestamps,
            previous: query.previous,
        };
        match self.0.logs(namespace, pod, wanted).await {
            Ok(stream) => Ok(stream.boxed()),
            Err(error) => Err(LogError::from_message(error.to_string())),
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
pub struct PodDialer(pub Sandbox);

#[async_trait]
impl galley_gateway::Dialer for PodDialer {
    async fn connect(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        if address.ip().is_loopback() && self.0.mode() != galley_sandbox::Mode::Plain {
            return TcpStream::connect(address).await;
        }
        self.0.connect(address).await
    }
}

/// Git repositories by the address that Applications name.
pub struct Repositories {
    own_url: String,
    own: Repo,
    mirrors: PathBuf,
}

impl Repositories {
    /// The pipeline repository under its own address; all others are mirrored.
    pub fn new(own_url: &str, own: Repo, mirrors: PathBuf) -> Repositories {
        Repositories { own_url: own_url.to_owned(), own, mirrors }
    }
}

#[async_trait]
impl galley_gitops::Repositories for Repositories {
    async fn open(&self, url: &str) -> Result<Repo, Problem> {
        if url.trim_end_matches(".git") == self.own_url.trim_end_matches(".git") {
            return Ok(self.own.clone());
        }
        let name = hex::encode(Sha256::digest(url));
        let mirror = Repo::init_or_open(self.mirrors.join(format!("{name}.git"))).await?;
        mirror.fetch_mirror(url, None).await?;
        Ok(mirror)
    }
}

