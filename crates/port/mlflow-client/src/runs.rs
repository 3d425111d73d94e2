//! Experiments and runs.

use galley_mlflow::{Experiment, KeyValue, Metric, Run, RunStatus, filter, limits};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Client, Error, Result, call::Repeat};

/// A value of a metric at a step; the time is the time of the call.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPoint {
    /// The metric.
    pub key: String,
    /// Its value.
    pub value: f64,
    /// Position in a series, such as the epoch.
    pub step: i64,
}

impl MetricPoint {
    /// A value at step 0.
    pub fn new(key: impl Into<String>, value: f64) -> Self {
        MetricPoint { key: key.into(), value, step: 0 }
    }

    /// A value at a step.
    pub fn at(key: impl Into<String>, value: f64, step: i64) -> Self {
        MetricPoint { key: key.into(), value, step }
    }
}

/// A search for runs.
#[derive(Clone, Debug, Default)]
pub struct RunQuery<'a> {
    /// Ids of the experiments.
    pub experiments: &'a [&'a str],
    /// MLflow's filter; empty for all.
    pub filter: &'a str,
    /// MLflow's order, such as `metrics.accuracy DESC`.
    pub order_by: &'a [&'a str],
    /// Runs at most.
    pub max_results: usize,
}

#[derive(Deserialize)]
struct OneExperiment {
    experiment: Experiment,
}

#[derive(Deserialize)]
struct Created {
    experiment_id: String,
}

#[derive(Deserialize)]
struct OneRun {
    run: Run,
}

#[derive(Deserialize)]
struct Runs {
    #[serde(default)]
    runs: Vec<Run>,
    #[serde(default)]
    next_page_token: Option<String>,
}

/// ``tags.`key` = 'value'``.
pub(crate) fn tag_is(key: &str, value: &str) -> Result<String> {
    let value = filter::quote(value);
    match value {
        Some(value) if !key.contains('`') => Ok(format!("tags.`{key}` = {value}")),
        _ => Err(Error::Request(format!(
            "the tag `{key}` cannot be searched for: its name or value holds quotes"
        ))),
    }
}

impl Client {
    /// The id of the experiment of this name, made if it does not exist.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn get_or_create_experiment(&self, name: &str) -> Result<String> {
        if let Some(experiment) = self.experiment(name).await? {
            return Ok(experiment.experiment_id);
        }
        let what = format!("make the experiment `{name}`");
        let made: Result<Created> =
            self.post(&what, "experiments/create", &json!({ "name": name }), Repeat::IfUnsent).await;
        match made {
            Ok(created) => Ok(created.experiment_id),
            // Somebody else made it in between.
            Err(error) if error.is_taken() => {
                self.experiment(name).await?.map(|experiment| experiment.experiment_id).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The experiment of this name.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn experiment(&self, name: &str) -> Result<Option<Experiment>> {
        let what = format!("read the experiment `{name}`");
        let found: Result<OneExperiment> =
            self.get(&what, "experiments/get-by-name", &[("experiment_name", name)]).await;
        absent_is_none(found.map(|one| one.experiment))
    }

    /// The latest run of an experiment (by id) with this tag.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn find_run(&self, experiment: &str, key: &str, value: &str) -> Result<Option<Run>> {
        let filter = tag_is(key, value)?;
        let query = RunQuery { experiments: &[experiment], filter: &filter, order_by: &[], max_results: 1 };
        Ok(self.search_runs(query).await?.into_iter().next())
    }

    /// Runs, page after page.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn search_runs(&self, query: RunQuery<'_>) -> Result<Vec<Run>> {
        let mut found = Vec::new();
        let mut token = String::new();
        while found.len() < query.max_results {
            let body = json!({
                "experiment_ids": query.experiments,
                "filter": query.filter,
                "order_by": query.order_by,
                "max_results": (query.max_results - found.len()).min(1000),
                "page_token": token,
            });
            let page: Runs = self.post("search runs", "runs/search", &body, Repeat::Always).await?;
            found.extend(page.runs);
            match page.next_page_token {
                Some(next) if !next.is_empty() && next != token => token = next,
                _ => break,
            }
        }
        found.truncate(query.max_results);
        Ok(found)
    }

