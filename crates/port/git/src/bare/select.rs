//! What one side has to be sent, given what it wants and what it has.

use std::collections::HashSet;

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{Bare, History, Objects, Pulse, tree};
use crate::Error;

/// Folders inside folders that are followed.
const DEPTH: usize = 512;
/// Commits of the other side whose files are looked through when its history is shallow.
const LOOKED: usize = 64;

/// What is left out of what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Nothing.
    #[default]
    Nothing,
    /// Files of at least this many bytes.
    Blobs(u64),
    /// All folders and files.
    Trees,
}

/// What is wanted and what is there.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Objects that are wanted with all they name.
    pub wants: Vec<ObjectId>,
    /// Objects that the other side has with all they name.
    pub haves: Vec<ObjectId>,
    /// Commits that the other side has, or is to have, without their parents.
    pub shallow: HashSet<ObjectId>,
    /// What is left out; objects that are wanted by name never are.
    pub filter: Filter,
    /// Whether tags of what is sent are sent too.
    pub tags: bool,
}

/// What is to be sent.
#[derive(Debug, Default)]
pub struct Selected {
    /// The objects: commits, then tags, then folders and files.
    pub objects: Vec<ObjectId>,
    /// Objects the other side has, as far as they were met.
    pub there: HashSet<ObjectId>,
}

impl Bare {
    /// Finds what is to be sent.
    ///
    /// # Errors
    /// [`Error::Absent`] if a wanted object is not here, [`Error::Damaged`] if one that it names is not.
    pub fn select(&self, selection: &Selection, pulse: Pulse<'_>) -> Result<Selected, Error> {
        let mut history = self.history();
        history.cut(selection.shallow.iter().copied());
        let mut search = Search::new(self.objects(), selection.filter, pulse);
        let commits = search.run(&history, selection)?;
        search.finish(self, selection.tags, commits)
    }
}

/// Checks that all is there that would be sent.
pub(super) fn all_there(
    bare: &Bare,
    objects: &Objects,
    selection: &Selection,
    pulse: Pulse<'_>,
) -> Result<(), Error> {
    let history = History::new(objects, bare.shallow().clone());
    let mut search = Search::new(objects, selection.filter, pulse);
    search.verify = true;
    search.run(&history, selection).map(drop)
}

/// The commits among these objects, and those that tags among them name.
fn commits_of(objects: &Objects, ids: &[ObjectId]) -> Result<Vec<ObjectId>, Error> {
    let mut commits = Vec::new();
    for id in ids {
        if let Some((Kind::Commit, id)) = objects.peel(id)? {
            commits.push(id);
        }
    }
    Ok(commits)
}

struct Search<'a> {
    objects: &'a Objects,
    filter: Filter,
    pulse: Pulse<'a>,
    /// Whether files are looked up too, not only named.
    verify: bool,
    tags: Vec<ObjectId>,
    content: Vec<ObjectId>,
    seen: HashSet<ObjectId>,
    there: HashSet<ObjectId>,
}

impl<'a> Search<'a> {
    fn new(objects: &'a Objects, filter: Filter, pulse: Pulse<'a>) -> Self {
        Search {
            objects,
            filter,
            pulse,
            verify: false,
            tags: Vec::new(),
            content: Vec::new(),
            seen: HashSet::new(),
            there: HashSet::new(),
        }
    }

    /// Goes through everything; answers the commits.
    fn run(&mut self, history: &History<'_>, selection: &Selection) -> Result<Vec<ObjectId>, Error> {
        self.known(history, selection)?;
        let mut roots = Vec::new();
        let mut commits = Vec::new();
        for want in &selection.wants {
            let (kind, id) = self.unwrap(want)?;
            match kind {
                Kind::Commit => commits.push(id),
                _ => roots.push((kind, id)),
            }
        }
        let haves = commits_of(self.objects, &selection.haves)?;
        let walked = history.between(&commits, &haves, self.pulse)?;
        let mut edge = walked.edge;
        if !selection.shallow.is_empty() {
            edge.extend(haves.iter().copied().take(LOOKED));
        }
        for id in edge {
            if let Some(commit) = history.commit(&id)? {
                self.there(&commit.tree, DEPTH)?;
            }
        }
        for (kind, id) in roots {
            self.explicit(kind, id)?;
        }
        if selection.filter != Filter::Trees {
            for id in &walked.commits {
                self.tree(&history.required(id)?.tree, DEPTH)?;
            }
        }
        Ok(walked.commits)
    }

