//! One handler for each page.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, extract};
use galley_problem::{Kind, Problem};
use serde_json::json;

use crate::answer::{self, Format};
use crate::predict::{predict, predict_many};
use crate::state::State;
use crate::{metrics, open_inference, page, review, upload};

pub(crate) type Shared = extract::State<Arc<State>>;

/// The description of all routes, for programs.
const OPENAPI: &str = include_str!("../assets/openapi.json");

/// Scripts, styles and pictures come from here alone; `data:` is the picture inside the page, `blob:` the preview.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// All routes.
pub(crate) fn router(state: Arc<State>) -> Router {
    let body_limit = state.config.max_upload_bytes.saturating_mul(upload::PATIENCE);
    Router::new()
        .route("/", get(index).post(predict))
        .route("/predict", post(predict).get(index))
        .route("/v1/predict", post(predict_many))
        .route("/flag/{id}", post(review::flag))
        .route("/correct-label/{id}", post(review::correct))
        .route("/predictions/{id}", get(review::show).delete(review::delete))
        .route("/delete/{id}", post(review::delete))
        .merge(open_inference::router())
        .route("/openapi.json", get(|| fixed("application/json", OPENAPI)))
        .route("/test", get(test))
        .route("/version", get(version))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(read_metrics))
        .route("/assets/app.css", get(|| fixed("text/css; charset=utf-8", page::STYLE)))
        .route("/assets/app.js", get(|| fixed("text/javascript; charset=utf-8", page::SCRIPT)))
        .route("/assets/icon.svg", get(|| fixed("image/svg+xml", page::ICON)))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(extract::DefaultBodyLimit::max(body_limit))
        .layer(axum::middleware::from_fn_with_state(state.clone(), observe))
        .with_state(state)
}

async fn index(extract::State(state): Shared) -> Response {
    answer::html(page::empty(&state))
}

async fn test(extract::State(state): Shared, headers: HeaderMap) -> Response {
    let work = async {
        let _place = state.admit()?;
        state.classify_sample().await
    };
    match within_deadline(&state, work).await {
        Ok(classified) => answer::text(classified.prediction.name().to_owned()),
        Err(problem) => failed(&state, Format::of(&headers), &problem),
    }
}

async fn version(extract::State(state): Shared, headers: HeaderMap) -> Response {
    let format = Format::of(&headers);
    let model = match state.model() {
        Ok(model) => model,
        Err(problem) => return failed(&state, format, &problem),
    };
    if format == Format::Text {
        return answer::text(state.version());
    }
    let contract = model.classifier.contract();
    answer::json(&json!({
        "version": model.version,
        "model": contract.model,
        "runtime": model.classifier.runtime(),
        "image": state.config.image,
        "environment": state.config.environment,
        "runId": contract.run_id,
        "commit": contract.commit,
        "modelDigest": contract.model_digest,
        "dataDigest": contract.data_digest,
    }))
}

async fn healthz() -> Response {
    answer::text("ok\n".into())
}

async fn readyz(extract::State(state): Shared, headers: HeaderMap) -> Response {
    match state.model() {
        Ok(_) => answer::text("ready\n".into()),
        Err(problem) => failed(&state, Format::of(&headers), &problem),
    }
}

async fn read_metrics(extract::State(state): Shared) -> Response {
    match state.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn fixed(content_type: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")], text).into_response()
}

async fn not_found(extract::State(state): Shared, request: Request) -> Response {
    let what = format!("There is no page `{}`.", request.uri().path());
    let problem =
        Problem::new("G0715", Kind::NotFound, what).try_this("Go to `/`, or send a photo to `/predict`.");
    failed_at(&state, &root_of(request.uri().path()), Format::of(request.headers()), &problem)
}

async fn wrong_method(extract::State(state): Shared, request: Request) -> Response {
    let what = format!("`{}` does not take {} requests.", request.uri().path(), request.method());
    let problem = Problem::new("G0716", Kind::Usage, what)
        .try_this("Send photos with POST to `/predict`; read all else with GET.");
    failed_at(&state, &root_of(request.uri().path()), Format::of(request.headers()), &problem)
}

pub(crate) fn failed(state: &State, format: Format, problem: &Problem) -> Response {
    failed_at(state, "", format, problem)
}

/// The same at an address from which `root` leads to the root.
pub(crate) fn failed_at(state: &State, root: &str, format: Format, problem: &Problem) -> Response {
    answer::problem(format, problem, |problem| page::failure(state, root, problem))
}

/// The way from an address to the root.
fn root_of(path: &str) -> String {
    "../".repeat(path.matches('/').count().saturating_sub(1).min(20))
}

pub(crate) async fn within_deadline<T>(
    state: &State,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let deadline = state.config.deadline();
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
        let what = format!("The request took longer than {} seconds.", deadline.as_secs());
        Err(Problem::new("G0714", Kind::Timeout, what)
            .try_this("Try again; a smaller photo is sent and read sooner."))
    })
}

/// Counts and times every request and adds the headers that keep a page to itself.
async fn observe(extract::State(state): Shared, request: Request, next: Next) -> Response {
    let begin = std::time::Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    let (status, seconds) = (response.status().as_u16(), begin.elapsed().as_secs_f64());
    state.metrics.answered(&route, status, seconds);
    tracing::debug!(route, status, seconds, "answered");
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}
