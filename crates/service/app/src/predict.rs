//! Photos in, answers out.
//!
//! `/predict` speaks to browsers (all photos, a page), shells (one word) and programs (one photo, one object).
//! `/v1/predict` is for programs: any number of photos, each with its own answer or error.

use axum::extract::{self, Request};
use axum::http::HeaderMap;
use axum::response::Response;
use galley_problem::Problem;
use serde_json::{Value, json};

use crate::answer::{self, Format};
use crate::page::{self, Shown};
use crate::routes::{Shared, failed, within_deadline};
use crate::state::{Classified, State};
use crate::upload::{self, Sent};

/// `POST /predict`
pub(crate) async fn predict(extract::State(state): Shared, request: Request) -> Response {
    let format = Format::of(request.headers());
    let work = async {
        if format == Format::Html {
            return Ok(answer::html(page::results(&state, shown(&state, request).await?)));
        }
        state.model()?;
        let _place = state.admit()?;
        let first = upload::photos(request, &state).await?.swap_remove(0)?;
        let classified = state.classify(first, false).await?;
        Ok(match format {
            Format::Text => answer::text(format!("{}\n", classified.prediction.name())),
            _ => answer::json(&described(&classified)),
        })
    };
    match within_deadline(&state, work).await {
        Ok(response) => response,
        Err(problem) => failed(&state, format, &problem),
    }
}

/// What the page shows of each photo. A single photo that cannot be used is the request's problem.
async fn shown(state: &State, request: Request) -> Result<Vec<Shown>, Problem> {
    let mut shown = Vec::new();
    for (name, answer) in answers(state, request, true).await? {
        shown.push(Shown::of(name, answer));
    }
    match shown.len() {
        1 => shown.remove(0).single().map(|shown| vec![shown]),
        _ => Ok(shown),
    }
}

/// `POST /v1/predict`
pub(crate) async fn predict_many(
    extract::State(state): Shared,
    _headers: HeaderMap,
    request: Request,
) -> Response {
    let work = async {
        let model = state.model()?;
        let answers = answers(&state, request, false).await?;
        let predictions: Vec<Value> = answers
            .into_iter()
            .map(|(name, answer)| {
                let mut value = match answer {
                    Ok(classified) => described(&classified),
                    Err(problem) => json!({ "error": answer::described(&problem) }),
                };
                if let Some(name) = name {
                    value["name"] = name.into();
                }
                value
            })
            .collect();
        let contract = model.classifier.contract();
        Ok(answer::json(&json!({
            "model": contract.model, "version": model.version, "classes": contract.classes, "predictions": predictions,
        })))
    };
    match within_deadline(&state, work).await {
        Ok(response) => response,
        Err(problem) => failed(&state, Format::Json, &problem),
    }
}

/// Each photo's name and answer, in order. They are worked on at once, as far as there are cores.
async fn answers(
    state: &State,
    request: Request,
    thumbnail: bool,
) -> Result<Vec<(Option<String>, Result<Classified, Problem>)>, Problem> {
    state.model()?;
    let _place = state.admit()?;
    let photos = upload::photos(request, state).await?;
    let one = async |sent: Sent| match sent {
        Ok(mut upload) => (upload.name.take(), state.classify(upload, thumbnail).await),
        Err(problem) => (None, Err(problem)),
    };
    let mut answers = futures::future::join_all(photos.into_iter().map(one)).await;
    // A server's own trouble is the whole request's: a client that looks at the status alone must see it.
    let trouble = |answer: &Result<Classified, Problem>| {
        answer.as_ref().is_err_and(|problem| answer::status(problem).is_server_error())
    };
    if let Some(place) = answers.iter().position(|(_, answer)| trouble(answer)) {
        answers.swap_remove(place).1?;
    }
    Ok(answers)
}

/// An answer as JSON.
fn described(classified: &Classified) -> Value {
    let prediction = &classified.prediction;
    let probabilities: serde_json::Map<_, _> = prediction
        .ranked()
        .into_iter()
        .map(|(class, probability)| (class.to_owned(), json!(rounded(probability))))
        .collect();
    let mut value = json!({
        "class": prediction.name(),
        "index": prediction.class,
        "confidence": rounded(prediction.confidence()),
        "probabilities": probabilities,
        "version": classified.version,
        "milliseconds": rounded(classified.seconds as f32 * 1000.0),
    });
    if let Some(id) = &classified.id {
        value["id"] = id.as_str().into();
    }
    value
}

/// Four digits, without the tail that single precision gets in decimal.
fn rounded(value: f32) -> f64 {
    (f64::from(value) * 10_000.0).round() / 10_000.0
}
