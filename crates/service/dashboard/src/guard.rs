//! What holds for every request and every answer.
//!
//! A name that is not ours in the `Host` header means that a page of another site reaches in through its own name
//! (DNS rebinding); such requests are refused. Answers forbid everything that the pages do not need.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::service::Shared;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Refuses foreign names and adds the headers.
pub(crate) async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = if is_ours(request.headers(), &shared.hosts) {
        next.run(request).await
    } else {
        let told =
            "This dashboard is not known by that name. Add the name to `hosts` in its configuration.\n";
        (StatusCode::MISDIRECTED_REQUEST, told).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn is_ours(headers: &HeaderMap, hosts: &[String]) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
    name.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || [".localhost", ".svc", ".svc.cluster.local"].iter().any(|end| name.ends_with(end))
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(&name))
}

fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_answered() {
        let ours = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).expect("a header"));
            is_ours(&headers, &["galley.example.org".into()])
        };
        for host in [
            "127.0.0.1:8870",
            "[::1]:8870",
            "localhost",
            "x.localhost:1",
            "galley.example.org:443",
            "dashboard.gourmetgram-platform.svc.cluster.local",
        ] {
            assert!(ours(host), "{host}");
        }
        for host in ["evil.example:8870", "localhost.evil.example", "svc.cluster.local.evil.example"] {
            assert!(!ours(host), "{host}");
        }
    }
}
