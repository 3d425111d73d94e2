//! A photo out of a request: a form's file, or the body itself.
//!
//! What is too large is read on and thrown away up to a few times the limit, so that a browser, which reads no answer
//! before it has sent everything, gets to see why.

use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header::CONTENT_TYPE;
use futures::StreamExt;
use galley_ml::PhotoError;
use galley_problem::{Kind, Problem};

/// A body may be this many times the limit before the connection is cut.
pub(crate) const PATIENCE: usize = 4;
/// Fields of a form that are looked at.
const MAX_FIELDS: usize = 20;

/// Reads the photo of a request, at most `limit` bytes.
pub(crate) async fn photo(request: Request, limit: usize) -> Result<Vec<u8>, Problem> {
    let content_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let content_type = content_type.trim().to_ascii_lowercase();
    if content_type.starts_with("multipart/form-data") {
        let form = Multipart::from_request(request, &())
            .await
            .map_err(|_| not_understood("The form cannot be read."))?;
        return from_form(form, limit).await;
    }
    // `curl --data-binary @photo.jpg` calls every body a form; its content tells better.
    let body = from_body(request, limit).await?;
    if content_type.starts_with("image/")
        || content_type == "application/octet-stream"
        || looks_like_image(&body)
    {
        return Ok(body);
    }
    Err(if body.is_empty() {
        PhotoError::Empty.into()
    } else {
        not_understood("The request is neither a form with a photo nor a photo itself.")
    })
}

async fn from_form(mut form: Multipart, limit: usize) -> Result<Vec<u8>, Problem> {
    for _ in 0..MAX_FIELDS {
        let field = form.next_field().await.map_err(|error| broken(&error, limit))?;
        let Some(field) = field else { break };
        let wanted = matches!(field.name(), Some("file" | "image" | "photo")) || field.file_name().is_some();
        if wanted {
            return from_field(field, limit).await;
        }
    }
    Err(not_understood("The form has no field named `file`."))
}

async fn from_field(mut field: Field<'_>, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Bounded::new(limit);
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error, limit))? {
        bytes.push(&chunk);
    }
    bytes.finish()
}

async fn from_body(request: Request, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut stream = request.into_body().into_data_stream();
    let mut bytes = Bounded::new(limit);
    while let Some(chunk) = stream.next().await {
        bytes.push(&chunk.map_err(|_| not_understood("The request ended before all of it had come."))?);
        if bytes.seen > limit.saturating_mul(PATIENCE) {
            break;
        }
    }
    bytes.finish()
}

/// Keeps up to a limit and counts the rest.
struct Bounded {
    kept: Vec<u8>,
    seen: usize,
    limit: usize,
}

impl Bounded {
    fn new(limit: usize) -> Self {
        Bounded { kept: Vec::new(), seen: 0, limit }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.seen = self.seen.saturating_add(chunk.len());
        if self.seen <= self.limit {
            self.kept.extend_from_slice(chunk);
        } else {
            self.kept = Vec::new();
        }
    }

    fn finish(self) -> Result<Vec<u8>, Problem> {
        match self.seen {
            0 => Err(PhotoError::Empty.into()),
            bytes if bytes > self.limit => Err(PhotoError::TooManyBytes { bytes, limit: self.limit }.into()),
            _ => Ok(self.kept),
        }
    }
}

fn looks_like_image(body: &[u8]) -> bool {
    body.starts_with(&[0xFF, 0xD8, 0xFF])
        || body.starts_with(b"\x89PNG\r\n\x1a\n")
        || (body.starts_with(b"RIFF") && body.get(8..12) == Some(b"WEBP"))
}

/// A form that breaks off is too large if the server itself stopped reading it.
fn broken(error: &axum::extract::multipart::MultipartError, limit: usize) -> Problem {
    if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        return PhotoError::TooManyBytes { bytes: limit.saturating_mul(PATIENCE), limit }.into();
    }
    not_understood("The form is damaged or incomplete.")
}

fn not_understood(what: &str) -> Problem {
    Problem::new("G0711", Kind::Usage, what)
        .try_this("Send a form with a file named `file`: `curl -F file=@photo.jpg <address>/predict`.")
}
