//! The REST interface, one file per resource.

mod experiments;
mod logged_models;
mod models;
mod runs;
mod source;
mod versions;

use axum::{Json, Router, middleware, routing::get};
use galley_mlflow::{
    ApiError, ErrorCode, ViewType,
    filter::{self, Schema},
    order,
};
use galley_store::tracking::Search;
use serde_json::{Value, json};

use crate::{MLFLOW_VERSION, access, failure::Failure, input::Input, service::Shared};

const ROOT: &str = "/api/2.0/mlflow";

/// All routes of the REST interface.
pub(crate) fn routes(shared: &Shared) -> Router<Shared> {
    let reads = experiments::reads()
        .merge(runs::reads())
        .merge(logged_models::reads())
        .merge(models::reads())
        .merge(versions::reads());
    let writes = experiments::writes()
        .merge(runs::writes())
        .merge(logged_models::writes())
        .merge(models::writes())
        .merge(versions::writes())
        .layer(middleware::from_fn_with_state(shared.clone(), access::may_write));
    Router::new()
        .nest(ROOT, reads.merge(writes))
        .route("/health", get(|| async { "OK" }))
        .route("/version", get(|| async { MLFLOW_VERSION }))
        .route("/api/3.0/mlflow/server-info", get(info))
}

async fn info() -> Json<Value> {
    Json(json!({
        "store_type": "SqlStore",
        "workspaces_enabled": false,
        "multipart_uploads_enabled": false,
        "multipart_downloads_enabled": false,
    }))
}

/// The answer where nothing is.
pub(crate) async fn unknown(request: axum::extract::Request) -> Failure {
    let message = format!("{} {} is not part of this interface.", request.method(), request.uri().path());
    Failure(ApiError::new(ErrorCode::EndpointNotFound, message))
}

/// The parts that all searches have in common.
fn search(input: &Input, schema: &Schema, default: i64, limit: i64) -> Result<Search, ApiError> {
    let search = Search {
        filter: filter::parse(&input.text_or_empty("filter")?, schema)?,
        order: order::parse(&input.texts("order_by")?, schema)?,
        view: ViewType::ActiveOnly,
        ..Search::default()
    };
    paged(input, search, default, limit)
}

fn paged(input: &Input, search: Search, default: i64, limit: i64) -> Result<Search, ApiError> {
    let max_results = input.int("max_results")?.unwrap_or(default);
    search.paged(max_results, limit, input.text("page_token")?.as_deref())
}

fn view(input: &Input, key: &str) -> Result<ViewType, ApiError> {
    let Some(word) = input.word(key)? else { return Ok(ViewType::default()) };
    ViewType::parse(&word)
        .ok_or_else(|| ApiError::invalid(format!("Invalid value \"{word}\" for parameter '{key}' supplied.")))
}

/// An answer without fields.
fn done() -> Result<Json<Value>, Failure> {
    Ok(Json(json!({})))
}
