//! Predictions and refusals, as JSON for programs and as a page for people.

use askama::Template;
use axum::{
    Json,
    response::{Html, IntoResponse, Response},
};
use galley_ml::{Contract, ExtractorError, PhotoError, Prediction};
use http::{HeaderMap, StatusCode, header::{ACCEPT, RETRY_AFTER}};
use serde_json::{Value, json};

/// Why there is no prediction.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// No photo in the request.
    NoPhoto,
    /// A photo of no bytes.
    Empty,
    /// More bytes than allowed.
    TooManyBytes {
        /// The limit.
        limit: usize,
    },
    /// The photo cannot be used.
    Photo(PhotoError),
    /// The model failed.
    Model(ExtractorError),
    /// The work was lost.
    Broken,
    /// The model is not loaded yet.
    NotReady,
    /// The queue is full.
    Busy,
    /// The deadline passed.
    Late,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::NoPhoto | Refusal::Empty | Refusal::Photo(PhotoError::Empty) => StatusCode::BAD_REQUEST,
            Refusal::TooManyBytes { .. }
            | Refusal::Photo(PhotoError::TooManyBytes { .. } | PhotoError::TooManyPixels { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Refusal::Photo(PhotoError::NotAnImage | PhotoError::Unsupported { .. }) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Refusal::Photo(PhotoError::Damaged { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Model(_) | Refusal::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::NotReady | Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Code, message and remedy.
    fn words(&self) -> (&'static str, String, &'static str) {
        match self {
            Refusal::NoPhoto => (
                "G0722",
                "The request holds no photo.".into(),
                "Send a form with the field `file`, or the photo itself with its content type (`image/jpeg`).",
            ),
            Refusal::Empty | Refusal::Photo(PhotoError::Empty) => {
                ("G0723", "The file is empty.".into(), "Choose a photo.")
            }
            Refusal::TooManyBytes { limit } => (
                "G0724",
                format!("The file is larger than {} MB.", limit / 1_000_000),
                "Make the photo smaller.",
            ),
            Refusal::Photo(error @ (PhotoError::TooManyBytes { .. } | PhotoError::TooManyPixels { .. })) => {
                ("G0724", sentence(&error.to_string()), "Make the photo smaller.")
            }
            Refusal::Photo(error @ (PhotoError::NotAnImage | PhotoError::Unsupported { .. })) => {
                ("G0725", sentence(&error.to_string()), "Send a JPEG, PNG or WebP photo.")
            }
            Refusal::Photo(error @ PhotoError::Damaged { .. }) => {
                ("G0726", sentence(&error.to_string()), "Save the photo again and send that.")
            }
            Refusal::Model(_) | Refusal::Broken => {
                ("G0727", "The model failed on this photo.".into(), "Try another photo; the failure is in the log.")
            }
            Refusal::NotReady => ("G0728", "The model is still being loaded.".into(), "Try again in a moment."),
            Refusal::Busy => ("G0729", "Too many photos are waiting.".into(), "Try again in a moment."),
            Refusal::Late => ("G0730", "The photo took too long.".into(), "Try again, or with a smaller photo."),
        }
    }

    /// The answer, as the request likes it.
    pub(crate) fn answer(&self, page: bool, contract: Option<&Contract>) -> Response {
        if let Refusal::Model(error) = self {
            tracing::error!(%error, "the model failed");
        }
        let (code, message, remedy) = self.words();
        let mut answer = if page {
            Page { error: Some((message, remedy)), ..Page::new(contract) }.answer()
        } else {
            Json(json!({ "error": { "code": code, "message": message, "remedy": remedy } })).into_response()
        };
        *answer.status_mut() = self.status();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static("1"));
        }
        answer
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// A browser says that it reads HTML; programs (and `*/*`) get JSON.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

/// One bar of the result.
struct Bar {
    class: &'static str,
    percent: String,
    width: u32,
}

/// The page, with or without a result.
#[derive(Template)]
#[template(path = "page.html")]
pub(crate) struct Page {
    version: String,
    best: Option<(&'static str, String)>,
    bars: Vec<Bar>,
    error: Option<(String, &'static str)>,
}

impl Page {
    pub(crate) fn new(contract: Option<&Contract>) -> Page {
        let version = contract.and_then(|contract| contract.version.clone()).unwrap_or_default();
        Page { version, best: None, bars: Vec::new(), error: None }
    }

    pub(crate) fn answer(&self) -> Response {
        match self.render() {
            Ok(html) => Html(html).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// A prediction, as the request likes it.
pub(crate) fn prediction(prediction: &Prediction, page: bool, contract: Option<&Contract>) -> Response {
    if page {
        let percent = |probability: f32| format!("{:.1} %", probability * 100.0);
        let bars = prediction
            .ranked()
            .into_iter()
            .map(|(class, probability)| Bar {
                class,
                percent: percent(probability),
                width: (probability * 1000.0).round() as u32,
            })
            .collect();
        let best = Some((prediction.name(), percent(prediction.confidence())));
        return Page { best, bars, ..Page::new(contract) }.answer();
    }
    let probabilities: Vec<Value> = prediction
        .ranked()
        .into_iter()
        .map(|(class, probability)| json!({ "class": class, "probability": probability }))
        .collect();
    Json(json!({
        "class": prediction.name(),
        "confidence": prediction.confidence(),
        "probabilities": probabilities,
        "version": contract.and_then(|contract| contract.version.clone()),
    }))
    .into_response()
}
