//! The objects of an Application, with those that they own.

use std::collections::HashMap;

use axum::Json;
use galley_argo_cd::Application;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::discovery::Scope;
use serde_json::{Value, json};

use crate::routes::{Answer, Parameters};
use crate::{Deps, Error, applications};

/// Kinds that others own, with their plurals.
const OWNED: [(&str, &str, &str); 6] = [
    ("apps", "ReplicaSet", "replicasets"),
    ("", "Pod", "pods"),
    ("batch", "Job", "jobs"),
    ("discovery.k8s.io", "EndpointSlice", "endpointslices"),
    ("", "Endpoints", "endpoints"),
    ("apps", "ControllerRevision", "controllerrevisions"),
];
/// Most levels of owners.
const MAX_DEPTH: usize = 8;

/// An object of the status, live if it is there.
struct Managed {
    group: String,
    version: String,
    kind: String,
    namespace: String,
    name: String,
    live: Option<Value>,
}

async fn managed_of(deps: &Deps, application: &Application) -> Result<Vec<Managed>, Error> {
    let mut all = Vec::new();
    let mut known: HashMap<(String, String), Option<(ApiResource, bool)>> = HashMap::new();
    for resource in &application.status.resources {
        let key = (resource.group.clone(), resource.kind.clone());
        if !known.contains_key(&key) {
            let gvk = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
            let found = kube::discovery::pinned_kind(&deps.client, &gvk).await.ok();
            let found = found.map(|(resource, about)| (resource, about.scope == Scope::Namespaced));
            known.insert(key.clone(), found);
        }
        let live = match known.get(&key).and_then(Option::as_ref) {
            None => None,
            Some((kind, namespaced)) => {
                let api: Api<DynamicObject> = if *namespaced {
                    Api::namespaced_with(deps.client.clone(), &resource.namespace, kind)
                } else {
                    Api::all_with(deps.client.clone(), kind)
                };
                let found = api.get_opt(&resource.name).await?;
                found.map(|object| {
                    let mut value = json!(object);
                    value["apiVersion"] = json!(kind.api_version);
                    value["kind"] = json!(kind.kind);
                    value
                })
            }
        };
        all.push(Managed {
            group: resource.group.clone(),
            version: resource.version.clone(),
            kind: resource.kind.clone(),
            namespace: resource.namespace.clone(),
            name: resource.name.clone(),
            live,
        });
    }
    Ok(all)
}

