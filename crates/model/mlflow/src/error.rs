//! Error codes and the JSON body of an error, as MLflow's clients expect them.

use serde::{Deserialize, Serialize};

/// What went wrong, in MLflow's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// A parameter is missing, malformed, too long, or its value may not change.
    InvalidParameterValue,
    /// The request as a whole cannot be read.
    BadRequest,
    /// The named object does not exist.
    ResourceDoesNotExist,
    /// An object of that name exists.
    ResourceAlreadyExists,
    /// The address is no endpoint of the interface.
    EndpointNotFound,
    /// The state of the object forbids it.
    InvalidState,
    /// The token may not do this.
    PermissionDenied,
    /// No token, or an unknown one.
    Unauthenticated,
    /// This server does not do that.
    NotImplemented,
    /// Too much waits already.
    TemporarilyUnavailable,
    /// A fault of the server.
    InternalError,
}

impl ErrorCode {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorCode::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            ErrorCode::BadRequest => "BAD_REQUEST",
            ErrorCode::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            ErrorCode::ResourceAlreadyExists => "RESOURCE_ALREADY_EXISTS",
            ErrorCode::EndpointNotFound => "ENDPOINT_NOT_FOUND",
            ErrorCode::InvalidState => "INVALID_STATE",
            ErrorCode::PermissionDenied => "PERMISSION_DENIED",
            ErrorCode::Unauthenticated => "UNAUTHENTICATED",
            ErrorCode::NotImplemented => "NOT_IMPLEMENTED",
            ErrorCode::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            ErrorCode::InternalError => "INTERNAL_ERROR",
        }
    }

    /// The HTTP status that carries it.
    pub const fn http_status(self) -> u16 {
        match self {
            ErrorCode::InvalidParameterValue | ErrorCode::BadRequest | ErrorCode::ResourceAlreadyExists => {
                400
            }
            ErrorCode::Unauthenticated => 401,
            ErrorCode::PermissionDenied => 403,
            ErrorCode::ResourceDoesNotExist | ErrorCode::EndpointNotFound => 404,
            ErrorCode::InvalidState | ErrorCode::InternalError => 500,
            ErrorCode::NotImplemented => 501,
            ErrorCode::TemporarilyUnavailable => 503,
        }
    }
}

/// An error as the interface reports it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Which kind of error.
    pub code: ErrorCode,
    /// What a person reads.
    pub message: String,
}

impl ApiError {
    /// An error of the given kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ApiError { code, message: message.into() }
    }

    /// [`ErrorCode::InvalidParameterValue`].
    pub fn invalid(message: impl Into<String>) -> Self {
        ApiError::new(ErrorCode::InvalidParameterValue, message)
    }

    /// [`ErrorCode::ResourceDoesNotExist`].
    pub fn absent(message: impl Into<String>) -> Self {
        ApiError::new(ErrorCode::ResourceDoesNotExist, message)
    }

    /// The message MLflow gives for a required parameter that is missing.
    pub fn missing(parameter: &str) -> Self {
        ApiError::invalid(format!(
            "Missing value for required parameter '{parameter}'. See the API docs for more information about request \
             parameters."
        ))
    }

    /// The JSON body.
    pub fn body(&self) -> ErrorBody {
        ErrorBody { error_code: self.code.name().to_owned(), message: self.message.clone() }
    }
}

/// The JSON body of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Name of the [`ErrorCode`].
    #[serde(default)]
    pub error_code: String,
    /// What a person reads.
    #[serde(default)]
    pub message: String,
}
