//! States, their versions and their locks, on the disk.
//!
//! Of a state `NAME` there is a folder with `versions/N.tfstate` and `versions/N.json` (what is known of it), `head` (the
//! number of the version that counts; empty after a deletion) and `lock.json`. A version is there when its two files are;
//! it counts when `head` says so. A kill in between leaves a version that nobody was told of.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use galley_units::{Clock, rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Config, files};

/// Longest name of a state.
const NAME: usize = 64;
/// Largest description of a lock.
const LOCK: usize = 16 << 10;

/// Why something was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else holds the lock.
    #[error("the state `{name}` is locked by {}", lock.who())]
    Locked {
        /// Which state.
        name: String,
        /// The lock.
        lock: Box<Lock>,
    },
    /// The lock that a writer believes to hold is gone.
    #[error("the lock {id} of the state `{name}` is not held any more; somebody has taken it away")]
    LockLost {
        /// Which state.
        name: String,
        /// Which lock.
        id: String,
    },
    /// There is no such thing.
    #[error("there is no {0}")]
    Missing(String),
    /// It is not a state, a name or a lock.
    #[error("{0}")]
    Invalid(String),
    /// It is too large, or there are too many.
    #[error("{0}")]
    TooMuch(String),
    /// The disk.
    #[error("failed {attempt} {}", path.display())]
    Disk {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// A lock, in the words of the tool that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock(pub Value);

impl Lock {
    /// Its id.
    pub fn id(&self) -> &str {
        self.0["ID"].as_str().unwrap_or_default()
    }

    /// Who holds it, as the tool says.
    pub fn who(&self) -> &str {
        self.0["Who"].as_str().filter(|who| !who.is_empty()).unwrap_or("somebody")
    }
}

/// What is known of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Number, from 1.
    pub version: u64,
    /// The tool's own count.
    pub serial: u64,
    /// The tool's name for all states of one origin.
    pub lineage: String,
    /// Size in bytes.
    pub size: usize,
    /// How many resources it has.
    pub resources: usize,
    /// When it was written.
    pub written: String,
    /// Who held the lock then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// For what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The version that this one brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<u64>,
}

/// A state as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// Name.
    pub name: String,
    /// The version that counts; none after a deletion.
    pub version: Option<u64>,
    /// Who holds the lock, if anybody does.
    pub lock: Option<Lock>,
}

/// All states. Clones share them.
#[derive(Clone)]
pub struct Store {
    config: Config,
    clock: Arc<dyn Clock>,
    /// One change at a time: they are rare and small.
    turn: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the folder, and makes it if need be.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Store, Error> {
        files::folder(&config.folder).map_err(disk("making", &config.folder))?;
        Ok(Store { config, clock, turn: Arc::default() })
    }

