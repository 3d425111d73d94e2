//! What is written into an Application's status, and only when it has changed.

use galley_argo_cd::{
    Application, ApplicationStatus, ComparedTo, Condition, Health, HealthCode, History, OperationState,
    Source, SyncCode,
};
use galley_patch::merge_patch_between;
use galley_problem::Problem;
use galley_units::{Clock, rfc3339};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{Error, observe::Observation};

/// Entries of history that are kept if an Application does not say.
const HISTORY: i64 = 10;

/// Writes the status of one Application.
pub(crate) struct Writer<'a> {
    pub(crate) api: &'a Api<DynamicObject>,
    pub(crate) name: &'a str,
    pub(crate) clock: &'a dyn Clock,
    /// The status as the API server has it.
    pub(crate) written: Value,
}

impl Writer<'_> {
    /// The moment, as Kubernetes writes it.
    pub(crate) fn now(&self) -> String {
        rfc3339(self.clock.now())
    }

    /// Writes the status if it differs from what the API server has.
    pub(crate) async fn write(&mut self, status: &mut ApplicationStatus, looked: bool) -> Result<(), Error> {
        let mut patch = self.patch(status);
        if patch == json!({}) && !looked {
            return Ok(());
        }
        if looked || status.reconciled_at.is_none() {
            status.reconciled_at = Some(self.now());
            patch = self.patch(status);
        }
        let parameters =
            PatchParams { field_manager: Some("argocd-controller".into()), ..PatchParams::default() };
        let body = json!({"status": patch});
        match self.api.patch_status(self.name, &parameters, &Patch::Merge(&body)).await {
            Ok(object) => {
                self.written = object.data.get("status").cloned().unwrap_or_default();
                Ok(())
            }
            // It went meanwhile: its status is of no interest any more.
            Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
            Err(error) => Err(Error::api(format!("writing the status of Application {}", self.name))(error)),
        }
    }

    /// The difference, in the fields that are ours.
    fn patch(&self, status: &ApplicationStatus) -> Value {
        let mut wanted = serde_json::to_value(status).unwrap_or_default();
        let known = serde_json::from_value::<ApplicationStatus>(self.written.clone()).unwrap_or_default();
        let known = serde_json::to_value(known).unwrap_or_default();
        if let (Some(wanted), Some(written)) = (wanted.as_object_mut(), self.written.as_object()) {
            for (field, value) in written {
                if known.get(field).is_none() {
                    wanted.entry(field.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        let written = if self.written.is_object() { self.written.clone() } else { json!({}) };
        merge_patch_between(&written, &wanted)
    }
}

/// Puts what was seen into the status.
pub(crate) fn observed(
    status: &mut ApplicationStatus,
    application: &Application,
    seen: &Observation,
    now: &str,
    namespace: &str,
) {
    let several = !application.spec.sources.is_empty();
    let rendered = &seen.rendered;
    status.sync.status = seen.comparison.sync_code();
    set_revisions(&mut status.sync.revision, &mut status.sync.revisions, &rendered.revisions, several);
    let (source, sources) = named_sources(&rendered.sources, several);
    status.sync.compared_to = ComparedTo {
        destination: application.spec.destination.clone(),
        source,
        sources,
        ignore_differences: application.spec.ignore_differences.clone(),
    };
    status.source_type =
        if several { String::new() } else { rendered.types.first().cloned().unwrap_or_default() };
    status.source_types = if several { rendered.types.clone() } else { Vec::new() };
    status.resources = seen.comparison.resources();
    status.summary.images = seen.comparison.images();
    status.controller_namespace = namespace.to_owned();
    set_health(status, seen.comparison.health(), now);
    set_conditions(status, seen.warnings.clone(), &application.status.conditions, now);
}

/// Puts into the status that nothing could be seen, and why.
pub(crate) fn unseen(
    status: &mut ApplicationStatus,
    application: &Application,
    problem: &Problem,
    now: &str,
) {
    status.sync.status = SyncCode::Unknown;
    let invalid = matches!(problem.code, "G0411" | "G0414");
    if !invalid {
        let wanted: Vec<String> =
            application.sources().iter().map(|source| source.revision().to_owned()).collect();
        let several = !application.spec.sources.is_empty();
        set_revisions(&mut status.sync.revision, &mut status.sync.revisions, &wanted, several);
    }
    if invalid {
        set_health(status, HealthCode::Unknown, now);
    } else if status.health.status.is_none() {
        set_health(status, HealthCode::Healthy, now);
    }
    let kind = if invalid { "InvalidSpecError" } else { "ComparisonError" };
    let condition = Condition { kind: kind.into(), message: words(problem), last_transition_time: None };
    set_conditions(status, vec![condition], &application.status.conditions, now);
}

/// A problem in the words of a condition: code, place, what, why and what to do.
pub(crate) fn words(problem: &Problem) -> String {
    let sentence =
        |text: &str| if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") };
    // Recorded messages of project rules are compared word for word by tools: they stay as they are.
    if problem.code == "G0414" {
        return problem.what.clone();
    }
    let mut parts = vec![problem.code.to_owned()];
    parts.extend(problem.place.as_ref().map(|place| format!("{place}:")));
    parts.push(sentence(&problem.what));
    parts.extend(problem.causes.iter().chain(&problem.remedy).map(|text| sentence(text)));
    parts.join(" ")
}

fn set_health(status: &mut ApplicationStatus, code: HealthCode, now: &str) {
    if status.health.status != Some(code) {
        status.health =
            Health { status: Some(code), message: String::new(), last_transition_time: Some(now.into()) };
    }
}

/// Sets the conditions; one that was there before keeps its time.
fn set_conditions(
    status: &mut ApplicationStatus,
    mut conditions: Vec<Condition>,
    before: &[Condition],
    now: &str,
) {
    conditions.sort_by(|a, b| a.kind.cmp(&b.kind).then_with(|| a.message.cmp(&b.message)));
    for condition in &mut conditions {
        let same = before.iter().find(|c| c.kind == condition.kind && c.message == condition.message);
        condition.last_transition_time =
            same.and_then(|c| c.last_transition_time.clone()).or_else(|| Some(now.to_owned()));
    }
    status.conditions = conditions;
}

/// Adds a condition to those that are there.
pub(crate) fn add_condition(
    status: &mut ApplicationStatus,
    application: &Application,
    kind: &str,
    message: String,
    now: &str,
) {
    let mut conditions = status.conditions.clone();
    conditions.retain(|condition| condition.kind != kind);
    conditions.push(Condition { kind: kind.into(), message, last_transition_time: None });
    let before = [status.conditions.clone(), application.status.conditions.clone()].concat();
    set_conditions(status, conditions, &before, now);
}

/// Remembers a sync that has succeeded.
pub(crate) fn remember(status: &mut ApplicationStatus, application: &Application, state: &OperationState) {
    let Some(result) = &state.sync_result else { return };
    let id = status.history.last().map_or(0, |entry| entry.id + 1);
    status.history.push(History {
        id,
        revision: result.revision.clone(),
        revisions: result.revisions.clone(),
        deployed_at: state.finished_at.clone().unwrap_or_default(),
        deploy_started_at: Some(state.started_at.clone()),
        initiated_by: state.operation.initiated_by.clone(),
        source: result.source.clone(),
        sources: result.sources.clone(),
    });
    let limit = application.spec.revision_history_limit.unwrap_or(HISTORY).clamp(0, 1000);
    let limit = usize::try_from(limit).unwrap_or(0);
    let surplus = status.history.len().saturating_sub(limit);
    status.history.drain(..surplus);
}

/// One commit in one field, or several in the other.
pub(crate) fn set_revisions(one: &mut String, many: &mut Vec<String>, revisions: &[String], several: bool) {
    *one = if several { String::new() } else { revisions.first().cloned().unwrap_or_default() };
    *many = if several { revisions.to_vec() } else { Vec::new() };
}

/// One source in one field, or several in the other.
pub(crate) fn named_sources(sources: &[Source], several: bool) -> (Option<Source>, Vec<Source>) {
    if several { (None, sources.to_vec()) } else { (sources.first().cloned(), Vec::new()) }
}
