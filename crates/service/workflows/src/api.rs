//! Typed doors to the kinds used here, over untyped objects: nothing of a newer version is lost on the way.

use galley_argo_workflows::{CronWorkflow, Workflow, WorkflowSpec};
use galley_workflow::Templates;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;

/// The resource of a kind of Argo.
pub(crate) fn argo(kind: &str) -> ApiResource {
    let plural = format!("{}s", kind.to_lowercase());
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind), &plural)
}

/// A core/v1 kind.
pub(crate) fn core(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind))
}

/// Objects of a kind in a namespace.
pub(crate) fn within(client: &Client, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, resource)
}

/// An untyped object as one JSON value.
pub(crate) fn to_value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// An untyped object as one of our types.
pub(crate) fn typed<T: DeserializeOwned>(object: &DynamicObject) -> Result<T, Error> {
    let name = object.metadata.name.clone().unwrap_or_default();
    serde_json::from_value(to_value(object))
        .map_err(|source| Error::Form { what: format!("object {name}"), source })
}

/// All templates that a workflow of a namespace may use.
pub(crate) async fn templates(client: &Client, namespace: &str) -> Result<Templates, Error> {
    let mut templates = Templates::default();
    let own = within(client, namespace, &argo("WorkflowTemplate"));
    let cluster: Api<DynamicObject> = Api::all_with(client.clone(), &argo("ClusterWorkflowTemplate"));
    for (api, into) in [(own, &mut templates.namespaced), (cluster, &mut templates.cluster)] {
        let list =
            api.list(&ListParams::default()).await.map_err(Error::api("listing workflow templates"))?;
        for object in list {
            let name = object.metadata.name.clone().unwrap_or_default();
            let spec = to_value(&object)["spec"].clone();
            match serde_json::from_value::<WorkflowSpec>(spec) {
                Ok(spec) => {
                    into.insert(name, spec);
                }
                Err(error) => {
                    tracing::warn!(template = name, %error, "a template cannot be read and is passed over")
                }
            }
        }
    }
    Ok(templates)
}

/// Reads a workflow; `None` when there is none.
pub(crate) async fn workflow(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<DynamicObject>, Error> {
    let api = within(client, namespace, &argo("Workflow"));
    api.get_opt(name).await.map_err(Error::api(format!("reading workflow {namespace}/{name}")))
}

/// A workflow in our type.
pub(crate) fn as_workflow(object: &DynamicObject) -> Result<Workflow, Error> {
    typed(object)
}

/// A CronWorkflow in our type.
pub(crate) fn as_cron(object: &DynamicObject) -> Result<CronWorkflow, Error> {
    typed(object)
}
