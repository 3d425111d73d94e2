//! Git's objects: ids, trees, commits, and the files of a commit.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::{RemoteError, RemoteLimits, Snapshot};

/// The name of an object: the SHA-1 of its kind, size and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id(pub(super) [u8; 20]);

impl Id {
    pub(super) fn parse(text: &str) -> Result<Self, RemoteError> {
        let mut id = [0; 20];
        hex::decode_to_slice(text, &mut id)
            .map_err(|_| RemoteError::Protocol("an object's name is damaged".into()))?;
        Ok(Id(id))
    }

    /// The id of an object.
    pub(super) fn of(kind: Kind, bytes: &[u8]) -> Self {
        let mut hash = Sha1::new();
        hash.update(format!("{} {}\0", kind.name(), bytes.len()));
        hash.update(bytes);
        Id(hash.finalize().into())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What sort of object it is; the numbers are the pack's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Commit = 1,
    Tree = 2,
    Blob = 3,
    Tag = 4,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Commit => "commit",
            Kind::Tree => "tree",
            Kind::Blob => "blob",
            Kind::Tag => "tag",
        }
    }
}

/// An object of a pack.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) bytes: Bytes,
}

/// How a tree holds an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A file.
    File,
    /// A file that may be run.
    Executable,
    /// A symbolic link.
    Link,
    /// A commit of another repository.
    Submodule,
    /// A folder.
    Folder,
}

impl Mode {
    fn parse(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"100644" | b"100664" => Mode::File,
            b"100755" => Mode::Executable,
            b"120000" => Mode::Link,
            b"160000" => Mode::Submodule,
            b"40000" | b"040000" => Mode::Folder,
            _ => return None,
        })
    }

    fn digits(self) -> &'static str {
        match self {
            Mode::File => "100644",
            Mode::Executable => "100755",
            Mode::Link => "120000",
            Mode::Submodule => "160000",
            Mode::Folder => "40000",
        }
    }
}

/// A file of a snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    /// Whether it may be run.
    pub mode: Mode,
    /// Its bytes.
    pub bytes: Bytes,
    pub(super) id: Id,
}

/// One line of a tree.
pub(super) struct TreeEntry {
    pub(super) mode: Mode,
    pub(super) name: String,
    pub(super) id: Id,
}

pub(super) fn read_tree(bytes: &[u8]) -> Result<Vec<TreeEntry>, RemoteError> {
    let bad = || RemoteError::Protocol("a tree is damaged".into());
    let mut rest = bytes;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let space = rest.iter().position(|b| *b == b' ').ok_or_else(bad)?;
        let end = rest.iter().position(|b| *b == 0).filter(|end| *end > space).ok_or_else(bad)?;
        let mode = Mode::parse(&rest[..space]).ok_or_else(bad)?;
        let name = String::from_utf8_lossy(&rest[space + 1..end]).into_owned();
        if name.is_empty() || name.contains('/') || matches!(name.as_str(), "." | ".." | ".git") {
            return Err(bad());
        }
        let id = rest.get(end + 1..end + 21).and_then(|id| id.try_into().ok()).map(Id).ok_or_else(bad)?;
        entries.push(TreeEntry { mode, name, id });
        rest = &rest[end + 21..];
    }
    Ok(entries)
}

/// A tree object; git orders folders as if their names ended in `/`.
pub(super) fn write_tree(mut entries: Vec<TreeEntry>) -> Vec<u8> {
    entries.sort_by_key(|entry| {
        let end = if entry.mode == Mode::Folder { "/" } else { "" };
        format!("{}{end}", entry.name).into_bytes()
    });
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(format!("{} {}\0", entry.mode.digits(), entry.name).as_bytes());
        bytes.extend_from_slice(&entry.id.0);
    }
    bytes
}

/// The tree that a commit names.
fn tree_of(commit: &[u8]) -> Result<Id, RemoteError> {
    let line = commit.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let id = line.strip_prefix(b"tree ").and_then(|id| std::str::from_utf8(id).ok());
    Id::parse(id.ok_or_else(|| RemoteError::Protocol("a commit is damaged".into()))?)
}

/// The files of a commit whose objects are all at hand.
pub(super) fn snapshot(
    objects: &HashMap<Id, Object>,
    commit: &str,
    limits: RemoteLimits,
) -> Result<Snapshot, RemoteError> {
    let get = |id: Id, kind: Kind| {
        let found = objects.get(&id).filter(|object| object.kind == kind);
        found.ok_or_else(|| RemoteError::Protocol(format!("the {} {id} is missing", kind.name())))
    };
    let tree = tree_of(&get(Id::parse(commit)?, Kind::Commit)?.bytes)?;
    let mut snapshot =
        Snapshot { commit: commit.to_owned(), files: BTreeMap::new(), others: BTreeMap::new(), tree };
    // One tree may be named many times: what is counted is what is visited, so a bomb of trees ends here.
    let mut visits = 0;
    let mut folders = vec![(String::new(), tree)];
    while let Some((prefix, id)) = folders.pop() {
        for entry in read_tree(&get(id, Kind::Tree)?.bytes)? {
            visits += 1;
            if visits > limits.objects {
                return Err(RemoteError::TooLarge { what: "the number of files", limit: limits.objects });
            }
            let path = format!("{prefix}{}", entry.name);
            match entry.mode {
                Mode::Folder => folders.push((format!("{path}/"), entry.id)),
                Mode::Link | Mode::Submodule => {
                    snapshot.others.insert(path, (entry.mode, entry.id));
                }
                mode => {
                    let bytes = get(entry.id, Kind::Blob)?.bytes.clone();
                    snapshot.files.insert(path, SnapshotFile { mode, bytes, id: entry.id });
                }
            }
        }
    }
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_gits() {
        assert_eq!(Id::of(Kind::Blob, b"").to_string(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(Id::of(Kind::Tree, b"").to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    }

    #[test]
    fn trees_are_ordered_and_read_back() {
        let entry = |mode, name: &str| TreeEntry { mode, name: name.into(), id: Id([7; 20]) };
        let entries = vec![entry(Mode::Folder, "a"), entry(Mode::File, "a.b"), entry(Mode::File, "a0")];
        let names: Vec<String> =
            read_tree(&write_tree(entries)).expect("reads").into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a.b", "a", "a0"]);
        for bad in
            [&b"100644 ..\0aaaaaaaaaaaaaaaaaaaa"[..], b"100644 x\0short", b"777 x\0aaaaaaaaaaaaaaaaaaaa"]
        {
            assert!(read_tree(bad).is_err());
        }
    }
}
