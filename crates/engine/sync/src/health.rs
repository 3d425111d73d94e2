//! Health by kind, after Argo CD's built-in rules.

use serde_json::Value;

/// How well an object is; from best to worst, as Argo CD orders them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthStatus {
    /// As it should be.
    Healthy,
    /// Paused by somebody.
    Suspended,
    /// On its way.
    Progressing,
    /// Not there.
    Missing,
    /// Broken.
    Degraded,
    /// Cannot be told.
    Unknown,
}

impl HealthStatus {
    /// Argo CD's word.
    pub const fn name(self) -> &'static str {
        match self {
            HealthStatus::Healthy => "Healthy",
            HealthStatus::Suspended => "Suspended",
            HealthStatus::Progressing => "Progressing",
            HealthStatus::Missing => "Missing",
            HealthStatus::Degraded => "Degraded",
            HealthStatus::Unknown => "Unknown",
        }
    }
}

/// Health with a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How well it is.
    pub status: HealthStatus,
    /// Why.
    pub message: String,
}

fn is(status: HealthStatus, message: impl Into<String>) -> Option<Health> {
    Some(Health { status, message: message.into() })
}

/// The health of a live object; nothing for kinds that have none of their own.
pub fn health(object: &Value) -> Option<Health> {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return is(HealthStatus::Progressing, "Pending deletion");
    }
    match object["kind"].as_str().unwrap_or_default() {
        "Deployment" => deployment(object),
        "StatefulSet" | "ReplicaSet" => replicas(object),
        "Job" => job(object),
        "Pod" => pod(object),
        "PersistentVolumeClaim" => claim(object),
        "Service" => service(object),
        "Application" => application(object),
        "Workflow" => workflow(object),
        "Gateway" => conditions(object, &["Accepted", "Programmed"], &object["status"]["conditions"]),
        "HTTPRoute" | "GRPCRoute" => route(object),
        _ => None,
    }
}

/// The worst of several.
pub fn worst(all: impl IntoIterator<Item = HealthStatus>) -> HealthStatus {
    all.into_iter().max().unwrap_or(HealthStatus::Healthy)
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn condition<'a>(conditions: &'a Value, kind: &str) -> Option<&'a Value> {
    conditions.as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn stale(object: &Value) -> bool {
    number(&object["status"]["observedGeneration"]) < number(&object["metadata"]["generation"])
}

fn deployment(object: &Value) -> Option<Health> {
    let (spec, status) = (&object["spec"], &object["status"]);
    if spec["paused"] == true {
        return is(HealthStatus::Suspended, "Deployment is paused");
    }
    if stale(object) {
        return is(HealthStatus::Progressing, "Waiting for rollout to finish: observed deployment generation less than desired generation");
    }
    if let Some(progressing) = condition(&status["conditions"], "Progressing")
        && progressing["reason"] == "ProgressDeadlineExceeded"
    {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        return is(HealthStatus::Degraded, format!("Deployment \"{name}\" exceeded its progress deadline"));
    }
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let (all, updated, available) =
        (number(&status["replicas"]), number(&status["updatedReplicas"]), number(&status["availableReplicas"]));
    if updated < wanted {
        is(HealthStatus::Progressing, format!("Waiting for rollout to finish: {updated} out of {wanted} new replicas have been updated..."))
    } else if all > updated {
        is(HealthStatus::Progressing, format!("Waiting for rollout to finish: {} old replicas are pending termination...", all - updated))
    } else if available < updated {
        is(HealthStatus::Progressing, format!("Waiting for rollout to finish: {available} of {updated} updated replicas are available..."))
    } else {
        is(HealthStatus::Healthy, "")
    }
}

fn replicas(object: &Value) -> Option<Health> {
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let ready = number(&object["status"]["readyReplicas"]);
    if stale(object) || ready < wanted {
        return is(HealthStatus::Progressing, format!("Waiting for {} pods to be ready...", (wanted - ready).max(0)));
    }
    is(HealthStatus::Healthy, "")
}

fn job(object: &Value) -> Option<Health> {
    let conditions = &object["status"]["conditions"];
    let true_of = |kind: &str| condition(conditions, kind).filter(|condition| condition["status"] == "True");
    let message = |condition: &Value| condition["message"].as_str().unwrap_or_default().to_owned();
    if let Some(failed) = true_of("Failed") {
        return is(HealthStatus::Degraded, message(failed));
    }
    if let Some(complete) = true_of("Complete") {
        return is(HealthStatus::Healthy, message(complete));
    }
    if true_of("Suspended").is_some() {
        return is(HealthStatus::Suspended, "");
    }
    is(HealthStatus::Progressing, "")
}

