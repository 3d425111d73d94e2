//! Delete: at once, or by marking what finalizers or a pod's agent still hold.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use futures::{StreamExt, stream};
use galley_store::objects::{ObjectError, ObjectKey};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, Call, parse_stored,
    read::read_page,
    request::{media_type, parse_object, read_body},
    write::{encode, settle},
};
use crate::{
    ApiServer,
    kinds::ResourceDef,
    object::{FOREGROUND, ORPHAN, finalizers, is_deleting, may_go, metadata_mut, owner_uids, text},
    selector::facts_of,
    status::{json_response, success},
};

/// Deletions of a collection that are under way at a time.
const AT_A_TIME: usize = 64;
/// A deletion that meets other writers is tried so often.
const ATTEMPTS: usize = 32;

/// What happens to an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay, without their owner.
    Orphan,
}

/// How an object is to be deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deletion {
    /// `None`: as an earlier deletion said, else in the background.
    pub(crate) propagation: Option<Propagation>,
    pub(crate) grace: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) dry_run: bool,
}

/// What a deletion came to.
pub(crate) enum Deleted {
    /// The object is gone; this is its uid.
    Gone(String),
    /// The object is marked and will go; this is it.
    Marked(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeleteOptions {
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Option<Preconditions>,
    dry_run: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl Deletion {
    /// Reads the options of a request, in its body or in its query.
    async fn read(call: &Call, body: Body) -> Result<Self, ApiError> {
        let bytes = read_body(body).await?;
        let options = if bytes.is_empty() {
            DeleteOptions::default()
        } else {
            let options = parse_object(&media_type(&call.headers), &bytes)?;
            serde_json::from_value(options).map_err(|error| {
                ApiError::bad_request(format!("the delete options cannot be read: {error}"))
            })?
        };
        let policy = options.propagation_policy.or_else(|| call.params.propagation.clone());
        let orphan = options.orphan_dependents.or(call.params.orphan_dependents);
        let propagation = match (policy.as_deref(), orphan) {
            (None, None) => None,
            (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (Some(other), _) => {
                return Err(ApiError::unprocessable(format!(
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"{other}\": \
                     supported values: \"Foreground\", \"Background\", \"Orphan\""
                )));
            }
        };
        let preconditions = options.preconditions.unwrap_or_default();
        Ok(Deletion {
            propagation,
            grace: options.grace_period_seconds.or(call.params.grace_period),
            uid: preconditions.uid,
            resource_version: preconditions.resource_version,
            dry_run: call.params.dry_run
                || options.dry_run.unwrap_or_default().iter().any(|stage| stage == "All"),
        })
    }
}

/// Deletes one object.
pub(super) async fn delete(call: Call, name: &str, body: Body) -> Result<Response, ApiError> {
    let deletion = Deletion::read(&call, body).await?;
    respond(&call, name, &deletion).await
}

/// Deletes one object and shows what came of it.
pub(super) async fn respond(call: &Call, name: &str, deletion: &Deletion) -> Result<Response, ApiError> {
    let body = match delete_stored(&call.server, &call.def, call.key(name), deletion).await? {
        Deleted::Gone(uid) => success(&call.def, name, &uid).to_string(),
        Deleted::Marked(json) => json,
    };
    Ok(json_response(StatusCode::OK, body))
}

/// Deletes all objects that are selected.
pub(super) async fn delete_collection(call: Call, body: Body) -> Result<Response, ApiError> {
    let deletion = Deletion::read(&call, body).await?;
    let (page, _) = read_page(&call)?;
    let (call, deletion) = (&call, &deletion);
    let outcomes: Vec<Result<Deleted, ApiError>> = stream::iter(page.items)
        .map(|item| async move { delete_stored(&call.server, &call.def, item.key, deletion).await })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    for outcome in outcomes {
        // What is gone already is as wanted.
        if let Err(error) = outcome
            && error.code() != 404
        {
            return Err(error);
        }
    }
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    Ok(json_response(StatusCode::OK, status.to_string()))
}

/// Deletes a stored object.
pub(crate) async fn delete_stored(
    server: &ApiServer,
    def: &Arc<ResourceDef>,
    key: ObjectKey,
    deletion: &Deletion,
) -> Result<Deleted, ApiError> {
    if def.is("", "namespaces") && super::ALWAYS.contains(&key.name.as_str()) {
        return Err(ApiError::forbidden(def, &key.name, "this namespace may not be deleted"));
    }
    for _ in 0..ATTEMPTS {
        let stored = server.objects().get(&key)?.ok_or_else(|| ApiError::not_found(def, &key.name))?;
        let old = parse_stored(&stored.json)?;
        check_preconditions(def, &key.name, &old, deletion)?;
        let grace = grace(def, &old, deletion);
        let mut new = old.clone();
        if let Some(propagation) = deletion.propagation {
            hold(&mut new, propagation);
        }
        let goes = grace == 0 && may_go(def, &new);
        if !goes {
            mark(server, def, &old, &mut new, grace);
        }
        if deletion.dry_run {
            return Ok(if goes { Deleted::Gone(stored.uid) } else { Deleted::Marked(new.to_string()) });
        }
        if !goes && new == old {
            return Ok(Deleted::Marked(stored.json));
        }
        let outcome = if goes {
            server.objects().delete(key.clone(), stored.revision, encode(new)).await
        } else {
            let draft = galley_store::objects::Draft {
                uid: stored.uid.clone(),
                facts: facts_of(&new),
                owners: owner_uids(&new),
                encode: encode(new),
            };
            server.objects().update(key.clone(), stored.revision, draft).await
        };
        match outcome {
            Ok(_) if goes => {
                settle(server, def)?;
                return Ok(Deleted::Gone(stored.uid));
            }
            Ok(marked) => return Ok(Deleted::Marked(marked.json)),
            Err(ObjectError::Changed { .. }) => {}
            Err(ObjectError::NotFound) => return Err(ApiError::not_found(def, &key.name)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::modified(def, &key.name))
}

fn check_preconditions(
    def: &ResourceDef,
    name: &str,
    object: &Value,
    deletion: &Deletion,
) -> Result<(), ApiError> {
    let fits = |wanted: &Option<String>, field: &str, what: &str| {
        let is = text(object, field);
        match wanted {
            Some(wanted) if wanted != is => Err(ApiError::conflict(
                def,
                name,
                &format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}"
                ),
            )),
            _ => Ok(()),
        }
    };
    fits(&deletion.uid, "/metadata/uid", "UID")?;
    fits(&deletion.resource_version, "/metadata/resourceVersion", "ResourceVersion")
}

/// Seconds that a running pod gets to end. Everything else, and a pod that no node has or that has ended, goes at
/// once; a pod on a node goes when its agent deletes it with a grace period of zero.
fn grace(def: &ResourceDef, object: &Value, deletion: &Deletion) -> i64 {
    let ended = matches!(text(object, "/status/phase"), "Succeeded" | "Failed");
    if !def.is("", "pods") || text(object, "/spec/nodeName").is_empty() || ended {
        return 0;
    }
    let asked = deletion.grace.map(|seconds| seconds.max(0));
    let already = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    let usual = object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(30);
    match (asked, already) {
        (Some(asked), Some(already)) => asked.min(already),
        (Some(asked), None) => asked,
        (None, Some(already)) => already,
        (None, None) => usual,
    }
}

/// Adds or removes the finalizers with which the garbage collector treats dependents first.
fn hold(object: &mut Value, propagation: Propagation) {
    let wanted = match propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    };
    let mut list: Vec<String> = finalizers(object)
        .into_iter()
        .filter(|f| *f != FOREGROUND && *f != ORPHAN)
        .map(str::to_owned)
        .collect();
    list.extend(wanted.map(str::to_owned));
    let metadata = metadata_mut(object);
    if list.is_empty() {
        metadata.shift_remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), json!(list));
    }
}

/// Writes down that the object is to go.
fn mark(server: &ApiServer, def: &ResourceDef, old: &Value, new: &mut Value, grace: i64) {
    let shorter = |old: &Value| {
        let before = old.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
        before.is_some_and(|before| grace < before)
    };
    if !is_deleting(old) || shorter(old) {
        let now = server.now();
        let end = now.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(now);
        let generation = old.pointer("/metadata/generation").and_then(Value::as_i64);
        let metadata = metadata_mut(new);
        metadata.insert("deletionTimestamp".into(), galley_units::rfc3339(end).into());
        metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
        if let Some(generation) = generation.filter(|_| !is_deleting(old)) {
            metadata.insert("generation".into(), (generation + 1).into());
        }
    }
    if def.is("", "namespaces") {
        new["status"]["phase"] = "Terminating".into();
    }
}
