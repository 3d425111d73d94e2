//! Create, replace and patch.
//!
//! A change is computed from the stored object and stored if that is still at the revision it was read at. If it is
//! not, a client that named a revision is told (409), and a change that holds for any revision is computed again.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use galley_patch::{Applied, FieldSet, Manager, Operation, Schema};
use galley_store::objects::{Draft, ObjectError, ObjectKey, Stored};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    ApiError, Call, parse_stored,
    request::{FieldValidation, media_type, parse_json, parse_object, parse_yaml, read_body},
};
use crate::{
    ApiServer,
    kinds::ResourceDef,
    object::{self, Part, is_deleting, is_same, may_go, metadata_mut, name_of, owner_uids, text, typed},
    selector::facts_of,
};

/// A change that meets other writers is computed at most so often.
const ATTEMPTS: usize = 32;
/// So many generated names are tried.
const GENERATED: usize = 8;

/// Who writes.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) manager: String,
    pub(crate) subresource: String,
}

impl Author {
    /// The server itself.
    pub(crate) fn server() -> Self {
        Author { manager: "galley".into(), subresource: String::new() }
    }

    fn manager(&self, server: &ApiServer, def: &ResourceDef, operation: Operation) -> Manager {
        Manager {
            name: self.manager.clone(),
            operation,
            api_version: def.api_version(),
            subresource: self.subresource.clone(),
            time: galley_units::rfc3339(server.now()),
            fields: FieldSet::default(),
        }
    }
}

/// What a write came to.
pub(crate) struct Written {
    pub(crate) json: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) created: bool,
}

/// A change of one stored object.
pub(crate) struct Write<'a> {
    pub(crate) server: &'a ApiServer,
    pub(crate) def: &'a Arc<ResourceDef>,
    pub(crate) key: ObjectKey,
    pub(crate) part: Part,
    pub(crate) author: Author,
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
}

/// Creates an object.
pub(super) async fn create(call: Call, body: Body) -> Result<Response, ApiError> {
    let media = media_type(&call.headers);
    let mut object = parse_object(&media, &read_body(body).await?)?;
    let namespace = call.path.namespace.as_deref();
    if call.def.namespaced && namespace.is_none() {
        return Err(ApiError::bad_request("an empty namespace may not be set during creation"));
    }
    object::address(&call.def, namespace, None, &mut object)?;
    let (object, warnings) = checked(&call.def, object, call.params.field_validation)?;
    let object = object::for_create(&call.def, object, call.server.now())?;
    check_namespace(&call.server, &call.def, namespace, name_of(&object))?;
    if call.params.dry_run {
        if call.server.objects().get(&call.key(name_of(&object)))?.is_some() {
            return Err(ApiError::exists(&call.def, name_of(&object)));
        }
        return call.show(StatusCode::CREATED, object.to_string(), &warnings);
    }
    let stored = store_new(&call.server, &call.def, object).await?;
    call.show(StatusCode::CREATED, stored.json, &warnings)
}

/// Replaces an object.
pub(super) async fn replace(call: Call, name: &str, body: Body) -> Result<Response, ApiError> {
    replace_part(&call, name, Part::Main, "", body).await
}

/// Replaces a part of an object by a whole object.
pub(super) async fn replace_part(
    call: &Call,
    name: &str,
    part: Part,
    subresource: &str,
    body: Body,
) -> Result<Response, ApiError> {
    let media = media_type(&call.headers);
    let object = parse_object(&media, &read_body(body).await?)?;
    let written = call.write(name, part, subresource).modify(|_| Ok(object.clone())).await?;
    call.show(StatusCode::OK, written.json, &written.warnings)
}

/// Patches an object.
pub(super) async fn patch(call: Call, name: &str, body: Body) -> Result<Response, ApiError> {
    patch_part(&call, name, Part::Main, "", body).await
}

/// Patches a part of an object.
pub(super) async fn patch_part(
    call: &Call,
    name: &str,
    part: Part,
    subresource: &str,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = read_body(body).await?;
    let media = media_type(&call.headers);
    let write = call.write(name, part, subresource);
    let written = if media == "application/apply-patch+yaml" {
        if call.params.field_manager.is_none() {
            return Err(ApiError::bad_request("fieldManager: Required value: is required for apply patch"));
        }
        write.apply(parse_yaml(&bytes)?, call.params.force).await?
    } else {
        let patch = Patch::read(&media, &call.def, &bytes)?;
        write.modify(|old| patch.applied_to(old)).await?
    };
    let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    call.show(code, written.json, &written.warnings)
}

