//! Keeps the cluster as git says: reconciles Argo CD Applications where no Argo CD runs.
//!
//! | module | is |
//! |---|---|
//! | `config` | what can be set |
//! | `repositories` | how a URL becomes a repository on this disk |
//! | `kinds` | which kinds the API server has, and objects of any kind |
//! | `source`, `pattern` | an Application's sources: files of a commit, rendered |
//! | `project` | what an Application's project permits |
//! | `observe` | desired against live, now |
//! | `policy` | whether to sync without being asked, and when to try again: pure |
//! | `operation` | one operation, turn by turn |
//! | `apply` | one step of a plan, carried out |
//! | `deletion` | an Application's end |
//! | `status` | what is written into an Application's status |
//! | `reconcile` | all of it, once, for one Application |
//! | `watches` | what wakes it: Applications, their objects |
//! | `sets` | ApplicationSets: the Applications that they make |
//! | `service` | the run loop |
//! | `plan` | what a sync would do, for people |
//!
//! Invariants:
//! - an Application is reconciled by one turn at a time, which reads everything anew and needs no memory: an operation's
//!   progress is in its status, so a restart goes on where it was;
//! - nothing is polled: a push, a change of a watched object, a retry's or a resync's time wakes a turn;
//! - a status is written only when it has changed, and its own writing wakes nothing;
//! - what is applied is remembered in the usual annotation, so fields that leave git leave the cluster;
//! - nothing is deleted unless pruning was asked for, or the Application goes and has the finalizer.

mod apply;
mod config;
mod deletion;
mod error;
mod kinds;
mod observe;
mod operation;
mod pattern;
mod plan;
mod policy;
mod project;
mod reconcile;
mod repositories;
mod service;
mod sets;
mod source;
mod status;
mod watches;

pub use config::Config;
pub use error::Error;
pub use plan::{manifests, plan};
pub use repositories::{CredentialsFor, LocalRepositories, Repositories};
pub use service::{Deps, Service};
