//! What a client asks first: is the server well, which version, which groups, which resources.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    ApiServer, KUBERNETES_VERSION,
    kinds::{Kinds, ResourceDef},
    rest::reviews::REVIEWS,
    status::{ApiError, json_response},
};

fn ok(value: &Value) -> Response {
    json_response(StatusCode::OK, value.to_string())
}

/// `/healthz` and its kin. Serving is being well: the store is opened before the first answer.
pub(crate) async fn healthy() -> &'static str {
    "ok"
}

/// `/version`.
pub(crate) async fn version() -> Response {
    let mut numbers = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    ok(&json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("{KUBERNETES_VERSION}+galley"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    }))
}

/// Whether the client reads groups and resources in one document, and would like that best.
fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|part| {
        let has = |wanted: &str| part.split(';').any(|piece| piece.trim() == wanted);
        has("g=apidiscovery.k8s.io") && has("v=v2") && has("as=APIGroupDiscoveryList")
    })
}

/// `/api`.
pub(crate) async fn core_versions(State(server): State<ApiServer>, headers: HeaderMap) -> Response {
    if wants_aggregated(&headers) {
        return aggregated(&server.kinds(), true);
    }
    ok(&json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    }))
}

/// `/apis`.
pub(crate) async fn groups(State(server): State<ApiServer>, headers: HeaderMap) -> Response {
    let kinds = server.kinds();
    if wants_aggregated(&headers) {
        return aggregated(&kinds, false);
    }
    let groups: Vec<Value> =
        all_groups(&kinds).into_iter().map(|(group, versions)| api_group(group, &versions)).collect();
    ok(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
}

/// `/apis/GROUP`.
pub(crate) async fn group(State(server): State<ApiServer>, Path(name): Path<String>) -> Response {
    let kinds = server.kinds();
    let found = all_groups(&kinds).into_iter().find(|(group, _)| *group == name);
    match found {
        Some((group, versions)) => {
            let mut answer = api_group(group, &versions);
            answer["kind"] = "APIGroup".into();
            answer["apiVersion"] = "v1".into();
            ok(&answer)
        }
        None => ApiError::no_such_path().into_response(),
    }
}

/// `/api/v1`.
pub(crate) async fn core_resources(State(server): State<ApiServer>, Path(version): Path<String>) -> Response {
    resource_list(&server.kinds(), "", &version)
}

/// `/apis/GROUP/VERSION`.
pub(crate) async fn resources(
    State(server): State<ApiServer>,
    Path((group, version)): Path<(String, String)>,
) -> Response {
    resource_list(&server.kinds(), &group, &version)
}

fn resource_list(kinds: &Kinds, group: &str, version: &str) -> Response {
    let mut resources: Vec<Value> =
        kinds.in_group_version(group, version).flat_map(|def| api_resources(def)).collect();
    if version == "v1" {
        let reviews = REVIEWS.iter().filter(|(of, ..)| *of == group);
        resources.extend(reviews.map(|(_, kind, plural, namespaced)| {
            json!({"name": plural, "singularName": kind.to_lowercase(), "namespaced": namespaced, "kind": kind, "verbs": ["create"]})
        }));
    }
    if resources.is_empty() {
        return ApiError::no_such_path().into_response();
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ok(&json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }))
}

/// The groups besides core, with those of the reviews.
fn all_groups(kinds: &Kinds) -> Vec<(&str, Vec<&str>)> {
    let mut groups = kinds.groups();
    groups.retain(|(group, _)| !group.is_empty());
    for (group, ..) in REVIEWS {
        if !groups.iter().any(|(known, _)| *known == group) {
            groups.push((group, vec!["v1"]));
        }
    }
    groups
}

fn api_group(group: &str, versions: &[&str]) -> Value {
    let version = |version: &&str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let versions: Vec<Value> = versions.iter().map(version).collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// A subresource: its name, the kind it speaks, in which group and version, and what can be done.
fn subresources(
    def: &ResourceDef,
) -> Vec<(&'static str, String, &'static str, &'static str, Vec<&'static str>)> {
    let change = || vec!["get", "patch", "update"];
    let mut list = Vec::new();
    if def.status {
        list.push(("status", def.kind.clone(), "", "", change()));
    }
    if def.scale.is_some() {
        list.push(("scale", "Scale".to_owned(), "autoscaling", "v1", change()));
    }
    if def.is("", "pods") {
        list.push(("log", "Pod".to_owned(), "", "", vec!["get"]));
        list.push(("eviction", "Eviction".to_owned(), "policy", "v1", vec!["create"]));
    }
    if def.is("", "serviceaccounts") {
        list.push(("token", "TokenRequest".to_owned(), "authentication.k8s.io", "v1", vec!["create"]));
    }
    if def.is("", "namespaces") {
        list.push(("finalize", "Namespace".to_owned(), "", "", vec!["update"]));
    }
    list
}

fn api_resources(def: &ResourceDef) -> Vec<Value> {
    let mut main = json!({
        "name": def.plural,
        "singularName": def.singular,
        "namespaced": def.namespaced,
        "kind": def.kind,
        "verbs": VERBS,
    });
    if !def.short_names.is_empty() {
        main["shortNames"] = json!(def.short_names);
    }
    if !def.categories.is_empty() {
        main["categories"] = json!(def.categories);
    }
    let mut all = vec![main];
    for (name, kind, group, version, verbs) in subresources(def) {
        let mut entry = json!({
            "name": format!("{}/{name}", def.plural),
            "singularName": "",
            "namespaced": def.namespaced,
            "kind": kind,
            "verbs": verbs,
        });
        if !group.is_empty() {
            entry["group"] = group.into();
            entry["version"] = version.into();
        }
        all.push(entry);
    }
    all
}

/// Groups and their resources in one document (`apidiscovery.k8s.io/v2`).
fn aggregated(kinds: &Kinds, core: bool) -> Response {
    let groups = if core { vec![("", vec!["v1"])] } else { all_groups(kinds) };
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|version| {
                    let mut resources: Vec<Value> =
                        kinds.in_group_version(group, version).map(|def| aggregated_resource(def)).collect();
                    let reviews = REVIEWS.iter().filter(|(of, ..)| *of == group);
                    resources.extend(reviews.map(|(group, kind, plural, namespaced)| {
                        json!({
                            "resource": plural,
                            "responseKind": {"group": group, "version": "v1", "kind": kind},
                            "scope": if *namespaced { "Namespaced" } else { "Cluster" },
                            "singularResource": kind.to_lowercase(),
                            "verbs": ["create"],
                        })
                    }));
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": {"name": if group.is_empty() { Value::Null } else { group.into() }}, "versions": versions})
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    });
    let mut response = ok(&list);
    let media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media));
    response
}

fn aggregated_resource(def: &ResourceDef) -> Value {
    let mut resource = json!({
        "resource": def.plural,
        "responseKind": {"group": def.group, "version": def.version, "kind": def.kind},
        "scope": if def.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": def.singular,
        "verbs": VERBS,
        "shortNames": def.short_names,
        "categories": def.categories,
    });
    let below: Vec<Value> = subresources(def)
        .into_iter()
        .map(|(name, kind, group, version, verbs)| {
            let own = version.is_empty();
            json!({
                "subresource": name,
                "responseKind": {
                    "group": if own { def.group.as_str() } else { group },
                    "version": if own { def.version.as_str() } else { version },
                    "kind": kind,
                },
                "verbs": verbs,
            })
        })
        .collect();
    if !below.is_empty() {
        resource["subresources"] = below.into();
    }
    resource
}
