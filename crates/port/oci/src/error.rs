//! What can go wrong with images, for programs ([`Error`]) and for people ([`Error::problem`]).

use std::path::PathBuf;

use galley_problem::{Kind, Problem};

use crate::Digest;

/// A result whose error is this room's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was attempted, on what, and why it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing a file of the store failed.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was attempted: a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A name, tag, digest or reference is not written as the specification says.
    #[error("`{text}` is not a valid {what}")]
    InvalidName {
        /// What it should be.
        what: &'static str,
        /// What was given, shortened.
        text: String,
    },
    /// A blob, manifest, tag or repository is not there.
    #[error("{what} `{name}` does not exist")]
    NotFound {
        /// What is missing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Bytes hash to something else than promised.
    #[error("content has digest {actual}, not {expected}")]
    DigestMismatch {
        /// The digest that was promised.
        expected: Box<Digest>,
        /// The digest of the bytes.
        actual: Box<Digest>,
    },
    /// Something from outside is larger than allowed.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A manifest, index or image configuration cannot be read.
    #[error("{what} is not valid")]
    InvalidDocument {
        /// Which document.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A manifest refers to something that its repository does not hold.
    #[error("the manifest refers to {0}, which the repository does not hold")]
    MissingReference(Digest),
    /// A form of image or layer that is not supported.
    #[error("{0}")]
    Unsupported(String),
    /// A layer's archive is broken or hostile.
    #[error("layer {layer}: {reason}")]
    BadLayer {
        /// The layer's digest.
        layer: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// A program that is to become an image needs files that the image will not have.
    #[error("{} {reason}", path.display())]
    NotStatic {
        /// The program.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// A registry could not be reached or broke off.
    #[error("could not {action} at {host}")]
    Network {
        /// What was attempted.
        action: String,
        /// The registry.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A registry answered with an error.
    #[error("{host} answered {status} to: {action}{detail}")]
    Refused {
        /// What was attempted.
        action: String,
        /// The registry.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The registry's own words, with a leading `: `, or nothing.
        detail: String,
    },
    /// A deadline passed.
    #[error("{action} at {host} took longer than {seconds} s")]
    Timeout {
        /// What was attempted.
        action: String,
        /// The registry.
        host: String,
        /// The deadline.
        seconds: u64,
    },
}

impl Error {
    /// Wraps a system error with what was attempted on what.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }

    /// A name that is not valid; long ones are cut.
    pub(crate) fn invalid(what: &'static str, text: &str) -> Error {
        Error::InvalidName { what, text: text.chars().take(128).collect() }
    }

    /// Content that is not what was promised.
    pub(crate) fn mismatch(expected: Digest, actual: Digest) -> Error {
        Error::DigestMismatch { expected: Box::new(expected), actual: Box::new(actual) }
    }

    /// Whether the same request may succeed when made again.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Network { .. } | Error::Timeout { .. } => true,
            Error::Refused { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// The error as a person reads it.
    pub fn problem(&self) -> Problem {
        let (code, kind, what, remedy) = match self {
            Error::NotStatic { .. } => (
                "G0801",
                Kind::Invalid,
                "The program cannot become an image.",
                "Build it without a C library from outside, for example with \
                 `RUSTFLAGS=-Ctarget-feature=+crt-static`, or use a released binary.",
            ),
            Error::InvalidName { .. } => (
                "G0802",
                Kind::Invalid,
                "The name of an image is not valid.",
                "Write it as `[host[:port]/]name[:tag][@sha256:digest]`, in lower case.",
            ),
            Error::NotFound { .. } | Error::Refused { status: 404, .. } => (
                "G0803",
                Kind::NotFound,
                "The image does not exist.",
                "Check the name and the tag; list the tags of our own registry with `galley image list`.",
            ),
            Error::Refused { status: 401 | 403, .. } => (
                "G0804",
                Kind::Denied,
                "The registry does not allow it.",
                "Give credentials for that registry in the configuration.",
            ),
            Error::Network { .. } | Error::Timeout { .. } | Error::Refused { .. } => (
                "G0805",
                Kind::Unavailable,
                "The registry cannot be used.",
                "Check the network and the registry's address, then try again.",
            ),
            Error::DigestMismatch { .. } => (
                "G0806",
                Kind::Invalid,
                "The content of an image is not what its digest says.",
                "Pull or build the image again; if it happens again, the registry or the disk is faulty.",
            ),
            Error::TooLarge { .. } | Error::BadLayer { .. } => (
                "G0807",
                Kind::Invalid,
                "The image was refused.",
                "Build the image again with a common tool; do not trust where it came from.",
            ),
            Error::InvalidDocument { .. } | Error::MissingReference(_) | Error::Unsupported(_) => (
                "G0808",
                Kind::Invalid,
                "The image cannot be used here.",
                "Use an OCI or Docker image for Linux on this machine's architecture, with gzip or plain layers.",
            ),
            Error::Io { .. } => (
                "G0809",
                Kind::Io,
                "The image store cannot be read or written.",
                "Check the free space and the permissions of the data folder.",
            ),
        };
        Problem::new(code, kind, what).because(self).try_this(remedy)
    }
}
