//! What Galley and the helper say to each other: JSON frames, some of them with file descriptors attached.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::spec::{ContainerSpec, ExecSpec};

/// The step that executes the program; a failure here is the image's or the user's.
pub(crate) const STEP_EXEC: &str = "execute the program";

/// The first frame to the helper.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Boot {
    /// Whether to make namespaces.
    pub namespaces: bool,
    /// A folder on the filesystem where containers will live, for trying things out.
    pub scratch: PathBuf,
}

/// A request to the helper.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub id: u64,
    pub op: Op,
}

/// What is requested.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Op {
    /// A fresh socket in the fabric; comes back as a descriptor.
    Socket { udp: bool },
    /// The namespaces of a pod.
    CreatePod { pod: String, hostname: String, address: Ipv4Addr },
    /// Forget a pod; its containers must have been removed.
    RemovePod { pod: String },
    /// Start a container; standard output and error are attached.
    Start { pod: String, spec: Box<ContainerSpec> },
    /// Start a further process in a container; standard output and error are attached.
    Exec { spec: Box<ExecSpec> },
    /// Send a signal to a container's first process.
    Signal { container: String, signal: i32 },
    /// Open a file of a container's root for reading; comes back as a descriptor.
    Open { container: String, path: String },
    /// Kill what is left of a container and let go of its root.
    Remove { container: String },
}

/// What the helper says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The answer to [`Boot`].
    Booted { failure: Option<Failure>, notices: Vec<String> },
    /// The answer to a request.
    Reply { id: u64, failure: Option<Failure>, notices: Vec<String> },
    /// A container's first process has ended.
    Exited { container: String, exit: Exit },
}

/// Why a request failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub step: String,
    pub message: String,
    pub errno: i32,
}

impl Failure {
    pub(crate) fn new(step: impl Into<String>, error: impl Into<std::io::Error>) -> Self {
        let error = error.into();
        Failure { step: step.into(), errno: error.raw_os_error().unwrap_or(0), message: error.to_string() }
    }

    pub(crate) fn into_error(self) -> crate::Error {
        crate::Error::Step { step: self.step, message: self.message, errno: self.errno }
    }

    pub(crate) fn into_io(self) -> std::io::Error {
        match self.errno {
            0 => std::io::Error::other(format!("{}: {}", self.step, self.message)),
            errno => std::io::Error::from_raw_os_error(errno),
        }
    }
}

/// Adds the attempted step to an error.
pub(crate) trait Step<T> {
    fn step(self, step: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: Into<std::io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step, error))
    }
}

/// How a container's first process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; 128 plus the number of the signal if one ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}
