//! CronWorkflows: runs at times.
//!
//! A run's name is the CronWorkflow's and the moment it was due, so a moment gives one run at most, whatever happens
//! in between. A moment that was missed is made up for within `startingDeadlineSeconds` (a minute if none is given),
//! and only the latest one.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use galley_argo_workflows::{
    ANNOTATION_SCHEDULED, API_VERSION, CronWorkflow, CronWorkflowSpec, CronWorkflowStatus, LABEL_CRON,
};
use jiff::{Timestamp, Zoned, tz::TimeZone};
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::Error;
use crate::api::{argo, as_cron, within};
use crate::error::code_of;
use crate::queue::Outcome;
use crate::service::{Context, Key};

/// How late a run may begin when nothing else is said.
const GRACE: i64 = 60;

/// Looks at a CronWorkflow and says when to look again.
pub(crate) async fn look(context: Arc<Context>, key: Key) -> Outcome {
    match reconcile(&context, &key).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_conflict() => Outcome::After(Duration::ZERO),
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(cron = %format_args!("{}/{}", key.namespace, key.name), %error, source, "looking at a CronWorkflow failed");
            Outcome::Failed
        }
    }
}

async fn reconcile(context: &Context, key: &Key) -> Result<Outcome, Error> {
    let crons = within(&context.client, &key.namespace, &argo("CronWorkflow"));
    let what = format!("reading CronWorkflow {}/{}", key.namespace, key.name);
    let Some(object) = crons.get_opt(&key.name).await.map_err(Error::api(what))? else {
        return Ok(Outcome::Done);
    };
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Outcome::Done);
    }
    let cron = as_cron(&object)?;
    let runs = runs_of(context, key).await?;
    let mut status = cron.status.clone().unwrap_or_default();
    count(&mut status, &runs);
    let now = context.clock.now();
    let schedules = match Schedules::read(&cron.spec) {
        Ok(schedules) => {
            status.conditions.retain(|condition| condition["type"] != "SpecError");
            Some(schedules)
        }
        Err(why) => {
            status.conditions = vec![json!({"type": "SpecError", "status": "True", "message": why})];
            None
        }
    };
    let mut next = None;
    if let Some(schedules) = &schedules {
        stop_for_good(&cron, &mut status);
        let rests = cron.spec.suspend || status.phase == "Stopped";
        if !rests {
            if let Some(due) = due(context, key, &cron, &status, schedules, now) {
                begin(context, key, &cron, &mut status, &runs, due).await?;
            }
            next = schedules.after(now);
        }
    }
    if cron.status.as_ref() != Some(&status) {
        write(context, key, object, &status).await?;
    }
    collect(context, key, &cron.spec, &runs).await?;
    Ok(match next {
        Some(moment) => {
            // Clocks of machines jump and sleep; a look a day at least keeps the distance small.
            let wait = Duration::try_from(moment.duration_since(now)).unwrap_or_default();
            Outcome::After(wait.min(Duration::from_secs(86_400)) + Duration::from_millis(20))
        }
        None => Outcome::Done,
    })
}

/// The schedules of a CronWorkflow in its time zone.
struct Schedules {
    all: Vec<Cron>,
    zone: TimeZone,
}

impl Schedules {
    fn read(spec: &CronWorkflowSpec) -> Result<Schedules, String> {
        let zone = match spec.timezone.as_deref().unwrap_or_default() {
            "" | "UTC" | "Etc/UTC" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|error| format!("timezone {name} is not known: {error}"))?,
        };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        let all: Result<Vec<Cron>, String> = spec
            .all_schedules()
            .into_iter()
            .map(|text| {
                parser.parse(text).map_err(|error| format!("cron schedule {text} is malformed: {error}"))
            })
            .collect();
        match all? {
            all if all.is_empty() => Err("cron workflow must have at least one schedule".to_owned()),
            all => Ok(Schedules { all, zone }),
        }
    }

    /// The first moment after this one.
    fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let from: Zoned = moment.to_zoned(self.zone.clone());
        self.all
            .iter()
            .filter_map(|cron| cron.find_next_occurrence(&from, false).ok())
            .map(|next| next.timestamp())
            .min()
    }

    /// The last moment not after this one.
    fn latest(&self, moment: Timestamp) -> Option<Timestamp> {
        let from: Zoned = moment.to_zoned(self.zone.clone());
        self.all
            .iter()
            .filter_map(|cron| cron.find_previous_occurrence(&from, true).ok())
            .map(|last| last.timestamp())
            .max()
    }
}

