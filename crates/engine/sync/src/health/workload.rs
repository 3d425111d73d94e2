//! Pods and what makes them.

use galley_argo_cd::{Health, HealthCode};
use serde_json::Value;

use super::{condition, degraded, field, healthy, list, number, progressing, text};

/// Whether the controller has seen the present specification.
fn observed(object: &Value) -> bool {
    number(object, "/metadata/generation") <= number(object, "/status/observedGeneration")
}

fn wanted_replicas(object: &Value) -> i64 {
    object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

pub(super) fn deployment(object: &Value) -> Health {
    if object.pointer("/spec/paused").and_then(Value::as_bool) == Some(true) {
        return Health::new(HealthCode::Suspended, "Deployment is paused");
    }
    if !observed(object) {
        let why = "observed deployment generation less than desired generation";
        return progressing(format!("Waiting for rollout to finish: {why}"));
    }
    let late = list(object, "/status/conditions")
        .iter()
        .any(|c| field(c, "type") == "Progressing" && field(c, "reason") == "ProgressDeadlineExceeded");
    if late {
        let name = text(object, "/metadata/name");
        return degraded(format!("Deployment {name:?} exceeded its progress deadline"));
    }
    let count = |field: &str| number(object, &format!("/status/{field}"));
    let (wanted, updated) = (wanted_replicas(object), count("updatedReplicas"));
    let waiting = |why: String| progressing(format!("Waiting for rollout to finish: {why}..."));
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if count("replicas") > updated {
        return waiting(format!("{} old replicas are pending termination", count("replicas") - updated));
    }
    if count("availableReplicas") < updated {
        return waiting(format!(
            "{} of {updated} updated replicas are available",
            count("availableReplicas")
        ));
    }
    healthy("")
}

pub(super) fn replica_set(object: &Value) -> Health {
    if !observed(object) {
        let why = "observed replica set generation less than desired generation";
        return progressing(format!("Waiting for rollout to finish: {why}"));
    }
    if let Some(message) = condition(list(object, "/status/conditions"), "ReplicaFailure", "True") {
        return degraded(message);
    }
    let (wanted, available) = (wanted_replicas(object), number(object, "/status/availableReplicas"));
    if available < wanted {
        let why = format!("{available} out of {wanted} new replicas are available");
        return progressing(format!("Waiting for rollout to finish: {why}..."));
    }
    healthy("")
}

pub(super) fn stateful_set(object: &Value) -> Health {
    if number(object, "/status/observedGeneration") == 0 || !observed(object) {
        return progressing("Waiting for statefulset spec update to be observed...");
    }
    let count = |field: &str| number(object, &format!("/status/{field}"));
    let (wanted, ready) = (wanted_replicas(object), count("readyReplicas"));
    if ready < wanted {
        return progressing(format!("Waiting for {} pods to be ready...", wanted - ready));
    }
    let strategy = text(object, "/spec/updateStrategy/type");
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    if strategy == "RollingUpdate" && partition > 0 {
        let (updated, new) = (count("updatedReplicas"), wanted - partition);
        if updated < new {
            let why = format!("{updated} out of {new} new pods have been updated");
            return progressing(format!("Waiting for partitioned roll out to finish: {why}..."));
        }
        return healthy(format!("partitioned roll out complete: {updated} new pods have been updated..."));
    }
    if strategy == "OnDelete" {
        return healthy(format!("statefulset has {ready} ready pods"));
    }
    let (current, update) = (text(object, "/status/currentRevision"), text(object, "/status/updateRevision"));
    if current != update {
        let updated = count("updatedReplicas");
        let why = format!("{updated} pods at revision {update}");
        return progressing(format!("waiting for statefulset rolling update to complete {why}..."));
    }
    let current_replicas = count("currentReplicas");
    healthy(format!("statefulset rolling update complete {current_replicas} pods at revision {current}..."))
}

pub(super) fn daemon_set(object: &Value) -> Health {
    if !observed(object) {
        let why = "observed daemon set generation less than desired generation";
        return progressing(format!("Waiting for rollout to finish: {why}"));
    }
    let count = |field: &str| number(object, &format!("/status/{field}"));
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return healthy(format!(
            "daemon set {} out of {} new pods have been updated",
            count("updatedNumberScheduled"),
            count("desiredNumberScheduled")
        ));
    }
    let name = text(object, "/metadata/name");
    let (wanted, updated) = (count("desiredNumberScheduled"), count("updatedNumberScheduled"));
    let waiting =
        |why: String| progressing(format!("Waiting for daemon set {name:?} rollout to finish: {why}..."));
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new pods have been updated"));
    }
    if count("numberAvailable") < wanted {
        return waiting(format!("{} of {wanted} updated pods are available", count("numberAvailable")));
    }
    healthy("")
}

pub(super) fn pod(object: &Value) -> Health {
    let statuses = || list(object, "/status/containerStatuses").iter();
    let initial = || list(object, "/status/initContainerStatuses").iter();
    let restarts = match text(object, "/spec/restartPolicy") {
        "" => "Always",
        policy => policy,
    };
    if restarts == "Always" {
        let stuck: Vec<&str> = initial()
            .chain(statuses())
            .filter(|status| {
                let reason = text(status, "/state/waiting/reason");
                reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff")
            })
            .map(|status| text(status, "/state/waiting/message"))
            .collect();
        if !stuck.is_empty() {
            return degraded(stuck.join(", "));
        }
    }
    let message = text(object, "/status/message");
    match text(object, "/status/phase") {
        "Pending" => progressing(message),
        "Succeeded" => healthy(message),
        "Failed" => degraded(failure(message, initial().chain(statuses()))),
        "Running" if restarts == "Always" => {
            if condition(list(object, "/status/conditions"), "Ready", "True").is_some() {
                return healthy(message);
            }
            if statuses().any(|status| status.pointer("/lastState/terminated").is_some_and(|t| !t.is_null()))
            {
                return degraded(message);
            }
            progressing(message)
        }
        // A pod that ends is a task: while it runs it is on its way.
        "Running" => progressing(message),
        _ => Health::new(HealthCode::Unknown, message),
    }
}

fn failure<'a>(message: &str, mut statuses: impl Iterator<Item = &'a Value>) -> String {
    if !message.is_empty() {
        return message.to_owned();
    }
    let failed = statuses.find_map(|status| {
        let ended = status.pointer("/state/terminated")?;
        let said = field(ended, "message");
        if !said.is_empty() {
            return Some(said.to_owned());
        }
        if field(ended, "reason") == "OOMKilled" {
            return Some("OOMKilled".to_owned());
        }
        let code = ended.get("exitCode").and_then(Value::as_i64).filter(|code| *code != 0)?;
        Some(format!("container {:?} failed with exit code {code}", field(status, "name")))
    });
    failed.unwrap_or_default()
}

pub(super) fn autoscaler(object: &Value) -> Health {
    let conditions = list(object, "/status/conditions");
    if conditions.is_empty() {
        return progressing("Waiting to Autoscale");
    }
    let failing = ["FailedGetScale", "FailedUpdateScale", "FailedGetResourceMetric", "InvalidSelector"];
    if let Some(failed) = conditions.iter().find(|c| failing.contains(&field(c, "reason"))) {
        return degraded(field(failed, "message"));
    }
    let able = conditions.iter().find(|c| {
        field(c, "status") == "True" && matches!(field(c, "type"), "AbleToScale" | "ScalingLimited")
    });
    able.map_or_else(|| progressing("Waiting to Autoscale"), |condition| healthy(field(condition, "message")))
}
