//! Objects of the API by kind, as the commands need them.

use galley_problem::{Kind, Problem};
use kube::{
    Api, Client,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
};
use serde_json::Value;

/// Workflows of a namespace, or of all.
pub fn workflows(client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
    argo(client, "Workflow", "workflows", namespace)
}

/// Applications.
pub fn applications(client: &Client) -> Api<DynamicObject> {
    argo(client, "Application", "applications", Some(galley_release_types::APPLICATIONS_NAMESPACE))
}

fn argo(client: &Client, kind: &str, plural: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind), plural);
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Text at a path of keys, or nothing.
pub fn text(value: &Value, path: &[&str]) -> String {
    let found = path.iter().try_fold(value, |value, key| value.get(key));
    found.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A refusal of the API server as a problem.
pub fn refused(attempt: &str, error: &kube::Error) -> Problem {
    let kind = match error {
        kube::Error::Api(status) if status.code == 404 => Kind::NotFound,
        kube::Error::Api(status) if status.code == 409 => Kind::Conflict,
        kube::Error::Api(status) if status.code == 401 || status.code == 403 => Kind::Denied,
        kube::Error::Api(_) => Kind::Invalid,
        _ => Kind::Unavailable,
    };
    Problem::new("G0107", kind, format!("The API server refused {attempt}.")).because(error)
}
