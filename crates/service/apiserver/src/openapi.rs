//! OpenAPI documents, as small as clients allow.
//!
//! Version 3 says for every kind that the server checks fields itself (`fieldValidation`), so `kubectl apply` sends
//! objects unchecked and gets refusals or warnings from here, and gives `kubectl explain` the fields and types of
//! Kubernetes' kinds, the schema of a custom one, and the top of any other. Version 2 is an empty document: what asks for it falls back to what it knows.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::{
    ApiServer, KUBERNETES_VERSION,
    kinds::ResourceDef,
    protobuf,
    status::{ApiError, json_response},
};

/// `/openapi/v2`.
pub(crate) async fn v2(headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("proto-openapi") {
        let mut response = Response::new(empty_proto().into());
        let media = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        return response;
    }
    let document = json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": {},
        "definitions": {},
    });
    json_response(StatusCode::OK, document.to_string())
}

/// The same empty document as a protobuf message: field 1 the version, field 2 title and version of the API.
fn empty_proto() -> Vec<u8> {
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        // Wire type 2: a length and so many bytes; every length here is below 128.
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap_or(0)];
        bytes.extend(content);
        bytes
    }
    let info = [field(1, b"Kubernetes"), field(2, KUBERNETES_VERSION.as_bytes())].concat();
    [field(1, b"2.0"), field(2, &info)].concat()
}

/// `/openapi/v3`: where each group version's document is.
pub(crate) async fn v3_index(State(server): State<ApiServer>) -> Response {
    let kinds = server.kinds();
    let mut paths = Map::new();
    for (group, versions) in kinds.groups() {
        for version in versions {
            let path =
                if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            let document = document(kinds.in_group_version(group, version).map(AsRef::as_ref)).to_string();
            // Clients keep a document for as long as its address is the same.
            let hash = galley_units::fnv1a_32(&document);
            paths.insert(
                path.clone(),
                json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash:08X}")}),
            );
        }
    }
    json_response(StatusCode::OK, json!({"paths": paths}).to_string())
}

/// `/openapi/v3/api/v1` and `/openapi/v3/apis/GROUP/VERSION`.
pub(crate) async fn v3(State(server): State<ApiServer>, Path(path): Path<String>) -> Response {
    let (group, version) = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => (String::new(), (*version).to_owned()),
        ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
        _ => return ApiError::no_such_path().into_response(),
    };
    let kinds = server.kinds();
    let mut defs = kinds.in_group_version(&group, &version).map(AsRef::as_ref).peekable();
    if defs.peek().is_none() {
        return ApiError::no_such_path().into_response();
    }
    json_response(StatusCode::OK, document(defs).to_string())
}

fn document<'a>(defs: impl Iterator<Item = &'a ResourceDef>) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for def in defs {
        paths.insert(object_path(def), operations(def));
        let name = schema_name(def);
        let schema = schema(def, &mut schemas);
        schemas.insert(name, schema);
    }
    schemas.insert(META.into(), meta_schema());
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

fn meta_schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let map = |description: &str| json!({"type": "object", "description": description, "additionalProperties": {"type": "string"}});
    json!({
        "type": "object",
        "description": "Metadata that every object has.",
        "properties": {
            "name": text("Name of the object, unique in its namespace."),
            "generateName": text("Beginning of a name that the server completes."),
            "namespace": text("Namespace of the object."),
            "labels": map("Labels, by which objects are selected."),
            "annotations": map("Annotations, any text by key."),
            "finalizers": {"type": "array", "items": {"type": "string"}, "description": "What must be done before the object goes."},
            "ownerReferences": {"type": "array", "items": {"type": "object"}, "description": "Objects with which this one goes."},
            "uid": text("Identity over all of time."),
            "resourceVersion": text("Revision of the last change."),
            "creationTimestamp": text("When the object was created."),
            "deletionTimestamp": text("When the object is to be gone."),
        },
    })
}

fn schema_name(def: &ResourceDef) -> String {
    let group = if def.group.is_empty() { "io.k8s.api.core" } else { def.group.as_str() };
    format!("{group}.{}.{}", def.version, def.kind)
}

fn gvk(def: &ResourceDef) -> Value {
    json!({"group": def.group, "version": def.version, "kind": def.kind})
}

fn object_path(def: &ResourceDef) -> String {
    let root = if def.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", def.group) };
    let namespace = if def.namespaced { "/namespaces/{namespace}" } else { "" };
    format!("{root}/{}{namespace}/{}/{{name}}", def.version, def.plural)
}

fn operations(def: &ResourceDef) -> Value {
    let parameter =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"].map(parameter);
    let reference = json!({"$ref": format!("#/components/schemas/{}", schema_name(def))});
    let operation = |action: &str| {
        json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk(def),
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        })
    };
    // The bodies of the patch are left out on purpose: a client that finds the strategic one here wants the merge
    // keys of the whole kind in this document, and otherwise uses those it was built with.
    json!({"get": operation("get"), "put": operation("put"), "patch": operation("patch"), "delete": operation("delete")})
}

/// The schema of a kind: its own, that of Kubernetes' type, or the top of any object.
fn schema(def: &ResourceDef, schemas: &mut Map<String, Value>) -> Value {
    let package = if def.group.is_empty() { "core" } else { def.group.split('.').next().unwrap_or_default() };
    let message = format!("{package}.{}", def.kind);
    let is_kubernetes =
        def.version == "v1" && galley_patch::Schema::of_kind(&def.group, &def.kind).is_builtin();
    let mut schema = match &def.schema {
        Some(schema) => (**schema).clone(),
        None if is_kubernetes && protobuf::add_schemas(&message, schemas) => {
            schemas.shift_remove(&message).unwrap_or_default()
        }
        None => json!({
            "type": "object",
            "description": format!("{} in {}.", def.kind, def.api_version()),
            "properties": {
                "spec": {"type": "object", "description": "What is wanted.", "x-kubernetes-preserve-unknown-fields": true},
                "status": {"type": "object", "description": "What is.", "x-kubernetes-preserve-unknown-fields": true},
            },
        }),
    };
    if schema.get("description").is_none() {
        schema["description"] = format!("{} in {}.", def.kind, def.api_version()).into();
    }
    schema["x-kubernetes-group-version-kind"] = json!([gvk(def)]);
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let text = |description: &str| json!({"type": "string", "description": description});
    schema["properties"]["apiVersion"] = text("Group and version of the kind.");
    schema["properties"]["kind"] = text("The kind.");
    schema["properties"]["metadata"] = json!({"allOf": [{"$ref": format!("#/components/schemas/{META}")}],
        "description": "Metadata that every object has."});
    schema
}
