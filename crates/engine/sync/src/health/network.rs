//! Addresses, routes and storage.

use galley_argo_cd::{Health, HealthCode};
use serde_json::Value;

use super::{condition, degraded, field, healthy, list, progressing, text};

pub(super) fn service(object: &Value) -> Health {
    if text(object, "/spec/type") == "LoadBalancer" && list(object, "/status/loadBalancer/ingress").is_empty()
    {
        return progressing("");
    }
    healthy("")
}

pub(super) fn ingress(object: &Value) -> Health {
    if list(object, "/status/loadBalancer/ingress").is_empty() { progressing("") } else { healthy("") }
}

pub(super) fn claim(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Lost" => degraded(""),
        "Pending" => progressing(""),
        "Bound" => healthy(""),
        _ => Health::new(HealthCode::Unknown, ""),
    }
}

pub(super) fn api_service(object: &Value) -> Health {
    let found = list(object, "/status/conditions").iter().find(|c| field(c, "type") == "Available");
    let Some(found) = found else { return progressing("Waiting to be processed") };
    let message = format!("{}: {}", field(found, "reason"), field(found, "message"));
    if field(found, "status") == "True" { healthy(message) } else { progressing(message) }
}

pub(super) fn definition(object: &Value) -> Health {
    let conditions = list(object, "/status/conditions");
    if conditions.is_empty() {
        return progressing("Status conditions not found");
    }
    if let Some(message) = condition(conditions, "NamesAccepted", "False") {
        return degraded(format!("CRD names have not been accepted: {message}"));
    }
    match condition(conditions, "Established", "True") {
        Some(_) => healthy("CRD is healthy"),
        None => degraded("CRD is not established"),
    }
}

/// What the conditions of a gateway, a listener or a route's parent say, if anything is not as it should be.
fn unsettled(conditions: &[Value], what: &str) -> Option<Health> {
    for kind in ["ResolvedRefs", "Accepted"] {
        if let Some(message) = condition(conditions, kind, "False") {
            let failed = format!("Failed condition: {kind}");
            return Some(degraded(if message.is_empty() { failed } else { message.to_owned() }));
        }
    }
    let programmed =
        conditions.iter().find(|c| field(c, "type") == "Programmed" && field(c, "status") != "True")?;
    let message = field(programmed, "message");
    Some(progressing(if message.is_empty() {
        format!("{what} is still being programmed")
    } else {
        message.to_owned()
    }))
}

pub(super) fn gateway(object: &Value) -> Health {
    let conditions = list(object, "/status/conditions");
    let listeners = list(object, "/status/listeners");
    if let Some(health) = unsettled(conditions, "Gateway") {
        return health;
    }
    for listener in listeners {
        if let Some(mut health) = unsettled(list(listener, "/conditions"), "Listener") {
            health.message = format!("Listener: {}", health.message);
            return health;
        }
    }
    if object.pointer("/status/conditions").is_none() && listeners.is_empty() {
        return progressing("Waiting for Gateway status");
    }
    healthy("Gateway is healthy")
}

pub(super) fn route(object: &Value) -> Health {
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let seen = |conditions: &[Value]| {
        let of_now = |c: &Value| c.get("observedGeneration").and_then(Value::as_i64) == generation;
        !conditions.is_empty() && (generation.is_none() || conditions.iter().any(of_now))
    };
    let mut seen_by_any = false;
    for parent in list(object, "/status/parents") {
        let conditions = list(parent, "/conditions");
        if !seen(conditions) {
            continue;
        }
        seen_by_any = true;
        if let Some(mut health) = unsettled(conditions, "Route") {
            health.message = format!("Parent {}: {}", text(parent, "/parentRef/name"), health.message);
            return health;
        }
    }
    let kind = field(object, "kind");
    if seen_by_any {
        healthy(format!("{kind} is healthy"))
    } else {
        progressing(format!("Waiting for {kind} status"))
    }
}
