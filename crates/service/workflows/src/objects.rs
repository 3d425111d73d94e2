//! Objects of resource templates: deeds and waits on any kind.

use futures::{StreamExt, TryStreamExt};
use galley_workflow::{ResourceRequest, ResourceVerb};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Error;
use crate::api::to_value;
use crate::error::code_of;
use crate::service::{Context, Key};

/// Who made an object: workflow and node.
const MADE_BY: &str = "workflows.galley.dev/made-by";
/// The name under which fields are applied.
const MANAGER: &str = "galley-workflows";

/// What came of a deed: the object, or why it cannot be done. Errors of the connection are repeated instead.
type Deed = Result<Value, String>;

/// A task that watches an object and wakes its workflow; ends when it is dropped.
#[derive(Default)]
pub(crate) struct Watch(Option<DropGuard>);

impl Watch {
    /// Begins to watch, once.
    pub(crate) async fn begin(&mut self, context: &Context, key: &Key, request: &ResourceRequest) {
        if self.0.is_some() {
            return;
        }
        let Ok(Ok((api, name))) = door(&context.client, key, &request.manifest).await else { return };
        let stop: CancellationToken = context.shutdown.child_token();
        self.0 = Some(stop.clone().drop_guard());
        let (queue, key) = (context.workflows.clone(), key.clone());
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        tokio::spawn(async move {
            let mut events = watcher(api, config).default_backoff().boxed();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    event = events.try_next() => match event {
                        Ok(None) => return,
                        Ok(Some(watcher::Event::Init | watcher::Event::InitDone)) | Err(_) => {}
                        Ok(Some(_)) => if queue.send(key.clone()).await.is_err() { return },
                    },
                }
            }
        });
    }
}

/// The API of an object's kind, in its own namespace or the workflow's.
async fn door(
    client: &Client,
    key: &Key,
    manifest: &Value,
) -> Result<Result<(Api<DynamicObject>, String), String>, Error> {
    let version = manifest["apiVersion"].as_str().unwrap_or_default();
    let kind = manifest["kind"].as_str().unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let (resource, capabilities): (ApiResource, _) = match pinned_kind(client, &gvk).await {
        Ok(found) => found,
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Err(missing(&gvk))),
        Err(kube::Error::Discovery(_)) => return Ok(Err(missing(&gvk))),
        Err(error) => return Err(Error::api(format!("finding the kind {kind}"))(error)),
    };
    let namespace = manifest["metadata"]["namespace"].as_str().unwrap_or(&key.namespace);
    let api = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    Ok(Ok((api, manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned())))
}

fn missing(gvk: &GroupVersionKind) -> String {
    format!("no matches for kind \"{}\" in version \"{}\"", gvk.kind, gvk.api_version())
}

/// Reads an awaited object; `None` when it is gone.
pub(crate) async fn read(
    context: &Context,
    key: &Key,
    request: &ResourceRequest,
) -> Result<Result<Option<Value>, String>, Error> {
    let (api, name) = match door(&context.client, key, &request.manifest).await? {
        Ok(door) => door,
        Err(why) => return Ok(Err(why)),
    };
    let found = api.get_opt(&name).await.map_err(Error::api(format!("reading {name}")))?;
    Ok(Ok(found.map(|object| to_value(&object))))
}

/// Does what a resource template asks for.
pub(crate) async fn perform(context: &Context, key: &Key, request: &ResourceRequest) -> Result<Deed, Error> {
    let (api, name) = match door(&context.client, key, &request.manifest).await? {
        Ok(door) => door,
        Err(why) => return Ok(Err(why)),
    };
    let mut manifest = request.manifest.clone();
    if request.verb == ResourceVerb::Create {
        manifest["metadata"]["annotations"][MADE_BY] = request.made_by.clone().into();
    }
    let object = |value: &Value| {
        serde_json::from_value::<DynamicObject>(value.clone()).map_err(|error| error.to_string())
    };
    // The object may be named by flags; the manifest is then only its name.
    let patch = request.patch.as_ref().unwrap_or(&manifest);
    let result = match request.verb {
        ResourceVerb::Get | ResourceVerb::Watch => api.get(&name).await,
        ResourceVerb::Create => match object(&manifest) {
            Ok(object) => create(&api, &name, &object, &request.made_by).await,
            Err(why) => return Ok(Err(why)),
        },
        ResourceVerb::Apply => {
            let params = PatchParams::apply(MANAGER).force();
            api.patch(&name, &params, &Patch::Apply(&manifest)).await
        }
        ResourceVerb::Replace => match object(&manifest) {
            Ok(object) => replace(&api, &name, object).await,
            Err(why) => return Ok(Err(why)),
        },
        ResourceVerb::Patch => match request.merge_strategy.as_str() {
            "json" => {
                return Ok(Err(
                    "JSON patches in resource templates are not supported; use mergeStrategy `merge`"
                        .to_owned(),
                ));
            }
            "merge" => api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await,
            _ => api.patch(&name, &PatchParams::default(), &Patch::Strategic(patch)).await,
        },
        ResourceVerb::Delete => match api.delete(&name, &DeleteParams::background()).await {
            Ok(_) => return Ok(Ok(Value::Null)),
            Err(error) if code_of(&error) == Some(404) => return Ok(Ok(Value::Null)),
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(object) => Ok(Ok(to_value(&object))),
        Err(kube::Error::Api(status)) if status.code < 500 => Ok(Err(status.message)),
        Err(error) => Err(Error::api(format!("{:?} of {name}", request.verb))(error)),
    }
}

/// Makes an object; one that an earlier try of the same request made is as good.
async fn create(
    api: &Api<DynamicObject>,
    name: &str,
    object: &DynamicObject,
    made_by: &str,
) -> kube::Result<DynamicObject> {
    match api.create(&PostParams::default(), object).await {
        Err(error) if code_of(&error) == Some(409) => match api.get_opt(name).await? {
            Some(found)
                if found
                    .metadata
                    .annotations
                    .as_ref()
                    .and_then(|all| all.get(MADE_BY))
                    .is_some_and(|by| by == made_by) =>
            {
                Ok(found)
            }
            _ => Err(error),
        },
        other => other,
    }
}

async fn replace(
    api: &Api<DynamicObject>,
    name: &str,
    mut object: DynamicObject,
) -> kube::Result<DynamicObject> {
    let found = api.get(name).await?;
    object.metadata.resource_version = found.metadata.resource_version;
    api.replace(name, &PostParams::default(), &object).await
}
