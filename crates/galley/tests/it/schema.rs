//! What the pipeline repository brings is what Kubernetes and its extensions know: each object is read into its type
//! and written again, and nothing may get lost on the way.

use std::collections::BTreeMap;

use galley_argo_cd::{AppProject, Application};
use galley_gateway_types::{Gateway, GatewayClass, HttpRoute, ReferenceGrant};
use k8s_openapi::{
    api::{
        apps::v1 as apps, core::v1 as core, networking::v1 as networking, policy::v1 as policy,
        rbac::v1 as rbac,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1 as extensions,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::charts;

/// Reads an object as `T` and writes it again; the error is serde's own.
fn again<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, String> {
    let typed: T = serde_path_to_error::deserialize(object).map_err(|error| error.to_string())?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}

/// The same for types that know nothing of what all objects have.
fn body_again<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, String> {
    let mut after = again::<T>(object)?;
    for common in ["apiVersion", "kind", "metadata"] {
        after[common] = object[common].clone();
    }
    Ok(after)
}

fn through_its_type(object: &Value) -> Result<Value, String> {
    match object["kind"].as_str().unwrap_or_default() {
        "ClusterRole" => again::<rbac::ClusterRole>(object),
        "ClusterRoleBinding" => again::<rbac::ClusterRoleBinding>(object),
        "ConfigMap" => again::<core::ConfigMap>(object),
        "CustomResourceDefinition" => again::<extensions::CustomResourceDefinition>(object),
        "Deployment" => again::<apps::Deployment>(object),
        "NetworkPolicy" => again::<networking::NetworkPolicy>(object),
        "PersistentVolumeClaim" => again::<core::PersistentVolumeClaim>(object),
        "PodDisruptionBudget" => again::<policy::PodDisruptionBudget>(object),
        "Role" => again::<rbac::Role>(object),
        "RoleBinding" => again::<rbac::RoleBinding>(object),
        "Service" => again::<core::Service>(object),
        "ServiceAccount" => again::<core::ServiceAccount>(object),
        "AppProject" => again::<AppProject>(object),
        "Application" => again::<Application>(object),
        "Gateway" => body_again::<Gateway>(object),
        "GatewayClass" => body_again::<GatewayClass>(object),
        "HTTPRoute" => body_again::<HttpRoute>(object),
        "ReferenceGrant" => body_again::<ReferenceGrant>(object),
        other => Err(format!("nobody knows the kind `{other}`")),
    }
}

/// Where something of `before` is missing in `after` or has become something else.
fn lost(before: &Value, after: &Value, at: &str) -> Vec<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before
            .iter()
            .flat_map(|(key, value)| {
                lost(value, after.get(key).unwrap_or(&Value::Null), &format!("{at}.{key}"))
            })
            .collect(),
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => before
            .iter()
            .zip(after)
            .enumerate()
            .flat_map(|(index, (before, after))| lost(before, after, &format!("{at}[{index}]")))
            .collect(),
        // A type may leave out what says nothing.
        (Value::Object(before), Value::Null) if before.is_empty() => Vec::new(),
        (Value::Array(before), Value::Null) if before.is_empty() => Vec::new(),
        _ if before == after => Vec::new(),
        _ => vec![format!("{at}: {before} became {after}")],
    }
}

fn check(objects: &BTreeMap<String, Value>) {
    for (key, object) in objects {
        let after = through_its_type(object).unwrap_or_else(|error| panic!("{key}: {error}"));
        let lost = lost(object, &after, "");
        assert!(lost.is_empty(), "{key} has what its kind does not know: {lost:#?}");
    }
}

#[test]
fn charts_have_only_what_their_kinds_know() {
    for (name, settings) in charts::CHARTS {
        for set in [&[] as &[&str]].iter().chain(settings) {
            for api_versions in [&[] as &[&str], &["embedded.galley.dev/v1"]] {
                check(&charts::ours(name, set, api_versions));
            }
        }
    }
}

#[test]
fn applications_have_only_what_their_kinds_know() {
    let mut files = galley_render::Files::new();
    charts::files(&charts::root().join("pipeline/apps"), "", &mut files);
    assert!(!files.is_empty());
    for (path, bytes) in files {
        for document in galley_yaml::parse_documents(&path, &String::from_utf8_lossy(&bytes)).expect("YAML") {
            check(&BTreeMap::from([(charts::key(&document.value), document.value)]));
        }
    }
}

#[test]
fn a_field_that_nobody_knows_is_found() {
    let service = serde_json::json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "a" },
        "spec": { "ports": [{ "port": 80, "tagretPort": "http" }] },
    });
    let after = through_its_type(&service).expect("a Service");
    assert_eq!(lost(&service, &after, ""), [".spec.ports[0].tagretPort: \"http\" became null"]);
}
