//! Runs workflows: the loop around the engine.
//!
//! The service watches Workflows, their Pods and CronWorkflows in all namespaces. A workflow is looked at by one
//! task at a time: read it and its pods afresh, let [`galley_workflow::Engine`] think, write the status with
//! optimistic concurrency, then act. Acting is idempotent (a pod's name follows from its node), so a crash between
//! two lines repeats nothing: the next look finds what was done. Nothing is polled; the loop wakes by watches and at
//! the moments the engine names.
//!
//! Map: `service` (watches and tasks), `queue` (one task for a key at a time), `reconcile` (one look at a workflow),
//! `act` (what the engine asks for), `objects` (objects of resource templates), `cron` (CronWorkflows), `door` (what
//! people do: submit, suspend, resume, stop, terminate, wait), `again` (retry, resubmit), `nodes` (nodes changed by
//! hand), `locks` (mutexes and semaphores of all workflows), `http` (requests of http templates), `artifacts`
//! (a store in a folder, for the runtime of the pods), `backfill` (missed runs).

mod act;
mod again;
mod api;
mod artifacts;
mod backfill;
mod cron;
mod door;
mod error;
mod http;
mod locks;
mod nodes;
mod objects;
mod queue;
mod reconcile;
mod service;

pub use again::{resubmit, retry};
pub use artifacts::{ArtifactStore, Kept};
pub use backfill::{Span, backfill};
pub use door::{SubmitFrom, resume, stop, submit, submit_as, suspend, terminate, wait};
pub use error::Error;
pub use nodes::{NodeChange, change_nodes};
pub use service::{Config, Deps, Service};
