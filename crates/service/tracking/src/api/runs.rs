//! `/runs`, `/metrics` and `/artifacts`.

use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use galley_mlflow::{
    ApiError, DatasetInput, FileInfo, KeyValue, LOGGED_MODELS_TAG, LifecycleStage, Metric, ModelInput,
    ModelOutput, RUN_NAME_TAG, RunStatus, filter, limits, path,
};
use galley_store::tracking::{NewRun, RunChange, RunSearch, Search};
use serde_json::{Map, Value};

use super::{done, search, view};
use crate::{
    failure::{Answer, Failure, answer, json},
    input::Input,
    names,
    service::Shared,
};

/// Most runs on one page.
const PAGE: i64 = 50_000;
/// Most values of a metric in one answer.
const HISTORY: i64 = 1_000_000;

pub(super) fn reads() -> Router<Shared> {
    Router::new()
        .route("/runs/get", get(fetch))
        .route("/runs/search", post(find))
        .route("/metrics/get-history", get(history))
        .route("/artifacts/list", get(artifacts))
}

pub(super) fn writes() -> Router<Shared> {
    Router::new()
        .route("/runs/create", post(create))
        .route("/runs/update", post(update))
        .route("/runs/delete", post(delete))
        .route("/runs/restore", post(restore))
        .route("/runs/log-metric", post(log_metric))
        .route("/runs/log-parameter", post(log_param))
        .route("/runs/log-batch", post(log_batch))
        .route("/runs/log-inputs", post(log_inputs))
        .route("/runs/outputs", post(log_outputs))
        .route("/runs/log-model", post(log_model))
        .route("/runs/set-tag", post(set_tag))
        .route("/runs/delete-tag", post(delete_tag))
}

async fn create(State(shared): State<Shared>, input: Input) -> Answer {
    let mut tags: Vec<KeyValue> = input.list("tags")?;
    for (index, tag) in tags.iter_mut().enumerate() {
        limits::tag(tag, &format!("tags[{index}]."))?;
    }
    let given = input.text("run_name")?.filter(|name| !name.is_empty());
    let tagged = tags.iter().rev().find(|tag| tag.key == RUN_NAME_TAG).map(|tag| tag.value.clone());
    if let (Some(given), Some(tagged)) = (&given, &tagged)
        && given != tagged
        && !tagged.is_empty()
    {
        return Err(ApiError::invalid(format!(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values \
             (run_name='{given}', mlflow.runName='{tagged}')."
        ))
        .into());
    }
    let name = given.or(tagged).filter(|name| !name.is_empty()).unwrap_or_else(names::random);
    limits::length("run_name", limits::MAX_TAG_VALUE, &name)?;
    let experiment = input.text("experiment_id")?.filter(|id| !id.is_empty()).unwrap_or_else(|| "0".into());
    let new = NewRun {
        run_id: names::id(),
        experiment_id: experiment,
        user_id: input.text_or_empty("user_id")?,
        name,
        start_time: input.int("start_time")?.unwrap_or(0),
        tags,
    };
    limits::length("user_id", limits::MAX_ALIAS, &new.user_id)?;
    let run = shared.store.create_run(new).await?;
    answer([("run", json(run))])
}

async fn fetch(State(shared): State<Shared>, input: Input) -> Answer {
    let run = shared.store.run(input.run_id()?).await?;
    answer([("run", json(run))])
}

async fn update(State(shared): State<Shared>, input: Input) -> Answer {
    let status = match input.word("status")? {
        None => None,
        Some(word) => Some(RunStatus::parse(&word).ok_or_else(|| {
            ApiError::invalid(format!("Invalid value \"{word}\" for parameter 'status' supplied."))
        })?),
    };
    let name = input.text("run_name")?;
    if let Some(name) = &name {
        limits::length("run_name", limits::MAX_TAG_VALUE, name)?;
    }
    let change = RunChange { status, end_time: input.int("end_time")?, name };
    let info = shared.store.update_run(input.run_id()?, change).await?;
    answer([("run_info", json(info))])
}

