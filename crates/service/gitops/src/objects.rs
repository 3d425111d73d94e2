//! Objects of any kind, found by discovery.

use std::{collections::HashMap, sync::Mutex};

use galley_problem::{Kind, Problem};
use galley_sync::Key;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy},
    core::{ApiResource, GroupVersionKind},
    discovery::Scope,
};
use serde_json::{Value, json};

use crate::api_problem;

/// Whose changes they are, in managed fields and events.
const MANAGER: &str = "galley-gitops";

/// Reads and writes objects of any kind.
pub(crate) struct Objects {
    client: Client,
    known: Mutex<HashMap<GroupVersionKind, (ApiResource, bool)>>,
}

impl Objects {
    pub(crate) fn new(client: Client) -> Self {
        Objects { client, known: Mutex::new(HashMap::new()) }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The kind as the server knows it, and whether it lives in namespaces.
    pub(crate) async fn resource(&self, api_version: &str, kind: &str) -> Result<(ApiResource, bool), Problem> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind);
        if let Some(known) = self.known.lock().unwrap_or_else(|p| p.into_inner()).get(&gvk) {
            return Ok(known.clone());
        }
        let found = kube::discovery::pinned_kind(&self.client, &gvk).await.map_err(|error| {
            Problem::new("G0431", Kind::NotFound, format!("The cluster knows no {kind} of {api_version}."))
                .because(&error)
                .try_this("Correct `apiVersion` and `kind`, or deliver its CustomResourceDefinition first.")
        })?;
        let known = (found.0, matches!(found.1.scope, Scope::Namespaced));
        self.known.lock().unwrap_or_else(|p| p.into_inner()).insert(gvk, known.clone());
        Ok(known)
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        match namespace {
            "" => Api::all_with(self.client.clone(), resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, resource),
        }
    }

    pub(crate) async fn get(&self, api_version: &str, key: &Key) -> Result<Option<Value>, Problem> {
        let (resource, _) = self.resource(api_version, &key.kind).await?;
        let found = self.api(&resource, &key.namespace).get_opt(&key.name).await;
        match found.map_err(|e| api_problem(&format!("to show {key}"), &e))? {
            Some(object) => Ok(Some(value(&object, &resource)?)),
            None => Ok(None),
        }
    }

    /// All objects of a kind that a test accepts.
    pub(crate) async fn list(
        &self,
        api_version: &str,
        kind: &str,
        accept: impl Fn(&DynamicObject) -> bool,
    ) -> Result<Vec<Value>, Problem> {
        let (resource, _) = self.resource(api_version, kind).await?;
        let all = self.api(&resource, "").list(&ListParams::default()).await;
        let all = all.map_err(|e| api_problem(&format!("to list {kind}"), &e))?;
        all.items.iter().filter(|object| accept(object)).map(|object| value(object, &resource)).collect()
    }

    pub(crate) async fn create(&self, api_version: &str, key: &Key, object: &Value) -> Result<(), Problem> {
        let (resource, _) = self.resource(api_version, &key.kind).await?;
        let object: DynamicObject = serde_json::from_value(object.clone()).map_err(|error| {
            Problem::new("G0420", Kind::Invalid, format!("{key} is no Kubernetes object.")).because(&error)
        })?;
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let created = self.api(&resource, &key.namespace).create(&params, &object).await;
        created.map(drop).map_err(|e| api_problem(&format!("to create {key}"), &e))
    }

    pub(crate) async fn merge(&self, api_version: &str, key: &Key, patch: &Value) -> Result<(), Problem> {
        let (resource, _) = self.resource(api_version, &key.kind).await?;
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        let merged = self.api(&resource, &key.namespace).patch(&key.name, &params, &Patch::Merge(patch)).await;
        merged.map(drop).map_err(|e| api_problem(&format!("to change {key}"), &e))
    }

    pub(crate) async fn delete(&self, api_version: &str, key: &Key) -> Result<(), Problem> {
        let (resource, _) = self.resource(api_version, &key.kind).await?;
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        match self.api(&resource, &key.namespace).delete(&key.name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(api_problem(&format!("to delete {key}"), &error)),
        }
    }

    /// Makes the namespace unless it is there.
    pub(crate) async fn ensure_namespace(&self, name: &str) -> Result<(), Problem> {
        let key = Key { group: String::new(), kind: "Namespace".into(), namespace: String::new(), name: name.into() };
        if self.get("v1", &key).await?.is_some() {
            return Ok(());
        }
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        match self.create("v1", &key, &object).await {
            Err(problem) if problem.kind == Kind::Conflict => Ok(()),
            other => other,
        }
    }
}

/// A list leaves out the kind of its items; everything here needs it.
fn value(object: &DynamicObject, resource: &ApiResource) -> Result<Value, Problem> {
    let mut value = serde_json::to_value(object)
        .map_err(|e| Problem::new("G0430", Kind::Internal, "An object cannot be read.").because(&e))?;
    value["apiVersion"] = json!(resource.api_version);
    value["kind"] = json!(resource.kind);
    Ok(value)
}
