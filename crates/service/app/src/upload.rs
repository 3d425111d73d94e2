//! The photo in a request: a multipart form's field, or the body itself.

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, Multipart, Request},
    http::header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use bytes::{Bytes, BytesMut};

use crate::answer::Refusal;

/// Field names that may hold the photo.
const FIELDS: [&str; 2] = ["file", "image"];
/// What a form may hold beside the photo, in bytes.
const FORM_ROOM: usize = 64 << 10;

/// Reads the photo, never more than `limit` bytes.
pub(crate) async fn photo(request: Request, limit: usize) -> Result<Bytes, Refusal> {
    let length: usize = header(&request, &CONTENT_LENGTH).parse().unwrap_or(0);
    if length > limit + FORM_ROOM {
        return Err(Refusal::TooManyBytes { limit });
    }
    let kind = header(&request, &CONTENT_TYPE);
    if kind.starts_with("multipart/form-data") {
        return from_form(request, limit).await;
    }
    if kind.starts_with("image/") || kind.starts_with("application/octet-stream") {
        let bytes = to_bytes(request.into_body(), limit).await.map_err(|_| Refusal::TooManyBytes { limit })?;
        return not_empty(bytes);
    }
    Err(Refusal::NoPhoto)
}

fn header(request: &Request, name: &http::HeaderName) -> String {
    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_ascii_lowercase()
}

async fn from_form(request: Request, limit: usize) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    let body = Body::new(http_body_util::Limited::new(body, limit + FORM_ROOM));
    let mut form =
        Multipart::from_request(Request::from_parts(parts, body), &()).await.map_err(|_| Refusal::NoPhoto)?;
    while let Some(mut field) = form.next_field().await.map_err(|error| broken(&error, limit))? {
        if !field.name().is_some_and(|name| FIELDS.contains(&name)) {
            continue;
        }
        let mut photo = BytesMut::new();
        while let Some(piece) = field.chunk().await.map_err(|error| broken(&error, limit))? {
            if photo.len() + piece.len() > limit {
                return Err(Refusal::TooManyBytes { limit });
            }
            photo.extend_from_slice(&piece);
        }
        return not_empty(photo.freeze());
    }
    Err(Refusal::NoPhoto)
}

fn broken(error: &axum::extract::multipart::MultipartError, limit: usize) -> Refusal {
    if error.status() == http::StatusCode::PAYLOAD_TOO_LARGE || error.body_text().contains("limit") {
        Refusal::TooManyBytes { limit }
    } else {
        Refusal::NoPhoto
    }
}

fn not_empty(bytes: Bytes) -> Result<Bytes, Refusal> {
    if bytes.is_empty() { Err(Refusal::Empty) } else { Ok(bytes) }
}
