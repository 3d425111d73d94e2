//! The history of a repository, or of one path in it, as `git log` shows it.
//!
//! Of a path, those commits are shown at which it differs from all parents; where it is the same as in one parent, only
//! that parent is followed.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
};

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{Bare, Commit, commit};
use crate::{CommitInfo, Error};

impl Bare {
    /// The newest commits first, at most `limit`; those that touch `path`, unless it is empty.
    pub(crate) fn log(&self, from: ObjectId, path: &str, limit: usize) -> Result<Vec<CommitInfo>, Error> {
        let history = self.history();
        let mut waiting = BinaryHeap::new();
        let mut seen = HashSet::from([from]);
        let mut shown = Vec::new();
        waiting.push((history.required(&from)?.time, Reverse(0), from));
        while let Some((_, _, id)) = waiting.pop() {
            if shown.len() >= limit {
                break;
            }
            let commit = history.required(&id)?;
            let (show, parents) = match path {
                "" => (true, commit.parents.to_vec()),
                path => self.touched(&commit, path)?,
            };
            if show {
                shown.push(commit::info(&id, &self.objects.get(&id, Kind::Commit)?));
            }
            for parent in parents {
                if seen.insert(parent) {
                    let time = history.required(&parent)?.time;
                    waiting.push((time, Reverse(seen.len()), parent));
                }
            }
        }
        Ok(shown)
    }

    /// Whether a commit is shown, and which parents are followed.
    fn touched(&self, commit: &Commit, path: &str) -> Result<(bool, Vec<ObjectId>), Error> {
        let here = self.at(commit.tree, path)?;
        for parent in commit.parents.iter() {
            let tree = self.history().required(parent)?.tree;
            if self.at(tree, path)? == here {
                return Ok((false, vec![*parent]));
            }
        }
        let first = commit.parents.is_empty();
        Ok((!first || here.is_some(), commit.parents.to_vec()))
    }
}
