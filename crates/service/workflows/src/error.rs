//! What can go wrong while looking at a workflow.

use galley_problem::{Kind, Problem};

/// A look at an object that did not come to its end; it is repeated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not do what was asked.
    #[error("{what} failed")]
    Api {
        /// What was asked.
        what: String,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object does not have the form of its kind.
    #[error("{what} cannot be read")]
    Form {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// An answer of the API server to `what`.
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Error {
        let what = what.into();
        move |source| Error::Api { what, source: Box::new(source) }
    }

    /// Whether somebody else was faster and the whole look is to be repeated at once.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Error::Api { source, .. } if code_of(source) == Some(409))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Api { source, .. } => match code_of(source) {
                Some(401 | 403) => Kind::Denied,
                Some(404) => Kind::NotFound,
                Some(409) => Kind::Conflict,
                Some(400 | 422) => Kind::Invalid,
                _ => Kind::Unavailable,
            },
            Error::Form { .. } => Kind::Invalid,
        };
        let text = error.to_string();
        let mut letters = text.chars();
        let what = letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str());
        let problem = Problem::new("G0509", kind, format!("{}.", what.unwrap_or_default()));
        match std::error::Error::source(&error) {
            Some(source) => problem.because(source),
            None => problem,
        }
    }
}

/// The HTTP code of an answer, if there was one.
pub(crate) fn code_of(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
