//! The same answer for browsers, programs and shells.
//!
//! `Accept: text/html` is a browser and gets a page; `Accept: text/plain` gets bare text; everything else, also
//! `curl`'s `*/*`, gets JSON. Errors are `{"error": {"code", "message", "remedy"}}` with the status that fits.

use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use galley_problem::Problem;
use serde_json::{Value, json};

/// What the client wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Html,
    Json,
    Text,
}

impl Format {
    /// After the `Accept` header; the first known type wins, whatever the weights.
    pub(crate) fn of(headers: &HeaderMap) -> Format {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
        for entry in accept.split(',') {
            match entry.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
                "text/html" | "application/xhtml+xml" => return Format::Html,
                "application/json" => return Format::Json,
                "text/plain" => return Format::Text,
                _ => {}
            }
        }
        Format::Json
    }
}

/// An HTML page.
pub(crate) fn html(page: String) -> Response {
    dynamic(Html(page).into_response())
}

/// JSON on one line, with a line end for people at a shell.
pub(crate) fn json(value: &Value) -> Response {
    let mut response = format!("{value}\n").into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    dynamic(response)
}

/// Bare text.
pub(crate) fn text(text: String) -> Response {
    dynamic(text.into_response())
}

/// An answer that no cache may keep and that depends on who asks.
fn dynamic(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// The answer that reports a problem; `page` makes the HTML.
pub(crate) fn problem(format: Format, problem: &Problem, page: impl FnOnce(&Problem) -> String) -> Response {
    let mut response = match format {
        Format::Html => html(page(problem)),
        Format::Json => json(&json!({ "error": described(problem) })),
        Format::Text => text(format!(
            "{} {}\n{}\n",
            problem.code,
            message(problem),
            problem.remedy.as_deref().unwrap_or_default()
        )),
    };
    *response.status_mut() = status(problem);
    if problem.code == "G0712" || problem.code == "G0713" {
        come_back(&mut response);
    }
    response
}

/// Says when to try again.
pub(crate) fn come_back(response: &mut Response) {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
}

/// A problem as JSON.
pub(crate) fn described(problem: &Problem) -> Value {
    json!({ "code": problem.code, "message": message(problem), "remedy": problem.remedy })
}

/// What happened, with its causes.
pub(crate) fn message(problem: &Problem) -> String {
    problem.to_string()
}

/// HTTP is finer than the kinds of a problem, so the codes decide first.
pub(crate) fn status(problem: &Problem) -> StatusCode {
    match problem.code {
        "G0702" => StatusCode::PAYLOAD_TOO_LARGE,
        "G0703" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "G0704" => StatusCode::UNPROCESSABLE_ENTITY,
        "G0723" => StatusCode::REQUEST_TIMEOUT,
        "G0716" => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::from_u16(problem.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_programs_and_shells_are_told_apart() {
        let format = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            Format::of(&headers)
        };
        let firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        assert_eq!(format(firefox), Format::Html);
        assert_eq!(format("*/*"), Format::Json);
        assert_eq!(format("application/json, text/html;q=0.5"), Format::Json);
        assert_eq!(format("text/plain"), Format::Text);
        assert_eq!(Format::of(&HeaderMap::new()), Format::Json);
    }
}
