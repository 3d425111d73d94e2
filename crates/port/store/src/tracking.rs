//! The tracking tables: experiments, runs, logged models, registered models.
//!
//! [`Tracking`] answers in the nouns of `galley-mlflow` and fails with its [`ApiError`]s where the rules of MLflow are
//! broken (a parameter that may not change, a run that does not exist). Names, ids and the time are given by the
//! caller; lengths and spelling are checked by the caller with `galley_mlflow::limits`.
//!
//! Invariants: a parameter is written once; `latest_metrics` holds for each key the history's greatest
//! `(step, timestamp, value)`; the tag `mlflow.runName` and the run's name agree; version numbers are never reused,
//! so deleted versions stay as redacted rows.

mod experiments;
mod inputs;
mod logged_models;
mod metrics;
mod query;
mod registry;
mod runs;
mod search;
mod versions;

use galley_mlflow::{ApiError, ErrorCode, KeyValue};
use rusqlite::Connection;

use crate::db::{self, Database, Migration};

pub use experiments::NewExperiment;
pub use logged_models::{LoggedModelOrder, LoggedModelSearch, NewLoggedModel};
pub use registry::NewModel;
pub use runs::{NewRun, RunChange};
pub use search::{Page, RunSearch, Search};
pub use versions::NewVersion;

/// The tables. To be given to [`Database::open`].
pub const MIGRATION: Migration =
    Migration { module: "tracking", steps: &[include_str!("tracking/tables.sql")] };

/// Why the tracking store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule; the caller is told.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The database failed.
    #[error("the tracking database failed")]
    Store(#[from] db::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Error::Store(db::Error::Sql(error))
    }
}

/// A result of the tracking store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The tracking tables of one database; clones share it.
#[derive(Clone)]
pub struct Tracking(Database);

impl Tracking {
    /// Uses a database that was opened with [`MIGRATION`].
    pub fn new(database: Database) -> Self {
        Tracking(database)
    }

    /// Runs a query where blocking is allowed.
    async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let database = self.0.clone();
        tokio::task::spawn_blocking(move || database.read(query))
            .await
            .map_err(|error| Error::Store(db::Error::Damaged(format!("a query did not end well: {error}"))))?
    }

    async fn write<T, F>(&self, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.0.write(change).await
    }
}

/// The row breaks a uniqueness rule.
fn is_taken(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(failure, _)
        if failure.code == rusqlite::ErrorCode::ConstraintViolation)
}

fn taken(message: String) -> Error {
    Error::Api(ApiError::new(ErrorCode::ResourceAlreadyExists, message))
}

/// Reads key and value of the first two columns.
fn pairs(connection: &Connection, sql: &str, args: impl rusqlite::Params) -> Result<Vec<KeyValue>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(args, |row| Ok(KeyValue { key: row.get(0)?, value: row.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// NaN has no place in SQLite and infinities none in JSON numbers: what is stored is a finite value and a flag.
fn storable(value: f64) -> (f64, bool) {
    if value.is_nan() { (0.0, true) } else { (value.clamp(f64::MIN, f64::MAX), false) }
}

#[cfg(test)]
mod tests;
