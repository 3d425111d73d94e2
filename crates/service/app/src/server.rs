//! The socket's life: listen, load the model, serve, drain.

use std::sync::Arc;

use axum::Router;
use galley_ml::{Classifier, ModelError, OnnxClassifier};
use galley_problem::{Kind, Problem};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
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
            Error::Load => Problem::new("G0710", Kind::Internal, "Loading the model broke off.")
                .try_this("Start again; if it happens again, this build of the program is broken."),
            Error::Serve(_) => Problem::new("G0717", Kind::Io, "The application cannot serve on its socket.")
                .because(&error)
                .try_this("Start again, if need be on another port."),
        }
    }
}

/// The application with a model that is loaded already.
pub fn app_with(config: Config, model: Arc<dyn Classifier>) -> Router {
    let state = State::new(config);
    state.set_model(model);
    routes::router(state)
}

/// The application with the model in `config.model_dir`. Blocks while it loads, well below a second.
///
/// # Errors
/// [`Error::Model`].
pub fn app(config: Config) -> Result<Router, Error> {
    let model = load(&config)?;
    Ok(app_with(config, model))
}

/// Serves on `listener` until `shutdown`. Answers at once, and says that it is ready when the model has loaded.
///
/// # Errors
/// [`Error`], if the model does not load or the socket fails.
pub async fn serve(config: Config, listener: TcpListener, shutdown: CancellationToken) -> Result<(), Error> {
    let state = State::new(config);
    let drain = state.config.drain();
    // A child, so that a model that does not load ends the server and nothing else.
    let stop = shutdown.child_token();
    let stopping = stop.clone();
    let server = axum::serve(listener, routes::router(state.clone()))
        .with_graceful_shutdown(async move { stopping.cancelled().await })
        .into_future();
    tokio::pin!(server);
    let loading = load_into(state);
    tokio::pin!(loading);

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

fn load(config: &Config) -> Result<Arc<dyn Classifier>, Error> {
    match OnnxClassifier::load(&config.model_dir) {
        Ok(model) => Ok(Arc::new(model)),
        Err(source) => Err(Error::Model { folder: config.model_dir.clone(), source: Box::new(source) }),
    }
}
