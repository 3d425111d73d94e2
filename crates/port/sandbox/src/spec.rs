//! What a caller asks of the sandbox.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use galley_units::Clock;
use serde::{Deserialize, Serialize};

/// How containers are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Namespaces where the kernel allows them, else plain processes with a notice.
    #[default]
    Auto,
    /// Namespaces, or an error.
    Namespaces,
    /// Plain processes in process groups.
    Plain,
}

/// How to start the sandbox.
#[derive(Clone)]
pub struct Config {
    /// A program whose `main` begins with [`run_helper_if_asked`](crate::run_helper_if_asked); Galley passes itself.
    pub helper: PathBuf,
    /// A folder for the sandbox's own files.
    pub state_dir: PathBuf,
    /// How containers are kept apart.
    pub mode: Mode,
    /// The clock that stamps log lines.
    pub clock: Arc<dyn Clock>,
}

/// What the sandbox can do on this machine.
#[derive(Clone, Debug)]
pub struct Report {
    /// The mode in force: never [`Mode::Auto`].
    pub mode: Mode,
    /// What is not isolated or not enforced, and how to change that; full sentences.
    pub notices: Vec<String>,
}

/// A pod to make: a network address of its own and a host name.
#[derive(Clone, Debug)]
pub struct PodSandboxSpec {
    /// Unique in the sandbox; also used in paths, so letters, digits, `-`, `_` and `.` only.
    pub id: String,
    /// The host name inside.
    pub hostname: String,
    /// The pod's folder; made if absent.
    pub dir: PathBuf,
    /// Further lines for `/etc/hosts`.
    pub hosts: Vec<(IpAddr, String)>,
    /// The search list of `/etc/resolv.conf`.
    pub search: Vec<String>,
    /// Names under which the pod knows its own address, besides its host name.
    pub aliases: Vec<String>,
}

/// Who a container's process is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// `uid`, `uid:gid`, `name` or `name:group`, as an image says it; empty means root.
    pub user: String,
    /// A group id that overrides the one of `user`.
    pub group: Option<u32>,
    /// Further groups.
    pub groups: Vec<u32>,
}

/// A folder or file of the host that is seen inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// On the host.
    pub source: PathBuf,
    /// Absolute path inside.
    pub target: String,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// A container to start in a pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique in the sandbox.
    pub id: String,
    /// The container's own folder, for what it writes; made if absent, must not be shared.
    pub dir: PathBuf,
    /// Unpacked image layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// Program and arguments.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Absolute path inside; made if absent. Empty means `/`.
    pub working_dir: String,
    /// Who it runs as.
    pub user: User,
    /// What else is seen inside.
    pub mounts: Vec<Mount>,
    /// Whether the root filesystem refuses writes.
    pub read_only_root: bool,
    /// Whether the program is the child of a first process, which hands signals on to it and reaps orphans. A program
    /// that is itself the first process of its namespace ignores every signal that it does not handle.
    pub first_process: bool,
    /// Capabilities (such as `NET_RAW`) taken away from the few that root keeps; `ALL` takes all.
    pub drop_capabilities: Vec<String>,
    /// The log file on the host, in the format of the Container Runtime Interface.
    pub log: PathBuf,
    /// Size at which the log file is moved to `<log>.1`, in bytes.
    pub log_limit: u64,
}

/// A further process in a running container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecSpec {
    /// Unique in the sandbox, also among containers.
    pub id: String,
    /// The container to enter.
    pub container: String,
    /// Program and arguments.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Absolute path inside.
    pub working_dir: String,
    /// Who it runs as.
    pub user: User,
}
