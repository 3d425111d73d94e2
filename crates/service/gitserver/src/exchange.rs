//! One `git upload-pack` or `git receive-pack`, with a request before it and a response after it.

use std::{path::Path, process::Stdio, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::HeaderMap;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStdout, Command},
    sync::OwnedSemaphorePermit,
    time::Instant,
};

use crate::body::{BodyError, pass_on};

/// What a request to `upload-pack` may weigh: it names commits, it does not carry them.
const ASK_BYTES: u64 = 64 << 20;
/// What git may answer to a push.
const REPORT_BYTES: u64 = 8 << 20;
const CHUNK: usize = 64 * 1024;

/// Why an exchange did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// Git could not be started.
    #[error("starting git")]
    Start(#[source] std::io::Error),
    /// The request could not be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It took too long.
    #[error("git took too long")]
    Late,
}

/// Which of git's two servers answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    UploadPack,
    ReceivePack,
}

impl Program {
    pub(crate) fn parse(service: &str) -> Option<Self> {
        match service {
            "git-upload-pack" => Some(Program::UploadPack),
            "git-receive-pack" => Some(Program::ReceivePack),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::UploadPack => "upload-pack",
            Program::ReceivePack => "receive-pack",
        }
    }

    fn command(self, repository: &Path, headers: &HeaderMap) -> Command {
        let settings = [
            ("uploadpack.allowAnySHA1InWant", "true"),
            ("uploadpack.allowFilter", "true"),
            ("receive.fsckObjects", "true"),
            ("receive.advertisePushOptions", "false"),
            ("receive.autogc", "false"),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut command = galley_git::command(&settings);
        command.arg(self.name()).arg("--stateless-rpc");
        if let Some(protocol) =
            headers.get("git-protocol").and_then(|v| v.to_str().ok()).filter(|v| harmless(v))
        {
            command.env("GIT_PROTOCOL", protocol);
        }
        command.current_dir(repository).stderr(Stdio::null());
        command
    }
}

fn harmless(protocol: &str) -> bool {
    protocol.len() < 100 && protocol.chars().all(|c| c.is_ascii_alphanumeric() || "=:_-".contains(c))
}

/// What the server has and can: the answer to `GET info/refs`.
pub(crate) async fn advertise(
    program: Program,
    repository: &Path,
    headers: &HeaderMap,
    deadline: Duration,
) -> Result<Vec<u8>, ExchangeError> {
    let mut command = program.command(repository, headers);
    command.arg("--advertise-refs").arg(".");
    let output = tokio::time::timeout(deadline, command.output()).await;
    let output = output.map_err(|_| ExchangeError::Late)?.map_err(ExchangeError::Start)?;
    let line = format!("# service=git-{}\n", program.name());
    let mut answer = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    answer.extend(output.stdout);
    Ok(answer)
}

/// Answers a fetch: the request goes in whole, the pack streams out. Dropping the stream ends git.
pub(crate) async fn fetch(
    repository: &Path,
    headers: &HeaderMap,
    body: Body,
    permit: OwnedSemaphorePermit,
    deadline: Duration,
) -> Result<Body, ExchangeError> {
    let mut command = Program::UploadPack.command(repository, headers);
    command.arg(".").stdin(Stdio::piped());
    let mut child = command.spawn().map_err(ExchangeError::Start)?;
    let until = Instant::now() + deadline;
    if let Some(stdin) = child.stdin.take() {
        let fed = tokio::time::timeout_at(until, pass_on(headers, body, stdin, ASK_BYTES)).await;
        fed.map_err(|_| ExchangeError::Late)??;
    }
    let stdout = child.stdout.take();
    let running = stdout.map(|stdout| Running { child, stdout, until, _permit: permit });
    Ok(Body::from_stream(stream::unfold(running, |running| async {
        let mut running = running?;
        match running.chunk().await {
            Ok(None) => None,
            Ok(Some(bytes)) => Some((Ok(bytes), Some(running))),
            Err(error) => Some((Err(error), None)),
        }
    })))
}

struct Running {
    child: Child,
    stdout: ChildStdout,
    until: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Running {
    async fn chunk(&mut self) -> std::io::Result<Option<Bytes>> {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = tokio::time::timeout_at(self.until, self.stdout.read_buf(&mut chunk)).await;
        if read.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?? > 0 {
            return Ok(Some(Bytes::from(chunk)));
        }
        // A git that was killed must not look like one that has said all; one that refuses has said so in its answer.
        let status = tokio::time::timeout_at(self.until, self.child.wait()).await;
        match status.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?? {
            status if status.code().is_some() => Ok(None),
            status => Err(std::io::Error::other(format!("git upload-pack: {status}"))),
        }
    }
}

/// Takes a push to its end and answers git's report.
pub(crate) async fn receive(
    repository: &Path,
    headers: &HeaderMap,
    body: Body,
    limit: u64,
    deadline: Duration,
) -> Result<Vec<u8>, ExchangeError> {
    let mut command = Program::ReceivePack.command(repository, headers);
    command.arg(".").stdin(Stdio::piped());
    let mut child = command.spawn().map_err(ExchangeError::Start)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let feed = async {
        match stdin {
            Some(stdin) => pass_on(headers, body, stdin, limit).await,
            None => Ok(()),
        }
    };
    let read = async {
        let mut report = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(REPORT_BYTES).read_to_end(&mut report).await.map_err(ExchangeError::Start)?;
        }
        Ok(report)
    };
    let whole = async {
        let (report, ()) = tokio::try_join!(read, async { feed.await.map_err(ExchangeError::from) })?;
        child.wait().await.map_err(ExchangeError::Start)?;
        Ok(report)
    };
    tokio::time::timeout(deadline, whole).await.unwrap_or(Err(ExchangeError::Late))
}