    /// Largest state that is taken.
    pub fn largest(&self) -> usize {
        self.config.largest
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        // Nothing is kept in memory, so a panic of another holder leaves nothing half done.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn home(&self, name: &str) -> Result<Home, Error> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > NAME || name.starts_with('.') || !name.chars().all(fine) {
            return Err(Error::Invalid(format!(
                "a state's name is 1 to {NAME} letters, digits, dots, hyphens and underscores, and does not begin with a dot"
            )));
        }
        Ok(Home { name: name.to_owned(), path: self.config.folder.join(name) })
    }

    fn room(&self, home: &Home) -> Result<(), Error> {
        if home.path.exists() {
            return Ok(());
        }
        let many = fs::read_dir(&self.config.folder).map_err(disk("reading", &self.config.folder))?.count();
        if many >= self.config.states {
            return Err(Error::TooMuch(format!("there are {many} states already, and no more are kept")));
        }
        let versions = home.path.join("versions");
        files::folder(&home.path).and_then(|()| files::folder(&versions)).map_err(disk("making", &versions))
    }

    /// The state that counts.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let home = self.home(name)?;
        let _turn = self.turn();
        match home.head()? {
            None => Ok(None),
            Some(number) => home.state(number).map(Some),
        }
    }

    /// Takes a new version. `lock` is the id of the lock that the writer holds.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::LockLost`], [`Error::Invalid`], [`Error::TooMuch`], [`Error::Disk`].
    pub fn put(&self, name: &str, lock: Option<&str>, content: &[u8]) -> Result<Version, Error> {
        let home = self.home(name)?;
        if content.len() > self.config.largest {
            return Err(Error::TooMuch(format!(
                "a state may have {} bytes, and this one has {}",
                self.config.largest,
                content.len()
            )));
        }
        let state: Value = serde_json::from_slice(content)
            .map_err(|e| Error::Invalid(format!("this is not a state: {e}")))?;
        if !state["version"].is_u64() || !state["serial"].is_u64() || !state["lineage"].is_string() {
            return Err(Error::Invalid(
                "this is not a state: it lacks `version`, `serial` or `lineage`".into(),
            ));
        }
        let _turn = self.turn();
        let held = home.may_write(lock)?;
        self.room(&home)?;
        self.append(&home, &state, content, held.as_ref(), None)
    }

    fn append(
        &self,
        home: &Home,
        state: &Value,
        content: &[u8],
        lock: Option<&Lock>,
        restored: Option<u64>,
    ) -> Result<Version, Error> {
        let number = home.numbers()?.last().copied().unwrap_or_default() + 1;
        let text = |field: &str| {
            lock.and_then(|lock| lock.0[field].as_str()).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let version = Version {
            version: number,
            serial: state["serial"].as_u64().unwrap_or_default(),
            lineage: state["lineage"].as_str().unwrap_or_default().to_owned(),
            size: content.len(),
            resources: state["resources"].as_array().map_or(0, Vec::len),
            written: rfc3339(self.clock.now()),
            who: text("Who"),
            operation: text("Operation"),
            restored,
        };
        let path = home.file(number, "tfstate");
        files::write(&path, content).map_err(disk("writing", &path))?;
        let about = serde_json::to_vec(&version).map_err(|e| Error::Invalid(e.to_string()))?;
        let path = home.file(number, "json");
        files::write(&path, &about).map_err(disk("writing", &path))?;
        home.set_head(Some(number))?;
        self.prune(home)?;
        Ok(version)
    }

    /// Forgets the oldest versions beyond what is kept.
    fn prune(&self, home: &Home) -> Result<(), Error> {
        let numbers = home.numbers()?;
        let many = numbers.len().saturating_sub(self.config.keep.max(1));
        for number in numbers.into_iter().take(many) {
            for kind in ["json", "tfstate"] {
                let path = home.file(number, kind);
                files::remove(&path).map_err(disk("removing", &path))?;
            }
        }
        Ok(())
    }

    /// Empties the state; the history stays.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn delete(&self, name: &str, lock: Option<&str>) -> Result<(), Error> {
        let home = self.home(name)?;
        let _turn = self.turn();
        home.may_write(lock)?;
        if home.path.exists() { home.set_head(None) } else { Ok(()) }
    }

    /// Takes the lock. Whoever holds it already may take it again with the same id: the answer may have been lost.
    ///
    /// # Errors
    /// [`Error::Locked`] with the holder.
    pub fn lock(&self, name: &str, wanted: &[u8]) -> Result<(), Error> {
        let home = self.home(name)?;
        if wanted.len() > LOCK {
            return Err(Error::TooMuch(format!("a lock's description may have {LOCK} bytes")));
        }
        let wanted: Value =
            serde_json::from_slice(wanted).map_err(|e| Error::Invalid(format!("this is not a lock: {e}")))?;
        let wanted = Lock(wanted);
        if wanted.id().is_empty() {
            return Err(Error::Invalid("this is not a lock: it lacks `ID`".into()));
        }
        let _turn = self.turn();
        match home.lock()? {
            Some(held) if held.id() != wanted.id() => Err(home.locked(held)),
            Some(_) => Ok(()),
            None => {
                self.room(&home)?;
                let path = home.path.join("lock.json");
                files::write(&path, wanted.0.to_string().as_bytes()).map_err(disk("writing", &path))
            }
        }
    }

    /// Gives the lock back. Without an id it is taken away from whoever holds it.
    ///
    /// # Errors
    /// [`Error::Locked`] if somebody else holds it.
    pub fn unlock(&self, name: &str, id: Option<&str>) -> Result<(), Error> {
        let home = self.home(name)?;
        let _turn = self.turn();
        match home.lock()? {
            Some(held) if id.is_some_and(|id| id != held.id()) => Err(home.locked(held)),
            Some(_) => {
                let path = home.path.join("lock.json");
                files::remove(&path).map_err(disk("removing", &path))
            }
            None => Ok(()),
        }
    }

    /// All states.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn list(&self) -> Result<Vec<Overview>, Error> {
        let _turn = self.turn();
        let entries = fs::read_dir(&self.config.folder).map_err(disk("reading", &self.config.folder))?;
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let homes = names.iter().filter_map(|name| self.home(name).ok());
        homes
            .map(|home| Ok(Overview { version: home.head()?, lock: home.lock()?, name: home.name }))
            .collect()
    }

    /// The history, newest first, and the version that counts.
    ///
    /// # Errors
    /// [`Error::Missing`] if nothing was ever kept under that name.
    pub fn versions(&self, name: &str) -> Result<(Option<u64>, Vec<Version>), Error> {
        let home = self.home(name)?;
        let _turn = self.turn();
        if !home.path.exists() {
            return Err(Error::Missing(format!("state `{name}`")));
        }
        let all: Result<Vec<_>, _> =
            home.numbers()?.into_iter().rev().map(|number| home.about(number)).collect();
        Ok((home.head()?, all?))
    }

    /// An old state.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn version(&self, name: &str, number: u64) -> Result<Vec<u8>, Error> {
        let home = self.home(name)?;
        let _turn = self.turn();
        home.state(number)
    }

    /// Makes an old state the newest version. Its serial is set beyond all others of the history, so that the tools take it
    /// for the newest, too.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Locked`] while anybody holds the lock.
    pub fn restore(&self, name: &str, number: u64) -> Result<Version, Error> {
        let home = self.home(name)?;
        let _turn = self.turn();
        home.may_write(None)?;
        let content = home.state(number)?;
        let mut state: Value = serde_json::from_slice(&content)
            .map_err(|e| Error::Invalid(format!("this is not a state: {e}")))?;
        let mut serial = 0;
        for other in home.numbers()? {
            serial = serial.max(home.about(other)?.serial);
        }
        state["serial"] = (serial + 1).into();
        let content = serde_json::to_vec_pretty(&state).map_err(|e| Error::Invalid(e.to_string()))?;
        self.append(&home, &state, &content, None, Some(number))
    }
}