    /// The run with this id.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn get_run(&self, run_id: &str) -> Result<Run> {
        let what = format!("read the run {run_id}");
        Ok(self.get::<OneRun>(&what, "runs/get", &[("run_id", run_id)]).await?.run)
    }

    /// Makes a run in an experiment (by id).
    ///
    /// # Errors
    /// [`Error`]
    pub async fn create_run(&self, experiment: &str, name: &str, tags: &[KeyValue]) -> Result<Run> {
        let body = json!({
            "experiment_id": experiment,
            "run_name": name,
            "start_time": self.now(),
            "tags": tags,
        });
        let what = format!("make the run `{name}`");
        Ok(self.post::<OneRun>(&what, "runs/create", &body, Repeat::IfUnsent).await?.run)
    }

    /// Writes parameters, metrics and tags, in as many requests as MLflow's limits ask for.
    ///
    /// # Errors
    /// [`Error`]; a parameter that has another value already is refused.
    pub async fn log_batch(
        &self,
        run_id: &str,
        params: &[KeyValue],
        metrics: &[MetricPoint],
        tags: &[KeyValue],
    ) -> Result<()> {
        let timestamp = self.now();
        let metrics: Vec<Metric> = metrics
            .iter()
            .map(|point| Metric {
                key: point.key.clone(),
                value: point.value,
                timestamp,
                step: point.step,
                ..Metric::default()
            })
            .collect();
        // Leaves room so that a full request of metrics never exceeds the limit of all entries together.
        for chunk in metrics.chunks(limits::MAX_METRICS_PER_BATCH) {
            self.log(run_id, json!({ "metrics": chunk })).await?;
        }
        for chunk in params.chunks(limits::MAX_PARAMS_TAGS_PER_BATCH) {
            self.log(run_id, json!({ "params": chunk })).await?;
        }
        for chunk in tags.chunks(limits::MAX_PARAMS_TAGS_PER_BATCH) {
            self.log(run_id, json!({ "tags": chunk })).await?;
        }
        Ok(())
    }

    async fn log(&self, run_id: &str, mut body: Value) -> Result<()> {
        body["run_id"] = run_id.into();
        let what = format!("log to the run {run_id}");
        self.post::<Value>(&what, "runs/log-batch", &body, Repeat::Always).await.map(drop)
    }

    /// Sets a tag of a run.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn set_run_tag(&self, run_id: &str, key: &str, value: &str) -> Result<()> {
        let body = json!({ "run_id": run_id, "key": key, "value": value });
        let what = format!("tag the run {run_id}");
        self.post::<Value>(&what, "runs/set-tag", &body, Repeat::Always).await.map(drop)
    }

    /// Ends a run, or says how it is doing.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn finish_run(&self, run_id: &str, status: RunStatus) -> Result<()> {
        let mut body = json!({ "run_id": run_id, "status": status.name() });
        if !matches!(status, RunStatus::Running | RunStatus::Scheduled) {
            body["end_time"] = self.now().into();
        }
        let what = format!("end the run {run_id}");
        self.post::<Value>(&what, "runs/update", &body, Repeat::Always).await.map(drop)
    }

    /// All values of one metric, oldest first.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn metric_history(&self, run_id: &str, key: &str) -> Result<Vec<Metric>> {
        #[derive(Deserialize)]
        struct History {
            #[serde(default)]
            metrics: Vec<Metric>,
        }
        let what = format!("read the metric `{key}` of the run {run_id}");
        let history: History =
            self.get(&what, "metrics/get-history", &[("run_id", run_id), ("metric_key", key)]).await?;
        Ok(history.metrics)
    }
}

/// Something that is not there is no error here.
pub(crate) fn absent_is_none<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}
