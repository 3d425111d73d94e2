//! Listing, making, changing and deleting Applications.

use std::time::Duration;

use axum::Json;
use galley_argo_cd::{API_VERSION, Application, names};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::routes::{Answer, Parameters};
use crate::{Deps, Error};

/// How long a refresh is waited for.
const REFRESH: Duration = Duration::from_secs(60);
/// How often is looked whether it is done.
const LOOK: Duration = Duration::from_millis(50);
/// The finalizer that takes an Application's objects along.
const CASCADE: &str = "resources-finalizer.argocd.argoproj.io";

pub(crate) fn api(deps: &Deps, kind: &str, plural: &str) -> Api<DynamicObject> {
    let (group, version) = API_VERSION.split_once('/').unwrap_or(("argoproj.io", "v1alpha1"));
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    Api::namespaced_with(deps.client.clone(), &deps.namespace, &resource)
}

pub(crate) fn all(deps: &Deps) -> Api<DynamicObject> {
    api(deps, "Application", "applications")
}

pub(crate) async fn list_of(deps: &Deps, kind: &str, plural: &str) -> Answer {
    let found = api(deps, kind, plural).list(&ListParams::default()).await?;
    Ok(Json(json!({"metadata": {"resourceVersion": found.metadata.resource_version}, "items": found.items})))
}

pub(crate) async fn list(deps: &Deps, query: &Parameters) -> Answer {
    let mut parameters = ListParams::default();
    if let Some(selector) = query.get("selector") {
        parameters = parameters.labels(selector);
    }
    let mut found = all(deps).list(&parameters).await?;
    let wanted = |field: &str| query.get(field).filter(|value| !value.is_empty());
    if let Some(name) = wanted("name") {
        found.items.retain(|item| item.metadata.name.as_ref() == Some(name));
    }
    if let Some(project) = wanted("projects").or_else(|| wanted("project")) {
        found.items.retain(|item| item.data["spec"]["project"] == project.as_str());
    }
    Ok(Json(json!({"metadata": {"resourceVersion": found.metadata.resource_version}, "items": found.items})))
}

pub(crate) async fn get(deps: &Deps, name: &str) -> Result<Value, Error> {
    let found = all(deps).get_opt(name).await?;
    found.map(|object| json!(object)).ok_or_else(|| Error::missing("applications", name))
}

pub(crate) async fn typed(deps: &Deps, name: &str) -> Result<Application, Error> {
    Ok(serde_json::from_value(get(deps, name).await?)?)
}

/// Makes an Application; one that is there is changed only with `upsert`, unless it is the same.
pub(crate) async fn create(deps: &Deps, mut body: Value, upsert: bool) -> Answer {
    body["apiVersion"] = json!(API_VERSION);
    body["kind"] = json!("Application");
    body["metadata"]["namespace"] = json!(deps.namespace);
    if body["spec"]["project"].as_str().is_none_or(str::is_empty) {
        body["spec"]["project"] = json!("default");
    }
    let application: Application = serde_json::from_value(body.clone())?;
    let name = application.metadata.name.clone();
    if let Some(there) = all(deps).get_opt(&name).await? {
        let same = there.data["spec"] == body["spec"];
        if same {
            return Ok(Json(json!(there)));
        }
        if !upsert {
            return Err(Error::new(
                3,
                "existing application spec is different, use upsert flag to force update",
            ));
        }
        return replace(deps, &name, body["spec"].clone(), Some(&body["metadata"])).await;
    }
    validate(deps, &application).await?;
    let object: DynamicObject = serde_json::from_value(body)?;
    Ok(Json(json!(all(deps).create(&PostParams::default(), &object).await?)))
}

