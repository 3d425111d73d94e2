//! Reading the logs of containers: the last lines, and more as they come.
//!
//! The runner writes `logs/<namespace>_<pod>_<uid>/<container>/<attempt>.log`; what is written now is in [`Live`].

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use galley_sandbox::{LogLine, parse_line};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::objects::uid_of;

const POLL: Duration = Duration::from_millis(150);
/// The longest line that is read; the sandbox writes shorter ones.
const MAX_LINE: usize = 64 << 10;

/// What part of a log is wanted.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// The container; may be left out if the pod has one.
    pub container: Option<String>,
    /// Go on as long as the container runs.
    pub follow: bool,
    /// Only the last lines.
    pub tail_lines: Option<usize>,
    /// Begin each line with its time.
    pub timestamps: bool,
    /// Of the attempt before the present one.
    pub previous: bool,
    /// Only lines since then.
    pub since: Option<jiff::Timestamp>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no such pod.
    #[error("pods \"{0}\" not found")]
    NoPod(String),
    /// The pod has no such container, or has several and none was named.
    #[error("{0}")]
    Container(String),
    /// The container has not started, or has no previous attempt.
    #[error("{0}")]
    NotStarted(String),
    /// The API could not be asked.
    #[error("could not read the pod")]
    Api(#[source] Box<kube::Error>),
    /// The file could not be read.
    #[error("could not read the log")]
    Io(#[from] std::io::Error),
}

/// The logs that are being written.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<Mutex<HashSet<PathBuf>>>);

impl Live {
    pub(crate) fn begin(&self, path: &Path) {
        self.lock().insert(path.to_owned());
    }

    pub(crate) fn end(&self, path: &Path) {
        self.lock().remove(path);
    }

    fn holds(&self, path: &Path) -> bool {
        self.lock().contains(path)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads logs.
#[derive(Clone)]
pub struct Logs {
    dir: PathBuf,
    client: Client,
    live: Live,
}

/// The folder of a pod's logs.
pub(crate) fn pod_folder(dir: &Path, namespace: &str, pod: &str, uid: &str) -> PathBuf {
    dir.join(format!("{namespace}_{pod}_{uid}"))
}

impl Logs {
    pub(crate) fn new(dir: PathBuf, client: Client, live: Live) -> Self {
        Logs { dir, client, live }
    }

    /// The log of a container, line by line.
    ///
    /// # Errors
    /// [`LogError`]; a failure while reading comes out of the stream.
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        options: LogOptions,
    ) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>, LogError> {
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let object = api.get_opt(pod).await.map_err(|error| LogError::Api(Box::new(error)))?;
        let object = object.ok_or_else(|| LogError::NoPod(pod.to_owned()))?;
        let container = choose(&object, pod, options.container.as_deref())?;
        let folder = pod_folder(&self.dir, namespace, pod, uid_of(&object.metadata)).join(&container);
        let mut attempts = attempts(&folder);
        if options.previous {
            attempts.pop();
        }
        let Some(number) = attempts.last() else {
            let what = if options.previous { "previous terminated container" } else { "container" };
            return Err(LogError::NotStarted(format!(
                "{what} \"{container}\" in pod \"{pod}\" is waiting to start or has no log"
            )));
        };
        let path = folder.join(format!("{number}.log"));
        let limit = options.limit_bytes;
        Ok(limited(read(path, self.live.clone(), options), limit))
    }
}

fn choose(pod: &Pod, name: &str, asked: Option<&str>) -> Result<String, LogError> {
    let spec = pod.spec.clone().unwrap_or_default();
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let names: Vec<&str> = all.map(|container| container.name.as_str()).collect();
    let default =
        pod.metadata.annotations.as_ref().and_then(|a| a.get("kubectl.kubernetes.io/default-container"));
    match asked.or(default.map(String::as_str)) {
        Some(asked) if names.contains(&asked) => Ok(asked.to_owned()),
        Some(asked) => Err(LogError::Container(format!(
            "container {asked} is not valid for pod {name}; it has {}",
            names.join(", ")
        ))),
        None if spec.containers.len() == 1 => Ok(spec.containers[0].name.clone()),
        None => Err(LogError::Container(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            names.join(" ")
        ))),
    }
}

/// The numbers of the attempts that have a log, in order.
pub(crate) fn attempts(folder: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn read(path: PathBuf, live: Live, options: LogOptions) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    async_stream::try_stream! {
        let mut skip = match options.tail_lines {
            Some(wanted) => count_lines(&path).await?.saturating_sub(wanted),
            None => 0,
        };
        let mut old = path.clone().into_os_string();
        old.push(".1");
        if let Ok(file) = File::open(&old).await {
            let mut lines = BufReader::new(file);
            while let Some(line) = next_line(&mut lines, &mut Vec::new()).await? {
                if skip > 0 {
                    skip -= 1;
                } else if let Some(text) = shown(&line, &options) {
                    yield text;
                }
            }
        }
        let mut lines = BufReader::new(File::open(&path).await?);
        let mut begun = Vec::new();
        loop {
            // Asked before reading: what is written after that is caught in the next round.
            let writing = live.holds(&path);
            while let Some(line) = next_line(&mut lines, &mut begun).await? {
                if skip > 0 {
                    skip -= 1;
                } else if let Some(text) = shown(&line, &options) {
                    yield text;
                }
            }
            if !options.follow || !writing {
                return;
            }
            tokio::time::sleep(POLL).await;
            if replaced(&lines, &path).await {
                lines = BufReader::new(File::open(&path).await?);
            }
        }
    }
}

/// Cuts a stream of bytes.
fn limited(
    lines: impl Stream<Item = std::io::Result<Bytes>> + Send,
    limit: Option<u64>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    let mut left = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    lines
        .map(move |line| {
            line.map(|mut line| {
                line.truncate(left);
                left -= line.len();
                line
            })
        })
        .take_while(|line| {
            std::future::ready(line.as_ref().is_ok_and(|line| !line.is_empty()) || line.is_err())
        })
}

/// Whether the file has been moved aside and a new one begun.
async fn replaced(lines: &BufReader<File>, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(now)) = (lines.get_ref().metadata().await, tokio::fs::metadata(path).await) else {
        return false;
    };
    open.ino() != now.ino()
}

