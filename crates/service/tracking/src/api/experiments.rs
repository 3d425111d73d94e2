//! `/experiments`.

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use galley_mlflow::{ApiError, KeyValue, LifecycleStage, filter, limits};
use galley_store::tracking::NewExperiment;
use serde_json::Value;

use super::{done, search, view};
use crate::{
    failure::{Answer, answer, json},
    input::Input,
    service::Shared,
};

/// Most experiments on one page.
const PAGE: i64 = 50_000;

pub(super) fn reads() -> Router<Shared> {
    Router::new()
        .route("/experiments/get", get(fetch))
        .route("/experiments/get-by-name", get(fetch_by_name))
        .route("/experiments/search", get(find).post(find))
}

pub(super) fn writes() -> Router<Shared> {
    Router::new()
        .route("/experiments/create", post(create))
        .route("/experiments/update", post(update))
        .route("/experiments/delete", post(delete))
        .route("/experiments/restore", post(restore))
        .route("/experiments/set-experiment-tag", post(set_tag))
        .route("/experiments/delete-experiment-tag", post(delete_tag))
}

async fn create(State(shared): State<Shared>, input: Input) -> Answer {
    let new = NewExperiment {
        name: input.required("name")?,
        artifact_location: location(input.text_or_empty("artifact_location")?)?,
        root: "mlflow-artifacts:".into(),
        tags: input.list("tags")?,
        now: shared.now(),
    };
    limits::experiment_name(&new.name)?;
    for tag in &new.tags {
        limits::experiment_tag(tag)?;
    }
    let id = shared.store.create_experiment(new).await?;
    answer([("experiment_id", id.into())])
}

/// A location of one's own must be a URI: a path of this machine would let clients name any file of it.
fn location(location: String) -> Result<String, ApiError> {
    limits::length("artifact_location", limits::MAX_TEXT, &location)?;
    let scheme = location.split_once(':').map(|(scheme, _)| scheme);
    let refused =
        |why: &str| Err(ApiError::invalid(format!("Invalid artifact location '{location}'. {why}")));
    match scheme {
        _ if location.is_empty() => Ok(location),
        None | Some("file" | "") => refused("It must be a URI of an object store or of the artifact proxy."),
        Some("runs" | "models") => refused("It cannot refer to runs or models."),
        Some(_) if location.contains(['#', '?']) || location.split('/').any(|part| part == "..") => {
            refused("It may not hold '..', '#' or '?'.")
        }
        Some(_) => Ok(location),
    }
}

async fn fetch(State(shared): State<Shared>, input: Input) -> Answer {
    let experiment = shared.store.experiment(input.required("experiment_id")?).await?;
    answer([("experiment", json(experiment))])
}

async fn fetch_by_name(State(shared): State<Shared>, input: Input) -> Answer {
    let experiment = shared.store.experiment_by_name(input.required("experiment_name")?).await?;
    answer([("experiment", json(experiment))])
}

async fn find(State(shared): State<Shared>, input: Input) -> Answer {
    let mut search = search(&input, &filter::EXPERIMENTS, 1000, PAGE)?;
    search.view = view(&input, "view_type")?;
    let page = shared.store.search_experiments(search).await?;
    answer([
        ("experiments", json(page.items)),
        ("next_page_token", page.next.map_or(Value::Null, Value::from)),
    ])
}

async fn update(State(shared): State<Shared>, input: Input) -> Answer {
    let (id, name) = (input.required("experiment_id")?, input.required("new_name")?);
    limits::experiment_name(&name)?;
    shared.store.rename_experiment(id, name, shared.now()).await?;
    done()
}

async fn delete(State(shared): State<Shared>, input: Input) -> Answer {
    let id = input.required("experiment_id")?;
    shared.store.move_experiment(id, LifecycleStage::Deleted, shared.now()).await?;
    done()
}

async fn restore(State(shared): State<Shared>, input: Input) -> Answer {
    let id = input.required("experiment_id")?;
    shared.store.move_experiment(id, LifecycleStage::Active, shared.now()).await?;
    done()
}

async fn set_tag(State(shared): State<Shared>, input: Input) -> Answer {
    let id = input.required("experiment_id")?;
    let tag = KeyValue::new(input.required("key")?, input.text_or_empty("value")?);
    limits::experiment_tag(&tag)?;
    shared.store.set_experiment_tag(id, tag).await?;
    done()
}

async fn delete_tag(State(shared): State<Shared>, input: Input) -> Answer {
    shared.store.delete_experiment_tag(input.required("experiment_id")?, input.required("key")?).await?;
    done()
}
