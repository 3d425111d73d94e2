//! Argo CD's API on this machine, for `argocd`-like clients and scripts.
//!
//! It asks for no token, as the dashboard does not: it listens on loopback only, answers only to names of loopback, and
//! takes changes as JSON only, which pages of other sites cannot send.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use galley_argo_cd::Application;
use galley_git::Repo;
use galley_problem::Problem;
use galley_units::Clock;
use serde_json::Value;

use super::{doors::repositories, gitops_config};

struct Kitchen {
    client: kube::Client,
    repositories: Arc<dyn galley_gitops::Repositories>,
}

#[async_trait]
impl galley_argocdserver::Renderer for Kitchen {
    async fn manifests(
        &self,
        application: &Application,
        revision: &str,
    ) -> Result<(Vec<Value>, String), Problem> {
        let (client, repositories) = (self.client.clone(), Arc::clone(&self.repositories));
        galley_gitops::manifests(client, gitops_config(), repositories, application, revision).await
    }
}

/// The API over the Applications of this control plane.
pub fn router(client: &kube::Client, own: Repo, mirrors: PathBuf, clock: &Arc<dyn Clock>) -> axum::Router {
    let clock = Arc::clone(clock);
    galley_argocdserver::router(galley_argocdserver::Deps {
        client: client.clone(),
        renderer: Arc::new(Kitchen { client: client.clone(), repositories: repositories(own, mirrors) }),
        authorize: None,
        now: Arc::new(move || clock.now()),
        namespace: gitops_config().namespace,
    })
}
