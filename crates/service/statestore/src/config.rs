//! Settings.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a store is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder for everything; made for its owner only.
    pub folder: PathBuf,
    /// Largest state, in bytes.
    pub largest: usize,
    /// How many versions of a state are kept.
    pub keep: usize,
    /// How many states there may be.
    pub states: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { folder: PathBuf::from("infra-state"), largest: 32 << 20, keep: 200, states: 200 }
    }
}
