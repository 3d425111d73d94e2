//! One exchange: a request's bytes to a thread that may block, and what it writes to the response.
//!
//! The thread ends when its work ends, at the deadline, or when the client is gone: it asks often, and waits for the
//! client no longer than the deadline.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use galley_git::{
    Error,
    bare::{Bare, PackLimits},
};
use http::HeaderMap;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    runtime::Handle,
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::Instant,
};

use crate::{
    advertise::{self, LsRefs, Program, Version},
    ask::Ask,
    body::{BodyError, pass_on},
    fetch,
    pkt::{self, Odd},
    receive::{self, Changed, PushError},
};

/// What a request to `upload-pack` may weigh: it names commits, it does not carry them.
const ASK_BYTES: u64 = 16 << 20;
const CHUNK: usize = 64 * 1024;
/// Chunks that wait for a slow client.
const QUEUE: usize = 8;

/// Why an exchange did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The repository could not be read or written.
    #[error("the repository cannot be used")]
    Repository(#[source] Error),
    /// The request could not be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The request makes no sense.
    #[error(transparent)]
    Odd(#[from] Odd),
    /// It took too long.
    #[error("the exchange took too long")]
    Late,
    /// The work was cut short.
    #[error("the exchange was cut short")]
    Cut,
}

impl From<Error> for ExchangeError {
    fn from(error: Error) -> Self {
        match error {
            Error::Deadline { .. } => ExchangeError::Late,
            error => ExchangeError::Repository(error),
        }
    }
}

impl From<PushError> for ExchangeError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Odd(odd) => odd.into(),
            PushError::Repository(error) => error.into(),
        }
    }
}

/// Ends work at a moment.
fn in_time(path: &Path, until: Instant) -> Result<(), Error> {
    if Instant::now() < until {
        return Ok(());
    }
    Err(Error::Deadline { action: "exchange".into(), repository: path.to_owned(), seconds: 0 })
}

/// What the server has and can: the answer to `GET info/refs`.
pub(crate) async fn advertise(
    program: Program,
    repository: PathBuf,
    version: Version,
    until: Instant,
) -> Result<Vec<u8>, ExchangeError> {
    let work = tokio::task::spawn_blocking(move || {
        advertise::advertise(program, &Bare::open(&repository)?, version)
    });
    let work = tokio::time::timeout_at(until, work).await.map_err(|_| ExchangeError::Late)?;
    Ok(work.map_err(|_| ExchangeError::Cut)??)
}

/// What a request to `upload-pack` asks for.
enum Request {
    Nothing,
    Refs(LsRefs),
    Pack(Ask),
}

fn parse(version: Version, body: &[u8]) -> Result<Request, Odd> {
    if version != Version::Two {
        return Ask::zero(body).map(Request::Pack);
    }
    match advertise::command(body)? {
        None => Ok(Request::Nothing),
        Some((name, arguments)) => match name.as_str() {
            "ls-refs" => LsRefs::parse(&arguments).map(Request::Refs),
            "fetch" => Ask::two(&arguments).map(Request::Pack),
            other => Err(pkt::odd(format!("there is no command `{}`", other.escape_debug()))),
        },
    }
}

/// Answers a fetch: the request is read whole, the pack streams out.
pub(crate) async fn fetch(
    repository: PathBuf,
    headers: &HeaderMap,
    body: Body,
    permit: OwnedSemaphorePermit,
    until: Instant,
) -> Result<Body, ExchangeError> {
    let mut asked = Vec::new();
    let read = tokio::time::timeout_at(until, pass_on(headers, body, &mut asked, ASK_BYTES)).await;
    read.map_err(|_| ExchangeError::Late)??;
    let version = Version::of(headers);
    let request = parse(version, &asked)?;
    drop(asked);
    let (send, receive) = mpsc::channel(QUEUE);
    let (ready, prepared) = oneshot::channel();
    let mut out = Out { send, buffer: Vec::with_capacity(CHUNK), handle: Handle::current(), until };
    tokio::task::spawn_blocking(move || {
        // The place is taken until the last byte is handed over.
        let _permit = permit;
        let failed = serve(&repository, &request, version, &mut out, ready);
        if let Err(error) = failed {
            tracing::debug!(error = &error as &dyn std::error::Error, "a fetch ended early");
            let _ = out.send.try_send(Err(std::io::Error::other("the pack ends early")));
        }
    });
    prepared.await.map_err(|_| ExchangeError::Cut)??;
    Ok(Body::from_stream(stream::unfold(receive, |mut receive| async {
        receive.recv().await.map(|chunk| (chunk, receive))
    })))
}

