//! Photos out of a request: a form's files, JSON with base64, or the body itself.
//!
//! What is too large is read on and thrown away up to a few times the limit, so that a browser, which reads no answer
//! before it has sent everything, gets to see why. All photos under way share one budget of memory: what does not fit
//! is told to come back, so a thousand large uploads at once cannot fill the machine.

use std::sync::Arc;

use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header::CONTENT_TYPE;
use base64::Engine;
use futures::StreamExt;
use galley_ml::PhotoError;
use galley_problem::{Kind, Problem};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::state::{State, busy};

/// A body may be this many times the limit before the connection is cut.
pub(crate) const PATIENCE: usize = 4;
/// Fields of a form that are looked at.
const MAX_FIELDS: usize = 64;
/// Memory of all photos under way, in KiB.
pub(crate) const BUDGET: usize = 256 << 10;

/// A photo as it came.
pub(crate) struct Upload {
    /// The file's name, where the client gave one.
    pub(crate) name: Option<String>,
    pub(crate) bytes: Vec<u8>,
    /// Its part of the budget, given back with it.
    pub(crate) held: Option<OwnedSemaphorePermit>,
}

/// One photo of a request, or why that one cannot be used.
pub(crate) type Sent = Result<Upload, Problem>;

/// Reads all photos of a request, at least one.
pub(crate) async fn photos(request: Request, state: &State) -> Result<Vec<Sent>, Problem> {
    in_time(state, all_photos(request, state)).await
}

/// A client that sends too slowly is told so before the request's whole time is over.
async fn in_time<T>(state: &State, reading: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let time = state.config.deadline().mul_f64(0.8);
    tokio::time::timeout(time, reading).await.unwrap_or_else(|_| {
        Err(Problem::new("G0723", Kind::Timeout, format!("The request was not all there after {time:.1?}."))
            .try_this("Send it again over a faster connection, or make the photo smaller."))
    })
}

async fn all_photos(request: Request, state: &State) -> Result<Vec<Sent>, Problem> {
    let limit = state.config.max_upload_bytes;
    let content_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let content_type = content_type.trim().to_ascii_lowercase();
    if content_type.starts_with("multipart/form-data") {
        let form = Multipart::from_request(request, &())
            .await
            .map_err(|_| not_understood("The form cannot be read."))?;
        return from_form(form, state).await;
    }
    if content_type.starts_with("application/json") {
        return from_json(&body(request, state, limit.saturating_mul(2)).await?, state);
    }
    // `curl --data-binary @photo.jpg` calls every body a form; its content tells better.
    let body = body(request, state, limit).await?;
    if content_type.starts_with("image/")
        || content_type == "application/octet-stream"
        || looks_like_image(&body.bytes)
    {
        return Ok(vec![Ok(body)]);
    }
    Err(if body.bytes.is_empty() {
        PhotoError::Empty.into()
    } else {
        not_understood("The request is neither a form with a photo nor a photo itself.")
    })
}

async fn from_form(mut form: Multipart, state: &State) -> Result<Vec<Sent>, Problem> {
    let limit = state.config.max_upload_bytes;
    let mut photos = Vec::new();
    for _ in 0..MAX_FIELDS {
        let field = form.next_field().await.map_err(|error| broken(&error, limit))?;
        let Some(field) = field else { break };
        let wanted = matches!(field.name(), Some("file" | "image" | "photo" | "files" | "images"))
            || field.file_name().is_some();
        if !wanted {
            continue;
        }
        if photos.len() == state.config.max_photos {
            return Err(too_many(state.config.max_photos));
        }
        photos.push(from_field(field, state).await?);
    }
    // A browser sends an empty part for a field that was left empty, such as that of the camera.
    if photos.iter().any(Result::is_ok) {
        photos.retain(|photo| !matches!(photo, Err(problem) if problem.code == "G0701"));
    }
    if photos.is_empty() {
        return Err(not_understood("The form has no field named `file`."));
    }
    Ok(photos)
}

/// A form that breaks off is the request's fault; a photo that is too large is its own.
async fn from_field(mut field: Field<'_>, state: &State) -> Result<Sent, Problem> {
    let limit = state.config.max_upload_bytes;
    let mut bytes = Bounded::new(limit, state);
    bytes.name =
        field.file_name().filter(|name| !name.is_empty()).map(|name| name.chars().take(200).collect());
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error, limit))? {
        bytes.push(&chunk)?;
    }
    Ok(bytes.finish())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    image: Option<String>,
    #[serde(default)]
    images: Vec<String>,
}

