//! The archive: workflows that have ended and still exist, by uid.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, Query as Params, State};
use axum::response::Response;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::{ResourceExt, api::ObjectMeta};
use serde_json::{Value, json};

use crate::body::Given;
use crate::error::{Answer, Code, Refusal};
use crate::objects::{Query, and, argo, list_params, text, to_value};
use crate::service::{Context, Cx};
use crate::workflows::{Verb, hand_over, resubmit_by, retry_by};

const ENDED: &str = "workflows.argoproj.io/completed=true";

pub(crate) async fn list(State(cx): Cx, Params(query): Params<Query>) -> Answer {
    let mut params = list_params(&query);
    params.label_selector = and(params.label_selector, ENDED);
    let mut namespace = text(&query, "namespace").to_owned();
    // The older form: the namespace is one of the fields.
    let fields = params.field_selector.take().unwrap_or_default();
    let mut others = Vec::new();
    for part in fields.split(',').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("metadata.namespace", value)) => namespace = value.trim_start_matches('=').to_owned(),
            Some(("ext.showRemainingItemCount" | "spec.startedAt", _)) => {}
            _ => others.push(part),
        }
    }
    params.field_selector = Some(others.join(",")).filter(|text| !text.is_empty());
    let listed = argo(&cx.client, "Workflow", &namespace).list(&params).await?;
    let prefix = text(&query, "namePrefix");
    let mut items: Vec<_> =
        listed.items.into_iter().filter(|item| item.name_any().starts_with(prefix)).collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.metadata.creation_timestamp.as_ref().map(|time| time.0)));
    let items: Vec<Value> = items.iter().map(to_value).collect();
    Ok(Json(json!({"metadata": listed.metadata, "items": items})))
}

async fn find(cx: &Context, uid: &str) -> Result<DynamicObject, Refusal> {
    let all = argo(&cx.client, "Workflow", "").list(&ListParams::default()).await?;
    let found = all.items.into_iter().find(|one| one.metadata.uid.as_deref() == Some(uid));
    found.ok_or_else(|| Refusal::new(Code::NotFound, "not found"))
}

fn place(meta: &ObjectMeta) -> (String, String) {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

pub(crate) async fn read(State(cx): Cx, Path(uid): Path<String>, Params(query): Params<Query>) -> Answer {
    let (name, namespace) = (text(&query, "name"), text(&query, "namespace"));
    // A client that knows only the name leaves the uid empty.
    if uid == "-" || (!name.is_empty() && !namespace.is_empty()) {
        return Ok(Json(to_value(&argo(&cx.client, "Workflow", namespace).get(name).await?)));
    }
    Ok(Json(to_value(&find(&cx, &uid).await?)))
}

pub(crate) async fn delete(State(cx): Cx, Path(uid): Path<String>) -> Answer {
    let (namespace, name) = place(&find(&cx, &uid).await?.metadata);
    argo(&cx.client, "Workflow", &namespace).delete(&name, &DeleteParams::background()).await?;
    Ok(Json(json!({})))
}

pub(crate) async fn retry(State(cx): Cx, Path(uid): Path<String>, Given(verb): Given<Verb>) -> Answer {
    let (namespace, name) = place(&find(&cx, &uid).await?.metadata);
    retry_by(&cx, &namespace, &name, verb).await
}

pub(crate) async fn resubmit(State(cx): Cx, Path(uid): Path<String>, Given(verb): Given<Verb>) -> Answer {
    let (namespace, name) = place(&find(&cx, &uid).await?.metadata);
    resubmit_by(&cx, &namespace, &name, verb).await
}

pub(crate) async fn artifact(
    State(cx): Cx,
    Path((uid, node, artifact)): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    let found = find(&cx, &uid).await?;
    hand_over(&cx, &found, &node, "outputs", &artifact).await
}

async fn labels(cx: &Context, query: &Query) -> Result<Vec<(String, String)>, Refusal> {
    let params = ListParams { label_selector: Some(ENDED.to_owned()), ..ListParams::default() };
    let all = argo(&cx.client, "Workflow", text(query, "namespace")).list(&params).await?;
    Ok(all.items.iter().flat_map(|one| one.labels().clone()).collect())
}

pub(crate) async fn label_keys(State(cx): Cx, Params(query): Params<Query>) -> Answer {
    let keys: BTreeSet<String> = labels(&cx, &query).await?.into_iter().map(|(key, _)| key).collect();
    Ok(Json(json!({"items": keys})))
}

pub(crate) async fn label_values(State(cx): Cx, Params(query): Params<Query>) -> Answer {
    let wanted = text(&query, "listOptions.labelSelector").to_owned();
    let values: BTreeSet<String> = labels(&cx, &query)
        .await?
        .into_iter()
        .filter(|(key, _)| *key == wanted)
        .map(|(_, value)| value)
        .collect();
    Ok(Json(json!({"items": values})))
}
