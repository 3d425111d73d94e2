//! Registered models, their versions and aliases.

use serde::{Deserialize, Serialize};

use crate::{ApiError, KeyValue, number};

/// A name for a version, such as `production`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The name.
    pub alias: String,
    /// The version, a decimal number as text.
    pub version: String,
}

/// The four stages that versions had before aliases; still served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// No stage.
    #[default]
    None,
    /// Under test.
    Staging,
    /// In use.
    Production,
    /// Put away.
    Archived,
}

impl Stage {
    /// All stages, in MLflow's order.
    pub const ALL: [Stage; 4] = [Stage::None, Stage::Staging, Stage::Production, Stage::Archived];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::None => "None",
            Stage::Staging => "Staging",
            Stage::Production => "Production",
            Stage::Archived => "Archived",
        }
    }

    /// Reads a stage in any case.
    ///
    /// # Errors
    /// The error that MLflow gives.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        Stage::ALL.into_iter().find(|stage| stage.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            ApiError::invalid(format!(
                "Invalid Model Version stage: {text}. Value must be one of None, Staging, Production, Archived."
            ))
        })
    }

    /// Only one version should hold it at a time.
    pub const fn is_active(self) -> bool {
        matches!(self, Stage::Staging | Stage::Production)
    }
}

/// A version of a registered model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// The registered model.
    pub name: String,
    /// Decimal number as text.
    pub version: String,
    /// Milliseconds since 1970.
    #[serde(default, with = "number::int")]
    pub creation_timestamp: i64,
    /// Milliseconds since 1970.
    #[serde(default, with = "number::int")]
    pub last_updated_timestamp: i64,
    /// One of [`Stage`]'s names.
    #[serde(default)]
    pub current_stage: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Where it was registered from.
    #[serde(default)]
    pub source: String,
    /// The run that made it; empty if unknown.
    #[serde(default)]
    pub run_id: String,
    /// `READY` once it can be used.
    #[serde(default)]
    pub status: String,
    /// Link to the run on another server.
    #[serde(default)]
    pub run_link: String,
    /// Tags, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
    /// The aliases that point here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

impl ModelVersion {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
    }

    /// The version as a number; 0 if it is none.
    pub fn number(&self) -> u64 {
        self.version.parse().unwrap_or(0)
    }
}

/// A name under which versions are registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredModel {
    /// Unique name.
    pub name: String,
    /// Milliseconds since 1970.
    #[serde(default, with = "number::int")]
    pub creation_timestamp: i64,
    /// Milliseconds since 1970.
    #[serde(default, with = "number::int")]
    pub last_updated_timestamp: i64,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// The newest version of each stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latest_versions: Vec<ModelVersion>,
    /// Tags, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<KeyValue>,
    /// Aliases, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
}
