//! Commits reachable from some and not from others, newest first, and the boundaries of shallow clones.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    rc::Rc,
};

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{Commit, Objects, Pulse, commit};
use crate::Error;

/// Commits looked at after only known ones are left: clocks of different machines differ.
const SLOP: usize = 8;

/// A view of a repository's commits; those that are shallow have no parents in it.
pub struct History<'a> {
    objects: &'a Objects,
    shallow: HashSet<ObjectId>,
    known: RefCell<HashMap<ObjectId, Commit>>,
}

/// How a shallow clone's boundary changes.
#[derive(Debug, Default)]
pub struct Boundary {
    /// Commits that the clone has without their parents.
    pub shallow: Vec<ObjectId>,
    /// Commits that had no parents in the clone and get them now.
    pub unshallow: Vec<ObjectId>,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// The commits, newest first.
    pub(super) commits: Vec<ObjectId>,
    /// Those just behind them.
    pub(super) edge: Vec<ObjectId>,
}

impl<'a> History<'a> {
    pub(super) fn new(objects: &'a Objects, shallow: HashSet<ObjectId>) -> Self {
        History { objects, shallow, known: RefCell::default() }
    }

    /// Takes the parents from these commits too.
    pub fn cut(&mut self, at: impl IntoIterator<Item = ObjectId>) {
        self.shallow.extend(at);
        self.known.borrow_mut().clear();
    }

