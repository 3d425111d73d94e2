//! A repository behind smart HTTP, without any git program: for steps that run where only our own binary is.
//!
//! Reads speak protocol version 2 (`ls-refs`, and `fetch` with depth 1); writes speak `receive-pack` with one small
//! pack of whole objects. A push names the commit it is based on, so two writers never lose each other's work: the
//! later one gets [`RemoteError::Moved`] and starts again from the new tip ([`Remote::commit_with_retry`]).
//!
//! Everything that comes from the server is bounded ([`RemoteLimits`]) and checked: objects have the id they are asked
//! for by, the pack has its sum.

mod http;
mod object;
mod pack;
mod pkt;
mod push;

use std::{collections::BTreeMap, time::Duration};

use galley_problem::{Kind, Problem};

pub use object::{Mode, SnapshotFile};
pub(crate) use pack::undo_delta;
pub use push::{Change, Proposal};

use crate::Credentials;
use object::Id;
use pkt::Packet;

/// Why a repository elsewhere could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The server could not be reached or broke off.
    #[error("talking to {url}")]
    Http {
        /// The address without credentials.
        url: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The server answered with another status than it should.
    #[error("{url} answered {status}: {said}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The start of what it said.
        said: String,
    },
    /// The credentials are missing, wrong, or not enough.
    #[error("{url} does not allow this")]
    Denied {
        /// The address.
        url: String,
    },
    /// There is no such branch or commit.
    #[error("{url} has no `{rev}`")]
    Absent {
        /// The address.
        url: String,
        /// What was asked for.
        rev: String,
    },
    /// The branch is not where the change was made from: read again and try again.
    #[error("`{branch}` has moved to {tip}")]
    Moved {
        /// The branch.
        branch: String,
        /// Where it is now.
        tip: String,
    },
    /// The server understood the push and refused it.
    #[error("the push to `{branch}` was refused: {reason}")]
    Refused {
        /// The branch.
        branch: String,
        /// What the server said.
        reason: String,
    },
    /// The answer is not git's protocol, or damaged.
    #[error("unexpected answer of the git server: {0}")]
    Protocol(String),
    /// The answer is larger than allowed.
    #[error("{what} is larger than {limit}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A change that cannot be made: a path that leaves the tree, or a file where a folder is.
    #[error("the path `{0}` cannot be changed")]
    Path(String),
    /// The closure given to [`Remote::commit_with_retry`] failed.
    #[error(transparent)]
    Change(Box<Problem>),
}

impl From<RemoteError> for Problem {
    fn from(error: RemoteError) -> Self {
        let problem = |code, kind, what: &str| Problem::new(code, kind, what).because(&error);
        match &error {
            RemoteError::Change(problem) => (**problem).clone(),
            RemoteError::Denied { .. } => {
                problem("G0405", Kind::Denied, "The git server refused the credentials.").try_this(
                    "Check the token; pushes to Galley's own git server need the one in its state folder.",
                )
            }
            RemoteError::Moved { .. } => {
                problem("G0406", Kind::Conflict, "The branch moved while it was being changed.")
                    .try_this("Run the command again.")
            }
            RemoteError::Refused { .. } => {
                problem("G0406", Kind::Conflict, "The git server refused the push.")
            }
            RemoteError::Absent { .. } => {
                problem("G0404", Kind::NotFound, "The git server does not have that revision.")
            }
            RemoteError::TooLarge { .. } => {
                problem("G0403", Kind::Invalid, "The repository holds something too large.")
            }
            RemoteError::Path(_) => problem("G0402", Kind::Invalid, "The change cannot be made."),
            RemoteError::Http { .. } | RemoteError::Status { .. } | RemoteError::Protocol(_) => {
                problem("G0407", Kind::Unavailable, "The git server did not answer as it should.")
            }
        }
    }
}

/// How much of a repository is taken at once.
#[derive(Clone, Copy, Debug)]
pub struct RemoteLimits {
    /// Bytes of a pack as it is sent.
    pub pack: usize,
    /// Bytes of one object.
    pub object: usize,
    /// Bytes of all objects.
    pub total: usize,
    /// Objects.
    pub objects: usize,
}

