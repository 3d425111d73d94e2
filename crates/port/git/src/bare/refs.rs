//! Branches, tags and `HEAD`.
//!
//! A reference is a file of its own or a line of `packed-refs`; the file counts. It is changed as git does it: under
//! `<name>.lock`, made only if absent, checked against the value it should have, written, synced and renamed. So a
//! reference has its old or its new value whenever the process ends, and a person's git is kept out meanwhile. A lock
//! that nobody has touched for ten seconds was left by a process that was killed and is taken over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use gix_hash::ObjectId;

use super::{Bare, io};
use crate::Error;

/// How long a lock of somebody else is waited for, in steps.
const PATIENCE: (u32, Duration) = (100, Duration::from_millis(20));
/// From when on a lock is taken for left behind: git keeps one for milliseconds.
const LEFT: Duration = Duration::from_secs(10);
/// Folders below `refs` that are followed.
const DEPTH: usize = 32;

/// What a reference holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An object.
    Id(ObjectId),
    /// Another reference.
    Symbolic(String),
}

/// A wish to change one reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefChange {
    /// The full name.
    pub name: String,
    /// What it must be before; `None` if it must be absent.
    pub old: Option<ObjectId>,
    /// What it becomes; `None` if it goes.
    pub new: Option<ObjectId>,
}

/// Whether git accepts this as the full name of a reference below `refs/`.
pub fn acceptable_name(name: &str) -> bool {
    let odd = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    name.starts_with("refs/")
        && name.len() <= 1024
        && !name.contains(odd)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && name.split('/').count() >= 3
        && name.split('/').all(|part| {
            !part.is_empty() && part.len() <= 200 && !part.starts_with('.') && !part.ends_with(".lock")
        })
}

fn target(text: &str) -> Option<Target> {
    match text.strip_prefix("ref:") {
        Some(name) => Some(Target::Symbolic(name.trim().to_owned())),
        None => ObjectId::from_hex(text.get(..40)?.as_bytes()).ok().map(Target::Id),
    }
}

