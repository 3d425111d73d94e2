//! Whether a request is meant, and which of several matches comes first.

use std::cmp::Reverse;
use std::sync::Arc;

use galley_gateway_types::{Match, ValueMatch};
use http::{HeaderMap, HeaderName, Method};

use super::{Host, Rule};

/// A request as matches see it.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Host without port, in lower case.
    pub host: &'a str,
    /// Method.
    pub method: &'a Method,
    /// Path.
    pub path: &'a str,
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// Headers.
    pub headers: &'a HeaderMap,
}

/// What a path must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathTest {
    /// This.
    Exact(String),
    /// This or below it, by whole parts; without a slash at the end, so empty for every path.
    Prefix(String),
}

impl PathTest {
    fn matches(&self, path: &str) -> bool {
        match self {
            PathTest::Exact(exact) => exact == path,
            PathTest::Prefix(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

/// One match of one rule.
#[derive(Debug)]
pub struct Entry {
    /// The host, if the route or its listener asks for one.
    pub host: Option<Host>,
    /// The path.
    pub path: PathTest,
    /// The method.
    pub method: Option<Method>,
    /// Headers that must be there.
    pub headers: Vec<(HeaderName, String)>,
    /// Query parameters that must be there.
    pub query: Vec<(String, String)>,
    /// What happens then.
    pub rule: Arc<Rule>,
}

impl Entry {
    pub(super) fn matches(&self, request: &Query<'_>) -> bool {
        self.host.as_ref().is_none_or(|host| host.matches(request.host))
            && self.path.matches(request.path)
            && self.method.as_ref().is_none_or(|method| method == request.method)
            && self.headers.iter().all(|(name, value)| has_header(request.headers, name, value))
            && self.query.iter().all(|(name, value)| has_parameter(request.query, name, value))
    }

    /// The specification's order, as far as the match itself decides.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        let path = match &self.path {
            PathTest::Exact(path) => (0, Reverse(path.len())),
            PathTest::Prefix(path) => (1, Reverse(path.len())),
        };
        let host = Host::rank(self.host.as_ref());
        (host, path, self.method.is_none(), Reverse(self.headers.len()), Reverse(self.query.len()))
    }
}

/// Several headers of one name are one, with commas between.
fn has_header(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return false };
    let Some(second) = values.next() else { return first.as_bytes() == wanted.as_bytes() };
    let mut joined = first.as_bytes().to_vec();
    for value in std::iter::once(second).chain(values) {
        joined.push(b',');
        joined.extend_from_slice(value.as_bytes());
    }
    joined == wanted.as_bytes()
}

/// The first parameter of a name counts.
fn has_parameter(query: Option<&str>, name: &str, wanted: &str) -> bool {
    let pairs = query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    for (key, value) in pairs {
        if decode(key) == name {
            return decode(value) == wanted;
        }
    }
    false
}

/// Undoes percent encoding and `+`.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[at], digits.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads a match; the error says what is not supported.
pub(super) fn read(spec: &Match, host: Option<Host>, rule: &Arc<Rule>) -> Result<Entry, String> {
    let path = spec.path.clone().unwrap_or_default();
    let value = path.value.unwrap_or_else(|| "/".to_owned());
    let path = match path.kind.as_deref().unwrap_or("PathPrefix") {
        "Exact" => PathTest::Exact(value),
        "PathPrefix" => PathTest::Prefix(value.trim_end_matches('/').to_owned()),
        other => return Err(format!("path matches of type `{other}` are not supported")),
    };
    let exact = |value: &ValueMatch| match value.kind.as_deref().unwrap_or("Exact") {
        "Exact" => Ok(()),
        other => Err(format!("matches of type `{other}` are not supported")),
    };
    let method = match &spec.method {
        None => None,
        Some(name) => Some(name.parse().map_err(|_| format!("`{name}` is not a method"))?),
    };
    let mut headers: Vec<(HeaderName, String)> = Vec::new();
    for header in &spec.headers {
        exact(header)?;
        let name = header.name.parse().map_err(|_| format!("`{}` is not a header", header.name))?;
        // Of several with one name only the first counts.
        if !headers.iter().any(|(known, _)| *known == name) {
            headers.push((name, header.value.clone()));
        }
    }
    let mut query: Vec<(String, String)> = Vec::new();
    for parameter in &spec.query_params {
        exact(parameter)?;
        if !query.iter().any(|(known, _)| *known == parameter.name) {
            query.push((parameter.name.clone(), parameter.value.clone()));
        }
    }
    Ok(Entry { host, path, method, headers, query, rule: Arc::clone(rule) })
}
