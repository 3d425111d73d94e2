//! The service: what it holds, and its router.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use galley_oci::Store;
use galley_problem::{Kind, Problem};

use crate::auth::Authorize;
use crate::config::Config;
use crate::uploads::Uploads;

/// What the registry works with.
pub struct Deps {
    /// Where images are.
    pub store: Store,
    /// Says whether a token may write; without it everyone may.
    pub authorize: Option<Authorize>,
}

/// Why the registry cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A limit is zero.
    #[error("`{0}` must be greater than 0")]
    ZeroLimit(&'static str),
}

impl Error {
    /// The error as a person reads it.
    pub fn problem(&self) -> Problem {
        Problem::new("G0820", Kind::Config, "The registry's configuration is not valid.")
            .because(self)
            .try_this("Correct the value, or remove it to use the default.")
    }
}

/// The registry. Clones share everything.
#[derive(Clone)]
pub struct Service {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) authorize: Option<Authorize>,
    pub(crate) uploads: Uploads,
}

impl Service {
    /// Builds the registry.
    pub fn new(config: Config, deps: Deps) -> Result<Service, Error> {
        for (name, value) in [
            ("maxBlobBytes", config.max_blob_bytes),
            ("maxUploads", config.max_uploads as u64),
            ("maxPage", config.max_page as u64),
            ("uploadIdleSeconds", config.upload_idle_seconds),
        ] {
            if value == 0 {
                return Err(Error::ZeroLimit(name));
            }
        }
        let uploads = Uploads::new(config.max_uploads, Duration::from_secs(config.upload_idle_seconds));
        Ok(Service {
            inner: Arc::new(Inner { config, store: deps.store, authorize: deps.authorize, uploads }),
        })
    }

    /// The routes: everything below `/v2/`.
    pub fn router(&self) -> Router {
        Router::new().fallback(crate::api::dispatch).with_state(self.clone())
    }
}
