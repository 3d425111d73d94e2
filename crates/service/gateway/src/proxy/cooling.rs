//! Endpoints that could not be connected to: tried last for a moment.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// How long an endpoint is tried last.
const FOR: Duration = Duration::from_secs(2);
/// Endpoints remembered; beyond that all is forgotten.
const LIMIT: usize = 1024;

/// Endpoints that could not be connected to a moment ago.
#[derive(Default)]
pub(super) struct Cooling(Mutex<HashMap<SocketAddr, Instant>>);

impl Cooling {
    /// Remembers a failure.
    pub(super) fn failed(&self, address: SocketAddr) {
        let mut failed = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if failed.len() >= LIMIT {
            failed.clear();
        }
        failed.insert(address, Instant::now());
    }

    /// The same endpoints in the same order, those that failed a moment ago last.
    pub(super) fn order(&self, endpoints: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let mut endpoints: Vec<SocketAddr> = endpoints.collect();
        let mut failed = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !failed.is_empty() {
            failed.retain(|_, when| when.elapsed() < FOR);
            endpoints.sort_by_key(|address| failed.contains_key(address));
        }
        endpoints
    }
}
