//! A workflow from a template and options.

use axum::Json;
use axum::extract::{Path, State};
use galley_argo_workflows::{API_VERSION, LABEL_CRON, LABEL_TEMPLATE};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::body::Given;
use crate::error::{Answer, Refusal};
use crate::objects::{argo, to_value};
use crate::service::{Context, Cx};
use crate::workflows::{make, pairs};

/// A request to submit.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Request {
    resource_kind: String,
    resource_name: String,
    submit_options: Option<Options>,
}

/// Argo's options.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Options {
    name: String,
    generate_name: String,
    entry_point: String,
    parameters: Vec<String>,
    service_account: String,
    dry_run: bool,
    server_dry_run: bool,
    labels: String,
    annotations: String,
    pod_priority_class_name: String,
    priority: Option<i64>,
}

pub(crate) async fn submit(
    State(cx): Cx,
    Path(namespace): Path<String>,
    Given(request): Given<Request>,
) -> Answer {
    let mut value = from(&cx, &namespace, &request.resource_kind, &request.resource_name).await?;
    let options = request.submit_options.unwrap_or_default();
    apply(&mut value, &options)?;
    if options.dry_run {
        return Ok(Json(value));
    }
    make(&cx, &namespace, value, options.server_dry_run).await
}

/// The workflow that a template gives.
pub(crate) async fn from(cx: &Context, namespace: &str, kind: &str, name: &str) -> Result<Value, Refusal> {
    let referring = |cluster: bool| {
        let mut reference = json!({"name": name});
        if cluster {
            reference["clusterScope"] = json!(true);
        }
        json!({
            "apiVersion": API_VERSION, "kind": "Workflow",
            "metadata": {"generateName": format!("{name}-"), "namespace": namespace, "labels": {LABEL_TEMPLATE: name}},
            "spec": {"workflowTemplateRef": reference},
        })
    };
    match kind.to_lowercase().replace('-', "").as_str() {
        "workflowtemplate" | "workflowtemplates" | "wftmpl" => {
            argo(&cx.client, "WorkflowTemplate", namespace).get(name).await?;
            Ok(referring(false))
        }
        "clusterworkflowtemplate" | "clusterworkflowtemplates" | "cwftmpl" | "cwft" => {
            argo(&cx.client, "ClusterWorkflowTemplate", "").get(name).await?;
            let mut value = referring(true);
            value["metadata"]["labels"] = json!({"workflows.argoproj.io/cluster-workflow-template": name});
            Ok(value)
        }
        "cronworkflow" | "cronworkflows" | "cronwf" | "cwf" => {
            let cron = to_value(&argo(&cx.client, "CronWorkflow", namespace).get(name).await?);
            let mut labels =
                cron["spec"]["workflowMetadata"]["labels"].as_object().cloned().unwrap_or_default();
            labels.insert(LABEL_CRON.to_owned(), json!(name));
            let annotations = cron["spec"]["workflowMetadata"]["annotations"].clone();
            let mut value = json!({
                "apiVersion": API_VERSION, "kind": "Workflow",
                "metadata": {"generateName": format!("{name}-"), "namespace": namespace, "labels": labels},
                "spec": cron["spec"]["workflowSpec"],
            });
            if annotations.is_object() {
                value["metadata"]["annotations"] = annotations;
            }
            Ok(value)
        }
        _ => Err(Refusal::invalid(format!("resource kind '{kind}' is not supported for submitting"))),
    }
}

fn apply(value: &mut Value, options: &Options) -> Result<(), Refusal> {
    let set = |value: &mut Value, field: &str, text: &str| {
        if !text.is_empty() {
            value["spec"][field] = json!(text);
        }
    };
    set(value, "entrypoint", &options.entry_point);
    set(value, "serviceAccountName", &options.service_account);
    set(value, "podPriorityClassName", &options.pod_priority_class_name);
    if let Some(priority) = options.priority {
        value["spec"]["priority"] = json!(priority);
    }
    if !options.generate_name.is_empty() {
        value["metadata"]["generateName"] = json!(options.generate_name);
    }
    if !options.name.is_empty() {
        value["metadata"]["name"] = json!(options.name);
    }
    for (field, text) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        for (name, content) in words(field, text)? {
            value["metadata"][field][name] = content;
        }
    }
    parameters(value, &options.parameters)
}

/// Puts parameters over those of the workflow; new ones are added.
pub(crate) fn parameters(value: &mut Value, given: &[String]) -> Result<(), Refusal> {
    if given.is_empty() {
        return Ok(());
    }
    let mut all = value["spec"]["arguments"]["parameters"].as_array().cloned().unwrap_or_default();
    for (name, content) in pairs(given)? {
        let new = json!({"name": name, "value": content});
        match all.iter_mut().find(|one| one["name"] == *name) {
            Some(old) => {
                old["value"] = json!(content);
                if let Some(map) = old.as_object_mut() {
                    map.remove("valueFrom");
                }
            }
            None => all.push(new),
        }
    }
    value["spec"]["arguments"]["parameters"] = json!(all);
    Ok(())
}

/// `a=b,c=d`.
fn words(field: &str, text: &str) -> Result<Map<String, Value>, Refusal> {
    text.split(',')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((name, content)) => Ok((name.to_owned(), json!(content))),
            None => Err(Refusal::invalid(format!(
                "expected {field} of the form: NAME1=VALUE1,NAME2=VALUE2. Received: {text}"
            ))),
        })
        .collect()
}
