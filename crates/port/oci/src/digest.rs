//! Content digests: SHA-256, and SHA-512 for content that comes with one.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

use crate::{Error, Result};

/// The hash of some content: SHA-256 (`sha256:` and 64 lower-case hexadecimal digits), which everything made here has,
/// or SHA-512 (`sha512:` and 128 digits), which others may use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Bits);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Bits {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

impl Digest {
    /// The SHA-256 of `content`.
    pub fn of(content: &[u8]) -> Digest {
        Digest(Bits::Sha256(Sha256::digest(content).into()))
    }

    /// The digest of `content` by the algorithm of this one: equal to this one if the content is what it names.
    pub fn again(&self, content: &[u8]) -> Digest {
        let mut hasher = Hasher::like(self);
        hasher.update(content);
        hasher.finish()
    }

    /// The algorithm: `sha256` or `sha512`, a folder in the store.
    pub fn algorithm(&self) -> &'static str {
        match self.0 {
            Bits::Sha256(_) => "sha256",
            Bits::Sha512(_) => "sha512",
        }
    }

    /// The hexadecimal digits without the algorithm: the file name in the store.
    pub fn hex(&self) -> String {
        match &self.0 {
            Bits::Sha256(bytes) => hex::encode(bytes),
            Bits::Sha512(bytes) => hex::encode(bytes),
        }
    }

    /// Reads the digits without the algorithm, which their number tells.
    pub fn from_hex(text: &str) -> Option<Digest> {
        if !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return None;
        }
        if text.len() == 64 {
            let mut bytes = [0; 32];
            hex::decode_to_slice(text, &mut bytes).ok()?;
            return Some(Digest(Bits::Sha256(bytes)));
        }
        let mut bytes = [0; 64];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Digest(Bits::Sha512(bytes)))
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest> {
        let parts = text.split_once(':').and_then(|(algorithm, hex)| {
            Digest::from_hex(hex).filter(|digest| digest.algorithm() == algorithm)
        });
        parts.ok_or_else(|| Error::invalid("digest", text))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Hashes content that comes in pieces.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Default for Hasher {
    /// Hashes by SHA-256.
    fn default() -> Self {
        Hasher(State::Sha256(Sha256::default()))
    }
}

impl Hasher {
    /// Hashes by the algorithm of `digest`.
    pub fn like(digest: &Digest) -> Hasher {
        match digest.0 {
            Bits::Sha256(_) => Hasher::default(),
            Bits::Sha512(_) => Hasher(State::Sha512(Box::default())),
        }
    }

    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(piece),
            State::Sha512(state) => state.update(piece),
        }
    }

    /// The digest of everything taken.
    pub fn finish(self) -> Digest {
        Digest(match self.0 {
            State::Sha256(state) => Bits::Sha256(state.finalize().into()),
            State::Sha512(state) => Bits::Sha512(state.finalize().into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_written_and_nothing_else() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        for wrong in
            ["", "sha256:", "sha256:ABC", "md5:00", &digest.to_string().to_uppercase(), &digest.hex()]
        {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
