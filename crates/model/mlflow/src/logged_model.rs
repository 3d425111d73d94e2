//! Logged models: what `log_model` of a 3.x client makes before anything is registered.

use serde::{Deserialize, Serialize};

use crate::{KeyValue, Metric, number};

/// Whether a logged model's files are complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoggedModelStatus {
    /// Unknown.
    #[serde(rename = "LOGGED_MODEL_STATUS_UNSPECIFIED")]
    Unspecified,
    /// Files are being uploaded.
    #[default]
    #[serde(rename = "LOGGED_MODEL_PENDING")]
    Pending,
    /// All files are there.
    #[serde(rename = "LOGGED_MODEL_READY")]
    Ready,
    /// The upload failed.
    #[serde(rename = "LOGGED_MODEL_UPLOAD_FAILED")]
    Failed,
}

impl LoggedModelStatus {
    /// The number in storage and in filters.
    pub const fn number(self) -> i64 {
        match self {
            LoggedModelStatus::Unspecified => 0,
            LoggedModelStatus::Pending => 1,
            LoggedModelStatus::Ready => 2,
            LoggedModelStatus::Failed => 3,
        }
    }

    /// Reads the name or the number.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "LOGGED_MODEL_STATUS_UNSPECIFIED" | "0" => Some(LoggedModelStatus::Unspecified),
            "LOGGED_MODEL_PENDING" | "PENDING" | "1" => Some(LoggedModelStatus::Pending),
            "LOGGED_MODEL_READY" | "READY" | "2" => Some(LoggedModelStatus::Ready),
            "LOGGED_MODEL_UPLOAD_FAILED" | "FAILED" | "3" => Some(LoggedModelStatus::Failed),
            _ => None,
        }
    }
}

/// What a logged model is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoggedModelInfo {
    /// `m-` and 32 hexadecimal letters.
    pub model_id: String,
    /// The experiment it belongs to.
    pub experiment_id: String,
    /// A name for people; not unique.
    #[serde(default)]
    pub name: String,
    /// Milliseconds since 1970.
    #[serde(default, with = "number::int")]
    pub creation_timestamp_ms: i64,
    /// Milliseconds since 1970.
    #[serde(default, with = "number::int")]
    pub last_updated_timestamp_ms: i64,
    /// Root of its files.
    #[serde(default)]
    pub artifact_uri: String,
    /// Whether its files are complete.
    #[serde(default)]
    pub status: LoggedModelStatus,
    /// What sort of model, free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_type: Option<String>,
    /// The run that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_run_id: Option<String>,
    /// Tags, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
}

/// What was logged to a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoggedModelData {
    /// Parameters, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<KeyValue>,
    /// Metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
}

/// A logged model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoggedModel {
    /// What it is.
    pub info: LoggedModelInfo,
    /// What was logged.
    #[serde(default)]
    pub data: LoggedModelData,
}
