//! Grants: which namespaces may refer to objects of this one.

use serde::{Deserialize, Serialize};

use crate::Metadata;

/// Lets objects of other namespaces refer to objects of the grant's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReferenceGrant {
    /// Name and namespace.
    pub metadata: Metadata,
    /// Who may refer to what.
    pub spec: ReferenceGrantSpec,
}

/// Who may refer to what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReferenceGrantSpec {
    /// Who may refer.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// Objects that may refer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantFrom {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
}

/// Objects that may be referred to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantTo {
    /// API group; empty for the core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// One object; every one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl ReferenceGrant {
    /// Whether HTTP routes of `from` may send requests to the Service `name` in the grant's namespace.
    pub fn lets_routes_reach(&self, from: &str, name: &str) -> bool {
        let who = |f: &GrantFrom| f.group == crate::GROUP && f.kind == "HTTPRoute" && f.namespace == from;
        let what = |to: &GrantTo| {
            to.group.is_empty() && to.kind == "Service" && to.name.as_deref().is_none_or(|only| only == name)
        };
        self.spec.from.iter().any(who) && self.spec.to.iter().any(what)
    }
}
