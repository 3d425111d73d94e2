//! Putting the server together.

use std::{path::PathBuf, sync::Arc};

use axum::Router;
use galley_problem::{Kind, Problem};
use galley_store::{Database, tracking::Tracking};
use galley_units::Clock;

use crate::{api, config::Config, files::Files, page, proxy};

/// Whether a token may write.
pub type Authorize = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What the server needs from its house.
#[derive(Clone)]
pub struct Deps {
    /// Opened with `galley_store::tracking::MIGRATION`.
    pub database: Database,
    /// Tells the time of changes.
    pub clock: Arc<dyn Clock>,
    /// Whether a token may write; without it everybody may.
    pub authorize: Option<Authorize>,
}

/// Why the server cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The artifact folder cannot be used.
    #[error("preparing the artifact folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let Error::Folder { path, .. } = &error;
        Problem::new("G0901", Kind::Io, format!("The artifact folder {} cannot be used.", path.display()))
            .because(&error)
            .try_this("Check that the folder exists, can be written to, and that the disk is not full.")
    }
}

/// What every handler sees.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) store: Tracking,
    pub(crate) files: Files,
    pub(crate) authorize: Option<Authorize>,
    clock: Arc<dyn Clock>,
}

impl std::ops::Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Shared {
    /// Milliseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.0.clock.now().as_millisecond()
    }
}

/// The tracking server, ready to be served.
#[derive(Clone)]
pub struct Service {
    shared: Shared,
    max_request_bytes: usize,
}

impl Service {
    /// Prepares the artifact folder and puts the server together.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn new(config: Config, deps: Deps) -> Result<Self, Error> {
        let files = Files::open(&config)
            .map_err(|source| Error::Folder { path: config.artifact_dir.clone(), source })?;
        let parts = Parts {
            store: Tracking::new(deps.database),
            files,
            authorize: deps.authorize,
            clock: deps.clock,
        };
        Ok(Service { shared: Shared(Arc::new(parts)), max_request_bytes: config.max_request_bytes })
    }

    /// All routes.
    pub fn router(&self) -> Router {
        Router::new()
            .merge(page::routes())
            .merge(api::routes(&self.shared))
            // Artifacts have a limit of their own, so the limit of JSON requests must not reach them.
            .layer(axum::extract::DefaultBodyLimit::max(self.max_request_bytes))
            .merge(proxy::routes(&self.shared))
            .fallback(api::unknown)
            .with_state(self.shared.clone())
    }
}
