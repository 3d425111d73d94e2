//! Logged models.

use galley_mlflow::{
    ApiError, KeyValue, LoggedModel, LoggedModelData, LoggedModelInfo, LoggedModelStatus,
    filter::{Comparison, Entity, Operator},
    path,
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Page, Result, Search, Tracking, experiments, metrics, pairs,
    query::Query,
    search::{last_of_each, tag_filter},
};

const COLUMNS: &str =
    "SELECT id, experiment, name, artifact_uri, created, updated, status, model_type, source_run
                       FROM logged_models";

/// A logged model to be made.
#[derive(Clone, Debug, Default)]
pub struct NewLoggedModel {
    /// `m-` and 32 hexadecimal letters, unused.
    pub model_id: String,
    /// The experiment it belongs to.
    pub experiment_id: String,
    /// A name for people.
    pub name: String,
    /// What sort of model.
    pub model_type: Option<String>,
    /// The run that makes it.
    pub source_run_id: Option<String>,
    /// Its parameters.
    pub params: Vec<KeyValue>,
    /// Its tags.
    pub tags: Vec<KeyValue>,
    /// Milliseconds since 1970.
    pub now: i64,
}

/// One clause of a logged model search's order.
#[derive(Clone, Debug)]
pub struct LoggedModelOrder {
    /// An attribute, or a metric.
    pub entity: Entity,
    /// Which one.
    pub key: String,
    /// Smallest first.
    pub ascending: bool,
    /// Only values measured on this data set; empty for all.
    pub dataset_name: String,
    /// Only values measured on this digest; empty for all.
    pub dataset_digest: String,
}

/// A search for logged models.
#[derive(Clone, Debug, Default)]
pub struct LoggedModelSearch {
    /// In which experiments.
    pub experiments: Vec<String>,
    /// Only models measured on one of these data sets: name and, unless empty, digest.
    pub datasets: Vec<(String, String)>,
    /// In which order.
    pub order: Vec<LoggedModelOrder>,
    /// Filter and page; its own order is not used.
    pub search: Search,
}

