//! What a name means: a branch, a tag, an id or its beginning, `HEAD`, and steps back from there.

use gix_hash::ObjectId;
use gix_object::Kind;

use super::Bare;
use crate::Error;

/// Where git looks for a short name, in order.
const PLACES: [&str; 4] = ["refs/", "refs/tags/", "refs/heads/", "refs/remotes/"];
/// The least digits of an abbreviated id.
const LEAST: usize = 4;

impl Bare {
    /// The commit that a revision names, if there is one.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn commit_of(&self, revision: &str) -> Result<Option<ObjectId>, Error> {
        let (name, steps) = match revision.find(['~', '^']) {
            Some(at) => revision.split_at(at),
            None => (revision, ""),
        };
        let Some(object) = self.named(name)? else { return Ok(None) };
        match self.objects.peel(&object)? {
            Some((Kind::Commit, id)) => self.back(id, steps),
            _ => Ok(None),
        }
    }

    fn named(&self, name: &str) -> Result<Option<ObjectId>, Error> {
        let hex = name.chars().all(|c| c.is_ascii_hexdigit());
        if hex && name.len() == 40 {
            return Ok(ObjectId::from_hex(name.to_ascii_lowercase().as_bytes()).ok());
        }
        if name == "@" || name == "HEAD" {
            return self.follow("HEAD");
        }
        if name.split('/').all(|part| !part.is_empty() && !part.starts_with('.')) {
            let full = name.starts_with("refs/").then(|| name.to_owned());
            for name in full.into_iter().chain(PLACES.iter().map(|place| format!("{place}{name}"))) {
                if let Some(id) = self.follow(&name)? {
                    return Ok(Some(id));
                }
            }
            if let Some(id) = self.follow(&format!("refs/remotes/{name}/HEAD"))? {
                return Ok(Some(id));
            }
        }
        if hex && (LEAST..40).contains(&name.len()) {
            return self.abbreviated(&name.to_ascii_lowercase());
        }
        Ok(None)
    }

    /// The only commit, or tag of one, whose id begins so.
    fn abbreviated(&self, hex: &str) -> Result<Option<ObjectId>, Error> {
        let mut found = None;
        for id in self.objects.beginning(hex)? {
            if matches!(self.objects.peel(&id)?, Some((Kind::Commit, _))) && found.replace(id).is_some() {
                return Ok(None);
            }
        }
        Ok(found)
    }

    /// Follows `~N` and `^N` from a commit.
    fn back(&self, from: ObjectId, steps: &str) -> Result<Option<ObjectId>, Error> {
        let history = self.history();
        let mut id = from;
        let mut rest = steps;
        while let Some(kind) = rest.chars().next() {
            rest = &rest[1..];
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let Ok(number) = (if digits == 0 { Ok(1) } else { rest[..digits].parse::<usize>() }) else {
                return Ok(None);
            };
            rest = &rest[digits..];
            let (times, parent) = match kind {
                '~' => (number, 1),
                '^' => (usize::from(number > 0), number),
                _ => return Ok(None),
            };
            for _ in 0..times {
                let Some(commit) = history.commit(&id)? else { return Ok(None) };
                let Some(next) = commit.parents.get(parent - 1) else { return Ok(None) };
                id = *next;
            }
        }
        Ok(Some(id))
    }
}
