//! Git over smart HTTP, so that `git clone` and `git push` work against Galley.
//!
//! | module | is |
//! |---|---|
//! | `config` | where the repositories are, and limits |
//! | `service` | the routes, who may push, and the news of pushes |
//! | `exchange` | one `git upload-pack` or `git receive-pack` with a request and a response around it |
//! | `body` | request bodies, unpacked, with a limit |
//! | `page` | the list of repositories as HTML |
//!
//! Invariants: only repositories directly below the configured folder are served, by name. Reading is open (the
//! listener is on loopback); pushing needs the token. Pushes to one repository happen one after another, and every
//! change of a reference is told once, after it has happened, whether or not the client was still there to hear
//! of it. A running request holds one of a bounded number of places and has a deadline.

mod body;
mod config;
mod exchange;
mod page;
mod service;

pub use config::Config;
pub use service::{Deps, Error, Push, Service, Verify};
