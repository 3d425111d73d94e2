//! Artifacts of pods: where they are kept, what the runtime is asked to do, what it has done.
//!
//! A pod carries in the annotation `runtime.galley.dev/artifacts` a JSON object with two lists of artifacts in Argo's
//! own form, `inputs` (to be placed at `path` before any container begins) and `outputs` (to be kept when the main
//! container has ended, well or not). A location `s3` with nothing but a `key` means the default store. What was kept
//! comes back as [`crate::Collected::artifacts`]; an input that cannot be had fails the pod's init container `init`.

use galley_argo_workflows::{Artifact, NodePhase, NodeStatus, Outputs, Template};
use serde_json::{Map, Value, json};

use crate::run::Run;
use crate::seen::{Collected, PodSeen};

/// The annotation with what the runtime is asked to fetch and keep.
pub const ANNOTATION_ARTIFACTS: &str = "runtime.galley.dev/artifacts";

impl Run<'_> {
    /// The output artifacts of a pod, each with the place where it is kept.
    pub(crate) fn kept_artifacts(&self, template: &Template, pod: &str) -> Result<Vec<Artifact>, String> {
        if !self.seen.abilities.artifacts {
            return match template.outputs.artifacts.iter().find(|artifact| !artifact.optional) {
                Some(artifact) => Err(format!(
                    "output artifact {} cannot be kept: there is no artifact store on one machine",
                    artifact.name
                )),
                None => Ok(Vec::new()),
            };
        }
        let outputs = template.outputs.artifacts.iter().cloned();
        Ok(outputs.map(|artifact| self.located(artifact, template, pod)).collect())
    }

    fn located(&self, mut artifact: Artifact, template: &Template, pod: &str) -> Artifact {
        if let Some(path) = artifact.path.as_mut().filter(|path| path.len() > 1 && path.ends_with('/')) {
            path.truncate(path.trim_end_matches('/').len().max(1));
        }
        if artifact.has_location() {
            return artifact;
        }
        let file = file_name(&artifact);
        let key = |prefix: &str| format!("{}/{file}", prefix.trim_end_matches('/'));
        let own = template.rest.get("archiveLocation").and_then(Value::as_object);
        let given = own.iter().flat_map(|own| own.iter()).find(|(kind, _)| *kind != "archiveLogs");
        let (kind, location) = match given {
            Some((kind, location)) => {
                let mut location = location.clone();
                let field = if kind == "azure" { "blob" } else { "key" };
                let prefix = location[field].as_str().map_or_else(String::new, str::to_owned);
                location[field] = key(&prefix).trim_start_matches('/').into();
                (kind.clone(), location)
            }
            None => ("s3".to_owned(), json!({"key": key(&format!("{}/{pod}", self.meta.name))})),
        };
        artifact.rest.insert(kind, location);
        artifact
    }

    /// What the runtime is asked to do; `None` when nothing.
    pub(crate) fn artifact_orders(&self, template: &Template, outputs: &[Artifact]) -> Option<String> {
        if !self.seen.abilities.artifacts {
            return None;
        }
        let inputs: Vec<&Artifact> = template
            .inputs
            .artifacts
            .iter()
            .filter(|artifact| artifact.raw().is_none() && artifact.has_location())
            .collect();
        if inputs.is_empty() && outputs.is_empty() {
            return None;
        }
        let mut orders = Map::new();
        orders.insert("inputs".to_owned(), json!(inputs));
        orders.insert("outputs".to_owned(), json!(outputs));
        Some(Value::Object(orders).to_string())
    }

    /// Notes which artifacts were kept.
    pub(crate) fn read_artifacts(
        &self,
        pod: &PodSeen,
        collected: &Collected,
        node: &mut NodeStatus,
        outputs: &mut Outputs,
    ) {
        let good = node.phase == NodePhase::Succeeded;
        let mut fail = |why: String| {
            if node.phase == NodePhase::Succeeded {
                node.phase = NodePhase::Error;
                node.message = format!("wait: Error (exit code 64): {why}");
            }
        };
        for artifact in &pod.wanted.artifacts {
            let kept = collected.artifacts.as_ref().map(|kept| kept.contains(&artifact.name));
            match (kept, collected.artifact_errors.get(&artifact.name)) {
                (Some(true), _) => outputs.artifacts.push(artifact.clone()),
                (_, Some(why)) => fail(format!("failed to put artifact {}: {why}", artifact.name)),
                _ if artifact.optional => {}
                (Some(false), None) => fail(format!(
                    "open /var/run/argo/outputs/artifacts{}.tgz: no such file or directory",
                    artifact.path.as_deref().unwrap_or_default().trim_end_matches('/')
                )),
                (None, None) if good => fail(format!(
                    "artifact {} was not kept: the runtime of this pod has no artifact store",
                    artifact.name
                )),
                (None, None) => {}
            }
        }
    }
}

/// The last part of an artifact's key: its own file name, or its name as an archive.
fn file_name(artifact: &Artifact) -> String {
    let archive = artifact.rest.get("archive");
    let is =
        |kind: &str| archive.is_some_and(|archive| archive.get(kind).is_some_and(|value| !value.is_null()));
    if is("none") {
        let path = artifact.path.as_deref().unwrap_or_default().trim_end_matches('/');
        return path.rsplit('/').next().unwrap_or_default().to_owned();
    }
    format!("{}.{}", artifact.name, if is("zip") { "zip" } else { "tgz" })
}
