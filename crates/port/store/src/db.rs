//! The database file, its writer thread with group commit, and its readers.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

/// Why the database could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or prepared.
    #[error("opening the database {path}")]
    Open {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A migration failed; the file is as it was.
    #[error("migrating {module} to version {version}")]
    Migrate {
        /// The module whose tables were to change.
        module: &'static str,
        /// The version that failed.
        version: usize,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A statement failed.
    #[error("database statement failed")]
    Sql(#[from] rusqlite::Error),
    /// Stored data is not what the program wrote.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// The writer has stopped; nothing was changed.
    #[error("the database is closed")]
    Closed,
}

/// The tables of one module: statements that bring version `n` to `n + 1`, in order. Forward only.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Name of the module, unique in the file.
    pub module: &'static str,
    /// One batch of statements per version.
    pub steps: &'static [&'static str],
}

/// At most this many changes share a transaction.
const GROUP: usize = 256;
/// At most this many changes wait for the writer; more make the callers wait.
const QUEUE: usize = 1024;
/// Read connections kept open.
const READERS: usize = 4;

type Job = Box<dyn FnOnce(&Connection) -> Box<dyn FnOnce(Result<(), rusqlite::Error>) + Send> + Send>;

/// A handle to the database; clones share it.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    path: PathBuf,
    jobs: Mutex<Option<mpsc::SyncSender<Job>>>,
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Database {
    /// Opens or creates the file and brings every module's tables up to date.
    ///
    /// # Errors
    /// [`Error::Open`] or [`Error::Migrate`].
    pub fn open(path: &Path, migrations: &[Migration]) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
                 CREATE TABLE IF NOT EXISTS migrations (module TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT;",
            )
            .map_err(failed)?;
        for migration in migrations {
            migrate(&connection, migration)?;
        }
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let writer = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_in_groups(&connection, &queue))
            .map_err(|error| Error::Damaged(format!("no thread for the writer: {error}")))?;
        Ok(Database(Arc::new(Inner {
            path: path.to_owned(),
            jobs: Mutex::new(Some(jobs)),
            readers: Mutex::new(Vec::new()),
            writer: Mutex::new(Some(writer)),
        })))
    }

    /// Runs `change` on the writer, inside a transaction shared with other waiting changes, and answers once it is
    /// on disk. A change that returns an error is undone alone; the others of its group stay.
    ///
    /// # Errors
    /// What `change` returns, or a failed commit, or [`Error::Closed`].
    pub async fn write<T, E, F>(&self, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel::<Result<T, E>>();
        let job: Job = Box::new(move |connection| {
            let outcome = in_savepoint(connection, change);
            Box::new(move |committed| {
                let _ = reply.send(match (outcome, committed) {
                    (Ok(value), Ok(())) => Ok(value),
                    (Ok(_), Err(error)) => Err(E::from(Error::Sql(error))),
                    (Err(error), _) => Err(error),
                });
            })
        });
        let sender = self.0.jobs.lock().unwrap_or_else(|p| p.into_inner()).clone();
        let Some(sender) = sender else { return Err(E::from(Error::Closed)) };
        // The queue is bounded; a full one blocks, so the wait happens where blocking is allowed.
        if let Err(mpsc::TrySendError::Full(job)) = sender.try_send(job) {
            let sent = tokio::task::spawn_blocking(move || sender.send(job).is_ok()).await;
            if !matches!(sent, Ok(true)) {
                return Err(E::from(Error::Closed));
            }
        }
        answer.await.unwrap_or_else(|_| Err(E::from(Error::Closed)))
    }

    /// Runs `query` on a read connection. It sees the last committed state and blocks the calling thread for the
    /// time of the query: keep queries short, or call it through `spawn_blocking`.
    ///
    /// # Errors
    /// What `query` returns, or [`Error::Open`] if no further connection can be opened.
    pub fn read<T, E, F>(&self, query: F) -> Result<T, E>
    where
        E: From<Error>,
        F: FnOnce(&Connection) -> Result<T, E>,
    {
        let pooled = self.0.readers.lock().unwrap_or_else(|p| p.into_inner()).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => self.open_reader()?,
        };
        let outcome = query(&connection);
        let mut readers = self.0.readers.lock().unwrap_or_else(|p| p.into_inner());
        if readers.len() < READERS {
            readers.push(connection);
        }
        outcome
    }

    /// Finishes what waits, checkpoints and closes the file. Later calls answer [`Error::Closed`].
    pub fn close(&self) {
        self.0.jobs.lock().unwrap_or_else(|p| p.into_inner()).take();
        if let Some(writer) = self.0.writer.lock().unwrap_or_else(|p| p.into_inner()).take() {
            let _ = writer.join();
        }
    }

    fn open_reader(&self) -> Result<Connection, Error> {
        let failed = |source| Error::Open { path: self.0.path.clone(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0.path, flags).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
        Ok(connection)
    }
}

