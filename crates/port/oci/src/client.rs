//! A client for any OCI or Docker registry.
//!
//! HTTPS, except for loopback and for hosts that are named insecure in [`ClientConfig`]. Every request has a
//! deadline, transient failures are tried again a limited number of times, answers have size limits, and nothing
//! is stored that does not have the promised digest.

mod auth;
mod build_on;
mod pull;
mod push;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use galley_units::Secret;

use self::session::Session;
use crate::media::{Descriptor, MANIFEST_LIMIT};
use crate::{Digest, Error, Reference, Result, Store, StoredManifest, Target};

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Hosts (with port) that are spoken to without TLS, beside loopback.
    pub insecure_hosts: Vec<String>,
    /// What to present to which registry, by host (with port).
    pub credentials: BTreeMap<String, Credentials>,
    /// Deadline for a connection.
    pub connect_timeout: Duration,
    /// Deadline for a small request, and for silence within a large one.
    pub request_timeout: Duration,
    /// Deadline for one blob.
    pub transfer_timeout: Duration,
    /// How often a request is made before a transient failure counts.
    pub attempts: u32,
    /// Largest blob that is pulled, in bytes.
    pub blob_limit: u64,
    /// Blobs that are transferred at once.
    pub parallel: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            insecure_hosts: Vec::new(),
            credentials: BTreeMap::new(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            transfer_timeout: Duration::from_secs(30 * 60),
            attempts: 4,
            blob_limit: 16 << 30,
            parallel: 4,
        }
    }
}

/// What is presented to a registry.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Name and password; also to get a token.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret<String>,
    },
    /// A token that is sent as it is.
    Token(Secret<String>),
}

/// When to ask the registry, as Kubernetes' `imagePullPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask every time; transfer what is missing.
    Always,
    /// Ask only if the store does not hold the reference.
    IfNotPresent,
    /// Never ask.
    Never,
}

/// A client for registries. Clones share connections and tokens.
#[derive(Clone)]
pub struct Client {
    session: Arc<Session>,
}

impl Client {
    /// A client with these settings.
    pub fn new(config: ClientConfig) -> Result<Client> {
        Ok(Client { session: Arc::new(Session::new(config)?) })
    }

    /// The digest that a registry has for a reference now.
    pub async fn resolve(&self, reference: &Reference) -> Result<Digest> {
        if let Some(digest) = reference.digest {
            return Ok(digest);
        }
        Ok(self.fetch_manifest(reference).await?.digest)
    }

    /// The manifest or index that a registry has for a reference, checked against its digest.
    pub async fn fetch_manifest(&self, reference: &Reference) -> Result<StoredManifest> {
        self.session.manifest(reference, &reference.target()).await
    }

    /// A small blob, such as a configuration, checked against its digest.
    pub async fn fetch_blob(&self, reference: &Reference, blob: &Descriptor) -> Result<Vec<u8>> {
        self.session.small_blob(reference, blob, MANIFEST_LIMIT).await
    }

    /// The tags of a repository.
    pub async fn tags(&self, reference: &Reference) -> Result<Vec<String>> {
        self.session.tags(reference).await
    }

    /// Brings an image into the store and gives the digest of its manifest: of this machine's image if the reference
    /// names an index. References to our own registry are looked up in the store whatever the policy.
    pub async fn pull(&self, reference: &Reference, store: &Store, policy: PullPolicy) -> Result<Digest> {
        if let Some(digest) = pull::present(store, reference).await?
            && (policy != PullPolicy::Always
                || store.is_own(&reference.registry)
                || reference.digest.is_some())
        {
            return Ok(digest);
        }
        if policy == PullPolicy::Never || store.is_own(&reference.registry) {
            return Err(Error::NotFound { what: "image", name: reference.to_string() });
        }
        pull::pull(&self.session, reference, store).await
    }

    /// Sends an image of the store to a registry, with all it refers to, and gives it the reference's tag.
    pub async fn push(&self, store: &Store, digest: &Digest, reference: &Reference) -> Result<()> {
        push::push(&self.session, store, digest, reference).await
    }

    /// Gives a manifest of a registry another tag, without transferring layers.
    pub async fn retag(&self, reference: &Reference, tag: &str) -> Result<Digest> {
        let stored = self.fetch_manifest(reference).await?;
        let target = Target::Tag(reference.with_tag(tag)?.tag.unwrap_or_default());
        self.session.put_manifest(reference, &target, &stored).await?;
        Ok(stored.digest)
    }
}
