//! The routes.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State as Shared},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::{
    Config,
    answer::{self, Page, wants_page},
    metrics::Metrics,
    model::Model,
    upload,
};

const STYLE: &str = include_str!("../assets/style.css");
const SCRIPT: &str = include_str!("../assets/script.js");
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' blob: data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the routes share.
pub(crate) struct State {
    pub(crate) model: Model,
    metrics: Metrics,
    max_upload_bytes: usize,
}

impl State {
    pub(crate) fn new(config: &Config) -> Self {
        State { model: Model::new(config), metrics: Metrics::new(), max_upload_bytes: config.max_upload_bytes }
    }
}

type App = Shared<Arc<State>>;

pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/", get(page).post(predict))
        .route("/predict", get(page).post(predict))
        .route("/test", get(own_test))
        .route("/version", get(version))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/style.css", get(|| asset("text/css; charset=utf-8", STYLE)))
        .route("/script.js", get(|| asset("text/javascript; charset=utf-8", SCRIPT)))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), count_and_guard))
        .with_state(state)
}

async fn page(Shared(state): App) -> Response {
    Page::new(state.model.contract()).answer()
}

async fn predict(Shared(state): App, request: Request) -> Response {
    let page = wants_page(request.headers());
    let photo = upload::photo(request, state.max_upload_bytes).await;
    let outcome = match photo {
        Ok(photo) => state.model.classify(photo, &state.metrics).await,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(prediction) => answer::prediction(&prediction, page, state.model.contract()),
        Err(refusal) => refusal.answer(page, state.model.contract()),
    }
}

/// Classifies the built-in sample; the class's name as text.
async fn own_test(Shared(state): App) -> Response {
    match state.model.classify_sample(&state.metrics).await {
        Ok(prediction) => prediction.name().into_response(),
        Err(refusal) => refusal.answer(false, state.model.contract()),
    }
}

/// The version that is served; `unversioned` for a model that was never registered.
async fn version(Shared(state): App, headers: HeaderMap) -> Response {
    let Some(contract) = state.model.contract() else {
        return answer::Refusal::NotReady.answer(false, None);
    };
    let version = contract.version.as_deref().unwrap_or("unversioned");
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.starts_with("text/plain") {
        return version.to_owned().into_response();
    }
    Json(json!({
        "version": version, "model": contract.model, "runId": contract.run_id,
        "commit": contract.commit, "dataDigest": contract.data_digest,
    }))
    .into_response()
}

async fn ready(Shared(state): App) -> Response {
    match state.model.contract() {
        Some(_) => "ready\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the model is being loaded\n").into_response(),
    }
}

async fn metrics(Shared(state): App) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.metrics.text()).into_response()
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")], text).into_response()
}

/// Counts every answer and gives it the headers that keep browsers careful.
async fn count_and_guard(Shared(state): App, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let mut answer = next.run(request).await;
    state.metrics.answered(&route, answer.status().as_u16());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}
