//! `galley serve`: GourmetGram alone, from a model folder or file.

use galley_problem::{Kind, Problem};
use tokio_util::sync::CancellationToken;

use crate::{Answer, cli::model::Serve};

/// Serves until interrupted.
///
/// # Errors
/// If the address is taken or the model does not load.
pub async fn run(args: Serve) -> Result<Answer, Problem> {
    let config = galley_app::Config {
        model_dir: args.model,
        workers: args.workers,
        queue: args.queue,
        reload_seconds: if args.no_reload { 0 } else { 2 },
        feedback_dir: (!args.no_feedback).then_some(args.feedback),
        feedback_bytes: args.feedback_limit.saturating_mul(1 << 20),
        ..Default::default()
    };
    listen(config, args.listen).await
}

/// Binds and serves.
///
/// # Errors
/// As [`run`].
pub async fn listen(config: galley_app::Config, address: std::net::SocketAddr) -> Result<Answer, Problem> {
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| {
        Problem::new("G0111", Kind::Unavailable, format!("Cannot listen on {address}.")).because(&error)
    })?;
    let stop = CancellationToken::new();
    let signal = stop.clone();
    let watching = tokio::spawn(async move {
        crate::up::interrupted().await;
        signal.cancel();
    });
    let outcome = galley_app::serve(config, listener, stop).await.map_err(Problem::from);
    watching.abort();
    outcome.map(|()| Answer::Yes)
}
