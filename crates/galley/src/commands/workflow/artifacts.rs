//! `galley workflow artifacts`, and the door between pods and the store of artifacts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use galley_problem::{Kind, Problem, did_you_mean};
use galley_workflows::ArtifactStore;
use galley_workloads::{Artifacts, KeptArtifacts};
use kube::{Client, ResourceExt};
use serde::Serialize;
use serde_json::Value;

use super::{platform::ARTIFACTS, resolve};
use crate::{
    Answer,
    cli::{self, Global},
    commands::{objects::text, release::defaults},
    ground::Ground,
    state::State,
    voice,
};

/// A store, as pods need it.
pub struct Store(pub ArtifactStore);

#[async_trait]
impl Artifacts for Store {
    async fn fetch(
        &self,
        namespace: &str,
        orders: &str,
        places: &BTreeMap<String, PathBuf>,
    ) -> Result<(), String> {
        let (store, places) = (self.0.clone(), places.clone());
        let (namespace, orders) = (namespace.to_owned(), orders.to_owned());
        let place =
            move |path: &str| places.get(path).cloned().unwrap_or_else(|| PathBuf::from("/dev/null/none"));
        let fetched = tokio::task::spawn_blocking(move || store.fetch(&namespace, &orders, place));
        fetched.await.map_err(|error| error.to_string())?
    }

    async fn keep(&self, namespace: &str, orders: &str, places: &BTreeMap<String, PathBuf>) -> KeptArtifacts {
        let (store, places) = (self.0.clone(), places.clone());
        let (namespace, orders) = (namespace.to_owned(), orders.to_owned());
        let place =
            move |path: &str| places.get(path).cloned().unwrap_or_else(|| PathBuf::from("/dev/null/none"));
        let kept = tokio::task::spawn_blocking(move || store.keep(&namespace, &orders, place));
        match kept.await {
            Ok(kept) => KeptArtifacts { kept: kept.artifacts, errors: kept.errors },
            Err(error) => {
                KeptArtifacts { errors: [("?".to_owned(), error.to_string())].into(), ..Default::default() }
            }
        }
    }
}

/// The store of a state folder.
pub fn store_of(state: &Path) -> ArtifactStore {
    ArtifactStore::new(state.join(ARTIFACTS))
}

/// An artifact that a node has kept.
#[derive(Clone, Debug, Serialize)]
struct Found {
    node: String,
    name: String,
    path: String,
    key: String,
    /// In bytes; absent when it is not in the store of this machine any more.
    size: Option<u64>,
    folder: bool,
}

/// Runs a verb.
///
/// # Errors
/// What the verb could not do.
pub async fn run(global: &Global, verb: cli::workflow::Artifacts) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &defaults()).await?;
    let client = ground.kube().await?;
    let Some((state, _)) = ground.machine() else {
        return Err(Problem::new(
            "G0124",
            Kind::Usage,
            "The artifacts of a cluster lie in its own repository.",
        )
        .try_this("Leave `--kubeconfig` out to see those of this machine."));
    };
    match verb {
        cli::workflow::Artifacts::List { name, namespace, output } => {
            let found = find(&client, state, &namespace.namespace, &name).await?;
            let size = |one: &Found| one.size.map_or_else(|| "gone".to_owned(), |size| size.to_string());
            let row = |one: &Found| {
                vec![one.name.clone(), one.node.clone(), size(one), one.path.clone(), one.key.clone()]
            };
            let rows = found.iter().map(row).collect();
            let columns = vec!["name", "node", "bytes", "path"];
            voice::list(output.output, &found, voice::Table { columns, wide: vec!["key"], rows })?;
            Ok(Answer::Yes)
        }
        cli::workflow::Artifacts::Get { name, artifact, to, namespace } => {
            let found = find(&client, state, &namespace.namespace, &name).await?;
            let one = choose(&found, &artifact)?;
            let own = one.key.rsplit('/').next().unwrap_or(&one.name);
            let to = to.unwrap_or_else(|| PathBuf::from(own));
            let to = if to.is_dir() { to.join(own) } else { to };
            store_of(state.root())
                .copy_to(&one.key, &to)
                .map_err(|e| crate::io(&to, "copying the artifact to", &e))?;
            voice::data(&to.display().to_string());
            Ok(Answer::Yes)
        }
    }
}

async fn find(client: &Client, state: &State, namespace: &str, name: &str) -> Result<Vec<Found>, Problem> {
    let workflow = resolve(client, namespace, name).await?;
    let store = store_of(state.root());
    let found = kept(&workflow.data);
    tracing::debug!(workflow = workflow.name_any(), count = found.len(), "artifacts");
    Ok(found
        .into_iter()
        .map(|mut one| {
            if let Some((size, folder)) = store.size(&one.key) {
                (one.size, one.folder) = (Some(size), folder);
            }
            one
        })
        .collect())
}

/// What the nodes of a workflow have kept in the default store.
fn kept(workflow: &Value) -> Vec<Found> {
    let nodes = workflow["status"]["nodes"].as_object();
    let mut found: Vec<Found> = nodes
        .into_iter()
        .flatten()
        // Steps and DAGs only hand on what their pods have kept.
        .filter(|(_, node)| node["type"] == "Pod")
        .flat_map(|(_, node)| {
            let all = node["outputs"]["artifacts"].as_array().into_iter().flatten();
            all.filter_map(|artifact| {
                Some(Found {
                    node: text(node, &["displayName"]),
                    name: text(artifact, &["name"]),
                    path: text(artifact, &["path"]),
                    key: artifact["s3"]["key"].as_str()?.to_owned(),
                    size: None,
                    folder: false,
                })
            })
        })
        .collect();
    found.sort_by(|a, b| (&a.node, &a.name).cmp(&(&b.node, &b.name)));
    found
}

fn choose<'a>(found: &'a [Found], asked: &str) -> Result<&'a Found, Problem> {
    let full = |one: &Found| format!("{}/{}", one.node, one.name);
    let matching: Vec<&Found> = found.iter().filter(|one| one.name == asked || full(one) == asked).collect();
    match matching.as_slice() {
        [one] => Ok(one),
        [] => {
            let names: Vec<String> = found.iter().map(full).collect();
            let problem =
                Problem::new("G0514", Kind::NotFound, format!("No node has kept an artifact `{asked}`."));
            let near = did_you_mean(asked, names.iter().map(String::as_str));
            Err(match near {
                Some(near) => problem.try_this(format!("Did you mean `{near}`?")),
                None => problem.try_this(format!("There are: {}.", names.join(", "))),
            })
        }
        several => {
            let names: Vec<String> = several.iter().map(|one| full(one)).collect();
            Err(Problem::new("G0514", Kind::Usage, format!("Several nodes have kept an artifact `{asked}`."))
                .try_this(format!("Name one of them: {}.", names.join(", "))))
        }
    }
}
