//! Settings.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Settings of the application.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Folder with `model.onnx` and `contract.json`.
    pub model_dir: PathBuf,
    /// Largest upload, in bytes.
    pub max_upload_bytes: usize,
    /// Largest photo, in pixels.
    pub max_pixels: u64,
    /// Photos classified at one time; 0 means one for each core.
    pub workers: usize,
    /// Photos that wait for a worker; more are refused with 503.
    pub queue: usize,
    /// Seconds that one request may wait and work.
    pub request_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            model_dir: PathBuf::from("model"),
            max_upload_bytes: 20_000_000,
            max_pixels: 50_000_000,
            workers: 0,
            queue: 128,
            request_seconds: 30,
        }
    }
}
