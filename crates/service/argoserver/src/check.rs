//! Validation, in Argo's words.

use galley_argo_workflows::{
    API_VERSION, CronWorkflow, Kind, Workflow, WorkflowSpec, WorkflowTemplate, check_shape, check_workflow,
    check_workflow_template, execution_spec,
};
use galley_workflow::Templates;
use kube::Client;
use kube::api::ListParams;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::Refusal;
use crate::objects::{argo, to_value};

/// Which kind an object is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noun {
    Workflow,
    WorkflowTemplate,
    ClusterWorkflowTemplate,
    CronWorkflow,
}

impl Noun {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Noun::Workflow => "Workflow",
            Noun::WorkflowTemplate => "WorkflowTemplate",
            Noun::ClusterWorkflowTemplate => "ClusterWorkflowTemplate",
            Noun::CronWorkflow => "CronWorkflow",
        }
    }
}

/// Fills in what goes without saying.
pub(crate) fn complete(value: &mut Value, noun: Noun, namespace: &str) {
    crate::objects::without_nulls(value);
    value["apiVersion"] = json!(API_VERSION);
    value["kind"] = json!(noun.kind());
    if noun != Noun::ClusterWorkflowTemplate && !namespace.is_empty() {
        value["metadata"]["namespace"] = json!(namespace);
    }
}

/// Says what is wrong with an object.
pub(crate) async fn check(
    client: &Client,
    namespace: &str,
    noun: Noun,
    value: &Value,
) -> Result<(), Refusal> {
    let mut bare = value.clone();
    if let Some(map) = bare.as_object_mut() {
        map.remove("status");
    }
    let shape = match noun {
        Noun::Workflow => Kind::Workflow,
        Noun::CronWorkflow => Kind::CronWorkflow,
        Noun::WorkflowTemplate | Noun::ClusterWorkflowTemplate => Kind::WorkflowTemplate,
    };
    if let Some(finding) = check_shape(shape, &bare).first() {
        let at = finding.pointer.trim_start_matches('/').replace('/', ".");
        return Err(Refusal::invalid(format!("{at}: {}", finding.what)));
    }
    let templates = templates(client, namespace).await?;
    let checked = match noun {
        Noun::Workflow => {
            let workflow: Workflow = typed(&bare)?;
            let reference = workflow.spec.workflow_template_ref.as_ref();
            let beneath = reference.and_then(|reference| {
                let all = if reference.cluster_scope { &templates.cluster } else { &templates.namespaced };
                all.get(&reference.name)
            });
            let spec =
                beneath.map_or_else(|| workflow.spec.clone(), |one| execution_spec(&workflow.spec, one));
            check_workflow(&workflow, &spec, &templates)
        }
        Noun::CronWorkflow => {
            let cron: CronWorkflow = typed(&bare)?;
            let mut workflow = Workflow { spec: cron.spec.workflow_spec, ..Workflow::default() };
            workflow.metadata.name = cron.metadata.name;
            check_workflow(&workflow, &workflow.spec, &templates)
        }
        Noun::WorkflowTemplate | Noun::ClusterWorkflowTemplate => {
            let template: WorkflowTemplate = typed(&bare)?;
            check_workflow_template(&template, &templates)
        }
    };
    checked.map_err(|wrong| Refusal::invalid(wrong.what))
}

fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, Refusal> {
    serde_json::from_value(value.clone()).map_err(|error| Refusal::invalid(error.to_string()))
}

/// All templates that a workflow of the namespace may use.
async fn templates(client: &Client, namespace: &str) -> Result<Templates, Refusal> {
    let mut templates = Templates::default();
    for (kind, namespace, into) in [
        ("WorkflowTemplate", namespace, &mut templates.namespaced),
        ("ClusterWorkflowTemplate", "", &mut templates.cluster),
    ] {
        for object in argo(client, kind, namespace).list(&ListParams::default()).await? {
            let name = object.metadata.name.clone().unwrap_or_default();
            if let Ok(spec) = serde_json::from_value::<WorkflowSpec>(to_value(&object)["spec"].clone()) {
                into.insert(name, spec);
            }
        }
    }
    Ok(templates)
}
