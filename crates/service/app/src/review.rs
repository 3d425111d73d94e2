//! What people say of an answer: that it is wrong, what is right, or that all of it shall go.

use axum::Form;
use axum::extract::{self, FromRequest, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use galley_problem::Problem;
use serde::Deserialize;
use serde_json::json;

use crate::answer::{self, Format};
use crate::feedback::Record;
use crate::page;
use crate::routes::{Shared, failed_at, within_deadline};
use crate::state::State;
use crate::upload::not_understood;

/// All of these addresses lie one folder below the root.
const ROOT: &str = "../";
/// Most bytes of a correction.
const MAX_BODY: usize = 4096;

/// `GET /predictions/ID`
pub(crate) async fn show(extract::State(state): Shared, Path(id): Path<String>) -> Response {
    let work = async {
        let feedback = state.feedback()?.clone();
        state.blocking(move || feedback.get(&id)).await
    };
    match within_deadline(&state, work).await {
        Ok(record) => answer::json(&json!(record)),
        Err(problem) => failed_at(&state, ROOT, Format::Json, &problem),
    }
}

/// `POST /flag/ID`
pub(crate) async fn flag(
    extract::State(state): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let work = async {
        let (feedback, now) = (state.feedback()?.clone(), state.now());
        let record = state.blocking(move || feedback.flag(&id, &now)).await?;
        state.metrics.flagged(&record.class);
        Ok(record)
    };
    let outcome = within_deadline(&state, work).await;
    said(&state, &headers, outcome, "Thank you. It is noted that the answer was wrong.")
}

/// `POST /correct-label/ID`, with the class in a form, in JSON, or as bare text.
pub(crate) async fn correct(
    extract::State(state): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let work = async {
        let (feedback, now) = (state.feedback()?.clone(), state.now());
        let class = class_of(request).await?;
        let record = state.blocking(move || feedback.correct(&id, &class, &now)).await?;
        if let Some(class) = &record.correct_class {
            state.metrics.corrected(class);
        }
        Ok(record)
    };
    let outcome = within_deadline(&state, work).await;
    said(&state, &headers, outcome, "Thank you. The right class is noted.")
}

/// `DELETE /predictions/ID` and, for forms, `POST /delete/ID`
pub(crate) async fn delete(
    extract::State(state): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let format = Format::of(&headers);
    let work = async {
        let feedback = state.feedback()?.clone();
        state.blocking(move || feedback.delete(&id)).await
    };
    match within_deadline(&state, work).await {
        Ok(()) if format == Format::Html => {
            answer::html(page::notice(&state, ROOT, "The photo and its answer are deleted."))
        }
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => failed_at(&state, ROOT, format, &problem),
    }
}

fn said(state: &State, headers: &HeaderMap, outcome: Result<Record, Problem>, thanks: &str) -> Response {
    let format = Format::of(headers);
    match (outcome, format) {
        (Ok(_), Format::Html) => answer::html(page::notice(state, ROOT, thanks)),
        (Ok(_), Format::Text) => answer::text(format!("{thanks}\n")),
        (Ok(record), Format::Json) => answer::json(&json!(record)),
        (Err(problem), format) => failed_at(state, ROOT, format, &problem),
    }
}

#[derive(Deserialize)]
struct Correction {
    #[serde(alias = "label", alias = "class_name", alias = "correct_class", alias = "correctClass")]
    class: Word,
}

/// A name or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Name(String),
    Number(u64),
}

async fn class_of(request: Request) -> Result<String, Problem> {
    let refused =
        || not_understood("The correction names no class: send `class=Soup` or `{\"class\": \"Soup\"}`.");
    let content_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let form = content_type.starts_with("application/x-www-form-urlencoded");
    let json = content_type.starts_with("application/json");
    if form {
        let Form(correction) = Form::<Correction>::from_request(request, &()).await.map_err(|_| refused())?;
        return Ok(correction.class.into());
    }
    let body = axum::body::to_bytes(request.into_body(), MAX_BODY).await.map_err(|_| refused())?;
    if json {
        let correction: Correction = serde_json::from_slice(&body).map_err(|_| refused())?;
        return Ok(correction.class.into());
    }
    match std::str::from_utf8(&body) {
        Ok(text) if !text.trim().is_empty() && text.len() < 100 => Ok(text.trim().to_owned()),
        _ => Err(refused()),
    }
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        match word {
            Word::Name(name) => name,
            Word::Number(number) => number.to_string(),
        }
    }
}