async fn delete(State(shared): State<Shared>, input: Input) -> Answer {
    shared.store.move_run(input.run_id()?, LifecycleStage::Deleted).await?;
    done()
}

async fn restore(State(shared): State<Shared>, input: Input) -> Answer {
    shared.store.move_run(input.run_id()?, LifecycleStage::Active).await?;
    done()
}

async fn find(State(shared): State<Shared>, input: Input) -> Answer {
    let mut search = search(&input, &filter::RUNS, 1000, PAGE)?;
    search.view = view(&input, "run_view_type")?;
    let page =
        shared.store.search_runs(RunSearch { experiments: input.texts("experiment_ids")?, search }).await?;
    answer([("runs", json(page.items)), ("next_page_token", page.next.map_or(Value::Null, Value::from))])
}

async fn log_metric(State(shared): State<Shared>, input: Input) -> Answer {
    let metric = Metric {
        key: input.required("key")?,
        value: input.double("value")?,
        timestamp: input.int("timestamp")?.ok_or_else(|| ApiError::missing("timestamp"))?,
        step: input.int("step")?.unwrap_or(0),
        model_id: input.text("model_id")?.filter(|id| !id.is_empty()),
        dataset_name: input.text("dataset_name")?.filter(|name| !name.is_empty()),
        dataset_digest: input.text("dataset_digest")?.filter(|digest| !digest.is_empty()),
        run_id: None,
    };
    limits::metric(&metric, "")?;
    shared.store.log(input.run_id()?, vec![metric], vec![], vec![]).await?;
    done()
}

async fn log_param(State(shared): State<Shared>, input: Input) -> Answer {
    let mut param = KeyValue::new(input.required("key")?, input.text_or_empty("value")?);
    limits::param(&mut param, "")?;
    shared.store.log(input.run_id()?, vec![], vec![param], vec![]).await?;
    done()
}

async fn set_tag(State(shared): State<Shared>, input: Input) -> Answer {
    let mut tag = KeyValue::new(input.required("key")?, input.text_or_empty("value")?);
    limits::tag(&mut tag, "")?;
    shared.store.log(input.run_id()?, vec![], vec![], vec![tag]).await?;
    done()
}

async fn delete_tag(State(shared): State<Shared>, input: Input) -> Answer {
    shared.store.delete_run_tag(input.run_id()?, input.required("key")?).await?;
    done()
}

async fn log_batch(State(shared): State<Shared>, input: Input) -> Answer {
    let run = input.run_id()?;
    let mut metrics: Vec<Metric> = input.list("metrics")?;
    let (mut params, mut tags): (Vec<KeyValue>, Vec<KeyValue>) = (input.list("params")?, input.list("tags")?);
    limits::batch(&metrics, &mut params, &mut tags)?;
    for metric in &mut metrics {
        // An empty text and an absent field are the same in protocol buffers.
        metric.model_id = metric.model_id.take().filter(|id| !id.is_empty());
    }
    shared.store.log(run, metrics, params, tags).await?;
    done()
}

async fn log_inputs(State(shared): State<Shared>, input: Input) -> Answer {
    let (datasets, models): (Vec<DatasetInput>, Vec<ModelInput>) =
        (input.list("datasets")?, input.list("models")?);
    if datasets.len() + models.len() > limits::MAX_DATASETS {
        return Err(
            ApiError::invalid(format!("At most {} inputs in one request.", limits::MAX_DATASETS)).into()
        );
    }
    for input in &datasets {
        dataset(input)?;
    }
    shared.store.log_inputs(input.run_id()?, datasets, models).await?;
    done()
}