fn node(managed: &Managed, parents: &[Value], is_wanted: bool) -> Value {
    let Managed { group, version, kind, namespace, name, live } = managed;
    let mut node = json!({"version": version, "kind": kind, "name": name});
    for (field, text) in [("group", group), ("namespace", namespace)] {
        if !text.is_empty() {
            node[field] = json!(text);
        }
    }
    match live {
        Some(live) => {
            node["uid"] = live["metadata"]["uid"].clone();
            node["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
            node["createdAt"] = live["metadata"]["creationTimestamp"].clone();
            if let Some(health) = galley_sync::health::of(live) {
                node["health"] = json!(health);
            }
        }
        None if is_wanted => node["health"] = json!({"status": "Missing"}),
        None => {}
    }
    if !parents.is_empty() {
        node["parentRefs"] = json!(parents);
    }
    node
}

/// All objects of an Application and what they own.
pub(crate) async fn tree(deps: &Deps, name: &str) -> Answer {
    let application = applications::typed(deps, name).await?;
    let managed = managed_of(deps, &application).await?;
    let mut nodes: Vec<Value> = managed.iter().map(|one| node(one, &[], true)).collect();
    let mut owners: HashMap<String, Value> = HashMap::new();
    let mut namespaces: Vec<&str> = Vec::new();
    for one in &managed {
        if let Some(uid) = one.live.as_ref().and_then(|live| live["metadata"]["uid"].as_str()) {
            owners.insert(uid.to_owned(), reference(one));
        }
        if !one.namespace.is_empty() && !namespaces.contains(&one.namespace.as_str()) {
            namespaces.push(&one.namespace);
        }
    }
    let mut owned = Vec::new();
    for namespace in namespaces {
        owned.extend(owned_in(deps, namespace).await);
    }
    for _ in 0..MAX_DEPTH {
        let before = owners.len();
        let mut rest = Vec::new();
        for one in owned {
            let uid = |value: &Value| value["uid"].as_str().map(str::to_owned);
            let live = one.live.as_ref().map(|live| &live["metadata"]).unwrap_or(&Value::Null);
            let own = uid(live).unwrap_or_default();
            let parents: Vec<Value> = live["ownerReferences"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|owner| owners.get(&uid(owner)?).cloned())
                .collect();
            if owners.contains_key(&own) {
                continue;
            }
            if parents.is_empty() {
                rest.push(one);
            } else {
                nodes.push(node(&one, &parents, false));
                owners.insert(own, reference(&one));
            }
        }
        owned = rest;
        if owners.len() == before {
            break;
        }
    }
    Ok(Json(json!({"nodes": nodes})))
}

fn reference(one: &Managed) -> Value {
    let uid = one.live.as_ref().map(|live| live["metadata"]["uid"].clone());
    json!({"group": one.group, "kind": one.kind, "namespace": one.namespace, "name": one.name, "uid": uid})
}

/// What may be owned by something in a namespace.
async fn owned_in(deps: &Deps, namespace: &str) -> Vec<Managed> {
    let mut all = Vec::new();
    for (group, kind, plural) in OWNED {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        let api: Api<DynamicObject> = Api::namespaced_with(deps.client.clone(), namespace, &resource);
        let Ok(list) = api.list(&ListParams::default()).await else { continue };
        for object in list.items {
            let mut live = json!(object);
            live["apiVersion"] = json!(resource.api_version);
            live["kind"] = json!(kind);
            all.push(Managed {
                group: group.to_owned(),
                version: "v1".to_owned(),
                kind: kind.to_owned(),
                namespace: namespace.to_owned(),
                name: live["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                live: Some(live),
            });
        }
    }
    all
}

/// Desired and live state of every object; values of Secrets are hidden.
pub(crate) async fn managed(deps: &Deps, name: &str) -> Answer {
    let application = applications::typed(deps, name).await?;
    let rendered = deps.renderer.manifests(&application, "").await;
    let (targets, _) = rendered.map_err(|problem| Error::new(9, problem.to_string()))?;
    let mut items = Vec::new();
    for one in managed_of(deps, &application).await? {
        let is_it = |target: &&Value| {
            target["kind"] == one.kind.as_str() && target["metadata"]["name"] == one.name.as_str()
        };
        let text = |value: Option<&Value>| {
            let hidden = value.map(|value| hide(value.clone()));
            hidden.map_or_else(|| "null".to_owned(), |value| value.to_string())
        };
        let live = text(one.live.as_ref());
        items.push(json!({
            "group": one.group,
            "kind": one.kind,
            "namespace": one.namespace,
            "name": one.name,
            "targetState": text(targets.iter().find(is_it)),
            "liveState": live,
            "normalizedLiveState": live,
            "predictedLiveState": live,
        }));
    }
    Ok(Json(json!({"items": items})))
}

fn hide(mut value: Value) -> Value {
    if value["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            for secret in value[field].as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
                *secret = json!("++++++++");
            }
        }
    }
    value
}

/// One live object.
pub(crate) async fn resource(deps: &Deps, name: &str, query: &Parameters) -> Answer {
    let application = applications::typed(deps, name).await?;
    let is = |field: &str, text: &str| query.get(field).is_none_or(|value| value == text);
    let all = managed_of(deps, &application).await?;
    let found = all.into_iter().find(|one| is("kind", &one.kind) && is("resourceName", &one.name));
    match found.and_then(|one| one.live) {
        Some(live) => Ok(Json(json!({"manifest": hide(live).to_string()}))),
        None => Err(Error::new(3, "the object was not found as part of the application")),
    }
}
