//! `mlflow-artifacts`: upload, download, list and delete files below the artifact folder.

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, State},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use galley_mlflow::{ApiError, ErrorCode};
use http::{HeaderName, HeaderValue, header};
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;

use crate::{
    access,
    failure::{Answer, Failure, answer, json as noun},
    input::Input,
    service::Shared,
};

const ROOT: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// The routes of the artifact proxy.
pub(crate) fn routes(shared: &Shared) -> Router<Shared> {
    let file = format!("{ROOT}/{{*path}}");
    let reads = Router::new()
        .route(ROOT, get(list))
        .route(&format!("{ROOT}/"), get(list))
        .route(&file, get(download))
        .route("/api/2.0/mlflow-artifacts/presigned/{*path}", get(not_offered));
    let writes = Router::new()
        .route(&file, put(upload).delete(delete))
        .route("/api/2.0/mlflow-artifacts/mpu/{*path}", axum::routing::post(not_offered))
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(shared.clone(), access::may_write));
    reads.merge(writes)
}

async fn upload(State(shared): State<Shared>, Path(path): Path<String>, body: Body) -> Answer {
    shared.files.put(&path, body).await?;
    Ok(Json(json!({})))
}

async fn delete(State(shared): State<Shared>, Path(path): Path<String>) -> Answer {
    shared.files.delete(&path).await?;
    Ok(Json(json!({})))
}

async fn list(State(shared): State<Shared>, input: Input) -> Answer {
    let files = shared.files.list(&input.text_or_empty("path")?).await?;
    answer([("files", noun(files))])
}

/// Files are always handed out as downloads: a stored page must not run as one of ours.
async fn download(State(shared): State<Shared>, Path(path): Path<String>) -> Result<Response, Failure> {
    let (file, size) = shared.files.get(&path).await?;
    let body = Body::from_stream(ReaderStream::with_capacity(file, 64 * 1024));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_LENGTH, HeaderValue::from(size)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
        (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, body).into_response())
}

/// Multi-part uploads and presigned addresses go to object stores; clients fall back when told so.
async fn not_offered() -> Result<Json<Value>, Failure> {
    Err(ApiError::new(
        ErrorCode::NotImplemented,
        "Multipart upload is not supported for the current artifact repository",
    )
    .into())
}