fn pod(object: &Value) -> Option<Health> {
    let status = &object["status"];
    let message = status["message"].as_str().unwrap_or_default();
    let waiting = status["containerStatuses"].as_array().into_iter().flatten().find_map(|container| {
        let reason = container["state"]["waiting"]["reason"].as_str()?;
        let broken = reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff");
        broken.then(|| container["state"]["waiting"]["message"].as_str().unwrap_or(reason).to_owned())
    });
    if let Some(waiting) = waiting {
        return is(HealthStatus::Degraded, waiting);
    }
    match status["phase"].as_str().unwrap_or_default() {
        "Succeeded" => is(HealthStatus::Healthy, message),
        "Failed" => is(HealthStatus::Degraded, message),
        "Running" => {
            let ready = condition(&status["conditions"], "Ready").is_some_and(|ready| ready["status"] == "True");
            is(if ready { HealthStatus::Healthy } else { HealthStatus::Progressing }, message)
        }
        "Pending" => is(HealthStatus::Progressing, message),
        _ => is(HealthStatus::Unknown, message),
    }
}

fn claim(object: &Value) -> Option<Health> {
    match object["status"]["phase"].as_str().unwrap_or_default() {
        "Bound" => is(HealthStatus::Healthy, ""),
        "Lost" => is(HealthStatus::Degraded, ""),
        _ => is(HealthStatus::Progressing, ""),
    }
}

fn service(object: &Value) -> Option<Health> {
    if object["spec"]["type"] != "LoadBalancer" {
        return is(HealthStatus::Healthy, "");
    }
    let given = object["status"]["loadBalancer"]["ingress"].as_array().is_some_and(|ingress| !ingress.is_empty());
    is(if given { HealthStatus::Healthy } else { HealthStatus::Progressing }, "")
}

fn application(object: &Value) -> Option<Health> {
    let health = &object["status"]["health"];
    let status = match health["status"].as_str() {
        Some("Healthy") => HealthStatus::Healthy,
        Some("Degraded") => HealthStatus::Degraded,
        Some("Suspended") => HealthStatus::Suspended,
        Some("Missing") => HealthStatus::Missing,
        _ => HealthStatus::Progressing,
    };
    is(status, health["message"].as_str().unwrap_or_default())
}

fn workflow(object: &Value) -> Option<Health> {
    let message = object["status"]["message"].as_str().unwrap_or_default();
    match object["status"]["phase"].as_str().unwrap_or_default() {
        "Succeeded" => is(HealthStatus::Healthy, message),
        "Failed" | "Error" => is(HealthStatus::Degraded, message),
        _ => is(HealthStatus::Progressing, message),
    }
}

fn conditions(object: &Value, wanted: &[&str], conditions: &Value) -> Option<Health> {
    let generation = number(&object["metadata"]["generation"]);
    for kind in wanted {
        let Some(found) = condition(conditions, kind) else {
            return is(HealthStatus::Progressing, format!("Waiting for {kind}"));
        };
        if found["observedGeneration"].as_i64().is_some_and(|observed| observed < generation) {
            return is(HealthStatus::Progressing, format!("Waiting for {kind} of the newest generation"));
        }
        if found["status"] != "True" {
            return is(HealthStatus::Degraded, found["message"].as_str().unwrap_or(kind));
        }
    }
    is(HealthStatus::Healthy, "")
}

fn route(object: &Value) -> Option<Health> {
    let parents = object["status"]["parents"].as_array().cloned().unwrap_or_default();
    if parents.is_empty() {
        return is(HealthStatus::Progressing, "Waiting for a Gateway to accept the route");
    }
    let all = parents.iter().filter_map(|parent| conditions(object, &["Accepted", "ResolvedRefs"], &parent["conditions"]));
    all.max_by_key(|health| health.status)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(object: Value, wanted: HealthStatus) {
        assert_eq!(health(&object).map(|health| health.status), Some(wanted), "{object}");
    }

    #[test]
    fn kinds_are_judged_as_argo_cd_judges_them() {
        use HealthStatus::{Degraded, Healthy, Progressing};
        let deployment = |observed: i64, updated: i64, available: i64| {
            json!({ "kind": "Deployment", "metadata": { "generation": 2 }, "spec": { "replicas": 2 },
                "status": { "observedGeneration": observed, "replicas": 2, "updatedReplicas": updated, "availableReplicas": available } })
        };
        check(deployment(1, 2, 2), Progressing);
        check(deployment(2, 1, 2), Progressing);
        check(deployment(2, 2, 1), Progressing);
        check(deployment(2, 2, 2), Healthy);
        check(json!({ "kind": "Job", "status": { "conditions": [{ "type": "Failed", "status": "True" }] } }), Degraded);
        check(json!({ "kind": "Service", "spec": { "type": "LoadBalancer" } }), Progressing);
        check(json!({ "kind": "HTTPRoute", "metadata": {}, "status": {} }), Progressing);
        let waiting = json!([{ "state": { "waiting": { "reason": "ImagePullBackOff" } } }]);
        check(json!({ "kind": "Pod", "status": { "phase": "Pending", "containerStatuses": waiting } }), Degraded);
        assert!(health(&json!({ "kind": "ConfigMap" })).is_none());
    }
}
