//! What can go wrong with the server as a whole; refusals of single requests are `Status` objects.

use std::path::PathBuf;

use galley_problem::{Kind, Problem};

/// Why the server could not be opened or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stored objects could not be read.
    #[error("reading the stored objects")]
    Objects(#[source] galley_store::objects::ObjectError),
    /// The socket failed for good.
    #[error("accepting connections")]
    Accept(#[source] std::io::Error),
    /// A key or certificate file could not be read or written.
    #[error("the file {path} of the API server's identity")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A key or certificate could not be made or read.
    #[error("the certificate of the API server")]
    Certificate(#[source] rcgen::Error),
    /// TLS does not accept the certificate.
    #[error("setting up TLS")]
    Tls(#[source] rustls::Error),
    /// The key file does not hold a key.
    #[error("the key file {path} is damaged")]
    DamagedKey {
        /// The file.
        path: PathBuf,
    },
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        match error {
            Error::Objects(_) => {
                Problem::new("G0201", Kind::Io, "The API server could not read its stored objects.")
                    .try_this("Check that the state directory is readable and the disk is not full.")
            }
            Error::Accept(_) => {
                Problem::new("G0202", Kind::Io, "The API server can no longer accept connections.")
                    .try_this("Raise the limit of open files (`ulimit -n`) and start again.")
            }
            Error::File { path, .. } | Error::DamagedKey { path } => {
                Problem::new("G0203", Kind::Io, "A file of the API server's identity could not be used.")
                    .at(path.display().to_string(), 0, 0)
                    .try_this(
                        "Give the file back to its owner, or remove the identity directory to make new keys.",
                    )
            }
            Error::Certificate(_) | Error::Tls(_) => {
                Problem::new("G0204", Kind::Internal, "The API server's certificate could not be made.")
                    .try_this("Remove the identity directory to make a new certificate authority.")
            }
        }
        .because(error)
    }
}
