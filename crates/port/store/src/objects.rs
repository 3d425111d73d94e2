//! Objects: any resource as JSON under (group, plural, namespace, name), with one revision for all of them.
//!
//! Every change takes the next revision and leaves an event in a bounded log, so a watcher that knows a revision
//! can read what came after it; if the log no longer reaches back that far it is told so ([`ObjectError::Compacted`]).
//! Watchers sleep on a channel per kind that is signalled after the commit, in any case: also when the caller of
//! the change has gone. The content is opaque, but for a short `facts` text given by the caller, by which lists and
//! events can be filtered without reading the objects, and the owners' uids, by which dependents are found.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::watch;

use crate::{Database, Error, Migration};

/// The tables of this module.
pub const MIGRATION: Migration = Migration {
    module: "objects",
    steps: &["
        CREATE TABLE object_counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
        INSERT INTO object_counters VALUES ('revision', 1), ('compacted', 1);
        CREATE TABLE objects (
            id INTEGER PRIMARY KEY, grp TEXT NOT NULL, plural TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
            uid TEXT NOT NULL, revision INTEGER NOT NULL, facts TEXT NOT NULL, json TEXT NOT NULL,
            UNIQUE (grp, plural, namespace, name)) STRICT;
        CREATE INDEX objects_uid ON objects (uid);
        CREATE TABLE object_owners (
            owner TEXT NOT NULL, object INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
            PRIMARY KEY (owner, object)) STRICT, WITHOUT ROWID;
        CREATE INDEX object_owners_object ON object_owners (object);
        CREATE TABLE object_events (
            revision INTEGER PRIMARY KEY, size INTEGER NOT NULL, grp TEXT NOT NULL, plural TEXT NOT NULL,
            namespace TEXT NOT NULL, name TEXT NOT NULL, change INTEGER NOT NULL, facts TEXT NOT NULL,
            before TEXT, json TEXT NOT NULL) STRICT;
        CREATE INDEX object_events_kind ON object_events (grp, plural, revision);
    "],
};

/// A kind of objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KindKey {
    /// The API group; empty for core.
    pub group: String,
    /// The plural name, lower case.
    pub plural: String,
}

/// The name of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The kind.
    pub kind: KindKey,
    /// The namespace; empty for objects of the cluster.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// An object as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub key: ObjectKey,
    /// Its identity over all of time.
    pub uid: String,
    /// The revision of its last change.
    pub revision: u64,
    /// What the caller wants to filter by.
    pub facts: String,
    /// The object.
    pub json: String,
}

/// What is to be stored. `encode` gets the revision of the change and returns the object with it written in.
pub struct Draft {
    /// Its identity.
    pub uid: String,
    /// What the caller wants to filter by.
    pub facts: String,
    /// The uids of its owners.
    pub owners: Vec<String>,
    /// Writes the object.
    pub encode: Encode,
}

/// Writes an object that changes at the given revision. Runs on the writer thread: no waiting in it.
pub type Encode = Box<dyn FnOnce(u64) -> String + Send>;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It came into being.
    Added,
    /// It changed.
    Modified,
    /// It is gone; the event shows it as it was last.
    Deleted,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub revision: u64,
    /// Which object.
    pub key: ObjectKey,
    /// What happened.
    pub change: Change,
    /// The object's facts after the change.
    pub facts: String,
    /// The object's facts before the change; `None` if it is new.
    pub before: Option<String>,
    /// The object.
    pub json: String,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The revision at which the list was read.
    pub revision: u64,
    /// The objects, by namespace and name.
    pub items: Vec<Stored>,
    /// Whether more objects follow the last one.
    pub more: bool,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only this namespace.
    pub namespace: Option<String>,
    /// Only after this namespace and name; with `namespace` given, that must be the same.
    pub after: Option<(String, String)>,
    /// At most so many; 0 for all.
    pub limit: usize,
}

/// Why an object could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// Create: the name is taken.
    #[error("the object exists already")]
    Exists,
    /// Update or delete: no such object.
    #[error("there is no such object")]
    NotFound,
    /// Update or delete: the object is not at the expected revision.
    #[error("the object is at revision {current}")]
    Changed {
        /// Where it is.
        current: u64,
    },
    /// The log does not reach back to this revision, or it is of another database.
    #[error("events are kept since revision {oldest}")]
    Compacted {
        /// The oldest revision one may ask from.
        oldest: u64,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Error),
}

