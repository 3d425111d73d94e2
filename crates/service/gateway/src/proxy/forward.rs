//! One request: looked up, changed, sent to an endpoint, answered.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::body::{AnyBody, Idle, Lent, text};
use super::cooling::is_silence;
use super::{Proxy, filters, upgrade};
use crate::table::{Backend, Entry, Query, Rule, Table, host_name};

/// Header by which people can see where a request went.
const BACKEND: HeaderName = HeaderName::from_static("x-galley-backend");

/// How long a request whose endpoints all failed waits for a newer table.
const NEXT_TABLE: Duration = Duration::from_millis(250);

/// How an attempt ended without a response.
enum Failure {
    /// The connection could not be made: nothing was sent.
    Connect,
    /// The connection broke, or what came back was not HTTP.
    Broken,
    /// The deadline passed.
    Deadline,
}

impl Failure {
    /// Whether the request may be sent once more: nothing was sent, or sending it twice does no harm.
    fn allows_another(&self, parts: &Parts, body: &Lent) -> bool {
        match self {
            Failure::Connect => body.is_whole(),
            Failure::Broken => parts.method.is_idempotent() && body.is_empty(),
            Failure::Deadline => false,
        }
    }
}

impl Proxy {
    /// Answers one request that came in by `port` from `peer`.
    pub(super) async fn handle(
        &self,
        port: u16,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Response<AnyBody> {
        let start = Instant::now();
        let table = self.inner.table.load_full();
        let (mut parts, body) = request.into_parts();
        if parts.headers.get(HOST).is_none()
            && let Some(host) = parts.uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok())
        {
            parts.headers.insert(HOST, host);
        }
        let (route, backend, response) = match find(&table, port, &parts) {
            None => (
                String::new(),
                String::new(),
                plain(StatusCode::NOT_FOUND, "No route matches this request.\n"),
            ),
            Some(entry) => {
                let (backend, response) = self.follow(port, peer, entry, parts, body, start).await;
                (entry.rule.route.clone(), backend, response)
            }
        };
        self.inner.metrics.request(&route, &backend, response.status().as_u16(), start.elapsed());
        response
    }

    /// Does what a rule says; gives the name of the backend that was drawn, and the response.
    async fn follow(
        &self,
        port: u16,
        peer: IpAddr,
        entry: &Entry,
        mut parts: Parts,
        body: Incoming,
        start: Instant,
    ) -> (String, Response<AnyBody>) {
        let rule = &entry.rule;
        if let Some(to) = &rule.redirect {
            return (String::new(), filters::redirect(&parts, to, &entry.path));
        }
        let backend = match rule.draw(|sides| self.inner.dice.roll(sides)) {
            Ok(backend) => backend,
            Err(status) => return (String::new(), plain(status, "No backend can take this request.\n")),
        };
        let upgrading = upgrade::is_asked_for(&parts.headers) && parts.version == Version::HTTP_11;
        let on_upgrade = upgrading.then(|| parts.extensions.remove::<hyper::upgrade::OnUpgrade>()).flatten();
        // What the lookup saw, for a second one.
        let seen = parts.clone();
        filters::forwarded(&mut parts.headers, peer);
        filters::strip_hop_by_hop(&mut parts.headers, on_upgrade.is_some());
        filters::rewrite(&mut parts, entry);
        filters::change(&mut parts.headers, &rule.request_headers);
        let body = Idle::new(body, self.inner.config.idle()).boxed_unsync();
        let body = Lent::new(self.mirror(rule, &parts, body));
        let deadline =
            rule.request_timeout.unwrap_or(Some(self.inner.config.request())).map(|limit| start + limit);
        let mut backend = match rule.instead_of(backend) {
            Some(other) if self.inner.cooling.all_silent(&backend.endpoints) => other,
            _ => backend,
        };
        let mut outcome = self.attempts(rule, backend, &parts, &body, deadline).await;
        if let Err(failure) = &outcome
            && failure.allows_another(&parts, &body)
            && let Some(later) = self.again(port, &seen, backend, &parts, &body, deadline).await
        {
            outcome = later;
        }
        if let Err(Failure::Connect) = &outcome
            && body.is_whole()
            && let Some(other) = rule.instead_of(backend)
        {
            self.inner.metrics.retry(&rule.route, &other.name);
            backend = other;
            outcome = self.attempts(rule, backend, &parts, &body, deadline).await;
        }
        let mut response = match outcome {
            Ok(response) => response,
            Err(failure) => return (backend.name.clone(), self.give_up(&failure)),
        };
        if let Some(client) = on_upgrade {
            self.join_upgraded(client, &mut response);
        }
        (backend.name.clone(), self.finish(rule, backend, response))
    }

