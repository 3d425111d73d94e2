//! Argo CD's API on this machine, for `argocd`-like clients and scripts.
//!
//! Whoever runs Galley needs no token here, as with an Argo CD that a person has on their own machine: see `owner`.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use galley_apiserver::{TokenAuthority, User};
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
pub fn router(
    client: &kube::Client,
    own: Repo,
    mirrors: PathBuf,
    clock: &Arc<dyn Clock>,
    tokens: &TokenAuthority,
) -> axum::Router {
    let clock = Arc::clone(clock);
    let known = tokens.clone();
    let masters = move |user: User| user.groups.iter().any(|group| group == "system:masters");
    let router = galley_argocdserver::router(galley_argocdserver::Deps {
        client: client.clone(),
        renderer: Arc::new(Kitchen { client: client.clone(), repositories: repositories(own, mirrors) }),
        authorize: Arc::new(move |token| known.verify(token).is_some_and(masters)),
        now: Arc::new(move || clock.now()),
        namespace: gitops_config().namespace,
    });
    super::owner::trusted(router, &tokens.admin_token())
}
