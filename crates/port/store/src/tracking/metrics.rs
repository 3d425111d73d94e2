//! Metrics: the whole history, and the latest value of each key.

use galley_mlflow::Metric;
use rusqlite::{Connection, Row};

use super::{Page, Result, Search, Tracking, query::Query, storable};

impl Tracking {
    /// All values of one metric, oldest first. `page` of `None` means all of them.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if the run does not exist.
    pub async fn metric_history(&self, run: String, key: String, page: Search) -> Result<Page<Metric>> {
        self.read(move |c| {
            let exists: bool =
                c.query_row("SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?1)", [&run], |row| row.get(0))?;
            if !exists {
                return Err(galley_mlflow::ApiError::absent(format!("Run with id={run} not found")).into());
            }
            history(c, &run, &key, &page)
        })
        .await
    }
}

fn history(c: &Connection, run: &str, key: &str, page: &Search) -> Result<Page<Metric>> {
    let mut query = Query::new("SELECT key, value, is_nan, timestamp, step FROM metrics WHERE run = ");
    query.bind(run.to_owned()).push(" AND key = ").bind(key.to_owned());
    query.push(" ORDER BY timestamp, step, value LIMIT ").bind(i64::from(page.max_results) + 1);
    query.push(" OFFSET ").bind(i64::try_from(page.offset).unwrap_or(i64::MAX));
    let mut statement = c.prepare_cached(&query.sql)?;
    let rows: Vec<Metric> =
        statement.query_map(rusqlite::params_from_iter(query.args), row)?.collect::<Result<_, _>>()?;
    page.page(rows, |metric| Ok(metric.clone()))
}

/// Writes one value. The same value at the same place twice is one value.
pub(super) fn put(c: &Connection, run: &str, metric: &Metric) -> Result<()> {
    let (value, is_nan) = storable(metric.value);
    c.prepare_cached("INSERT OR IGNORE INTO metrics VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute((
        run,
        &metric.key,
        metric.timestamp,
        metric.step,
        value,
        is_nan,
    ))?;
    c.prepare_cached(
        "INSERT INTO latest_metrics VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE
         SET timestamp = excluded.timestamp, step = excluded.step, value = excluded.value, is_nan = excluded.is_nan
         WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)",
    )?
    .execute((run, &metric.key, metric.timestamp, metric.step, value, is_nan))?;
    match &metric.model_id {
        Some(model) => put_on_model(c, run, model, metric),
        None => Ok(()),
    }
}

fn put_on_model(c: &Connection, run: &str, model: &str, metric: &Metric) -> Result<()> {
    let exists: bool =
        c.query_row("SELECT EXISTS (SELECT 1 FROM logged_models WHERE id = ?1)", [model], |row| row.get(0))?;
    if !exists {
        return Err(super::logged_models::absent(model).into());
    }
    let (value, is_nan) = storable(metric.value);
    c.prepare_cached(
        "INSERT OR IGNORE INTO logged_model_metrics VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute((
        model,
        &metric.key,
        metric.timestamp,
        metric.step,
        run,
        value,
        is_nan,
        &metric.dataset_name,
        &metric.dataset_digest,
    ))?;
    Ok(())
}

/// The latest value of each metric of a run.
pub(super) fn latest(c: &Connection, run: &str) -> Result<Vec<Metric>> {
    let mut statement = c.prepare_cached(
        "SELECT key, value, is_nan, timestamp, step FROM latest_metrics WHERE run = ?1 ORDER BY key",
    )?;
    Ok(statement.query_map([run], row)?.collect::<Result<_, _>>()?)
}

/// The metrics of a logged model.
pub(super) fn of_model(c: &Connection, model: &str) -> Result<Vec<Metric>> {
    let mut statement = c.prepare_cached(
        "SELECT key, value, is_nan, timestamp, step, run, dataset_name, dataset_digest
         FROM logged_model_metrics WHERE model = ?1 ORDER BY key, timestamp, step",
    )?;
    let rows = statement.query_map([model], |columns| {
        Ok(Metric {
            model_id: Some(model.to_owned()),
            run_id: columns.get(5)?,
            dataset_name: columns.get(6)?,
            dataset_digest: columns.get(7)?,
            ..row(columns)?
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn row(row: &Row<'_>) -> rusqlite::Result<Metric> {
    let value: f64 = row.get(1)?;
    Ok(Metric {
        key: row.get(0)?,
        value: if row.get(2)? { f64::NAN } else { value },
        timestamp: row.get(3)?,
        step: row.get(4)?,
        ..Metric::default()
    })
}
