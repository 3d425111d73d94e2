//! What can go wrong in this room.

use std::path::PathBuf;

use galley_problem::{Kind, Problem};

/// Why the room could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or failed a request.
    #[error("could not {action}")]
    Api {
        /// What was attempted, on what.
        action: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// A file could not be written.
    #[error("could not {action} `{path}`")]
    File {
        /// What was attempted.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The sandbox failed.
    #[error("the sandbox failed")]
    Sandbox(#[from] galley_sandbox::Error),
    /// A part of the room has stopped unexpectedly.
    #[error("the task `{0}` has stopped unexpectedly")]
    Task(String),
}

/// Adds what was attempted to an error of the API.
pub(crate) trait Attempt<T> {
    fn attempt(self, action: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Attempt<T> for Result<T, kube::Error> {
    fn attempt(self, action: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Api { action: action(), source: Box::new(source) })
    }
}

impl Error {
    /// Whether the object has changed or vanished meanwhile, so that trying again from the start is right.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Error::Api { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 409 || status.code == 404))
    }

    /// The same as a person reads it.
    pub fn to_problem(&self) -> Problem {
        let kind = match self {
            Error::Api { .. } | Error::Sandbox(_) => Kind::Unavailable,
            Error::File { .. } => Kind::Io,
            Error::Task(_) => Kind::Internal,
        };
        Problem::new("G0602", kind, "Running the workloads of this machine failed.").because(self)
    }
}
