//! Refusals as Argo CD words and numbers them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refusal: the number of gRPC, and words.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// gRPC's number: 3 invalid, 5 not found, 6 exists, 7 not permitted, 9 not now, 13 a fault, 16 who are you.
    pub code: u8,
    /// What is wrong.
    pub message: String,
}

impl Error {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Error {
        Error { code, message: message.into() }
    }

    pub(crate) fn missing(kind: &str, name: &str) -> Error {
        Error::new(5, format!("{kind}.argoproj.io \"{name}\" not found"))
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => {
                let code = match status.code {
                    400 | 422 => 3,
                    403 => 7,
                    404 => 5,
                    409 => 6,
                    _ => 13,
                };
                Error::new(code, status.message.clone())
            }
            other => Error::new(13, other.to_string()),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error::new(3, error.to_string())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self.code {
            3 | 9 => StatusCode::BAD_REQUEST,
            5 => StatusCode::NOT_FOUND,
            6 => StatusCode::CONFLICT,
            7 => StatusCode::FORBIDDEN,
            12 => StatusCode::NOT_IMPLEMENTED,
            16 => StatusCode::UNAUTHORIZED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let body = json!({"error": self.message, "code": self.code, "message": self.message});
        (status, Json(body)).into_response()
    }
}
