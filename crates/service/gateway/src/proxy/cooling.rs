//! Endpoints that could not be connected to: tried last for a moment, and not waited for while others are there.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

/// How long an endpoint that refused is tried last: it may be starting.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);
/// How long one that kept silent is: each attempt costs its whole deadline, and a lost machine is not back soon.
const AFTER_SILENCE: Duration = Duration::from_secs(15);
/// Endpoints remembered; beyond that all is forgotten.
const LIMIT: usize = 1024;

/// How long a connection is waited for while another endpoint could take the request.
const SHORT: Duration = Duration::from_millis(300);

/// Which endpoints could not be connected to a moment ago, and until when they are tried last.
#[derive(Default)]
pub(super) struct Cooling {
    failed: Mutex<HashMap<SocketAddr, Pause>>,
    /// For each endpoint all of its backend.
    groups: ArcSwap<HashMap<SocketAddr, Arc<[SocketAddr]>>>,
}

struct Pause {
    until: Instant,
    silent: bool,
}

impl Cooling {
    /// Takes note of which endpoints can stand in for each other.
    pub(super) fn set_groups<'a>(&self, groups: impl Iterator<Item = &'a [SocketAddr]>) {
        let mut known = HashMap::new();
        for group in groups {
            let shared: Arc<[SocketAddr]> = group.into();
            known.extend(group.iter().map(|address| (*address, Arc::clone(&shared))));
        }
        self.groups.store(Arc::new(known));
    }

    /// Remembers a failure.
    pub(super) fn failed(&self, address: SocketAddr, error: &(dyn Error + 'static)) {
        let silent = is_silence(error);
        let until = Instant::now() + if silent { AFTER_SILENCE } else { AFTER_REFUSAL };
        let mut failed = self.failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if failed.len() >= LIMIT {
            failed.clear();
        }
        failed.insert(address, Pause { until, silent });
    }

    /// The same endpoints in the same order, those that failed a moment ago last.
    pub(super) fn order(&self, endpoints: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let mut endpoints: Vec<SocketAddr> = endpoints.collect();
        self.look(|failed| {
            if !failed.is_empty() {
                endpoints.sort_by_key(|address| failed.contains_key(address));
            }
        });
        endpoints
    }

    /// Whether every one of these endpoints kept silent a moment ago.
    pub(super) fn all_silent(&self, endpoints: &[SocketAddr]) -> bool {
        let silent = |address| self.look(|failed| failed.get(address).is_some_and(|pause| pause.silent));
        !endpoints.is_empty() && endpoints.iter().all(silent)
    }

    /// How long to wait for a connection to an endpoint: not for long, if another one of its backend is well.
    pub(super) fn patience(&self, address: SocketAddr, whole: Duration) -> Duration {
        let groups = self.groups.load();
        let others = groups.get(&address).map_or(&[] as &[_], |group| group);
        let is_well = |other| self.look(|failed| !failed.contains_key(other));
        if others.iter().any(|other| *other != address && is_well(other)) { whole.min(SHORT) } else { whole }
    }

    fn look<T>(&self, at: impl FnOnce(&HashMap<SocketAddr, Pause>) -> T) -> T {
        let mut failed = self.failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !failed.is_empty() {
            let now = Instant::now();
            failed.retain(|_, pause| pause.until > now);
        }
        at(&failed)
    }
}

/// Whether nobody said anything: what a lost machine looks like, while a lost program refuses.
pub(super) fn is_silence(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable))
}
