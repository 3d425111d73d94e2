//! The part of Argo CD's API that `argocd app ...` and scripts use, over the Applications of our own API server.
//!
//! Everything is read and written as Kubernetes objects; an operation is asked for in the Application's `operation`
//! field and carried out by whoever reconciles Applications. The paths, bodies, codes and refusals are Argo CD's REST
//! API; streams and grpc-web are not offered.
//!
//! | module | is |
//! |---|---|
//! | `routes` | paths and what they lead to |
//! | `applications` | listing, making, changing and deleting Applications |
//! | `operations` | syncing and rolling back, with their refusals |
//! | `tree` | the objects of an Application, with those that they own |
//! | `verbs` | the same for callers in the same process |
//! | `windows` | when a project lets its Applications be synced |
//! | `error` | refusals as Argo CD words and numbers them |

mod applications;
mod error;
mod operations;
mod routes;
mod tree;
mod verbs;
pub mod windows;

use std::sync::Arc;

use async_trait::async_trait;
use galley_argo_cd::Application;
use galley_problem::Problem;
use serde_json::Value;

pub use error::Error;
pub use routes::router;
pub use verbs::{Verb, ask};

/// Renders Applications.
#[async_trait]
pub trait Renderer: Send + Sync {
    /// The objects of an Application at a revision (its own, if that is empty), and the commit.
    async fn manifests(
        &self,
        application: &Application,
        revision: &str,
    ) -> Result<(Vec<Value>, String), Problem>;
}

/// Whether a token may do everything.
pub type Authorize = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What the API needs.
#[derive(Clone)]
pub struct Deps {
    /// The API server.
    pub client: kube::Client,
    /// Renders Applications.
    pub renderer: Arc<dyn Renderer>,
    /// Whether a token may do everything.
    pub authorize: Authorize,
    /// The time.
    pub now: Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>,
    /// The namespace of Applications.
    pub namespace: String,
}