impl Bare {
    /// What `HEAD` holds.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn head(&self) -> Result<Option<Target>, Error> {
        self.loose("HEAD")
    }

    /// What a reference holds, by its full name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn reference(&self, name: &str) -> Result<Option<Target>, Error> {
        if let Some(target) = self.loose(name)? {
            return Ok(Some(target));
        }
        Ok(self.packed_refs()?.get(name).copied().map(Target::Id))
    }

    fn loose(&self, name: &str) -> Result<Option<Target>, Error> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(target(&text)),
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => Ok(None),
                _ => Err(io(&path)(error)),
            },
        }
    }

    fn packed_refs(&self) -> Result<BTreeMap<String, ObjectId>, Error> {
        let path = self.path.join("packed-refs");
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(io(&path)(error)),
        };
        let entry = |line: &str| {
            let (id, name) = line.split_once(' ')?;
            Some((name.trim_end().to_owned(), ObjectId::from_hex(id.as_bytes()).ok()?))
        };
        Ok(text.lines().filter(|line| !line.starts_with(['#', '^'])).filter_map(entry).collect())
    }

    /// The object a reference comes to, through symbolic ones.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn follow(&self, name: &str) -> Result<Option<ObjectId>, Error> {
        let mut name = name.to_owned();
        for _ in 0..5 {
            match self.reference(&name)? {
                Some(Target::Id(id)) => return Ok(Some(id)),
                Some(Target::Symbolic(next)) if next == "HEAD" || acceptable_name(&next) => name = next,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// All references below `refs/` with the objects they come to, by name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn refs(&self) -> Result<BTreeMap<String, ObjectId>, Error> {
        let mut names = BTreeSet::new();
        collect(&self.path.join("refs"), "refs", DEPTH, &mut names);
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(id) = self.loose(&name)?.and_then(|target| match target {
                Target::Id(id) => Some(id),
                Target::Symbolic(next) => self.follow(&next).ok().flatten(),
            }) {
                found.insert(name, id);
            }
        }
        // After the loose ones: a reference that is being packed is in one of the two at any moment.
        for (name, id) in self.packed_refs()? {
            found.entry(name).or_insert(id);
        }
        Ok(found)
    }

    /// Makes the changes, all or none. What keeps one from being made is told by its place in the list.
    ///
    /// # Errors
    /// [`Error::Io`], in particular for the file system's reasons.
    pub fn change_refs(&self, changes: &[RefChange]) -> Result<Result<(), (usize, String)>, Error> {
        let mut locks = Vec::new();
        for (at, change) in changes.iter().enumerate() {
            if let Err(why) = self.possible(changes, change)? {
                return Ok(Err((at, why)));
            }
            let path = self.path.join(&change.name);
            let Some(mut lock) = Lock::take(&self.path, path)? else {
                return Ok(Err((at, "the reference is locked by another process".into())));
            };
            let now = self.reference(&change.name)?;
            if matches!(now, Some(Target::Symbolic(_))) {
                return Ok(Err((at, "the reference is a symbolic one".into())));
            }
            if now != change.old.map(Target::Id) {
                return Ok(Err((at, "the reference is not where the push expects it".into())));
            }
            if let Some(new) = change.new {
                lock.write(format!("{new}\n").as_bytes())?;
            }
            locks.push(lock);
        }
        let gone: BTreeSet<&str> =
            changes.iter().filter(|change| change.new.is_none()).map(|change| change.name.as_str()).collect();
        if !gone.is_empty() && !self.unpack(&gone)? {
            return Ok(Err((0, "the packed references are locked by another process".into())));
        }
        for (change, lock) in changes.iter().zip(locks) {
            if change.new.is_some() { lock.commit()? } else { self.remove(lock)? }
        }
        Ok(Ok(()))
    }

    /// Whether no other reference stands where this one needs a folder, or the other way round.
    fn possible(&self, changes: &[RefChange], change: &RefChange) -> Result<Result<(), String>, Error> {
        if !acceptable_name(&change.name) {
            return Ok(Err("the name is not acceptable".into()));
        }
        if changes.iter().filter(|other| other.name == change.name).count() > 1 {
            return Ok(Err("the reference is named more than once".into()));
        }
        if change.new.is_none() {
            return Ok(Ok(()));
        }
        let taken = |other: &str| Ok(Err(format!("`{other}` exists, so it cannot be made")));
        for (at, _) in change.name.match_indices('/').skip(2) {
            let above = &change.name[..at];
            if self.reference(above)?.is_some() {
                return taken(above);
            }
        }
        let below = format!("{}/", change.name);
        let coming = changes.iter().filter(|other| other.new.is_some() && other.name.starts_with(&below));
        let mut names: BTreeSet<String> = coming.map(|other| other.name.clone()).collect();
        collect(&self.path.join(&change.name), &change.name, DEPTH, &mut names);
        let packed = self.packed_refs()?;
        names.extend(packed.range(below.clone()..).map(|(name, _)| name).take(1).cloned());
        match names.iter().find(|name| name.starts_with(&below)) {
            Some(other) => taken(other),
            None => Ok(Ok(())),
        }
    }

    /// Takes references out of `packed-refs`, before their files go: otherwise an old value would come back.
    fn unpack(&self, gone: &BTreeSet<&str>) -> Result<bool, Error> {
        let path = self.path.join("packed-refs");
        if !self.packed_refs()?.keys().any(|name| gone.contains(name.as_str())) {
            return Ok(true);
        }
        let Some(mut lock) = Lock::take(&self.path, path.clone())? else { return Ok(false) };
        let text = fs::read_to_string(&path).map_err(io(&path))?;
        let mut dropping = false;
        let mut kept = String::with_capacity(text.len());
        for line in text.lines() {
            // The line after an annotated tag's says what the tag names.
            dropping = match line.starts_with('^') {
                true => dropping,
                false => line.split_once(' ').is_some_and(|(_, name)| gone.contains(name.trim_end())),
            };
            if !dropping {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        lock.write(kept.as_bytes())?;
        lock.commit()?;
        Ok(true)
    }

    fn remove(&self, lock: Lock) -> Result<(), Error> {
        let path = lock.path.clone();
        match fs::remove_file(&path) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
                return Err(io(&path)(error));
            }
            _ => sync_folder(&path)?,
        }
        drop(lock);
        // Folders that are empty now stand in the way of a reference of their name; git tidies them too.
        let base = self.path.join("refs");
        let mut folder = path.parent();
        while let Some(empty) = folder.filter(|f| f.parent() != Some(&base) && f.starts_with(&base)) {
            if fs::remove_dir(empty).is_err() {
                break;
            }
            folder = empty.parent();
        }
        Ok(())
    }
}

