//! Syncing and rolling back: asked for here, carried out by whoever reconciles Applications.

use axum::Json;
use galley_argo_cd::{AppProject, Application};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::routes::Answer;
use crate::{Deps, Error, applications, windows};

/// Begins a sync.
pub(crate) async fn sync(deps: &Deps, name: &str, body: &Value) -> Answer {
    let application = applications::typed(deps, name).await?;
    if is_blocked(deps, &application).await? {
        return Err(Error::new(7, "cannot sync: blocked by sync window"));
    }
    if application.metadata.deletion_timestamp.is_some() {
        return Err(Error::new(9, "application is deleting"));
    }
    let revision = body["revision"].as_str().unwrap_or_default();
    let automated = application.spec.automated().is_some();
    let own = application.sources().first().map(|source| source.revision().to_owned()).unwrap_or_default();
    let dry_run = body["dryRun"] == true;
    if automated && !dry_run && !revision.is_empty() && revision != own {
        return Err(Error::new(9, format!("Cannot sync to {revision}: auto-sync currently set to {own}")));
    }
    let policy = application.spec.sync_policy.as_ref();
    let options = match body["syncOptions"]["items"].as_array() {
        Some(given) => given.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => policy.map(|policy| policy.sync_options.clone()).unwrap_or_default(),
    };
    let mut operation = json!({"prune": body["prune"] == true, "dryRun": dry_run});
    let optional = [
        ("syncStrategy", &body["strategy"]),
        ("resources", &body["resources"]),
        ("manifests", &body["manifests"]),
    ];
    for (field, value) in optional.into_iter().filter(|(_, value)| !value.is_null()) {
        operation[field] = value.clone();
    }
    if !options.is_empty() {
        operation["syncOptions"] = json!(options);
    }
    if !revision.is_empty() {
        operation["revision"] = json!(revision);
    }
    if let Some(revisions) = body["revisions"].as_array().filter(|revisions| !revisions.is_empty()) {
        operation["revisions"] = json!(revisions);
    }
    let retry = match (&body["retryStrategy"], policy.and_then(|policy| policy.retry.as_ref())) {
        (Value::Null, Some(retry)) => json!(retry),
        (given, _) => given.clone(),
    };
    ask(deps, &application, operation, retry).await
}

/// Asks for an operation, unless one is under way.
async fn ask(deps: &Deps, application: &Application, sync: Value, retry: Value) -> Answer {
    let under_way = application.operation.is_some()
        || application.status.operation_state.as_ref().is_some_and(|state| !state.phase.is_completed());
    if under_way {
        return Err(Error::new(9, "another operation is already in progress"));
    }
    let mut operation = json!({"initiatedBy": {"username": "admin"}, "sync": sync});
    if retry.is_object() {
        operation["retry"] = retry;
    }
    let patch = json!({"operation": operation});
    let name = &application.metadata.name;
    Ok(Json(json!(
        applications::all(deps).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?
    )))
}

/// Whether the project's windows keep somebody from syncing it now.
pub(crate) async fn is_blocked(deps: &Deps, application: &Application) -> Result<bool, Error> {
    let name = match application.spec.project.as_str() {
        "" => "default",
        name => name,
    };
    let Some(found) = applications::api(deps, "AppProject", "appprojects").get_opt(name).await? else {
        return Ok(false);
    };
    let project: AppProject = serde_json::from_value(json!(found))?;
    Ok(windows::blocked(&project, application, true, (deps.now)()))
}

/// Goes back to an entry of the history.
pub(crate) async fn rollback(deps: &Deps, name: &str, body: &Value) -> Answer {
    let application = applications::typed(deps, name).await?;
    if application.metadata.deletion_timestamp.is_some() {
        return Err(Error::new(9, "application is deleting"));
    }
    if application.spec.automated().is_some() {
        return Err(Error::new(9, "rollback cannot be initiated when auto-sync is enabled"));
    }
    let id = body["id"].as_i64().unwrap_or_default();
    let Some(entry) = application.status.history.iter().find(|entry| entry.id == id) else {
        let namespace = &deps.namespace;
        let what = format!("application {namespace}/{name} does not have deployment with id {id}");
        return Err(Error::new(3, what));
    };
    let policy = application.spec.sync_policy.as_ref();
    let mut sync = json!({
        "prune": body["prune"] == true,
        "dryRun": body["dryRun"] == true,
        "syncStrategy": {"apply": {}},
    });
    if let Some(policy) = policy.filter(|policy| !policy.sync_options.is_empty()) {
        sync["syncOptions"] = json!(policy.sync_options);
    }
    if entry.sources.is_empty() {
        sync["revision"] = json!(entry.revision);
        sync["source"] = json!(entry.source);
    } else {
        sync["revisions"] = json!(entry.revisions);
        sync["sources"] = json!(entry.sources);
    }
    ask(deps, &application, sync, Value::Null).await
}

/// Stops an operation.
pub(crate) async fn terminate(deps: &Deps, name: &str) -> Answer {
    let application = applications::typed(deps, name).await?;
    let running =
        application.status.operation_state.as_ref().is_some_and(|state| !state.phase.is_completed());
    if !running {
        return Err(Error::new(3, "Unable to terminate operation. No operation is in progress"));
    }
    let patch = json!({"status": {"operationState": {"phase": "Terminating", "message": "operation is terminating."}}});
    applications::all(deps).patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(Json(json!({})))
}
