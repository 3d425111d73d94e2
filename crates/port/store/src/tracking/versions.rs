//! Versions of registered models.

use galley_mlflow::{ApiError, ErrorCode, KeyValue, ModelVersion, Stage, filter::Entity};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Page, Result, Search, Tracking, pairs,
    query::Query,
    registry::{self, without_prompts},
    search::{last_of_each, tag_filter},
};

/// Stage of a deleted version; its row stays so that its number is not used again.
const DELETED: &str = "Deleted_Internal";
const COLUMNS: &str = "SELECT name, version, created, updated, stage, description, source, run, run_link
                       FROM model_versions";

/// A version to be made.
#[derive(Clone, Debug, Default)]
pub struct NewVersion {
    /// The registered model.
    pub name: String,
    /// Where it is registered from, as given.
    pub source: String,
    /// Where its files are.
    pub storage: String,
    /// The run that made it; empty if unknown.
    pub run_id: String,
    /// Link to the run on another server.
    pub run_link: String,
    /// For people.
    pub description: String,
    /// Its tags.
    pub tags: Vec<KeyValue>,
    /// Milliseconds since 1970.
    pub now: i64,
}

impl Tracking {
    /// Makes the next version of a registered model.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn create_version(&self, new: NewVersion) -> Result<ModelVersion> {
        self.write(move |c| {
            registry::exists(c, &new.name)?;
            let version: i64 = c.query_row(
                "SELECT coalesce(max(version), 0) + 1 FROM model_versions WHERE name = ?1",
                [&new.name],
                |row| row.get(0),
            )?;
            c.execute(
                "INSERT INTO model_versions (name, version, created, updated, stage, description, source, storage, run,
                                             run_link)
                 VALUES (?1, ?2, ?3, ?3, 'None', ?4, ?5, ?6, ?7, ?8)",
                (
                    &new.name,
                    version,
                    new.now,
                    &new.description,
                    &new.source,
                    &new.storage,
                    &new.run_id,
                    &new.run_link,
                ),
            )?;
            for tag in last_of_each(new.tags) {
                put_tag(c, &new.name, version, &tag)?;
            }
            touch(c, &new.name, new.now)?;
            get(c, &new.name, version)
        })
        .await
    }

    /// A version.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn version(&self, name: String, version: i64) -> Result<ModelVersion> {
        self.read(move |c| get(c, &name, version)).await
    }

    /// Where a version's files are.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn version_storage(&self, name: String, version: i64) -> Result<String> {
        self.read(move |c| {
            get(c, &name, version)?;
            Ok(c.query_row(
                "SELECT storage FROM model_versions WHERE name = ?1 AND version = ?2",
                (&name, version),
                |row| row.get(0),
            )?)
        })
        .await
    }

    /// Gives a version a new description.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn describe_version(
        &self,
        name: String,
        version: i64,
        description: String,
        now: i64,
    ) -> Result<ModelVersion> {
        self.write(move |c| {
            get(c, &name, version)?;
            c.execute(
                "UPDATE model_versions SET description = ?3, updated = ?4 WHERE name = ?1 AND version = ?2",
                (&name, version, description, now),
            )?;
            get(c, &name, version)
        })
        .await
    }

    /// Moves a version to a stage; with `archive`, the others of that stage are archived.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; an error if others are to be archived and the stage is not an active one.
    pub async fn move_version(
        &self,
        name: String,
        version: i64,
        stage: Stage,
        archive: bool,
        now: i64,
    ) -> Result<ModelVersion> {
        if archive && !stage.is_active() {
            return Err(ApiError::new(
                ErrorCode::InvalidParameterValue,
                format!(
                    "Model version transition cannot archive existing model versions because '{}' is not an Active \
                     stage. Valid stages are ['Staging', 'Production']",
                    stage.name()
                ),
            )
            .into());
        }
        self.write(move |c| {
            get(c, &name, version)?;
            if archive {
                c.execute(
                    "UPDATE model_versions SET stage = 'Archived', updated = ?4
                     WHERE name = ?1 AND version <> ?2 AND stage = ?3",
                    (&name, version, stage.name(), now),
                )?;
            }
            c.execute(
                "UPDATE model_versions SET stage = ?3, updated = ?4 WHERE name = ?1 AND version = ?2",
                (&name, version, stage.name(), now),
            )?;
            touch(c, &name, now)?;
            get(c, &name, version)
        })
        .await
    }

    /// Deletes a version with its aliases. Its number is not used again.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn delete_version(&self, name: String, version: i64, now: i64) -> Result<()> {
        self.write(move |c| {
            get(c, &name, version)?;
            c.execute("DELETE FROM model_aliases WHERE name = ?1 AND version = ?2", (&name, version))?;
            c.execute("DELETE FROM model_version_tags WHERE name = ?1 AND version = ?2", (&name, version))?;
            c.execute(
                "UPDATE model_versions SET stage = ?3, updated = ?4, description = '', source = '', storage = '',
                 run = '', run_link = '' WHERE name = ?1 AND version = ?2",
                (&name, version, DELETED, now),
            )?;
            touch(c, &name, now)
        })
        .await
    }

    /// Sets a tag.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn set_version_tag(&self, name: String, version: i64, tag: KeyValue) -> Result<()> {
        self.write(move |c| {
            get(c, &name, version)?;
            put_tag(c, &name, version, &tag)
        })
        .await
    }

    /// Removes a tag; one that is not there is no error.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if the version does not exist.
    pub async fn delete_version_tag(&self, name: String, version: i64, key: String) -> Result<()> {
        self.write(move |c| {
            get(c, &name, version)?;
            c.execute(
                "DELETE FROM model_version_tags WHERE name = ?1 AND version = ?2 AND key = ?3",
                (&name, version, &key),
            )?;
            Ok(())
        })
        .await
    }

    /// Finds versions; the last changed first unless `order` says otherwise.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub async fn search_versions(&self, search: Search) -> Result<Page<ModelVersion>> {
        self.read(move |c| {
            let query = search_query(&search);
            let keys: Vec<i64> = search.ids(c, query)?;
            search.page(keys, |rowid| by_rowid(c, *rowid))
        })
        .await
    }
}

