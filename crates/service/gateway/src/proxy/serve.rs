//! Connections from clients: accepted up to a limit, and given time to end at shutdown.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Proxy;

/// Deadline for the head of a request.
const HEAD_DEADLINE: Duration = Duration::from_secs(15);
/// Pause after an error of the system, which is most often too many open files.
const PAUSE: Duration = Duration::from_millis(100);

impl Proxy {
    /// Serves sockets, each named by the port that the table knows it by, until `shutdown`; then lets open requests end.
    pub async fn serve(&self, listeners: Vec<(u16, TcpListener)>, shutdown: CancellationToken) {
        let graceful = Arc::new(GracefulShutdown::new());
        let slots = Arc::new(Semaphore::new(self.inner.config.max_connections.max(1)));
        let accepting = listeners
            .into_iter()
            .map(|(port, listener)| self.accept(port, listener, &slots, &graceful, &shutdown));
        futures::future::join_all(accepting).await;
        // All others were borrowed by connections that are being served.
        let drained = async {
            if let Some(graceful) = Arc::into_inner(graceful) {
                graceful.shutdown().await;
            }
        };
        if tokio::time::timeout(self.inner.config.drain(), drained).await.is_err() {
            tracing::warn!("requests were still open when the time to drain was over");
        }
        self.inner.end.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    async fn accept(
        &self,
        port: u16,
        listener: TcpListener,
        slots: &Arc<Semaphore>,
        graceful: &Arc<GracefulShutdown>,
        shutdown: &CancellationToken,
    ) {
        loop {
            let accepted = async {
                let slot = Arc::clone(slots).acquire_owned().await;
                (slot, listener.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = shutdown.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => self.connection(port, stream, peer, slot.ok(), graceful),
                Err(error) => {
                    tracing::warn!(%error, port, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn connection(
        &self,
        port: u16,
        stream: TcpStream,
        peer: SocketAddr,
        slot: Option<tokio::sync::OwnedSemaphorePermit>,
        graceful: &Arc<GracefulShutdown>,
    ) {
        let proxy = self.clone();
        let watcher = graceful.watcher();
        let open = self.inner.metrics.connection();
        let end = self.inner.end.clone();
        self.inner.tasks.spawn(async move {
            let _ = stream.set_nodelay(true);
            let head = proxy.inner.config.max_head_bytes;
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_DEADLINE)
                .max_buf_size(head.max(8192))
                .http2()
                .timer(TokioTimer::new())
                .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
                .keep_alive_interval(Some(Duration::from_secs(30)));
            let service = service_fn(move |request| {
                let proxy = proxy.clone();
                async move { Ok::<_, Infallible>(proxy.handle(port, peer.ip(), request).await) }
            });
            let served = watcher
                .watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned());
            tokio::select! {
                outcome = served => {
                    if let Err(error) = outcome {
                        tracing::debug!(%peer, error, "a connection broke off");
                    }
                }
                () = end.cancelled() => {}
            }
            drop((slot, open));
        });
    }
}
