//! Settings of the registry.

use serde::{Deserialize, Serialize};

/// Settings of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Whether reading needs the token too. `docker push` only logs in at registries that ask for it at every request.
    pub require_login: bool,
    /// Largest blob that is accepted, in bytes.
    pub max_blob_bytes: u64,
    /// Most uploads in progress.
    pub max_uploads: usize,
    /// Seconds after which an upload that receives nothing is forgotten.
    pub upload_idle_seconds: u64,
    /// Most names in one page of a list.
    pub max_page: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            require_login: false,
            max_blob_bytes: 16 << 30,
            max_uploads: 128,
            upload_idle_seconds: 600,
            max_page: 1000,
        }
    }
}
