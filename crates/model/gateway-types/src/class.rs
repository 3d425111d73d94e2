//! Classes of gateways: who looks after them.

use serde::{Deserialize, Serialize};

use crate::{Condition, Metadata};

/// A class of gateways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClass {
    /// Name and generation.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: GatewayClassSpec,
    /// What is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<GatewayClassStatus>,
}

/// What is wanted of a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassSpec {
    /// The controller, a path below a domain: `galley.dev/gateway`.
    pub controller_name: String,
}

/// The state of a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassStatus {
    /// `Accepted`.
    pub conditions: Vec<Condition>,
}
