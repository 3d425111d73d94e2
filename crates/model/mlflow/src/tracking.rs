//! Experiments, runs, and what is logged to them.

use serde::{Deserialize, Serialize};

use crate::number;

/// A tag or a parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// Its name.
    pub key: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

impl KeyValue {
    /// A pair.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        KeyValue { key: key.into(), value: value.into() }
    }
}

/// Whether an experiment or a run is in use or in the bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleStage {
    /// In use.
    #[default]
    Active,
    /// Deleted, can be restored.
    Deleted,
}

impl LifecycleStage {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            LifecycleStage::Active => "active",
            LifecycleStage::Deleted => "deleted",
        }
    }
}

/// Which stages a search looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ViewType {
    /// What is in use.
    #[default]
    ActiveOnly,
    /// What was deleted.
    DeletedOnly,
    /// Everything.
    All,
}

impl ViewType {
    /// Reads `ACTIVE_ONLY`, `DELETED_ONLY`, `ALL`, or the numbers 1 to 3.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ACTIVE_ONLY" | "1" => Some(ViewType::ActiveOnly),
            "DELETED_ONLY" | "2" => Some(ViewType::DeletedOnly),
            "ALL" | "3" => Some(ViewType::All),
            _ => None,
        }
    }
}

/// A folder of runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Decimal number as text.
    pub experiment_id: String,
    /// Unique name.
    pub name: String,
    /// Root of its runs' artifacts.
    #[serde(default)]
    pub artifact_location: String,
    /// In use or deleted.
    #[serde(default)]
    pub lifecycle_stage: LifecycleStage,
    /// Milliseconds since 1970.
    #[serde(default, with = "number::optional_int", skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<i64>,
    /// Milliseconds since 1970.
    #[serde(default, with = "number::optional_int", skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<i64>,
    /// Its tags, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
}

/// How a run is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// At work.
    #[default]
    Running,
    /// Will start.
    Scheduled,
    /// Ended well.
    Finished,
    /// Ended badly.
    Failed,
    /// Was ended.
    Killed,
}

impl RunStatus {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            RunStatus::Running => "RUNNING",
            RunStatus::Scheduled => "SCHEDULED",
            RunStatus::Finished => "FINISHED",
            RunStatus::Failed => "FAILED",
            RunStatus::Killed => "KILLED",
        }
    }

    /// Reads the name or the number (1 to 5).
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "RUNNING" | "1" => Some(RunStatus::Running),
            "SCHEDULED" | "2" => Some(RunStatus::Scheduled),
            "FINISHED" | "3" => Some(RunStatus::Finished),
            "FAILED" | "4" => Some(RunStatus::Failed),
            "KILLED" | "5" => Some(RunStatus::Killed),
            _ => None,
        }
    }
}

/// What a run is, without what was logged to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// 32 hexadecimal letters.
    pub run_id: String,
    /// The same, under its old name.
    #[serde(default)]
    pub run_uuid: String,
    /// A name for people.
    #[serde(default)]
    pub run_name: String,
    /// The experiment it belongs to.
    #[serde(default)]
    pub experiment_id: String,
    /// Who started it.
    #[serde(default)]
    pub user_id: String,
    /// How it is doing.
    #[serde(default)]
    pub status: RunStatus,
    /// Milliseconds since 1970.
    #[serde(default, with = "number::int")]
    pub start_time: i64,
    /// Milliseconds since 1970.
    #[serde(default, with = "number::optional_int", skip_serializing_if = "Option::is_none")]
    pub end_time: Option<i64>,
    /// Root of its artifacts.
    #[serde(default)]
    pub artifact_uri: String,
    /// In use or deleted.
    #[serde(default)]
    pub lifecycle_stage: LifecycleStage,
}

/// One value of a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub key: String,
    /// Its value; may be `NaN`.
    #[serde(with = "number::double")]
    pub value: f64,
    /// Milliseconds since 1970.
    #[serde(default, with = "number::int")]
    pub timestamp: i64,
    /// Position in a series, such as the epoch.
    #[serde(default, with = "number::int")]
    pub step: i64,
    /// The logged model it was measured on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// The data set it was measured on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_name: Option<String>,
    /// Digest of that data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_digest: Option<String>,
    /// The run that measured it; only filled for metrics of a logged model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

/// What was logged to a run: the latest value of each metric, parameters, tags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunData {
    /// Latest value of each metric, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// Parameters, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<KeyValue>,
    /// Tags, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
}

/// A data set as it was when a run used it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its fingerprint.
    #[serde(default)]
    pub digest: String,
    /// What kind of place it came from.
    #[serde(default)]
    pub source_type: String,
    /// Where it came from.
    #[serde(default)]
    pub source: String,
    /// Its columns, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Its statistics, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// A data set used by a run, with tags such as `mlflow.data.context`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetInput {
    /// What it was used for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
    /// The data set.
    #[serde(default)]
    pub dataset: Dataset,
}

/// A logged model used by a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInput {
    /// Its id.
    pub model_id: String,
}

/// A logged model made by a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOutput {
    /// Its id.
    pub model_id: String,
    /// At which step.
    #[serde(default, with = "number::int")]
    pub step: i64,
}

/// What a run used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInputs {
    /// Data sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dataset_inputs: Vec<DatasetInput>,
    /// Models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_inputs: Vec<ModelInput>,
}

/// What a run made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOutputs {
    /// Models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_outputs: Vec<ModelOutput>,
}

/// A run with everything that belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What it is.
    pub info: RunInfo,
    /// What was logged.
    #[serde(default)]
    pub data: RunData,
    /// What it used.
    #[serde(default)]
    pub inputs: RunInputs,
    /// What it made.
    #[serde(default)]
    pub outputs: RunOutputs,
}

impl Run {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.data.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
    }

    /// The value of a parameter.
    pub fn param(&self, key: &str) -> Option<&str> {
        self.data.params.iter().find(|param| param.key == key).map(|param| param.value.as_str())
    }

    /// The latest value of a metric.
    pub fn metric(&self, key: &str) -> Option<f64> {
        self.data.metrics.iter().find(|metric| metric.key == key).map(|metric| metric.value)
    }
}

/// One entry of an artifact listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Path, relative to the root that was listed.
    pub path: String,
    /// A folder or a file.
    #[serde(default)]
    pub is_dir: bool,
    /// Size of a file in bytes.
    #[serde(default, with = "number::optional_int", skip_serializing_if = "Option::is_none")]
    pub file_size: Option<i64>,
}