/// Refuses what could never be synced.
async fn validate(deps: &Deps, application: &Application) -> Result<(), Error> {
    let name = &application.metadata.name;
    let invalid = |why: String| {
        Error::new(3, format!("application spec for {name} is invalid: InvalidSpecError: {why}"))
    };
    let project = &application.spec.project;
    let known = api(deps, "AppProject", "appprojects").get_opt(project).await?;
    if known.is_none() && project != "default" {
        return Err(invalid(format!("Application referencing project {project} which does not exist")));
    }
    deps.renderer.manifests(application, "").await.map_err(|problem| invalid(problem.what.clone()))?;
    Ok(())
}

/// Puts another specification, and labels, annotations and finalizers, in place of the ones that are there.
pub(crate) async fn replace(deps: &Deps, name: &str, spec: Value, metadata: Option<&Value>) -> Answer {
    let mut object = all(deps).get_opt(name).await?.ok_or_else(|| Error::missing("applications", name))?;
    object.data["spec"] = spec;
    if let Some(metadata) = metadata.filter(|metadata| metadata.is_object()) {
        object.metadata.labels = serde_json::from_value(metadata["labels"].clone())?;
        object.metadata.annotations = serde_json::from_value(metadata["annotations"].clone())?;
        object.metadata.finalizers = serde_json::from_value(metadata["finalizers"].clone())?;
    }
    Ok(Json(json!(all(deps).replace(name, &PostParams::default(), &object).await?)))
}

/// `{"patch": "...", "patchType": "merge"|"json"}`
pub(crate) async fn patch(deps: &Deps, name: &str, body: &Value) -> Answer {
    let text = body["patch"].as_str().unwrap_or_default();
    let parameters = PatchParams::default();
    let done = match body["patchType"].as_str() {
        Some("json") => {
            let operations = serde_json::from_str(text)?;
            all(deps).patch(name, &parameters, &Patch::<Value>::Json(operations)).await?
        }
        _ => {
            let patch: Value = serde_json::from_str(text)?;
            all(deps).patch(name, &parameters, &Patch::Merge(&patch)).await?
        }
    };
    Ok(Json(json!(done)))
}

/// Asks for a look at git and the cluster, and waits for it.
pub(crate) async fn refresh(deps: &Deps, name: &str, how: &str) -> Result<(), Error> {
    get(deps, name).await?;
    let how = if how == "hard" { "hard" } else { "normal" };
    let asked = json!({"metadata": {"annotations": {names::REFRESH: how}}});
    all(deps).patch(name, &PatchParams::default(), &Patch::Merge(&asked)).await?;
    let done = async {
        loop {
            let now = all(deps).get_opt(name).await?;
            let waiting = now.is_some_and(|object| {
                object.metadata.annotations.is_some_and(|all| all.contains_key(names::REFRESH))
            });
            if !waiting {
                return Ok::<(), Error>(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(REFRESH, done).await.map_err(|_| Error::new(4, "the refresh took too long"))?
}

/// Deletes an Application, with its objects unless `cascade=false`.
pub(crate) async fn delete(deps: &Deps, name: &str, query: &Parameters) -> Answer {
    let object = all(deps).get_opt(name).await?.ok_or_else(|| Error::missing("applications", name))?;
    let cascade = query.get("cascade").is_none_or(|cascade| cascade != "false");
    let policy = query.get("propagationPolicy").map_or("foreground", String::as_str);
    if cascade && !matches!(policy, "" | "foreground" | "background") {
        let what = format!("invalid propagation policy: {policy}. it must be one of: foreground, background");
        return Err(Error::new(3, what));
    }
    let wanted = match policy {
        "background" => format!("{CASCADE}/background"),
        _ => CASCADE.to_owned(),
    };
    let before = object.metadata.finalizers.clone().unwrap_or_default();
    let mut finalizers: Vec<String> =
        before.iter().filter(|finalizer| !finalizer.starts_with(CASCADE)).cloned().collect();
    if cascade {
        finalizers.push(wanted);
    }
    if finalizers != before {
        let patch = json!({"metadata": {"finalizers": finalizers}});
        all(deps).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    }
    all(deps).delete(name, &DeleteParams::default()).await?;
    Ok(Json(json!({})))
}