/// The folder of one state.
struct Home {
    name: String,
    path: PathBuf,
}

impl Home {
    fn file(&self, number: u64, kind: &str) -> PathBuf {
        self.path.join("versions").join(format!("{number:08}.{kind}"))
    }

    fn head(&self) -> Result<Option<u64>, Error> {
        let path = self.path.join("head");
        let bytes = files::read(&path).map_err(disk("reading", &path))?;
        Ok(bytes.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.trim().parse().ok()))
    }

    fn set_head(&self, number: Option<u64>) -> Result<(), Error> {
        let path = self.path.join("head");
        let text = number.map_or_else(String::new, |number| number.to_string());
        files::write(&path, text.as_bytes()).map_err(disk("writing", &path))
    }

    /// Numbers of whole versions, in order.
    fn numbers(&self) -> Result<Vec<u64>, Error> {
        let folder = self.path.join("versions");
        let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
        let mut numbers: Vec<u64> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn state(&self, number: u64) -> Result<Vec<u8>, Error> {
        let path = self.file(number, "tfstate");
        let missing = || Error::Missing(format!("version {number} of the state `{}`", self.name));
        files::read(&path).map_err(disk("reading", &path))?.ok_or_else(missing)
    }

    fn about(&self, number: u64) -> Result<Version, Error> {
        let path = self.file(number, "json");
        let bytes = fs::read(&path).map_err(disk("reading", &path))?;
        serde_json::from_slice(&bytes).map_err(|e| disk("understanding", &path)(std::io::Error::other(e)))
    }

    fn lock(&self) -> Result<Option<Lock>, Error> {
        let path = self.path.join("lock.json");
        let Some(bytes) = files::read(&path).map_err(disk("reading", &path))? else { return Ok(None) };
        let value = serde_json::from_slice(&bytes)
            .map_err(|e| disk("understanding", &path)(std::io::Error::other(e)))?;
        Ok(Some(Lock(value)))
    }

    fn locked(&self, lock: Lock) -> Error {
        Error::Locked { name: self.name.clone(), lock: Box::new(lock) }
    }

    /// The lock under which a writer with that id may write.
    fn may_write(&self, id: Option<&str>) -> Result<Option<Lock>, Error> {
        match (self.lock()?, id) {
            (Some(held), Some(id)) if held.id() == id => Ok(Some(held)),
            (Some(held), _) => Err(self.locked(held)),
            (None, None) => Ok(None),
            (None, Some(id)) => Err(Error::LockLost { name: self.name.clone(), id: id.to_owned() }),
        }
    }
}

