//! Why the service, or one of its turns, could not go on.

use galley_problem::{Kind, Problem};

/// Why the service could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or could not be reached.
    #[error("{attempt}")]
    Api {
        /// What was attempted, on what.
        attempt: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object from the API is not what its kind says.
    #[error("reading {object}")]
    Object {
        /// Which object.
        object: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Something a person has to mend; it is told in the Application's conditions.
    #[error(transparent)]
    Problem(Box<Problem>),
    /// A turn took too long.
    #[error("the turn took longer than {0} s")]
    Late(u64),
}

impl Error {
    /// Wraps what the API server said.
    pub(crate) fn api(attempt: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let attempt = attempt.into();
        |source| Error::Api { attempt, source: Box::new(source) }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error::Problem(Box::new(problem))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Problem(problem) => *problem,
            Error::Late(_) => {
                Problem::new("G0413", Kind::Timeout, "The Application took too long to reconcile.")
                    .because(&error)
            }
            error => Problem::new("G0413", Kind::Unavailable, "The API server did not do what was asked.")
                .because(&error)
                .try_this("Check that the API server runs: `kubectl get applications -n argocd`."),
        }
    }
}

/// The words of the API server, without ours around them.
pub(crate) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
