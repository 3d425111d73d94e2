//! Follows each candidate from training to production.
//!
//! [`Service`] watches the pipeline repository: when a commit changes what decides the trained model, it makes a
//! Release and the Workflow that carries it, once per commit, whatever happens in between; and it closes the record of
//! a release whose workflow ended without doing so. [`Records`] reads and writes Releases, also for the steps that run
//! inside the workflow. One release moves at a time; the newest waiting commit goes next.
//!
//! | module | holds |
//! |---|---|
//! | `records` | Releases as objects: read, create, change with optimistic concurrency |
//! | `trigger` | from a commit to a Release and its Workflow |
//! | `service` | the run loop |

mod records;
mod service;
mod trigger;

pub use records::{Recorded, Records};
pub use service::{Config, Deps, Service};

use galley_problem::{Kind, Problem};

/// Turns an answer of the API server into a problem that names what was attempted.
pub(crate) fn api_problem(attempt: &str, error: &kube::Error) -> Problem {
    let kind = match error {
        kube::Error::Api(status) if status.code == 404 => Kind::NotFound,
        kube::Error::Api(status) if status.code == 409 => Kind::Conflict,
        kube::Error::Api(status) if status.code == 401 || status.code == 403 => Kind::Denied,
        kube::Error::Api(_) => Kind::Invalid,
        _ => Kind::Unavailable,
    };
    Problem::new("G1001", kind, format!("The API server refused {attempt}.")).because(error)
}
