//! The hands for a Kubernetes cluster that somebody else runs.
//!
//! [`Cluster::connect`] finds and proves the way in; [`Cluster::facts`] and [`Cluster::may`] look around;
//! [`Cluster::plan`] says what would change, [`Cluster::apply`] changes exactly that and remembers it in an
//! [`Inventory`], [`Cluster::remove`] takes away exactly what is remembered. [`Cluster::wait_applications`] and
//! [`Cluster::explain`] say what is not ready and why, [`Cluster::tunnel`] reaches a Service from here, and
//! [`Cluster::check_pull`] proves that nodes can pull and run an image.
//!
//! Invariants: nothing is written without a [`Lock`]; an object is in the inventory before it is created; an object is
//! deleted only with the uid that we created; every wait has a deadline and every retry a limit.

mod access;
mod apply;
mod certificate;
mod connect;
mod diff;
mod explain;
mod facts;
mod inventory;
mod lock;
mod mapping;
mod object;
mod plan;
mod problem;
mod pull;
mod remove;
mod retry;
mod tunnel;
mod wait;

pub use access::{Access, Denied};
pub use apply::{Applied, ApplyOptions};
pub use connect::Cluster;
pub use diff::Change;
pub use facts::{
    ApiGroup, Controller, ControllerState, Facts, GatewayApi, GatewayClass, Node, StorageClass, Version,
};
pub use inventory::{Entry, Home, How, Inventory};
pub use lock::Lock;
pub use object::{Event, MANAGER, ObjectRef, Phase, Progress, Silent};
pub use plan::{Action, Conflict, Plan, PlanOptions, Planned};
pub use pull::{NodePull, PullCheck};
pub use remove::{Claim, Kept, RemoveOptions, Removed};
pub use tunnel::Tunnel;
pub use wait::{AppState, Unhealthy};