    /// The commit; nothing if it is not there.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn commit(&self, id: &ObjectId) -> Result<Option<Commit>, Error> {
        if let Some(commit) = self.known.borrow().get(id) {
            return Ok(Some(commit.clone()));
        }
        let Some((Kind::Commit, bytes)) = self.objects.find(id)? else { return Ok(None) };
        let Some(mut commit) = commit::parse(&bytes) else { return Ok(None) };
        if self.shallow.contains(id) {
            commit.parents = Rc::default();
        }
        self.known.borrow_mut().insert(*id, commit.clone());
        Ok(Some(commit))
    }

    pub(super) fn required(&self, id: &ObjectId) -> Result<Commit, Error> {
        match self.commit(id)? {
            Some(commit) => Ok(commit),
            None => self.objects.get(id, Kind::Commit).and_then(|_| Err(self.objects.unreadable(id))),
        }
    }

    /// The commits reachable from `include` and not from `exclude`. Commits of `exclude` that are not here are passed over.
    pub(super) fn between(
        &self,
        include: &[ObjectId],
        exclude: &[ObjectId],
        pulse: Pulse<'_>,
    ) -> Result<Walked, Error> {
        let mut walk = Walk::new(self);
        for id in exclude {
            walk.see(*id, true)?;
        }
        for id in include {
            walk.see(*id, false)?;
        }
        while let Some(id) = walk.next()? {
            pulse()?;
            walk.pass(id)?;
        }
        let known = |id: &ObjectId| walk.known.get(id).copied().unwrap_or(false);
        let commits: Vec<ObjectId> = walk.taken.iter().copied().filter(|id| !known(id)).collect();
        let mut edge = Vec::new();
        let mut seen = HashSet::new();
        for id in &commits {
            let parents = self.required(id)?.parents;
            edge.extend(parents.iter().copied().filter(|parent| known(parent) && seen.insert(*parent)));
        }
        Ok(Walked { commits, edge })
    }

    /// Whether every one of `tips` has one of `goals` in its past. `false` also when that is not found soon.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn all_reach(
        &self,
        tips: &[ObjectId],
        goals: &HashSet<ObjectId>,
        pulse: Pulse<'_>,
    ) -> Result<bool, Error> {
        let mut oldest = i64::MAX;
        for goal in goals {
            oldest = oldest.min(self.commit(goal)?.map_or(i64::MAX, |commit| commit.time));
        }
        for tip in tips {
            let mut queue = vec![*tip];
            let mut seen = HashSet::from([*tip]);
            let mut reached = false;
            while let Some(id) = queue.pop() {
                pulse()?;
                if goals.contains(&id) {
                    reached = true;
                    break;
                }
                let Some(commit) = self.commit(&id)? else { continue };
                if commit.time >= oldest {
                    queue.extend(commit.parents.iter().copied().filter(|parent| seen.insert(*parent)));
                }
            }
            if !reached {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The boundary of a clone that has `depth` generations from `tips` on, for a client whose boundary is `client`.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn deepened(
        &self,
        tips: &[ObjectId],
        depth: usize,
        client: &HashSet<ObjectId>,
        pulse: Pulse<'_>,
    ) -> Result<Boundary, Error> {
        let mut depths: HashMap<ObjectId, usize> = tips.iter().map(|id| (*id, 1)).collect();
        let mut queue: VecDeque<ObjectId> = tips.iter().copied().collect();
        let mut boundary = Boundary::default();
        // Breadth first, so the first visit of a commit is its least depth.
        while let Some(id) = queue.pop_front() {
            pulse()?;
            let at = depths[&id];
            let Some(commit) = self.commit(&id)? else { continue };
            if at >= depth && !commit.parents.is_empty() {
                if !client.contains(&id) {
                    boundary.shallow.push(id);
                }
                continue;
            }
            if client.contains(&id) {
                boundary.unshallow.push(id);
            }
            for parent in commit.parents.iter() {
                if !depths.contains_key(parent) {
                    depths.insert(*parent, at + 1);
                    queue.push_back(*parent);
                }
            }
        }
        Ok(boundary)
    }

    /// The boundary of a clone that has the commits from `tips` on which are not older than `since` and not reachable from
    /// `not`; nothing if there is none such.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn limited(
        &self,
        tips: &[ObjectId],
        since: Option<i64>,
        not: &[ObjectId],
        client: &HashSet<ObjectId>,
        pulse: Pulse<'_>,
    ) -> Result<Option<Boundary>, Error> {
        let walked = self.between(tips, not, pulse)?;
        let mut kept = HashSet::new();
        for id in walked.commits {
            if since.is_none_or(|since| self.required(&id).is_ok_and(|commit| commit.time >= since)) {
                kept.insert(id);
            }
        }
        if kept.is_empty() {
            return Ok(None);
        }
        let mut boundary = Boundary::default();
        for id in &kept {
            let whole = self.required(id)?.parents.iter().all(|parent| kept.contains(parent));
            match (whole, client.contains(id)) {
                (false, false) => boundary.shallow.push(*id),
                (true, true) => boundary.unshallow.push(*id),
                _ => {}
            }
        }
        Ok(Some(boundary))
    }
}

/// One walk: commits wait by date, and those known to the other side spread that to their parents.
struct Walk<'h, 'a> {
    history: &'h History<'a>,
    waiting: BinaryHeap<(i64, Reverse<usize>, ObjectId)>,
    queued: HashSet<ObjectId>,
    /// Whether a commit that was seen is known to the other side.
    known: HashMap<ObjectId, bool>,
    /// How many of those waiting are not known.
    open: usize,
    taken: Vec<ObjectId>,
    oldest: i64,
    slop: usize,
    count: usize,
}

impl<'h, 'a> Walk<'h, 'a> {
    fn new(history: &'h History<'a>) -> Self {
        Walk {
            history,
            waiting: BinaryHeap::new(),
            queued: HashSet::new(),
            known: HashMap::new(),
            open: 0,
            taken: Vec::new(),
            oldest: i64::MAX,
            slop: SLOP,
            count: 0,
        }
    }

    /// Meets a commit. One that turns out to be known after it was passed is passed again, to tell its parents.
    fn see(&mut self, id: ObjectId, known: bool) -> Result<(), Error> {
        let before = self.known.get(&id).copied();
        if before == Some(true) || before == Some(known) {
            return Ok(());
        }
        let time = match self.history.commit(&id)? {
            Some(commit) => commit.time,
            // What the other side has may reach further than what is here.
            None if known => return Ok(()),
            None => self.history.required(&id)?.time,
        };
        self.known.insert(id, known);
        if self.queued.insert(id) {
            self.count += 1;
            self.waiting.push((time, Reverse(self.count), id));
            self.open += usize::from(!known);
        } else {
            self.open -= 1;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<ObjectId>, Error> {
        let Some((time, _, _)) = self.waiting.peek() else { return Ok(None) };
        if self.open == 0 {
            if self.taken.is_empty() || *time < self.oldest && self.slop == 0 {
                return Ok(None);
            }
            self.slop = if *time < self.oldest { self.slop - 1 } else { SLOP };
        }
        let next = self.waiting.pop();
        Ok(next.map(|(_, _, id)| id))
    }

    fn pass(&mut self, id: ObjectId) -> Result<(), Error> {
        self.queued.remove(&id);
        let known = self.known[&id];
        let Some(commit) = self.history.commit(&id)? else { return Ok(()) };
        if !known {
            self.open -= 1;
            self.oldest = self.oldest.min(commit.time);
            self.taken.push(id);
        }
        for parent in commit.parents.iter() {
            self.see(*parent, known)?;
        }
        Ok(())
    }
}