fn disk(attempt: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { attempt, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(keep: usize) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().expect("a folder");
        let config = Config { folder: dir.path().join("s"), keep, largest: 4096, states: 2 };
        let clock = galley_units::ManualClock::new("2026-11-24T01:00:00Z".parse().expect("a time"));
        let store = Store::open(config, Arc::new(clock)).expect("opens");
        (dir, store)
    }

    fn state(serial: u64) -> Vec<u8> {
        format!(r#"{{"version":4,"serial":{serial},"lineage":"l","resources":[{{}}]}}"#).into_bytes()
    }

    #[test]
    fn only_the_holder_writes() {
        let (_dir, store) = store(9);
        store.lock("a", br#"{"ID":"1","Who":"ann@ship","Operation":"OperationTypeApply"}"#).expect("locks");
        store.lock("a", br#"{"ID":"1"}"#).expect("the same id again is no conflict");
        let error = store.lock("a", br#"{"ID":"2"}"#).expect_err("is held");
        assert_eq!(error.to_string(), "the state `a` is locked by ann@ship");
        assert!(matches!(store.put("a", None, &state(1)), Err(Error::Locked { .. })));
        assert!(matches!(store.put("a", Some("2"), &state(1)), Err(Error::Locked { .. })));
        let version = store.put("a", Some("1"), &state(1)).expect("the holder writes");
        assert_eq!((version.version, version.who.as_deref(), version.resources), (1, Some("ann@ship"), 1));
        assert!(matches!(store.unlock("a", Some("2")), Err(Error::Locked { .. })));
        store.unlock("a", None).expect("is taken away");
        assert!(matches!(store.put("a", Some("1"), &state(2)), Err(Error::LockLost { .. })));
    }

    #[test]
    fn the_history_is_kept_restored_and_limited() {
        let (_dir, store) = store(3);
        for serial in 1..=4 {
            store.put("a", None, &state(serial)).expect("writes");
        }
        let (head, versions) = store.versions("a").expect("lists");
        assert_eq!(head, Some(4));
        assert_eq!(versions.iter().map(|one| one.version).collect::<Vec<_>>(), [4, 3, 2]);
        let restored = store.restore("a", 2).expect("restores");
        assert_eq!((restored.version, restored.serial, restored.restored), (5, 5, Some(2)));
        let now: Value =
            serde_json::from_slice(&store.get("a").expect("reads").expect("is there")).expect("JSON");
        assert_eq!(now["serial"], 5);
        assert!(matches!(store.restore("a", 1), Err(Error::Missing(_))));
        store.delete("a", None).expect("deletes");
        assert_eq!(store.get("a").expect("reads"), None);
        assert_eq!(store.versions("a").expect("lists").1.len(), 3, "the history stays");
    }

    #[test]
    fn what_is_no_state_no_name_or_too_much_is_refused() {
        let (_dir, store) = store(3);
        for bad in [&b"{"[..], b"{}", b"[]", br#"{"version":4,"serial":1}"#] {
            assert!(matches!(store.put("a", None, bad), Err(Error::Invalid(_))));
        }
        for bad in ["", "..", "a/b", ".x", &"x".repeat(65)] {
            assert!(matches!(store.get(bad), Err(Error::Invalid(_))), "{bad}");
        }
        let large = format!(r#"{{"version":4,"serial":1,"lineage":"{}"}}"#, "x".repeat(5000));
        assert!(matches!(store.put("a", None, large.as_bytes()), Err(Error::TooMuch(_))));
        store.put("a", None, &state(1)).expect("one");
        store.put("b", None, &state(1)).expect("two");
        assert!(matches!(store.put("c", None, &state(1)), Err(Error::TooMuch(_))));
    }

    #[test]
    fn a_version_cut_off_in_the_middle_does_not_count() {
        let (dir, store) = store(3);
        store.put("a", None, &state(1)).expect("writes");
        let versions = dir.path().join("s/a/versions");
        fs::write(versions.join("00000002.tfstate"), "{\"ver").expect("writes");
        assert_eq!(store.get("a").expect("reads"), Some(state(1)));
        assert_eq!(store.put("a", None, &state(2)).expect("writes").version, 2);
        assert_eq!(store.get("a").expect("reads"), Some(state(2)));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, store) = store(3);
        store.put("a", None, &state(1)).expect("writes");
        let mode =
            |path: &str| fs::metadata(dir.path().join(path)).expect("is there").permissions().mode() & 0o777;
        assert_eq!((mode("s"), mode("s/a/versions/00000001.tfstate")), (0o700, 0o600));
    }
}
