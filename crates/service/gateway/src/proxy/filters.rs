//! Changes on the way: headers, addresses, redirects.

use std::net::IpAddr;

use galley_gateway_types::{PathModifier, Redirect};
use http::header::{CONNECTION, HOST, LOCATION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri};

use super::body::{AnyBody, empty};
use crate::table::{Entry, HeaderChange, PathTest};

/// Headers that are between two neighbours only.
const HOP_BY_HOP: [&str; 7] = [
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];
/// Header with the client's address.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Header by which a request and its copy can be found again.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Removes headers that are for the neighbour only. With `upgrade`, those that ask for another protocol stay.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap, upgrade: bool) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != UPGRADE)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
    if upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(UPGRADE);
    }
}

/// Applies changes to headers.
pub(super) fn change(headers: &mut HeaderMap, change: &HeaderChange) {
    for name in &change.remove {
        headers.remove(name);
    }
    for (name, value) in &change.set {
        headers.insert(name.clone(), value.clone());
    }
    for (name, value) in &change.add {
        headers.append(name.clone(), value.clone());
    }
}

/// Says who asked, by what name, and how.
pub(super) fn forwarded(headers: &mut HeaderMap, peer: IpAddr) {
    let mut chain: Vec<&str> =
        headers.get_all(&FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let peer = peer.to_canonical().to_string();
    chain.push(&peer);
    if let Ok(value) = HeaderValue::try_from(chain.join(", ")) {
        headers.insert(FORWARDED_FOR, value);
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(host) = headers.get(HOST).cloned() {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
    if !headers.contains_key(&REQUEST_ID)
        && let Ok(id) = HeaderValue::try_from(galley_units::uuid())
    {
        headers.insert(REQUEST_ID, id);
    }
}

/// Applies the rule's changes to the request's address.
pub(super) fn rewrite(parts: &mut Parts, entry: &Entry) {
    let Some(rewrite) = &entry.rule.rewrite else { return };
    if let Some(host) = rewrite.hostname.as_deref().and_then(|host| HeaderValue::from_str(host).ok()) {
        parts.headers.insert(HOST, host);
    }
    if let Some(path) = &rewrite.path {
        let new = new_path(parts.uri.path(), path, &entry.path);
        let whole = match parts.uri.query() {
            Some(query) => format!("{new}?{query}"),
            None => new,
        };
        // A path that cannot be one leaves the address as it was.
        if let Ok(uri) = whole.parse::<Uri>() {
            parts.uri = uri;
        }
    }
}

/// The path after a change.
fn new_path(path: &str, modifier: &PathModifier, matched: &PathTest) -> String {
    match modifier.kind.as_str() {
        "ReplaceFullPath" => modifier.replace_full_path.clone().unwrap_or_else(|| "/".to_owned()),
        "ReplacePrefixMatch" => {
            let prefix = match matched {
                PathTest::Prefix(prefix) | PathTest::Exact(prefix) => prefix.as_str(),
            };
            let rest = path.strip_prefix(prefix).unwrap_or(path);
            let front = modifier.replace_prefix_match.as_deref().unwrap_or_default().trim_end_matches('/');
            let whole = format!("{front}{rest}");
            if whole.starts_with('/') { whole } else { format!("/{whole}") }
        }
        _ => path.to_owned(),
    }
}

/// The answer that sends a client elsewhere.
pub(super) fn redirect(parts: &Parts, redirect: &Redirect, matched: &PathTest) -> Response<AnyBody> {
    let authority = parts
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
        .unwrap_or_default();
    let (name, asked_port) = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, port.parse::<u16>().ok()),
        _ => (authority, None),
    };
    let scheme = redirect.scheme.as_deref().unwrap_or("http");
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => port,
        (None, Some(_)) => usual,
        (None, None) => asked_port.unwrap_or(usual),
    };
    let host = redirect.hostname.as_deref().unwrap_or(name);
    let port = if port == usual { String::new() } else { format!(":{port}") };
    let path = match &redirect.path {
        Some(modifier) => new_path(parts.uri.path(), modifier, matched),
        None => parts.uri.path().to_owned(),
    };
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(empty());
    *response.status_mut() =
        redirect.status_code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::FOUND);
    if let Ok(location) = HeaderValue::try_from(format!("{scheme}://{host}{port}{path}{query}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modifier(kind: &str, to: &str) -> PathModifier {
        PathModifier {
            kind: kind.into(),
            replace_full_path: Some(to.into()),
            replace_prefix_match: Some(to.into()),
        }
    }

    #[test]
    fn prefixes_are_replaced_as_the_specification_shows() {
        // The examples of the field's documentation.
        let check = |path: &str, prefix: &str, to: &str, expected: &str| {
            let matched = PathTest::Prefix(prefix.trim_end_matches('/').into());
            let new = new_path(path, &modifier("ReplacePrefixMatch", to), &matched);
            assert_eq!(new, expected, "{path} {prefix} {to}");
        };
        check("/foo/bar", "/foo", "/xyz", "/xyz/bar");
        check("/foo/bar", "/foo", "/xyz/", "/xyz/bar");
        check("/foo/bar", "/foo/", "/xyz", "/xyz/bar");
        check("/foo", "/foo", "/xyz", "/xyz");
        check("/foo/", "/foo", "/xyz", "/xyz/");
        check("/foo/bar", "/foo", "", "/bar");
        check("/foo/", "/foo", "", "/");
        check("/foo", "/foo", "", "/");
        check("/foo", "/foo", "/", "/");
    }

    #[test]
    fn headers_between_neighbours_stay_between_them() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, "close, x-private, upgrade".parse().unwrap());
        headers.insert("x-private", "1".parse().unwrap());
        headers.insert("x-public", "1".parse().unwrap());
        headers.insert("te", "trailers".parse().unwrap());
        headers.insert(UPGRADE, "websocket".parse().unwrap());
        let mut upgraded = headers.clone();
        strip_hop_by_hop(&mut headers, false);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-public"]);
        strip_hop_by_hop(&mut upgraded, true);
        assert_eq!(upgraded[UPGRADE], "websocket");
        assert_eq!(upgraded[CONNECTION], "upgrade");
    }

    #[test]
    fn redirects_keep_what_they_do_not_change() {
        let (parts, ()) =
            http::Request::get("/old/x?a=1").header(HOST, "shop.example:8880").body(()).unwrap().into_parts();
        let check = |to: Redirect, expected: &str, code: u16| {
            let response = redirect(&parts, &to, &PathTest::Prefix("/old".into()));
            assert_eq!(response.headers()[LOCATION], expected);
            assert_eq!(response.status(), code);
        };
        check(Redirect::default(), "http://shop.example:8880/old/x?a=1", 302);
        let secure = Redirect { scheme: Some("https".into()), status_code: Some(301), ..Redirect::default() };
        check(secure, "https://shop.example/old/x?a=1", 301);
        let moved = Redirect {
            hostname: Some("other".into()),
            port: Some(81),
            path: Some(modifier("ReplacePrefixMatch", "/new")),
            ..Redirect::default()
        };
        check(moved, "http://other:81/new/x?a=1", 302);
    }
}
