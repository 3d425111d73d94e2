//! What a container hands back: files and standard output, as an annotation of its Pod.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::Api;
use serde::{Deserialize, Serialize};

use super::artifacts;
use crate::error::Error;
use crate::images::KeptArtifacts;
use crate::logs::stdout_tail;
use crate::node::annotate;
use crate::objects::{Context, name_of, namespace_of};

const FILES: &str = "runtime.galley.dev/collect-files";
const STDOUT: &str = "runtime.galley.dev/collect-stdout";
const COLLECTED: &str = "runtime.galley.dev/collected";
/// The container whose files are meant.
pub(crate) const MAIN: &str = "main";
const LIMIT: usize = 256 << 10;

/// The value of the annotation.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Collected {
    files: BTreeMap<String, String>,
    missing: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifacts: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    artifact_errors: BTreeMap<String, String>,
    /// How the container ended. Written before its status is, so that what was handed back is never made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<ContainerStateTerminated>,
}

/// Whether the pod asks for anything.
pub(crate) fn is_asked(pod: &Pod) -> bool {
    annotation(pod, FILES).is_some()
        || annotation(pod, STDOUT) == Some("true")
        || annotation(pod, artifacts::ARTIFACTS).is_some()
}

/// How the main container ended, if it has handed back what was asked for.
pub(crate) fn ended(pod: &Pod) -> Option<ContainerStateTerminated> {
    serde_json::from_str::<Collected>(annotation(pod, COLLECTED)?).ok()?.ended
}

/// Reads what is asked for from the ended container and writes the annotation.
pub(crate) async fn collect(
    cx: &Context,
    pod: &Pod,
    (container, log): (&str, &Path),
    kept: Option<&KeptArtifacts>,
    ended: &ContainerStateTerminated,
) -> Result<(), Error> {
    let mut collected = Collected { ended: Some(ended.clone()), ..Collected::default() };
    if let Some(kept) = kept {
        collected.artifacts = Some(kept.kept.clone());
        collected.artifact_errors = kept.errors.clone();
    }
    let paths: Vec<String> =
        annotation(pod, FILES).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    for path in paths {
        match cx.sandbox.read_file(container, &path, LIMIT as u64).await {
            Ok(content) => {
                collected.files.insert(path, String::from_utf8_lossy(&content).into_owned());
            }
            Err(error) => {
                tracing::debug!(path, %error, "a file to collect is missing");
                collected.missing.push(path);
            }
        }
    }
    if annotation(pod, STDOUT) == Some("true") {
        let tail = stdout_tail(log, LIMIT).await;
        let tail =
            tail.map_err(|source| Error::File { action: "read the log", path: log.to_owned(), source })?;
        collected.stdout = Some(String::from_utf8_lossy(&tail).into_owned());
    }
    write(cx, pod, &collected).await
}

/// Writes an annotation that says that nothing could be read, for a container that never ran.
pub(crate) async fn collect_nothing(cx: &Context, pod: &Pod) -> Result<(), Error> {
    let missing = annotation(pod, FILES).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let stdout = (annotation(pod, STDOUT) == Some("true")).then(String::new);
    write(cx, pod, &Collected { missing, stdout, ..Collected::default() }).await
}

async fn write(cx: &Context, pod: &Pod, collected: &Collected) -> Result<(), Error> {
    let api = Api::<Pod>::namespaced(cx.client.clone(), namespace_of(&pod.metadata));
    let text = serde_json::to_string(collected).unwrap_or_default();
    annotate(&api, name_of(&pod.metadata), COLLECTED, Some(&text)).await.map(drop)
}

pub(crate) fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}
