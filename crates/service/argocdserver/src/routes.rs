//! Paths and what they lead to.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tower_http::limit::RequestBodyLimitLayer;

use crate::{Deps, Error, applications, operations, tree};

/// Largest body.
const MAX_BODY: usize = 4 << 20;
/// Longest time that one request takes.
const DEADLINE: Duration = Duration::from_secs(90);

pub(crate) type Answer = Result<Json<Value>, Error>;
pub(crate) type Parameters = HashMap<String, String>;

/// The API, below `/api`.
pub fn router(deps: Deps) -> Router {
    let one = "/api/v1/applications/{name}";
    Router::new()
        .route("/api/version", get(version))
        .route("/healthz", get(|| async { "ok" }))
        .route("/api/v1/settings", get(settings))
        .route("/api/v1/session", post(session))
        .route("/api/v1/session/userinfo", get(user))
        .route("/api/v1/applications", get(list).post(create))
        .route(one, get(show).put(replace).patch(patch).delete(delete))
        .route(&format!("{one}/spec"), axum::routing::put(replace_spec))
        .route(&format!("{one}/sync"), post(sync))
        .route(&format!("{one}/rollback"), post(rollback))
        .route(&format!("{one}/operation"), axum::routing::delete(terminate))
        .route(&format!("{one}/resource-tree"), get(resource_tree))
        .route(&format!("{one}/managed-resources"), get(managed))
        .route(&format!("{one}/manifests"), get(manifests))
        .route(&format!("{one}/resource"), get(resource))
        .route(&format!("{one}/events"), get(events))
        .route(&format!("{one}/syncwindows"), get(sync_windows))
        .route("/api/v1/projects", get(projects))
        .route("/api/v1/projects/{name}", get(project))
        .route("/api/v1/applicationsets", get(sets))
        .route("/api/v1/applicationsets/{name}", get(set))
        .route("/api/v1/clusters", get(clusters))
        .route("/api/v1/repositories", get(|| async { Json(json!({"metadata": {}, "items": []})) }))
        .layer(middleware::from_fn_with_state(deps.clone(), guard))
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .with_state(deps)
}

/// Who may ask, and for how long.
async fn guard(State(deps): State<Deps>, request: Request, next: Next) -> Response {
    let open =
        matches!(request.uri().path(), "/api/version" | "/healthz" | "/api/v1/session" | "/api/v1/settings");
    if !open {
        let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let cookie = request.headers().get("cookie").and_then(|value| value.to_str().ok());
        let of_cookie =
            cookie.and_then(|all| all.split("; ").find_map(|one| one.strip_prefix("argocd.token=")));
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).or(of_cookie);
        if !token.is_some_and(|token| (deps.authorize)(token)) {
            return Error::new(16, "no session information").into_response();
        }
    }
    match tokio::time::timeout(DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Error::new(13, "the request took too long").into_response(),
    }
}

async fn version() -> Json<Value> {
    Json(json!({"Version": concat!("v3.2.11+galley-", env!("CARGO_PKG_VERSION"))}))
}

async fn settings() -> Json<Value> {
    Json(json!({"appLabelKey": "app.kubernetes.io/instance", "trackingMethod": "annotation", "url": ""}))
}

/// A session is a token that is there already: its name is of no interest, its password is the token.
async fn session(State(deps): State<Deps>, Json(body): Json<Value>) -> Answer {
    let password = body["password"].as_str().unwrap_or_default();
    if !(deps.authorize)(password) {
        return Err(Error::new(16, "Invalid username or password"));
    }
    Ok(Json(json!({"token": password})))
}

async fn user() -> Json<Value> {
    Json(json!({"loggedIn": true, "username": "admin", "iss": "galley", "groups": []}))
}

async fn list(State(deps): State<Deps>, Query(query): Query<Parameters>) -> Answer {
    applications::list(&deps, &query).await
}

async fn create(
    State(deps): State<Deps>,
    Query(query): Query<Parameters>,
    Json(body): Json<Value>,
) -> Answer {
    applications::create(&deps, body, query.get("upsert").is_some_and(|upsert| upsert == "true")).await
}

async fn show(State(deps): State<Deps>, Path(name): Path<String>, Query(query): Query<Parameters>) -> Answer {
    if let Some(how) = query.get("refresh").filter(|how| !how.is_empty()) {
        applications::refresh(&deps, &name, how).await?;
    }
    Ok(Json(applications::get(&deps, &name).await?))
}