/// The moments of a CronWorkflow's schedule in a span, at most so many.
pub(crate) fn moments(
    spec: &CronWorkflowSpec,
    start: Timestamp,
    end: Timestamp,
    most: usize,
) -> Result<Vec<Timestamp>, String> {
    let schedules = Schedules::read(spec)?;
    let mut all = Vec::new();
    // A moment that is exactly the start belongs to the span.
    let mut at = start.checked_sub(Duration::from_secs(1)).unwrap_or(start);
    while let Some(next) = schedules.after(at).filter(|next| *next <= end) {
        if all.len() >= most {
            return Err(format!("the span holds more than {most} moments of the schedule"));
        }
        all.push(next);
        at = next;
    }
    Ok(all)
}

/// The moment that is due and has not been considered yet.
fn due(
    context: &Context,
    key: &Key,
    cron: &CronWorkflow,
    status: &CronWorkflowStatus,
    schedules: &Schedules,
    now: Timestamp,
) -> Option<Timestamp> {
    let latest = schedules.latest(now)?;
    let since = [status.last_scheduled_time, cron.metadata.creation_timestamp].into_iter().flatten().max();
    let deadline = cron.spec.starting_deadline_seconds.unwrap_or(GRACE);
    let late = now.duration_since(latest).as_secs();
    if since.is_some_and(|since| latest <= since) || late > deadline {
        return None;
    }
    let left_out = context.left_out.lock().unwrap_or_else(PoisonError::into_inner);
    if left_out.get(key).is_some_and(|known| *known >= latest) {
        return None;
    }
    Some(latest)
}

/// Notes that a moment passes without a run: it is not considered again when things have changed.
fn leave_out(context: &Context, key: &Key, due: Timestamp) {
    context.left_out.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), due);
}

/// The runs of a CronWorkflow.
async fn runs_of(context: &Context, key: &Key) -> Result<Vec<DynamicObject>, Error> {
    let workflows = within(&context.client, &key.namespace, &argo("Workflow"));
    let own = ListParams::default().labels(&format!("{LABEL_CRON}={}", key.name));
    Ok(workflows
        .list(&own)
        .await
        .map_err(Error::api(format!("listing the runs of {}/{}", key.namespace, key.name)))?
        .items)
}

/// The phase of a run; labels follow the status and may be a moment late.
fn phase_of(run: &DynamicObject) -> &str {
    run.data["status"]["phase"].as_str().unwrap_or_default()
}

fn has_ended(run: &DynamicObject) -> bool {
    matches!(phase_of(run), "Succeeded" | "Failed" | "Error")
}

/// Runs that were under way and have ended are counted; the others stay listed.
fn count(status: &mut CronWorkflowStatus, runs: &[DynamicObject]) {
    let find = |uid: &str| runs.iter().find(|run| run.uid().as_deref() == Some(uid));
    let (mut succeeded, mut failed) = (0, 0);
    status.active.retain(|reference| match find(reference["uid"].as_str().unwrap_or_default()) {
        Some(run) if has_ended(run) => {
            if phase_of(run) == "Succeeded" {
                succeeded += 1;
            } else {
                failed += 1;
            }
            false
        }
        Some(_) => true,
        None => false,
    });
    status.succeeded += succeeded;
    status.failed += failed;
    if status.phase.is_empty() {
        status.phase = "Active".to_owned();
    }
}

