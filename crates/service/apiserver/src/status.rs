//! Errors as Kubernetes clients expect them: a `Status` object with code, reason and details.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use galley_store::objects::ObjectError;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::kinds::ResourceDef;

/// A refusal, on its way to the client.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Map<String, Value>,
}

/// A cause of an invalid object: field, reason and message.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) field: String,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn invalid(field: impl Into<String>, value: &str, why: impl Into<String>) -> Self {
        let message = format!("Invalid value: \"{value}\": {}", why.into());
        Cause { field: field.into(), reason: "FieldValueInvalid", message }
    }

    pub(crate) fn required(field: impl Into<String>) -> Self {
        Cause { field: field.into(), reason: "FieldValueRequired", message: "Required value".into() }
    }

    pub(crate) fn forbidden(field: impl Into<String>, why: impl Into<String>) -> Self {
        let message = format!("Forbidden: {}", why.into());
        Cause { field: field.into(), reason: "FieldValueForbidden", message }
    }
}

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        ApiError { code, reason, message: message.into(), details: Map::new() }
    }

    fn about(mut self, def: &ResourceDef, name: &str) -> Self {
        self.details.insert("name".into(), name.into());
        if !def.group.is_empty() {
            self.details.insert("group".into(), def.group.clone().into());
        }
        self.details.insert("kind".into(), def.plural.clone().into());
        self
    }

    fn with_causes(mut self, causes: Vec<Value>) -> Self {
        self.details.insert("causes".into(), Value::Array(causes));
        self
    }

    pub(crate) fn code(&self) -> u16 {
        self.code.as_u16()
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn no_such_path() -> Self {
        ApiError::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn not_found(def: &ResourceDef, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", def.qualified());
        ApiError::new(StatusCode::NOT_FOUND, "NotFound", message).about(def, name)
    }

    pub(crate) fn exists(def: &ResourceDef, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", def.qualified());
        ApiError::new(StatusCode::CONFLICT, "AlreadyExists", message).about(def, name)
    }

    pub(crate) fn conflict(def: &ResourceDef, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", def.qualified());
        ApiError::new(StatusCode::CONFLICT, "Conflict", message).about(def, name)
    }

    pub(crate) fn modified(def: &ResourceDef, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        ApiError::conflict(def, name, why)
    }

    pub(crate) fn apply_conflicts(conflicts: &[galley_patch::Conflict]) -> Self {
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|conflict| {
                let message = format!("conflict with \"{}\"", conflict.manager);
                json!({"reason": "FieldManagerConflict", "message": message, "field": conflict.field})
            })
            .collect();
        let listed: Vec<String> =
            conflicts.iter().map(|c| format!("conflict with \"{}\": {}", c.manager, c.field)).collect();
        let noun = if conflicts.len() == 1 { "conflict" } else { "conflicts" };
        let message = format!("Apply failed with {} {noun}: {}", conflicts.len(), listed.join(", "));
        ApiError::new(StatusCode::CONFLICT, "Conflict", message).with_causes(causes)
    }

    pub(crate) fn invalid(def: &ResourceDef, name: &str, causes: Vec<Cause>) -> Self {
        let lines: Vec<String> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let all = if lines.len() == 1 { lines[0].clone() } else { format!("[{}]", lines.join(", ")) };
        let resource =
            if def.group.is_empty() { def.kind.clone() } else { format!("{}.{}", def.kind, def.group) };
        let causes = causes
            .into_iter()
            .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
            .collect();
        let message = format!("{resource} \"{name}\" is invalid: {all}");
        let mut error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(def, name);
        error.details.insert("kind".into(), def.kind.clone().into());
        error.with_causes(causes)
    }

    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    pub(crate) fn terminating(def: &ResourceDef, name: &str, namespace: &str) -> Self {
        let message = format!(
            "{} \"{name}\" is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
            def.qualified()
        );
        let cause = json!({"reason": "NamespaceTerminating", "field": "metadata.namespace",
            "message": format!("namespace {namespace} is being terminated")});
        ApiError::new(StatusCode::FORBIDDEN, "Forbidden", message).about(def, name).with_causes(vec![cause])
    }

    pub(crate) fn forbidden(def: &ResourceDef, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", def.qualified());
        ApiError::new(StatusCode::FORBIDDEN, "Forbidden", message).about(def, name)
    }

    pub(crate) fn unauthorized() -> Self {
        ApiError::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    pub(crate) fn media_type(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    pub(crate) fn not_acceptable() -> Self {
        let message = "only the following media types are supported: application/json";
        ApiError::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    pub(crate) fn too_many() -> Self {
        let message = "too many requests are being served, try again";
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
    }

    pub(crate) fn expired(oldest: u64) -> Self {
        let message = format!("too old resource version: events are kept since {oldest}");
        ApiError::new(StatusCode::GONE, "Expired", message)
    }

    /// What this server does not do. Not 503, which clients take as an invitation to try again.
    pub(crate) fn not_implemented(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    /// A fault of the server. The client is told what, the log is told why.
    pub(crate) fn internal(what: &str, error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        tracing::error!(error = %text, "{what}");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            format!("Internal error occurred: {what}"),
        )
    }

    /// The `Status` object.
    pub(crate) fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code.as_u16(),
        });
        if !self.details.is_empty() {
            status["details"] = Value::Object(self.details.clone());
        }
        status
    }
}

impl From<ObjectError> for ApiError {
    /// For reads, and for writes whose own outcomes (exists, changed) were handled before.
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Compacted { oldest } => ApiError::expired(oldest),
            ObjectError::NotFound => ApiError::no_such_path(),
            other => ApiError::internal("the database failed", &other),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json_response(self.code, self.to_json().to_string());
        if self.code == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A JSON response.
pub(crate) fn json_response(code: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The `Status` of something that went well.
pub(crate) fn success(def: &ResourceDef, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": def.plural, "uid": uid});
    if !def.group.is_empty() {
        details["group"] = def.group.clone().into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
