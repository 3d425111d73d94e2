//! Work that ends: jobs and workflows.

use galley_argo_cd::{Health, HealthCode};
use serde_json::Value;

use super::{condition, degraded, field, healthy, list, progressing, text};

pub(super) fn job(object: &Value) -> Health {
    let conditions = list(object, "/status/conditions");
    if let Some(message) = condition(conditions, "Failed", "True") {
        return degraded(message);
    }
    if let Some(message) = condition(conditions, "Complete", "True") {
        return healthy(message);
    }
    if let Some(message) = condition(conditions, "Suspended", "True") {
        return Health::new(HealthCode::Suspended, message);
    }
    progressing("")
}

pub(super) fn cron_job(object: &Value) -> Health {
    if object.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true) {
        return Health::new(HealthCode::Suspended, "CronJob is Suspended");
    }
    let (last, good) = (text(object, "/status/lastScheduleTime"), text(object, "/status/lastSuccessfulTime"));
    if last.is_empty() {
        return healthy("CronJob has not been scheduled yet");
    }
    if good.is_empty() {
        return healthy("The Cronjob never completed succesfully. It may not be healthy");
    }
    if !list(object, "/status/active").is_empty() {
        return healthy("The job is running. Its last execution may not have been successful");
    }
    // Both are RFC 3339 in UTC, which sorts as text.
    if good < last {
        return degraded("CronJob has not completed its last execution successfully");
    }
    healthy("CronJob has completed its last execution successfully")
}

pub(super) fn workflow(object: &Value) -> Health {
    let message = text(object, "/status/message");
    match text(object, "/status/phase") {
        "" | "Pending" | "Running" => progressing(message),
        "Succeeded" => healthy(message),
        "Failed" | "Error" => degraded(message),
        _ => Health::new(HealthCode::Unknown, message),
    }
}

pub(super) fn cron_workflow(object: &Value) -> Health {
    for found in list(object, "/status/conditions").iter().filter(|c| field(c, "status") == "True") {
        match field(found, "type") {
            "SpecError" | "SubmissionError" => return degraded(field(found, "message")),
            "Completed" => return healthy(field(found, "message")),
            _ => {}
        }
    }
    healthy("CronWorkflow is healthy.")
}
