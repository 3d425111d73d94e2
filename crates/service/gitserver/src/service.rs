//! The routes, who may push, and the news of pushes.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::Engine as _;
use galley_git::{Repo, bare::Quarantine};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast},
    time::Instant,
};

use crate::{
    Config,
    advertise::{Program, Version},
    exchange::{self, ExchangeError},
    page,
};

/// Says whether a token allows pushing.
pub type Verify = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What the service is given.
pub struct Deps {
    /// Says whether a token allows pushing.
    pub verify: Verify,
}

/// Why the service cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of repositories cannot be made.
    #[error("making the folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A reference that a push has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The repository, as in `pipeline.git`.
    pub repository: String,
    /// The reference, as in `refs/heads/main`.
    pub reference: String,
    /// The commit before, if there was one.
    pub old: Option<String>,
    /// The commit now, unless the reference is gone.
    pub new: Option<String>,
}

/// News kept for a slow listener; it then learns that it missed some and should look for itself.
const NEWS: usize = 256;
/// How long a request waits for a place.
const WAIT: Duration = Duration::from_secs(10);

/// The git server.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    config: Config,
    verify: Verify,
    pushes: broadcast::Sender<Push>,
    places: Arc<Semaphore>,
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Service {
    /// Prepares the service; the folder of repositories is made if it is absent. Pushes that were cut short when the
    /// last process ended are cleared away: there is one server for a folder.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn new(config: Config, deps: Deps) -> Result<Self, Error> {
        std::fs::create_dir_all(&config.folder)
            .map_err(|source| Error::Folder { path: config.folder.clone(), source })?;
        let places = Arc::new(Semaphore::new(config.concurrency.max(1)));
        let (pushes, _) = broadcast::channel(NEWS);
        let locks = Mutex::new(HashMap::new());
        let service = Service(Arc::new(Inner { config, verify: deps.verify, pushes, places, locks }));
        for (name, path) in service.names().iter().filter_map(|name| service.find(name).ok()) {
            if let Err(error) = Quarantine::sweep(&path) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(repository = %name, error, "what a push left could not be cleared away");
            }
        }
        Ok(service)
    }

    /// News of every reference that a push changes, from now on.
    pub fn pushes(&self) -> broadcast::Receiver<Push> {
        self.0.pushes.subscribe()
    }

    /// The routes: `/` for people, `/<name>.git/...` for git.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/", get(index))
            .route("/{repository}/info/refs", get(info_refs))
            .route("/{repository}/git-upload-pack", post(upload_pack))
            .route("/{repository}/git-receive-pack", post(receive_pack))
            .with_state(self.clone())
    }

    fn until(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.0.config.deadline_seconds)
    }

    /// Reading is open, or needs the token as pushing does.
    fn check_reader(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.0.config.anonymous_reads { Ok(()) } else { self.check_token(headers) }
    }

    /// The repository of that name, with or without `.git`.
    fn find(&self, name: &str) -> Result<(String, PathBuf), Refusal> {
        let plain = name.strip_suffix(".git").unwrap_or(name);
        let fine = !plain.is_empty()
            && !plain.starts_with('.')
            && plain.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let name = format!("{plain}.git");
        let path = self.0.config.folder.join(&name);
        if fine && path.join("HEAD").is_file() { Ok((name, path)) } else { Err(Refusal::Absent) }
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        match tokio::time::timeout(WAIT, self.0.places.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Refusal::Busy),
        }
    }

    fn lock(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.locks.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        locks.entry(name.to_owned()).or_default().clone()
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let value = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let (scheme, rest) = value.split_once(' ').unwrap_or_default();
        let token = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(rest.trim().to_owned()),
            "basic" => self.basic(rest.trim()),
            _ => None,
        };
        match token {
            Some(token) if (self.0.verify)(&token) => Ok(()),
            _ => Err(Refusal::Token),
        }
    }

    fn basic(&self, encoded: &str) -> Option<String> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (user, token) = text.split_once(':')?;
        (user == self.0.config.user).then(|| token.to_owned())
    }
}

