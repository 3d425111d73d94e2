//! Copies of requests: sent when the original is through, bounded in size, number and time, answers thrown away.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::Frame;
use tokio::sync::oneshot;

use super::Proxy;
use super::body::{AnyBody, BoxError, Lent, Tee};
use super::filters;
use crate::table::Rule;

/// Deadline for a copy and its answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Largest answer that is read so that the connection can be used again.
const ANSWER_LIMIT: usize = 1 << 20;
/// Tells the backend that nobody waits for its answer.
pub(super) const MIRRORED: HeaderName = HeaderName::from_static("x-galley-mirror");

impl Proxy {
    /// Arranges the copies of a request, whose head is complete but for the backend's own changes, and gives the body
    /// to send on.
    pub(super) fn mirror(&self, rule: &Rule, parts: &Parts, mut body: AnyBody) -> AnyBody {
        let inner = &self.inner;
        for mirror in &rule.mirrors {
            if inner.dice.roll(mirror.out_of) >= mirror.share {
                continue;
            }
            let name = &mirror.backend.name;
            let Some(address) = inner.cooling.order(mirror.backend.in_turn()).into_iter().next() else {
                inner.metrics.mirror(&rule.route, name, "no_endpoint");
                continue;
            };
            let Ok(permit) = std::sync::Arc::clone(&inner.mirrors).try_acquire_owned() else {
                inner.metrics.mirror(&rule.route, name, "dropped");
                continue;
            };
            let (tee, copy) = Tee::new(body, inner.config.max_mirror_bytes);
            body = tee.boxed_unsync();
            let mut parts = parts.clone();
            filters::change(&mut parts.headers, &mirror.backend.request_headers);
            parts.headers.insert(MIRRORED, HeaderValue::from_static("true"));
            let (proxy, route, name) = (self.clone(), rule.route.clone(), name.clone());
            inner.tasks.spawn(async move {
                let _permit = permit;
                let end = proxy.inner.end.clone();
                let sent = tokio::time::timeout(DEADLINE, proxy.send_copy(address, parts, copy));
                let outcome = tokio::select! {
                    outcome = sent => outcome.unwrap_or("timeout"),
                    () = end.cancelled() => "dropped",
                };
                proxy.inner.metrics.mirror(&route, &name, outcome);
            });
        }
        body
    }

    async fn send_copy(
        &self,
        address: std::net::SocketAddr,
        mut parts: Parts,
        copy: oneshot::Receiver<Vec<Bytes>>,
    ) -> &'static str {
        // No copy comes if the original was too large, or was never read to its end.
        let Ok(pieces) = copy.await else { return "no_copy" };
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let Ok(uri) = format!("http://{address}{path}").parse::<Uri>() else { return "failed" };
        parts.uri = uri;
        let length: usize = pieces.iter().map(Bytes::len).sum();
        parts.headers.remove(http::header::TRANSFER_ENCODING);
        if length > 0 {
            parts.headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let frames = pieces.into_iter().map(|piece| Ok::<_, BoxError>(Frame::data(piece)));
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let body = if length == 0 { super::body::empty() } else { body };
        match self.inner.client.request(Request::from_parts(parts, Lent::new(body))).await {
            Ok(response) => {
                let status = response.status();
                let _ = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
                if status < StatusCode::INTERNAL_SERVER_ERROR { "answered" } else { "error" }
            }
            Err(_) => "failed",
        }
    }
}
