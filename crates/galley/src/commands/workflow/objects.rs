//! Objects of files, put into an API server.

use galley_problem::{Kind, Problem};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::commands::objects::refused;
use crate::kinds;

/// Makes a namespace unless it is there.
///
/// # Errors
/// G0107 if the API server refuses.
pub async fn ensure_namespace(client: &Client, name: &str) -> Result<(), Problem> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    put(client, name, object).await
}

/// Creates an object, or merges it into the one that is there.
///
/// # Errors
/// G0107 if the API server refuses, G0117 for a kind that is not served.
pub async fn put(client: &Client, namespace: &str, mut object: Value) -> Result<(), Problem> {
    let (group, version) = match object["apiVersion"].as_str().unwrap_or("v1").split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), "v1".to_owned()),
    };
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let all = kinds::all();
    let Some(known) = all.iter().find(|one| one.kind == kind && one.group == group) else {
        return Err(Problem::new(
            "G0117",
            Kind::Invalid,
            format!("The kind `{kind}` of `{group}` is not known here."),
        )
        .try_this("Take the document out of the file, or run it beside `galley up`."));
    };
    let gvk = GroupVersionKind { group, version, kind: kind.clone() };
    let resource = ApiResource::from_gvk_with_plural(&gvk, &known.plural);
    let api: Api<DynamicObject> = if known.namespaced {
        object["metadata"]["namespace"] = json!(namespace);
        Api::namespaced_with(client.clone(), namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    };
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let what = format!("{kind} {name}");
    let typed = || {
        serde_json::from_value::<DynamicObject>(object.clone())
            .map_err(|e| Problem::new("G0117", Kind::Invalid, format!("{what} is no object.")).because(&e))
    };
    if name.is_empty() {
        return api
            .create(&PostParams::default(), &typed()?)
            .await
            .map(drop)
            .map_err(|e| refused(&format!("to make {what}"), &e));
    }
    match api.create(&PostParams::default(), &typed()?).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let patched = api.patch(&name, &PatchParams::default(), &Patch::Merge(&object)).await;
            patched.map(drop).map_err(|e| refused(&format!("to change {what}"), &e))
        }
        Err(error) => Err(refused(&format!("to make {what}"), &error)),
    }
}
