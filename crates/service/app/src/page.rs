//! The HTML: one page that asks for a photo and shows what came of it.

use askama::Template;
use base64::Engine;
use galley_problem::Problem;

use crate::answer::message;
use crate::state::{Classified, State};

/// The style sheet.
pub(crate) const STYLE: &str = include_str!("../assets/app.css");
/// The script; the page works without it.
pub(crate) const SCRIPT: &str = include_str!("../assets/app.js");
/// The icon.
pub(crate) const ICON: &str = include_str!("../assets/icon.svg");

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    version: String,
    environment: Option<&'a str>,
    max_bytes: usize,
    max_megabytes: String,
    result: Option<Shown>,
    error: Option<Failure>,
}

struct Shown {
    class: &'static str,
    verdict: &'static str,
    percent: String,
    photo: Option<String>,
    millis: String,
    bars: Vec<Bar>,
}

struct Bar {
    class: &'static str,
    percent: String,
    width: String,
    first: bool,
}

struct Failure {
    message: String,
    remedy: Option<String>,
    code: &'static str,
}

/// The page before a photo was sent.
pub(crate) fn empty(state: &State) -> String {
    render(state, None, None)
}

/// The page with a prediction.
pub(crate) fn result(state: &State, classified: &Classified) -> String {
    render(state, Some(shown(classified)), None)
}

/// The page with what went wrong.
pub(crate) fn failure(state: &State, problem: &Problem) -> String {
    let failure = Failure { message: message(problem), remedy: problem.remedy.clone(), code: problem.code };
    render(state, None, Some(failure))
}

fn render(state: &State, result: Option<Shown>, error: Option<Failure>) -> String {
    let max_bytes = state.config.max_upload_bytes;
    let page = Page {
        version: state.version(),
        environment: state.config.environment.as_deref(),
        max_bytes,
        max_megabytes: format!("{}", (max_bytes as f64 / 1e5).round() / 10.0),
        result,
        error,
    };
    page.render().unwrap_or_else(|error| {
        tracing::error!(%error, "the page did not render");
        "The page could not be made.".into()
    })
}

fn shown(classified: &Classified) -> Shown {
    let prediction = &classified.prediction;
    let ranked = prediction.ranked();
    Shown {
        class: prediction.name(),
        verdict: match prediction.confidence() {
            confidence if confidence >= 0.8 => "The model is quite sure.",
            confidence if confidence >= 0.5 => "The model thinks so, with some doubt.",
            _ => "The model is only guessing; look at what comes next.",
        },
        percent: percent(prediction.confidence()),
        photo: classified.thumbnail.as_ref().map(|png| base64::engine::general_purpose::STANDARD.encode(png)),
        millis: format!("{:.0}", (classified.seconds * 1000.0).max(1.0)),
        bars: ranked
            .iter()
            .enumerate()
            .map(|(place, (class, probability))| Bar {
                class,
                percent: percent(*probability),
                width: format!("{:.2}", probability * 100.0),
                first: place == 0,
            })
            .collect(),
    }
}

fn percent(probability: f32) -> String {
    format!("{:.1} %", probability * 100.0)
}