fn dataset(input: &DatasetInput) -> Result<(), ApiError> {
    let dataset = &input.dataset;
    for (what, value) in
        [("name", &dataset.name), ("digest", &dataset.digest), ("source_type", &dataset.source_type)]
    {
        if value.is_empty() {
            return Err(ApiError::invalid(format!("Dataset {what} cannot be None")));
        }
    }
    limits::length("name", 500, &dataset.name)?;
    limits::length("digest", 36, &dataset.digest)?;
    limits::length("source_type", 36, &dataset.source_type)?;
    limits::length("source", 65_535, &dataset.source)?;
    limits::length("schema", 1_048_575, dataset.schema.as_deref().unwrap_or(""))?;
    limits::length("profile", 16_777_215, dataset.profile.as_deref().unwrap_or(""))?;
    for tag in &input.tags {
        limits::length("key", 255, &tag.key)?;
        limits::length("value", 500, &tag.value)?;
    }
    Ok(())
}

async fn log_outputs(State(shared): State<Shared>, input: Input) -> Answer {
    let models: Vec<ModelOutput> = input.list("models")?;
    if models.is_empty() {
        return Err(ApiError::missing("models").into());
    }
    if models.len() > limits::MAX_DATASETS {
        return Err(
            ApiError::invalid(format!("At most {} outputs in one request.", limits::MAX_DATASETS)).into()
        );
    }
    shared.store.log_outputs(input.run_id()?, models).await?;
    done()
}

/// What clients before 3.0 call at the end of `log_model`: the model is noted in a tag of the run.
async fn log_model(State(shared): State<Shared>, input: Input) -> Answer {
    let (run, text) = (input.run_id()?, input.required("model_json")?);
    let model: Map<String, Value> = serde_json::from_str(&text)
        .map_err(|_| ApiError::invalid(format!("Malformed model info. \n {text} \n is not a valid JSON.")))?;
    let missing: Vec<&str> = ["artifact_path", "flavors", "utc_time_created", "run_id"]
        .into_iter()
        .filter(|field| !model.contains_key(*field))
        .collect();
    if !missing.is_empty() {
        return Err(ApiError::invalid(format!(
            "Model json is missing mandatory fields: '{}'",
            missing.join("', '")
        ))
        .into());
    }
    let mut kept: Map<String, Value> = ["run_id", "utc_time_created", "artifact_path", "model_uuid"]
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), model.get(field)?.clone())))
        .collect();
    let mut flavors = model.get("flavors").cloned().unwrap_or_default();
    for flavor in flavors.as_object_mut().into_iter().flat_map(|flavors| flavors.values_mut()) {
        if let Some(flavor) = flavor.as_object_mut() {
            flavor.remove("config");
        }
    }
    kept.insert("flavors".into(), flavors);
    shared.store.append_to_tag(run, LOGGED_MODELS_TAG, Value::Object(kept)).await?;
    done()
}

async fn history(State(shared): State<Shared>, input: Input) -> Answer {
    let (run, key) = (input.run_id()?, input.required("metric_key")?);
    let max_results = input.int("max_results")?.unwrap_or(HISTORY);
    let page = Search::default().paged(max_results, HISTORY, input.text("page_token")?.as_deref())?;
    let page = shared.store.metric_history(run, key, page).await?;
    answer([("metrics", json(page.items)), ("next_page_token", page.next.map_or(Value::Null, Value::from))])
}

async fn artifacts(State(shared): State<Shared>, input: Input) -> Answer {
    let path = input.text_or_empty("path")?;
    let root = shared.store.run(input.run_id()?).await?.info.artifact_uri;
    let files = listed(&shared, &root, &path).await?;
    answer([("root_uri", root.into()), ("files", json(files))])
}

/// Lists the artifacts below a root; their paths are relative to the root.
pub(super) async fn listed(shared: &Shared, root: &str, path: &str) -> Result<Vec<FileInfo>, Failure> {
    path::safe_parts(path)?;
    let folder = path::proxied(root).ok_or_else(|| {
        ApiError::invalid(format!("The artifacts at '{root}' are not served here; ask their store."))
    })?;
    let path = path.trim_matches('/');
    let mut files = shared.files.list(&path::join(folder, path)).await?;
    for file in &mut files {
        if !path.is_empty() {
            file.path = format!("{path}/{}", file.path);
        }
    }
    Ok(files)
}