/// The names that expressions of a CronWorkflow may use.
fn names(cron: &CronWorkflow, status: &CronWorkflowStatus) -> galley_expr::Env {
    let value = json!({"cronworkflow": {
        "name": cron.metadata.name,
        "namespace": cron.metadata.namespace,
        "labels": cron.metadata.labels,
        "annotations": cron.metadata.annotations,
        "succeeded": status.succeeded,
        "failed": status.failed,
        "lastScheduledTime": status.last_scheduled_time.map(galley_units::rfc3339),
    }});
    value.as_object().cloned().unwrap_or_default()
}

fn stop_for_good(cron: &CronWorkflow, status: &mut CronWorkflowStatus) {
    let strategy = cron.spec.stop_strategy.as_ref();
    let Some(expression) = strategy.and_then(|strategy| strategy["expression"].as_str()) else { return };
    match galley_expr::eval_bool(expression, &names(cron, status)) {
        Ok(true) => status.phase = "Stopped".to_owned(),
        Ok(false) => {}
        Err(error) => tracing::warn!(cron = cron.metadata.name, %error, "a stop strategy cannot be read"),
    }
}

/// Begins a run, if the policy and the condition allow it.
async fn begin(
    context: &Context,
    key: &Key,
    cron: &CronWorkflow,
    status: &mut CronWorkflowStatus,
    runs: &[DynamicObject],
    due: Timestamp,
) -> Result<(), Error> {
    if let Some(when) = cron.spec.when.as_deref().filter(|text| !text.is_empty()) {
        let bare = when.trim().trim_start_matches("{{=").trim_start_matches('=').trim_end_matches("}}");
        match galley_expr::eval_bool(bare, &names(cron, status)) {
            Ok(true) => {}
            Ok(false) => {
                leave_out(context, key, due);
                return Ok(());
            }
            Err(error) => {
                status.conditions =
                    vec![json!({"type": "SpecError", "status": "True", "message": format!("when: {error}")})];
                return Ok(());
            }
        }
    }
    let name = format!("{}-{}", key.name, due.as_second());
    let active: Vec<&DynamicObject> =
        runs.iter().filter(|run| !has_ended(run) && run.name_any() != name).collect();
    let workflows = within(&context.client, &key.namespace, &argo("Workflow"));
    match cron.spec.concurrency_policy.as_deref().unwrap_or("Allow") {
        "Forbid" if !active.is_empty() => {
            tracing::info!(cron = key.name, "a run is still under way; this one is left out");
            leave_out(context, key, due);
            return Ok(());
        }
        "Replace" => {
            for run in active {
                let patch = Patch::Merge(json!({"spec": {"shutdown": "Terminate"}}));
                let result = workflows.patch(&run.name_any(), &PatchParams::default(), &patch).await;
                if let Err(error) = result
                    .map(|_| ())
                    .or_else(|error| if code_of(&error) == Some(404) { Ok(()) } else { Err(error) })
                {
                    return Err(Error::api(format!("ending workflow {}", run.name_any()))(error));
                }
            }
        }
        _ => {}
    }
    let run: DynamicObject = serde_json::from_value(run_of(cron, &name, due))
        .map_err(|source| Error::Form { what: name.clone(), source })?;
    let made = match workflows.create(&PostParams::default(), &run).await {
        Ok(made) => made,
        Err(error) if code_of(&error) == Some(409) => {
            workflows.get(&name).await.map_err(Error::api(format!("reading workflow {name}")))?
        }
        Err(kube::Error::Api(refusal)) if refusal.code < 500 => {
            status.conditions =
                vec![json!({"type": "SubmissionError", "status": "True", "message": refusal.message})];
            return Ok(());
        }
        Err(error) => return Err(Error::api(format!("making workflow {name}"))(error)),
    };
    status.conditions.retain(|condition| condition["type"] != "SubmissionError");
    status.last_scheduled_time = Some(due);
    let uid = made.uid().unwrap_or_default();
    if !has_ended(&made) && !status.active.iter().any(|reference| reference["uid"] == *uid) {
        status.active.push(json!({
            "apiVersion": API_VERSION, "kind": "Workflow", "name": name, "namespace": key.namespace, "uid": uid,
            "resourceVersion": made.resource_version(),
        }));
    }
    Ok(())
}

