//! Registered models: names, tags and aliases. Their versions are in `versions`.

use galley_mlflow::{
    Alias, ApiError, KeyValue, ModelVersion, RegisteredModel, Stage,
    filter::{Comparison, Entity, Operand, Operator},
};
use rusqlite::{Connection, OptionalExtension};

use super::{
    Page, Result, Search, Tracking, is_taken, pairs,
    query::Query,
    search::{last_of_each, tag_filter},
    taken, versions,
};

/// Tag that makes a registered model a prompt; searches leave prompts out unless they ask for them.
const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

/// A registered model to be made.
#[derive(Clone, Debug, Default)]
pub struct NewModel {
    /// Unique name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its tags.
    pub tags: Vec<KeyValue>,
    /// Milliseconds since 1970.
    pub now: i64,
}

impl Tracking {
    /// Makes a registered model.
    ///
    /// # Errors
    /// `RESOURCE_ALREADY_EXISTS`.
    pub async fn create_registered_model(&self, new: NewModel) -> Result<RegisteredModel> {
        self.write(move |c| {
            let made = c.execute(
                "INSERT INTO registered_models VALUES (?1, ?2, ?2, ?3)",
                (&new.name, new.now, &new.description),
            );
            if made.as_ref().is_err_and(is_taken) {
                return Err(taken(format!("Registered Model (name={}) already exists.", new.name)));
            }
            made?;
            for tag in last_of_each(new.tags) {
                put_tag(c, &new.name, &tag)?;
            }
            get(c, &new.name)
        })
        .await
    }

    /// A registered model.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn registered_model(&self, name: String) -> Result<RegisteredModel> {
        self.read(move |c| get(c, &name)).await
    }

    /// Gives a registered model a new description.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn describe_registered_model(
        &self,
        name: String,
        description: String,
        now: i64,
    ) -> Result<RegisteredModel> {
        self.write(move |c| {
            exists(c, &name)?;
            c.execute(
                "UPDATE registered_models SET description = ?2, updated = ?3 WHERE name = ?1",
                (&name, description, now),
            )?;
            get(c, &name)
        })
        .await
    }

    /// Gives a registered model a new name.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`, `RESOURCE_ALREADY_EXISTS`.
    pub async fn rename_registered_model(
        &self,
        name: String,
        new: String,
        now: i64,
    ) -> Result<RegisteredModel> {
        self.write(move |c| {
            exists(c, &name)?;
            let done = c.execute(
                "UPDATE registered_models SET name = ?2, updated = ?3 WHERE name = ?1",
                (&name, &new, now),
            );
            if done.as_ref().is_err_and(is_taken) {
                return Err(taken(format!("Registered Model (name={new}) already exists.")));
            }
            done?;
            c.execute("UPDATE model_versions SET updated = ?2 WHERE name = ?1", (&new, now))?;
            get(c, &new)
        })
        .await
    }

    /// Deletes a registered model with its versions.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn delete_registered_model(&self, name: String) -> Result<()> {
        self.write(move |c| {
            exists(c, &name)?;
            c.execute("DELETE FROM registered_models WHERE name = ?1", [&name])?;
            Ok(())
        })
        .await
    }

    /// Sets a tag.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn set_registered_model_tag(&self, name: String, tag: KeyValue) -> Result<()> {
        self.write(move |c| {
            exists(c, &name)?;
            put_tag(c, &name, &tag)
        })
        .await
    }

    /// Removes a tag; one that is not there is no error.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if the model does not exist.
    pub async fn delete_registered_model_tag(&self, name: String, key: String) -> Result<()> {
        self.write(move |c| {
            exists(c, &name)?;
            c.execute("DELETE FROM registered_model_tags WHERE name = ?1 AND key = ?2", (&name, &key))?;
            Ok(())
        })
        .await
    }

    /// Points an alias at a version, wherever it pointed before.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if there is no such version.
    pub async fn set_alias(&self, name: String, alias: String, version: i64) -> Result<()> {
        self.write(move |c| {
            versions::get(c, &name, version)?;
            c.execute(
                "INSERT INTO model_aliases VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET version = ?3",
                (&name, &alias, version),
            )?;
            Ok(())
        })
        .await
    }

    /// Removes an alias; one that is not there is no error.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if the model does not exist.
    pub async fn delete_alias(&self, name: String, alias: String) -> Result<()> {
        self.write(move |c| {
            exists(c, &name)?;
            c.execute("DELETE FROM model_aliases WHERE name = ?1 AND alias = ?2", (&name, &alias))?;
            Ok(())
        })
        .await
    }

    /// The version that an alias points at; `latest` is the highest version.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` without model or version, `INVALID_PARAMETER_VALUE` without alias, as MLflow has it.
    pub async fn version_by_alias(&self, name: String, alias: String) -> Result<ModelVersion> {
        self.read(move |c| {
            exists(c, &name)?;
            if alias.eq_ignore_ascii_case("latest") {
                return latest(c, &name, &Stage::ALL)?
                    .into_iter()
                    .max_by_key(ModelVersion::number)
                    .ok_or_else(|| {
                        ApiError::absent(format!("Latest version not found for model {name}.")).into()
                    });
            }
            let version: Option<i64> = c
                .query_row(
                    "SELECT version FROM model_aliases WHERE name = ?1 AND alias = ?2",
                    (&name, &alias),
                    |row| row.get(0),
                )
                .optional()?;
            let version = version
                .ok_or_else(|| ApiError::invalid(format!("Registered model alias {alias} not found.")))?;
            versions::get(c, &name, version)
        })
        .await
    }

    /// The highest version of each of the stages.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub async fn latest_versions(&self, name: String, stages: Vec<Stage>) -> Result<Vec<ModelVersion>> {
        self.read(move |c| {
            exists(c, &name)?;
            latest(c, &name, &stages)
        })
        .await
    }

    /// Finds registered models, by name unless `order` says otherwise.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub async fn search_registered_models(&self, search: Search) -> Result<Page<RegisteredModel>> {
        self.read(move |c| {
            let mut query = Query::new("SELECT m.name FROM registered_models m WHERE 1");
            let filter =
                without_prompts(&mut query, &search.filter, "registered_model_tags", "x.name = m.name");
            for comparison in filter {
                query.push(" AND ");
                match comparison.entity {
                    Entity::Tag => {
                        tag_filter(&mut query, "registered_model_tags", "x.name = m.name", comparison)
                    }
                    _ => query.compare("m.name", comparison.operator, &comparison.operand),
                };
            }
            query.push(" ORDER BY ");
            for order in &search.order {
                let column = if order.key == "name" { "m.name" } else { "m.updated" };
                query.push(column).push(if order.ascending { ", " } else { " DESC, " });
            }
            query.push("m.name ASC");
            let names: Vec<String> = search.ids(c, query)?;
            search.page(names, |name| get(c, name))
        })
        .await
    }
}

