//! The rules of an object: what the server writes into it, what it checks, and what may not change.
//!
//! All of this is pure: values in, values or refusals out. `rest` calls it between reading and storing.

mod defaults;
mod immutable;
mod pods;
mod typed;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub(crate) use typed::typed;

use crate::{kinds::ResourceDef, names, rest::ApiError, status::Cause};

/// Finalizers with which the garbage collector holds an owner.
pub(crate) const ORPHAN: &str = "orphan";
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer that holds a CustomResourceDefinition until its objects are gone.
pub(crate) const CUSTOM_CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Which part of an object a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but the status.
    Main,
    /// Only the status.
    Status,
    /// Everything, and also what only controllers may write (`spec.finalizers` of a namespace, finalizers).
    Everything,
}

/// The text at a pointer; empty if there is none.
pub(crate) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The name of an object.
pub(crate) fn name_of(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// Whether the object is on its way out.
pub(crate) fn is_deleting(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|value| !value.is_null())
}

/// The finalizers of an object.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether nothing holds a deleted object any more.
pub(crate) fn may_go(def: &ResourceDef, object: &Value) -> bool {
    let held = def.is("", "namespaces")
        && object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    finalizers(object).is_empty() && !held
}

/// The uids of an object's owners.
pub(crate) fn owner_uids(object: &Value) -> Vec<String> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().filter_map(|owner| owner["uid"].as_str()).map(str::to_owned).collect()
}

/// The metadata of an object, made if it is not there.
pub(crate) fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let Value::Object(fields) = object else { unreachable!("it was just made an object") };
    let metadata = fields.entry("metadata").or_insert(Value::Null);
    if !metadata.is_object() {
        *metadata = json!({});
    }
    match metadata {
        Value::Object(metadata) => metadata,
        _ => unreachable!("it was just made an object"),
    }
}

/// Sets or removes a field.
fn put(fields: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            fields.insert(key.to_owned(), value);
        }
        None => {
            fields.shift_remove(key);
        }
    }
}

/// Takes empty lists and maps out of the metadata, as if they had not been written.
fn tidy(metadata: &mut Map<String, Value>) {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    for field in ["labels", "annotations", "finalizers", "ownerReferences", "managedFields"] {
        if metadata.get(field).is_some_and(is_empty) {
            metadata.shift_remove(field);
        }
    }
}

/// Checks that a body is an object of the kind of its path, and fills in what the path says.
pub(crate) fn address(
    def: &ResourceDef,
    namespace: Option<&str>,
    name: Option<&str>,
    object: &mut Value,
) -> Result<(), ApiError> {
    if !object.is_object() {
        return Err(ApiError::bad_request("the body of the request must be an object"));
    }
    let (api_version, kind) = (text(object, "/apiVersion").to_owned(), text(object, "/kind").to_owned());
    if !api_version.is_empty() && api_version != def.api_version() || !kind.is_empty() && kind != def.kind {
        return Err(ApiError::bad_request(format!(
            "the object provided ({api_version} {kind}) does not match the path of the request ({} {})",
            def.api_version(),
            def.kind
        )));
    }
    if object.get("metadata").is_some_and(|metadata| !metadata.is_object() && !metadata.is_null()) {
        return Err(ApiError::bad_request("metadata must be an object"));
    }
    if api_version.is_empty() || kind.is_empty() {
        let rest = std::mem::take(object);
        *object = json!({"apiVersion": def.api_version(), "kind": def.kind});
        if let (Value::Object(fields), Value::Object(rest)) = (&mut *object, rest) {
            fields.extend(rest.into_iter().filter(|(key, _)| key != "apiVersion" && key != "kind"));
        }
    }
    let metadata = metadata_mut(object);
    let given = |field: &str, metadata: &Map<String, Value>| {
        metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let body_namespace = given("namespace", metadata);
    match namespace {
        Some(namespace) if !body_namespace.is_empty() && body_namespace != namespace => {
            return Err(ApiError::bad_request(format!(
                "the namespace of the provided object does not match the namespace sent on the request ({body_namespace}, {namespace})"
            )));
        }
        Some(namespace) => put(metadata, "namespace", Some(namespace.into())),
        None => put(metadata, "namespace", None),
    }
    if let Some(name) = name {
        let body_name = given("name", metadata);
        if !body_name.is_empty() && body_name != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({body_name}) does not match the name on the URL ({name})"
            )));
        }
        put(metadata, "name", Some(name.into()));
    }
    Ok(())
}

