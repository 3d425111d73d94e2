//! How endpoints are reached: pods may live in a network that only somebody else can dial into.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::net::TcpStream;

/// Opens connections to endpoints.
#[async_trait]
pub trait Dialer: Send + Sync + 'static {
    /// Connects to an endpoint. The gateway sets the deadline.
    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// Dials from the host's own network.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostDialer;

#[async_trait]
impl Dialer for HostDialer {
    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}
