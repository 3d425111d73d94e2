//! Workflows: make, lint, look, verbs.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query as Params, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use kube::api::{DeleteParams, DynamicObject, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::Given;
use crate::check::{Noun, check, complete};
use crate::error::{Answer, Code, Refusal};
use crate::fields::clean;
use crate::objects::{Query, argo, list_params, text, to_object, to_value};
use crate::service::{Context, Cx, Retry, Set};

/// The largest file that is handed over at once.
const MAX_ARTIFACT: u64 = 4 << 30;

/// A request with a workflow in it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Body {
    workflow: Value,
    server_dry_run: bool,
}

pub(crate) async fn create(
    State(cx): Cx,
    Path(namespace): Path<String>,
    Given(given): Given<Body>,
) -> Answer {
    let mut value = given.workflow;
    complete(&mut value, Noun::Workflow, &namespace);
    make(&cx, &namespace, value, given.server_dry_run).await
}

/// Checks and makes a workflow.
pub(crate) async fn make(cx: &Context, namespace: &str, mut value: Value, dry_run: bool) -> Answer {
    let named = ["name", "generateName"]
        .iter()
        .any(|field| !value["metadata"][*field].as_str().unwrap_or_default().is_empty());
    if !named {
        return Err(Refusal::invalid("name or generateName is required"));
    }
    check(&cx.client, namespace, Noun::Workflow, &value).await?;
    if let Some(map) = value.as_object_mut() {
        map.remove("status");
    }
    let params = PostParams { dry_run, ..PostParams::default() };
    let made = argo(&cx.client, "Workflow", namespace).create(&params, &to_object(value)?).await?;
    Ok(Json(to_value(&made)))
}

pub(crate) async fn lint(State(cx): Cx, Path(namespace): Path<String>, Given(given): Given<Body>) -> Answer {
    let mut value = given.workflow;
    complete(&mut value, Noun::Workflow, &namespace);
    check(&cx.client, &namespace, Noun::Workflow, &value).await?;
    Ok(Json(value))
}

pub(crate) async fn list_all(cx: Cx, query: Params<Query>) -> Answer {
    list(cx, Path(String::new()), query).await
}

pub(crate) async fn list(
    State(cx): Cx,
    Path(namespace): Path<String>,
    Params(query): Params<Query>,
) -> Answer {
    let listed = argo(&cx.client, "Workflow", &namespace).list(&list_params(&query)).await?;
    let mut items: Vec<DynamicObject> =
        listed.items.into_iter().filter(|item| is_wanted(item, &query)).collect();
    // The newest first, as Argo Server has them.
    items.sort_by_key(|item| std::cmp::Reverse(item.metadata.creation_timestamp.as_ref().map(|time| time.0)));
    let list = json!({
        "metadata": listed.metadata,
        "items": items.iter().map(to_value).collect::<Vec<_>>(),
    });
    Ok(Json(clean(list, text(&query, "fields"))))
}

