//! Where the logs of pods come from: the room that runs them.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;

/// What of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// The container; always given, and known to be in the pod's spec.
    pub container: String,
    /// Go on as the log grows, until the container ends.
    pub follow: bool,
    /// Only so many last lines.
    pub tail_lines: Option<u64>,
    /// Only what was written since.
    pub since: Option<Timestamp>,
    /// Write the time before each line, RFC 3339.
    pub timestamps: bool,
    /// The log of the container's previous run.
    pub previous: bool,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The container has not run here.
    #[error("there is no log of container `{container}` in pod `{pod}`")]
    NotFound {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
    /// Not yet: the container waits to start. The text says for what.
    #[error("container is waiting to start: {0}")]
    NotStarted(String),
    /// Reading it failed.
    #[error("reading the log")]
    Io(#[from] io::Error),
}

/// The bytes of a log as they come.
pub type LogStream = BoxStream<'static, Result<Bytes, io::Error>>;

/// Gives out the logs of pods.
#[async_trait]
pub trait LogSource: Send + Sync + 'static {
    /// The log of one container of a pod.
    async fn logs(&self, namespace: &str, pod: &str, query: LogQuery) -> Result<LogStream, LogError>;
}
