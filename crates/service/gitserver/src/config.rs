//! What can be set.

use std::path::PathBuf;

use serde::Deserialize;

/// Where repositories are and how much of the machine their readers may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The folder that holds the bare repositories, each named `<name>.git`.
    pub folder: PathBuf,
    /// Exchanges at one time; more wait up to ten seconds and are then refused.
    pub concurrency: usize,
    /// Seconds one exchange may take.
    pub deadline_seconds: u64,
    /// Bytes of one push, unpacked from HTTP's compression.
    pub push_bytes: u64,
    /// The user name that goes with the token in Basic authentication.
    pub user: String,
    /// Whether repositories can be read without the token.
    pub anonymous_reads: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            folder: PathBuf::from("git"),
            concurrency: 16,
            deadline_seconds: 600,
            push_bytes: 1 << 30,
            user: "galley".into(),
            anonymous_reads: true,
        }
    }
}