fn search_query(search: &Search) -> Query {
    let mut query = Query::new("SELECT v.rowid FROM model_versions v WHERE v.stage <> ");
    query.bind(DELETED.to_owned());
    let filter = without_prompts(&mut query, &search.filter, "model_version_tags", "x.name = v.name");
    for comparison in filter {
        query.push(" AND ");
        match comparison.entity {
            Entity::Tag => {
                let join = "x.name = v.name AND x.version = v.version";
                tag_filter(&mut query, "model_version_tags", join, comparison)
            }
            _ => query.compare(column(&comparison.key), comparison.operator, &comparison.operand),
        };
    }
    query.push(" ORDER BY ");
    for order in &search.order {
        query.push(column(&order.key)).push(if order.ascending { ", " } else { " DESC, " });
    }
    if search.order.is_empty() {
        query.push("v.updated DESC, ");
    }
    query.push("v.name ASC, v.version DESC");
    query
}

fn column(key: &str) -> &'static str {
    match key {
        "name" => "v.name",
        "run_id" => "v.run",
        "source_path" => "v.source",
        "creation_timestamp" => "v.created",
        "last_updated_timestamp" => "v.updated",
        _ => "v.version",
    }
}

fn put_tag(c: &Connection, name: &str, version: i64, tag: &KeyValue) -> Result<()> {
    c.execute(
        "INSERT INTO model_version_tags VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET value = ?4",
        (name, version, &tag.key, &tag.value),
    )?;
    Ok(())
}

fn touch(c: &Connection, name: &str, now: i64) -> Result<()> {
    c.execute("UPDATE registered_models SET updated = ?2 WHERE name = ?1", (name, now))?;
    Ok(())
}

fn by_rowid(c: &Connection, rowid: i64) -> Result<ModelVersion> {
    let version = c.prepare_cached(&format!("{COLUMNS} WHERE rowid = ?1"))?.query_row([rowid], row)?;
    complete(c, version)
}

/// The version with this number, unless it is deleted.
pub(super) fn get(c: &Connection, name: &str, version: i64) -> Result<ModelVersion> {
    let found = c
        .prepare_cached(&format!("{COLUMNS} WHERE name = ?1 AND version = ?2 AND stage <> ?3"))?
        .query_row((name, version, DELETED), row)
        .optional()?
        .ok_or_else(|| {
            ApiError::absent(format!("Model Version (name={name}, version={version}) not found"))
        })?;
    complete(c, found)
}

fn complete(c: &Connection, mut version: ModelVersion) -> Result<ModelVersion> {
    let number = i64::try_from(version.number()).unwrap_or(0);
    version.tags = pairs(
        c,
        "SELECT key, value FROM model_version_tags WHERE name = ?1 AND version = ?2 ORDER BY key",
        (&version.name, number),
    )?;
    let mut statement =
        c.prepare_cached("SELECT alias FROM model_aliases WHERE name = ?1 AND version = ?2 ORDER BY alias")?;
    version.aliases =
        statement.query_map((&version.name, number), |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(version)
}

fn row(row: &Row<'_>) -> rusqlite::Result<ModelVersion> {
    Ok(ModelVersion {
        name: row.get(0)?,
        version: row.get::<_, i64>(1)?.to_string(),
        creation_timestamp: row.get(2)?,
        last_updated_timestamp: row.get(3)?,
        current_stage: row.get(4)?,
        description: row.get(5)?,
        source: row.get(6)?,
        run_id: row.get(7)?,
        run_link: row.get(8)?,
        status: "READY".into(),
        ..ModelVersion::default()
    })
}
