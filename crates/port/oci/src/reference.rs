//! References to images, as people write them: `[host[:port]/]name[:tag][@digest]`.
//!
//! The rules are those of the distribution project's `reference` grammar with Docker's defaults: without a host it
//! is `docker.io`, a single name there is in `library/`, and without tag and digest the tag is `latest`.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Digest, Error, Result};

/// A reference to an image, complete: host, repository, and a tag or a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Host and perhaps port, for example `docker.io` or `localhost:5001`.
    pub registry: String,
    /// The repository's name at that registry.
    pub repository: String,
    /// The tag; absent only if there is a digest.
    pub tag: Option<String>,
    /// The digest; it decides when both are given.
    pub digest: Option<Digest>,
}

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A name that may move.
    Tag(String),
    /// The content itself.
    Digest(Digest),
}

impl Reference {
    /// What to ask the repository for: the digest when there is one.
    pub fn target(&self) -> Target {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Target::Digest(*digest),
            (None, Some(tag)) => Target::Tag(tag.clone()),
            (None, None) => Target::Tag("latest".to_owned()),
        }
    }

    /// The same image named by its digest alone.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Reference {
        Reference { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same repository with another tag.
    pub fn with_tag(&self, tag: &str) -> Result<Reference> {
        if !valid_tag(tag) {
            return Err(Error::invalid("tag", tag));
        }
        Ok(Reference { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The host that serves the registry's API.
    pub fn api_host(&self) -> &str {
        if self.registry == "docker.io" { "registry-1.docker.io" } else { &self.registry }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference> {
        let wrong = || Error::invalid("image reference", text);
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (registry, path) = split_registry(rest);
        // A colon after the last slash starts the tag; one before it belongs to the port.
        let (name, tag) = match path.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (path, None),
        };
        let repository = match (registry, name.contains('/')) {
            ("docker.io", false) => format!("library/{name}"),
            _ => name.to_owned(),
        };
        if !valid_host(registry) || !valid_repository(&repository) || !tag.as_deref().is_none_or(valid_tag) {
            return Err(wrong());
        }
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
    }
}

/// Host and the rest; the first part is a host only if it cannot be a name.
fn split_registry(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            (if host == "index.docker.io" { "docker.io" } else { host }, rest)
        }
        _ => ("docker.io", text),
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tag(tag) => f.write_str(tag),
            Target::Digest(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Target> {
        if text.contains(':') {
            return text.parse().map(Target::Digest);
        }
        if valid_tag(text) { Ok(Target::Tag(text.to_owned())) } else { Err(Error::invalid("tag", text)) }
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Whether `name` may name a repository: path parts of lower-case letters and digits with `.`, `_`, `__` or dashes
/// between them, at most 255 bytes.
pub fn valid_repository(name: &str) -> bool {
    name.len() <= 255 && name.split('/').all(valid_part)
}

fn valid_part(part: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    bytes
        .split(|b| alphanumeric(*b))
        .filter(|between| !between.is_empty())
        .all(|between| matches!(between, b"." | b"_" | b"__") || between.iter().all(|b| *b == b'-'))
}

/// Whether `tag` may be a tag: a letter, digit or `_`, then up to 127 of those, `.` and `-`.
pub fn valid_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn valid_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let six = |n: &str| n.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    let named = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(address) => six(address),
        None => !name.starts_with(['.', '-']) && name.bytes().all(plain),
    };
    !name.is_empty() && host.len() <= 255 && named && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, whole: &str) {
        let reference: Reference = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(reference.to_string(), whole);
        assert_eq!(whole.parse::<Reference>().unwrap(), reference, "reading it again");
    }

    #[test]
    fn defaults_are_dockers() {
        check("nginx", "docker.io/library/nginx:latest");
        check("grafana/grafana:11", "docker.io/grafana/grafana:11");
        check("index.docker.io/library/nginx", "docker.io/library/nginx:latest");
        check("localhost/a", "localhost/a:latest");
        check("localhost:5001/gourmetgram:v1", "localhost:5001/gourmetgram:v1");
        check("[::1]:5000/a/b__c/d-e.f", "[::1]:5000/a/b__c/d-e.f:latest");
        let digest = Digest::of(b"x");
        check(&format!("ghcr.io/a/b@{digest}"), &format!("ghcr.io/a/b@{digest}"));
        check(&format!("ghcr.io/a/b:1@{digest}"), &format!("ghcr.io/a/b:1@{digest}"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "A",
            "a//b",
            "a:",
            "a/../b",
            "/a",
            "a/",
            "a@sha256:1",
            "a:b c",
            "_a",
            "a..b",
            "h:99999/a",
            "-h.x/a",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert!(!valid_repository(&"a/".repeat(200)));
        assert!(!valid_tag(&"a".repeat(129)));
    }

    #[test]
    fn targets_prefer_the_digest() {
        let digest = Digest::of(b"x");
        let reference: Reference = format!("a/b:1@{digest}").parse().unwrap();
        assert_eq!(reference.target(), Target::Digest(digest));
        assert_eq!(reference.with_tag("2").unwrap().target(), Target::Tag("2".into()));
        assert_eq!(reference.pinned(digest).tag, None);
    }
}
