//! Refusals in Argo's form.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use galley_problem::{Kind, Problem};
use serde_json::json;

/// Codes of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Code::InvalidArgument | Code::FailedPrecondition => StatusCode::BAD_REQUEST,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::AlreadyExists => StatusCode::CONFLICT,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Code::Unknown | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Refusal::new(Code::InvalidArgument, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"code": self.code as i32, "message": self.message});
        (self.code.status(), Json(body)).into_response()
    }
}

impl From<kube::Error> for Refusal {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return Refusal::new(Code::Unavailable, error.to_string());
        };
        let code = match (status.code, status.reason.as_str()) {
            (404, _) => Code::NotFound,
            (409, "AlreadyExists") => Code::AlreadyExists,
            (409, _) => Code::FailedPrecondition,
            (400 | 422, _) => Code::InvalidArgument,
            (401, _) => Code::Unauthenticated,
            (403, _) => Code::PermissionDenied,
            _ => Code::Internal,
        };
        Refusal::new(code, status.message.clone())
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let code = match problem.kind {
            Kind::NotFound => Code::NotFound,
            Kind::Invalid | Kind::Usage | Kind::Config => Code::InvalidArgument,
            Kind::Conflict | Kind::Failed => Code::FailedPrecondition,
            Kind::Denied => Code::PermissionDenied,
            Kind::Timeout => Code::DeadlineExceeded,
            Kind::Unavailable => Code::Unavailable,
            _ => Code::Unknown,
        };
        let causes: String = problem.causes.iter().map(|cause| format!(": {cause}")).collect();
        Refusal::new(code, format!("{}{causes}", problem.what))
    }
}

/// An answer in JSON, or a refusal.
pub(crate) type Answer = Result<Json<serde_json::Value>, Refusal>;
