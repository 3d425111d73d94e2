//! Endpoints that could not be connected to: tried last for a moment.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// How long an endpoint that refused is tried last: it may be starting.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);
/// How long one that kept silent is: each attempt costs its whole deadline, and a lost machine is not back soon.
const AFTER_SILENCE: Duration = Duration::from_secs(15);
/// Endpoints remembered; beyond that all is forgotten.
const LIMIT: usize = 1024;

/// Endpoints that could not be connected to a moment ago, and until when they are tried last.
#[derive(Default)]
pub(super) struct Cooling(Mutex<HashMap<SocketAddr, Instant>>);

impl Cooling {
    /// Remembers a failure.
    pub(super) fn failed(&self, address: SocketAddr, error: &(dyn Error + 'static)) {
        let mut failed = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if failed.len() >= LIMIT {
            failed.clear();
        }
        let pause = if is_silence(error) { AFTER_SILENCE } else { AFTER_REFUSAL };
        failed.insert(address, Instant::now() + pause);
    }

    /// The same endpoints in the same order, those that failed a moment ago last.
    pub(super) fn order(&self, endpoints: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let mut endpoints: Vec<SocketAddr> = endpoints.collect();
        let mut failed = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !failed.is_empty() {
            let now = Instant::now();
            failed.retain(|_, until| *until > now);
            endpoints.sort_by_key(|address| failed.contains_key(address));
        }
        endpoints
    }
}

/// Whether nobody said anything: what a lost machine looks like, while a lost program refuses.
pub(super) fn is_silence(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable))
}