fn collect(folder: &Path, prefix: &str, depth: usize, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let full = format!("{prefix}/{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => collect(&entry.path(), &full, depth - 1, names),
            Ok(kind) if kind.is_dir() => {}
            Ok(_) if !name.ends_with(".lock") => {
                names.insert(full);
            }
            _ => {}
        }
    }
}

/// `<path>.lock`, gone when dropped.
struct Lock {
    path: PathBuf,
    lock: PathBuf,
    refs: PathBuf,
    file: File,
    done: bool,
}

impl Lock {
    /// Takes the lock, unless somebody keeps it too long.
    fn take(repository: &Path, path: PathBuf) -> Result<Option<Self>, Error> {
        let refs = repository.join("refs");
        let mut lock = path.clone().into_os_string();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        for _ in 0..PATIENCE.0 {
            if let Some(folder) = lock.parent() {
                match fs::create_dir_all(folder) {
                    Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(None),
                    made => made.map_err(io(folder))?,
                }
            }
            match File::options().write(true).create_new(true).open(&lock) {
                Ok(file) => return Ok(Some(Lock { path, lock, refs, file, done: false })),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    let age = fs::metadata(&lock).ok().and_then(|m| m.modified().ok()?.elapsed().ok());
                    if age.is_some_and(|age| age > LEFT) {
                        let _ = fs::remove_file(&lock);
                    } else {
                        std::thread::sleep(PATIENCE.1);
                    }
                }
                // Somebody tidied the folder away between the two steps.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(io(&lock)(error)),
            }
        }
        Ok(None)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).and_then(|()| self.file.sync_all()).map_err(io(&self.lock))
    }

    fn commit(mut self) -> Result<(), Error> {
        if self.path.is_dir() {
            remove_empty(&self.path, DEPTH);
        }
        fs::rename(&self.lock, &self.path).map_err(io(&self.path))?;
        self.done = true;
        sync_folder(&self.path)?;
        // The folders above may be new as well.
        let above = self.path.ancestors().skip(1).take_while(|f| f.file_name().is_some_and(|n| n != "refs"));
        above.take(DEPTH).filter(|f| f.starts_with(&self.refs)).try_for_each(sync_folder)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.lock);
        }
    }
}

/// Folders without files, left by references that are gone.
fn remove_empty(folder: &Path, depth: usize) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path(), depth - 1);
        }
    }
    let _ = fs::remove_dir(folder);
}

/// Makes a renamed file's name survive a loss of power.
pub(super) fn sync_folder(file: &Path) -> Result<(), Error> {
    let Some(folder) = file.parent() else { return Ok(()) };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
}

/// Writes a file beside its place and renames it there.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io(folder))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(io(path))?;
    readable(file.as_file()).map_err(io(path))?;
    file.persist(path).map_err(|error| io(path)(error.error))?;
    sync_folder(path)
}

