//! Processes in namespaces of their own, or as plain processes where the kernel refuses.
//!
//! A [`Sandbox`] owns one helper process: the same binary, started with a hidden argument, that has a single thread
//! and can therefore enter user, network, mount and pid namespaces. The helper makes one network (the *fabric*, with
//! a bridge for the pods and the service addresses made local), a namespace set for each pod, and a root filesystem,
//! mount and pid namespace for each container. Galley itself stays where it is and reaches into the fabric with
//! sockets that the helper creates there and passes over.
//!
//! Invariants:
//! - Nothing outlives Galley. The helper ends when its control socket does, its children die with it
//!   (`PR_SET_PDEATHSIG`, and pid namespaces take their members along), and every mount lives in a private namespace.
//! - No path of a container is ever resolved outside of its root: sources are opened before the root changes, targets
//!   after it, and files are read with `openat2(RESOLVE_IN_ROOT)`.
//! - What is not isolated is said in [`Report::notices`].
//!
//! Modules: `client` is Galley's end, `proto` and `wire` the conversation, `helper` the other end, `log` the container
//! logs in the format of the Container Runtime Interface, `sys` the few calls that need `unsafe`.

mod client;
mod error;
#[cfg(target_os = "linux")]
mod export;
mod files;
mod log;
mod network;
mod proto;
mod spec;
#[doc(hidden)]
pub mod testbed;

#[cfg(target_os = "linux")]
mod helper;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod wire;

pub use client::{PodHandle, Running, Sandbox};
pub use error::Error;
#[cfg(target_os = "linux")]
pub use helper::run_helper_if_asked;
pub use log::{LogLine, Stream, parse_line};
pub use network::Network;
pub use proto::Exit;
pub use spec::{Config, ContainerSpec, ExecSpec, Mode, Mount, PodSandboxSpec, Report, User};
