//! Putting the dashboard together, and its run loop.

use std::sync::Arc;

use axum::Router;
use galley_units::Clock;
use kube::Client;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Link},
    routes,
    snapshot::Snapshot,
    watch::Watches,
};

/// Which version each environment's running application reports: environment and version. Called at every rendering,
/// so it must answer at once from what it knows.
pub type Versions = Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>;

/// What the dashboard needs from its house.
#[derive(Clone)]
pub struct Deps {
    /// Reads everything that is shown.
    pub client: Client,
    /// Tells the time, for ages and durations.
    pub clock: Arc<dyn Clock>,
    /// Which version each environment's running application reports.
    pub versions: Option<Versions>,
}

/// Why the dashboard cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A link leads to something that is no web address.
    #[error("the link `{name}` must lead to an http or https address, not to `{url}`")]
    Link {
        /// The link's name.
        name: String,
        /// Its address.
        url: String,
    },
}

/// What every handler sees.
pub(crate) struct Parts {
    pub(crate) title: String,
    pub(crate) links: Vec<Link>,
    pub(crate) hosts: Vec<String>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) shutdown: CancellationToken,
    clock: Arc<dyn Clock>,
    versions: Option<Versions>,
}

/// Shared by all handlers.
pub(crate) type Shared = Arc<Parts>;

impl Parts {
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.watches.snapshot();
        snapshot.reported = self.versions.as_ref().map(|versions| versions()).unwrap_or_default();
        snapshot
    }
}

/// The dashboard. Its router shows what [`Service::run`] watches.
#[derive(Clone)]
pub struct Service {
    shared: Shared,
    client: Client,
}

impl Service {
    /// Puts the dashboard together; nothing is read before [`Service::run`].
    ///
    /// # Errors
    /// [`Error::Link`].
    pub fn new(config: Config, deps: Deps) -> Result<Self, Error> {
        if let Some(link) = config.links.iter().find(|link| !is_web_address(&link.url)) {
            return Err(Error::Link { name: link.name.clone(), url: link.url.clone() });
        }
        let shared = Parts {
            title: config.title,
            links: config.links,
            hosts: config.hosts,
            watches: Watches::new(),
            streams: Arc::new(Semaphore::new(config.max_streams)),
            shutdown: CancellationToken::new(),
            clock: deps.clock,
            versions: deps.versions,
        };
        Ok(Service { shared: Arc::new(shared), client: deps.client })
    }

    /// All routes.
    pub fn router(&self) -> Router {
        routes::router(self.shared.clone())
    }

    /// Watches the API server until cancelled; then also ends the streams of open pages, so that the server can drain.
    pub async fn run(self, shutdown: CancellationToken) {
        let ended = self.shared.shutdown.clone().drop_guard();
        self.shared.watches.clone().run(self.client, shutdown).await;
        drop(ended);
    }
}

fn is_web_address(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}
