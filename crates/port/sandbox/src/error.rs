//! What can go wrong in the sandbox.

use std::path::PathBuf;

use galley_problem::{Kind, Problem};

/// Why the sandbox could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The helper program could not be started.
    #[error("could not start the sandbox helper `{program}`")]
    Helper {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The kernel refuses namespaces and plain processes were not allowed by the configuration.
    #[error("the kernel refuses what the sandbox needs: {reason}")]
    Refused {
        /// What was refused, and how to allow it.
        reason: String,
    },
    /// A file or folder of the sandbox could not be written.
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
    /// The helper could not do a step of a request.
    #[error("{step}: {message}")]
    Step {
        /// What was attempted.
        step: String,
        /// Why not.
        message: String,
        /// The system's error number; 0 if there is none.
        errno: i32,
    },
    /// The helper has ended, and every container with it.
    #[error("the sandbox helper has ended")]
    Gone,
    /// No address is left in the pod network.
    #[error("no address is left in the pod network")]
    NoAddress,
}

impl Error {
    /// The same as a person reads it.
    pub fn to_problem(&self) -> Problem {
        let kind = match self {
            Error::File { .. } => Kind::Io,
            Error::Step { .. } => Kind::Failed,
            _ => Kind::Unavailable,
        };
        let problem = Problem::new("G0601", kind, "The sandbox could not do what was asked.").because(self);
        match self {
            Error::Refused { .. } => {
                problem.try_this("Allow user namespaces, or set the sandbox mode to `auto` or `plain`.")
            }
            _ => problem,
        }
    }

    /// Whether a program could not be executed (as opposed to a failure of the sandbox itself).
    pub fn is_exec_failure(&self) -> bool {
        matches!(self, Error::Step { step, .. } if step == crate::proto::STEP_EXEC)
    }
}