    /// Waits a moment for a table that has other endpoints for the same backend, and tries those.
    async fn again(
        &self,
        port: u16,
        seen: &Parts,
        backend: &Backend,
        parts: &Parts,
        body: &Lent,
        deadline: Option<Instant>,
    ) -> Option<Result<Response<Incoming>, Failure>> {
        let patience = Instant::now() + NEXT_TABLE;
        let patience = deadline.map_or(patience, |deadline| deadline.min(patience));
        let mut tables = self.inner.tables.subscribe();
        loop {
            tables.borrow_and_update();
            let table: Arc<Table> = self.inner.table.load_full();
            let entry = find(&table, port, seen)?;
            let moved = entry.rule.backends.iter().find(|other| other.name == backend.name)?;
            if moved.endpoints != backend.endpoints && !moved.endpoints.is_empty() {
                self.inner.metrics.retry(&entry.rule.route, &moved.name);
                return Some(self.attempts(&entry.rule, moved, parts, body, deadline).await);
            }
            tokio::time::timeout_at(patience, tables.changed()).await.ok()?.ok()?;
        }
    }

    async fn attempts(
        &self,
        rule: &Rule,
        backend: &Backend,
        parts: &Parts,
        body: &Lent,
        deadline: Option<Instant>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut changed = parts.clone();
        filters::change(&mut changed.headers, &backend.request_headers);
        let mut failure = Failure::Connect;
        let endpoints = self.inner.cooling.order(backend.in_turn());
        for (attempt, address) in endpoints.into_iter().take(self.inner.config.attempts.max(1)).enumerate() {
            if attempt > 0 {
                self.inner.metrics.retry(&rule.route, &backend.name);
            }
            let limit = match (deadline, rule.backend_timeout) {
                (Some(deadline), Some(limit)) => Some(deadline.min(Instant::now() + limit)),
                (Some(deadline), None) => Some(deadline),
                (None, Some(limit)) => Some(Instant::now() + limit),
                (None, None) => None,
            };
            failure = match self.attempt(address, &changed, body, limit).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            if !failure.allows_another(parts, body) {
                break;
            }
        }
        Err(failure)
    }

    async fn attempt(
        &self,
        address: SocketAddr,
        parts: &Parts,
        body: &Lent,
        limit: Option<Instant>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut head = parts.clone();
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        head.uri = format!("http://{address}{path}").parse::<Uri>().map_err(|_| Failure::Broken)?;
        head.version = Version::HTTP_11;
        let sent = self.inner.client.request(Request::from_parts(head, body.clone()));
        let outcome = match limit {
            Some(limit) => tokio::time::timeout_at(limit, sent).await.map_err(|_| Failure::Deadline)?,
            None => sent.await,
        };
        outcome.map_err(|error| {
            tracing::debug!(%address, error = &error as &dyn std::error::Error, "an endpoint did not answer");
            if error.is_connect() {
                return Failure::Connect;
            }
            if is_silence(&error) {
                self.inner.cooling.failed(address, &error);
            }
            Failure::Broken
        })
    }

    fn finish(&self, rule: &Rule, backend: &Backend, response: Response<Incoming>) -> Response<AnyBody> {
        let (mut parts, body) = response.into_parts();
        filters::strip_hop_by_hop(&mut parts.headers, parts.status == StatusCode::SWITCHING_PROTOCOLS);
        filters::change(&mut parts.headers, &rule.response_headers);
        filters::change(&mut parts.headers, &backend.response_headers);
        if let Ok(name) = HeaderValue::from_str(&backend.name) {
            parts.headers.insert(BACKEND, name);
        }
        parts.version = Version::HTTP_11;
        // The end of the endpoint's connection says nothing about the client's.
        let idle: Duration = self.inner.config.idle();
        Response::from_parts(parts, Idle::new(body, idle).boxed_unsync())
    }

    fn give_up(&self, failure: &Failure) -> Response<AnyBody> {
        match failure {
            Failure::Connect => {
                plain(StatusCode::BAD_GATEWAY, "No endpoint of the backend can be reached.\n")
            }
            Failure::Broken => plain(StatusCode::BAD_GATEWAY, "The endpoint broke off.\n"),
            Failure::Deadline => plain(StatusCode::GATEWAY_TIMEOUT, "The backend took too long.\n"),
        }
    }
}

fn find<'a>(table: &'a Table, port: u16, parts: &Parts) -> Option<&'a Entry> {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host_name(host);
    let method: &Method = &parts.method;
    table.lookup(
        port,
        &Query {
            host: &host,
            method,
            path: parts.uri.path(),
            query: parts.uri.query(),
            headers: &parts.headers,
        },
    )
}

/// An answer of the gateway's own.
fn plain(status: StatusCode, message: &'static str) -> Response<AnyBody> {
    let mut response = Response::new(text(message));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