/// `nameFilter`, `createdAfter` and `finishedBefore`. A name comes as a field selector and is compared by the filter.
fn is_wanted(item: &DynamicObject, query: &Query) -> bool {
    let moment = |name: &str| text(query, name).parse::<jiff::Timestamp>().ok();
    let created = item.metadata.creation_timestamp.as_ref().map(|time| time.0);
    if moment("createdAfter").is_some_and(|after| created.is_none_or(|created| created < after)) {
        return false;
    }
    let finished =
        item.data["status"]["finishedAt"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    moment("finishedBefore").is_none_or(|before| finished.is_some_and(|finished| finished <= before))
}

/// Finds a workflow; `@latest` is the one that was made last.
pub(crate) async fn find(cx: &Context, namespace: &str, name: &str) -> Result<DynamicObject, Refusal> {
    let api = argo(&cx.client, "Workflow", namespace);
    if name != "@latest" {
        return Ok(api.get(name).await?);
    }
    let all = api.list(&Default::default()).await?;
    let latest =
        all.items.into_iter().max_by_key(|one| one.metadata.creation_timestamp.as_ref().map(|time| time.0));
    latest.ok_or_else(|| Refusal::new(Code::NotFound, format!("there are no workflows in {namespace}")))
}

async fn name_of(cx: &Context, namespace: &str, name: &str) -> Result<String, Refusal> {
    Ok(find(cx, namespace, name).await?.metadata.name.unwrap_or_default())
}

pub(crate) async fn read(
    State(cx): Cx,
    Path((namespace, name)): Path<(String, String)>,
    Params(query): Params<Query>,
) -> Answer {
    let found = find(&cx, &namespace, &name).await?;
    Ok(Json(clean(to_value(&found), text(&query, "fields"))))
}

pub(crate) async fn delete(
    State(cx): Cx,
    Path((namespace, name)): Path<(String, String)>,
    Params(query): Params<Query>,
) -> Answer {
    let name = name_of(&cx, &namespace, &name).await?;
    let api = argo(&cx.client, "Workflow", &namespace);
    if text(&query, "force") == "true" {
        let patch = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
        api.patch(&name, &Default::default(), &patch).await?;
    }
    api.delete(&name, &DeleteParams::background()).await?;
    Ok(Json(json!({})))
}

/// What the verbs take.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Verb {
    pub(crate) memoized: bool,
    pub(crate) parameters: Vec<String>,
    restart_successful: bool,
    node_field_selector: String,
    message: String,
    phase: String,
    output_parameters: String,
}

pub(crate) fn pairs(parameters: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => {
            Err(Refusal::invalid(format!("expected parameter of the form: NAME=VALUE. Received: {text}")))
        }
    };
    parameters.iter().map(pair).collect()
}

async fn now(cx: &Context, namespace: &str, name: &str) -> Answer {
    Ok(Json(to_value(&find(cx, namespace, name).await?)))
}

type Named = Path<(String, String)>;

pub(crate) async fn retry(State(cx): Cx, Path((namespace, name)): Named, Given(verb): Given<Verb>) -> Answer {
    let name = name_of(&cx, &namespace, &name).await?;
    retry_by(&cx, &namespace, &name, verb).await
}

pub(crate) async fn retry_by(cx: &Context, namespace: &str, name: &str, verb: Verb) -> Answer {
    let how = Retry {
        parameters: pairs(&verb.parameters)?,
        restart_successful: verb.restart_successful,
        nodes: verb.node_field_selector,
    };
    cx.actions.retry(namespace, name, how).await?;
    now(cx, namespace, name).await
}

pub(crate) async fn resubmit(
    State(cx): Cx,
    Path((namespace, name)): Named,
    Given(verb): Given<Verb>,
) -> Answer {
    let name = name_of(&cx, &namespace, &name).await?;
    resubmit_by(&cx, &namespace, &name, verb).await
}

pub(crate) async fn resubmit_by(cx: &Context, namespace: &str, name: &str, verb: Verb) -> Answer {
    let new = cx.actions.resubmit(namespace, name, verb.memoized, pairs(&verb.parameters)?).await?;
    now(cx, namespace, &new).await
}

pub(crate) async fn resume(
    State(cx): Cx,
    Path((namespace, name)): Named,
    Given(verb): Given<Verb>,
) -> Answer {
    let name = name_of(&cx, &namespace, &name).await?;
    if verb.node_field_selector.is_empty() {
        cx.actions.resume(&namespace, &name).await?;
    } else {
        let what = Set { nodes: verb.node_field_selector, phase: "Succeeded".to_owned(), ..Set::default() };
        cx.actions.set(&namespace, &name, what).await?;
    }
    now(&cx, &namespace, &name).await
}

pub(crate) async fn suspend(State(cx): Cx, Path((namespace, name)): Named) -> Answer {
    let name = name_of(&cx, &namespace, &name).await?;
    cx.actions.suspend(&namespace, &name).await?;
    now(&cx, &namespace, &name).await
}

