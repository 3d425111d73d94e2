//! Why a call failed.

use galley_problem::{Kind, Problem};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no HTTP address.
    #[error("`{url}` is not the address of a tracking server: {why}")]
    Address {
        /// The address.
        url: String,
        /// Why not.
        why: String,
    },
    /// The server could not be reached, or the connection broke.
    #[error("the tracking server could not be reached to {what}")]
    Unreachable {
        /// What was attempted.
        what: String,
        /// What the connection said.
        #[source]
        source: reqwest::Error,
    },
    /// The server refused.
    #[error("the tracking server refused to {what}: {message} ({code}, HTTP {status})")]
    Refused {
        /// What was attempted.
        what: String,
        /// HTTP status.
        status: u16,
        /// MLflow's error code; empty if the answer had none.
        code: String,
        /// The server's message.
        message: String,
    },
    /// The answer is not what MLflow answers.
    #[error("the answer to the attempt to {what} is not what an MLflow server answers")]
    Answer {
        /// What was attempted.
        what: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The answer or artifact is larger than allowed.
    #[error("the answer to the attempt to {what} is larger than {limit} bytes")]
    TooLarge {
        /// What was attempted.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The request cannot be made.
    #[error("{0}")]
    Request(String),
}

impl Error {
    /// The server says that the object does not exist.
    pub fn is_absent(&self) -> bool {
        match self {
            Error::Refused { code, status, message, .. } => {
                code == "RESOURCE_DOES_NOT_EXIST"
                    || (code.is_empty() && *status == 404)
                    // MLflow reports an unknown alias as a wrong value.
                    || (code == "INVALID_PARAMETER_VALUE" && message.contains("alias") && message.contains("not found"))
            }
            _ => false,
        }
    }

    /// The server says that the object exists already.
    pub fn is_taken(&self) -> bool {
        matches!(self, Error::Refused { code, .. } if code == "RESOURCE_ALREADY_EXISTS")
    }

    /// The server does not accept the token.
    pub fn is_denied(&self) -> bool {
        matches!(self, Error::Refused { status: 401 | 403, .. })
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let what = {
            let text = error.to_string();
            let mut letters = text.chars();
            let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
            format!("{first}{}.", letters.as_str().trim_end_matches('.'))
        };
        let problem = |code, kind| Problem::new(code, kind, what.clone());
        let told = match &error {
            Error::Unreachable { .. } => problem("G0902", Kind::Unavailable)
                .try_this("Check that the tracking server runs and that MLFLOW_TRACKING_URI names it."),
            Error::Refused { .. } if error.is_denied() => problem("G0903", Kind::Denied)
                .try_this("Set MLFLOW_TRACKING_TOKEN to a token that may write."),
            Error::Refused { .. } if error.is_absent() => problem("G0904", Kind::NotFound),
            Error::Refused { status: 400..500, .. } | Error::Request(_) => problem("G0905", Kind::Invalid),
            Error::Refused { .. } => problem("G0902", Kind::Unavailable)
                .try_this("Look into the tracking server's log, then try again."),
            Error::Address { .. } => problem("G0906", Kind::Config)
                .try_this("Set MLFLOW_TRACKING_URI to an address such as `http://127.0.0.1:5000`."),
            Error::Answer { .. } | Error::TooLarge { .. } => problem("G0907", Kind::Unavailable)
                .try_this("Check that MLFLOW_TRACKING_URI names an MLflow server of version 2.9 or later."),
        };
        match std::error::Error::source(&error) {
            Some(source) => told.because(source),
            None => told,
        }
    }
}