async fn replace(State(deps): State<Deps>, Path(name): Path<String>, Json(body): Json<Value>) -> Answer {
    applications::replace(&deps, &name, body["spec"].clone(), Some(&body["metadata"])).await
}

async fn replace_spec(State(deps): State<Deps>, Path(name): Path<String>, Json(spec): Json<Value>) -> Answer {
    let Json(done) = applications::replace(&deps, &name, spec, None).await?;
    Ok(Json(done["spec"].clone()))
}

async fn patch(State(deps): State<Deps>, Path(name): Path<String>, Json(body): Json<Value>) -> Answer {
    applications::patch(&deps, &name, &body).await
}

async fn delete(
    State(deps): State<Deps>,
    Path(name): Path<String>,
    Query(query): Query<Parameters>,
) -> Answer {
    applications::delete(&deps, &name, &query).await
}

async fn sync(State(deps): State<Deps>, Path(name): Path<String>, Json(body): Json<Value>) -> Answer {
    operations::sync(&deps, &name, &body).await
}

async fn rollback(State(deps): State<Deps>, Path(name): Path<String>, Json(body): Json<Value>) -> Answer {
    operations::rollback(&deps, &name, &body).await
}

async fn terminate(State(deps): State<Deps>, Path(name): Path<String>) -> Answer {
    operations::terminate(&deps, &name).await
}

async fn resource_tree(State(deps): State<Deps>, Path(name): Path<String>) -> Answer {
    tree::tree(&deps, &name).await
}

async fn managed(State(deps): State<Deps>, Path(name): Path<String>) -> Answer {
    tree::managed(&deps, &name).await
}

async fn resource(
    State(deps): State<Deps>,
    Path(name): Path<String>,
    Query(query): Query<Parameters>,
) -> Answer {
    tree::resource(&deps, &name, &query).await
}

async fn manifests(
    State(deps): State<Deps>,
    Path(name): Path<String>,
    Query(query): Query<Parameters>,
) -> Answer {
    let application = applications::typed(&deps, &name).await?;
    let revision = query.get("revision").map_or("", String::as_str);
    let (manifests, revision) = deps
        .renderer
        .manifests(&application, revision)
        .await
        .map_err(|problem| Error::new(9, problem.to_string()))?;
    let texts: Vec<String> = manifests.iter().map(Value::to_string).collect();
    let destination = &application.spec.destination;
    Ok(Json(json!({
        "manifests": texts,
        "namespace": destination.namespace,
        "server": destination.server,
        "revision": revision,
        "sourceType": application.status.source_type,
    })))
}

async fn events(State(deps): State<Deps>, Path(name): Path<String>) -> Answer {
    applications::typed(&deps, &name).await?;
    Ok(Json(json!({"metadata": {}, "items": []})))
}

async fn sync_windows(State(deps): State<Deps>, Path(name): Path<String>) -> Answer {
    let application = applications::typed(&deps, &name).await?;
    let blocked = operations::is_blocked(&deps, &application).await?;
    Ok(Json(json!({"canSync": !blocked})))
}

async fn projects(State(deps): State<Deps>) -> Answer {
    applications::list_of(&deps, "AppProject", "appprojects").await
}

async fn project(State(deps): State<Deps>, Path(name): Path<String>) -> Answer {
    let found = applications::api(&deps, "AppProject", "appprojects").get_opt(&name).await?;
    found.map(|object| Json(json!(object))).ok_or_else(|| Error::missing("appprojects", &name))
}

async fn sets(State(deps): State<Deps>) -> Answer {
    applications::list_of(&deps, "ApplicationSet", "applicationsets").await
}

async fn set(State(deps): State<Deps>, Path(name): Path<String>) -> Answer {
    let found = applications::api(&deps, "ApplicationSet", "applicationsets").get_opt(&name).await?;
    found.map(|object| Json(json!(object))).ok_or_else(|| Error::missing("applicationsets", &name))
}

async fn clusters() -> Json<Value> {
    let own = json!({"server": galley_argo_cd::IN_CLUSTER, "name": "in-cluster", "connectionState": {"status": "Successful"}});
    Json(json!({"metadata": {}, "items": [own]}))
}