pub(crate) async fn stop(State(cx): Cx, Path((namespace, name)): Named, Given(verb): Given<Verb>) -> Answer {
    let name = name_of(&cx, &namespace, &name).await?;
    if verb.node_field_selector.is_empty() {
        cx.actions.stop(&namespace, &name).await?;
    } else {
        let what = Set {
            nodes: verb.node_field_selector,
            phase: "Failed".to_owned(),
            message: verb.message,
            ..Set::default()
        };
        cx.actions.set(&namespace, &name, what).await?;
    }
    now(&cx, &namespace, &name).await
}

pub(crate) async fn terminate(State(cx): Cx, Path((namespace, name)): Named) -> Answer {
    let name = name_of(&cx, &namespace, &name).await?;
    cx.actions.terminate(&namespace, &name).await?;
    now(&cx, &namespace, &name).await
}

pub(crate) async fn set(State(cx): Cx, Path((namespace, name)): Named, Given(verb): Given<Verb>) -> Answer {
    let name = name_of(&cx, &namespace, &name).await?;
    let outputs = match verb.output_parameters.as_str() {
        "" => BTreeMap::new(),
        text => serde_json::from_str(text).map_err(|error| {
            Refusal::invalid(format!("unable to parse output parameter set request: {error}"))
        })?,
    };
    let what = Set { nodes: verb.node_field_selector, phase: verb.phase, message: verb.message, outputs };
    cx.actions.set(&namespace, &name, what).await?;
    now(&cx, &namespace, &name).await
}

type Place = Path<(String, String, String, String)>;

pub(crate) async fn output_artifact(
    State(cx): Cx,
    Path((namespace, name, node, artifact)): Place,
) -> Result<Response, Refusal> {
    let found = find(&cx, &namespace, &name).await?;
    hand_over(&cx, &found, &node, "outputs", &artifact).await
}

pub(crate) async fn input_artifact(
    State(cx): Cx,
    Path((namespace, name, node, artifact)): Place,
) -> Result<Response, Refusal> {
    let found = find(&cx, &namespace, &name).await?;
    hand_over(&cx, &found, &node, "inputs", &artifact).await
}

/// Sends an artifact of a node.
pub(crate) async fn hand_over(
    cx: &Context,
    workflow: &DynamicObject,
    node: &str,
    side: &str,
    artifact: &str,
) -> Result<Response, Refusal> {
    let missing = || Refusal::new(Code::NotFound, format!("artifact {artifact} of node {node} not found"));
    let all = workflow.data["status"]["nodes"][node][side]["artifacts"].as_array().ok_or_else(missing)?;
    let found = all.iter().find(|one| one["name"] == artifact).ok_or_else(missing)?;
    if let Some(text) = found["raw"]["data"].as_str() {
        return Ok(text.to_owned().into_response());
    }
    let key = found["s3"]["key"].as_str().ok_or_else(missing)?;
    let mut file = cx.actions.artifact(key).await.ok_or_else(missing)?;
    let size = file.metadata().map_or(0, |meta| meta.len());
    if size > MAX_ARTIFACT {
        return Err(Refusal::new(Code::FailedPrecondition, "the artifact is too large to be sent"));
    }
    let (send, receive) = tokio::sync::mpsc::channel::<std::io::Result<bytes::Bytes>>(4);
    tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let part = match file.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => Ok(bytes::Bytes::copy_from_slice(&buffer[..read])),
                Err(error) => Err(error),
            };
            if send.blocking_send(part).is_err() {
                return;
            }
        }
    });
    let parts =
        futures::stream::unfold(receive, |mut receive| async { Some((receive.recv().await?, receive)) });
    let name = key.rsplit('/').next().unwrap_or(artifact);
    let name: String = name.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')).collect();
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, axum::body::Body::from_stream(parts)).into_response())
}
