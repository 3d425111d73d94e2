//! `galley.yaml`: what to train and what to demand of it.

use galley_problem::{Kind, Problem};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelFile {
    /// Registered model's name.
    pub model: String,
    /// Where the photos come from.
    #[serde(default)]
    pub data: Data,
    /// Seed of everything random in training.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// How to train.
    #[serde(default)]
    pub training: Training,
    /// What a candidate must show.
    #[serde(default)]
    pub gates: Gates,
}

fn default_seed() -> u64 {
    11
}

/// Where the photos come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Data {
    /// `builtin` for the feature set inside the binary, else a folder `<split>/<class>/*.jpg`.
    pub source: String,
}

impl Default for Data {
    fn default() -> Self {
        Data { source: "builtin".into() }
    }
}

/// How the head is trained on the backbone's features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Training {
    /// Passes over the training split.
    pub epochs: u32,
    /// Examples per step.
    pub batch_size: usize,
    /// Step size at the start; falls to zero along a cosine.
    pub learning_rate: f32,
    /// L2 penalty.
    pub weight_decay: f32,
    /// Share of probability spread over the other classes.
    pub label_smoothing: f32,
    /// Negative control: trains on labels in random order. Such a candidate must be stopped by the evaluation gate.
    pub shuffle_labels: bool,
}

impl Default for Training {
    fn default() -> Self {
        Training {
            epochs: 40,
            batch_size: 64,
            learning_rate: 0.001,
            weight_decay: 0.05,
            label_smoothing: 0.1,
            shuffle_labels: false,
        }
    }
}

/// What a candidate must show at each gate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Gates {
    /// On the test split, before registration.
    pub evaluation: EvaluationGates,
    /// Load test in staging.
    pub staging: LoadGates,
    /// In canary, before production.
    pub canary: CanaryGates,
}

/// Limits on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EvaluationGates {
    /// Lowest accuracy, 0 to 1.
    pub min_accuracy: f64,
    /// Lowest recall of any class, 0 to 1.
    pub min_class_recall: f64,
    /// Highest expected calibration error, 0 to 1.
    pub max_calibration_error: f64,
    /// Highest 95th percentile of one prediction's time, milliseconds.
    pub max_latency_ms: f64,
    /// A candidate is worse than production if it loses more than this accuracy on the same photos ...
    pub max_accuracy_drop: f64,
    /// ... and McNemar's exact test says so at this level.
    pub significance: f64,
}

impl Default for EvaluationGates {
    fn default() -> Self {
        EvaluationGates {
            min_accuracy: 0.75,
            min_class_recall: 0.4,
            max_calibration_error: 0.15,
            max_latency_ms: 500.0,
            max_accuracy_drop: 0.02,
            significance: 0.05,
        }
    }
}

/// Limits of a load test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LoadGates {
    /// Requests to send.
    pub requests: u32,
    /// Requests at one time.
    pub concurrency: u32,
    /// Lowest share answered well, 0 to 1.
    pub min_success_rate: f64,
    /// Highest 95th percentile, milliseconds.
    pub max_p95_ms: f64,
}

impl Default for LoadGates {
    fn default() -> Self {
        LoadGates { requests: 100, concurrency: 10, min_success_rate: 0.95, max_p95_ms: 2000.0 }
    }
}

/// Limits in canary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CanaryGates {
    /// Requests to send through canary, the same ones to production if a version runs there.
    pub requests: u32,
    /// Highest share of failed requests, 0 to 1.
    pub max_error_rate: f64,
    /// Highest 95th percentile, milliseconds.
    pub max_p95_ms: f64,
    /// Lowest share of photos on which canary and production agree, 0 to 1; not asked of the first version.
    pub min_agreement: f64,
}

impl Default for CanaryGates {
    fn default() -> Self {
        CanaryGates { requests: 60, max_error_rate: 0.01, max_p95_ms: 2000.0, min_agreement: 0.7 }
    }
}

impl ModelFile {
    /// Digest of everything that decides the trained model: model, data, seed and training. Gates do not change what
    /// is trained, so they are left out.
    pub fn training_digest(&self) -> String {
        let decisive = serde_json::json!({
            "model": self.model, "data": self.data, "seed": self.seed, "training": self.training,
        });
        hex::encode(Sha256::digest(decisive.to_string()))
    }
}

/// Reads `galley.yaml` and checks its ranges.
///
/// # Errors
/// A [`Problem`] with file, line and column.
pub fn parse_model_file(file: &str, text: &str) -> Result<ModelFile, Problem> {
    let model: ModelFile = galley_yaml::from_str(file, text)?;
    let bad = |pointer: &str, what: &str| {
        let (line, column) = galley_yaml::locate(text, pointer).unwrap_or((0, 0));
        Problem::new("G0102", Kind::Invalid, what.to_owned()).at(file, line, column)
    };
    if model.model.is_empty() {
        return Err(bad("/model", "The registered model needs a name."));
    }
    let training = &model.training;
    if training.epochs == 0 || training.epochs > 10_000 {
        return Err(bad("/training/epochs", "`epochs` must lie between 1 and 10000."));
    }
    if training.batch_size == 0 {
        return Err(bad("/training/batchSize", "`batchSize` must be at least 1."));
    }
    if !(training.learning_rate > 0.0 && training.learning_rate.is_finite()) {
        return Err(bad("/training/learningRate", "`learningRate` must be above 0."));
    }
    if !(0.0..1.0).contains(&training.label_smoothing) {
        return Err(bad("/training/labelSmoothing", "`labelSmoothing` must lie between 0 and 1."));
    }
    Ok(model)
}
