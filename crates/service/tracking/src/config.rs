//! What can be configured.

use std::path::PathBuf;

use serde::Deserialize;

/// Configuration of the tracking server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Config {
    /// Folder that holds all artifacts.
    pub artifact_dir: PathBuf,
    /// Largest artifact, in bytes.
    pub max_artifact_bytes: u64,
    /// Largest JSON request, in bytes.
    pub max_request_bytes: usize,
    /// Uploads at one time; more wait.
    pub max_uploads: usize,
    /// An upload ends if no bytes arrive for so many seconds.
    pub upload_idle_seconds: u64,
    /// Most entries of one artifact listing.
    pub max_listed_files: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            artifact_dir: PathBuf::from("artifacts"),
            max_artifact_bytes: 4 << 30,
            max_request_bytes: 16 << 20,
            max_uploads: 16,
            upload_idle_seconds: 60,
            max_listed_files: 10_000,
        }
    }
}
