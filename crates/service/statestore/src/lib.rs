//! The `http` backend of OpenTofu and Terraform: a team's state, with locks and a history, in Galley's own server.
//!
//! | request | answer |
//! |---|---|
//! | `GET /infra/state/NAME` | the newest state, or 204 if there is none |
//! | `POST /infra/state/NAME?ID=LOCK` | takes a new version; 423 while somebody else holds the lock, 409 if the lock is gone |
//! | `DELETE /infra/state/NAME` | the state is empty from now on; its history stays |
//! | `LOCK`, `UNLOCK /infra/state/NAME` | 423 with the holder's own words while the lock is held |
//! | `GET /infra/states` | names, versions, locks |
//! | `GET /infra/states/NAME/versions` | the history, newest first |
//! | `GET /infra/states/NAME/versions/N` | an old state |
//! | `POST /infra/states/NAME/versions/N/restore` | makes an old state the newest version; nothing of the history is lost |
//!
//! Everything wants the token, reading too: a state holds secrets. Invariants:
//!
//! - what was answered with 200 is on the disk (written beside, synced, renamed, folder synced);
//! - a state is never half there, and never replaced without its version being kept;
//! - a version is written only by the holder of the lock while there is one;
//! - sizes of bodies, names and the history are limited.

mod api;
mod config;
mod files;
mod store;

pub use api::{Authorize, Deps, Service};
pub use config::Config;
pub use store::{Error, Lock, Overview, Store, Version};