/// Temporary files are for their owner only; those of a repository may be read by all.
pub(super) fn readable(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: &str) -> ObjectId {
        ObjectId::from_hex(digit.repeat(40).as_bytes()).expect("an id")
    }

    fn bare(folder: &Path) -> Bare {
        let path = folder.join("x.git");
        Bare::init(&path).expect("makes");
        Bare::open(&path).expect("opens")
    }

    fn change(name: &str, old: Option<&str>, new: Option<&str>) -> RefChange {
        RefChange { name: name.into(), old: old.map(id), new: new.map(id) }
    }

    #[test]
    fn names_are_those_git_accepts() {
        for good in ["refs/heads/main", "refs/tags/v1.0", "refs/heads/a/b-c_d", "refs/heads/ü"] {
            assert!(acceptable_name(good), "{good}");
        }
        for bad in [
            "HEAD",
            "refs/heads",
            "refs/heads/",
            "refs/heads/../x",
            "refs/heads/.x",
            "refs/heads/a.lock",
            "refs/heads/a b",
            "refs/heads/a\n",
            "refs//x",
            "refs/heads/a@{1}",
            "refs/heads/a.",
            "../refs/heads/x",
        ] {
            assert!(!acceptable_name(bad), "{bad}");
        }
    }

    #[test]
    fn references_change_only_from_what_is_expected() {
        let folder = tempfile::tempdir().expect("scratch");
        let bare = bare(folder.path());
        let make = |changes: &[RefChange]| bare.change_refs(changes).expect("no fault of the disk");
        assert_eq!(make(&[change("refs/heads/a", None, Some("1"))]), Ok(()));
        assert!(make(&[change("refs/heads/a", None, Some("2"))]).is_err());
        assert!(make(&[change("refs/heads/a", Some("2"), Some("3"))]).is_err());
        // One that cannot be keeps the others from being made.
        let both = [change("refs/heads/b", None, Some("1")), change("refs/heads/a", Some("9"), None)];
        assert_eq!(make(&both).expect_err("refused").0, 1);
        assert_eq!(bare.refs().expect("reads"), BTreeMap::from([("refs/heads/a".into(), id("1"))]));
        assert!(make(&[change("refs/heads/a/b", None, Some("1"))]).is_err());
        assert_eq!(make(&[change("refs/heads/a", Some("1"), None)]), Ok(()));
        assert_eq!(make(&[change("refs/heads/a/b", None, Some("1"))]), Ok(()));
        assert!(make(&[change("refs/heads/a", None, Some("1"))]).is_err());
        assert_eq!(make(&[change("refs/heads/a/b", Some("1"), None)]), Ok(()));
        assert_eq!(make(&[change("refs/heads/a", None, Some("2"))]), Ok(()));
        assert!(!bare.path().join("refs/heads/a.lock").exists());
    }

    #[test]
    fn packed_references_are_read_and_go_for_good() {
        let folder = tempfile::tempdir().expect("scratch");
        let bare = bare(folder.path());
        let packed = format!(
            "# pack-refs with: peeled fully-peeled sorted \n{} refs/heads/main\n{} refs/tags/v1\n^{}\n",
            id("1"),
            id("2"),
            id("3")
        );
        std::fs::write(bare.path().join("packed-refs"), packed).expect("writes");
        assert_eq!(bare.follow("HEAD").expect("reads"), Some(id("1")));
        assert_eq!(
            bare.change_refs(&[change("refs/heads/main", Some("1"), Some("4"))]).expect("made"),
            Ok(())
        );
        assert_eq!(bare.follow("HEAD").expect("reads"), Some(id("4")));
        let gone = [change("refs/heads/main", Some("4"), None), change("refs/tags/v1", Some("2"), None)];
        assert_eq!(bare.change_refs(&gone).expect("made"), Ok(()));
        assert!(bare.refs().expect("reads").is_empty());
        let left = std::fs::read_to_string(bare.path().join("packed-refs")).expect("reads");
        assert_eq!(left.lines().count(), 1, "{left}");
    }
}
