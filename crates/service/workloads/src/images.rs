//! What this room asks of others: images, and what pods need to reach the API server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use galley_units::Secret;

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Its digest is asked for each time.
    Always,
    /// Only if it is not here.
    IfNotPresent,
    /// Never; it must be here.
    Never,
}

/// An image that is ready to run.
#[derive(Clone, Debug, Default)]
pub struct PreparedImage {
    /// The digest of its manifest, `sha256:...`.
    pub digest: String,
    /// Its unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// The program, and arguments that are always given.
    pub entrypoint: Vec<String>,
    /// Arguments, or the whole command if there is no entrypoint.
    pub cmd: Vec<String>,
    /// Environment, as `NAME=VALUE`.
    pub env: Vec<String>,
    /// Where the program starts; empty means `/`.
    pub working_dir: String,
    /// Who it runs as; empty means root.
    pub user: String,
}

/// Why an image is not ready.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct ImageError {
    /// A reason as Kubernetes writes it: `ErrImagePull`, `InvalidImageName`, `ErrImageNeverPull`.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

/// Makes images ready to run.
#[async_trait::async_trait]
pub trait Images: Send + Sync + 'static {
    /// Finds or fetches an image and unpacks it.
    async fn prepare(&self, reference: &str, policy: PullPolicy) -> Result<PreparedImage, ImageError>;
}

/// Fetches and keeps the artifacts of pods. `orders` is the pod's annotation `runtime.galley.dev/artifacts`, `places`
/// says for each path of the container where that lies on this machine.
#[async_trait::async_trait]
pub trait Artifacts: Send + Sync + 'static {
    /// Places the inputs; the error is a sentence for people.
    async fn fetch(
        &self,
        namespace: &str,
        orders: &str,
        places: &BTreeMap<String, PathBuf>,
    ) -> Result<(), String>;
    /// Keeps the outputs. A place where nothing lies was not written by the container.
    async fn keep(&self, namespace: &str, orders: &str, places: &BTreeMap<String, PathBuf>) -> KeptArtifacts;
}

/// What became of a pod's output artifacts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptArtifacts {
    /// The names of those that are kept.
    pub kept: Vec<String>,
    /// Why others could not be kept, by name.
    pub errors: BTreeMap<String, String>,
}

/// What pods need to reach the API server.
pub trait Credentials: Send + Sync + 'static {
    /// A token for a service account.
    fn token(&self, namespace: &str, service_account: &str) -> Secret<String>;
    /// The certificate of the authority that has signed the API server's.
    fn ca_pem(&self) -> String;
    /// Where the API server listens on this host.
    fn api_server(&self) -> SocketAddr;
}
