//! Experiments.

use galley_mlflow::{ApiError, ErrorCode, Experiment, KeyValue, LifecycleStage, filter::Entity, path};
use rusqlite::{Connection, OptionalExtension, Row, types::Value};

use super::{
    Page, Result, Search, Tracking, is_taken, pairs,
    query::Query,
    search::{stages, tag_filter},
    taken,
};

const COLUMNS: &str = "SELECT id, name, artifact_location, lifecycle, created, updated FROM experiments";

/// An experiment to be made.
#[derive(Clone, Debug, Default)]
pub struct NewExperiment {
    /// Unique name.
    pub name: String,
    /// Root of its artifacts; empty for `<root>/<id>`.
    pub artifact_location: String,
    /// Where experiments without a location of their own keep their artifacts.
    pub root: String,
    /// Its tags.
    pub tags: Vec<KeyValue>,
    /// Milliseconds since 1970.
    pub now: i64,
}

impl Tracking {
    /// Makes an experiment and returns its id.
    ///
    /// # Errors
    /// `RESOURCE_ALREADY_EXISTS` if the name is taken, also by a deleted one.
    pub async fn create_experiment(&self, new: NewExperiment) -> Result<String> {
        self.write(move |c| {
            let made = c.execute(
                "INSERT INTO experiments (name, artifact_location, created, updated) VALUES (?1, ?2, ?3, ?3)",
                (&new.name, &new.artifact_location, new.now),
            );
            if made.as_ref().is_err_and(is_taken) {
                return Err(taken(format!("Experiment(name={}) already exists.", new.name)));
            }
            made?;
            let id = c.last_insert_rowid();
            if new.artifact_location.is_empty() {
                let location = path::join(&new.root, &id.to_string());
                c.execute("UPDATE experiments SET artifact_location = ?2 WHERE id = ?1", (id, location))?;
            }
            for tag in &new.tags {
                set_tag(c, id, tag)?;
            }
            Ok(id.to_string())
        })
        .await
    }

    /// An experiment, active or deleted.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn experiment(&self, id: String) -> Result<Experiment> {
        self.read(move |c| get(c, parse_id(&id)?)).await
    }

    /// An experiment by name, active or deleted.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn experiment_by_name(&self, name: String) -> Result<Experiment> {
        self.read(move |c| {
            let id = c
                .query_row("SELECT id FROM experiments WHERE name = ?1", [&name], |row| row.get(0))
                .optional()?
                .ok_or_else(|| ApiError::absent(format!("Could not find experiment with name '{name}'")))?;
            get(c, id)
        })
        .await
    }

    /// Gives an experiment a new name.
    ///
    /// # Errors
    /// `INVALID_STATE` if it is deleted, `RESOURCE_ALREADY_EXISTS` if the name is taken.
    pub async fn rename_experiment(&self, id: String, name: String, now: i64) -> Result<()> {
        self.write(move |c| {
            let id = parse_id(&id)?;
            if get(c, id)?.lifecycle_stage != LifecycleStage::Active {
                return Err(
                    ApiError::new(ErrorCode::InvalidState, "Cannot rename a non-active experiment.").into()
                );
            }
            let done =
                c.execute("UPDATE experiments SET name = ?2, updated = ?3 WHERE id = ?1", (id, &name, now));
            if done.as_ref().is_err_and(is_taken) {
                return Err(taken(format!("Experiment(name={name}) already exists.")));
            }
            done?;
            Ok(())
        })
        .await
    }

    /// Deletes or restores an experiment with its runs.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if there is none in the other stage.
    pub async fn move_experiment(&self, id: String, to: LifecycleStage, now: i64) -> Result<()> {
        self.write(move |c| {
            let id = parse_id(&id)?;
            if get(c, id)?.lifecycle_stage == to {
                return Err(absent(id).into());
            }
            c.execute(
                "UPDATE experiments SET lifecycle = ?2, updated = ?3 WHERE id = ?1",
                (id, to.name(), now),
            )?;
            c.execute("UPDATE runs SET lifecycle = ?2 WHERE experiment = ?1", (id, to.name()))?;
            Ok(())
        })
        .await
    }

    /// Sets a tag.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` if the experiment is deleted.
    pub async fn set_experiment_tag(&self, id: String, tag: KeyValue) -> Result<()> {
        self.write(move |c| {
            let id = parse_id(&id)?;
            active(&get(c, id)?)?;
            set_tag(c, id, &tag)
        })
        .await
    }

    /// Removes a tag.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if there is no such tag.
    pub async fn delete_experiment_tag(&self, id: String, key: String) -> Result<()> {
        self.write(move |c| {
            let number = parse_id(&id)?;
            active(&get(c, number)?)?;
            let gone =
                c.execute("DELETE FROM experiment_tags WHERE experiment = ?1 AND key = ?2", (number, &key))?;
            if gone == 0 {
                return Err(
                    ApiError::absent(format!("No tag with name: {key} in experiment with id {id}")).into()
                );
            }
            Ok(())
        })
        .await
    }

    /// Finds experiments; the newest first unless `order` says otherwise.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub async fn search_experiments(&self, search: Search) -> Result<Page<Experiment>> {
        self.read(move |c| {
            let query = search_query(&search)?;
            let ids = search.ids(c, query)?;
            search.page(ids, |id| get(c, *id))
        })
        .await
    }
}