/// Makes a new object ready to be stored: names it, writes the server's metadata, defaults and checks it.
pub(crate) fn for_create(def: &ResourceDef, mut object: Value, now: Timestamp) -> Result<Value, ApiError> {
    let metadata = metadata_mut(&mut object);
    if metadata.get("resourceVersion").and_then(Value::as_str).is_some_and(|text| !text.is_empty()) {
        return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    let beginning = metadata.get("generateName").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut name = metadata.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if name.is_empty() && !beginning.is_empty() {
        name = names::generate(&beginning);
    }
    if name.is_empty() {
        let mut cause = Cause::required("metadata.name");
        cause.message = "Required value: name or generateName is required".into();
        return Err(ApiError::invalid(def, "", vec![cause]));
    }
    put(metadata, "name", Some(name.clone().into()));
    put(metadata, "uid", Some(galley_units::uuid().into()));
    put(metadata, "creationTimestamp", Some(galley_units::rfc3339(now).into()));
    for field in
        ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"]
    {
        put(metadata, field, None);
    }
    if def.status
        && let Some(fields) = object.as_object_mut()
    {
        fields.shift_remove("status");
    }
    defaults::fill(def, &mut object);
    defaults::fill_new(def, &mut object);
    if object.get("spec").is_some() {
        put(metadata_mut(&mut object), "generation", Some(1.into()));
    }
    tidy(metadata_mut(&mut object));
    check(def, &name, &object)?;
    Ok(object)
}

/// Makes the successor of a stored object ready to be stored: what the writer may not write stays as it was, and
/// the generation grows if anything but metadata and status changed.
pub(crate) fn for_update(
    def: &ResourceDef,
    old: &Value,
    mut new: Value,
    part: Part,
) -> Result<Value, ApiError> {
    let name = name_of(old);
    let uid = text(&new, "/metadata/uid");
    if !uid.is_empty() && uid != text(old, "/metadata/uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            text(old, "/metadata/uid")
        );
        return Err(ApiError::conflict(def, name, &why));
    }
    match part {
        Part::Status if def.status => new = with_status_of(def, old, &new),
        Part::Main if def.status => copy(&mut new, old, "status"),
        _ => {}
    }
    keep_server_metadata(&mut new, old);
    tidy(metadata_mut(&mut new));
    if part != Part::Status {
        defaults::fill(def, &mut new);
        defaults::carry(def, old, &mut new);
        if part == Part::Main && def.is("", "namespaces") {
            keep_namespace_finalizers(&mut new, old);
        }
        immutable::check(def, old, &new).map_err(|causes| ApiError::invalid(def, name, causes))?;
        check(def, name, &new)?;
        if is_deleting(old) {
            let before = finalizers(old);
            if let Some(added) = finalizers(&new).iter().find(|f| part == Part::Main && !before.contains(f)) {
                let why = format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizer \"{added}\""
                );
                return Err(ApiError::invalid(def, name, vec![Cause::forbidden("metadata.finalizers", why)]));
            }
        }
    }
    if let Some(generation) = old.pointer("/metadata/generation").and_then(Value::as_i64) {
        let grown = generation + i64::from(content_changed(old, &new));
        put(metadata_mut(&mut new), "generation", Some(grown.into()));
    } else if new.get("spec").is_some() {
        put(metadata_mut(&mut new), "generation", Some(1.into()));
    }
    Ok(new)
}

/// The old object with the status of the new one. Pods and nodes also take labels and annotations this way, as
/// their agents write both at once.
fn with_status_of(def: &ResourceDef, old: &Value, new: &Value) -> Value {
    let mut merged = old.clone();
    copy(&mut merged, new, "status");
    if def.is("", "pods") || def.is("", "nodes") {
        let metadata = metadata_mut(&mut merged);
        for field in ["labels", "annotations"] {
            put(metadata, field, new.pointer(&format!("/metadata/{field}")).cloned());
        }
    }
    merged
}

fn copy(to: &mut Value, from: &Value, field: &str) {
    if let Some(fields) = to.as_object_mut() {
        put(fields, field, from.get(field).cloned());
    }
}

fn keep_server_metadata(new: &mut Value, old: &Value) {
    let metadata = metadata_mut(new);
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ] {
        put(metadata, field, old.pointer(&format!("/metadata/{field}")).cloned());
    }
    put(metadata, "selfLink", None);
}

fn keep_namespace_finalizers(new: &mut Value, old: &Value) {
    let kept = old.pointer("/spec/finalizers").cloned();
    if let Some(fields) = new.as_object_mut() {
        let spec = fields.entry("spec").or_insert_with(|| json!({}));
        if let Value::Object(spec) = spec {
            put(spec, "finalizers", kept);
        }
    }
}

/// Whether anything but metadata and status differs.
fn content_changed(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return true };
    let counts = |key: &str| !matches!(key, "metadata" | "status" | "apiVersion" | "kind");
    old.iter().any(|(key, value)| counts(key) && new.get(key) != Some(value))
        || new.keys().any(|key| counts(key) && !old.contains_key(key))
}

/// Whether a write would change nothing but the server's own bookkeeping.
pub(crate) fn is_same(old: &Value, new: &Value) -> bool {
    if old == new {
        return true;
    }
    let without_times = |object: &Value| {
        let mut object = object.clone();
        let managers = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
        for manager in managers.into_iter().flatten().filter_map(Value::as_object_mut) {
            manager.shift_remove("time");
        }
        object
    };
    without_times(old) == without_times(new)
}

/// Checks what holds for every kind, and what is known of this one.
fn check(def: &ResourceDef, name: &str, object: &Value) -> Result<(), ApiError> {
    let mut causes: Vec<Cause> = names::check_name(def, name).into_iter().collect();
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    causes.extend(names::check_metadata(metadata));
    let owners = metadata.get("ownerReferences").and_then(Value::as_array);
    for (n, owner) in owners.into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::required(format!("metadata.ownerReferences[{n}].{field}")));
            }
        }
    }
    causes.extend(pods::check(def, object));
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid(def, name, causes)) }
}

#[cfg(test)]
mod tests;
