//! Who may write.
//!
//! Reading is open: the server listens on loopback or inside the cluster's network. Writing needs a token where one is
//! configured, as `Authorization: Bearer` (`MLFLOW_TRACKING_TOKEN`) or as the password of Basic authentication
//! (`MLFLOW_TRACKING_PASSWORD`). A page of another site must not write through a person's browser, token or not.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use galley_mlflow::{ApiError, ErrorCode};
use http::{HeaderMap, header};

use crate::{failure::Failure, service::Shared};

/// Lets a writing request pass or answers why not.
pub(crate) async fn may_write(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    match check(&shared, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Failure(error).into_response(),
    }
}

fn check(shared: &Shared, headers: &HeaderMap) -> Result<(), ApiError> {
    if is_foreign(headers) {
        return Err(ApiError::new(
            ErrorCode::PermissionDenied,
            "Pages of other sites may not write here (the request's Origin is not this server).",
        ));
    }
    let Some(authorize) = &shared.authorize else { return Ok(()) };
    match token(headers) {
        Some(token) if authorize(&token) => Ok(()),
        Some(_) => Err(ApiError::new(ErrorCode::PermissionDenied, "The token may not write here.")),
        None => Err(ApiError::new(
            ErrorCode::Unauthenticated,
            "Writing needs a token. Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and \
             MLFLOW_TRACKING_PASSWORD.",
        )),
    }
}

/// Browsers name the page's origin in every request that writes; other clients name none.
fn is_foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = headers.get(header::HOST).map(|host| host.as_bytes()).unwrap_or_default();
    let origin = origin.as_bytes();
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority != Some(host)
}

fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_token_is_a_bearer_or_a_password() {
        let token_in = |value| token(&headers(&[(header::AUTHORIZATION, value)]));
        assert_eq!(token_in("Bearer abc"), Some("abc".into()));
        assert_eq!(token_in("Basic dXNlcjpwYTpzcw=="), Some("pa:ss".into()));
        assert_eq!(token_in("Digest abc"), None);
        assert_eq!(token_in("Basic %%%"), None);
    }

    #[test]
    fn a_page_of_another_site_is_foreign() {
        let host = (header::HOST, "127.0.0.1:5000");
        assert!(!is_foreign(&headers(std::slice::from_ref(&host))));
        assert!(!is_foreign(&headers(&[host.clone(), (header::ORIGIN, "http://127.0.0.1:5000")])));
        assert!(is_foreign(&headers(&[host.clone(), (header::ORIGIN, "https://evil.example")])));
        assert!(is_foreign(&headers(&[host, (header::ORIGIN, "null")])));
    }
}