fn search_query(search: &Search) -> Result<Query> {
    let mut query = Query::new("SELECT id FROM experiments e WHERE ");
    stages(&mut query, "e.lifecycle", search.view);
    for comparison in &search.filter {
        query.push(" AND ");
        match comparison.entity {
            Entity::Tag => tag_filter(&mut query, "experiment_tags", "x.experiment = e.id", comparison),
            _ => match comparison.key.as_str() {
                // Stored as a number, written as text.
                "experiment_id" => {
                    query.compare("CAST(e.id AS TEXT)", comparison.operator, &comparison.operand)
                }
                key => query.compare(column(key), comparison.operator, &comparison.operand),
            },
        };
    }
    query.push(" ORDER BY ");
    for order in &search.order {
        query.push(column(&order.key)).push(if order.ascending { ", " } else { " DESC, " });
    }
    query.push("e.created DESC, e.id ASC");
    Ok(query)
}

fn column(key: &str) -> &'static str {
    match key {
        "name" => "e.name",
        "creation_time" => "e.created",
        "last_update_time" => "e.updated",
        _ => "e.id",
    }
}

/// Reads an experiment id.
pub(super) fn parse_id(id: &str) -> Result<i64, ApiError> {
    id.parse().map_err(|_| {
        ApiError::invalid(format!("Invalid experiment ID '{id}'. Experiment ID must be a valid integer."))
    })
}

fn absent(id: i64) -> ApiError {
    ApiError::absent(format!("No Experiment with id={id} exists"))
}

/// The experiment must not be deleted.
pub(super) fn active(experiment: &Experiment) -> Result<(), ApiError> {
    if experiment.lifecycle_stage == LifecycleStage::Active {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "The experiment {} must be in the 'active' state. Current state is {}.",
        experiment.experiment_id,
        experiment.lifecycle_stage.name()
    )))
}

fn set_tag(c: &Connection, id: i64, tag: &KeyValue) -> Result<()> {
    c.execute(
        "INSERT INTO experiment_tags VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3",
        (id, &tag.key, &tag.value),
    )?;
    Ok(())
}

/// The experiment with this id.
pub(super) fn get(c: &Connection, id: i64) -> Result<Experiment> {
    let mut experiment = c
        .prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?
        .query_row([Value::Integer(id)], row)
        .optional()?
        .ok_or_else(|| absent(id))?;
    experiment.tags =
        pairs(c, "SELECT key, value FROM experiment_tags WHERE experiment = ?1 ORDER BY key", [id])?;
    Ok(experiment)
}

fn row(row: &Row<'_>) -> rusqlite::Result<Experiment> {
    Ok(Experiment {
        experiment_id: row.get::<_, i64>(0)?.to_string(),
        name: row.get(1)?,
        artifact_location: row.get(2)?,
        lifecycle_stage: stage(&row.get::<_, String>(3)?),
        creation_time: Some(row.get(4)?),
        last_update_time: Some(row.get(5)?),
        tags: Vec::new(),
    })
}

/// The stage with this name.
pub(super) fn stage(name: &str) -> LifecycleStage {
    if name == "active" { LifecycleStage::Active } else { LifecycleStage::Deleted }
}
