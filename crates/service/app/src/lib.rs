//! GourmetGram, the web application: shows the model to people and to programs.
//!
//! The listener is up at once and `/readyz` says when the model is loaded and warm. Predictions use a bounded number of
//! processor cores and a bounded queue; what does not fit is refused with 503 at once rather than late. Uploads are
//! hostile: limited in bytes while they arrive and in pixels before they are decoded. Nothing is kept.
//!
//! | module | holds |
//! |---|---|
//! | `config` | settings |
//! | `model` | the model, its queue and its deadline |
//! | `upload` | the photo in a request |
//! | `answer` | predictions and refusals, as JSON or as a page |
//! | `routes` | the routes |
//! | `metrics` | what Prometheus reads |

mod answer;
mod config;
mod metrics;
mod model;
mod routes;
mod upload;

use std::{sync::Arc, time::Duration};

use galley_problem::{Kind, Problem};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use config::Config;

/// Requests under way have this long when the server stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the application cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model folder is not usable.
    #[error("loading the model")]
    Model(#[from] galley_ml::ModelError),
    /// The model was loaded and cannot classify its own sample.
    #[error("the model cannot classify")]
    Warm(#[source] galley_ml::ExtractorError),
    /// The socket failed.
    #[error("serving")]
    Serve(#[source] std::io::Error),
    /// The task that loads the model was lost.
    #[error("the loading of the model was interrupted")]
    Interrupted,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let problem = match &error {
            Error::Model(_) | Error::Warm(_) => {
                Problem::new("G0720", Kind::Invalid, "The model cannot be served.")
                    .try_this("A model folder holds `model.onnx` and its `contract.json`, as `galley model train` writes them.")
            }
            Error::Serve(_) | Error::Interrupted => {
                Problem::new("G0721", Kind::Io, "The application can no longer serve.")
                    .try_this("Start it again.")
            }
        };
        problem.because(&error)
    }
}

/// Serves the application until cancelled.
///
/// # Errors
/// [`Error`] if the model cannot be loaded, or the socket fails.
pub async fn serve(config: Config, listener: TcpListener, shutdown: CancellationToken) -> Result<(), Error> {
    let state = Arc::new(routes::State::new(&config));
    let loading = {
        let (state, folder) = (Arc::clone(&state), config.model_dir.clone());
        tokio::task::spawn_blocking(move || state.model.load(&folder))
    };
    let stop = shutdown.clone();
    let server = axum::serve(listener, routes::router(Arc::clone(&state)))
        .with_graceful_shutdown(async move { stop.cancelled().await });
    let serving = async { server.await.map_err(Error::Serve) };
    let loaded = async {
        match loading.await {
            Ok(Ok(())) => std::future::pending().await,
            Ok(Err(error)) => error,
            Err(_) => Error::Interrupted,
        }
    };
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = serving => ended,
        error = loaded => Err(error),
        () = late => Ok(()),
    }
}
