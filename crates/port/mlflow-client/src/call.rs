//! One call: request, deadline, retries, answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use galley_mlflow::error::ErrorBody;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Client, Error, Result};

/// Longest pause between attempts.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Most bytes of an error's body that are read.
const MAX_ERROR: usize = 64 * 1024;

/// Whether a call may be repeated although it may have reached the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It does the same twice as once.
    Always,
    /// It makes something new each time.
    IfUnsent,
}

impl Client {
    pub(crate) fn endpoint(&self, path: &str) -> String {
        format!("{}/api/2.0/mlflow/{path}", self.base)
    }

    /// Reads something: parameters travel in the query.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T> {
        let url = self.endpoint(path);
        let response =
            self.send(what, Repeat::Always, self.limits.call, || self.http.get(&url).query(query)).await?;
        self.read(what, response).await
    }

    /// Calls an endpoint with a JSON body.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        what: &str,
        method: Method,
        path: &str,
        body: &Value,
        repeat: Repeat,
    ) -> Result<T> {
        let url = self.endpoint(path);
        let request = || self.http.request(method.clone(), &url).json(body);
        let response = self.send(what, repeat, self.limits.call, request).await?;
        self.read(what, response).await
    }

    /// `POST` with a JSON body.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        body: &Value,
        repeat: Repeat,
    ) -> Result<T> {
        self.call(what, Method::POST, path, body, repeat).await
    }

    /// Sends a request until it is answered, with pauses, at most `attempts` times.
    pub(crate) async fn send(
        &self,
        what: &str,
        repeat: Repeat,
        deadline: Duration,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Response> {
        let mut pause = self.limits.pause;
        for attempt in 1.. {
            let mut builder = request().timeout(deadline);
            if let Some(token) = &self.token {
                builder = builder.bearer_auth(token.expose());
            }
            let last = attempt >= self.limits.attempts;
            let outcome = builder.send().await;
            let again = !last
                && match &outcome {
                    Err(error) => error.is_connect() || repeat == Repeat::Always,
                    Ok(response) => repeat == Repeat::Always && is_passing(response.status()),
                };
            if !again {
                let response = outcome.map_err(|source| Error::Unreachable {
                    what: what.to_owned(),
                    source: source.without_url(),
                })?;
                return if response.status().is_success() {
                    Ok(response)
                } else {
                    Err(refusal(what, response).await)
                };
            }
            tracing::debug!(what, attempt, "the tracking server did not answer well; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
        // The loop above returns in its last attempt at the latest.
        Err(Error::Request(format!("no attempt was allowed to {what}")))
    }

    async fn read<T: DeserializeOwned>(&self, what: &str, response: Response) -> Result<T> {
        let body = gather(what, response, self.limits.max_answer as u64).await?;
        serde_json::from_slice(&body).map_err(|source| Error::Answer { what: what.to_owned(), source })
    }
}

/// The whole body, up to a limit.
pub(crate) async fn gather(what: &str, mut response: Response, limit: u64) -> Result<Bytes> {
    let too_large = || Error::TooLarge { what: what.to_owned(), limit };
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    loop {
        let chunk = response
            .chunk()
            .await
            .map_err(|source| Error::Unreachable { what: what.to_owned(), source: source.without_url() })?;
        let Some(chunk) = chunk else { return Ok(body.freeze()) };
        if body.len() as u64 + chunk.len() as u64 > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
}

/// The server may be well again in a moment.
fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

async fn refusal(what: &str, mut response: Response) -> Error {
    let status = response.status();
    let mut body = Vec::new();
    while body.len() < MAX_ERROR {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            // What has arrived so far is told; the status alone says enough.
            Ok(None) | Err(_) => break,
        }
    }
    let told: ErrorBody = serde_json::from_slice(&body).unwrap_or_default();
    let message = if told.message.is_empty() {
        let text: String = String::from_utf8_lossy(&body).chars().take(300).collect();
        if text.trim().is_empty() { status.to_string() } else { text.trim().to_owned() }
    } else {
        told.message
    };
    Error::Refused { what: what.to_owned(), status: status.as_u16(), code: told.error_code, message }
}