/// The run of a moment.
fn run_of(cron: &CronWorkflow, name: &str, due: Timestamp) -> Value {
    let mut labels: BTreeMap<String, String> = cron.spec.workflow_metadata.labels.clone();
    labels.insert(LABEL_CRON.to_owned(), cron.metadata.name.clone());
    let mut annotations = cron.spec.workflow_metadata.annotations.clone();
    annotations.insert(ANNOTATION_SCHEDULED.to_owned(), galley_units::rfc3339(due));
    json!({
        "apiVersion": API_VERSION,
        "kind": "Workflow",
        "metadata": {
            "name": name,
            "namespace": cron.metadata.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": API_VERSION, "kind": "CronWorkflow", "name": cron.metadata.name,
                "uid": cron.metadata.uid, "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": cron.spec.workflow_spec,
    })
}

async fn write(
    context: &Context,
    key: &Key,
    object: DynamicObject,
    status: &CronWorkflowStatus,
) -> Result<(), Error> {
    let mut changed = object;
    changed.data["status"] = serde_json::to_value(status)
        .map_err(|source| Error::Form { what: format!("status of {}", key.name), source })?;
    let crons = within(&context.client, &key.namespace, &argo("CronWorkflow"));
    crons
        .replace_status(&key.name, &PostParams::default(), &changed)
        .await
        .map_err(Error::api(format!("writing the status of CronWorkflow {}/{}", key.namespace, key.name)))?;
    Ok(())
}

/// Deletes runs beyond the limits of history, the oldest first.
async fn collect(
    context: &Context,
    key: &Key,
    spec: &CronWorkflowSpec,
    runs: &[DynamicObject],
) -> Result<(), Error> {
    let workflows = within(&context.client, &key.namespace, &argo("Workflow"));
    let limits = [
        (true, spec.successful_jobs_history_limit.unwrap_or(3)),
        (false, spec.failed_jobs_history_limit.unwrap_or(1)),
    ];
    for (wanted, limit) in limits {
        let mut ended: Vec<&DynamicObject> =
            runs.iter().filter(|run| has_ended(run) && (phase_of(run) == "Succeeded") == wanted).collect();
        ended.sort_by_key(|run| {
            std::cmp::Reverse(run.data["status"]["finishedAt"].as_str().unwrap_or_default().to_owned())
        });
        for run in ended.into_iter().skip(usize::try_from(limit).unwrap_or(0)) {
            let name = run.name_any();
            match workflows.delete(&name, &DeleteParams::background()).await {
                Ok(_) => {}
                Err(error) if code_of(&error) == Some(404) => {}
                Err(error) => return Err(Error::api(format!("deleting workflow {name}"))(error)),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedules(value: Value) -> Result<Schedules, String> {
        Schedules::read(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn moments_follow_the_zone_and_its_summer() {
        let berlin = schedules(json!({"schedules": ["30 2 * * *"], "timezone": "Europe/Berlin"})).unwrap();
        let check = |now: &str, next: &str| {
            assert_eq!(berlin.after(now.parse().unwrap()), Some(next.parse().unwrap()), "{now}");
        };
        check("2026-01-10T12:00:00Z", "2026-01-11T01:30:00Z");
        check("2026-07-10T12:00:00Z", "2026-07-11T00:30:00Z");
        let nightly =
            schedules(json!({"schedules": ["0 2 * * *", "0 14 * * 1"], "timezone": "Etc/UTC"})).unwrap();
        assert_eq!(
            nightly.latest("2026-11-02T13:59:59Z".parse().unwrap()),
            Some("2026-11-02T02:00:00Z".parse().unwrap())
        );
        assert_eq!(
            nightly.latest("2026-11-02T14:00:00Z".parse().unwrap()),
            Some("2026-11-02T14:00:00Z".parse().unwrap())
        );
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for wrong in [
            json!({"schedules": ["61 * * * *"]}),
            json!({}),
            json!({"schedules": ["@daily"], "timezone": "Mars/Olympus"}),
        ] {
            assert!(schedules(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