fn from_json(body: &Upload, state: &State) -> Result<Vec<Sent>, Problem> {
    let json: Json = serde_json::from_slice(&body.bytes).map_err(|_| {
        not_understood("The JSON is not `{\"image\": \"<base64>\"}` or `{\"images\": [\"<base64>\", ...]}`.")
    })?;
    let images: Vec<String> = json.image.into_iter().chain(json.images).collect();
    if images.is_empty() {
        return Err(not_understood("The JSON names no image."));
    }
    if images.len() > state.config.max_photos {
        return Err(too_many(state.config.max_photos));
    }
    Ok(images.iter().map(|image| from_base64(image, state)).collect())
}

/// A photo in base64, also as a `data:` address.
pub(crate) fn from_base64(text: &str, state: &State) -> Sent {
    let text = match text.strip_prefix("data:") {
        Some(rest) => rest.split_once(',').map_or("", |(_, data)| data),
        None => text,
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim());
    let bytes = bytes.map_err(|_| not_understood("The image is not base64."))?;
    let mut bounded = Bounded::new(state.config.max_upload_bytes, state);
    bounded.push(&bytes)?;
    bounded.finish()
}

/// The whole body, at most `limit` bytes.
pub(crate) async fn body(request: Request, state: &State, limit: usize) -> Sent {
    in_time(state, whole_body(request, state, limit)).await
}

async fn whole_body(request: Request, state: &State, limit: usize) -> Sent {
    let mut stream = request.into_body().into_data_stream();
    let mut bytes = Bounded::new(limit, state);
    while let Some(chunk) = stream.next().await {
        bytes.push(&chunk.map_err(|_| not_understood("The request ended before all of it had come."))?)?;
        if bytes.seen > limit.saturating_mul(PATIENCE) {
            break;
        }
    }
    bytes.finish()
}

/// Keeps up to a limit and counts the rest.
struct Bounded {
    name: Option<String>,
    kept: Vec<u8>,
    seen: usize,
    limit: usize,
    budget: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Bounded {
    fn new(limit: usize, state: &State) -> Self {
        Bounded { name: None, kept: Vec::new(), seen: 0, limit, budget: state.memory.clone(), held: None }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        self.seen = self.seen.saturating_add(chunk.len());
        if self.seen > self.limit {
            (self.kept, self.held) = (Vec::new(), None);
            return Ok(());
        }
        let wanted = (self.kept.len() + chunk.len()).div_ceil(1024);
        let more = wanted - self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if more > 0 {
            let permit = self.budget.clone().try_acquire_many_owned(more as u32).map_err(|_| busy())?;
            match &mut self.held {
                Some(held) => held.merge(permit),
                None => self.held = Some(permit),
            }
        }
        self.kept.extend_from_slice(chunk);
        Ok(())
    }

    fn finish(self) -> Sent {
        match self.seen {
            0 => Err(PhotoError::Empty.into()),
            bytes if bytes > self.limit => Err(PhotoError::TooManyBytes { bytes, limit: self.limit }.into()),
            _ => Ok(Upload { name: self.name, bytes: self.kept, held: self.held }),
        }
    }
}

fn too_many(limit: usize) -> Problem {
    Problem::new("G0702", Kind::Invalid, format!("The request holds more than {limit} photos."))
        .try_this("Send them in several requests.")
}

fn looks_like_image(body: &[u8]) -> bool {
    body.starts_with(&[0xFF, 0xD8, 0xFF])
        || body.starts_with(b"\x89PNG\r\n\x1a\n")
        || body.starts_with(b"GIF8")
        || (body.starts_with(b"RIFF") && body.get(8..12) == Some(b"WEBP"))
}

/// A form that breaks off is too large if the server itself stopped reading it.
fn broken(error: &axum::extract::multipart::MultipartError, limit: usize) -> Problem {
    if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        return PhotoError::TooManyBytes { bytes: limit.saturating_mul(PATIENCE), limit }.into();
    }
    not_understood("The form is damaged or incomplete.")
}

pub(crate) fn not_understood(what: &str) -> Problem {
    Problem::new("G0711", Kind::Usage, what)
        .try_this("Send a form with a file named `file`: `curl -F file=@photo.jpg <address>/predict`.")
}
