//! What the gateway counts.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the latency histogram, in seconds.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    backend: String,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BackendLabels {
    route: String,
    backend: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MirrorLabels {
    route: String,
    backend: String,
    outcome: &'static str,
}

/// Counters and histograms. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<BackendLabels, Histogram, fn() -> Histogram>,
    retries: Family<BackendLabels, Counter>,
    mirrors: Family<MirrorLabels, Counter>,
    connections: Gauge,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("galley_gateway");
        let requests = Family::<RequestLabels, Counter>::default();
        let seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        let retries = Family::<BackendLabels, Counter>::default();
        let mirrors = Family::<MirrorLabels, Counter>::default();
        let connections = Gauge::default();
        registry.register("requests", "Requests by route, backend and status", requests.clone());
        registry.register(
            "request_duration_seconds",
            "Time until the response's headers, by route and backend",
            seconds.clone(),
        );
        registry.register("retries", "Attempts after the first, by route and backend", retries.clone());
        registry.register("mirrors", "Copies of requests by route, backend and outcome", mirrors.clone());
        registry.register("connections", "Open connections from clients", connections.clone());
        Metrics { registry: Arc::new(registry), requests, seconds, retries, mirrors, connections }
    }
}

impl Metrics {
    /// Everything, in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Requests answered so far by a backend of a route with a status; `backend` is empty where none was reached.
    pub fn requests(&self, route: &str, backend: &str, code: u16) -> u64 {
        let labels = RequestLabels { route: route.to_owned(), backend: backend.to_owned(), code };
        self.requests.get(&labels).map_or(0, |counter| counter.get())
    }

    pub(crate) fn request(&self, route: &str, backend: &str, code: u16, took: Duration) {
        let labels = RequestLabels { route: route.to_owned(), backend: backend.to_owned(), code };
        self.requests.get_or_create(&labels).inc();
        if !backend.is_empty() {
            let labels = BackendLabels { route: route.to_owned(), backend: backend.to_owned() };
            self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
        }
    }

    pub(crate) fn retry(&self, route: &str, backend: &str) {
        let labels = BackendLabels { route: route.to_owned(), backend: backend.to_owned() };
        self.retries.get_or_create(&labels).inc();
    }

    pub(crate) fn mirror(&self, route: &str, backend: &str, outcome: &'static str) {
        let labels = MirrorLabels { route: route.to_owned(), backend: backend.to_owned(), outcome };
        self.mirrors.get_or_create(&labels).inc();
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connection(&self) -> impl Drop + Send + 'static {
        struct Open(Gauge);
        impl Drop for Open {
            fn drop(&mut self) {
                self.0.dec();
            }
        }
        self.connections.inc();
        Open(self.connections.clone())
    }
}