/// A patch of one of the three kinds.
pub(super) enum Patch {
    Json(Value),
    Merge(Value),
    Strategic(Schema, Value),
}

impl Patch {
    pub(super) fn read(media: &str, def: &ResourceDef, bytes: &[u8]) -> Result<Self, ApiError> {
        let schema = Schema::of_kind(&def.group, &def.kind);
        match media {
            "application/json-patch+json" => Ok(Patch::Json(parse_json(bytes)?)),
            "application/merge-patch+json" => Ok(Patch::Merge(parse_json(bytes)?)),
            "application/strategic-merge-patch+json" if schema.is_builtin() => {
                Ok(Patch::Strategic(schema, parse_json(bytes)?))
            }
            _ => Err(ApiError::media_type(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            )),
        }
    }

    pub(super) fn applied_to(&self, old: &Value) -> Result<Value, ApiError> {
        let mut new = old.clone();
        let outcome = match self {
            Patch::Json(patch) => galley_patch::apply_json_patch(&mut new, patch),
            Patch::Merge(patch) if !patch.is_object() => {
                Err(galley_patch::Error::NotAnObject("a merge patch"))
            }
            Patch::Merge(patch) => {
                galley_patch::apply_merge_patch(&mut new, patch);
                Ok(())
            }
            Patch::Strategic(schema, patch) => galley_patch::apply_strategic_patch(*schema, &mut new, patch),
        };
        match outcome {
            Ok(()) => Ok(new),
            Err(error @ galley_patch::Error::JsonPatch(_)) => {
                let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                Err(ApiError::unprocessable(format!("{error}: {why}")))
            }
            Err(error) => Err(ApiError::bad_request(error.to_string())),
        }
    }
}

impl Call {
    /// The change of an object that this call asks for.
    pub(super) fn write(&self, name: &str, part: Part, subresource: &str) -> Write<'_> {
        Write {
            server: &self.server,
            def: &self.def,
            key: self.key(name),
            part,
            author: self.author(subresource),
            dry_run: self.params.dry_run,
            validation: self.params.field_validation,
        }
    }
}