impl From<rusqlite::Error> for ObjectError {
    fn from(error: rusqlite::Error) -> Self {
        ObjectError::Database(Error::Sql(error))
    }
}

/// How much of the event log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// At most so many events.
    pub events: u64,
    /// At most about so many bytes of objects in them.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { events: 20_000, bytes: 64 << 20 }
    }
}

/// The objects of a database; clones share it.
#[derive(Clone)]
pub struct Objects {
    database: Database,
    hub: Arc<Hub>,
    retention: Retention,
}

impl Objects {
    /// The objects in a database that was opened with [`MIGRATION`].
    pub fn new(database: Database, retention: Retention) -> Self {
        Objects { database, hub: Arc::default(), retention }
    }

    /// One object.
    ///
    /// # Errors
    /// [`ObjectError::Database`].
    pub fn get(&self, key: &ObjectKey) -> Result<Option<Stored>, ObjectError> {
        self.database.read(|connection| find(connection, key))
    }

    /// The objects of a kind that `keep` wants by their facts, read at one moment.
    ///
    /// # Errors
    /// [`ObjectError::Database`].
    pub fn list(
        &self,
        kind: &KindKey,
        query: &Query,
        mut keep: impl FnMut(&str) -> bool,
    ) -> Result<Page, ObjectError> {
        self.database.read(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let revision = counter(&transaction, "revision")?;
            let mut items = Vec::new();
            let mut more = false;
            let (after_namespace, after_name) = query.after.clone().unwrap_or_default();
            {
                let mut statement = transaction.prepare_cached(match query.namespace {
                    Some(_) => {
                        "SELECT grp, plural, namespace, name, uid, revision, facts, json FROM objects
                         WHERE grp = ?1 AND plural = ?2 AND namespace = ?5 AND name > ?4 AND ?3 IS NOT NULL
                         ORDER BY name"
                    }
                    None => {
                        "SELECT grp, plural, namespace, name, uid, revision, facts, json FROM objects
                         WHERE grp = ?1 AND plural = ?2 AND (namespace, name) > (?3, ?4) AND ?5 IS NULL
                         ORDER BY namespace, name"
                    }
                })?;
                let mut rows = statement.query(params![
                    kind.group,
                    kind.plural,
                    after_namespace,
                    after_name,
                    query.namespace
                ])?;
                while let Some(row) = rows.next()? {
                    if !keep(row.get_ref(6)?.as_str().map_err(rusqlite::Error::from)?) {
                        continue;
                    }
                    if query.limit > 0 && items.len() == query.limit {
                        more = true;
                        break;
                    }
                    items.push(stored(row)?);
                }
            }
            transaction.finish()?;
            Ok(Page { revision, items, more })
        })
    }

    /// How many objects there are of a kind.
    ///
    /// # Errors
    /// [`ObjectError::Database`].
    pub fn count(&self, kind: &KindKey, namespace: Option<&str>) -> Result<u64, ObjectError> {
        self.database.read(|connection| {
            let sql = "SELECT count(*) FROM objects WHERE grp = ?1 AND plural = ?2 AND (?3 IS NULL OR namespace = ?3)";
            let count: i64 = connection
                .prepare_cached(sql)?
                .query_row(params![kind.group, kind.plural, namespace], |row| row.get(0))?;
            Ok(unsigned(count))
        })
    }

    /// The kinds that have objects, in one namespace or anywhere.
    ///
    /// # Errors
    /// [`ObjectError::Database`].
    pub fn kinds(&self, namespace: Option<&str>) -> Result<Vec<KindKey>, ObjectError> {
        self.database.read(|connection| {
            let sql = "SELECT DISTINCT grp, plural FROM objects WHERE ?1 IS NULL OR namespace = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement
                .query_map([namespace], |row| Ok(KindKey { group: row.get(0)?, plural: row.get(1)? }))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The objects that name this uid as an owner.
    ///
    /// # Errors
    /// [`ObjectError::Database`].
    pub fn dependents(&self, uid: &str) -> Result<Vec<Stored>, ObjectError> {
        self.database.read(|connection| {
            let sql = "SELECT grp, plural, namespace, name, uid, revision, facts, json FROM object_owners
                       JOIN objects ON objects.id = object_owners.object WHERE owner = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([uid], stored)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The object with this uid.
    ///
    /// # Errors
    /// [`ObjectError::Database`].
    pub fn by_uid(&self, uid: &str) -> Result<Option<Stored>, ObjectError> {
        self.database.read(|connection| {
            let sql =
                "SELECT grp, plural, namespace, name, uid, revision, facts, json FROM objects WHERE uid = ?1";
            Ok(connection.prepare_cached(sql)?.query_row([uid], stored).optional()?)
        })
    }

    /// The objects whose owner no longer exists under any name, with the missing owner's uid.
    ///
    /// # Errors
    /// [`ObjectError::Database`].
    pub fn orphans(&self) -> Result<Vec<(String, ObjectKey)>, ObjectError> {
        self.database.read(|connection| {
            let sql = "SELECT owner, grp, plural, namespace, name FROM object_owners
                       JOIN objects ON objects.id = object_owners.object
                       WHERE NOT EXISTS (SELECT 1 FROM objects AS o WHERE o.uid = owner)";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, key(row, 1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Stores a new object.
    ///
    /// # Errors
    /// [`ObjectError::Exists`], [`ObjectError::Database`].
    pub async fn create(&self, key: ObjectKey, draft: Draft) -> Result<Stored, ObjectError> {
        self.commit(key.kind.clone(), move |connection| {
            let taken =
                "SELECT 1 FROM objects WHERE grp = ?1 AND plural = ?2 AND namespace = ?3 AND name = ?4";
            let names = params![key.kind.group, key.kind.plural, key.namespace, key.name];
            if connection.prepare_cached(taken)?.exists(names)? {
                return Err(ObjectError::Exists);
            }
            let revision = next_revision(connection)?;
            let stored =
                Stored { json: (draft.encode)(revision), uid: draft.uid, facts: draft.facts, revision, key };
            connection
                .prepare_cached(
                    "INSERT INTO objects (grp, plural, namespace, name, uid, revision, facts, json)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    stored.key.kind.group,
                    stored.key.kind.plural,
                    stored.key.namespace,
                    stored.key.name,
                    stored.uid,
                    signed(revision),
                    stored.facts,
                    stored.json
                ])?;
            set_owners(connection, connection.last_insert_rowid(), &draft.owners)?;
            log(connection, &stored, Change::Added, None)?;
            Ok(stored)
        })
        .await
    }

    /// Stores an object over the one that is at revision `expected`.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`], [`ObjectError::Changed`], [`ObjectError::Database`].
    pub async fn update(&self, key: ObjectKey, expected: u64, draft: Draft) -> Result<Stored, ObjectError> {
        self.commit(key.kind.clone(), move |connection| {
            let (id, old) = expect(connection, &key, Some(expected))?;
            let revision = next_revision(connection)?;
            let stored =
                Stored { json: (draft.encode)(revision), uid: draft.uid, facts: draft.facts, revision, key };
            connection
                .prepare_cached(
                    "UPDATE objects SET uid = ?2, revision = ?3, facts = ?4, json = ?5 WHERE id = ?1",
                )?
                .execute(params![id, stored.uid, signed(revision), stored.facts, stored.json])?;
            set_owners(connection, id, &draft.owners)?;
            log(connection, &stored, Change::Modified, Some(&old.facts))?;
            Ok(stored)
        })
        .await
    }

    /// Removes an object, if it is at revision `expected`. `encode` writes it as the event shall show it.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`], [`ObjectError::Changed`], [`ObjectError::Database`].
    pub async fn delete(&self, key: ObjectKey, expected: u64, encode: Encode) -> Result<Stored, ObjectError> {
        self.commit(key.kind.clone(), move |connection| {
            let (id, old) = expect(connection, &key, Some(expected))?;
            let revision = next_revision(connection)?;
            connection.prepare_cached("DELETE FROM objects WHERE id = ?1")?.execute([id])?;
            let gone = Stored { revision, json: encode(revision), ..old };
            log(connection, &gone, Change::Deleted, Some(&gone.facts))?;
            Ok(gone)
        })
        .await
    }

    /// At most `limit` events of a kind (of every kind if `None`) after a revision, oldest first, and the revision
    /// up to which they are complete.
    ///
    /// # Errors
    /// [`ObjectError::Compacted`], [`ObjectError::Database`].
    pub fn events(
        &self,
        kind: Option<&KindKey>,
        since: u64,
        limit: usize,
    ) -> Result<(Vec<Event>, u64), ObjectError> {
        self.database.read(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let (revision, oldest) =
                (counter(&transaction, "revision")?, counter(&transaction, "compacted")?);
            if since < oldest || since > revision {
                return Err(ObjectError::Compacted { oldest });
            }
            let limit = limit.max(1);
            let columns = "revision, grp, plural, namespace, name, change, facts, before, json";
            let count = i64::try_from(limit).unwrap_or(i64::MAX);
            let events: Vec<Event> = match kind {
                Some(kind) => transaction
                    .prepare_cached(&format!(
                        "SELECT {columns} FROM object_events WHERE grp = ?1 AND plural = ?2 AND revision > ?3
                         ORDER BY revision LIMIT ?4"
                    ))?
                    .query_map(params![kind.group, kind.plural, signed(since), count], event)?
                    .collect::<Result<_, _>>()?,
                None => transaction
                    .prepare_cached(&format!(
                        "SELECT {columns} FROM object_events WHERE revision > ?1 ORDER BY revision LIMIT ?2"
                    ))?
                    .query_map(params![signed(since), count], event)?
                    .collect::<Result<_, _>>()?,
            };
            transaction.finish()?;
            let complete =
                if events.len() < limit { revision } else { events.last().map_or(revision, |e| e.revision) };
            Ok((events, complete))
        })
    }

    /// The revision of the last change.
    ///
    /// # Errors
    /// [`ObjectError::Database`].
    pub fn revision(&self) -> Result<u64, ObjectError> {
        self.database.read(|connection| Ok(counter(connection, "revision")?))
    }

    /// A channel that is signalled after each commit that changed this kind (any kind if `None`).
    pub fn subscribe(&self, kind: Option<&KindKey>) -> watch::Receiver<u64> {
        self.hub.subscribe(kind)
    }

    async fn commit<F>(&self, kind: KindKey, change: F) -> Result<Stored, ObjectError>
    where
        F: FnOnce(&Connection) -> Result<Stored, ObjectError> + Send + 'static,
    {
        let (hub, retention) = (self.hub.clone(), self.retention);
        let committed = self
            .database
            .write(move |connection| {
                let stored = change(connection)?;
                if stored.revision.is_multiple_of(TRIM_EVERY) {
                    trim(connection, retention)?;
                }
                Ok::<_, ObjectError>(Signal { stored: Some(stored), kind, hub })
            })
            .await?;
        committed.into_stored()
    }
}

/// The log is trimmed once in so many revisions.
const TRIM_EVERY: u64 = 256;

/// Carries the result of a change out of the writer thread, which drops it or hands it over only after the commit.
/// Dropping it wakes the watchers, so they wake even if the caller stopped waiting.
struct Signal {
    stored: Option<Stored>,
    kind: KindKey,
    hub: Arc<Hub>,
}

impl Signal {
    fn into_stored(mut self) -> Result<Stored, ObjectError> {
        self.stored.take().ok_or_else(|| Error::Damaged("a change without a result".into()).into())
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.hub.wake(&self.kind);
    }
}

#[derive(Default)]
struct Hub(Mutex<HashMap<Option<KindKey>, watch::Sender<u64>>>);

impl Hub {
    fn subscribe(&self, kind: Option<&KindKey>) -> watch::Receiver<u64> {
        let mut channels = self.0.lock().unwrap_or_else(|p| p.into_inner());
        channels.entry(kind.cloned()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    fn wake(&self, kind: &KindKey) {
        let channels = self.0.lock().unwrap_or_else(|p| p.into_inner());
        for key in [Some(kind.clone()), None] {
            if let Some(channel) = channels.get(&key) {
                channel.send_modify(|wakes| *wakes = wakes.wrapping_add(1));
            }
        }
    }
}

fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn counter(connection: &Connection, name: &str) -> Result<u64, rusqlite::Error> {
    connection
        .prepare_cached("SELECT value FROM object_counters WHERE name = ?1")?
        .query_row([name], |row| row.get(0).map(unsigned))
}

fn next_revision(connection: &Connection) -> Result<u64, rusqlite::Error> {
    connection
        .prepare_cached(
            "UPDATE object_counters SET value = value + 1 WHERE name = 'revision' RETURNING value",
        )?
        .query_row([], |row| row.get(0).map(unsigned))
}

fn key(row: &Row<'_>, first: usize) -> Result<ObjectKey, rusqlite::Error> {
    Ok(ObjectKey {
        kind: KindKey { group: row.get(first)?, plural: row.get(first + 1)? },
        namespace: row.get(first + 2)?,
        name: row.get(first + 3)?,
    })
}

fn stored(row: &Row<'_>) -> Result<Stored, rusqlite::Error> {
    Ok(Stored {
        key: key(row, 0)?,
        uid: row.get(4)?,
        revision: unsigned(row.get(5)?),
        facts: row.get(6)?,
        json: row.get(7)?,
    })
}

fn event(row: &Row<'_>) -> Result<Event, rusqlite::Error> {
    Ok(Event {
        revision: unsigned(row.get(0)?),
        key: key(row, 1)?,
        change: match row.get::<_, i64>(5)? {
            1 => Change::Added,
            2 => Change::Modified,
            _ => Change::Deleted,
        },
        facts: row.get(6)?,
        before: row.get(7)?,
        json: row.get(8)?,
    })
}

fn find(connection: &Connection, key: &ObjectKey) -> Result<Option<Stored>, ObjectError> {
    let sql = "SELECT grp, plural, namespace, name, uid, revision, facts, json FROM objects
               WHERE grp = ?1 AND plural = ?2 AND namespace = ?3 AND name = ?4";
    let names = params![key.kind.group, key.kind.plural, key.namespace, key.name];
    Ok(connection.prepare_cached(sql)?.query_row(names, stored).optional()?)
}

fn expect(
    connection: &Connection,
    key: &ObjectKey,
    expected: Option<u64>,
) -> Result<(i64, Stored), ObjectError> {
    let sql = "SELECT grp, plural, namespace, name, uid, revision, facts, '', id FROM objects
               WHERE grp = ?1 AND plural = ?2 AND namespace = ?3 AND name = ?4";
    let names = params![key.kind.group, key.kind.plural, key.namespace, key.name];
    let (id, old) = connection
        .prepare_cached(sql)?
        .query_row(names, |row| Ok((row.get(8)?, stored(row)?)))
        .optional()?
        .ok_or(ObjectError::NotFound)?;
    match expected {
        Some(expected) if expected != old.revision => Err(ObjectError::Changed { current: old.revision }),
        _ => Ok((id, old)),
    }
}

fn set_owners(connection: &Connection, object: i64, owners: &[String]) -> Result<(), rusqlite::Error> {
    connection.prepare_cached("DELETE FROM object_owners WHERE object = ?1")?.execute([object])?;
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO object_owners VALUES (?1, ?2)")?;
    for owner in owners {
        insert.execute(params![owner, object])?;
    }
    Ok(())
}

fn log(
    connection: &Connection,
    stored: &Stored,
    change: Change,
    before: Option<&str>,
) -> Result<(), rusqlite::Error> {
    let change = match change {
        Change::Added => 1,
        Change::Modified => 2,
        Change::Deleted => 3,
    };
    connection
        .prepare_cached("INSERT INTO object_events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
        .execute(params![
            signed(stored.revision),
            i64::try_from(stored.json.len()).unwrap_or(i64::MAX),
            stored.key.kind.group,
            stored.key.kind.plural,
            stored.key.namespace,
            stored.key.name,
            change,
            stored.facts,
            before,
            stored.json
        ])?;
    Ok(())
}

/// Drops the oldest events beyond what is kept; always keeps the newest.
fn trim(connection: &Connection, retention: Retention) -> Result<(), rusqlite::Error> {
    let mut kept = (0u64, 0u64);
    let mut cut = None;
    {
        let mut statement =
            connection.prepare_cached("SELECT revision, size FROM object_events ORDER BY revision DESC")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            kept = (kept.0 + 1, kept.1 + unsigned(row.get(1)?));
            if kept.0 > 1 && (kept.0 > retention.events || kept.1 > retention.bytes) {
                cut = Some(row.get::<_, i64>(0)?);
                break;
            }
        }
    }
    if let Some(cut) = cut {
        connection.prepare_cached("DELETE FROM object_events WHERE revision <= ?1")?.execute([cut])?;
        connection
            .prepare_cached("UPDATE object_counters SET value = ?1 WHERE name = 'compacted'")?
            .execute([cut])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
