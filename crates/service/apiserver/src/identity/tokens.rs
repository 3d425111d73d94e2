//! Tokens: signed claims (JWT, HS256), so that none needs to be stored and each is the same after a restart; the admin's
//! is one word of letters, digits and `_`, which every script and shell can carry.
//!
//! One random key of 32 bytes lies in the state directory, readable only by its owner. A token is never logged and
//! never in an error. Comparing signatures takes the same time wherever they differ.

use std::{fmt, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use galley_units::{Clock, Secret};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{User, files};
use crate::Error;

/// Longer texts are no tokens of ours.
const LONGEST: usize = 4096;
const ADMIN: &str = "galley:admin";
const ACCOUNT: &str = "system:serviceaccount:";

/// Gives out tokens and knows its own; clones share the key.
#[derive(Clone)]
pub struct TokenAuthority {
    key: Arc<Secret<Vec<u8>>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for TokenAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenAuthority")
    }
}

impl TokenAuthority {
    /// The authority whose key is in `dir`; makes one if there is none.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::DamagedKey`].
    pub fn load_or_create(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let path = dir.join("token.key");
        let key = match files::read(&path)? {
            Some(text) => hex::decode(text.trim())
                .ok()
                .filter(|key| key.len() == 32)
                .ok_or_else(|| Error::DamagedKey { path: path.clone() })?,
            None => {
                // 244 random bits of the operating system, brought to the length of the key.
                let random = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
                let key = Sha256::digest(random).to_vec();
                files::write(&path, &hex::encode(&key))?;
                key
            }
        };
        Ok(TokenAuthority { key: Arc::new(Secret::new(key)), clock })
    }

    /// The token of the person who runs the server. It does not expire.
    pub fn admin_token(&self) -> Secret<String> {
        Secret::new(format!("galley_{}", hex::encode(self.signature(ADMIN))))
    }

    /// The token of a service account. It does not expire.
    pub fn service_account_token(&self, namespace: &str, name: &str) -> Secret<String> {
        self.sign(&account_claims(namespace, name))
    }

    /// The token of a service account until a moment.
    pub(crate) fn bounded_token(&self, namespace: &str, name: &str, expires: Timestamp) -> Secret<String> {
        let mut claims = account_claims(namespace, name);
        claims["exp"] = expires.as_second().into();
        self.sign(&claims)
    }

    /// Whose token this is; `None` if it is nobody's.
    pub fn verify(&self, token: &str) -> Option<User> {
        if token.len() > LONGEST {
            return None;
        }
        if same(token.as_bytes(), self.admin_token().expose().as_bytes()) {
            return Some(User::new(ADMIN, &["system:masters", "system:authenticated"]));
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !same(&self.signature(signed), &signature) {
            return None;
        }
        let (_, claims) = signed.split_once('.')?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let expired = claims["exp"].as_i64().is_some_and(|end| end <= self.clock.now().as_second());
        if expired {
            return None;
        }
        let subject = claims["sub"].as_str()?;
        let (namespace, _) = subject.strip_prefix(ACCOUNT)?.split_once(':')?;
        let own = format!("system:serviceaccounts:{namespace}");
        Some(User::new(subject, &["system:serviceaccounts", &own, "system:authenticated"]))
    }

    fn sign(&self, claims: &Value) -> Secret<String> {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.signature(&signed));
        Secret::new(format!("{signed}.{signature}"))
    }

    /// HMAC-SHA-256 (RFC 2104).
    fn signature(&self, text: &str) -> [u8; 32] {
        const BLOCK: usize = 64;
        let mut key = [0u8; BLOCK];
        // The key has 32 bytes and so never needs to be hashed first.
        key[..self.key.expose().len().min(BLOCK)].copy_from_slice(self.key.expose());
        let padded = |with: u8| key.map(|byte| byte ^ with);
        let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
        Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
    }
}

fn account_claims(namespace: &str, name: &str) -> Value {
    json!({
        "iss": "galley",
        "sub": format!("{ACCOUNT}{namespace}:{name}"),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name}},
    })
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0u8, |all, (x, y)| all | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::Duration};

    use galley_units::ManualClock;

    use super::*;

    #[test]
    fn tokens_are_known_again_after_a_restart_and_nobody_elses_are() {
        let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let open = |dir: &Path| TokenAuthority::load_or_create(dir, Arc::new(clock.clone())).expect("opens");
        let token = open(dir.path()).service_account_token("ns", "builder");
        let again = open(dir.path());
        let user = again.verify(token.expose()).expect("known");
        assert_eq!(user.name, "system:serviceaccount:ns:builder");
        assert!(user.groups.contains(&"system:serviceaccounts:ns".to_owned()));
        assert_eq!(again.verify(again.admin_token().expose()).expect("known").name, ADMIN);
        assert!(open(other.path()).verify(token.expose()).is_none());
        let mode = std::fs::metadata(dir.path().join("token.key")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for bad in
            ["", ".", "a.b.c", &token.expose()[1..], &format!("{}x", token.expose()), &"x".repeat(5000)]
        {
            assert!(again.verify(bad).is_none());
        }
    }

    #[test]
    fn bounded_tokens_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let tokens = TokenAuthority::load_or_create(dir.path(), Arc::new(clock.clone())).expect("opens");
        let token = tokens.bounded_token("ns", "a", Timestamp::from_second(600).expect("in range"));
        assert!(tokens.verify(token.expose()).is_some());
        clock.advance(Duration::from_secs(600));
        assert!(tokens.verify(token.expose()).is_none());
    }

    #[test]
    fn the_signature_is_hmac_sha_256() {
        // RFC 4231, test case 2, with its key padded by zeros as the algorithm does.
        let mut key = b"Jefe".to_vec();
        key.resize(32, 0);
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let tokens = TokenAuthority { key: Arc::new(Secret::new(key)), clock };
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex::encode(tokens.signature("what do ya want for nothing?")), expected);
    }
}
