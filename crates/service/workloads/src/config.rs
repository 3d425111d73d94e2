//! What can be set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Configuration of the workloads room.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Folder for pods, volumes and logs.
    pub state_dir: PathBuf,
    /// The domain of cluster names.
    pub cluster_domain: String,
    /// The name of the node.
    pub node_name: String,
    /// Bind any free port instead of the ones that Services ask for.
    pub auto_host_ports: bool,
    /// Host ports of Services (`namespace/name`) that override their annotation.
    pub host_ports: BTreeMap<String, u16>,
    /// The first pause before a failing container is started again, in milliseconds; doubles each time.
    pub back_off_initial_ms: u64,
    /// The longest such pause, in milliseconds.
    pub back_off_limit_ms: u64,
    /// Size at which a container's log is moved aside, in bytes.
    pub log_limit: u64,
    /// How long containers may take to end when Galley itself stops, in milliseconds.
    pub shutdown_grace_ms: u64,
    /// Resolvers for names outside of the cluster; `None` means those in `/etc/resolv.conf`.
    pub resolvers: Option<Vec<std::net::SocketAddr>>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            state_dir: PathBuf::from("workloads"),
            cluster_domain: "cluster.local".to_owned(),
            node_name: "galley".to_owned(),
            auto_host_ports: false,
            host_ports: BTreeMap::new(),
            back_off_initial_ms: 10_000,
            back_off_limit_ms: 300_000,
            log_limit: 10 << 20,
            shutdown_grace_ms: 3_000,
            resolvers: None,
        }
    }
}
