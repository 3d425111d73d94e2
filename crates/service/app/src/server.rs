//! The socket's life: listen, load the model, serve, take new models in, drain.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use galley_ml::{CONTRACT_FILE, Classifier, MODEL_FILE, ModelError, OnnxClassifier, Photo};
use galley_problem::{Kind, Problem};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::feedback::FeedbackError;
use crate::routes;
use crate::state::State;

/// Why the server ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model does not load.
    #[error("the model in {} does not load", folder.display())]
    Model {
        /// The model's folder.
        folder: std::path::PathBuf,
        /// Why.
        #[source]
        source: Box<ModelError>,
    },
    /// The folder for feedback cannot be used.
    #[error("the folder for feedback cannot be used")]
    Feedback(#[source] FeedbackError),
    /// Loading broke off.
    #[error("loading the model broke off")]
    Load,
    /// The socket failed.
    #[error("could not serve")]
    Serve(#[source] std::io::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Model { source, .. } => Problem::from(*source),
            Error::Feedback(source) => Problem::from(source),
            Error::Load => Problem::new("G0710", Kind::Internal, "Loading the model broke off.")
                .try_this("Start again; if it happens again, this build of the program is broken."),
            Error::Serve(_) => Problem::new("G0717", Kind::Io, "The application cannot serve on its socket.")
                .because(&error)
                .try_this("Start again, if need be on another port."),
        }
    }
}

/// The application with a model that is loaded already.
///
/// # Errors
/// [`Error::Feedback`].
pub fn app_with(config: Config, model: Arc<dyn Classifier>) -> Result<Router, Error> {
    let state = State::new(config).map_err(Error::Feedback)?;
    state.set_model(model);
    Ok(routes::router(state))
}

/// The application with the model in `config.model_dir`. Blocks while it loads, well below a second.
///
/// # Errors
/// [`Error::Model`], [`Error::Feedback`].
pub fn app(config: Config) -> Result<Router, Error> {
    let model = load(&config)?;
    app_with(config, model)
}

/// Serves on `listener` until `shutdown`. Answers at once, and says that it is ready when the model has loaded.
///
/// # Errors
/// [`Error`], if the model does not load or the socket fails.
pub async fn serve(config: Config, listener: TcpListener, shutdown: CancellationToken) -> Result<(), Error> {
    let state = State::new(config).map_err(Error::Feedback)?;
    let drain = state.config.drain();
    // A child, so that a model that does not load ends the server and nothing else.
    let stop = shutdown.child_token();
    let stopping = stop.clone();
    let server = axum::serve(listener, routes::router(state.clone()))
        .with_graceful_shutdown(async move { stopping.cancelled().await })
        .into_future();
    tokio::pin!(server);
    let loading = load_into(state.clone());
    tokio::pin!(loading);
    let watching = watch(state);
    tokio::pin!(watching);

    let loaded = tokio::select! {
        served = &mut server => return served.map_err(Error::Serve),
        loaded = &mut loading => loaded,
        () = stop.cancelled() => Ok(()),
    };
    if loaded.is_err() {
        stop.cancel();
    }
    tokio::select! {
        served = &mut server => served.map_err(Error::Serve)?,
        () = &mut watching => {}
        () = async { stop.cancelled().await; tokio::time::sleep(drain).await } => {
            tracing::warn!("requests were still open when the time to finish them ended");
        }
    }
    loaded
}

async fn load_into(state: Arc<State>) -> Result<(), Error> {
    let config = state.config.clone();
    let model = tokio::task::spawn_blocking(move || load(&config)).await.map_err(|_| Error::Load)??;
    state.set_model(model);
    tracing::info!(version = state.version(), "the model is ready");
    Ok(())
}

/// Looks for a new model from time to time and puts it in the place of the old one; never ends. A model that does not
/// load leaves the old one where it is.
async fn watch(state: Arc<State>) {
    let every = std::time::Duration::from_secs(state.config.reload_seconds);
    if every.is_zero() {
        return std::future::pending().await;
    }
    let mut known = mark(&state.config.model_dir).await;
    loop {
        tokio::time::sleep(every).await;
        let now = mark(&state.config.model_dir).await;
        if now == known || now.is_empty() {
            continue;
        }
        match load_into(state.clone()).await {
            Ok(()) => known = now,
            // Often it is only half written; the next look tells.
            Err(error) => {
                state.metrics.model_refused();
                tracing::warn!(%error, "a new model was found and did not load; the former one stays");
            }
        }
    }
}

/// What tells a new model from the old one: size and time of its files.
async fn mark(model: &Path) -> Vec<(u64, Option<std::time::SystemTime>)> {
    let mut marks = Vec::new();
    for path in [model.to_owned(), model.join(MODEL_FILE), model.join(CONTRACT_FILE)] {
        if let Ok(meta) = tokio::fs::metadata(&path).await
            && meta.is_file()
        {
            marks.push((meta.len(), meta.modified().ok()));
        }
    }
    marks
}

/// Loads a model and lets it answer once, so that the first visitor does not pay for what is done only once.
fn load(config: &Config) -> Result<Arc<dyn Classifier>, Error> {
    let wrong = |source| Error::Model { folder: config.model_dir.clone(), source: Box::new(source) };
    let model = OnnxClassifier::open(&config.model_dir).map_err(wrong)?;
    model.classify(&Photo::sample()).map_err(|error| {
        let path = config.model_dir.clone();
        wrong(ModelError::Graph { path, reason: error.to_string() })
    })?;
    Ok(Arc::new(model))
}
