//! The door for everybody else: HTTPS with bearer tokens.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::header;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{Error, ServerTls, TokenAuthority, status::ApiError};

/// Connections at a time; more wait in the kernel's queue.
const CONNECTIONS: usize = 1024;
/// A client that has not finished its TLS handshake or its request's head by then is dropped.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is under way at the end gets this long.
const DRAIN: Duration = Duration::from_secs(5);
/// Failures of `accept` in a row after which the socket counts as broken; each is followed by a pause.
const FAILURES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// Pages that anybody may see.
const OPEN: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

#[derive(Clone)]
struct Door {
    tokens: TokenAuthority,
    closing: CancellationToken,
}

/// Lets in who has a token.
async fn admit(door: Door, mut request: Request, next: Next) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    match token.and_then(|token| door.tokens.verify(token)) {
        Some(mut user) => {
            user.closing = door.closing.clone();
            // Nothing behind the door can log what it does not have.
            request.headers_mut().remove(header::AUTHORIZATION);
            request.extensions_mut().insert(user);
            next.run(request).await
        }
        None => ApiError::unauthorized().into_response(),
    }
}

/// Serves until cancelled, then lets what is under way end.
pub(crate) async fn serve(
    router: Router,
    listener: TcpListener,
    tls: ServerTls,
    tokens: TokenAuthority,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let door = Door { tokens, closing: shutdown.clone() };
    let router = router.layer(middleware::from_fn(move |request, next| admit(door.clone(), request, next)));
    let acceptor = TlsAcceptor::from(tls.0);
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut failures = 0;
    let outcome = loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { break Ok(()) };
        // Ended connections leave the set, so that it does not grow.
        while connections.try_join_next().is_some() {}
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    failures = 0;
                    stream
                }
                Err(error) if failures >= FAILURES => break Err(Error::Accept(error)),
                Err(error) => {
                    failures += 1;
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = shutdown.cancelled() => break Ok(()),
        };
        let (acceptor, router) = (acceptor.clone(), router.clone());
        let watcher = graceful.watcher();
        connections.spawn(async move {
            let _permit = permit;
            let _ = stream.set_nodelay(true);
            let stream = match timeout(PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => return tracing::debug!("a TLS handshake took too long"),
            };
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            builder
                .http2()
                .timer(TokioTimer::new())
                .keep_alive_interval(Duration::from_secs(30))
                .max_concurrent_streams(256);
            let service = TowerToHyperService::new(router);
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(error = %error, "a connection ended early");
            }
        });
    };
    drop(listener);
    if timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::debug!("connections were still open at the end");
    }
    connections.shutdown().await;
    outcome
}
