//! Routes and the door.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use galley_problem::Problem;
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::check::Noun;
use crate::error::{Code, Refusal};
use crate::{archive, events, logs, stream, submit, templates, workflows};

/// The largest request.
const MAX_BODY: usize = 16 << 20;

/// Settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The version that clients are told: that of the Argo Server which is spoken.
    pub version: String,
    /// The only namespace that clients should look at; all of them if empty.
    pub managed_namespace: String,
    /// How many streams are served at one time.
    pub streams: usize,
}

impl Default for Config {
    fn default() -> Self {
        let own = env!("CARGO_PKG_VERSION");
        Config { version: format!("v4.0.2+galley.{own}"), managed_namespace: String::new(), streams: 256 }
    }
}

/// How a workflow goes on that ended badly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Other values of parameters.
    pub parameters: BTreeMap<String, String>,
    /// Run the chosen nodes again, too.
    pub restart_successful: bool,
    /// Which nodes, in Argo's words.
    pub nodes: String,
}

/// What is changed of nodes that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Which nodes, in Argo's words; all that wait if empty.
    pub nodes: String,
    /// How they end; they go on waiting if empty.
    pub phase: String,
    /// Why.
    pub message: String,
    /// Values of their output parameters.
    pub outputs: BTreeMap<String, String>,
}

/// What changes a workflow; the room that runs them stands behind it.
#[async_trait]
pub trait Actions: Send + Sync + 'static {
    /// Lets it go on from where it failed.
    async fn retry(&self, namespace: &str, name: &str, how: Retry) -> Result<(), Problem>;
    /// Runs it again under a new name, which is given back.
    async fn resubmit(
        &self,
        namespace: &str,
        name: &str,
        memoized: bool,
        parameters: BTreeMap<String, String>,
    ) -> Result<String, Problem>;
    /// Lets everything that waits go on.
    async fn resume(&self, namespace: &str, name: &str) -> Result<(), Problem>;
    /// Lets it begin nothing new.
    async fn suspend(&self, namespace: &str, name: &str) -> Result<(), Problem>;
    /// Ends it; exit handlers still run.
    async fn stop(&self, namespace: &str, name: &str) -> Result<(), Problem>;
    /// Ends it at once.
    async fn terminate(&self, namespace: &str, name: &str) -> Result<(), Problem>;
    /// Changes nodes that wait.
    async fn set(&self, namespace: &str, name: &str, what: Set) -> Result<(), Problem>;
    /// Opens what lies at a key of the artifact store; a folder has no file.
    async fn artifact(&self, key: &str) -> Option<File>;
}

/// Whose token a text is, if it is a valid one.
pub type Authorize = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the service needs.
#[derive(Clone)]
pub struct Deps {
    /// The API server.
    pub client: Client,
    /// The room that runs workflows.
    pub actions: Arc<dyn Actions>,
    /// Ends the streams that are open.
    pub shutdown: CancellationToken,
    /// Whose token this is, if it is valid.
    pub authorize: Authorize,
}

/// What all handlers share.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) actions: Arc<dyn Actions>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) streams: Arc<tokio::sync::Semaphore>,
    authorize: Authorize,
}

pub(crate) type Cx = State<Arc<Context>>;

/// The caller.
#[derive(Clone)]
struct Caller(String);

/// The service.
pub struct Service {
    context: Arc<Context>,
}

impl Service {
    /// Prepares the routes.
    pub fn new(config: Config, deps: Deps) -> Service {
        let streams = Arc::new(tokio::sync::Semaphore::new(config.streams.max(1)));
        let Deps { client, actions, shutdown, authorize } = deps;
        Service { context: Arc::new(Context { config, client, actions, shutdown, streams, authorize }) }
    }