/// Prepares the answer, says so, and writes it.
fn serve(
    repository: &Path,
    request: &Request,
    version: Version,
    out: &mut Out,
    ready: oneshot::Sender<Result<(), ExchangeError>>,
) -> Result<(), Error> {
    let (send, until) = (out.send.clone(), out.until);
    let pulse = || match send.is_closed() {
        true => Err(Error::Io { path: "the client".into(), source: std::io::ErrorKind::BrokenPipe.into() }),
        false => in_time(repository, until),
    };
    let prepare = || {
        let bare = Bare::open(repository)?;
        let answer = match request {
            Request::Nothing => Ok(Vec::new()),
            Request::Refs(asked) => Ok(asked.answer(&bare)?),
            Request::Pack(ask) => Err(fetch::answer(&bare, ask, version, &pulse)?),
        };
        Ok((bare, answer))
    };
    match prepare() {
        Err(error) => {
            let _ = ready.send(Err(error));
            Ok(())
        }
        Ok((bare, answer)) => {
            let _ = ready.send(Ok(()));
            match answer {
                Ok(bytes) => out.write_all(&bytes).and_then(|()| out.flush()).map_err(gone),
                Err(answer) => answer.send(&bare, out, &pulse),
            }
        }
    }
}

fn gone(source: std::io::Error) -> Error {
    Error::Io { path: "the client".into(), source }
}

/// Hands chunks to the response, waiting for a slow client until the deadline.
struct Out {
    send: mpsc::Sender<std::io::Result<Bytes>>,
    buffer: Vec<u8>,
    handle: Handle,
    until: Instant,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK)));
        let send = tokio::time::timeout_at(self.until, self.send.send(Ok(chunk)));
        match self.handle.block_on(send) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(std::io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Reads on a thread that may block what arrives elsewhere.
struct Blocking<R> {
    from: R,
    handle: Handle,
    until: Instant,
}

impl<R: AsyncRead + Unpin> Read for Blocking<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let read = tokio::time::timeout_at(self.until, self.from.read(to));
        self.handle.block_on(read).unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }
}

/// One push: where it goes and what it may weigh.
pub(crate) struct Push {
    pub(crate) repository: PathBuf,
    /// Kept while references change.
    pub(crate) lock: std::sync::Arc<tokio::sync::Mutex<()>>,
    pub(crate) bytes: u64,
    pub(crate) until: Instant,
}

impl Push {
    /// Takes a push to its end and answers git's report; `told` hears of every change.
    pub(crate) async fn take(
        self,
        headers: &HeaderMap,
        body: Body,
        mut told: impl FnMut(Changed) + Send + 'static,
    ) -> Result<Vec<u8>, ExchangeError> {
        let (from, to) = tokio::io::duplex(CHUNK);
        let handle = Handle::current();
        let (bytes, until) = (self.bytes, self.until);
        let work = tokio::task::spawn_blocking(move || {
            let mut input = Blocking { from, handle: handle.clone(), until };
            let bare = Bare::open(&self.repository)?;
            let pulse = || in_time(&self.repository, until);
            let locked = |work: &mut dyn FnMut() -> Result<(), Error>| {
                let lock = handle.block_on(tokio::time::timeout_at(until, self.lock.lock()));
                let _one_at_a_time = lock.map_err(|_| late(&self.repository))?;
                work()
            };
            let limits = PackLimits::default();
            receive::receive(&bare, &mut input, &limits, &pulse, &locked, &mut told)
                .map_err(ExchangeError::from)
        });
        let fed = tokio::time::timeout_at(until, pass_on(headers, body, to, bytes)).await;
        // The work ends by itself: its input has ended, or its time.
        let report = work.await.map_err(|_| ExchangeError::Cut)?;
        fed.map_err(|_| ExchangeError::Late)??;
        report
    }
}

fn late(path: &Path) -> Error {
    Error::Deadline { action: "push".into(), repository: path.to_owned(), seconds: 0 }
}
