//! Pages and assets. There is nothing but GET.

use std::time::Duration;

use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    middleware,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use tokio::time::timeout;

use crate::{
    guard, live,
    render::{ApplicationBody, Frame, HomeBody, MissingBody, ReleaseBody, WorkflowBody},
    service::{Parts, Shared},
    view,
};

/// How long the first request waits for the first lists.
const FIRST_LISTS: Duration = Duration::from_secs(3);
/// Longest name of an object in an address.
const MAX_NAME: usize = 253;

/// All routes.
pub(crate) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/releases/{name}", get(release))
        .route("/workflows/{namespace}/{name}", get(workflow))
        .route("/applications/{name}", get(application))
        .route("/events", get(live::events))
        .route("/health", get(|| async { "OK" }))
        .route(
            "/assets/style.css",
            get(|| asset("text/css; charset=utf-8", include_str!("../assets/style.css"))),
        )
        .route(
            "/assets/live.js",
            get(|| asset("text/javascript; charset=utf-8", include_str!("../assets/live.js"))),
        )
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", include_str!("../assets/icon.svg"))))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared)
}

async fn asset(kind: &'static str, content: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content)
}

/// What a page is about; also the address that a stream follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// `/`
    Home,
    /// `/releases/NAME`
    Release(String),
    /// `/workflows/NAMESPACE/NAME`
    Workflow(String, String),
    /// `/applications/NAME`
    Application(String),
}

impl Page {
    /// The page at an address.
    pub(crate) fn at(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.iter().any(|part| part.len() > MAX_NAME) {
            return None;
        }
        match parts.as_slice() {
            [] => Some(Page::Home),
            ["releases", name] => Some(Page::Release((*name).to_owned())),
            ["workflows", namespace, name] => {
                Some(Page::Workflow((*namespace).to_owned(), (*name).to_owned()))
            }
            ["applications", name] => Some(Page::Application((*name).to_owned())),
            _ => None,
        }
    }

    fn title(&self) -> &str {
        match self {
            Page::Home => "Overview",
            Page::Release(name) | Page::Workflow(_, name) | Page::Application(name) => name,
        }
    }

    /// Renders the page's body; `false` if its object does not exist.
    pub(crate) fn body(&self, parts: &Parts) -> (bool, String) {
        let (snapshot, now) = (parts.snapshot(), parts.now());
        let rendered = match self {
            Page::Home => Some(HomeBody { home: &view::home(&snapshot, &parts.links, now) }.render()),
            Page::Release(name) => {
                view::release(&snapshot, name, now).map(|page| ReleaseBody { page: &page }.render())
            }
            Page::Workflow(namespace, name) => view::workflow(&snapshot, namespace, name, now)
                .map(|page| WorkflowBody { page: &page }.render()),
            Page::Application(name) => {
                view::application(&snapshot, name, now).map(|page| ApplicationBody { page: &page }.render())
            }
        };
        let exists = rendered.is_some();
        let rendered = rendered.unwrap_or_else(|| MissingBody { what: self.title() }.render());
        // Writing into a string does not fail.
        (exists, rendered.unwrap_or_else(|error| format!("<p>This page cannot be shown: {error}</p>")))
    }
}

async fn home(State(shared): State<Shared>) -> Response {
    show(&shared, Page::Home).await
}

async fn release(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    show(&shared, Page::Release(name)).await
}

async fn workflow(State(shared): State<Shared>, Path((namespace, name)): Path<(String, String)>) -> Response {
    show(&shared, Page::Workflow(namespace, name)).await
}

async fn application(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    show(&shared, Page::Application(name)).await
}

async fn show(shared: &Shared, page: Page) -> Response {
    listed(shared).await;
    let (exists, body) = page.body(shared);
    let status = if exists { StatusCode::OK } else { StatusCode::NOT_FOUND };
    framed(shared, status, page.title(), &body)
}

/// Waits a moment for the first lists; later requests never wait.
async fn listed(shared: &Shared) {
    let mut changes = shared.watches.follow();
    let complete = async {
        while !shared.watches.is_complete() {
            if changes.changed().await.is_err() {
                break;
            }
        }
    };
    // After the deadline the page says what is missing.
    let _ = timeout(FIRST_LISTS, complete).await;
}

async fn nothing(State(shared): State<Shared>) -> Response {
    let body = MissingBody { what: "This address" }.render().unwrap_or_default();
    framed(&shared, StatusCode::NOT_FOUND, "Not found", &body)
}

fn framed(shared: &Shared, status: StatusCode, title: &str, body: &str) -> Response {
    let frame = Frame { site: &shared.title, title, links: &shared.links, body };
    match frame.render() {
        Ok(page) => (status, Html(page)).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_pages() {
        assert_eq!(Page::at("/"), Some(Page::Home));
        assert_eq!(Page::at("/workflows/ns/w"), Some(Page::Workflow("ns".into(), "w".into())));
        for path in ["/workflows/w", "/assets/style.css", &format!("/releases/{}", "x".repeat(254))] {
            assert_eq!(Page::at(path), None, "{path}");
        }
    }
}