    /// Notes tags, folders and files that the other side named as its own.
    fn known(&mut self, history: &History<'_>, selection: &Selection) -> Result<(), Error> {
        for id in &selection.haves {
            if history.commit(id)?.is_none() {
                self.there.insert(*id);
            }
        }
        Ok(())
    }

    /// Follows tags to what they name; the tags are sent.
    fn unwrap(&mut self, want: &ObjectId) -> Result<(Kind, ObjectId), Error> {
        let absent = |id: &ObjectId| Error::Absent { what: format!("the object {id}") };
        let mut id = *want;
        loop {
            (self.pulse)()?;
            match self.objects.header(&id)? {
                None => return Err(absent(&id)),
                Some((Kind::Tag, _)) => {
                    if self.seen.insert(id) && !self.there.contains(&id) {
                        self.tags.push(id);
                    }
                    let (kind, target) = self.objects.peel_once(&id)?;
                    if kind != Kind::Tag {
                        return Ok((kind, target));
                    }
                    id = target;
                }
                Some((kind, _)) => return Ok((kind, id)),
            }
        }
    }

    /// Notes a folder of the other side with all that is below it.
    fn there(&mut self, id: &ObjectId, depth: usize) -> Result<(), Error> {
        (self.pulse)()?;
        if depth == 0 || !self.there.insert(*id) {
            return Ok(());
        }
        let Some((Kind::Tree, bytes)) = self.objects.find(id)? else { return Ok(()) };
        for entry in tree::entries(&bytes).unwrap_or_default() {
            if entry.mode.is_tree() {
                self.there(&entry.id, depth - 1)?;
            } else if !entry.mode.is_commit() {
                self.there.insert(entry.id);
            }
        }
        Ok(())
    }

    /// A file or folder wanted by name.
    fn explicit(&mut self, kind: Kind, id: ObjectId) -> Result<(), Error> {
        if kind == Kind::Tree && self.filter != Filter::Trees {
            // What is named is sent even if the other side seems to have it.
            self.there.remove(&id);
            return self.tree(&id, DEPTH);
        }
        if self.seen.insert(id) {
            self.content.push(id);
        }
        Ok(())
    }

    fn tree(&mut self, id: &ObjectId, depth: usize) -> Result<(), Error> {
        (self.pulse)()?;
        if self.there.contains(id) || !self.seen.insert(*id) {
            return Ok(());
        }
        let bytes = self.objects.get(id, Kind::Tree)?;
        let entries = tree::entries(&bytes).filter(|_| depth > 0);
        self.content.push(*id);
        for entry in entries.ok_or_else(|| self.objects.unreadable(id))? {
            if entry.mode.is_tree() {
                self.tree(&entry.id, depth - 1)?;
            } else if !entry.mode.is_commit() {
                self.file(entry.id)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, id: ObjectId) -> Result<(), Error> {
        if self.there.contains(&id) || self.seen.contains(&id) {
            return Ok(());
        }
        let fits = match self.filter {
            Filter::Nothing => true,
            Filter::Trees | Filter::Blobs(0) => false,
            Filter::Blobs(limit) => self.objects.header(&id)?.is_some_and(|(_, size)| size < limit),
        };
        if self.verify && !matches!(self.objects.header(&id)?, Some((Kind::Blob, _))) {
            return Err(Error::Absent { what: format!("the file with the id {id}") });
        }
        if fits {
            self.seen.insert(id);
            self.content.push(id);
        }
        Ok(())
    }

    fn finish(mut self, bare: &Bare, tags: bool, commits: Vec<ObjectId>) -> Result<Selected, Error> {
        if tags {
            let sent: HashSet<&ObjectId> = commits.iter().collect();
            for (_, id) in bare.refs()?.iter().filter(|(name, _)| name.starts_with("refs/tags/")) {
                let new = !sent.contains(id) && !self.there.contains(id) && !self.seen.contains(id);
                if new && self.objects.peel(id)?.is_some_and(|(_, named)| sent.contains(&named)) {
                    self.unwrap(id)?;
                }
            }
        }
        let mut objects = commits;
        objects.extend(self.tags);
        objects.extend(self.content);
        Ok(Selected { objects, there: self.there })
    }
}