/// Leaves prompts out of a search unless it asks for them, and returns the comparisons that remain.
pub(super) fn without_prompts<'f>(
    query: &mut Query,
    filter: &'f [Comparison],
    table: &str,
    join: &str,
) -> Vec<&'f Comparison> {
    let about_prompts =
        |comparison: &&Comparison| comparison.entity == Entity::Tag && comparison.key == PROMPT_TAG;
    let asked = filter.iter().find(about_prompts).is_some_and(|comparison| {
        let Operand::Text(value) = &comparison.operand else { return false };
        match comparison.operator {
            Operator::Equal => value.eq_ignore_ascii_case("true"),
            Operator::NotEqual => value.eq_ignore_ascii_case("false"),
            _ => false,
        }
    });
    if asked {
        return filter.iter().collect();
    }
    query.push(&format!(
        " AND NOT EXISTS (SELECT 1 FROM {table} x WHERE {join} AND x.value = 'true' AND x.key = "
    ));
    query.bind(PROMPT_TAG.to_owned()).push(")");
    filter.iter().filter(|comparison| !about_prompts(comparison)).collect()
}

fn put_tag(c: &Connection, name: &str, tag: &KeyValue) -> Result<()> {
    c.execute(
        "INSERT INTO registered_model_tags VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = ?3",
        (name, &tag.key, &tag.value),
    )?;
    Ok(())
}

/// The registered model exists.
pub(super) fn exists(c: &Connection, name: &str) -> Result<()> {
    let found: bool =
        c.query_row("SELECT EXISTS (SELECT 1 FROM registered_models WHERE name = ?1)", [name], |row| {
            row.get(0)
        })?;
    if found { Ok(()) } else { Err(absent(name).into()) }
}

fn absent(name: &str) -> ApiError {
    ApiError::absent(format!("Registered Model with name={name} not found"))
}

/// The aliases of a registered model, by name.
pub(super) fn aliases(c: &Connection, name: &str) -> Result<Vec<Alias>> {
    let mut statement =
        c.prepare_cached("SELECT alias, version FROM model_aliases WHERE name = ?1 ORDER BY alias")?;
    let rows = statement.query_map([name], |row| {
        Ok(Alias { alias: row.get(0)?, version: row.get::<_, i64>(1)?.to_string() })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn latest(c: &Connection, name: &str, stages: &[Stage]) -> Result<Vec<ModelVersion>> {
    let mut found = Vec::new();
    for stage in stages {
        let version: Option<i64> = c
            .prepare_cached("SELECT max(version) FROM model_versions WHERE name = ?1 AND stage = ?2")?
            .query_row((name, stage.name()), |row| row.get(0))?;
        if let Some(version) = version {
            found.push(versions::get(c, name, version)?);
        }
    }
    Ok(found)
}

fn get(c: &Connection, name: &str) -> Result<RegisteredModel> {
    let mut model = c
        .prepare_cached("SELECT name, created, updated, description FROM registered_models WHERE name = ?1")?
        .query_row([name], |row| {
            Ok(RegisteredModel {
                name: row.get(0)?,
                creation_timestamp: row.get(1)?,
                last_updated_timestamp: row.get(2)?,
                description: row.get(3)?,
                ..RegisteredModel::default()
            })
        })
        .optional()?
        .ok_or_else(|| absent(name))?;
    model.tags =
        pairs(c, "SELECT key, value FROM registered_model_tags WHERE name = ?1 ORDER BY key", [name])?;
    model.aliases = aliases(c, name)?;
    model.latest_versions = latest(c, name, &Stage::ALL)?;
    Ok(model)
}
