//! Who may write: a token, as `Bearer TOKEN` or as the password of `Basic` (the name does not matter; ours is `galley`).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

/// Says whether a token may write.
pub type Authorize = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// How the registry asks for a name and a password.
pub(crate) const CHALLENGE: &str = r#"Basic realm="galley registry", charset="UTF-8""#;

/// Whether the request carries a token that `authorize` accepts.
pub(crate) fn is_authorized(authorize: &Authorize, headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let Some((scheme, rest)) = value.split_once(' ') else { return false };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return authorize(rest);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return false;
    }
    let decoded = STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.is_some_and(|text| text.split_once(':').is_some_and(|(_, password)| authorize(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_as_bearer_or_as_password() {
        let authorize: Authorize = Arc::new(|token| token == "a:b");
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            is_authorized(&authorize, &headers)
        };
        assert!(check("Bearer a:b"));
        assert!(check(&format!("basic {}", STANDARD.encode("galley:a:b"))));
        for wrong in
            ["Bearer x", "Basic a:b", "a:b", "Digest a:b", &format!("Basic {}", STANDARD.encode("a:b"))]
        {
            assert!(!check(wrong), "{wrong}");
        }
        assert!(!is_authorized(&authorize, &HeaderMap::new()));
    }
}
