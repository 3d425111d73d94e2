//! Runs, their parameters and tags.

use galley_mlflow::{
    ApiError, KeyValue, LifecycleStage, Metric, RUN_NAME_TAG, Run, RunData, RunInfo, RunStatus,
    filter::{Comparison, Entity, Operator},
    path,
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Page, Result, RunSearch, Tracking, experiments, inputs, metrics, pairs,
    query::Query,
    search::{last_of_each, stages, tag_filter},
};

const COLUMNS: &str =
    "SELECT id, experiment, name, user, status, started, ended, artifact_uri, lifecycle FROM runs";

/// A run to be made.
#[derive(Clone, Debug, Default)]
pub struct NewRun {
    /// 32 hexadecimal letters, unused.
    pub run_id: String,
    /// The experiment it belongs to.
    pub experiment_id: String,
    /// Who starts it.
    pub user_id: String,
    /// A name for people.
    pub name: String,
    /// Milliseconds since 1970.
    pub start_time: i64,
    /// Its tags.
    pub tags: Vec<KeyValue>,
}

/// What changes about a run; `None` stays.
#[derive(Clone, Debug, Default)]
pub struct RunChange {
    /// How it is doing.
    pub status: Option<RunStatus>,
    /// Milliseconds since 1970.
    pub end_time: Option<i64>,
    /// A name for people.
    pub name: Option<String>,
}

impl Tracking {
    /// Makes a run.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` or `INVALID_PARAMETER_VALUE` if the experiment is absent or deleted.
    pub async fn create_run(&self, new: NewRun) -> Result<Run> {
        self.write(move |c| {
            let experiment = experiments::get(c, experiments::parse_id(&new.experiment_id)?)?;
            experiments::active(&experiment)?;
            let uri = path::join(&experiment.artifact_location, &format!("{}/artifacts", new.run_id));
            c.execute(
                "INSERT INTO runs (id, experiment, name, user, status, started, artifact_uri)
                 VALUES (?1, ?2, ?3, ?4, 'RUNNING', ?5, ?6)",
                (
                    &new.run_id,
                    experiments::parse_id(&new.experiment_id)?,
                    &new.name,
                    &new.user_id,
                    new.start_time,
                    uri,
                ),
            )?;
            for tag in last_of_each(new.tags) {
                put_tag(c, &new.run_id, &tag)?;
            }
            put_tag(c, &new.run_id, &KeyValue::new(RUN_NAME_TAG, new.name))?;
            get(c, &new.run_id)
        })
        .await
    }

    /// A run with everything that belongs to it.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn run(&self, id: String) -> Result<Run> {
        self.read(move |c| get(c, &id)).await
    }

    /// Changes status, end or name of a run.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` if it is deleted.
    pub async fn update_run(&self, id: String, change: RunChange) -> Result<RunInfo> {
        self.write(move |c| {
            active(c, &id)?;
            c.execute(
                "UPDATE runs SET status = coalesce(?2, status), ended = coalesce(?3, ended) WHERE id = ?1",
                (&id, change.status.map(RunStatus::name), change.end_time),
            )?;
            if let Some(name) = change.name.filter(|name| !name.is_empty()) {
                put_tag(c, &id, &KeyValue::new(RUN_NAME_TAG, name))?;
            }
            info(c, &id)
        })
        .await
    }

    /// Deletes or restores a run.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn move_run(&self, id: String, to: LifecycleStage) -> Result<()> {
        self.write(move |c| {
            info(c, &id)?;
            c.execute("UPDATE runs SET lifecycle = ?2 WHERE id = ?1", (&id, to.name()))?;
            Ok(())
        })
        .await
    }

    /// Writes metrics, parameters and tags, all of them or none.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` if a parameter has another value already.
    pub async fn log(
        &self,
        id: String,
        metrics: Vec<Metric>,
        params: Vec<KeyValue>,
        tags: Vec<KeyValue>,
    ) -> Result<()> {
        self.write(move |c| {
            active(c, &id)?;
            put_params(c, &id, &params)?;
            for metric in &metrics {
                metrics::put(c, &id, metric)?;
            }
            for tag in last_of_each(tags) {
                put_tag(c, &id, &tag)?;
            }
            Ok(())
        })
        .await
    }

    /// Removes a tag.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if there is no such tag.
    pub async fn delete_run_tag(&self, id: String, key: String) -> Result<()> {
        self.write(move |c| {
            active(c, &id)?;
            if c.execute("DELETE FROM run_tags WHERE run = ?1 AND key = ?2", (&id, &key))? == 0 {
                return Err(ApiError::absent(format!("No tag with name: {key} in run with id {id}")).into());
            }
            Ok(())
        })
        .await
    }

    /// Appends an entry to a tag that holds a JSON array.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` if the tag would become too long.
    pub async fn append_to_tag(&self, id: String, key: &'static str, entry: serde_json::Value) -> Result<()> {
        self.write(move |c| {
            active(c, &id)?;
            let known: Option<String> = c
                .query_row("SELECT value FROM run_tags WHERE run = ?1 AND key = ?2", (&id, key), |row| {
                    row.get(0)
                })
                .optional()?;
            let mut entries: Vec<serde_json::Value> =
                known.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            entries.push(entry);
            let tag = KeyValue::new(key, serde_json::Value::from(entries).to_string());
            // A cut list could not be read again.
            galley_mlflow::limits::length(key, galley_mlflow::limits::MAX_TAG_VALUE, &tag.value)?;
            put_tag(c, &id, &tag)
        })
        .await
    }

    /// Finds runs; the latest first unless `order` says otherwise.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub async fn search_runs(&self, runs: RunSearch) -> Result<Page<Run>> {
        self.read(move |c| {
            let query = search_query(&runs)?;
            let ids: Vec<String> = runs.search.ids(c, query)?;
            runs.search.page(ids, |id| get(c, id))
        })
        .await
    }
}

