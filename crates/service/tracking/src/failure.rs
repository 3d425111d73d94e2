//! Errors in MLflow's JSON dialect.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use galley_mlflow::{ApiError, ErrorCode};
use galley_store::tracking;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) ApiError);

/// What a handler answers.
pub(crate) type Answer = Result<Json<Value>, Failure>;

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Failure(error)
    }
}

impl From<tracking::Error> for Failure {
    fn from(error: tracking::Error) -> Self {
        match error {
            tracking::Error::Api(error) => Failure(error),
            tracking::Error::Store(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the tracking database failed");
                Failure(ApiError::new(
                    ErrorCode::InternalError,
                    "The tracking database failed. See the server's log.",
                ))
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0.body())).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let ask = HeaderValue::from_static("Basic realm=\"mlflow\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
        }
        response
    }
}

/// An answer with these fields; empty lists and absent values are left out, as protocol buffers do.
pub(crate) fn answer<const N: usize>(fields: [(&str, Value); N]) -> Answer {
    let kept: Map<String, Value> = fields
        .into_iter()
        .filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Ok(Json(Value::Object(kept)))
}

/// A noun as JSON.
pub(crate) fn json(value: impl serde::Serialize) -> Value {
    // The nouns are plain data with text keys, so this cannot fail.
    serde_json::to_value(value).unwrap_or(Value::Null)
}