impl Write<'_> {
    /// Stores what `change` makes of the object.
    pub(crate) async fn modify(
        &self,
        change: impl Fn(&Value) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        for _ in 0..ATTEMPTS {
            let stored = self.server.objects().get(&self.key)?;
            let stored = stored.ok_or_else(|| ApiError::not_found(self.def, &self.key.name))?;
            let old = self.read(&stored)?;
            let new = change(&old)?;
            // If somebody else is quicker, a client that named a revision is refused here the next time round.
            self.check_revision(&old, &new)?;
            if let Some(written) = self.finish(&stored, &old, new, Some(Operation::Update)).await? {
                return Ok(written);
            }
        }
        Err(ApiError::modified(self.def, &self.key.name))
    }

    /// Applies a configuration (server-side apply); creates the object if it is not there.
    async fn apply(&self, mut config: Value, force: bool) -> Result<Written, ApiError> {
        let namespace = Some(self.key.namespace.as_str()).filter(|_| self.def.namespaced);
        object::address(self.def, namespace, Some(&self.key.name), &mut config)?;
        let (config, warnings) = checked(self.def, config, self.validation)?;
        if config.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        for _ in 0..ATTEMPTS {
            let manager = self.author.manager(self.server, self.def, Operation::Apply);
            let stored = self.server.objects().get(&self.key)?;
            let old = stored.as_ref().map(|stored| self.read(stored)).transpose()?;
            let applied = galley_patch::server_side_apply(old.as_ref(), &config, manager, force)
                .map_err(|error| ApiError::bad_request(error.to_string()))?;
            let new = match applied {
                Applied::Object(new) => new,
                Applied::Conflicts(conflicts) => return Err(ApiError::apply_conflicts(&conflicts)),
            };
            let written = match (stored, old) {
                (Some(stored), Some(old)) => self.finish(&stored, &old, new, None).await?,
                _ if self.part == Part::Main => self.finish_new(new, namespace).await?,
                _ => return Err(ApiError::not_found(self.def, &self.key.name)),
            };
            if let Some(mut written) = written {
                written.warnings.extend(warnings);
                return Ok(written);
            }
        }
        Err(ApiError::modified(self.def, &self.key.name))
    }

    fn read(&self, stored: &Stored) -> Result<Value, ApiError> {
        let mut old = parse_stored(&stored.json)?;
        old["apiVersion"] = self.def.api_version().into();
        Ok(old)
    }

    /// Refuses a change that is meant for another revision.
    fn check_revision(&self, old: &Value, new: &Value) -> Result<(), ApiError> {
        let named = text(new, "/metadata/resourceVersion");
        if named.is_empty() || named == "0" || named == text(old, "/metadata/resourceVersion") {
            return Ok(());
        }
        Err(ApiError::modified(self.def, &self.key.name))
    }

    /// Checks and stores the successor of an object; `None` if somebody else was quicker.
    async fn finish(
        &self,
        stored: &Stored,
        old: &Value,
        mut new: Value,
        record: Option<Operation>,
    ) -> Result<Option<Written>, ApiError> {
        let namespace = Some(self.key.namespace.as_str()).filter(|_| self.def.namespaced);
        object::address(self.def, namespace, Some(&self.key.name), &mut new)?;
        let (new, warnings) = checked(self.def, new, self.validation)?;
        let mut new = object::for_update(self.def, old, new, self.part)?;
        if let Some(operation) = record {
            let manager = self.author.manager(self.server, self.def, operation);
            galley_patch::record_update(old, &mut new, manager);
        }
        let done = |json: String, warnings| Ok(Some(Written { json, warnings, created: false }));
        if is_same(old, &new) {
            return done(stored.json.clone(), warnings);
        }
        if self.dry_run {
            return done(new.to_string(), warnings);
        }
        let (objects, key) = (self.server.objects(), self.key.clone());
        let outcome = if is_deleting(&new) && may_go(self.def, &new) {
            objects.delete(key, stored.revision, encode(new)).await
        } else {
            objects.update(key, stored.revision, draft(new)).await
        };
        match outcome {
            Ok(written) => {
                settle(self.server, self.def)?;
                done(written.json, warnings)
            }
            Err(ObjectError::Changed { .. }) => Ok(None),
            Err(ObjectError::NotFound) => Err(ApiError::not_found(self.def, &self.key.name)),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores an object that was applied for the first time; `None` if somebody else was quicker.
    async fn finish_new(&self, new: Value, namespace: Option<&str>) -> Result<Option<Written>, ApiError> {
        check_namespace(self.server, self.def, namespace, &self.key.name)?;
        let object = object::for_create(self.def, new, self.server.now())?;
        if self.dry_run {
            return Ok(Some(Written { json: object.to_string(), warnings: Vec::new(), created: true }));
        }
        match self.server.objects().create(self.key.clone(), draft(object)).await {
            Ok(stored) => {
                created(self.server, self.def, &self.key.name).await?;
                Ok(Some(Written { json: stored.json, warnings: Vec::new(), created: true }))
            }
            Err(ObjectError::Exists) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Changes a stored object on behalf of the server; `Ok(None)` if it is not there.
pub(crate) async fn modify_stored(
    server: &ApiServer,
    def: &Arc<ResourceDef>,
    key: ObjectKey,
    change: impl Fn(&mut Value),
) -> Result<Option<Written>, ApiError> {
    let write = Write {
        server,
        def,
        key,
        part: Part::Everything,
        author: Author::server(),
        dry_run: false,
        validation: FieldValidation::Ignore,
    };
    let outcome = write
        .modify(|old| {
            let mut new = old.clone();
            change(&mut new);
            Ok(new)
        })
        .await;
    match outcome {
        Err(error) if error.code() == 404 => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// The object as its type writes it, and warnings about what its type does not have.
fn checked(
    def: &ResourceDef,
    object: Value,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), ApiError> {
    let (object, unknown) = typed(def, object)?;
    match validation {
        FieldValidation::Strict if !unknown.is_empty() => {
            let listed: Vec<String> =
                unknown.iter().map(|field| format!("unknown field \"{field}\"")).collect();
            Err(ApiError::bad_request(format!(
                "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
                def.kind,
                def.version,
                def.kind,
                listed.join(", ")
            )))
        }
        FieldValidation::Warn => {
            Ok((object, unknown.iter().map(|field| format!("unknown field \"{field}\"")).collect()))
        }
        FieldValidation::Ignore | FieldValidation::Strict => Ok((object, Vec::new())),
    }
}

/// Refuses new objects in a namespace that is not there or on its way out.
fn check_namespace(
    server: &ApiServer,
    def: &ResourceDef,
    namespace: Option<&str>,
    name: &str,
) -> Result<(), ApiError> {
    let kinds = server.kinds();
    let (Some(namespace), Some(namespaces)) = (namespace, kinds.get("", "v1", "namespaces")) else {
        return Ok(());
    };
    let key = ObjectKey { kind: namespaces.key(), namespace: String::new(), name: namespace.to_owned() };
    let stored = server.objects().get(&key)?.ok_or_else(|| ApiError::not_found(namespaces, namespace))?;
    if is_deleting(&parse_stored(&stored.json)?) {
        return Err(ApiError::terminating(def, name, namespace));
    }
    Ok(())
}

/// Stores a new object; a generated name that is taken is generated again.
async fn store_new(
    server: &ApiServer,
    def: &Arc<ResourceDef>,
    mut object: Value,
) -> Result<Stored, ApiError> {
    let beginning = text(&object, "/metadata/generateName").to_owned();
    let mut attempts = if beginning.is_empty() { 1 } else { GENERATED };
    loop {
        let name = name_of(&object).to_owned();
        let key = ObjectKey {
            kind: def.key(),
            namespace: text(&object, "/metadata/namespace").to_owned(),
            name: name.clone(),
        };
        match server.objects().create(key, draft(object.clone())).await {
            Ok(stored) => {
                created(server, def, &name).await?;
                return Ok(stored);
            }
            Err(ObjectError::Exists) if attempts > 1 && name.starts_with(&beginning) => {
                attempts -= 1;
                metadata_mut(&mut object).insert("name".into(), crate::names::generate(&beginning).into());
            }
            Err(ObjectError::Exists) => return Err(ApiError::exists(def, &name)),
            Err(error) => return Err(error.into()),
        }
    }
}

/// What is stored of an object.
fn draft(object: Value) -> Draft {
    Draft {
        uid: text(&object, "/metadata/uid").to_owned(),
        facts: facts_of(&object),
        owners: owner_uids(&object),
        encode: encode(object),
    }
}

/// Writes an object with the revision of its change.
pub(super) fn encode(mut object: Value) -> galley_store::objects::Encode {
    Box::new(move |revision| {
        metadata_mut(&mut object).insert("resourceVersion".into(), revision.to_string().into());
        object.to_string()
    })
}

/// What follows from a change of certain kinds.
pub(super) fn settle(server: &ApiServer, def: &ResourceDef) -> Result<(), ApiError> {
    if def.is("apiextensions.k8s.io", "customresourcedefinitions") {
        server.reload_kinds()?;
    }
    Ok(())
}

async fn created(server: &ApiServer, def: &ResourceDef, name: &str) -> Result<(), ApiError> {
    settle(server, def)?;
    if def.is("", "namespaces") {
        furnish_namespace(server, name).await?;
    }
    Ok(())
}

/// Makes what every namespace has: the ServiceAccount `default` and the certificate that pods trust.
pub(crate) async fn furnish_namespace(server: &ApiServer, namespace: &str) -> Result<(), ApiError> {
    let metadata = |name: &str| json!({"name": name, "namespace": namespace});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("default")});
    create_if_absent(server, "serviceaccounts", Some(namespace), account).await?;
    if let Some(certificate) = &server.config().ca_certificate {
        let name = "kube-root-ca.crt";
        let data = json!({"ca.crt": certificate});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name), "data": data.clone()});
        if !create_if_absent(server, "configmaps", Some(namespace), map).await? {
            // The certificate authority may be a new one.
            let kinds = server.kinds();
            if let Some(def) = kinds.get("", "v1", "configmaps") {
                let key =
                    ObjectKey { kind: def.key(), namespace: namespace.to_owned(), name: name.to_owned() };
                modify_stored(server, def, key, |map| map["data"] = data.clone()).await?;
            }
        }
    }
    Ok(())
}

/// Creates a core object of the server's own unless it is there; `true` if it was created.
pub(crate) async fn create_if_absent(
    server: &ApiServer,
    plural: &str,
    namespace: Option<&str>,
    object: Value,
) -> Result<bool, ApiError> {
    let kinds = server.kinds();
    let Some(def) = kinds.get("", "v1", plural) else { return Ok(false) };
    let name = name_of(&object).to_owned();
    let key = ObjectKey {
        kind: def.key(),
        namespace: namespace.unwrap_or_default().to_owned(),
        name: name.clone(),
    };
    if server.objects().get(&key)?.is_some() {
        return Ok(false);
    }
    let object = object::for_create(def, object, server.now())?;
    match server.objects().create(key, draft(object)).await {
        Ok(_) => Ok(true),
        Err(ObjectError::Exists) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
