//! Connections that become something else (WebSocket): after the handshake, bytes go both ways untouched.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::Proxy;

/// Whether a request asks for another protocol.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let named = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    named && headers.contains_key(UPGRADE)
}

impl Proxy {
    /// If the endpoint agreed, joins both connections once the client has the answer.
    pub(super) fn join_upgraded(&self, client: OnUpgrade, response: &mut Response<Incoming>) {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let endpoint = hyper::upgrade::on(response);
        let end = self.inner.end.clone();
        self.inner.tasks.spawn(async move {
            let joined = async {
                let (client, endpoint) = tokio::try_join!(client, endpoint)?;
                let (mut client, mut endpoint) = (TokioIo::new(client), TokioIo::new(endpoint));
                tokio::io::copy_bidirectional(&mut client, &mut endpoint).await?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            };
            tokio::select! {
                outcome = joined => {
                    if let Err(error) = outcome {
                        tracing::debug!(error, "an upgraded connection broke off");
                    }
                }
                () = end.cancelled() => {}
            }
        });
    }
}
