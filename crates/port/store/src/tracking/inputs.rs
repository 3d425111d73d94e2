//! What a run used and made: data sets and logged models.

use galley_mlflow::{
    ApiError, Dataset, DatasetInput, KeyValue, ModelInput, ModelOutput, RunInputs, RunOutputs,
};
use rusqlite::Connection;

use super::{Result, Tracking, runs};

/// Tag that says what a data set was used for.
const CONTEXT_TAG: &str = "mlflow.data.context";

impl Tracking {
    /// Records what a run used. A data set recorded before stays as it is.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if the run does not exist.
    pub async fn log_inputs(
        &self,
        run: String,
        datasets: Vec<DatasetInput>,
        models: Vec<ModelInput>,
    ) -> Result<()> {
        self.write(move |c| {
            runs::active(c, &run)?;
            for input in &datasets {
                put_dataset(c, &run, input)?;
            }
            for model in &models {
                put_model(c, &run, "input", &model.model_id, 0)?;
            }
            Ok(())
        })
        .await
    }

    /// Records which models a run made.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if the run does not exist.
    pub async fn log_outputs(&self, run: String, models: Vec<ModelOutput>) -> Result<()> {
        self.write(move |c| {
            runs::active(c, &run)?;
            for model in &models {
                put_model(c, &run, "output", &model.model_id, model.step)?;
            }
            Ok(())
        })
        .await
    }
}

fn put_dataset(c: &Connection, run: &str, input: &DatasetInput) -> Result<()> {
    let Dataset { name, digest, source_type, source, schema, profile } = &input.dataset;
    let context = input.tags.iter().find(|tag| tag.key == CONTEXT_TAG).map(|tag| &tag.value);
    let tags = serde_json::to_string(&input.tags)
        .map_err(|error| ApiError::invalid(format!("The data set's tags cannot be stored: {error}")))?;
    c.execute(
        "INSERT OR IGNORE INTO run_datasets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (run, name, digest, source_type, source, schema, profile, tags, context),
    )?;
    Ok(())
}

fn put_model(c: &Connection, run: &str, direction: &str, model: &str, step: i64) -> Result<()> {
    c.execute("INSERT OR IGNORE INTO run_models VALUES (?1, ?2, ?3, ?4)", (run, direction, model, step))?;
    Ok(())
}

/// What a run used and made.
pub(super) fn of_run(c: &Connection, run: &str) -> Result<(RunInputs, RunOutputs)> {
    let mut statement = c.prepare_cached(
        "SELECT name, digest, source_type, source, schema, profile, tags FROM run_datasets WHERE run = ?1
         ORDER BY rowid",
    )?;
    let dataset_inputs = statement
        .query_map([run], |row| {
            let tags: String = row.get(6)?;
            let tags: Vec<KeyValue> = serde_json::from_str(&tags).unwrap_or_default();
            let dataset = Dataset {
                name: row.get(0)?,
                digest: row.get(1)?,
                source_type: row.get(2)?,
                source: row.get(3)?,
                schema: row.get(4)?,
                profile: row.get(5)?,
            };
            Ok(DatasetInput { tags, dataset })
        })?
        .collect::<Result<_, _>>()?;
    let mut statement = c.prepare_cached(
        "SELECT direction, model, step FROM run_models WHERE run = ?1 ORDER BY direction, step, model",
    )?;
    let models: Vec<(String, ModelOutput)> = statement
        .query_map([run], |row| Ok((row.get(0)?, ModelOutput { model_id: row.get(1)?, step: row.get(2)? })))?
        .collect::<Result<_, _>>()?;
    let (inputs, outputs): (Vec<_>, Vec<_>) =
        models.into_iter().partition(|(direction, _)| direction == "input");
    Ok((
        RunInputs {
            dataset_inputs,
            model_inputs: inputs
                .into_iter()
                .map(|(_, model)| ModelInput { model_id: model.model_id })
                .collect(),
        },
        RunOutputs { model_outputs: outputs.into_iter().map(|(_, model)| model).collect() },
    ))
}
