//! Paths and URLs.

use std::rc::Rc;

use crate::function::{Function, Param, function, map, text};
use crate::value::{Map, Value};

use Param::{Map as Dict, Text};

macro_rules! path {
    ($name:literal, $body:expr) => {
        function($name, &[Text], None, |_, a| Ok(Value::text($body(text(a, 0)))))
    };
}

pub(crate) const FUNCTIONS: &[Function] = &[
    path!("base", base),
    path!("dir", dir),
    path!("clean", clean),
    path!("ext", ext),
    path!("osBase", base),
    path!("osDir", dir),
    path!("osClean", clean),
    path!("osExt", ext),
    function("isAbs", &[Text], None, |_, a| Ok(Value::Bool(text(a, 0).starts_with('/')))),
    function("osIsAbs", &[Text], None, |_, a| Ok(Value::Bool(text(a, 0).starts_with('/')))),
    function("urlParse", &[Text], None, |_, a| url_parse(text(a, 0))),
    function("urlJoin", &[Dict], None, |_, a| url_join(&map(a, 0))),
];

/// Go's `path.Base`.
pub(crate) fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let trimmed = path.trim_end_matches('/');
    match trimmed.rsplit('/').next() {
        Some("") | None => "/",
        Some(last) => last,
    }
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| &path[..=slash]))
}

fn ext(path: &str) -> &str {
    let last = path.rsplit('/').next().unwrap_or(path);
    last.rfind('.').map_or("", |dot| &last[dot..])
}

fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// The parts of a URL.
#[derive(Default)]
struct Url {
    scheme: String,
    userinfo: String,
    host: String,
    path: String,
    query: String,
    opaque: String,
    fragment: String,
}

fn unescape(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let pair = text.get(at + 1..at + 3).and_then(|pair| u8::from_str_radix(pair, 16).ok());
            let bad = || format!("invalid URL escape {:?}", text.get(at..at + 3).unwrap_or(&text[at..]));
            out.push(pair.ok_or_else(bad)?);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn escape(text: &str, keep: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let letter = char::from(byte);
        if letter.is_ascii_alphanumeric() || keep.contains(letter) {
            out.push(letter);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn parse(text: &str) -> Result<Url, String> {
    let fail = |why: &str| format!("unable to parse url: parse {text:?}: {why}");
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err(fail("net/url: invalid control character in URL"));
    }
    let mut url = Url::default();
    let mut rest = text;
    if let Some((before, fragment)) = rest.split_once('#') {
        url.fragment = unescape(fragment).map_err(|why| fail(&why))?;
        rest = before;
    }
    if let Some((scheme, after)) = rest.split_once(':') {
        let letters = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        if scheme.is_empty() {
            return Err(fail("missing protocol scheme"));
        }
        if letters && scheme.starts_with(|c: char| c.is_ascii_alphabetic()) {
            url.scheme = scheme.to_ascii_lowercase();
            rest = after;
        } else if letters && !scheme.contains('/') {
            return Err(fail("first path segment in URL cannot contain colon"));
        }
    }
    if let Some((before, query)) = rest.split_once('?') {
        url.query = query.to_owned();
        rest = before;
    }
    if !rest.starts_with('/') && !url.scheme.is_empty() {
        url.opaque = rest.to_owned();
        return Ok(url);
    }
    if let Some(after) = rest.strip_prefix("//").filter(|after| !after.starts_with("//")) {
        let end = after.find('/').unwrap_or(after.len());
        let (authority, path) = after.split_at(end);
        if let Some((userinfo, host)) = authority.rsplit_once('@') {
            url.userinfo = userinfo.to_owned();
            url.host = host.to_owned();
        } else {
            url.host = authority.to_owned();
        }
        rest = path;
    }
    url.path = unescape(rest).map_err(|why| fail(&why))?;
    Ok(url)
}

fn url_parse(text: &str) -> Result<Value, String> {
    let url = parse(text)?;
    let hostname = match url.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address.to_owned(),
        None => url.host.split(':').next().unwrap_or_default().to_owned(),
    };
    Ok(Value::map([
        ("scheme", Value::from(url.scheme)),
        ("userinfo", Value::from(url.userinfo)),
        ("host", Value::from(url.host)),
        ("hostname", Value::from(hostname)),
        ("path", Value::from(url.path)),
        ("query", Value::from(url.query)),
        ("opaque", Value::from(url.opaque)),
        ("fragment", Value::from(url.fragment)),
    ]))
}

fn url_join(parts: &Map) -> Result<Value, String> {
    let part = |key: &str| match parts.get(key) {
        None => Ok(Rc::from("")),
        Some(Value::Text(text)) => Ok(text),
        Some(other) => {
            Err(format!("unable to parse {key} key, must be of type string, but {} found", other.kind_name()))
        }
    };
    let (scheme, userinfo, host) = (part("scheme")?, part("userinfo")?, part("host")?);
    let (path, query, opaque, fragment) = (part("path")?, part("query")?, part("opaque")?, part("fragment")?);
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(&scheme);
        out.push(':');
    }
    if !opaque.is_empty() {
        out.push_str(&opaque);
    } else {
        if !scheme.is_empty() || !host.is_empty() || !userinfo.is_empty() {
            if !host.is_empty() || !path.is_empty() || !userinfo.is_empty() {
                out.push_str("//");
            }
            if !userinfo.is_empty() {
                out.push_str(&userinfo);
                out.push('@');
            }
            out.push_str(&host);
        }
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            out.push('/');
        }
        out.push_str(&escape(&path, "-_.~$&+,/:;=@!*'()"));
    }
    if !query.is_empty() {
        out.push('?');
        out.push_str(&query);
    }
    if !fragment.is_empty() {
        out.push('#');
        out.push_str(&escape(&fragment, "-_.~$&+,/:;=?@!*'()"));
    }
    Ok(Value::from(out))
}
