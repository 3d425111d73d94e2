//! Reading Kubernetes' own kinds strictly: by their types, as its API server does.
//!
//! An object that went through its type has no unknown fields, no nulls, and quantities as text, so that what is
//! accepted here is accepted by a cluster and what reads it may rely on the types. Kinds without a type here pass
//! as they are.

use k8s_openapi::api::{apps, batch, coordination, core, discovery, networking, policy, rbac, storage};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{kinds::ResourceDef, rest::ApiError};

/// The object as its type writes it, and the fields that the type does not have.
pub(crate) fn typed(def: &ResourceDef, object: Value) -> Result<(Value, Vec<String>), ApiError> {
    let read = match (def.group.as_str(), def.version.as_str(), def.kind.as_str()) {
        ("", "v1", "Namespace") => through::<core::v1::Namespace>,
        ("", "v1", "Pod") => through::<core::v1::Pod>,
        ("", "v1", "Service") => through::<core::v1::Service>,
        ("", "v1", "Endpoints") => through::<core::v1::Endpoints>,
        ("", "v1", "ConfigMap") => through::<core::v1::ConfigMap>,
        ("", "v1", "Secret") => through::<core::v1::Secret>,
        ("", "v1", "ServiceAccount") => through::<core::v1::ServiceAccount>,
        ("", "v1", "PersistentVolumeClaim") => through::<core::v1::PersistentVolumeClaim>,
        ("", "v1", "PersistentVolume") => through::<core::v1::PersistentVolume>,
        ("", "v1", "Event") => through::<core::v1::Event>,
        ("", "v1", "Node") => through::<core::v1::Node>,
        ("apps", "v1", "Deployment") => through::<apps::v1::Deployment>,
        ("apps", "v1", "ReplicaSet") => through::<apps::v1::ReplicaSet>,
        ("apps", "v1", "StatefulSet") => through::<apps::v1::StatefulSet>,
        ("apps", "v1", "DaemonSet") => through::<apps::v1::DaemonSet>,
        ("batch", "v1", "Job") => through::<batch::v1::Job>,
        ("batch", "v1", "CronJob") => through::<batch::v1::CronJob>,
        ("discovery.k8s.io", "v1", "EndpointSlice") => through::<discovery::v1::EndpointSlice>,
        ("rbac.authorization.k8s.io", "v1", "Role") => through::<rbac::v1::Role>,
        ("rbac.authorization.k8s.io", "v1", "RoleBinding") => through::<rbac::v1::RoleBinding>,
        ("rbac.authorization.k8s.io", "v1", "ClusterRole") => through::<rbac::v1::ClusterRole>,
        ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding") => through::<rbac::v1::ClusterRoleBinding>,
        ("networking.k8s.io", "v1", "NetworkPolicy") => through::<networking::v1::NetworkPolicy>,
        ("networking.k8s.io", "v1", "Ingress") => through::<networking::v1::Ingress>,
        ("policy", "v1", "PodDisruptionBudget") => through::<policy::v1::PodDisruptionBudget>,
        ("coordination.k8s.io", "v1", "Lease") => through::<coordination::v1::Lease>,
        ("storage.k8s.io", "v1", "StorageClass") => through::<storage::v1::StorageClass>,
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition") => {
            through::<apiextensions::v1::CustomResourceDefinition>
        }
        _ => return Ok((object, Vec::new())),
    };
    let canonical = read(&object).map_err(|why| {
        ApiError::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: {why}",
            def.kind, def.version, def.kind
        ))
    })?;
    let mut unknown = Vec::new();
    lost(&object, &canonical, &mut String::new(), &mut unknown);
    Ok((canonical, unknown))
}

fn through<T: Serialize + DeserializeOwned>(object: &Value) -> Result<Value, String> {
    let typed: T = serde_path_to_error::deserialize(object)
        .map_err(|error| format!("{}: {}", error.path(), error.inner()))?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}

/// The fields of `given` that are not in `kept`; an absent null is not missed.
fn lost(given: &Value, kept: &Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (key, value) in given.iter().filter(|(_, value)| !value.is_null()) {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
                match kept.get(key) {
                    Some(kept) => lost(value, kept, path, found),
                    None => found.push(path.clone()),
                }
                path.truncate(length);
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for (n, (given, kept)) in given.iter().zip(kept).enumerate() {
                path.push_str(&format!("[{n}]"));
                lost(given, kept, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}