fn migrate(connection: &Connection, migration: &Migration) -> Result<(), Error> {
    let failed = |version| move |source| Error::Migrate { module: migration.module, version, source };
    let done: usize = connection
        .query_row(
            "SELECT coalesce((SELECT version FROM migrations WHERE module = ?1), 0)",
            [migration.module],
            |row| row.get::<_, i64>(0),
        )
        .map(|version| usize::try_from(version).unwrap_or(0))
        .map_err(failed(0))?;
    for (index, step) in migration.steps.iter().enumerate().skip(done) {
        let version = index + 1;
        connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; {step};
                 INSERT INTO migrations VALUES ('{}', {version})
                 ON CONFLICT (module) DO UPDATE SET version = {version}; COMMIT;",
                migration.module
            ))
            .map_err(|error| {
                let _ = connection.execute_batch("ROLLBACK");
                failed(version)(error)
            })?;
    }
    Ok(())
}

/// Runs one change so that its error undoes it alone, not its neighbours in the transaction.
fn in_savepoint<T, E: From<Error>>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let sql = |statement: &str| connection.execute_batch(statement).map_err(|e| E::from(Error::Sql(e)));
    sql("SAVEPOINT one")?;
    match change(connection) {
        Ok(value) => sql("RELEASE one").map(|()| value),
        Err(error) => {
            sql("ROLLBACK TO one; RELEASE one")?;
            Err(error)
        }
    }
}

fn write_in_groups(connection: &Connection, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        let mut replies = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            replies.push(job(connection));
            next = if replies.len() < GROUP { queue.try_recv().ok() } else { None };
        }
        let committed = begun.and_then(|()| connection.execute_batch("COMMIT"));
        if committed.is_err() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        let failure = committed.err().map(|error| error.to_string());
        for reply in replies {
            reply(match &failure {
                None => Ok(()),
                Some(text) => Err(rusqlite::Error::ToSqlConversionFailure(text.clone().into())),
            });
        }
    }
    let _ = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: Migration = Migration {
        module: "test",
        steps: &[
            "CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER NOT NULL) STRICT",
            "CREATE INDEX tv ON t (v)",
        ],
    };

    #[tokio::test]
    async fn a_failed_change_is_undone_alone_and_the_rest_survives_reopening() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("x.db");
        let database = Database::open(&path, &[TABLES]).expect("opens");
        let insert = |key: &'static str, value: i64| {
            database.write(move |c| {
                c.execute("INSERT INTO t VALUES (?1, ?2)", (key, value))?;
                if value < 0 { Err(Error::Damaged("negative".into())) } else { Ok(()) }
            })
        };
        let (a, b, c) = tokio::join!(insert("a", 1), insert("b", -1), insert("c", 3));
        assert!(a.is_ok() && b.is_err() && c.is_ok());
        database.close();
        assert!(matches!(database.write(|_| Ok::<_, Error>(())).await, Err(Error::Closed)));

        let again = Database::open(&path, &[TABLES]).expect("opens again");
        let keys: Vec<String> = again
            .read(|c| {
                let mut statement = c.prepare("SELECT k FROM t ORDER BY k")?;
                let rows = statement.query_map([], |row| row.get(0))?;
                Ok::<_, Error>(rows.collect::<Result<_, _>>()?)
            })
            .expect("reads");
        assert_eq!(keys, ["a", "c"]);
    }
}
