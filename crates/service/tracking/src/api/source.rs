//! Where a model version comes from: what a source may name, and where its files are.
//!
//! A version promises whoever loads it that its files belong to the run or logged model it names, so a source inside
//! the artifact proxy must lie in that run's or model's folder.

use galley_mlflow::{ApiError, ErrorCode, KeyValue, LoggedModel, ModelVersion, limits, path};
use serde_json::{Value, json};

use crate::{failure::Failure, service::Shared};

/// Tag of a logged model that lists the versions registered from it.
const VERSIONS_TAG: &str = "mlflow.modelVersions";

/// What a request names.
pub(super) struct Given {
    pub(super) source: String,
    pub(super) run_id: String,
    pub(super) model_id: String,
}

/// What is recorded.
pub(super) struct Origin {
    pub(super) source: String,
    pub(super) storage: String,
    pub(super) run_id: String,
    pub(super) model_id: String,
}

/// Checks a source and finds its files.
pub(super) async fn resolve(shared: &Shared, given: Given) -> Result<Origin, Failure> {
    check_spelling(&given.source)?;
    let model = match given.model_id.as_str() {
        "" => None,
        id => Some(shared.store.logged_model(id.to_owned(), false).await?),
    };
    let origin =
        match given.source.split_once(':').map(|(scheme, rest)| (scheme, rest.trim_start_matches('/'))) {
            Some(("models", rest)) => from_models(shared, &given, rest).await?,
            Some(("runs", rest)) => from_runs(shared, &given, rest).await?,
            Some(("mlflow-artifacts", _)) => from_proxy(shared, &given, model.as_ref()).await?,
            _ => origin(&given, given.source.clone()),
        };
    Ok(with_run_of(model, origin))
}

fn origin(given: &Given, storage: String) -> Origin {
    Origin {
        source: given.source.clone(),
        storage,
        run_id: given.run_id.clone(),
        model_id: given.model_id.clone(),
    }
}

/// A version registered from a logged model belongs to the run that made the model.
fn with_run_of(model: Option<LoggedModel>, mut origin: Origin) -> Origin {
    if origin.run_id.is_empty()
        && let Some(run) = model.and_then(|model| model.info.source_run_id)
    {
        origin.run_id = run;
    }
    origin
}

fn check_spelling(source: &str) -> Result<(), ApiError> {
    let climbs = source.split(['/', '\\']).any(|part| {
        let part = part.to_ascii_lowercase();
        part == ".." || part.contains("%2e") || part.contains("%2f") || part.contains("%00")
    });
    let scheme = source.split_once(':').map_or("", |(scheme, _)| scheme);
    if climbs || source.contains(|c: char| c.is_control()) {
        return Err(ApiError::invalid(format!(
            "Invalid model version source: '{source}'. If supplying a source as an http, https, local file path, ftp, \
             objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references \
             present. Please provide an absolute path."
        )));
    }
    if scheme.is_empty() || scheme.contains('/') || scheme == "file" {
        return Err(ApiError::invalid(format!(
            "Invalid model version source: '{source}'. To use a local path as a model version source, the run_id \
             request parameter has to be specified and the local path has to be contained within the artifact \
             directory of the run specified by the run_id."
        )));
    }
    Ok(())
}

fn unrelated(source: &str, parameter: &str) -> Failure {
    Failure(ApiError::invalid(format!(
        "Invalid model version source: '{source}'. The {parameter} request parameter must identify the resource that \
         contains the source."
    )))
}

