//! The run loop: woken by a push, a change of a Workflow or a Release, it reads everything again and acts once.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use galley_git::Repo;
use galley_problem::Problem;
use galley_release_types::{PIPELINE_NAMESPACE, Phase, Verdict};
use galley_units::{Clock, rfc3339};
use kube::{
    Api, Client, ResourceExt,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
    runtime::{WatchStreamExt, watcher},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Records, api_problem, trigger};

/// Settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Branch of the pipeline repository that is followed.
    pub branch: String,
    /// WorkflowTemplate that carries a release.
    pub workflow_template: String,
    /// How long to wait before trying again after a failure.
    pub retry_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { branch: "main".into(), workflow_template: "train-model".into(), retry_seconds: 2 }
    }
}

/// What the service needs from outside.
pub struct Deps {
    /// The API server.
    pub client: Client,
    /// The pipeline repository.
    pub repository: Repo,
    /// Changes at every push.
    pub wake: watch::Receiver<u64>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Told after every look at the repository: `true` once the present head asks for nothing further.
    pub settled: watch::Sender<bool>,
    /// Told what is wrong with the repository, if anything is.
    pub trouble: watch::Sender<Option<Problem>>,
}

/// Starts and closes releases.
pub struct Service {
    config: Config,
    deps: Deps,
}

impl Service {
    /// A service that does nothing until [`Service::run`].
    pub fn new(config: Config, deps: Deps) -> Self {
        Service { config, deps }
    }

    /// Runs until cancelled.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let workflows = workflows(&self.deps.client);
        let mut changes = watcher(workflows, watcher::Config::default().labels("galley.dev/release"))
            .default_backoff()
            .touched_objects()
            .boxed();
        loop {
            let outcome = self.look().await;
            let pause = match &outcome {
                Ok(()) => Duration::from_secs(3600),
                Err(problem) => {
                    tracing::warn!(%problem, "releases wait");
                    Duration::from_secs(self.config.retry_seconds)
                }
            };
            self.deps.trouble.send_replace(outcome.err());
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = self.deps.wake.changed() => if changed.is_err() { return },
                _ = changes.next() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<(), Problem> {
        let client = self.deps.client.clone();
        let active = self.close_finished().await?;
        let Some(wanted) = trigger::wanted(&self.deps.repository, &self.config.branch).await? else {
            return Ok(());
        };
        let same = trigger::acted_on(&client).await?.as_deref() == Some(&wanted.spec.training_digest);
        self.deps.settled.send_replace(same);
        if same || active {
            return Ok(());
        }
        if !template_exists(&client, &self.config.workflow_template).await? {
            // It arrives with the workflows' Application.
            return Err(Problem::new(
                "G1005",
                galley_problem::Kind::Unavailable,
                format!("The WorkflowTemplate `{}` is not there yet.", self.config.workflow_template),
            )
            .try_this("`galley app get gourmetgram-workflows` shows why."));
        }
        trigger::start(&client, &self.config.workflow_template, &wanted).await?;
        self.deps.settled.send_replace(true);
        Ok(())
    }

    /// Closes records whose workflow has ended; whether a release is still moving.
    async fn close_finished(&self) -> Result<bool, Problem> {
        let records = Records::new(self.deps.client.clone());
        let workflows = workflows(&self.deps.client);
        let mut active = false;
        for recorded in records.list().await? {
            let status = &recorded.release.status;
            if status.phase.is_final() {
                continue;
            }
            let Some(name) = status.workflow.clone() else { continue };
            let workflow =
                workflows.get_opt(&name).await.map_err(|e| api_problem("to show the workflow", &e))?;
            let ended = match &workflow {
                None => Some("its workflow was deleted".to_owned()),
                Some(workflow) => ended(workflow),
            };
            let Some(why) = ended else {
                active = true;
                continue;
            };
            let now = rfc3339(self.deps.clock.now());
            records.update(&recorded.name, |status| close(status, &why, &now)).await?;
        }
        Ok(active)
    }
}

/// Marks the end, unless the workflow's own last step did so already.
fn close(status: &mut galley_release_types::ReleaseStatus, why: &str, now: &str) {
    if status.phase.is_final() {
        return;
    }
    let stopped = status.gates.iter().find(|gate| gate.verdict != Verdict::Pass);
    (status.phase, status.message) = match stopped {
        Some(gate) => (Phase::Stopped, format!("Stopped at the gate `{}`: {}", gate.name, gate.reason)),
        None => (Phase::Failed, format!("Ended before production: {why}.")),
    };
    status.finished_at = Some(now.to_owned());
}

fn workflows(client: &Client) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "workflows");
    Api::namespaced_with(client.clone(), PIPELINE_NAMESPACE, &resource)
}

async fn template_exists(client: &Client, name: &str) -> Result<bool, Problem> {
    let gvk = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "WorkflowTemplate");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "workflowtemplates");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), PIPELINE_NAMESPACE, &resource);
    let found = api.get_opt(name).await.map_err(|e| api_problem("to show the workflow template", &e))?;
    Ok(found.is_some())
}

/// Why the workflow has ended, if it has.
fn ended(workflow: &DynamicObject) -> Option<String> {
    let status = &workflow.data["status"];
    let phase = status["phase"].as_str().unwrap_or_default();
    let message = status["message"].as_str().unwrap_or("no message");
    match phase {
        "Succeeded" => Some(format!("the workflow {} succeeded without promoting", workflow.name_any())),
        "Failed" | "Error" => {
            Some(format!("the workflow {} {}: {message}", workflow.name_any(), phase.to_lowercase()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use galley_release_types::{Gate, ReleaseStatus};

    use super::*;

    #[test]
    fn a_failed_gate_is_told_as_the_reason() {
        let mut status = ReleaseStatus::default();
        status.record(Gate {
            name: "evaluation".into(),
            verdict: Verdict::Fail,
            reason: "accuracy 0.09 is below 0.75".into(),
            evidence: serde_json::Map::new(),
            at: String::new(),
        });
        close(&mut status, "the workflow failed", "2026-01-01T00:00:00Z");
        assert_eq!(status.phase, Phase::Stopped);
        assert!(status.message.contains("evaluation"), "{}", status.message);
        let before = status.clone();
        close(&mut status, "again", "2027-01-01T00:00:00Z");
        assert_eq!(status, before);
    }
}
