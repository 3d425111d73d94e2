//! Events: a payload that comes in begins the workflows whose WorkflowEventBinding chooses it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Params, State};
use axum::http::HeaderMap;
use galley_argo_workflows::API_VERSION;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Map, Value, json};

use crate::error::{Answer, Refusal};
use crate::objects::{Query, argo, list_params, to_value};
use crate::service::{Context, Cx};
use crate::submit;
use crate::workflows::make;

pub(crate) async fn list(
    State(cx): Cx,
    Path(namespace): Path<String>,
    Params(query): Params<Query>,
) -> Answer {
    let listed = argo(&cx.client, "WorkflowEventBinding", &namespace).list(&list_params(&query)).await?;
    let items: Vec<Value> = listed.items.iter().map(to_value).collect();
    Ok(Json(json!({"metadata": listed.metadata, "items": items})))
}

pub(crate) async fn receive_plain(
    cx: Cx,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    receive(cx, Path((namespace, String::new())), headers, body).await
}

pub(crate) async fn receive(
    State(cx): Cx,
    Path((namespace, discriminator)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let payload: Value = match body.as_ref() {
        [] => Value::Null,
        text => serde_json::from_slice(text)
            .map_err(|error| Refusal::invalid(format!("the event is not JSON: {error}")))?,
    };
    let environment = json!({
        "namespace": namespace, "discriminator": discriminator, "payload": payload, "metadata": metadata(&headers),
    });
    let bindings = argo(&cx.client, "WorkflowEventBinding", &namespace).list(&ListParams::default()).await?;
    for binding in &bindings {
        // One binding that is wrong does not keep the others from their events.
        if let Err(refusal) = begin(&cx, &namespace, &to_value(binding), &environment).await {
            tracing::warn!(
                binding = binding.name_any(),
                message = refusal.message,
                "an event could not be served"
            );
        }
    }
    Ok(Json(json!({})))
}

/// Headers that may be told: those of the sender's own making.
fn metadata(headers: &HeaderMap) -> Value {
    let own = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-"));
    let mut all = Map::new();
    for (name, value) in own {
        let values = all.entry(name.as_str().to_owned()).or_insert_with(|| json!([]));
        if let (Value::Array(values), Ok(text)) = (values, value.to_str()) {
            values.push(json!(text));
        }
    }
    Value::Object(all)
}

fn evaluate(expression: &str, environment: &Value) -> Result<Value, Refusal> {
    let environment =
        environment.as_object().map(|map| map.clone().into_iter().collect()).unwrap_or_default();
    galley_expr::eval(expression, &environment)
        .map_err(|error| Refusal::invalid(format!("`{expression}`: {error}")))
}

async fn begin(cx: &Context, namespace: &str, binding: &Value, environment: &Value) -> Result<(), Refusal> {
    let selector = binding["spec"]["event"]["selector"].as_str().unwrap_or_default();
    if evaluate(selector, environment)? != json!(true) {
        return Ok(());
    }
    let wanted = &binding["spec"]["submit"];
    let name = wanted["workflowTemplateRef"]["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        return Ok(());
    }
    let cluster = wanted["workflowTemplateRef"]["clusterScope"] == true;
    let kind = if cluster { "clusterworkflowtemplate" } else { "workflowtemplate" };
    let mut workflow = submit::from(cx, namespace, kind, name).await?;
    workflow["apiVersion"] = json!(API_VERSION);
    for field in ["labels", "annotations"] {
        for (key, value) in wanted["metadata"][field].as_object().into_iter().flatten() {
            workflow["metadata"][field][key] = value.clone();
        }
    }
    workflow["metadata"]["labels"]["workflows.argoproj.io/workflow-event-binding"] =
        binding["metadata"]["name"].clone();
    if let Some(own) = wanted["metadata"]["name"].as_str() {
        workflow["metadata"]["name"] = match evaluate(own, environment) {
            Ok(Value::String(text)) => json!(text),
            _ => json!(own),
        };
    } else if let Some(own) = wanted["metadata"]["generateName"].as_str() {
        workflow["metadata"]["generateName"] = json!(own);
    }
    let mut parameters = Vec::new();
    for parameter in wanted["arguments"]["parameters"].as_array().into_iter().flatten() {
        let expression = parameter["valueFrom"]["event"].as_str();
        let value = match expression {
            Some(expression) => match evaluate(expression, environment)? {
                Value::String(text) => json!(text),
                Value::Null => parameter["valueFrom"]["default"].clone(),
                other => json!(other.to_string()),
            },
            None => parameter["value"].clone(),
        };
        parameters.push(json!({"name": parameter["name"], "value": value}));
    }
    if !parameters.is_empty() {
        workflow["spec"]["arguments"] = json!({"parameters": parameters});
    }
    make(cx, namespace, workflow, false).await.map(drop)
}