impl Tracking {
    /// Makes a logged model.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` or `INVALID_PARAMETER_VALUE` if the experiment is absent or deleted.
    pub async fn create_logged_model(&self, new: NewLoggedModel) -> Result<LoggedModel> {
        self.write(move |c| {
            let id = experiments::parse_id(&new.experiment_id)?;
            let experiment = experiments::get(c, id)?;
            experiments::active(&experiment)?;
            let uri =
                path::join(&experiment.artifact_location, &format!("models/{}/artifacts", new.model_id));
            c.execute(
                "INSERT INTO logged_models (id, experiment, name, artifact_uri, created, updated, status, model_type,
                                            source_run)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8)",
                (
                    &new.model_id,
                    id,
                    &new.name,
                    uri,
                    new.now,
                    LoggedModelStatus::Pending.number(),
                    &new.model_type,
                    &new.source_run_id,
                ),
            )?;
            put(c, "logged_model_params", &new.model_id, new.params)?;
            put(c, "logged_model_tags", &new.model_id, new.tags)?;
            get(c, &new.model_id, false)
        })
        .await
    }

    /// A logged model; a deleted one only if asked for.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn logged_model(&self, id: String, allow_deleted: bool) -> Result<LoggedModel> {
        self.read(move |c| get(c, &id, allow_deleted)).await
    }

    /// Sets a logged model's status.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn finalize_logged_model(
        &self,
        id: String,
        status: LoggedModelStatus,
        now: i64,
    ) -> Result<LoggedModel> {
        self.write(move |c| {
            get(c, &id, false)?;
            c.execute(
                "UPDATE logged_models SET status = ?2, updated = ?3 WHERE id = ?1",
                (&id, status.number(), now),
            )?;
            get(c, &id, false)
        })
        .await
    }

    /// Deletes a logged model; its files stay.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn delete_logged_model(&self, id: String, now: i64) -> Result<()> {
        self.write(move |c| {
            get(c, &id, false)?;
            c.execute(
                "UPDATE logged_models SET lifecycle = 'deleted', updated = ?2 WHERE id = ?1",
                (&id, now),
            )?;
            Ok(())
        })
        .await
    }

    /// Adds parameters.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` if one has another value already.
    pub async fn log_logged_model_params(&self, id: String, params: Vec<KeyValue>) -> Result<()> {
        self.write(move |c| {
            let known = get(c, &id, false)?.data.params;
            if let Some((old, new)) = params.iter().find_map(|param| {
                known.iter().find(|old| old.key == param.key && old.value != param.value).map(|old| (old, param))
            }) {
                return Err(ApiError::invalid(format!(
                    "Changing param values is not allowed. Param with key='{}' was already logged with value='{}' for \
                     model ID='{id}'. Attempted logging new value '{}'.",
                    old.key, old.value, new.value
                ))
                .into());
            }
            put(c, "logged_model_params", &id, params)
        })
        .await
    }

    /// Sets tags.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn set_logged_model_tags(&self, id: String, tags: Vec<KeyValue>) -> Result<LoggedModel> {
        self.write(move |c| {
            get(c, &id, false)?;
            put(c, "logged_model_tags", &id, tags)?;
            get(c, &id, false)
        })
        .await
    }

    /// Removes a tag.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if there is no such tag.
    pub async fn delete_logged_model_tag(&self, id: String, key: String) -> Result<()> {
        self.write(move |c| {
            get(c, &id, false)?;
            if c.execute("DELETE FROM logged_model_tags WHERE model = ?1 AND key = ?2", (&id, &key))? == 0 {
                return Err(ApiError::absent(format!(
                    "No tag with key '{key}' found for model with ID '{id}'."
                ))
                .into());
            }
            Ok(())
        })
        .await
    }

    /// Finds logged models; the newest first unless `order` says otherwise.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub async fn search_logged_models(&self, search: LoggedModelSearch) -> Result<Page<LoggedModel>> {
        self.read(move |c| {
            let query = search_query(&search)?;
            let ids: Vec<String> = search.search.ids(c, query)?;
            search.search.page(ids, |id| get(c, id, false))
        })
        .await
    }
}

fn search_query(search: &LoggedModelSearch) -> Result<Query> {
    let experiments: Vec<i64> =
        search.experiments.iter().map(|id| experiments::parse_id(id)).collect::<Result<_, _>>()?;
    let mut query =
        Query::new("SELECT m.id FROM logged_models m WHERE m.lifecycle = 'active' AND m.experiment IN ");
    query.bind_list(experiments);
    let mut on_metrics = false;
    for comparison in &search.search.filter {
        query.push(" AND ");
        on_metrics |= comparison.entity == Entity::Metric;
        clause(&mut query, comparison, &search.datasets);
    }
    if !search.datasets.is_empty() && !on_metrics {
        query.push(" AND EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model = m.id");
        datasets(&mut query, &search.datasets);
        query.push(")");
    }
    query.push(" ORDER BY ");
    for order in &search.order {
        order_clause(&mut query, order);
    }
    query.push("m.created DESC, m.id ASC");
    Ok(query)
}

fn clause(query: &mut Query, comparison: &Comparison, on: &[(String, String)]) {
    let Comparison { entity, key, operator, operand } = comparison;
    match entity {
        Entity::Metric => {
            query.push("EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model = m.id AND x.key = ");
            query.bind(key.clone()).push(" AND (").compare("x.value", *operator, operand);
            query.push(if *operator == Operator::NotEqual { " OR x.is_nan)" } else { " AND NOT x.is_nan)" });
            datasets(query, on);
            query.push(")");
        }
        Entity::Param => {
            tag_filter(query, "logged_model_params", "x.model = m.id", comparison);
        }
        Entity::Tag => {
            tag_filter(query, "logged_model_tags", "x.model = m.id", comparison);
        }
        _ => {
            query.compare(column(key), *operator, operand);
        }
    }
}

