//! Speaks to an MLflow tracking server: ours, or any other of version 2.9 or later.
//!
//! [`Client`] has the calls that pipeline steps need, in MLflow's words. Every call has a deadline. A call that may be
//! repeated without harm is repeated a few times when the server cannot be reached or answers 429 or 5xx; a call that
//! makes something is repeated only if it never reached the server, so callers look for what they made (by tag) before
//! they make it again.
//!
//! Artifacts go through the server's proxy (`mlflow-artifacts:` and `http(s):` roots); object stores are not spoken to.

mod artifacts;
mod call;
mod error;
mod registry;
mod runs;

use std::{sync::Arc, time::Duration};

use galley_units::{Clock, Secret, SystemClock};

pub use error::Error;
pub use galley_mlflow::{
    Experiment, FileInfo, KeyValue, LoggedModel, Metric, ModelVersion, RegisteredModel, Run, RunStatus,
};
pub use runs::{MetricPoint, RunQuery};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How patient the client is, and how much it takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait for one answer, without artifacts.
    pub call: Duration,
    /// Longest wait for one artifact.
    pub transfer: Duration,
    /// Attempts for calls that may be repeated.
    pub attempts: u32,
    /// Wait before the second attempt; doubles each time.
    pub pause: Duration,
    /// Largest JSON answer, in bytes.
    pub max_answer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(5),
            call: Duration::from_secs(30),
            transfer: Duration::from_secs(600),
            attempts: 5,
            pause: Duration::from_millis(200),
            max_answer: 64 << 20,
        }
    }
}

/// A client of one tracking server; clones share its connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<Secret<String>>,
    limits: Limits,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `url`, such as `http://127.0.0.1:5000`. The token is sent as a bearer token.
    ///
    /// # Errors
    /// [`Error::Address`] if the address is not an HTTP address.
    pub fn new(url: &str, token: Option<Secret<String>>) -> Result<Self> {
        Client::with_limits(url, token, Limits::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// [`Error::Address`] if the address is not an HTTP address.
    pub fn with_limits(url: &str, token: Option<Secret<String>>, limits: Limits) -> Result<Self> {
        let address = |why: &str| Error::Address { url: url.to_owned(), why: why.to_owned() };
        let parsed = reqwest::Url::parse(url).map_err(|error| address(&error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(address("it must begin with http:// or https:// and name a host"));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(limits.connect)
            .redirect(reqwest::redirect::Policy::none())
            // The server is a neighbour; a proxy for the outside world does not know it.
            .no_proxy()
            .user_agent(concat!("galley/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| address(&error.to_string()))?;
        let base = url.trim_end_matches('/').to_owned();
        Ok(Client { http, base, token, limits, clock: Arc::new(SystemClock) })
    }

    /// Tells the time by another clock (start and end of runs, time of metrics).
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.base
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }
}
