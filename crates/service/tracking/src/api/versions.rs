//! `/model-versions`.

use axum::{
    Router,
    extract::State,
    routing::{get, patch, post},
};
use galley_mlflow::{ApiError, KeyValue, Stage, filter, limits};
use galley_store::tracking::NewVersion;
use serde_json::Value;

use super::{done, search, source};
use crate::{
    failure::{Answer, answer, json},
    input::Input,
    service::Shared,
};

/// Most versions on one page.
const PAGE: i64 = 200_000;

pub(super) fn reads() -> Router<Shared> {
    Router::new()
        .route("/model-versions/get", get(fetch))
        .route("/model-versions/search", get(find))
        .route("/model-versions/get-download-uri", get(download_uri))
}

pub(super) fn writes() -> Router<Shared> {
    use axum::routing::delete as del;
    Router::new()
        .route("/model-versions/create", post(create))
        .route("/model-versions/update", patch(update))
        .route("/model-versions/transition-stage", post(transition))
        .route("/model-versions/delete", del(delete))
        .route("/model-versions/set-tag", post(set_tag))
        .route("/model-versions/delete-tag", del(delete_tag))
}

/// The version that a request names.
fn named(input: &Input) -> Result<(String, i64), ApiError> {
    let name = input.required("name")?;
    let version = input.word("version")?.ok_or_else(|| ApiError::missing("version"))?;
    Ok((name, limits::version(&version)?))
}

async fn create(State(shared): State<Shared>, input: Input) -> Answer {
    let name = input.required("name")?;
    limits::model_name(&name)?;
    let tags: Vec<KeyValue> = input.list("tags")?;
    for tag in &tags {
        limits::registry_tag(tag)?;
    }
    let given = source::Given {
        source: input.required("source")?,
        run_id: input.text_or_empty("run_id")?,
        model_id: input.text_or_empty("model_id")?,
    };
    limits::length("source", limits::MAX_TEXT, &given.source)?;
    let origin = source::resolve(&shared, given).await?;
    let new = NewVersion {
        name,
        source: origin.source,
        storage: origin.storage,
        run_id: origin.run_id,
        run_link: input.text_or_empty("run_link")?,
        description: input.text_or_empty("description")?,
        tags,
        now: shared.now(),
    };
    limits::length("run_link", limits::MAX_TEXT, &new.run_link)?;
    limits::length("description", limits::MAX_TEXT, &new.description)?;
    let version = shared.store.create_version(new).await?;
    if !origin.model_id.is_empty() {
        source::note_version(&shared, origin.model_id, &version).await?;
    }
    answer([("model_version", json(version))])
}

async fn fetch(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, version) = named(&input)?;
    answer([("model_version", json(shared.store.version(name, version).await?))])
}

async fn find(State(shared): State<Shared>, input: Input) -> Answer {
    let search = search(&input, &filter::MODEL_VERSIONS, PAGE, PAGE)?;
    let page = shared.store.search_versions(search).await?;
    answer([
        ("model_versions", json(page.items)),
        ("next_page_token", page.next.map_or(Value::Null, Value::from)),
    ])
}

async fn download_uri(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, version) = named(&input)?;
    answer([("artifact_uri", shared.store.version_storage(name, version).await?.into())])
}

async fn update(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, version) = named(&input)?;
    let description = input.text_or_empty("description")?;
    limits::length("description", limits::MAX_TEXT, &description)?;
    let version = shared.store.describe_version(name, version, description, shared.now()).await?;
    answer([("model_version", json(version))])
}

async fn transition(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, version) = named(&input)?;
    let stage = Stage::parse(&input.required("stage")?)?;
    let archive = input.flag("archive_existing_versions")?;
    let version = shared.store.move_version(name, version, stage, archive, shared.now()).await?;
    answer([("model_version", json(version))])
}

async fn delete(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, version) = named(&input)?;
    shared.store.delete_version(name, version, shared.now()).await?;
    done()
}

async fn set_tag(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, version) = named(&input)?;
    let tag = KeyValue::new(input.required("key")?, input.text_or_empty("value")?);
    limits::registry_tag(&tag)?;
    shared.store.set_version_tag(name, version, tag).await?;
    done()
}

async fn delete_tag(State(shared): State<Shared>, input: Input) -> Answer {
    let (name, version) = named(&input)?;
    shared.store.delete_version_tag(name, version, input.required("key")?).await?;
    done()
}
