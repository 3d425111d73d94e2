//! Keeps the cluster as git says.
//!
//! [`Service`] reconciles Applications: it reads the repository at the wanted revision, renders it, compares with what is
//! live, and where the Application says so makes live what git says. It is woken by pushes, by changes of Applications
//! and by changes of the objects it has delivered; it never polls. Every look reads everything anew, and acts on one
//! wave at a time, so a crash at any moment is repaired by the next look.
//!
//! | module | holds |
//! |---|---|
//! | `service` | the run loop: what is to be looked at next |
//! | `reconcile` | one look at one Application |
//! | `objects` | reading and writing objects of any kind |
//! | `status` | the Application's status, in Argo CD's words |

mod objects;
mod reconcile;
mod service;
mod status;

use galley_git::Repo;
use galley_problem::{Kind, Problem};

pub use reconcile::plan;
pub use service::{Config, Deps, Service};

/// Where the repositories are that Applications name.
#[async_trait::async_trait]
pub trait Repositories: Send + Sync + 'static {
    /// The repository at this address, as new as it can be had.
    ///
    /// # Errors
    /// G04xx if it cannot be had.
    async fn open(&self, url: &str) -> Result<Repo, Problem>;
}

/// An answer of the API server as a problem.
pub(crate) fn api_problem(attempt: &str, error: &kube::Error) -> Problem {
    let kind = match error {
        kube::Error::Api(status) if status.code == 404 => Kind::NotFound,
        kube::Error::Api(status) if status.code == 409 => Kind::Conflict,
        kube::Error::Api(_) => Kind::Invalid,
        _ => Kind::Unavailable,
    };
    Problem::new("G0430", kind, format!("The API server refused {attempt}.")).because(error)
}