fn search_query(runs: &RunSearch) -> Result<Query> {
    let experiments: Vec<i64> =
        runs.experiments.iter().map(|id| experiments::parse_id(id)).collect::<Result<_, _>>()?;
    let mut query = Query::new("SELECT r.id FROM runs r WHERE r.experiment IN ");
    query.bind_list(experiments).push(" AND ");
    stages(&mut query, "r.lifecycle", runs.search.view);
    for comparison in &runs.search.filter {
        query.push(" AND ");
        clause(&mut query, comparison);
    }
    query.push(" ORDER BY ");
    let mut by_start = false;
    for order in &runs.search.order {
        by_start |= order.entity == Entity::Attribute && order.key == "start_time";
        order_clause(&mut query, order.entity, &order.key, order.ascending);
    }
    if !by_start {
        query.push("r.started DESC, ");
    }
    query.push("r.id ASC");
    Ok(query)
}

fn clause(query: &mut Query, comparison: &Comparison) {
    let Comparison { entity, key, operator, operand } = comparison;
    match entity {
        Entity::Attribute => {
            query.compare(column(key), *operator, operand);
        }
        Entity::Param => {
            tag_filter(query, "run_params", "x.run = r.id", comparison);
        }
        Entity::Tag => {
            tag_filter(query, "run_tags", "x.run = r.id", comparison);
        }
        Entity::Metric => {
            query
                .push("EXISTS (SELECT 1 FROM latest_metrics x WHERE x.run = r.id AND x.key = ")
                .bind(key.clone());
            // NaN is stored as a flag and differs from everything.
            query.push(" AND (").compare("x.value", *operator, operand);
            query.push(if *operator == Operator::NotEqual {
                " OR x.is_nan))"
            } else {
                " AND NOT x.is_nan))"
            });
        }
        Entity::Dataset => {
            let column = match key.as_str() {
                "name" => "x.name",
                "digest" => "x.digest",
                _ => "x.context",
            };
            query.push("EXISTS (SELECT 1 FROM run_datasets x WHERE x.run = r.id AND ");
            query.compare(column, *operator, operand).push(")");
        }
    }
}

fn column(key: &str) -> &'static str {
    match key {
        "run_name" => "r.name",
        "status" => "r.status",
        "artifact_uri" => "r.artifact_uri",
        "user_id" => "r.user",
        "start_time" => "r.started",
        "end_time" => "r.ended",
        _ => "r.id",
    }
}

