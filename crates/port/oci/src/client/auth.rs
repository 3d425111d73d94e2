//! How registries ask who is there: the `WWW-Authenticate` header.

use std::collections::BTreeMap;

/// A challenge: its scheme in lower case, and its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    pub(super) parameters: BTreeMap<String, String>,
}

impl Challenge {
    /// Reads one challenge: `Bearer realm="https://...",service="...",scope="a,b"`.
    pub(super) fn parse(header: &str) -> Option<Challenge> {
        let header = header.trim();
        let (scheme, mut rest) = header.split_once(' ').unwrap_or((header, ""));
        let mut parameters = BTreeMap::new();
        loop {
            rest = rest.trim_start_matches([' ', ',']);
            let Some((name, after)) = rest.split_once('=') else { break };
            let value;
            if let Some(quoted) = after.strip_prefix('"') {
                let (inside, after) = quoted.split_once('"')?;
                value = inside;
                rest = after;
            } else {
                let end = after.find(',').unwrap_or(after.len());
                value = after[..end].trim();
                rest = &after[end..];
            }
            parameters.insert(name.trim().to_ascii_lowercase(), value.to_owned());
        }
        (!scheme.is_empty()).then(|| Challenge { scheme: scheme.to_ascii_lowercase(), parameters })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_common_registries_are_read() {
        let hub = Challenge::parse(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
        )
        .unwrap();
        assert_eq!(hub.scheme, "bearer");
        assert_eq!(hub.parameters["scope"], "repository:a/b:pull,push");
        assert_eq!(hub.parameters["service"], "registry.docker.io");
        assert_eq!(Challenge::parse("Basic realm=x").unwrap().parameters["realm"], "x");
        assert_eq!(Challenge::parse("Negotiate").unwrap().parameters.len(), 0);
        assert_eq!(Challenge::parse(r#"Bearer realm="open"#), None);
    }
}
