//! What can go wrong with a tool, and how a person is told.

use std::path::PathBuf;

use galley_problem::{Kind, Problem};

use crate::diagnostic::Diagnostic;

/// A failure of this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not there.
    #[error("`{0}` is not installed")]
    Missing(String),
    /// The program is too old.
    #[error("{name} {version} is too old; {wanted} is the oldest that works")]
    Old {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// The oldest that works.
        wanted: &'static str,
    },
    /// A file could not be read or written.
    #[error("failed {attempt} {}", path.display())]
    File {
        /// What was tried.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The program could not be started.
    #[error("`{program}` could not be started")]
    Start {
        /// Which.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It said what is wrong.
    #[error("`{command}` failed")]
    Refused {
        /// The command, short.
        command: String,
        /// Whether the cloud may have been changed.
        changed: bool,
        /// What it said.
        diagnostics: Vec<Diagnostic>,
        /// The end of its standard error, where it said nothing in its stream.
        stderr: String,
    },
    /// It was ended by a signal.
    #[error("`{command}` was ended by signal {signal}")]
    Killed {
        /// The command, short.
        command: String,
        /// Which signal.
        signal: i32,
    },
    /// It took too long.
    #[error("`{command}` did not end in {}", galley_units::format_duration(*limit))]
    Deadline {
        /// The command, short.
        command: String,
        /// How long it was given.
        limit: std::time::Duration,
    },
    /// It said too much, or something that is not JSON.
    #[error("`{command}` wrote what cannot be read: {why}")]
    Output {
        /// The command, short.
        command: String,
        /// What is wrong with it.
        why: String,
    },
    /// The cloud refused or did not answer.
    #[error("{0}")]
    Cloud(#[from] crate::openstack::CloudError),
}

impl Error {
    /// Makes a file error.
    pub(crate) fn file(
        attempt: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { attempt, path, source }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let text = format!("{}.", capital(&error.to_string()));
        match error {
            Error::Missing(name) if name.contains("ansible") => {
                Problem::new("G1220", Kind::Unavailable, text)
                    .try_this("Install it with `pip install -r infra/ansible/requirements.txt`, or name it with `--ansible PATH`.")
            }
            Error::Missing(_) => Problem::new("G1201", Kind::Unavailable, text)
                .try_this("Install OpenTofu (or Terraform) 1.6 or later, or name its path with `--tool PATH`."),
            Error::Old { .. } => {
                Problem::new("G1201", Kind::Unavailable, text).try_this("Install a newer one, or name another with `--tool PATH`.")
            }
            Error::File { ref source, .. } => Problem::new("G1202", Kind::Io, text).because(source),
            Error::Start { ref source, .. } => Problem::new("G1202", Kind::Unavailable, text).because(source),
            Error::Refused { command, changed, diagnostics, stderr } => {
                crate::diagnostic::problem(&command, changed, &diagnostics, &stderr)
            }
            Error::Killed { .. } => Problem::new("G1206", Kind::Unavailable, text).try_this(
                "Run the same command again: it looks for what was left unfinished, puts that right and goes on.",
            ),
            Error::Deadline { .. } => Problem::new("G1206", Kind::Timeout, text)
                .try_this("Run it again, with a longer `--timeout` if the cloud is slow; it goes on where it stopped."),
            Error::Output { .. } => Problem::new("G1208", Kind::Invalid, text)
                .try_this("Run it with `-v`, and run the command that is shown by hand."),
            Error::Cloud(error) => error.into(),
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}
