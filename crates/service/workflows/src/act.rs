//! Does what the engine asks for.

use galley_workflow::{Action, ResourceSeen, ResourceVerb};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::api::{core, within};
use crate::error::code_of;
use crate::objects::Watch;
use crate::reconcile::Memory;
use crate::service::{Context, Key};
use crate::{Error, http, objects};

/// The label that says what a ConfigMap is for.
pub(crate) const LABEL_CONFIG_MAP: &str = "workflows.argoproj.io/configmap-type";

/// Does one thing. True when something was learnt that the engine should know at once.
pub(crate) async fn act(
    context: &Context,
    key: &Key,
    memory: &mut Memory,
    action: Action,
) -> Result<bool, Error> {
    match action {
        Action::CreatePod { node_id, name, manifest } => {
            create_pod(context, key, memory, node_id, &name, manifest).await
        }
        Action::DeletePod { name } => delete(context, key, "Pod", &name).await,
        Action::CompletePod { name } => {
            let pods = within(&context.client, &key.namespace, &core("Pod"));
            let patch = Patch::Merge(
                json!({"metadata": {"labels": {galley_argo_workflows::LABEL_COMPLETED: "true"}}}),
            );
            match pods.patch(&name, &PatchParams::default(), &patch).await {
                Ok(_) => Ok(false),
                Err(error) if code_of(&error) == Some(404) => Ok(false),
                Err(error) => Err(Error::api(format!("labelling pod {}/{name}", key.namespace))(error)),
            }
        }
        Action::Resource(request) if request.verb == ResourceVerb::Watch => {
            // The first time, the object is read at once: it may have changed since the deed.
            let is_new = !memory.awaited.contains_key(&request.node_id);
            if is_new {
                memory.awaited.insert(request.node_id.clone(), (request, Watch::default()));
            }
            Ok(is_new)
        }
        Action::Resource(request) => {
            let result = objects::perform(context, key, &request).await?;
            memory
                .answers
                .insert(request.node_id.clone(), ResourceSeen { node_id: request.node_id.clone(), result });
            Ok(true)
        }
        Action::Http(request) => {
            http::send(context, key, memory, request);
            Ok(false)
        }
        Action::CreateClaim { manifest } => create_claim(context, key, memory, manifest).await,
        Action::DeleteClaim { name } => {
            memory.claims.remove(&name);
            delete(context, key, "PersistentVolumeClaim", &name).await
        }
        Action::SaveCache { cache, key: entry_key, entry } => {
            save_cache(context, key, &cache, &entry_key, entry).await
        }
        Action::WakeAt(_) => Ok(false),
    }
}

fn object(manifest: Value, what: &str) -> Result<DynamicObject, Error> {
    serde_json::from_value(manifest).map_err(|source| Error::Form { what: what.to_owned(), source })
}

async fn create_pod(
    context: &Context,
    key: &Key,
    memory: &mut Memory,
    node_id: String,
    name: &str,
    manifest: Value,
) -> Result<bool, Error> {
    let pod = match object(manifest, name) {
        Ok(pod) => pod,
        Err(error) => {
            memory.refused.insert(node_id, error.to_string());
            return Ok(true);
        }
    };
    let pods = within(&context.client, &key.namespace, &core("Pod"));
    match pods.create(&PostParams::default(), &pod).await {
        Ok(_) => Ok(false),
        Err(error) => match (&error, code_of(&error)) {
            // An earlier try made it; its watch event brings it here.
            (kube::Error::Api(status), Some(409)) if status.reason == "AlreadyExists" => Ok(false),
            (kube::Error::Api(status), Some(400 | 403 | 422)) => {
                memory.refused.insert(node_id, status.message.clone());
                Ok(true)
            }
            _ => Err(Error::api(format!("making pod {}/{name}", key.namespace))(error)),
        },
    }
}

async fn create_claim(
    context: &Context,
    key: &Key,
    memory: &mut Memory,
    manifest: Value,
) -> Result<bool, Error> {
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if memory.claims.contains(&name) {
        return Ok(false);
    }
    let claim = object(manifest, &name)?;
    let claims = within(&context.client, &key.namespace, &core("PersistentVolumeClaim"));
    match claims.create(&PostParams::default(), &claim).await {
        Ok(_) => {}
        Err(error) if code_of(&error) == Some(409) => {}
        Err(error) => return Err(Error::api(format!("making claim {}/{name}", key.namespace))(error)),
    }
    memory.claims.insert(name);
    Ok(false)
}

async fn delete(context: &Context, key: &Key, kind: &str, name: &str) -> Result<bool, Error> {
    let api = within(&context.client, &key.namespace, &core(kind));
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(false),
        Err(error) if code_of(&error) == Some(404) => Ok(false),
        Err(error) => Err(Error::api(format!("deleting {kind} {}/{name}", key.namespace))(error)),
    }
}

async fn save_cache(
    context: &Context,
    key: &Key,
    cache: &str,
    entry_key: &str,
    entry: String,
) -> Result<bool, Error> {
    let maps = within(&context.client, &key.namespace, &core("ConfigMap"));
    let patch = Patch::Merge(json!({"data": {entry_key: entry}}));
    match maps.patch(cache, &PatchParams::default(), &patch).await {
        Ok(_) => return Ok(false),
        Err(error) if code_of(&error) == Some(404) => {}
        Err(error) => return Err(Error::api(format!("writing cache {}/{cache}", key.namespace))(error)),
    }
    let manifest = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": cache, "labels": {LABEL_CONFIG_MAP: "Cache"}},
        "data": {entry_key: entry},
    });
    match maps.create(&PostParams::default(), &object(manifest, cache)?).await {
        Ok(_) => Ok(false),
        Err(error) => Err(Error::api(format!("making cache {}/{cache}", key.namespace))(error)),
    }
}
