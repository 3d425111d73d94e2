//! The files of a commit, and what differs between two.

use gix_hash::ObjectId;
use gix_object::{Kind, TreeRefIter, tree::EntryMode};

use super::Bare;
use crate::Error;

/// Folders inside folders that are followed.
const DEPTH: usize = 512;

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) mode: EntryMode,
    pub(super) id: ObjectId,
}

/// One file (or link, or submodule) with its path from the root of what was listed.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) path: Vec<u8>,
    pub(crate) id: ObjectId,
    mode: EntryMode,
}

impl Listed {
    /// Whether it is a file, executable or not.
    pub(crate) fn is_file(&self) -> bool {
        self.mode.is_blob()
    }
}

pub(super) fn entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    TreeRefIter::from_bytes(bytes, gix_hash::Kind::Sha1)
        .map(|entry| {
            let entry = entry.ok()?;
            Some(Entry { name: entry.filename.to_vec(), mode: entry.mode, id: entry.oid.to_owned() })
        })
        .collect()
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = folder.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

impl Bare {
    pub(super) fn tree(&self, id: &ObjectId) -> Result<Vec<Entry>, Error> {
        let bytes = self.objects.get(id, Kind::Tree)?;
        entries(&bytes).ok_or_else(|| self.objects.unreadable(id))
    }

    /// The tree of a commit; of an id of a tree, that tree.
    pub(crate) fn tree_of(&self, revision: &str) -> Result<Option<ObjectId>, Error> {
        if let Some(commit) = self.commit_of(revision)? {
            return Ok(Some(self.history().required(&commit)?.tree));
        }
        let Ok(id) = ObjectId::from_hex(revision.as_bytes()) else { return Ok(None) };
        Ok(self.objects.peel(&id)?.filter(|(kind, _)| *kind == Kind::Tree).map(|(_, id)| id))
    }

    /// What is at a path of a tree; nothing at the empty path but the tree itself.
    pub(crate) fn at(&self, tree: ObjectId, path: &str) -> Result<Option<(EntryMode, ObjectId)>, Error> {
        let mut found = (EntryMode::from(gix_object::tree::EntryKind::Tree), tree);
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if !found.0.is_tree() {
                return Ok(None);
            }
            let entry = self.tree(&found.1)?.into_iter().find(|entry| entry.name == part.as_bytes());
            let Some(entry) = entry else { return Ok(None) };
            found = (entry.mode, entry.id);
        }
        Ok(Some(found))
    }

    /// All that is below a tree but is no folder, in git's order, at most `limit` and one.
    pub(crate) fn list(&self, tree: ObjectId, limit: usize) -> Result<Vec<Listed>, Error> {
        let mut listed = Vec::new();
        self.list_into(&mut listed, tree, &[], limit, DEPTH)?;
        Ok(listed)
    }

    fn list_into(
        &self,
        listed: &mut Vec<Listed>,
        tree: ObjectId,
        folder: &[u8],
        limit: usize,
        depth: usize,
    ) -> Result<(), Error> {
        for entry in self.tree(&tree)? {
            let path = join(folder, &entry.name);
            if listed.len() > limit {
                return Ok(());
            } else if !entry.mode.is_tree() {
                listed.push(Listed { path, id: entry.id, mode: entry.mode });
            } else if depth > 0 {
                self.list_into(listed, entry.id, &path, limit, depth - 1)?;
            } else {
                return Err(self.damaged("its folders are too deep"));
            }
        }
        Ok(())
    }

    /// The paths of files that differ between two trees, in git's order.
    pub(crate) fn differences(&self, from: ObjectId, to: ObjectId) -> Result<Vec<Vec<u8>>, Error> {
        let mut paths = Vec::new();
        self.differ(&mut paths, &[], Some(from), Some(to), DEPTH)?;
        Ok(paths)
    }

    fn differ(
        &self,
        paths: &mut Vec<Vec<u8>>,
        folder: &[u8],
        from: Option<ObjectId>,
        to: Option<ObjectId>,
        depth: usize,
    ) -> Result<(), Error> {
        if from == to {
            return Ok(());
        }
        if depth == 0 {
            return Err(self.damaged("its folders are too deep"));
        }
        let read = |id: Option<ObjectId>| id.map_or(Ok(Vec::new()), |id| self.tree(&id));
        let (old, new) = (read(from)?, read(to)?);
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        loop {
            let (left, right) = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(a), Some(b)) => match place(a).cmp(&place(b)) {
                    std::cmp::Ordering::Less => (old.next(), None),
                    std::cmp::Ordering::Greater => (None, new.next()),
                    std::cmp::Ordering::Equal => (old.next(), new.next()),
                },
                _ => (old.next(), new.next()),
            };
            let Some(name) = left.as_ref().or(right.as_ref()).map(|entry| entry.name.clone()) else {
                continue;
            };
            let path = join(folder, &name);
            let tree = |side: &Option<Entry>| side.as_ref().filter(|e| e.mode.is_tree()).map(|e| e.id);
            let (trees, all) = ((tree(&left), tree(&right)), left != right);
            if trees.0.is_some() || trees.1.is_some() {
                self.differ(paths, &path, trees.0, trees.1, depth - 1)?;
            } else if all {
                paths.push(path);
            }
        }
    }
}

/// Git orders folders as if their names ended in `/`.
fn place(entry: &Entry) -> Vec<u8> {
    let mut name = entry.name.clone();
    if entry.mode.is_tree() {
        name.push(b'/');
    }
    name
}