/// `models:/m-...` is a logged model, `models:/name/3` and `models:/name@alias` another version.
async fn from_models(shared: &Shared, given: &Given, rest: &str) -> Result<Origin, Failure> {
    if !rest.contains('/') && !rest.contains('@') {
        if given.model_id != rest {
            return Err(unrelated(&given.source, "model_id"));
        }
        let model = shared.store.logged_model(rest.to_owned(), false).await?;
        return Ok(origin(given, model.info.artifact_uri));
    }
    let version = match (rest.split_once('@'), rest.split_once('/')) {
        (Some((name, alias)), _) => shared.store.version_by_alias(name.to_owned(), alias.to_owned()).await?,
        (None, Some((name, number))) if number.chars().all(|c| c.is_ascii_digit()) => {
            shared.store.version(name.to_owned(), limits::version(number)?).await?
        }
        (None, Some((name, stage))) => by_stage(shared, name, stage).await?,
        (None, None) => return Err(unrelated(&given.source, "model_id")),
    };
    let number = limits::version(&version.version)?;
    let storage = shared.store.version_storage(version.name.clone(), number).await?;
    let run_id = if given.run_id.is_empty() { version.run_id } else { given.run_id.clone() };
    Ok(Origin {
        source: format!("models:/{}/{number}", version.name),
        storage,
        run_id,
        model_id: given.model_id.clone(),
    })
}

async fn by_stage(shared: &Shared, name: &str, stage: &str) -> Result<ModelVersion, Failure> {
    if stage.eq_ignore_ascii_case("latest") {
        return Ok(shared.store.version_by_alias(name.to_owned(), "latest".into()).await?);
    }
    let stage = galley_mlflow::Stage::parse(stage)?;
    let found = shared.store.latest_versions(name.to_owned(), vec![stage]).await?;
    found.into_iter().next().ok_or_else(|| {
        Failure(ApiError::absent(format!(
            "No versions of model with name '{name}' and stage '{}' found",
            stage.name()
        )))
    })
}

async fn from_runs(shared: &Shared, given: &Given, rest: &str) -> Result<Origin, Failure> {
    let (run, inner) = rest.split_once('/').unwrap_or((rest, ""));
    if run != given.run_id {
        return Err(unrelated(&given.source, "run_id"));
    }
    let run = shared.store.run(run.to_owned()).await.map_err(|_| unrelated(&given.source, "run_id"))?;
    Ok(origin(given, path::join(&run.info.artifact_uri, inner)))
}

async fn from_proxy(shared: &Shared, given: &Given, model: Option<&LoggedModel>) -> Result<Origin, Failure> {
    if let Some(model) = model {
        if path::is_within(&given.source, &model.info.artifact_uri) {
            return Ok(origin(given, given.source.clone()));
        }
        return Err(unrelated(&given.source, "model_id"));
    }
    if given.run_id.is_empty() {
        return Err(unrelated(&given.source, "run_id"));
    }
    let run = shared.store.run(given.run_id.clone()).await.map_err(|_| unrelated(&given.source, "run_id"))?;
    // Clients of 3.0 name the folder of the model that the run has logged, and only the run.
    let mut roots = vec![run.info.artifact_uri];
    for output in run.outputs.model_outputs {
        if let Ok(model) = shared.store.logged_model(output.model_id, false).await {
            roots.push(model.info.artifact_uri);
        }
    }
    if roots.iter().any(|root| path::is_within(&given.source, root)) {
        return Ok(origin(given, given.source.clone()));
    }
    Err(unrelated(&given.source, "run_id"))
}

/// Notes at a logged model which version was registered from it.
pub(super) async fn note_version(
    shared: &Shared,
    model_id: String,
    version: &ModelVersion,
) -> Result<(), Failure> {
    let model = shared.store.logged_model(model_id.clone(), false).await?;
    let known = model.info.tags.iter().find(|tag| tag.key == VERSIONS_TAG);
    let mut versions: Vec<Value> =
        known.and_then(|tag| serde_json::from_str(&tag.value).ok()).unwrap_or_default();
    versions.push(json!({ "name": version.name, "version": version.number() }));
    let value = serde_json::to_string(&versions)
        .map_err(|error| ApiError::new(ErrorCode::InternalError, error.to_string()))?;
    shared.store.set_logged_model_tags(model_id, vec![KeyValue::new(VERSIONS_TAG, value)]).await?;
    Ok(())
}
