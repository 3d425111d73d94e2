//! Connections to endpoints for the pool: through the dialer, with a deadline. A failure is remembered even if the
//! client that caused the attempt did not wait for it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use super::cooling::Cooling;
use crate::dialer::Dialer;

/// How long what was sent may stay without a sign that it arrived. A pooled connection to a machine that is gone would
/// otherwise take a request and keep it to its deadline.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(3);

/// Connects to the address in an URI.
#[derive(Clone)]
pub(super) struct Connector {
    dialer: Arc<dyn Dialer>,
    deadline: Duration,
    cooling: Arc<Cooling>,
}

impl Connector {
    pub(super) fn new(dialer: Arc<dyn Dialer>, deadline: Duration, cooling: Arc<Cooling>) -> Connector {
        Connector { dialer, deadline, cooling }
    }

    async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        let patience = self.cooling.patience(address, self.deadline);
        let outcome = match tokio::time::timeout(patience, self.dialer.connect(address)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        outcome.inspect_err(|error| self.cooling.failed(address, error))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "the endpoint is not an address");
            let address: SocketAddr =
                uri.authority().and_then(|authority| authority.as_str().parse().ok()).ok_or_else(invalid)?;
            let stream = tokio::spawn(connector.connect(address)).await.map_err(io::Error::other)??;
            stream.set_nodelay(true)?;
            #[cfg(target_os = "linux")]
            rustix::net::sockopt::set_tcp_user_timeout(&stream, SILENCE.as_millis() as u32)?;
            Ok(TokioIo::new(stream))
        })
    }
}