fn datasets(query: &mut Query, on: &[(String, String)]) {
    if on.is_empty() {
        return;
    }
    query.push(" AND (0");
    for (name, digest) in on {
        query.push(" OR (x.dataset_name = ").bind(name.clone());
        if !digest.is_empty() {
            query.push(" AND x.dataset_digest = ").bind(digest.clone());
        }
        query.push(")");
    }
    query.push(")");
}

fn order_clause(query: &mut Query, order: &LoggedModelOrder) {
    let direction = if order.ascending { ", " } else { " DESC, " };
    if order.entity != Entity::Metric {
        let column = column(&order.key);
        query.push(column).push(" IS NULL, ").push(column).push(direction);
        return;
    }
    let on = (order.dataset_name.clone(), order.dataset_digest.clone());
    let on = if on.0.is_empty() { vec![] } else { vec![on] };
    for (ending, direction) in [(" IS NULL", ", "), ("", direction)] {
        query.push(
            "(SELECT value FROM logged_model_metrics x WHERE x.model = m.id AND NOT x.is_nan AND x.key = ",
        );
        query.bind(order.key.clone());
        datasets(query, &on);
        query.push(" ORDER BY x.timestamp DESC, x.step DESC LIMIT 1)").push(ending).push(direction);
    }
}

fn column(key: &str) -> &'static str {
    match key {
        "name" => "m.name",
        "model_type" => "m.model_type",
        "source_run_id" => "m.source_run",
        "experiment_id" => "CAST(m.experiment AS TEXT)",
        "artifact_location" => "m.artifact_uri",
        "status" => "m.status",
        "creation_timestamp_ms" => "m.created",
        "last_updated_timestamp_ms" => "m.updated",
        _ => "m.id",
    }
}

fn put(c: &Connection, table: &str, id: &str, pairs: Vec<KeyValue>) -> Result<()> {
    for pair in last_of_each(pairs) {
        c.prepare_cached(&format!(
            "INSERT INTO {table} VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3"
        ))?
        .execute((id, &pair.key, &pair.value))?;
    }
    Ok(())
}

/// The error for a model that is not there.
pub(super) fn absent(id: &str) -> ApiError {
    ApiError::absent(format!("Logged model with ID '{id}' not found."))
}

/// A logged model with everything that belongs to it.
pub(super) fn get(c: &Connection, id: &str, allow_deleted: bool) -> Result<LoggedModel> {
    let mut info = c
        .prepare_cached(&format!("{COLUMNS} WHERE id = ?1 AND (?2 OR lifecycle = 'active')"))?
        .query_row((id, allow_deleted), row)
        .optional()?
        .ok_or_else(|| absent(id))?;
    info.tags = pairs(c, "SELECT key, value FROM logged_model_tags WHERE model = ?1 ORDER BY key", [id])?;
    let params = pairs(c, "SELECT key, value FROM logged_model_params WHERE model = ?1 ORDER BY key", [id])?;
    Ok(LoggedModel { info, data: LoggedModelData { params, metrics: metrics::of_model(c, id)? } })
}

fn row(row: &Row<'_>) -> rusqlite::Result<LoggedModelInfo> {
    Ok(LoggedModelInfo {
        model_id: row.get(0)?,
        experiment_id: row.get::<_, i64>(1)?.to_string(),
        name: row.get(2)?,
        artifact_uri: row.get(3)?,
        creation_timestamp_ms: row.get(4)?,
        last_updated_timestamp_ms: row.get(5)?,
        status: LoggedModelStatus::parse(&row.get::<_, i64>(6)?.to_string()).unwrap_or_default(),
        model_type: row.get(7)?,
        source_run_id: row.get(8)?,
        tags: Vec::new(),
    })
}
