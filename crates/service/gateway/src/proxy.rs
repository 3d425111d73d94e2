//! The reverse proxy: one request from a client to an endpoint and back.
//!
//! It knows a [`Table`] and a [`Dialer`], and nothing of Kubernetes. HTTP/1.1 and HTTP/2 without TLS come in,
//! HTTP/1.1 goes out over pooled connections. A request whose endpoint cannot be connected to goes to the next one, with
//! its body, for nothing of it was sent; a request without a body whose method is idempotent also after a broken
//! connection. Attempts are bounded. When every endpoint failed, the request waits a moment for a newer table: endpoints
//! that are being replaced are gone a little before the table knows.

mod body;
mod connect;
mod cooling;
mod dice;
mod filters;
mod forward;
mod mirror;
mod serve;
mod upgrade;

use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::body::Lent;
use self::connect::Connector;
use self::cooling::Cooling;
use self::dice::Dice;
use crate::config::Config;
use crate::dialer::Dialer;
use crate::metrics::Metrics;
use crate::table::Table;

/// Idle connections kept for each endpoint.
const IDLE_PER_ENDPOINT: usize = 64;
/// How long they are kept: shorter than common servers keep theirs.
const IDLE_FOR: std::time::Duration = std::time::Duration::from_secs(15);

/// The reverse proxy. Clones share everything.
#[derive(Clone)]
pub struct Proxy {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    table: ArcSwap<Table>,
    /// Counts tables, for requests that wait for the next one.
    tables: watch::Sender<u64>,
    client: Client<Connector, Lent>,
    cooling: Arc<Cooling>,
    dice: Dice,
    metrics: Metrics,
    mirrors: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Cancelled when the time to drain is over.
    end: CancellationToken,
}

impl Proxy {
    /// A proxy with an empty table. The same `seed` gives the same draws in the same order of requests.
    pub fn new(config: Config, dialer: Arc<dyn Dialer>, metrics: Metrics, seed: u64) -> Proxy {
        let cooling = Arc::new(Cooling::default());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_PER_ENDPOINT)
            .http1_max_buf_size(config.max_head_bytes.max(8192))
            .build(Connector::new(dialer, config.connect(), Arc::clone(&cooling)));
        let mirrors = Arc::new(Semaphore::new(config.max_mirrors));
        Proxy {
            inner: Arc::new(Inner {
                table: ArcSwap::default(),
                tables: watch::Sender::new(0),
                client,
                cooling,
                dice: Dice::new(seed),
                metrics,
                mirrors,
                tasks: TaskTracker::new(),
                end: CancellationToken::new(),
                config,
            }),
        }
    }

    /// Whether there was a table yet: before the first, every request would go astray.
    pub(crate) fn has_table(&self) -> bool {
        *self.inner.tables.borrow() > 0
    }

    /// Puts a new table in place. Requests that have begun keep theirs.
    pub fn set_table(&self, table: Table) {
        self.inner.cooling.set_groups(table.groups());
        self.inner.table.store(Arc::new(table));
        self.inner.tables.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests;
