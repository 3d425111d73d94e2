//! How well an object is, by its kind.
//!
//! The rules are Argo CD's (`gitops-engine/pkg/health` and the customisations it ships); the words too, where a user
//! would search for them. A kind without a rule has no health: it is well by being there.

mod batch;
mod network;
mod workload;

use galley_argo_cd::{Health, HealthCode};
use serde_json::Value;

use crate::object::group_of;

type Rule = fn(&Value) -> Health;

fn rule(group: &str, kind: &str) -> Option<Rule> {
    Some(match (group, kind) {
        ("apps", "Deployment") => workload::deployment,
        ("apps", "ReplicaSet") => workload::replica_set,
        ("apps", "StatefulSet") => workload::stateful_set,
        ("apps", "DaemonSet") => workload::daemon_set,
        ("", "Pod") => workload::pod,
        ("", "PersistentVolumeClaim") => network::claim,
        ("", "Service") => network::service,
        ("networking.k8s.io" | "extensions", "Ingress") => network::ingress,
        ("gateway.networking.k8s.io", "Gateway") => network::gateway,
        ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute") => network::route,
        ("batch", "Job") => batch::job,
        ("batch", "CronJob") => batch::cron_job,
        ("argoproj.io", "Workflow") => batch::workflow,
        ("argoproj.io", "CronWorkflow") => batch::cron_workflow,
        ("apiregistration.k8s.io", "APIService") => network::api_service,
        ("autoscaling", "HorizontalPodAutoscaler") => workload::autoscaler,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => network::definition,
        _ => return None,
    })
}

/// Whether a kind has a rule.
pub fn has_rule(group: &str, kind: &str) -> bool {
    rule(group, kind).is_some()
}

/// How well an object is; `None` if its kind has no rule. Whatever is being deleted is on its way.
pub fn of(object: &Value) -> Option<Health> {
    if object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return Some(Health::new(HealthCode::Progressing, "Pending deletion"));
    }
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    rule(group_of(object), kind).map(|rule| rule(object))
}

fn healthy(message: impl Into<String>) -> Health {
    Health::new(HealthCode::Healthy, message)
}

fn progressing(message: impl Into<String>) -> Health {
    Health::new(HealthCode::Progressing, message)
}

fn degraded(message: impl Into<String>) -> Health {
    Health::new(HealthCode::Degraded, message)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn field<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The message of a condition with this type and status.
fn condition<'a>(conditions: &'a [Value], kind: &str, status: &str) -> Option<&'a str> {
    let found = conditions.iter().find(|c| field(c, "type") == kind && field(c, "status") == status);
    found.map(|condition| field(condition, "message"))
}

#[cfg(test)]
mod tests;
