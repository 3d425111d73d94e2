//! What can be set.

use serde::Deserialize;

/// How Applications are reconciled.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The namespace that holds Applications and projects.
    pub namespace: String,
    /// Seconds after which an Application is looked at although nothing happened.
    pub resync_seconds: u64,
    /// Milliseconds that are waited for more news of the same kind before a turn begins.
    pub debounce_millis: u64,
    /// Applications reconciled at one time.
    pub concurrency: usize,
    /// Seconds one turn may take: fetching, rendering, comparing and applying one wave.
    pub turn_seconds: u64,
    /// Seconds an operation may wait for its waves and hooks before it fails.
    pub operation_seconds: u64,
    /// Seconds the objects of an Application that goes may take to go.
    pub deletion_seconds: u64,
    /// The Helm version that charts see.
    pub helm_version: String,
    /// API versions that charts see beside those the API server has.
    pub extra_api_versions: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            namespace: "argocd".into(),
            resync_seconds: 120,
            debounce_millis: 50,
            concurrency: 4,
            turn_seconds: 300,
            operation_seconds: 1800,
            deletion_seconds: 600,
            helm_version: "v3.20.2".into(),
            extra_api_versions: Vec::new(),
        }
    }
}
