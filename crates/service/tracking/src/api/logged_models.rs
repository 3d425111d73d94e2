//! `/logged-models`.

use axum::{
    Router,
    extract::{Path, State},
    routing::{get, patch, post},
};
use galley_mlflow::{
    ApiError, KeyValue, LoggedModelStatus,
    filter::{self, Entity},
    limits, order,
};
use galley_store::tracking::{LoggedModelOrder, LoggedModelSearch, NewLoggedModel, Search};
use serde::Deserialize;
use serde_json::Value;

use super::{done, paged, runs};
use crate::{
    failure::{Answer, answer, json},
    input::Input,
    names,
    service::Shared,
};

/// Most logged models on one page.
const PAGE: i64 = 1000;

pub(super) fn reads() -> Router<Shared> {
    Router::new()
        .route("/logged-models/{model}", get(fetch))
        .route("/logged-models/search", post(find))
        .route("/logged-models/{model}/artifacts/directories", get(artifacts))
}

pub(super) fn writes() -> Router<Shared> {
    Router::new()
        .route("/logged-models", post(create))
        .route("/logged-models/{model}", patch(finalize).delete(delete))
        .route("/logged-models/{model}/params", post(log_params))
        .route("/logged-models/{model}/tags", patch(set_tags))
        .route("/logged-models/{model}/tags/{key}", axum::routing::delete(delete_tag))
}

fn check_pairs(params: &mut [KeyValue], tags: &mut [KeyValue]) -> Result<(), ApiError> {
    if params.len() + tags.len() > limits::MAX_ENTITIES_PER_BATCH {
        return Err(ApiError::invalid(format!(
            "At most {} parameters and tags in one request.",
            limits::MAX_ENTITIES_PER_BATCH
        )));
    }
    params.iter_mut().try_for_each(|param| limits::param(param, ""))?;
    tags.iter_mut().try_for_each(|tag| limits::tag(tag, ""))
}

async fn create(State(shared): State<Shared>, input: Input) -> Answer {
    let name = input.text("name")?.filter(|name| !name.is_empty()).unwrap_or_else(names::random);
    limits::logged_model_name(&name)?;
    let mut new = NewLoggedModel {
        model_id: format!("m-{}", names::id()),
        experiment_id: input.required("experiment_id")?,
        name,
        model_type: Some(input.text_or_empty("model_type")?),
        source_run_id: Some(input.text_or_empty("source_run_id")?),
        params: input.list("params")?,
        tags: input.list("tags")?,
        now: shared.now(),
    };
    limits::length("model_type", limits::MAX_EXPERIMENT_NAME, new.model_type.as_deref().unwrap_or(""))?;
    check_pairs(&mut new.params, &mut new.tags)?;
    let model = shared.store.create_logged_model(new).await?;
    answer([("model", json(model))])
}

async fn fetch(State(shared): State<Shared>, Path(model): Path<String>, input: Input) -> Answer {
    let model = shared.store.logged_model(model, input.flag("allow_deleted")?).await?;
    answer([("model", json(model))])
}

async fn finalize(State(shared): State<Shared>, Path(model): Path<String>, input: Input) -> Answer {
    let word = input.word("status")?.ok_or_else(|| ApiError::missing("status"))?;
    let status = LoggedModelStatus::parse(&word).ok_or_else(|| {
        ApiError::invalid(format!("Invalid value \"{word}\" for parameter 'status' supplied."))
    })?;
    let model = shared.store.finalize_logged_model(model, status, shared.now()).await?;
    answer([("model", json(model))])
}

async fn delete(State(shared): State<Shared>, Path(model): Path<String>) -> Answer {
    shared.store.delete_logged_model(model, shared.now()).await?;
    done()
}

async fn log_params(State(shared): State<Shared>, Path(model): Path<String>, input: Input) -> Answer {
    let mut params: Vec<KeyValue> = input.list("params")?;
    check_pairs(&mut params, &mut [])?;
    shared.store.log_logged_model_params(model, params).await?;
    done()
}

async fn set_tags(State(shared): State<Shared>, Path(model): Path<String>, input: Input) -> Answer {
    let mut tags: Vec<KeyValue> = input.list("tags")?;
    check_pairs(&mut [], &mut tags)?;
    shared.store.set_logged_model_tags(model, tags).await?;
    done()
}

async fn delete_tag(State(shared): State<Shared>, Path((model, key)): Path<(String, String)>) -> Answer {
    shared.store.delete_logged_model_tag(model, key).await?;
    done()
}

/// One entry of `order_by`; unlike elsewhere it is an object.
#[derive(Deserialize)]
struct OrderBy {
    field_name: String,
    #[serde(default = "ascending")]
    ascending: bool,
    #[serde(default)]
    dataset_name: String,
    #[serde(default)]
    dataset_digest: String,
}

fn ascending() -> bool {
    true
}

#[derive(Deserialize)]
struct OnDataset {
    #[serde(default)]
    dataset_name: String,
    #[serde(default)]
    dataset_digest: String,
}

fn ordered(by: OrderBy) -> Result<LoggedModelOrder, ApiError> {
    let orders = order::parse(std::slice::from_ref(&by.field_name), &filter::LOGGED_MODELS)?;
    let [order] = orders.as_slice() else { return Err(ApiError::missing("field_name")) };
    if !matches!(order.entity, Entity::Attribute | Entity::Metric) {
        return Err(ApiError::invalid(format!(
            "Invalid order by field name: {}. Only metrics are supported.",
            by.field_name
        )));
    }
    Ok(LoggedModelOrder {
        entity: order.entity,
        key: order.key.clone(),
        ascending: by.ascending,
        dataset_name: by.dataset_name,
        dataset_digest: by.dataset_digest,
    })
}

async fn find(State(shared): State<Shared>, input: Input) -> Answer {
    let experiments = input.texts("experiment_ids")?;
    let on: Vec<OnDataset> = input.list("datasets")?;
    if on.iter().any(|dataset| dataset.dataset_name.is_empty()) {
        return Err(ApiError::invalid("`dataset_name` in the `datasets` clause must be specified.").into());
    }
    let filter = filter::parse(&input.text_or_empty("filter")?, &filter::LOGGED_MODELS)?;
    let order: Vec<OrderBy> = input.list("order_by")?;
    let page = shared
        .store
        .search_logged_models(LoggedModelSearch {
            experiments,
            datasets: on.into_iter().map(|dataset| (dataset.dataset_name, dataset.dataset_digest)).collect(),
            order: order.into_iter().map(ordered).collect::<Result<_, _>>()?,
            search: paged(&input, Search { filter, ..Search::default() }, 50, PAGE)?,
        })
        .await?;
    answer([("models", json(page.items)), ("next_page_token", page.next.map_or(Value::Null, Value::from))])
}

async fn artifacts(State(shared): State<Shared>, Path(model): Path<String>, input: Input) -> Answer {
    let root = shared.store.logged_model(model, false).await?.info.artifact_uri;
    let files = runs::listed(&shared, &root, &input.text_or_empty("artifact_directory_path")?).await?;
    answer([("root_uri", root.into()), ("files", json(files))])
}
