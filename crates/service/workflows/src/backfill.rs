//! Runs that a CronWorkflow has missed, made up for.

use std::time::Duration;

use galley_argo_workflows::{ANNOTATION_SCHEDULED, API_VERSION};
use galley_problem::{Kind, Problem};
use jiff::Timestamp;
use kube::api::{DynamicObject, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::api::{argo, as_cron, within};
use crate::{Error, cron, wait};

/// The longest that one run is waited for before the next one.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Which moments are made up for, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment that counts.
    pub start: Timestamp,
    /// The last moment that counts.
    pub end: Timestamp,
    /// The parameter that takes the moment, if the workflow has it.
    pub parameter: String,
    /// All runs at once instead of one after the other.
    pub parallel: bool,
    /// More runs than this are refused.
    pub most: usize,
}

/// Makes a run for each moment of the span, in order; gives their names.
///
/// # Errors
/// G0510 without such a CronWorkflow, G0515 if its schedule cannot be read or the span holds too many moments.
pub async fn backfill(
    client: &Client,
    namespace: &str,
    name: &str,
    span: &Span,
) -> Result<Vec<String>, Problem> {
    let crons = within(client, namespace, &argo("CronWorkflow"));
    let found = crons.get_opt(name).await.map_err(Error::api(format!("reading CronWorkflow {name}")))?;
    let found = found.ok_or_else(|| {
        Problem::new("G0510", Kind::NotFound, format!("There is no CronWorkflow `{name}` in {namespace}."))
    })?;
    let cron = as_cron(&found)?;
    let moments = cron::moments(&cron.spec, span.start, span.end, span.most).map_err(|why| {
        Problem::new("G0515", Kind::Invalid, format!("`{name}` cannot be made up for."))
            .because_of(why)
            .try_this("Give a shorter span, or more with `--max-workflow-count`.")
    })?;
    let workflows = within(client, namespace, &argo("Workflow"));
    let mut made = Vec::new();
    for moment in moments {
        let mut spec = json!(cron.spec.workflow_spec);
        let parameters = spec["arguments"]["parameters"].as_array_mut();
        for parameter in parameters.into_iter().flatten().filter(|one| one["name"] == *span.parameter) {
            parameter["value"] = json!(moment.to_string());
        }
        let mut labels = cron.spec.workflow_metadata.labels.clone();
        labels.insert("workflows.argoproj.io/cron-workflow-backfill".to_owned(), name.to_owned());
        let mut annotations = cron.spec.workflow_metadata.annotations.clone();
        annotations.insert(ANNOTATION_SCHEDULED.to_owned(), moment.to_string());
        let object = json!({
            "apiVersion": API_VERSION, "kind": "Workflow",
            "metadata": {"generateName": format!("{name}-backfill-"), "namespace": namespace, "labels": labels, "annotations": annotations},
            "spec": spec,
        });
        let object: DynamicObject = serde_json::from_value(object)
            .map_err(|source| Error::Form { what: "the workflow".to_owned(), source })?;
        let run = workflows.create(&PostParams::default(), &object).await;
        let run = run.map_err(Error::api("submitting the workflow"))?.name_any();
        if !span.parallel {
            wait(client, namespace, &run, LONGEST).await?;
        }
        made.push(run);
    }
    Ok(made)
}
