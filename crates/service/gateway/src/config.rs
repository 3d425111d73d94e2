//! Settings of the gateway.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The bound port (a key of [`crate::Deps::listeners`]) that serves listeners whose own port nobody bound.
    pub default_port: Option<u16>,
    /// Whether backends without endpoints are left out of the draw while others have some.
    pub skip_empty_backends: bool,
    /// Addresses that are shown in the status of gateways.
    pub addresses: Vec<String>,
    /// Milliseconds for a connection to an endpoint.
    pub connect_milliseconds: u64,
    /// Seconds until the response's headers, unless the route says otherwise.
    pub request_seconds: u64,
    /// Seconds of silence in a body after which it is ended. Upgraded connections may be silent.
    pub idle_seconds: u64,
    /// Seconds that open requests get to end at shutdown.
    pub drain_seconds: u64,
    /// Endpoints that are tried for one request.
    pub attempts: usize,
    /// Most open connections from clients.
    pub max_connections: usize,
    /// Largest request or response head in bytes.
    pub max_head_bytes: usize,
    /// Largest body that is copied to a mirror, in bytes; larger requests are not mirrored.
    pub max_mirror_bytes: usize,
    /// Most copies on their way to mirrors; more are dropped.
    pub max_mirrors: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            default_port: None,
            skip_empty_backends: true,
            addresses: vec!["127.0.0.1".to_owned()],
            connect_milliseconds: 2000,
            request_seconds: 60,
            idle_seconds: 300,
            drain_seconds: 10,
            attempts: 3,
            max_connections: 10_000,
            max_head_bytes: 64 << 10,
            max_mirror_bytes: 16 << 20,
            max_mirrors: 64,
        }
    }
}

impl Config {
    pub(crate) fn connect(&self) -> Duration {
        Duration::from_millis(self.connect_milliseconds)
    }

    pub(crate) fn request(&self) -> Duration {
        Duration::from_secs(self.request_seconds)
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}
