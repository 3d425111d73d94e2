//! Runs pods, and everything that makes pods.
//!
//! One machine's share of Kubernetes: a node (`galley`) whose pods are containers of `galley-sandbox`, the controllers
//! that make pods (Deployment, ReplicaSet, Job), Services with addresses, names and ports on the host, and volumes.
//! All of it talks to a `kube::Client` and knows nothing of workflows, charts or models.
//!
//! Invariants:
//! - Controllers take no input: woken by a watch or a timer they list everything again, act, and report in `status`.
//! - A pod's status is written by its runner alone. What a container hands back (`runtime.galley.dev/collected`) is
//!   written before the pod's phase becomes final.
//! - When Galley stops, statuses are left as they are; when it comes back, containers that were running are started
//!   again in the same Pod, whatever its restart policy.
//! - A pod leaves the endpoints before it is asked to stop.
//!
//! Modules: `service` (start and stop), `watch` (what wakes whom), `objects` (small things all need), `node`,
//! `claims`, `controllers` (deployments, replicasets, jobs), `network` (services, endpoints, proxy, names), `pods` (the
//! runner of pods), `logs`.

mod claims;
mod config;
mod controllers;
mod error;
mod events;
mod images;
mod logs;
mod network;
mod node;
mod objects;
mod pods;
mod service;
mod watch;

pub use config::Config;
pub use error::Error;
pub use images::{Artifacts, Credentials, ImageError, Images, KeptArtifacts, PreparedImage, PullPolicy};
pub use logs::{LogError, LogOptions, Logs};
pub use service::{Deps, Handle, Service};
