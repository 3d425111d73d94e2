//! The routes.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use base64::Engine;
use bytes::Bytes;
use galley_problem::{Kind, Problem};
use galley_units::Clock;
use serde::Deserialize;
use serde_json::json;

use crate::{Config, Error, Store};

/// Whether a token may do everything here.
pub type Authorize = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What a service is given.
pub struct Deps {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Who may come in.
    pub authorize: Authorize,
}

/// The state store's face.
pub struct Service {
    store: Store,
    authorize: Authorize,
}

impl Service {
    /// Opens the store.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn new(config: Config, deps: Deps) -> Result<Service, Error> {
        Ok(Service { store: Store::open(config, deps.clock)?, authorize: deps.authorize })
    }

    /// The routes, below `/infra/`.
    pub fn router(&self) -> Router {
        let authorize = Arc::clone(&self.authorize);
        Router::new()
            .route("/infra/state/{name}", any(backend))
            .route("/infra/states", get(list))
            .route("/infra/states/{name}/versions", get(versions))
            .route("/infra/states/{name}/versions/{version}", get(version))
            .route("/infra/states/{name}/versions/{version}/restore", post(restore))
            .layer(DefaultBodyLimit::max(self.store.largest() + 1))
            .layer(middleware::from_fn(move |request: Request, next: Next| {
                let authorize = Arc::clone(&authorize);
                async move {
                    if token(request.headers()).is_some_and(|token| authorize(&token)) {
                        return next.run(request).await;
                    }
                    unauthorized()
                }
            }))
            .with_state(self.store.clone())
    }
}

/// The token out of `Authorization`: as a bearer, or as the password of any user, which is how the tools send it.
fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    if let Some(token) = value.strip_prefix("Bearer ") {
        return Some(token.to_owned());
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(decoded).ok()?;
    Some(pair.split_once(':')?.1.to_owned())
}

fn unauthorized() -> Response {
    let problem = Problem::new("G1233", Kind::Denied, "The state is not given to anybody without the token.")
        .try_this("Set `TF_HTTP_USERNAME=galley` and `TF_HTTP_PASSWORD` to the token, which `galley up` keeps in `.galley/token`.");
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"galley\"")], Json(problem))
        .into_response()
}

/// The lock's id, as the tools send it.
#[derive(Deserialize)]
struct Holder {
    #[serde(rename = "ID")]
    id: Option<String>,
}

async fn backend(
    State(store): State<Store>,
    Path(name): Path<String>,
    Query(holder): Query<Holder>,
    method: Method,
    body: Bytes,
) -> Response {
    let work = move || -> Result<Response, Error> {
        let id = holder.id.as_deref().filter(|id| !id.is_empty());
        Ok(match method.as_str() {
            "GET" => match store.get(&name)? {
                Some(state) => state_of(state),
                None => StatusCode::NO_CONTENT.into_response(),
            },
            "POST" | "PUT" => Json(store.put(&name, id, &body)?).into_response(),
            "DELETE" => {
                store.delete(&name, id)?;
                StatusCode::OK.into_response()
            }
            "LOCK" => {
                store.lock(&name, &body)?;
                StatusCode::OK.into_response()
            }
            "UNLOCK" => {
                let given: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
                store.unlock(&name, given["ID"].as_str().filter(|id| !id.is_empty()).or(id))?;
                StatusCode::OK.into_response()
            }
            _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        })
    };
    blocking(work).await
}

async fn list(State(store): State<Store>) -> Response {
    blocking(move || Ok(Json(store.list()?).into_response())).await
}

async fn versions(State(store): State<Store>, Path(name): Path<String>) -> Response {
    let work = move || {
        let (head, versions) = store.versions(&name)?;
        Ok(Json(json!({"head": head, "versions": versions})).into_response())
    };
    blocking(work).await
}

async fn version(State(store): State<Store>, Path((name, number)): Path<(String, u64)>) -> Response {
    blocking(move || Ok(state_of(store.version(&name, number)?))).await
}

async fn restore(State(store): State<Store>, Path((name, number)): Path<(String, u64)>) -> Response {
    blocking(move || Ok(Json(store.restore(&name, number)?).into_response())).await
}

fn state_of(content: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], Body::from(content))
        .into_response()
}

/// Runs what touches the disk where it may wait.
async fn blocking(work: impl FnOnce() -> Result<Response, Error> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => refused(&error),
        Err(error) => {
            tracing::error!(%error, "a request of the state store has panicked");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn refused(error: &Error) -> Response {
    let text = format!("{error}.");
    let (status, code, kind) = match error {
        // The tools read the holder out of the body.
        Error::Locked { lock, .. } => return (StatusCode::LOCKED, Json(lock.0.clone())).into_response(),
        Error::LockLost { .. } => (StatusCode::CONFLICT, "G1230", Kind::Conflict),
        Error::Missing(_) => (StatusCode::NOT_FOUND, "G1231", Kind::NotFound),
        Error::Invalid(_) => (StatusCode::BAD_REQUEST, "G1231", Kind::Invalid),
        Error::TooMuch(_) => (StatusCode::PAYLOAD_TOO_LARGE, "G1232", Kind::Invalid),
        Error::Disk { .. } => {
            tracing::error!(error = %error, "the state store cannot reach its disk");
            (StatusCode::INTERNAL_SERVER_ERROR, "G1234", Kind::Io)
        }
    };
    (status, Json(Problem::new(code, kind, text).because(error))).into_response()
}