/// Runs without the value come last in both directions, and `NaN` just before them.
fn order_clause(query: &mut Query, entity: Entity, key: &str, ascending: bool) {
    let direction = if ascending { ", " } else { " DESC, " };
    let (table, nan) = match entity {
        Entity::Metric => ("latest_metrics", true),
        Entity::Param => ("run_params", false),
        Entity::Tag => ("run_tags", false),
        _ => {
            let column = column(key);
            query.push(column).push(" IS NULL, ").push(column).push(direction);
            return;
        }
    };
    let mut sub = |what: &str| {
        query.push(&format!("(SELECT {what} FROM {table} x WHERE x.run = r.id AND x.key = "));
        query.bind(key.to_owned()).push(")");
    };
    sub("1");
    query.push(" IS NULL, ");
    if nan {
        let mut sub = |what: &str| {
            query.push(&format!("(SELECT {what} FROM {table} x WHERE x.run = r.id AND x.key = "));
            query.bind(key.to_owned()).push("), ");
        };
        sub("is_nan");
    }
    query.push(&format!("(SELECT value FROM {table} x WHERE x.run = r.id AND x.key = "));
    query.bind(key.to_owned()).push(")").push(direction);
}

fn put_params(c: &Connection, id: &str, params: &[KeyValue]) -> Result<()> {
    let mut changed = Vec::new();
    for param in params {
        let known: Option<String> = c
            .prepare_cached("SELECT value FROM run_params WHERE run = ?1 AND key = ?2")?
            .query_row((id, &param.key), |row| row.get(0))
            .optional()?;
        match known {
            None => {
                c.prepare_cached("INSERT INTO run_params VALUES (?1, ?2, ?3)")?.execute((
                    id,
                    &param.key,
                    &param.value,
                ))?;
            }
            Some(known) if known == param.value => {}
            Some(known) => changed.push((param, known)),
        }
    }
    match changed.as_slice() {
        [] => Ok(()),
        [(param, known)] if params.len() == 1 => Err(ApiError::invalid(format!(
            "Changing param values is not allowed. Param with key='{}' was already logged with value='{known}' for run \
             ID='{id}'. Attempted logging new value '{}'.",
            param.key, param.value
        ))
        .into()),
        many => {
            let listed: Vec<String> = many
                .iter()
                .map(|(param, known)| {
                    format!("{{'key': '{}', 'old_value': '{known}', 'new_value': '{}'}}", param.key, param.value)
                })
                .collect();
            Err(ApiError::invalid(format!(
                "Changing param values is not allowed. Params were already logged='[{}]' for run ID='{id}'.",
                listed.join(", ")
            ))
            .into())
        }
    }
}

fn put_tag(c: &Connection, id: &str, tag: &KeyValue) -> Result<()> {
    c.prepare_cached("INSERT INTO run_tags VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3")?
        .execute((id, &tag.key, &tag.value))?;
    if tag.key == RUN_NAME_TAG {
        c.execute("UPDATE runs SET name = ?2 WHERE id = ?1", (id, &tag.value))?;
    }
    Ok(())
}

fn info(c: &Connection, id: &str) -> Result<RunInfo> {
    c.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?
        .query_row([id], row)
        .optional()?
        .ok_or_else(|| ApiError::absent(format!("Run with id={id} not found")).into())
}

/// The run, which must not be deleted.
pub(super) fn active(c: &Connection, id: &str) -> Result<RunInfo> {
    let info = info(c, id)?;
    if info.lifecycle_stage == LifecycleStage::Active {
        return Ok(info);
    }
    Err(ApiError::invalid(format!("The run {id} must be in the 'active' state. Current state is deleted."))
        .into())
}

fn get(c: &Connection, id: &str) -> Result<Run> {
    let (inputs, outputs) = inputs::of_run(c, id)?;
    Ok(Run {
        info: info(c, id)?,
        data: RunData {
            metrics: metrics::latest(c, id)?,
            params: pairs(c, "SELECT key, value FROM run_params WHERE run = ?1 ORDER BY key", [id])?,
            tags: pairs(c, "SELECT key, value FROM run_tags WHERE run = ?1 ORDER BY key", [id])?,
        },
        inputs,
        outputs,
    })
}

fn row(row: &Row<'_>) -> rusqlite::Result<RunInfo> {
    let id: String = row.get(0)?;
    Ok(RunInfo {
        run_uuid: id.clone(),
        run_id: id,
        experiment_id: row.get::<_, i64>(1)?.to_string(),
        run_name: row.get(2)?,
        user_id: row.get(3)?,
        status: RunStatus::parse(&row.get::<_, String>(4)?).unwrap_or_default(),
        start_time: row.get(5)?,
        end_time: row.get(6)?,
        artifact_uri: row.get(7)?,
        lifecycle_stage: experiments::stage(&row.get::<_, String>(8)?),
    })
}
