//! The Application's status, in Argo CD's words.

use galley_problem::Problem;
use galley_sync::{Action, HealthStatus, Live, Plan, health, worst};
use serde_json::{Value, json};

/// What one look found.
pub(crate) struct Found<'a> {
    /// The commit that was compared.
    pub revision: &'a str,
    /// What differs.
    pub plan: &'a Plan,
    /// What is there.
    pub live: &'a Live,
    /// The Application's source, as compared.
    pub spec: &'a Value,
    /// What the source is.
    pub source_type: &'a str,
}

/// Sync, health and resources.
pub(crate) fn of(found: &Found<'_>) -> Value {
    let mut resources = Vec::new();
    let mut healths = Vec::new();
    for item in &found.plan.items {
        let live = found.live.get(&item.key);
        let judged = match live {
            Some(live) => health(live),
            None => Some(galley_sync::Health { status: HealthStatus::Missing, message: String::new() }),
        };
        let pruned = item.action == Action::Prune;
        let status = if matches!(item.action, Action::Keep | Action::Hook) { "Synced" } else { "OutOfSync" };
        let (group, version) = item.api_version.split_once('/').unwrap_or(("", &item.api_version));
        let mut resource = json!({
            "group": group, "version": version, "kind": item.key.kind, "namespace": item.key.namespace,
            "name": item.key.name, "status": status,
        });
        for empty in ["group", "namespace"] {
            if resource[empty] == "" {
                resource.as_object_mut().map(|resource| resource.remove(empty));
            }
        }
        if pruned {
            resource["requiresPruning"] = json!(true);
        }
        if let Some(judged) = judged {
            resource["health"] = json!({ "status": judged.status.name() });
            if !judged.message.is_empty() {
                resource["health"]["message"] = json!(judged.message);
            }
            // An Application of Applications is as well as its own objects; theirs is told by themselves.
            if !pruned && item.key.kind != "Application" {
                healths.push(judged.status);
            }
        }
        resources.push(resource);
    }
    let synced = if found.plan.is_empty() { "Synced" } else { "OutOfSync" };
    json!({
        "sync": {
            "status": synced, "revision": found.revision,
            "comparedTo": { "source": found.spec["source"], "destination": found.spec["destination"] },
        },
        "health": { "status": worst(healths).name() },
        "resources": resources,
        "sourceType": found.source_type,
        "conditions": [],
    })
}

/// The status after a look that failed: what is known stays, the reason is told.
pub(crate) fn of_problem(before: &Value, problem: &Problem, now: &str) -> Value {
    let kind = if problem.code == "G0430" { "SyncError" } else { "ComparisonError" };
    let mut message = problem.to_string();
    if let Some(remedy) = &problem.remedy {
        message.push(' ');
        message.push_str(remedy);
    }
    let same = before["conditions"][0]["message"] == json!(message);
    let since = if same { before["conditions"][0]["lastTransitionTime"].clone() } else { json!(now) };
    json!({
        "sync": { "status": "Unknown" },
        "health": before.get("health").cloned().unwrap_or_else(|| json!({ "status": "Unknown" })),
        "conditions": [{ "type": kind, "message": message, "lastTransitionTime": since }],
    })
}