    /// All routes, behind the door.
    pub fn router(&self) -> Router {
        let api = Router::new()
            .route("/info", get(info))
            .route("/version", get(version))
            .route("/userinfo", get(user_info))
            .route("/tracking/event", post(|| async { Json(json!({})) }))
            .merge(workflow_routes())
            .merge(template_routes("/workflow-templates/{namespace}", Noun::WorkflowTemplate))
            .merge(template_routes("/cluster-workflow-templates", Noun::ClusterWorkflowTemplate))
            .merge(template_routes("/cron-workflows/{namespace}", Noun::CronWorkflow))
            .route("/cron-workflows/{namespace}/{name}/suspend", put(templates::suspend))
            .route("/cron-workflows/{namespace}/{name}/resume", put(templates::resume))
            .route("/archived-workflows", get(archive::list))
            .route("/archived-workflows/{uid}", get(archive::read).delete(archive::delete))
            .route("/archived-workflows/{uid}/retry", put(archive::retry))
            .route("/archived-workflows/{uid}/resubmit", put(archive::resubmit))
            .route("/archived-workflows-label-keys", get(archive::label_keys))
            .route("/archived-workflows-label-values", get(archive::label_values))
            .route("/events/{namespace}", post(events::receive_plain))
            .route("/events/{namespace}/", post(events::receive_plain))
            .route("/events/{namespace}/{discriminator}", post(events::receive))
            .route("/workflow-event-bindings/{namespace}", get(events::list));
        Router::new()
            .nest("/api/v1", api)
            .route("/artifacts/{namespace}/{name}/{node}/{artifact}", get(workflows::output_artifact))
            .route("/input-artifacts/{namespace}/{name}/{node}/{artifact}", get(workflows::input_artifact))
            .route("/artifacts-by-uid/{uid}/{node}/{artifact}", get(archive::artifact))
            .route(
                "/artifact-files/{namespace}/workflows/{name}/{node}/outputs/{artifact}",
                get(workflows::output_artifact),
            )
            .layer(middleware::from_fn_with_state(Arc::clone(&self.context), door))
            .route("/healthz", get(|| async { "ok" }))
            .fallback(|| async { Refusal::new(Code::NotFound, "Not Found") })
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(Arc::clone(&self.context))
    }
}

fn workflow_routes() -> Router<Arc<Context>> {
    Router::new()
        .route("/workflows/{namespace}", get(workflows::list).post(workflows::create))
        .route("/workflows/", get(workflows::list_all))
        .route("/workflows/{namespace}/lint", post(workflows::lint))
        .route("/workflows/{namespace}/submit", post(submit::submit))
        .route("/workflows/{namespace}/{name}", get(workflows::read).delete(workflows::delete))
        .route("/workflows/{namespace}/{name}/retry", put(workflows::retry))
        .route("/workflows/{namespace}/{name}/resubmit", put(workflows::resubmit))
        .route("/workflows/{namespace}/{name}/resume", put(workflows::resume))
        .route("/workflows/{namespace}/{name}/suspend", put(workflows::suspend))
        .route("/workflows/{namespace}/{name}/stop", put(workflows::stop))
        .route("/workflows/{namespace}/{name}/terminate", put(workflows::terminate))
        .route("/workflows/{namespace}/{name}/set", put(workflows::set))
        .route("/workflows/{namespace}/{name}/log", get(logs::of_workflow))
        .route("/workflows/{namespace}/{name}/{pod}/log", get(logs::of_pod))
        .route("/workflow-events/{namespace}", get(stream::workflows))
        .route("/workflow-events/", get(stream::all_workflows))
        .route("/stream/events/{namespace}", get(stream::events))
}

fn template_routes(path: &str, noun: Noun) -> Router<Arc<Context>> {
    Router::new()
        .route(path, get(templates::list).post(templates::create))
        .route(&format!("{path}/lint"), post(templates::lint))
        .route(
            &format!("{path}/{{name}}"),
            get(templates::read).put(templates::update).delete(templates::delete),
        )
        .layer(axum::Extension(noun))
}

/// Lets in whoever has a valid token.
async fn door(State(context): Cx, mut request: Request, next: Next) -> Response {
    let Some(caller) = token(request.headers()).and_then(|token| (context.authorize)(&token)) else {
        let message = "token not valid. see https://argo-workflows.readthedocs.io/en/latest/faq/";
        return Refusal::new(Code::Unauthenticated, message).into_response();
    };
    request.extensions_mut().insert(Caller(caller));
    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response = Refusal::new(Code::Unimplemented, "Method Not Allowed").into_response();
    }
    response
}

/// The token of the `Authorization` header, or of the cookie that browsers send.
fn token(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = |text: &str| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    };
    header.and_then(bearer)
}

async fn info(State(context): Cx) -> Json<serde_json::Value> {
    Json(json!({
        "managedNamespace": context.config.managed_namespace, "links": [], "modals": {}, "columns": [],
    }))
}

async fn version(State(context): Cx) -> Json<serde_json::Value> {
    Json(json!({
        "version": context.config.version, "buildDate": "1970-01-01T00:00:00Z", "gitCommit": "",
        "gitTag": context.config.version, "gitTreeState": "clean", "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, arch()),
    }))
}

/// The processor, as Go calls it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

async fn user_info(axum::Extension(Caller(caller)): axum::Extension<Caller>) -> Json<serde_json::Value> {
    let account = caller.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let (namespace, name) = account.unwrap_or(("", ""));
    Json(json!({
        "issuer": "galley", "subject": caller, "groups": [],
        "serviceAccountName": name, "serviceAccountNamespace": namespace,
    }))
}
