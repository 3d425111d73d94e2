//! `/registered-models`.

use axum::{
    Router,
    extract::State,
    routing::{get, patch, post},
};
use galley_mlflow::{KeyValue, Stage, filter, limits};
use galley_store::tracking::NewModel;
use serde_json::Value;

use super::{done, search};
use crate::{
    failure::{Answer, answer, json},
    input::Input,
    service::Shared,
};

/// Most registered models on one page.
const PAGE: i64 = 1000;

pub(super) fn reads() -> Router<Shared> {
    Router::new()
        .route("/registered-models/get", get(fetch))
        .route("/registered-models/search", get(find))
        .route("/registered-models/get-latest-versions", get(latest).post(latest))
        .route("/registered-models/alias", get(by_alias))
}

pub(super) fn writes() -> Router<Shared> {
    use axum::routing::delete as del;
    Router::new()
        .route("/registered-models/create", post(create))
        .route("/registered-models/rename", post(rename))
        .route("/registered-models/update", patch(update))
        .route("/registered-models/delete", del(delete))
        .route("/registered-models/set-tag", post(set_tag))
        .route("/registered-models/delete-tag", del(delete_tag))
        .route("/registered-models/alias", post(set_alias).delete(delete_alias))
}

async fn create(State(shared): State<Shared>, input: Input) -> Answer {
    let new = NewModel {
        name: input.required("name")?,
        description: input.text_or_empty("description")?,
        tags: input.list("tags")?,
        now: shared.now(),
    };
    limits::model_name(&new.name)?;
    limits::length("description", limits::MAX_TEXT, &new.description)?;
    for tag in &new.tags {
        limits::registry_tag(tag)?;
    }
    let model = shared.store.create_registered_model(new).await?;
    answer([("registered_model", json(model))])
}

async fn fetch(State(shared): State<Shared>, input: Input) -> Answer {
    let name = input.required("name")?;
    limits::model_name(&name)?;
    answer([("registered_model", json(shared.store.registered_model(name).await?))])
}

async fn update(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, description) = (input.required("name")?, input.text_or_empty("description")?);
    limits::length("description", limits::MAX_TEXT, &description)?;
    let model = shared.store.describe_registered_model(name, description, shared.now()).await?;
    answer([("registered_model", json(model))])
}

async fn rename(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, new) = (input.required("name")?, input.required("new_name")?);
    limits::model_name(&new)?;
    let model = shared.store.rename_registered_model(name, new, shared.now()).await?;
    answer([("registered_model", json(model))])
}

async fn delete(State(shared): State<Shared>, input: Input) -> Answer {
    shared.store.delete_registered_model(input.required("name")?).await?;
    done()
}

async fn find(State(shared): State<Shared>, input: Input) -> Answer {
    let search = search(&input, &filter::REGISTERED_MODELS, 100, PAGE)?;
    let page = shared.store.search_registered_models(search).await?;
    answer([
        ("registered_models", json(page.items)),
        ("next_page_token", page.next.map_or(Value::Null, Value::from)),
    ])
}

async fn latest(State(shared): State<Shared>, input: Input) -> Answer {
    let name = input.required("name")?;
    let mut stages: Vec<Stage> = Vec::new();
    for text in input.texts("stages")? {
        let stage = Stage::parse(&text)?;
        if !stages.contains(&stage) {
            stages.push(stage);
        }
    }
    if stages.is_empty() {
        stages.extend(Stage::ALL);
    }
    let versions = shared.store.latest_versions(name, stages).await?;
    answer([("model_versions", json(versions))])
}

async fn set_tag(State(shared): State<Shared>, input: Input) -> Answer {
    let tag = KeyValue::new(input.required("key")?, input.text_or_empty("value")?);
    limits::registry_tag(&tag)?;
    shared.store.set_registered_model_tag(input.required("name")?, tag).await?;
    done()
}

async fn delete_tag(State(shared): State<Shared>, input: Input) -> Answer {
    shared.store.delete_registered_model_tag(input.required("name")?, input.required("key")?).await?;
    done()
}

async fn set_alias(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, alias) = (input.required("name")?, input.required("alias")?);
    limits::new_alias(&alias)?;
    let version = limits::version(&input.required("version")?)?;
    shared.store.set_alias(name, alias, version).await?;
    done()
}

async fn delete_alias(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, alias) = (input.required("name")?, input.required("alias")?);
    limits::alias(&alias)?;
    shared.store.delete_alias(name, alias).await?;
    done()
}

async fn by_alias(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, alias) = (input.required("name")?, input.required("alias")?);
    limits::alias(&alias)?;
    answer([("model_version", json(shared.store.version_by_alias(name, alias).await?))])
}
