//! Bodies on their way: lent to attempts, copied for mirrors, watched for silence.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Any body.
pub(super) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// A short text.
pub(super) fn text(text: impl Into<Bytes>) -> AnyBody {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Nothing.
pub(super) fn empty() -> AnyBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

struct Slot {
    body: AnyBody,
    touched: bool,
}

/// A request's body, lent to one attempt after another. An attempt that never began to read it leaves it whole.
#[derive(Clone)]
pub(super) struct Lent(Arc<Mutex<Slot>>);

impl Lent {
    pub(super) fn new(body: AnyBody) -> Lent {
        Lent(Arc::new(Mutex::new(Slot { body, touched: false })))
    }

    /// Whether no attempt has begun to read it, so that it can be sent again.
    pub(super) fn is_whole(&self) -> bool {
        let slot = self.lock();
        !slot.touched || slot.body.is_end_stream() && slot.body.size_hint().exact() == Some(0)
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().body.size_hint().exact() == Some(0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut slot = self.lock();
        slot.touched = true;
        Pin::new(&mut slot.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}

/// Ends a body that is silent for too long.
pub(super) struct Idle<B> {
    inner: B,
    limit: Duration,
    silence: Pin<Box<Sleep>>,
}

impl<B> Idle<B> {
    pub(super) fn new(inner: B, limit: Duration) -> Idle<B> {
        Idle { inner, limit, silence: Box::pin(tokio::time::sleep(limit)) }
    }
}

impl<B> Body for Idle<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                let next = Instant::now() + self.limit;
                self.silence.as_mut().reset(next);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending if self.silence.as_mut().poll(cx).is_ready() => {
                Poll::Ready(Some(Err("the body was silent for too long".into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Keeps a copy of a body of at most `limit` bytes, and hands it over at the end. A larger body, or one that breaks off,
/// gives no copy.
pub(super) struct Tee {
    inner: AnyBody,
    copy: Option<Vec<Bytes>>,
    left: usize,
    done: Option<oneshot::Sender<Vec<Bytes>>>,
}

impl Tee {
    pub(super) fn new(inner: AnyBody, limit: usize) -> (Tee, oneshot::Receiver<Vec<Bytes>>) {
        let (done, copy) = oneshot::channel();
        let mut tee = Tee { inner, copy: Some(Vec::new()), left: limit, done: Some(done) };
        // Nobody reads a body that has nothing in it.
        if tee.inner.is_end_stream() {
            tee.finish();
        }
        (tee, copy)
    }

    fn take(&mut self, piece: &Bytes) {
        match (&mut self.copy, self.left.checked_sub(piece.len())) {
            (Some(copy), Some(left)) => {
                copy.push(piece.clone());
                self.left = left;
            }
            _ => {
                self.copy = None;
                self.done = None;
            }
        }
    }

    fn finish(&mut self) {
        if let (Some(done), Some(copy)) = (self.done.take(), self.copy.take()) {
            // Nobody waits when the mirror was given up.
            let _ = done.send(copy);
        }
    }
}

impl Body for Tee {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(piece) = frame.data_ref() {
                    self.take(piece);
                }
                // Readers may stop at the last piece without asking for the end.
                if self.inner.is_end_stream() {
                    self.finish();
                }
            }
            Some(Err(_)) => self.done = None,
            None => self.finish(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
