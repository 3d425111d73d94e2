//! Container logs in the format of the Container Runtime Interface: `TIME STREAM F|P TEXT`, one line each.
//!
//! `P` marks a line that the next entry of the same stream continues: it was too long, or its end never came. When
//! the file has reached its limit it becomes `<file>.1`, replacing the one before.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use galley_units::Clock;
use jiff::Timestamp;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;

/// The longest text in one entry; what container runtimes use.
const MAX_TEXT: usize = 16 << 10;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One entry of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// When it was read from the container.
    pub time: Timestamp,
    /// Where it came from.
    pub stream: Stream,
    /// Whether the next entry of the stream continues this line.
    pub partial: bool,
    /// The text, without the end of the line.
    pub text: &'a [u8],
}

/// Reads one line of a log file (without its newline); `None` if it is not one.
pub fn parse_line(line: &[u8]) -> Option<LogLine<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let partial = match parts.next()? {
        b"F" => false,
        b"P" => true,
        _ => return None,
    };
    Some(LogLine { time, stream, partial, text: parts.next().unwrap_or_default() })
}

/// Copies a container's output into its log until both streams have ended.
pub(crate) async fn copy(stdout: OwnedFd, stderr: OwnedFd, mut sink: Sink) -> io::Result<()> {
    let (mut out, mut err) = (Source::new(stdout, Stream::Stdout)?, Source::new(stderr, Stream::Stderr)?);
    while out.open || err.open {
        tokio::select! {
            read = out.fill(), if out.open => { read?; sink.drain(&mut out).await?; }
            read = err.fill(), if err.open => { read?; sink.drain(&mut err).await?; }
        }
    }
    sink.finish().await
}

/// One of the two pipes.
struct Source {
    pipe: Receiver,
    stream: Stream,
    pending: Vec<u8>,
    open: bool,
}

impl Source {
    fn new(fd: OwnedFd, stream: Stream) -> io::Result<Self> {
        Ok(Source { pipe: Receiver::from_owned_fd(fd)?, stream, pending: Vec::new(), open: true })
    }

    /// Reads something, or notices the end. Safe to cancel.
    async fn fill(&mut self) -> io::Result<()> {
        self.pending.reserve(MAX_TEXT);
        self.open = self.pipe.read_buf(&mut self.pending).await? > 0;
        Ok(())
    }

    /// The next entry that is due: text, whether it is partial, and how much of the buffer it takes.
    fn next(&self) -> Option<(&[u8], bool, usize)> {
        let window = &self.pending[..self.pending.len().min(MAX_TEXT)];
        match window.iter().position(|byte| *byte == b'\n') {
            Some(end) => Some((&window[..end], false, end + 1)),
            None if window.len() == MAX_TEXT || (!self.open && !window.is_empty()) => {
                Some((window, true, window.len()))
            }
            None => None,
        }
    }
}

/// A log file that is being written.
pub(crate) struct Sink {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
    clock: Arc<dyn Clock>,
    buffer: Vec<u8>,
}

impl Sink {
    /// Opens a log for appending.
    pub(crate) async fn open(path: &Path, limit: u64, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let file = open(path).await?;
        let size = file.metadata().await?.len();
        Ok(Sink { path: path.to_owned(), file, size, limit: limit.max(64 << 10), clock, buffer: Vec::new() })
    }

    async fn drain(&mut self, source: &mut Source) -> io::Result<()> {
        let stream = if source.stream == Stream::Stdout { "stdout" } else { "stderr" };
        let time = format!("{:.9}", self.clock.now());
        while let Some((text, partial, taken)) = source.next() {
            let mark = if partial { 'P' } else { 'F' };
            self.buffer.extend(format!("{time} {stream} {mark} ").as_bytes());
            self.buffer.extend(text);
            self.buffer.push(b'\n');
            source.pending.drain(..taken);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.buffer).await?;
        self.file.flush().await?;
        self.size += self.buffer.len() as u64;
        self.buffer.clear();
        if self.size > self.limit {
            self.rotate().await?;
        }
        Ok(())
    }

    async fn rotate(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        tokio::fs::rename(&self.path, old).await?;
        self.file = open(&self.path).await?;
        self.size = 0;
        Ok(())
    }

    async fn finish(mut self) -> io::Result<()> {
        self.file.flush().await
    }
}

async fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path).await
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use galley_units::ManualClock;

    use super::*;

    async fn written(output: &[u8], limit: u64) -> (String, Option<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let clock = Arc::new(ManualClock::new("2026-01-02T03:04:05.5Z".parse().unwrap()));
        let sink = Sink::open(&path, limit, clock).await.unwrap();
        let (out, mut out_writer) = io::pipe().unwrap();
        let (err, err_writer) = io::pipe().unwrap();
        drop(err_writer);
        let output = output.to_vec();
        let writer = std::thread::spawn(move || out_writer.write_all(&output).unwrap());
        copy(out.into(), err.into(), sink).await.unwrap();
        writer.join().unwrap();
        let read = |path: &str| std::fs::read_to_string(path).ok();
        (read(path.to_str().unwrap()).unwrap(), read(&format!("{}.1", path.display())))
    }

    #[tokio::test]
    async fn lines_are_stamped_and_an_unfinished_one_is_marked() {
        let (log, _) = written(b"one\n\ntwo", 1 << 20).await;
        assert_eq!(
            log,
            "2026-01-02T03:04:05.500000000Z stdout F one\n2026-01-02T03:04:05.500000000Z stdout F \n\
             2026-01-02T03:04:05.500000000Z stdout P two\n"
        );
        let first = parse_line(log.lines().next().unwrap().as_bytes()).unwrap();
        assert_eq!((first.text, first.partial, first.stream), (&b"one"[..], false, Stream::Stdout));
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_a_full_log_moves_aside() {
        let (log, _) = written(&[b'x'; MAX_TEXT + 5], 1 << 20).await;
        let marks: Vec<bool> = log.lines().map(|line| parse_line(line.as_bytes()).unwrap().partial).collect();
        assert_eq!(marks, [true, true]);
        let many = vec![b'\n'; 4000];
        let (log, old) = written(&many, 1).await;
        let lines = log.lines().count() + old.unwrap().lines().count();
        assert_eq!(lines, 4000);
    }
}
