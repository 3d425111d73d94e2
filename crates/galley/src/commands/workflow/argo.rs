//! Argo Server's API, and what stands behind its verbs.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use galley_apiserver::TokenAuthority;
use galley_argo_workflows::NodePhase;
use galley_argoserver::{Actions, Config, Deps, Retry, Service, Set};
use galley_problem::{Kind, Problem};
use galley_units::SystemClock;
use galley_workflow::{NodeSelector, RetryOptions};
use galley_workflows::{ArtifactStore, NodeChange};
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::artifacts::store_of;

struct Verbs {
    client: Client,
    store: ArtifactStore,
}

/// All routes of Argo Server's API over this API server and this state folder.
pub fn router(
    client: &Client,
    tokens: &TokenAuthority,
    state: &Path,
    shutdown: CancellationToken,
) -> axum::Router {
    let verbs = Verbs { client: client.clone(), store: store_of(state) };
    let tokens = tokens.clone();
    let deps = Deps {
        client: client.clone(),
        actions: Arc::new(verbs),
        shutdown,
        authorize: Arc::new(move |token| tokens.verify(token).map(|user| user.name)),
    };
    Service::new(Config::default(), deps).router()
}

fn selector(text: &str) -> Result<Option<NodeSelector>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = NodeSelector::read(text).map_err(|why| {
        Problem::new("G0117", Kind::Usage, "The node selector cannot be read.").because_of(why)
    });
    read.map(Some)
}

/// A phase that a person may give a node.
pub fn phase(text: &str) -> Result<Option<NodePhase>, Problem> {
    Ok(Some(match text {
        "" => return Ok(None),
        "Succeeded" => NodePhase::Succeeded,
        "Failed" => NodePhase::Failed,
        "Error" => NodePhase::Error,
        "Skipped" => NodePhase::Skipped,
        other => {
            let what = format!("A node cannot be given the phase `{other}`.");
            return Err(
                Problem::new("G0117", Kind::Usage, what).try_this("Succeeded, Failed, Error or Skipped.")
            );
        }
    }))
}

#[async_trait]
impl Actions for Verbs {
    async fn retry(&self, namespace: &str, name: &str, how: Retry) -> Result<(), Problem> {
        let Retry { parameters, restart_successful, nodes } = how;
        let options = RetryOptions { parameters, restart_successful, nodes: selector(&nodes)? };
        galley_workflows::retry(&self.client, &SystemClock, namespace, name, &options).await
    }

    async fn resubmit(
        &self,
        namespace: &str,
        name: &str,
        memoized: bool,
        parameters: BTreeMap<String, String>,
    ) -> Result<String, Problem> {
        galley_workflows::resubmit(&self.client, &SystemClock, namespace, name, memoized, &parameters).await
    }

    async fn resume(&self, namespace: &str, name: &str) -> Result<(), Problem> {
        galley_workflows::resume(&self.client, namespace, name).await
    }

    async fn suspend(&self, namespace: &str, name: &str) -> Result<(), Problem> {
        galley_workflows::suspend(&self.client, namespace, name).await
    }

    async fn stop(&self, namespace: &str, name: &str) -> Result<(), Problem> {
        galley_workflows::stop(&self.client, namespace, name).await
    }

    async fn terminate(&self, namespace: &str, name: &str) -> Result<(), Problem> {
        galley_workflows::terminate(&self.client, namespace, name).await
    }

    async fn set(&self, namespace: &str, name: &str, what: Set) -> Result<(), Problem> {
        let Set { nodes, phase: to, message, outputs } = what;
        let chosen = selector(&nodes)?.ok_or_else(|| {
            Problem::new("G0117", Kind::Usage, "No node is chosen.")
                .try_this("Give a selector such as `displayName=approve`.")
        })?;
        let message = Some(message).filter(|message| !message.is_empty());
        let change = NodeChange { outputs, phase: phase(&to)?, message };
        galley_workflows::change_nodes(&self.client, namespace, name, &chosen, &change).await.map(drop)
    }

    async fn artifact(&self, key: &str) -> Option<File> {
        self.store.open(key)
    }
}
