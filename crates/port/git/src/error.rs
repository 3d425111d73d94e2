//! Why git could not do something.

use std::path::PathBuf;

use galley_problem::{Kind, Problem};

/// Why a repository on this disk could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The `git` program could not be started.
    #[error("starting `git`")]
    Start(#[source] std::io::Error),
    /// Git ran and refused.
    #[error("`git {action}` failed in {repository}: {said}")]
    Failed {
        /// The subcommand.
        action: String,
        /// Where it ran.
        repository: PathBuf,
        /// The last lines of its standard error.
        said: String,
    },
    /// Git did not end in time.
    #[error("`git {action}` in {repository} took longer than {seconds} s")]
    Deadline {
        /// The subcommand.
        action: String,
        /// Where it ran.
        repository: PathBuf,
        /// The limit.
        seconds: u64,
    },
    /// More came out than is kept.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What was read.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A revision, a path or a URL that is not acceptable.
    #[error("`{given}` is no acceptable {what}")]
    Unacceptable {
        /// What it should be.
        what: &'static str,
        /// What was given.
        given: String,
    },
    /// Git printed something that is not understood.
    #[error("unexpected output of `git {action}`: {detail}")]
    Output {
        /// The subcommand.
        action: &'static str,
        /// What is odd.
        detail: String,
    },
    /// Something that a repository on this disk does not have.
    #[error("{what} is not here")]
    Absent {
        /// What it is.
        what: String,
    },
    /// A repository on this disk that cannot be understood.
    #[error("the repository {repository} cannot be read: {detail}")]
    Damaged {
        /// Where it is.
        repository: PathBuf,
        /// What is odd.
        detail: String,
    },
    /// A received pack that is not acceptable.
    #[error("the pack is refused: {0}")]
    Pack(String),
    /// A file could not be read or written.
    #[error("reading or writing {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (code, kind, what) = match &error {
            Error::Start(_) => return crate::program::missing(&error),
            Error::Failed { .. } => ("G0402", Kind::Io, "Git refused."),
            Error::Deadline { .. } => ("G0402", Kind::Timeout, "Git did not answer in time."),
            Error::TooLarge { .. } => ("G0403", Kind::Invalid, "The repository holds something too large."),
            Error::Unacceptable { .. } => ("G0402", Kind::Invalid, "Git was asked for something impossible."),
            Error::Output { .. } => ("G0402", Kind::Internal, "Git answered in an unexpected way."),
            Error::Absent { .. } => ("G0404", Kind::NotFound, "The repository does not have that."),
            Error::Damaged { .. } => ("G0402", Kind::Io, "A repository could not be read."),
            Error::Pack(_) => ("G0402", Kind::Invalid, "What was pushed is not acceptable."),
            Error::Io { .. } => ("G0402", Kind::Io, "A repository file could not be written."),
        };
        Problem::new(code, kind, what).because(&error)
    }
}
