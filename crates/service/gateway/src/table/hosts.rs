//! Host names and wildcards.

/// A host name, or every name below a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// This name, in lower case.
    Exact(String),
    /// Every name that ends so; begins with a dot: `.example.com`.
    Below(String),
}

impl Host {
    /// Reads `name` or `*.name`.
    pub fn parse(text: &str) -> Host {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            Some(suffix) => Host::Below(suffix.to_owned()),
            None => Host::Exact(text),
        }
    }

    /// Whether a name in lower case and without port is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Host::Exact(exact) => exact == name,
            Host::Below(suffix) => name.len() > suffix.len() && name.ends_with(suffix.as_str()),
        }
    }

    /// What both mean, if anything.
    pub fn intersect(&self, other: &Host) -> Option<Host> {
        match (self, other) {
            (Host::Exact(name), any) | (any, Host::Exact(name)) => {
                any.matches(name).then(|| Host::Exact(name.clone()))
            }
            (Host::Below(a), Host::Below(b)) if a.ends_with(b.as_str()) => Some(self.clone()),
            (Host::Below(a), Host::Below(b)) if b.ends_with(a.as_str()) => Some(other.clone()),
            _ => None,
        }
    }

    /// Order of precedence: names before wildcards, longer before shorter.
    pub fn rank(host: Option<&Host>) -> (u8, std::cmp::Reverse<usize>) {
        match host {
            Some(Host::Exact(name)) => (0, std::cmp::Reverse(name.len())),
            Some(Host::Below(suffix)) => (1, std::cmp::Reverse(suffix.len())),
            None => (2, std::cmp::Reverse(0)),
        }
    }
}

/// Removes the port from a `Host` header and folds its case.
pub(crate) fn host_name(authority: &str) -> String {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_mean_one_label_or_more() {
        let host = Host::parse("*.Example.com");
        assert!(host.matches("a.example.com") && host.matches("a.b.example.com"));
        assert!(!host.matches("example.com") && !host.matches("badexample.com"));
    }

    #[test]
    fn intersections_are_the_narrower() {
        let check = |a: &str, b: &str, both: Option<&str>| {
            assert_eq!(Host::parse(a).intersect(&Host::parse(b)), both.map(Host::parse), "{a} and {b}");
            assert_eq!(Host::parse(b).intersect(&Host::parse(a)), both.map(Host::parse), "{b} and {a}");
        };
        check("a.b", "a.b", Some("a.b"));
        check("a.b", "*.b", Some("a.b"));
        check("*.a.b", "*.b", Some("*.a.b"));
        check("a.b", "c.b", None);
        check("*.a", "*.b", None);
        check("b", "*.b", None);
    }

    #[test]
    fn ports_and_case_do_not_count() {
        assert_eq!(host_name("A.Example:8080"), "a.example");
        assert_eq!(host_name("[::1]:80"), "[::1]");
        assert_eq!(host_name("example.com."), "example.com");
    }
}
