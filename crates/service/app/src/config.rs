//! Settings of the application.

use std::path::PathBuf;
use std::time::Duration;

use galley_ml::PhotoLimits;
use serde::{Deserialize, Serialize};

/// Settings of the application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Folder with `model.onnx` and `contract.json`, or an ONNX file.
    pub model_dir: PathBuf,
    /// Version to report; the contract's without it.
    pub version: Option<String>,
    /// Image to report, `repository@sha256:...`.
    pub image: Option<String>,
    /// Environment to report: staging, canary or production.
    pub environment: Option<String>,
    /// Largest photo in bytes.
    pub max_upload_bytes: usize,
    /// Largest photo in pixels.
    pub max_pixels: u64,
    /// Photos worked on at a time; 0 means one for each core.
    pub workers: usize,
    /// Requests with a photo that may wait; more are told to come back.
    pub queue: usize,
    /// Seconds in which a request must be read and answered.
    pub deadline_seconds: u64,
    /// Seconds in which open requests may finish when the server is stopped.
    pub drain_seconds: u64,
    /// Photos in one request at most.
    pub max_photos: usize,
    /// Seconds between looks for a new model; 0 means never.
    pub reload_seconds: u64,
    /// Folder for photos, answers and what people say of them; nothing is kept without it.
    pub feedback_dir: Option<PathBuf>,
    /// Most bytes that it may hold.
    pub feedback_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        let limits = PhotoLimits::default();
        Config {
            model_dir: PathBuf::from("/model"),
            version: None,
            image: None,
            environment: None,
            max_upload_bytes: limits.max_bytes,
            max_pixels: limits.max_pixels,
            workers: 0,
            queue: 64,
            deadline_seconds: 30,
            drain_seconds: 10,
            max_photos: 16,
            reload_seconds: 2,
            feedback_dir: None,
            feedback_bytes: 512 << 20,
        }
    }
}

impl Config {
    /// Limits of one photo.
    pub(crate) fn limits(&self) -> PhotoLimits {
        PhotoLimits { max_bytes: self.max_upload_bytes, max_pixels: self.max_pixels }
    }

    /// Photos worked on at a time.
    pub(crate) fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        }
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_seconds.max(1))
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}
