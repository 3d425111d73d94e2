//! Parameters, artifacts and the places their values come from.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A text that may have been written as a number or a truth value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct AnyString(pub String);

impl AnyString {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for AnyString {
    fn from(text: &str) -> Self {
        AnyString(text.to_owned())
    }
}

impl From<String> for AnyString {
    fn from(text: String) -> Self {
        AnyString(text)
    }
}

impl<'de> Deserialize<'de> for AnyString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(AnyString(match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            Value::Number(number) => galley_expr::go_number(&number),
            other => galley_expr::go_json(&other),
        }))
    }
}

/// `arguments` of a workflow, step or task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Arguments {
    /// Parameters by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Artifacts by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
}

impl Arguments {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty() && self.artifacts.is_empty()
    }

    /// The parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// The artifact of this name.
    pub fn artifact(&self, name: &str) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.name == name)
    }
}

/// `inputs` of a template or node.
pub type Inputs = Arguments;

/// `outputs` of a template, node or workflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outputs {
    /// Parameters by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Artifacts by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// What the main container printed, if something reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The main container's exit code, in decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<String>,
}

impl Outputs {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Outputs::default()
    }
}

/// One parameter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Used when nothing else is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<AnyString>,
    /// The value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<AnyString>,
    /// Where the value comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
    /// The name under which the whole workflow sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_name: Option<String>,
    /// The allowed values.
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<AnyString>>,
    /// Words for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<AnyString>,
}

/// The source of a parameter's value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ValueFrom {
    /// A file in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A JSONPath into a resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
    /// A jq filter over a resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jq_filter: Option<String>,
    /// A selector over an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// A reference to another parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// Given by a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supplied: Option<Value>,
    /// A key of a ConfigMap: `name`, `key`, `optional`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<Value>,
    /// Used when the source gives nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<AnyString>,
    /// An expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

/// One artifact. Its location (s3, git, http, raw...) is kept as it was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Artifact {
    /// Its name.
    pub name: String,
    /// Where it lies in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A reference to another artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// An expression that gives another artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_expression: Option<String>,
    /// Whether it may be absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// A part of the artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
    /// The name under which the whole workflow sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_name: Option<String>,
    /// Location, archive, mode and the rest.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The fields of an artifact that name a location.
pub(crate) const LOCATIONS: [&str; 10] =
    ["s3", "git", "http", "artifactory", "hdfs", "raw", "oss", "gcs", "azure", "plugin"];

impl Artifact {
    /// Whether a location (or a key in the default repository) is given.
    pub fn has_location(&self) -> bool {
        LOCATIONS.iter().any(|kind| self.rest.contains_key(*kind))
    }

    /// The text of a raw artifact.
    pub fn raw(&self) -> Option<&str> {
        self.rest.get("raw")?.get("data")?.as_str()
    }
}
