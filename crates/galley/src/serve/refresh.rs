//! Tells Argo CD of pushes, which otherwise looks every three minutes: it compares an Application at once when it carries
//! the annotation `argocd.argoproj.io/refresh`, and takes the annotation away.

use std::time::Duration;

use kube::{
    Client, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{commands::objects, up::PIPELINE_URL};

/// Between two attempts.
const AGAIN: Duration = Duration::from_secs(1);
/// Attempts for one push; after these Argo CD finds out by itself.
const ATTEMPTS: usize = 5;

/// Asks for a look after every push, until told to stop.
pub async fn follow(client: Client, mut wake: watch::Receiver<u64>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = wake.changed() => if changed.is_err() { return },
        }
        for attempt in 1..=ATTEMPTS {
            match refresh(&client).await {
                Ok(applications) => {
                    tracing::info!(applications, "Argo CD was told of the push");
                    break;
                }
                Err(error) => {
                    tracing::warn!(
                        attempt,
                        error = &error as &dyn std::error::Error,
                        "telling Argo CD of the push"
                    );
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Marks every Application that comes from the pipeline repository; how many there are.
async fn refresh(client: &Client) -> kube::Result<usize> {
    let applications = objects::applications(client);
    let ours: Vec<_> =
        applications.list(&ListParams::default()).await?.items.into_iter().filter(is_ours).collect();
    let mark = json!({ "metadata": { "annotations": { "argocd.argoproj.io/refresh": "hard" } } });
    for application in &ours {
        let name = application.name_any();
        match applications.patch(&name, &PatchParams::default(), &Patch::Merge(&mark)).await {
            // It went meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => drop(other?),
        }
    }
    Ok(ours.len())
}

fn is_ours(application: &DynamicObject) -> bool {
    let spec = &application.data["spec"];
    let of = |source: &serde_json::Value| source["repoURL"].as_str() == Some(PIPELINE_URL);
    of(&spec["source"]) || spec["sources"].as_array().is_some_and(|sources| sources.iter().any(of))
}
