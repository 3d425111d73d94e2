//! What Prometheus reads at `/metrics`, in the OpenMetrics text format.

use std::sync::atomic::AtomicU64;

use galley_ml::CLASSES;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::state::Classified;

/// Content type of the text.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    version: String,
}

/// All metrics of the application. Labels are bounded: known routes, statuses, classes and one version.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    predictions: Family<ClassLabels, Counter>,
    confidence: Histogram,
    work: Histogram,
    stages: Family<StageLabels, Histogram>,
    flags: Family<ClassLabels, Counter>,
    corrections: Family<ClassLabels, Counter>,
    swaps: Counter,
    failed_swaps: Counter,
    model: Family<ModelLabels, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let durations: Family<RouteLabels, Histogram> = Family::new_with_constructor(seconds);
        let stages: Family<StageLabels, Histogram> = Family::new_with_constructor(fine_seconds);
        let metrics = Metrics {
            registry: Registry::default(),
            requests: Family::default(),
            durations,
            predictions: Family::default(),
            confidence: Histogram::new((1..=19).map(|step| f64::from(step) / 20.0)),
            work: seconds(),
            stages,
            flags: Family::default(),
            corrections: Family::default(),
            swaps: Counter::default(),
            failed_swaps: Counter::default(),
            model: Family::default(),
        };
        for class in CLASSES {
            drop(metrics.predictions.get_or_create(&ClassLabels { class }));
        }
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("gourmetgram_requests", "Requests answered", self.requests.clone());
        registry.register_with_unit(
            "gourmetgram_request_duration",
            "Time from a request to its answer",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("gourmetgram_predictions", "Predictions by class", self.predictions.clone());
        registry.register(
            "gourmetgram_prediction_confidence",
            "Probability of the likeliest class",
            self.confidence.clone(),
        );
        registry.register_with_unit(
            "gourmetgram_prediction_work",
            "Time of decoding and classifying one photo",
            Unit::Seconds,
            self.work.clone(),
        );
        registry.register_with_unit(
            "gourmetgram_stage_duration",
            "Time of each part of a prediction",
            Unit::Seconds,
            self.stages.clone(),
        );
        registry.register("gourmetgram_flags", "Answers that somebody calls wrong", self.flags.clone());
        registry.register(
            "gourmetgram_corrections",
            "Classes that somebody calls right",
            self.corrections.clone(),
        );
        registry.register(
            "gourmetgram_model_swaps",
            "Models that took over while serving",
            self.swaps.clone(),
        );
        registry.register(
            "gourmetgram_model_swap_failures",
            "Models that were found and did not load",
            self.failed_swaps.clone(),
        );
        registry.register("gourmetgram_model_ready", "1 if this version is loaded", self.model.clone());
        self
    }

    pub(crate) fn model_ready(&self, version: &str) {
        self.model.get_or_create(&ModelLabels { version: version.to_owned() }).set(1.0);
    }

    pub(crate) fn model_gone(&self, version: &str) {
        self.model.remove(&ModelLabels { version: version.to_owned() });
    }

    pub(crate) fn model_swapped(&self) {
        self.swaps.inc();
    }

    pub(crate) fn model_refused(&self) {
        self.failed_swaps.inc();
    }

    /// Somebody says that an answer is wrong; `class` is one of the known ones.
    pub(crate) fn flagged(&self, class: &str) {
        if let Some(class) = CLASSES.into_iter().find(|known| *known == class) {
            self.flags.get_or_create(&ClassLabels { class }).inc();
        }
    }

    /// Somebody says which class is right.
    pub(crate) fn corrected(&self, class: &str) {
        if let Some(class) = CLASSES.into_iter().find(|known| *known == class) {
            self.corrections.get_or_create(&ClassLabels { class }).inc();
        }
    }

    pub(crate) fn answered(&self, route: &str, status: u16, seconds: f64) {
        let route = route.to_owned();
        self.requests.get_or_create(&RequestLabels { route: route.clone(), status }).inc();
        self.durations.get_or_create(&RouteLabels { route }).observe(seconds);
    }

    pub(crate) fn predicted(&self, classified: &Classified) {
        let prediction = &classified.prediction;
        self.predictions.get_or_create(&ClassLabels { class: prediction.name() }).inc();
        self.confidence.observe(f64::from(prediction.confidence()));
        self.work.observe(classified.seconds);
        let stages = classified.stages;
        for (stage, seconds) in [
            ("queue", stages.queue),
            ("decode", stages.decode),
            ("resize", stages.resize),
            ("infer", stages.infer),
        ] {
            self.stages.get_or_create(&StageLabels { stage }).observe(seconds);
        }
    }

    /// The text that Prometheus reads.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn fine_seconds() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0])
}

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0])
}
