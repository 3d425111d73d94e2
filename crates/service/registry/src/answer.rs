//! Errors as the specification writes them, and the few headers that all answers share.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

/// Header with the digest of what is answered.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Header that tells clients which API this is.
pub(crate) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// Header with the identity of an upload.
pub(crate) const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// Header that says that the subject of a manifest was noted.
pub(crate) const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// Header with a tag that was given by a parameter.
pub(crate) const TAG: HeaderName = HeaderName::from_static("oci-tag");
/// Header that says which filters a list of referrers went through.
pub(crate) const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// An error: status, code of the specification, and words.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Where an upload stands, for clients that lost count.
    pub(crate) range: Option<String>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), range: None }
    }

    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, code, message)
    }

    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn unsupported() -> Refusal {
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "This is not possible here.")
    }

    pub(crate) fn unauthorized() -> Refusal {
        Refusal::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "A token is needed: send it as `Bearer`, or as the password of the user `galley`.",
        )
    }
}

impl From<galley_oci::Error> for Refusal {
    fn from(error: galley_oci::Error) -> Refusal {
        use galley_oci::Error as E;
        let (status, code) = match &error {
            E::InvalidName { what: "digest", .. } | E::DigestMismatch { .. } => {
                (StatusCode::BAD_REQUEST, "DIGEST_INVALID")
            }
            E::InvalidName { what: "repository name", .. } => (StatusCode::BAD_REQUEST, "NAME_INVALID"),
            E::InvalidName { .. } | E::InvalidDocument { .. } => {
                (StatusCode::BAD_REQUEST, "MANIFEST_INVALID")
            }
            E::MissingReference(_) => (StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN"),
            E::NotFound { what: "blob", .. } => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            E::NotFound { .. } => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            E::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
            _ => {
                // The path of a file is for the operator, not for the client.
                tracing::error!(error = &error as &dyn std::error::Error, "the image store failed");
                let message = "The registry's store failed; its log says why.";
                return Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", message);
            }
        };
        let mut message = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            message = format!("{message}: {source}");
        }
        Refusal::new(status, code, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"errors": [{"code": self.code, "message": self.message}]});
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(crate::auth::CHALLENGE));
        }
        if let Some(range) = self.range.and_then(|range| HeaderValue::try_from(range).ok()) {
            headers.insert(header::RANGE, range);
        }
        response
    }
}
