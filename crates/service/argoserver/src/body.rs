//! Bodies of requests. Clients in Go name no content type, and leave the body out where nothing is to be said.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use crate::error::Refusal;

/// A body in JSON; the default for none.
pub(crate) struct Given<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Given<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|error| Refusal::invalid(error.to_string()))?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Given(T::default()));
        }
        serde_json::from_slice(&bytes).map(Given).map_err(|error| Refusal::invalid(error.to_string()))
    }
}
