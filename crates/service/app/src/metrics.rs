//! What Prometheus reads.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, histogram::{Histogram, exponential_buckets}},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Class {
    class: String,
}

/// The application's counters.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    predictions: Family<Class, Counter>,
    seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("gourmetgram");
        let requests = Family::<Request, Counter>::default();
        let predictions = Family::<Class, Counter>::default();
        let seconds = Histogram::new(exponential_buckets(0.002, 2.0, 12));
        registry.register("requests", "Requests by route and status", requests.clone());
        registry.register("predictions", "Predictions by class", predictions.clone());
        registry.register("prediction_seconds", "Time of a prediction, waiting included", seconds.clone());
        Metrics { registry, requests, predictions, seconds }
    }

    pub(crate) fn answered(&self, route: &str, status: u16) {
        self.requests.get_or_create(&Request { route: route.to_owned(), status }).inc();
    }

    pub(crate) fn predicted(&self, class: &str, took: Duration) {
        self.predictions.get_or_create(&Class { class: class.to_owned() }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