async fn count_lines(path: &Path) -> std::io::Result<usize> {
    let mut old = path.to_owned().into_os_string();
    old.push(".1");
    let mut count = 0;
    for path in [PathBuf::from(old), path.to_owned()] {
        let Ok(file) = File::open(&path).await else { continue };
        let mut lines = BufReader::new(file);
        while next_line(&mut lines, &mut Vec::new()).await?.is_some() {
            count += 1;
        }
    }
    Ok(count)
}

/// The next whole line; what has come of an unfinished one stays in `begun`.
async fn next_line(lines: &mut BufReader<File>, begun: &mut Vec<u8>) -> std::io::Result<Option<Vec<u8>>> {
    lines.read_until(b'\n', begun).await?;
    if begun.last() == Some(&b'\n') || begun.len() > MAX_LINE {
        begun.pop();
        return Ok(Some(std::mem::take(begun)));
    }
    Ok(None)
}

fn shown(line: &[u8], options: &LogOptions) -> Option<Bytes> {
    let LogLine { time, partial, text, .. } = parse_line(line)?;
    if options.since.is_some_and(|since| time < since) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() + 32);
    if options.timestamps {
        out.extend(format!("{time:.9} ").as_bytes());
    }
    out.extend(text);
    if !partial {
        out.push(b'\n');
    }
    Some(out.into())
}

/// The end of what a finished container has written to standard output, at most `limit` bytes, exactly as written.
pub(crate) async fn stdout_tail(path: &Path, limit: usize) -> std::io::Result<Vec<u8>> {
    let mut old = path.to_owned().into_os_string();
    old.push(".1");
    let mut out: Vec<u8> = Vec::new();
    for path in [PathBuf::from(old), path.to_owned()] {
        let Ok(file) = File::open(&path).await else { continue };
        let mut lines = BufReader::new(file);
        let mut begun = Vec::new();
        while let Some(line) = next_line(&mut lines, &mut begun).await? {
            let Some(line) = parse_line(&line) else { continue };
            if line.stream == galley_sandbox::Stream::Stdout {
                out.extend(line.text);
                if !line.partial {
                    out.push(b'\n');
                }
            }
            if out.len() > 4 * limit {
                out.drain(..out.len() - limit);
            }
        }
    }
    let extra = out.len().saturating_sub(limit);
    out.drain(..extra);
    Ok(out)
}
