//! WorkflowTemplates, ClusterWorkflowTemplates and CronWorkflows: one set of verbs for three kinds.

use std::collections::HashMap;

use axum::extract::{Path, Query as Params, State};
use axum::{Extension, Json};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::Given;
use crate::check::{Noun, check, complete};
use crate::error::{Answer, Refusal};
use crate::fields::clean;
use crate::objects::{Query, argo, list_params, text, to_object, to_value};
use crate::service::Cx;

/// A request with an object in it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Body {
    template: Value,
    cron_workflow: Value,
}

impl Body {
    fn object(self, noun: Noun, namespace: &str) -> Result<Value, Refusal> {
        let (mut value, what) = match noun {
            Noun::CronWorkflow => (self.cron_workflow, "cron workflow"),
            Noun::ClusterWorkflowTemplate => (self.template, "cluster workflow template"),
            _ => (self.template, "workflow template"),
        };
        if !value.is_object() {
            return Err(Refusal::invalid(format!("{what} was not found in the request body")));
        }
        complete(&mut value, noun, namespace);
        Ok(value)
    }
}

type Parts = Path<HashMap<String, String>>;

fn namespace(parts: &HashMap<String, String>) -> &str {
    parts.get("namespace").map_or("", String::as_str)
}

fn name(parts: &HashMap<String, String>) -> &str {
    parts.get("name").map_or("", String::as_str)
}

pub(crate) async fn list(
    State(cx): Cx,
    Extension(noun): Extension<Noun>,
    Path(parts): Parts,
    Params(query): Params<Query>,
) -> Answer {
    let listed = argo(&cx.client, noun.kind(), namespace(&parts)).list(&list_params(&query)).await?;
    let pattern = text(&query, "namePattern");
    let mut items: Vec<_> =
        listed.items.into_iter().filter(|item| item.name_any().contains(pattern)).collect();
    items.sort_by_key(ResourceExt::name_any);
    let items: Vec<Value> = items.iter().map(to_value).collect();
    Ok(Json(clean(json!({"metadata": listed.metadata, "items": items}), text(&query, "fields"))))
}

pub(crate) async fn create(
    State(cx): Cx,
    Extension(noun): Extension<Noun>,
    Path(parts): Parts,
    Given(given): Given<Body>,
) -> Answer {
    let value = given.object(noun, namespace(&parts))?;
    check(&cx.client, namespace(&parts), noun, &value).await?;
    let api = argo(&cx.client, noun.kind(), namespace(&parts));
    let made = api.create(&PostParams::default(), &to_object(value)?).await?;
    Ok(Json(to_value(&made)))
}

pub(crate) async fn lint(
    State(cx): Cx,
    Extension(noun): Extension<Noun>,
    Path(parts): Parts,
    Given(given): Given<Body>,
) -> Answer {
    let value = given.object(noun, namespace(&parts))?;
    check(&cx.client, namespace(&parts), noun, &value).await?;
    Ok(Json(value))
}

pub(crate) async fn read(State(cx): Cx, Extension(noun): Extension<Noun>, Path(parts): Parts) -> Answer {
    let found = argo(&cx.client, noun.kind(), namespace(&parts)).get(name(&parts)).await?;
    Ok(Json(to_value(&found)))
}

pub(crate) async fn update(
    State(cx): Cx,
    Extension(noun): Extension<Noun>,
    Path(parts): Parts,
    Given(given): Given<Body>,
) -> Answer {
    let mut value = given.object(noun, namespace(&parts))?;
    let own = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let asked = if name(&parts).is_empty() { own.as_str() } else { name(&parts) };
    if !own.is_empty() && own != asked {
        return Err(Refusal::invalid(format!("the object is called {own}, the address {asked}")));
    }
    value["metadata"]["name"] = json!(asked);
    check(&cx.client, namespace(&parts), noun, &value).await?;
    let api = argo(&cx.client, noun.kind(), namespace(&parts));
    let mut object = to_object(value)?;
    if object.metadata.resource_version.is_none() {
        object.metadata.resource_version = api.get(asked).await?.metadata.resource_version;
    }
    let changed = api.replace(asked, &PostParams::default(), &object).await?;
    Ok(Json(to_value(&changed)))
}

pub(crate) async fn delete(State(cx): Cx, Extension(noun): Extension<Noun>, Path(parts): Parts) -> Answer {
    argo(&cx.client, noun.kind(), namespace(&parts)).delete(name(&parts), &DeleteParams::default()).await?;
    Ok(Json(json!({})))
}

pub(crate) async fn suspend(cx: Cx, parts: Parts) -> Answer {
    set_suspend(cx, parts, true).await
}

pub(crate) async fn resume(cx: Cx, parts: Parts) -> Answer {
    set_suspend(cx, parts, false).await
}

async fn set_suspend(State(cx): Cx, Path(parts): Parts, suspend: bool) -> Answer {
    let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
    let api = argo(&cx.client, "CronWorkflow", namespace(&parts));
    let changed = api.patch(name(&parts), &PatchParams::default(), &patch).await?;
    Ok(Json(to_value(&changed)))
}
