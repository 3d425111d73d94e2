//! A bare repository on this disk without the `git` program.
//!
//! | module | is |
//! |---|---|
//! | `objects` | objects by id, from packs and loose files (gitoxide's object database) |
//! | `refs` | branches, tags and `HEAD`: loose and packed references, changed by compare-and-swap under git's own locks |
//! | `revision` | what a name or an abbreviated id means |
//! | `tree` | the files of a commit, and what differs between two |
//! | `commit` | commits as they are kept, and as a history shows them |
//! | `walk` | commits reachable from some and not from others; shallow boundaries |
//! | `log` | the history of a path |
//! | `select` | what one side has to be sent, given what it has |
//! | `pack_out` | a pack written as a stream, with the differences that are on disk already |
//! | `pack_in`, `resolve` | a pack taken into quarantine, checked and indexed |
//! | `check` | what a received object must be |
//! | `quarantine` | a received pack on its way into the repository |
//!
//! Everything here blocks: callers run it on a thread for blocking work. What is on disk is an ordinary repository
//! (format 0 or 1, SHA-1, files for references); a person's `git` may read, repack and collect it at any time. New
//! objects are on disk, and synced, before a reference names them.

mod check;
mod commit;
mod log;
mod objects;
mod pack_in;
mod pack_out;
mod quarantine;
mod refs;
mod resolve;
mod revision;
mod select;
mod tree;
mod walk;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

pub use gix_hash::ObjectId;
pub use gix_object::Kind;

pub use commit::Commit;
pub use objects::Objects;
pub use pack_in::PackLimits;
pub use pack_out::{PackStyle, write_pack};
pub use quarantine::Quarantine;
pub use refs::{RefChange, Target, acceptable_name};
pub use select::{Filter, Selected, Selection};
pub use walk::{Boundary, History};

use crate::Error;

/// Called often during long work; its error ends the work.
pub type Pulse<'a> = &'a dyn Fn() -> Result<(), Error>;

/// A bare repository, open for one piece of work on one thread.
pub struct Bare {
    path: PathBuf,
    objects: Objects,
    shallow: HashSet<ObjectId>,
}

impl Bare {
    /// Makes an empty repository whose `HEAD` is `main`, unless there is one; `HEAD` comes last, so that what was cut
    /// short is begun again.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn init(path: &Path) -> Result<(), Error> {
        if path.join("HEAD").exists() {
            return Ok(());
        }
        for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info", "hooks"] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).map_err(io(&folder))?;
        }
        let config = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";
        for (name, text) in [("config", config), ("HEAD", "ref: refs/heads/main\n")] {
            refs::replace_file(&path.join(name), text.as_bytes())?;
        }
        Ok(())
    }

    /// Opens the repository at `path`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is none, or of a kind that is not supported (SHA-256, reftable); [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let objects = path.join("objects");
        if !path.join("HEAD").is_file() || !objects.is_dir() {
            return Err(damaged(path, "it is no bare git repository"));
        }
        let config = fs::read_to_string(path.join("config")).unwrap_or_default();
        if let Some(extension) = unsupported(&config) {
            return Err(damaged(path, format!("its extension `{extension}` is not supported")));
        }
        Ok(Bare { path: path.to_owned(), objects: Objects::open(path)?, shallow: shallow(path) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its objects.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Commits whose parents are not here although they have some.
    pub fn shallow(&self) -> &HashSet<ObjectId> {
        &self.shallow
    }

    /// The history of this repository.
    pub fn history(&self) -> History<'_> {
        History::new(&self.objects, self.shallow.clone())
    }

    pub(crate) fn damaged(&self, detail: impl Into<String>) -> Error {
        damaged(&self.path, detail)
    }
}

pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> Error {
    Error::Damaged { repository: path.to_owned(), detail: detail.into() }
}

pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

/// The first extension of the repository's format that changes what its files mean.
fn unsupported(config: &str) -> Option<String> {
    let mut section = String::new();
    for line in config.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').trim().to_ascii_lowercase();
        } else if let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase());
            let other = match (section.as_str(), key.as_str()) {
                ("extensions", "objectformat") => value != "sha1",
                ("extensions", "refstorage") => value != "files",
                ("core", "repositoryformatversion") => !matches!(value.as_str(), "0" | "1"),
                _ => false,
            };
            if other {
                return Some(format!("{key} = {value}"));
            }
        }
    }
    None
}

fn shallow(path: &Path) -> HashSet<ObjectId> {
    let text = fs::read_to_string(path.join("shallow")).unwrap_or_default();
    text.lines().filter_map(|line| ObjectId::from_hex(line.trim().as_bytes()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_repositories_that_are_not_understood_are_told_apart() {
        assert_eq!(unsupported("[core]\n\tbare = true\n\trepositoryformatversion = 1\n"), None);
        assert_eq!(unsupported("[extensions]\n\tobjectFormat = sha1\n\tpartialClone = origin\n"), None);
        assert!(unsupported("[extensions]\n\tobjectFormat = sha256\n").is_some());
        assert!(unsupported("[extensions]\n\trefStorage = reftable\n").is_some());
        assert!(unsupported("[core]\nrepositoryformatversion = 7\n").is_some());
    }

    #[test]
    fn an_empty_repository_is_made_once() {
        let folder = tempfile::tempdir().expect("scratch");
        let path = folder.path().join("x.git");
        assert!(matches!(Bare::open(&path), Err(Error::Damaged { .. })));
        Bare::init(&path).expect("makes");
        std::fs::write(path.join("HEAD"), "ref: refs/heads/other\n").expect("writes");
        Bare::init(&path).expect("leaves it");
        let bare = Bare::open(&path).expect("opens");
        assert_eq!(bare.head().expect("reads"), Some(Target::Symbolic("refs/heads/other".into())));
        assert!(bare.refs().expect("reads").is_empty());
    }
}
