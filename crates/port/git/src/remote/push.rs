//! A commit on top of another, pushed with a check that nobody was faster.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Remote, RemoteError, Snapshot,
    object::{Id, Kind, Mode, TreeEntry, write_tree},
    pack,
    pkt::{self, Packet},
};
use crate::Author;

/// One file of a commit: its path and its new bytes, or `None` to remove it.
pub type Change<'a> = (&'a str, Option<&'a [u8]>);

/// What a closure given to [`Remote::commit_with_retry`] wants committed.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// New bytes by path; `None` removes the file.
    pub changes: BTreeMap<String, Option<Vec<u8>>>,
    /// The commit's message.
    pub message: String,
}

/// How often [`Remote::commit_with_retry`] starts again.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

impl Remote {
    /// Commits `changes` on top of `parent` and moves `branch` there; answers the new commit's id. Changes that change
    /// nothing answer `parent`.
    ///
    /// # Errors
    /// [`RemoteError::Moved`] if the branch is not at `parent` (any more): read again and decide again.
    pub async fn commit(
        &self,
        branch: &str,
        parent: &str,
        changes: &[Change<'_>],
        message: &str,
        author: &Author,
    ) -> Result<String, RemoteError> {
        let snapshot = self.snapshot(parent).await?;
        self.commit_on(&snapshot, branch, changes, message, author).await
    }

    /// As [`Remote::commit`], on top of a snapshot that is at hand.
    ///
    /// # Errors
    /// As [`Remote::commit`].
    pub async fn commit_on(
        &self,
        snapshot: &Snapshot,
        branch: &str,
        changes: &[Change<'_>],
        message: &str,
        author: &Author,
    ) -> Result<String, RemoteError> {
        let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
        let built = build(snapshot, changes, message, author)?;
        let Some((commit, objects)) = built else { return Ok(snapshot.commit.clone()) };
        let tip = self.pushable_tip(branch).await?;
        if tip != snapshot.commit {
            return Err(RemoteError::Moved { branch: branch.to_owned(), tip });
        }
        let name = format!("refs/heads/{branch}");
        let order = format!(
            "{} {commit} {name}\0 report-status object-format=sha1 agent=git/galley",
            snapshot.commit
        );
        let mut body = pkt::line(order.as_bytes());
        body.extend(b"0000");
        body.extend(pack::write(&objects).map_err(|error| RemoteError::Protocol(error.to_string()))?);
        let said = match self.http.receive_pack(body).await {
            Ok(answer) => verdict(&answer, &name)?,
            // The push may have arrived although its answer did not: the branch tells.
            Err(error @ RemoteError::Http { .. }) => {
                let tip = self.tip(branch).await.ok().flatten();
                return if tip.as_deref() == Some(&commit) { Ok(commit) } else { Err(error) };
            }
            Err(error) => return Err(error),
        };
        let Some(reason) = said else { return Ok(commit) };
        match self.tip(branch).await? {
            Some(tip) if tip == commit => Ok(commit),
            Some(tip) if tip != snapshot.commit => Err(RemoteError::Moved { branch: branch.to_owned(), tip }),
            _ => Err(RemoteError::Refused { branch: branch.to_owned(), reason }),
        }
    }

    /// Reads the tip, asks `propose` what to change there, commits and pushes it; starts again from the new tip when
    /// somebody else was faster, at most six times. `None` from `propose` means that there is nothing to do. Answers the
    /// commit at which the change is true.
    ///
    /// # Errors
    /// The last [`RemoteError::Moved`], or what `propose` said.
    pub async fn commit_with_retry<F>(
        &self,
        branch: &str,
        author: &Author,
        mut propose: F,
    ) -> Result<String, RemoteError>
    where
        F: FnMut(&Snapshot) -> Result<Option<Proposal>, galley_problem::Problem>,
    {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let snapshot = self.snapshot(branch).await?;
            let proposal = propose(&snapshot).map_err(|problem| RemoteError::Change(Box::new(problem)))?;
            let Some(proposal) = proposal else { return Ok(snapshot.commit) };
            let changes: Vec<Change<'_>> =
                proposal.changes.iter().map(|(path, bytes)| (path.as_str(), bytes.as_deref())).collect();
            match self.commit_on(&snapshot, branch, &changes, &proposal.message, author).await {
                Err(RemoteError::Moved { .. }) if attempt < ATTEMPTS => tokio::time::sleep(pause).await,
                other => return other,
            }
            pause *= 2;
        }
        unreachable!("the last attempt returns")
    }

    /// Where the branch is, as the server says before a push (which needs the right to push).
    async fn pushable_tip(&self, branch: &str) -> Result<String, RemoteError> {
        let name = format!("refs/heads/{branch}");
        let advertised = self.http.receive_pack_refs().await?;
        for packet in pkt::read_all(&advertised)? {
            let Packet::Line(line) = packet else { continue };
            let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
            let line = String::from_utf8_lossy(line);
            if let Some((id, found)) = line.trim().split_once(' ')
                && found == name
            {
                return Ok(id.to_owned());
            }
        }
        Err(self.absent(branch))
    }
}

/// What the server said of the push: `None` if it was taken, its reason if not.
fn verdict(answer: &[u8], name: &str) -> Result<Option<String>, RemoteError> {
    let mut taken = false;
    for packet in pkt::read_all(answer)? {
        let Packet::Line(line) = packet else { continue };
        let line = String::from_utf8_lossy(line);
        if let Some(unpacked) = line.strip_prefix("unpack ") {
            if unpacked != "ok" {
                return Ok(Some(unpacked.to_owned()));
            }
        } else if let Some(refused) = line.strip_prefix("ng ") {
            return Ok(Some(refused.strip_prefix(name).unwrap_or(refused).trim().to_owned()));
        } else if line.strip_prefix("ok ") == Some(name) {
            taken = true;
        }
    }
    if taken { Ok(None) } else { Err(RemoteError::Protocol("no report of the push".into())) }
}

type Objects = Vec<(Kind, Vec<u8>)>;

/// The new commit's id and the objects that are new with it; `None` if nothing changes.
fn build(
    snapshot: &Snapshot,
    changes: &[Change<'_>],
    message: &str,
    author: &Author,
) -> Result<Option<(String, Objects)>, RemoteError> {
    let mut leaves: BTreeMap<&str, (Mode, Id)> =
        snapshot.files.iter().map(|(path, file)| (path.as_str(), (file.mode, file.id))).collect();
    leaves.extend(snapshot.others.iter().map(|(path, other)| (path.as_str(), *other)));
    let mut objects = Vec::new();
    let mut touched = BTreeSet::from([String::new()]);
    for (path, bytes) in changes {
        check_path(path)?;
        touched.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        match bytes {
            Some(bytes) => {
                let mode = leaves.get(path).map_or(Mode::File, |(mode, _)| *mode);
                let mode = if mode == Mode::Executable { mode } else { Mode::File };
                leaves.insert(path, (mode, Id::of(Kind::Blob, bytes)));
                objects.push((Kind::Blob, bytes.to_vec()));
            }
            None => {
                leaves.remove(path);
            }
        }
    }
    let root = trees(&leaves, &touched, &mut objects)?;
    if root == snapshot.tree {
        return Ok(None);
    }
    let text = commit_text(root, &snapshot.commit, message, author);
    let id = Id::of(Kind::Commit, text.as_bytes()).to_string();
    objects.push((Kind::Commit, text.into_bytes()));
    Ok(Some((id, objects)))
}

/// Builds all trees bottom up; those on the way to a change are new objects. Answers the root's id.
fn trees(
    leaves: &BTreeMap<&str, (Mode, Id)>,
    touched: &BTreeSet<String>,
    objects: &mut Objects,
) -> Result<Id, RemoteError> {
    let mut folders: BTreeMap<&str, Vec<TreeEntry>> = BTreeMap::from([("", Vec::new())]);
    for (path, (mode, id)) in leaves {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        folders.entry(folder).or_default().push(TreeEntry { mode: *mode, name: name.to_owned(), id: *id });
        let mut above = folder;
        while let Some((parent, _)) = above.rsplit_once('/') {
            folders.entry(parent).or_default();
            above = parent;
        }
    }
    let mut names: Vec<&str> = folders.keys().copied().collect();
    // The deepest first; the root last.
    names.sort_by_key(|name| {
        std::cmp::Reverse(if name.is_empty() { 0 } else { 1 + name.matches('/').count() })
    });
    let mut root = Id([0; 20]);
    for name in names {
        let entries = folders.remove(name).unwrap_or_default();
        let mut seen = BTreeSet::new();
        if let Some(twice) = entries.iter().find(|entry| !seen.insert(entry.name.clone())) {
            return Err(RemoteError::Path(format!("{name}/{}", twice.name)));
        }
        let bytes = write_tree(entries);
        let id = Id::of(Kind::Tree, &bytes);
        if touched.contains(name) {
            objects.push((Kind::Tree, bytes));
        }
        if name.is_empty() {
            root = id;
            continue;
        }
        let (parent, own) = name.rsplit_once('/').unwrap_or(("", name));
        let entry = TreeEntry { mode: Mode::Folder, name: own.to_owned(), id };
        folders.entry(parent).or_default().push(entry);
    }
    Ok(root)
}

fn check_path(path: &str) -> Result<(), RemoteError> {
    let fine = !path.is_empty()
        && !path.contains(['\0', '\n', '\\'])
        && path.split('/').all(|part| {
            !part.is_empty() && !matches!(part, "." | "..") && !part.eq_ignore_ascii_case(".git")
        });
    if fine { Ok(()) } else { Err(RemoteError::Path(path.to_owned())) }
}

fn commit_text(tree: Id, parent: &str, message: &str, author: &Author) -> String {
    let clean =
        |text: &str| -> String { text.chars().filter(|c| !c.is_control() && !"<>".contains(*c)).collect() };
    let who = format!("{} <{}> {} +0000", clean(&author.name), clean(&author.email), seconds(author.time));
    let message = message.trim_end().replace('\0', "");
    format!("tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\n{message}\n")
}

fn seconds(time: Timestamp) -> i64 {
    time.as_second().max(0)
}
