//! From a commit to a Release and the Workflow that carries it.
//!
//! The release is named after the last commit that touched `galley.yaml`, so the same state of the repository always
//! leads to the same names, and a crash between two of the steps below is repaired by doing them again. What was last
//! acted on is kept in the ConfigMap `release-trigger`.

use galley_git::Repo;
use galley_problem::Problem;
use galley_release_types::{PIPELINE_NAMESPACE, ReleaseSpec, parse_model_file};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};

use crate::{Records, api_problem};

/// The file that says what to train.
const MODEL_FILE: &str = "galley.yaml";
/// Where the trigger remembers what it last acted on.
const MEMORY: &str = "release-trigger";

/// What the repository asks for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Name of the release.
    pub release: String,
    /// What was asked, and by which commit.
    pub spec: ReleaseSpec,
}

/// What the head of `branch` asks for; nothing while the branch is empty or has no model file.
pub(crate) async fn wanted(repository: &Repo, branch: &str) -> Result<Option<Wanted>, Problem> {
    let Some(head) = repository.resolve(branch).await? else { return Ok(None) };
    let Some(text) = repository.read_file(&head, MODEL_FILE).await? else { return Ok(None) };
    let model = parse_model_file(MODEL_FILE, &String::from_utf8_lossy(&text))?;
    let Some(commit) = repository.log(&head, Some(MODEL_FILE), 1).await?.into_iter().next() else {
        return Ok(None);
    };
    let short = commit.id.get(..10).unwrap_or(&commit.id);
    Ok(Some(Wanted {
        release: format!("r-{short}"),
        spec: ReleaseSpec {
            commit: commit.id.clone(),
            training_digest: model.training_digest(),
            reason: commit.subject,
        },
    }))
}

/// The training digest that was last acted on.
pub(crate) async fn acted_on(client: &Client) -> Result<Option<String>, Problem> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), PIPELINE_NAMESPACE);
    let memory = api.get_opt(MEMORY).await.map_err(|e| api_problem("to show the trigger's memory", &e))?;
    Ok(memory.and_then(|map| map.data).and_then(|mut data| data.remove("trainingDigest")))
}

/// Makes the Release and its Workflow, then remembers it. Each part may be there already.
pub(crate) async fn start(client: &Client, template: &str, wanted: &Wanted) -> Result<(), Problem> {
    Records::new(client.clone()).ensure(&wanted.release, &wanted.spec).await?;
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow"),
        "workflows",
    );
    let workflows: Api<DynamicObject> = Api::namespaced_with(client.clone(), PIPELINE_NAMESPACE, &resource);
    let name = wanted.release.replacen("r-", "train-", 1);
    let mut workflow = DynamicObject::new(&name, &resource);
    workflow.metadata.labels = Some([("galley.dev/release".to_owned(), wanted.release.clone())].into());
    workflow.data = serde_json::json!({ "spec": {
        "workflowTemplateRef": { "name": template },
        "arguments": { "parameters": [
            { "name": "release", "value": wanted.release },
            { "name": "revision", "value": wanted.spec.commit },
        ] },
    } });
    match workflows.create(&PostParams::default(), &workflow).await {
        Ok(_) => tracing::info!(release = %wanted.release, workflow = %name, "release started"),
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(api_problem("to start the workflow", &error)),
    }
    Records::new(client.clone())
        .update(&wanted.release, |status| status.workflow = Some(name.clone()))
        .await?;
    remember(client, wanted).await
}

/// Keeps what was acted on, so that the same state asks for nothing again.
pub(crate) async fn remember(client: &Client, wanted: &Wanted) -> Result<(), Problem> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), PIPELINE_NAMESPACE);
    let data = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": MEMORY },
        "data": { "trainingDigest": wanted.spec.training_digest, "release": wanted.release },
    });
    let attempt = "to keep the trigger's memory";
    let patched = api.patch(MEMORY, &PatchParams::default(), &Patch::Merge(&data)).await;
    match patched {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let map: ConfigMap = serde_json::from_value(data)
                .map_err(|e| Problem::new("G1001", galley_problem::Kind::Internal, attempt).because(&e))?;
            api.create(&PostParams::default(), &map).await.map(drop).map_err(|e| api_problem(attempt, &e))
        }
        Err(error) => Err(api_problem(attempt, &error)),
    }
}