impl Default for RemoteLimits {
    fn default() -> Self {
        RemoteLimits { pack: 256 << 20, object: 64 << 20, total: 512 << 20, objects: 200_000 }
    }
}

/// A repository at a URL.
#[derive(Clone, Debug)]
pub struct Remote {
    http: http::Http,
    limits: RemoteLimits,
}

/// All files of one commit.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The commit's id.
    pub commit: String,
    /// The files by path.
    pub files: BTreeMap<String, SnapshotFile>,
    /// Submodules and links: kept as they are when the commit is built upon.
    others: BTreeMap<String, (Mode, Id)>,
    tree: Id,
}

impl Snapshot {
    /// The bytes of a file.
    pub fn read(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|file| file.bytes.as_ref())
    }
}

impl Remote {
    /// The repository at `url`, as in `http://127.0.0.1:8418/pipeline.git`.
    ///
    /// # Errors
    /// [`RemoteError::Http`] if the URL is none.
    pub fn new(url: &str, credentials: Option<Credentials>) -> Result<Self, RemoteError> {
        let http = http::Http::new(url, credentials, Duration::from_secs(120))?;
        Ok(Remote { http, limits: RemoteLimits::default() })
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: RemoteLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The address, without credentials.
    pub fn url(&self) -> &str {
        self.http.url()
    }

    /// The commit at the tip of a branch (`HEAD` for the default one); `None` if there is no such branch.
    ///
    /// # Errors
    /// If the server cannot be reached or answers oddly.
    pub async fn tip(&self, branch: &str) -> Result<Option<String>, RemoteError> {
        let name = full_name(branch);
        let request = pkt::command("ls-refs", &["peel".into(), format!("ref-prefix {name}")]);
        let answer = self.http.upload_pack(request, 1 << 20).await?;
        for packet in pkt::read_all(&answer)? {
            let Packet::Line(line) = packet else { continue };
            let line = String::from_utf8_lossy(line);
            let mut parts = line.split_whitespace();
            if let (Some(id), Some(found)) = (parts.next(), parts.next())
                && found == name
            {
                return Ok(Some(Id::parse(id)?.to_string()));
            }
        }
        Ok(None)
    }

    /// All files at a branch's tip or of a commit (40 digits), in one exchange of depth 1.
    ///
    /// # Errors
    /// [`RemoteError::Absent`] if it is not there, [`RemoteError::TooLarge`] past the limits.
    pub async fn snapshot(&self, rev: &str) -> Result<Snapshot, RemoteError> {
        let commit = match Id::parse(rev) {
            Ok(id) => id.to_string(),
            Err(_) => self.tip(rev).await?.ok_or_else(|| self.absent(rev))?,
        };
        let arguments: Vec<String> = ["ofs-delta".into(), "no-progress".into(), "deepen 1".into()]
            .into_iter()
            .chain([format!("want {commit}"), "done".into()])
            .collect();
        let answer = self.http.upload_pack(pkt::command("fetch", &arguments), self.limits.pack).await?;
        let bytes = match pkt::packfile(&answer) {
            Err(RemoteError::Protocol(said)) if said.contains("not our ref") => return Err(self.absent(rev)),
            other => other?,
        };
        let limits = self.limits;
        // Unpacking is work for the processor, not for the thread that serves others.
        let unpacked = tokio::task::spawn_blocking(move || {
            let objects = pack::read(&bytes, limits)?;
            object::snapshot(&objects, &commit, limits)
        });
        unpacked.await.map_err(|_| RemoteError::Protocol("the pack could not be read".into()))?
    }

    fn absent(&self, rev: &str) -> RemoteError {
        RemoteError::Absent { url: self.url().to_owned(), rev: rev.to_owned() }
    }
}

fn full_name(branch: &str) -> String {
    if branch == "HEAD" || branch.starts_with("refs/") {
        branch.to_owned()
    } else {
        format!("refs/heads/{branch}")
    }
}
