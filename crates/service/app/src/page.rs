//! The HTML: one page that asks for a photo and shows what came of it.

use askama::Template;
use base64::Engine;
use galley_ml::CLASSES;
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
    /// The way from this page's address back to the root: `""`, or `../` for each folder.
    root: &'a str,
    version: String,
    environment: Option<&'a str>,
    max_bytes: usize,
    max_megabytes: String,
    max_photos: usize,
    keeps: bool,
    results: Vec<Shown>,
    notice: Option<&'a str>,
    error: Option<Failure>,
}

impl Page<'_> {
    fn title(&self) -> String {
        match (&self.results[..], &self.error) {
            ([Shown { answer: Ok(answer), .. }], _) => format!("{} - GourmetGram", answer.class),
            ([_, ..], _) => "Your photos - GourmetGram".to_owned(),
            (_, Some(_)) => "That did not work - GourmetGram".to_owned(),
            _ => "GourmetGram - what is on your plate?".to_owned(),
        }
    }
}

/// One photo on the page.
pub(crate) struct Shown {
    name: Option<String>,
    answer: Result<Answer, (Failure, Problem)>,
    /// Tells the parts of several results apart.
    number: usize,
}

struct Answer {
    class: &'static str,
    verdict: &'static str,
    percent: String,
    photo: Option<String>,
    millis: String,
    version: String,
    id: Option<String>,
    bars: Vec<Bar>,
    /// All classes, in their order, and whether it is the one that is shown.
    choices: Vec<(&'static str, bool)>,
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

impl Shown {
    pub(crate) fn of(name: Option<String>, answer: Result<Classified, Problem>) -> Self {
        let answer = match answer {
            Ok(classified) => Ok(Answer::of(&classified)),
            Err(problem) => Err((Failure::of(&problem), problem)),
        };
        Shown { name, answer, number: 0 }
    }

    /// The problem itself, if this photo could not be used.
    pub(crate) fn single(self) -> Result<Shown, Problem> {
        match self.answer {
            Err((_, problem)) => Err(problem),
            answer => Ok(Shown { answer, ..self }),
        }
    }
}

impl Failure {
    fn of(problem: &Problem) -> Self {
        Failure { message: message(problem), remedy: problem.remedy.clone(), code: problem.code }
    }
}

/// The page before a photo was sent.
pub(crate) fn empty(state: &State) -> String {
    render(state, "", Vec::new(), None, None)
}

/// The page with answers.
pub(crate) fn results(state: &State, mut results: Vec<Shown>) -> String {
    for (number, result) in results.iter_mut().enumerate() {
        result.number = number + 1;
    }
    render(state, "", results, None, None)
}

/// The page with a word of thanks; `root` leads from its address to the root.
pub(crate) fn notice(state: &State, root: &str, notice: &str) -> String {
    render(state, root, Vec::new(), Some(notice), None)
}

/// The page with what went wrong; `root` leads from its address to the root.
pub(crate) fn failure(state: &State, root: &str, problem: &Problem) -> String {
    render(state, root, Vec::new(), None, Some(Failure::of(problem)))
}

fn render(
    state: &State,
    root: &str,
    results: Vec<Shown>,
    notice: Option<&str>,
    error: Option<Failure>,
) -> String {
    let max_bytes = state.config.max_upload_bytes;
    let page = Page {
        root,
        version: state.version(),
        environment: state.config.environment.as_deref(),
        max_bytes,
        max_megabytes: format!("{}", (max_bytes as f64 / 1e5).round() / 10.0),
        max_photos: state.config.max_photos,
        keeps: state.keeps(),
        results,
        notice,
        error,
    };
    page.render().unwrap_or_else(|error| {
        tracing::error!(%error, "the page did not render");
        "The page could not be made.".into()
    })
}

impl Answer {
    fn of(classified: &Classified) -> Self {
        let prediction = &classified.prediction;
        let bar = |(place, (class, probability)): (usize, (&'static str, f32))| Bar {
            class,
            percent: percent(probability),
            width: format!("{:.2}", probability * 100.0),
            first: place == 0,
        };
        Answer {
            class: prediction.name(),
            verdict: match prediction.confidence() {
                confidence if confidence >= 0.8 => "The model is quite sure.",
                confidence if confidence >= 0.5 => "The model thinks so, with some doubt.",
                _ => "The model is only guessing; look at what comes next.",
            },
            percent: percent(prediction.confidence()),
            photo: classified
                .thumbnail
                .as_ref()
                .map(|png| base64::engine::general_purpose::STANDARD.encode(png)),
            millis: format!("{:.0}", (classified.seconds * 1000.0).max(1.0)),
            version: classified.version.clone(),
            id: classified.id.clone(),
            choices: CLASSES.map(|class| (class, class == prediction.name())).to_vec(),
            bars: prediction.ranked().into_iter().enumerate().map(bar).collect(),
        }
    }
}

fn percent(probability: f32) -> String {
    format!("{:.1} %", probability * 100.0)
}