/// Why a request is not served.
#[derive(Debug)]
enum Refusal {
    Absent,
    Busy,
    Token,
    Service,
    Exchange(ExchangeError),
}

impl From<ExchangeError> for Refusal {
    fn from(error: ExchangeError) -> Self {
        Refusal::Exchange(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Refusal::Absent => (StatusCode::NOT_FOUND, "There is no such repository.\n".to_owned()),
            Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Too many exchanges; try again.\n".to_owned()),
            Refusal::Token => (StatusCode::UNAUTHORIZED, "This needs the token.\n".to_owned()),
            Refusal::Service => (StatusCode::FORBIDDEN, "Only smart HTTP is served.\n".to_owned()),
            Refusal::Exchange(ExchangeError::Body(error)) => {
                (StatusCode::PAYLOAD_TOO_LARGE, format!("{error}\n"))
            }
            Refusal::Exchange(ExchangeError::Odd(error)) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
            Refusal::Exchange(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a git exchange failed");
                (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
            }
        };
        let mut response = (status, text).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"galley\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[derive(Deserialize)]
struct Asked {
    service: Option<String>,
}

async fn info_refs(
    State(service): State<Service>,
    Path(repository): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let program = asked.service.as_deref().and_then(Program::parse).ok_or(Refusal::Service)?;
    match program {
        Program::ReceivePack => service.check_token(&headers)?,
        Program::UploadPack => service.check_reader(&headers)?,
    }
    let (_, path) = service.find(&repository)?;
    let _place = service.place().await?;
    let answer = exchange::advertise(program, path, Version::of(&headers), service.until()).await?;
    Ok(answered(&format!("application/x-git-{}-advertisement", program.name()), Body::from(answer)))
}

async fn upload_pack(
    State(service): State<Service>,
    Path(repository): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    service.check_reader(&headers)?;
    let (_, path) = service.find(&repository)?;
    let place = service.place().await?;
    let answer = exchange::fetch(path, &headers, body, place, service.until()).await?;
    Ok(answered("application/x-git-upload-pack-result", answer))
}

async fn receive_pack(
    State(service): State<Service>,
    Path(repository): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    service.check_token(&headers)?;
    let (name, path) = service.find(&repository)?;
    let place = service.place().await?;
    // On a task of its own: a client that goes away must not keep the news of what it changed from being told.
    let push = tokio::spawn(async move {
        let _place = place;
        service.receive(name, path, headers, body).await
    });
    let report = push.await.map_err(|_| Refusal::Busy)??;
    Ok(answered("application/x-git-receive-pack-result", Body::from(report)))
}

impl Service {
    async fn receive(
        &self,
        name: String,
        path: PathBuf,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Vec<u8>, ExchangeError> {
        let (lock, bytes) = (self.lock(&name), self.0.config.push_bytes);
        let push = exchange::Push { repository: path, lock, bytes, until: self.until() };
        let news = self.0.pushes.clone();
        let told = move |(reference, old, new): crate::receive::Changed| {
            let id = |id: Option<galley_git::bare::ObjectId>| id.map(|id| id.to_string());
            let push = Push { repository: name.clone(), reference, old: id(old), new: id(new) };
            tracing::info!(repository = %push.repository, reference = %push.reference, new = ?push.new, "pushed");
            // No listener is no fault.
            let _ = news.send(push);
        };
        push.take(&headers, body, told).await
    }
}

fn answered(kind: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0, must-revalidate"));
    response
}

async fn index(State(service): State<Service>, headers: HeaderMap) -> Result<Response, Refusal> {
    service.check_reader(&headers)?;
    let _place = service.place().await?;
    let mut shown = Vec::new();
    for name in service.names() {
        if let Ok((name, path)) = service.find(&name)
            && let Ok(repo) = Repo::init_or_open(path).await
        {
            shown.push(page::look(name, &repo).await);
        }
    }
    let host = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or("localhost");
    Ok(axum::response::Html(page::render(host, &shown)).into_response())
}

impl Service {
    /// The repositories of the folder, at most a hundred.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0.config.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".git")).take(100).collect();
        names.sort();
        names
    }
}
