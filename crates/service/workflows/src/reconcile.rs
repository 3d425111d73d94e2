//! One look at a workflow.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use galley_argo_workflows::{Kind, LABEL_WORKFLOW, Workflow, WorkflowPhase, WorkflowStatus, check_shape};
use galley_workflow::{
    Abilities, Action, Engine, Observations, PodSeen, ResourceRequest, ResourceSeen, Templates,
};
use jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::api::{self, argo, as_workflow, core, to_value, within};
use crate::error::code_of;
use crate::queue::Outcome;
use crate::service::{Context, Key};
use crate::{Error, act, http, locks, objects};

/// The most steps within one look; each follows from something learnt in the one before.
const MAX_STEPS: usize = 64;

/// What was learnt about a workflow since the service began.
#[derive(Default)]
pub(crate) struct Memory {
    /// The object that is meant; another one of the same name begins anew.
    uid: String,
    /// Pods that were refused for good, by node id.
    pub(crate) refused: BTreeMap<String, String>,
    /// Answers to requests for objects, by node id.
    pub(crate) answers: BTreeMap<String, ResourceSeen>,
    /// Objects that are awaited, by node id.
    pub(crate) awaited: HashMap<String, (ResourceRequest, objects::Watch)>,
    /// Claims that were made.
    pub(crate) claims: BTreeSet<String>,
    /// HTTP requests that were sent, by node id; the answers come in by themselves.
    pub(crate) requests: HashMap<String, http::Pending>,
}

/// Looks at a workflow and says when to look again.
pub(crate) async fn look(context: Arc<Context>, key: Key) -> Outcome {
    let memory = context.memory(&key);
    let mut memory = memory.lock().await;
    match reconcile(&context, &key, &mut memory).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_conflict() => Outcome::After(Duration::ZERO),
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(workflow = %format_args!("{}/{}", key.namespace, key.name), %error, source, "looking at a workflow failed");
            Outcome::Failed
        }
    }
}

async fn reconcile(context: &Context, key: &Key, memory: &mut Memory) -> Result<Outcome, Error> {
    for _ in 0..MAX_STEPS {
        let Some(object) = api::workflow(&context.client, &key.namespace, &key.name).await? else {
            context.forget(key);
            locks::forget(context, key).await;
            return Ok(Outcome::Done);
        };
        if object.metadata.deletion_timestamp.is_some() {
            return Ok(Outcome::Done);
        }
        let uid = object.metadata.uid.clone().unwrap_or_default();
        if memory.uid != uid {
            *memory = Memory { uid, ..Memory::default() };
        }
        let Some(workflow) = readable(context, key, &object).await? else { return Ok(Outcome::Done) };
        if let Some(outcome) = expire(context, key, &workflow).await? {
            return Ok(outcome);
        }
        let templates = if needs_templates(&workflow) {
            api::templates(&context.client, &key.namespace).await?
        } else {
            Templates::default()
        };
        let mut seen = observe(context, key, &object, &workflow, memory).await?;
        // Two workflows that want the same lock are not looked at side by side.
        let mut table = None;
        if locks::uses(&workflow, &templates) {
            let mut guard = context.locks.lock().await;
            seen.locks = guard.seen(context, key, &workflow).await?;
            table = Some(guard);
        }
        let mut engine = Engine::new(workflow.clone(), templates);
        let now = context.clock.now();
        let actions = engine.step(now, &seen);
        write(context, key, &object, &workflow, engine.workflow()).await?;
        if let Some(mut guard) = table {
            let woken = guard.note(key, engine.workflow());
            drop(guard);
            locks::wake(context, woken).await;
        }
        let mut wake = None;
        let mut learnt = false;
        for action in actions {
            match action {
                Action::WakeAt(moment) => wake = Some(moment),
                other => learnt |= act::act(context, key, memory, other).await?,
            }
        }
        forget_ended(memory, engine.status());
        if !learnt {
            let ends = ttl(engine.workflow());
            let next = [wake, ends].into_iter().flatten().min();
            return Ok(next.map_or(Outcome::Done, |moment| Outcome::After(until(now, moment))));
        }
    }
    Ok(Outcome::After(Duration::ZERO))
}

/// The time until a moment, a little more than exact so that the moment has come.
fn until(now: Timestamp, moment: Timestamp) -> Duration {
    let wait = Duration::try_from(moment.duration_since(now)).unwrap_or_default();
    wait + Duration::from_millis(20)
}

/// The workflow in our type, or `None` when its form is wrong; its status says so then.
async fn readable(context: &Context, key: &Key, object: &DynamicObject) -> Result<Option<Workflow>, Error> {
    let value = to_value(object);
    let is_new = value["status"]["phase"].as_str().unwrap_or_default().is_empty();
    let findings = if is_new { check_shape(Kind::Workflow, &value) } else { Vec::new() };
    let why = match (findings.first(), as_workflow(object)) {
        (None, Ok(workflow)) => return Ok(Some(workflow)),
        (Some(finding), _) => format!(
            "invalid spec: {}: {}",
            finding.pointer.trim_start_matches('/').replace('/', "."),
            finding.what
        ),
        (None, Err(error)) => format!(
            "invalid spec: {}",
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
        ),
    };
    if value["status"]["phase"] == "Failed" {
        return Ok(None);
    }
    let now = galley_units::rfc3339(context.clock.now());
    let status = json!({
        "phase": "Failed", "message": why, "startedAt": now, "finishedAt": now, "progress": "0/0",
        "conditions": [{"type": "Completed", "status": "True"}],
    });
    let mut changed = object.clone();
    changed.data["status"] = status;
    let workflows = within(&context.client, &key.namespace, &argo("Workflow"));
    workflows
        .replace_status(&key.name, &PostParams::default(), &changed)
        .await
        .map_err(Error::api(format!("writing the status of workflow {}/{}", key.namespace, key.name)))?;
    label(
        context,
        key,
        json!({"labels": {
            galley_argo_workflows::LABEL_PHASE: "Failed", galley_argo_workflows::LABEL_COMPLETED: "true",
        }}),
    )
    .await?;
    Ok(None)
}

/// Deletes a workflow whose time is over.
async fn expire(context: &Context, key: &Key, workflow: &Workflow) -> Result<Option<Outcome>, Error> {
    match ttl(workflow) {
        Some(end) if end <= context.clock.now() => {
            let workflows = within(&context.client, &key.namespace, &argo("Workflow"));
            match workflows.delete(&key.name, &DeleteParams::background()).await {
                Ok(_) => Ok(Some(Outcome::Done)),
                Err(error) if code_of(&error) == Some(404) => Ok(Some(Outcome::Done)),
                Err(error) => {
                    Err(Error::api(format!("deleting workflow {}/{}", key.namespace, key.name))(error))
                }
            }
        }
        _ => Ok(None),
    }
}

/// The moment at which a workflow that has ended is deleted.
fn ttl(workflow: &Workflow) -> Option<Timestamp> {
    let status = workflow.status.as_ref().filter(|status| status.phase.is_done())?;
    let stored = status.stored_spec.as_ref().and_then(|spec| spec.ttl_strategy);
    let strategy = workflow.spec.ttl_strategy.or(stored)?;
    let by_phase = match status.phase {
        WorkflowPhase::Succeeded => strategy.seconds_after_success,
        _ => strategy.seconds_after_failure,
    };
    let seconds = by_phase.or(strategy.seconds_after_completion)?;
    status.finished_at?.checked_add(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))).ok()
}

fn needs_templates(workflow: &Workflow) -> bool {
    let stored = workflow.status.as_ref().and_then(|status| status.stored_spec.as_deref());
    let spec = stored.unwrap_or(&workflow.spec);
    let refers = serde_json::to_string(&spec.templates).is_ok_and(|text| text.contains("\"templateRef\""))
        || serde_json::to_string(&spec.hooks).is_ok_and(|text| text.contains("\"templateRef\""));
    refers || (workflow.spec.workflow_template_ref.is_some() && stored.is_none())
}

async fn observe(
    context: &Context,
    key: &Key,
    object: &DynamicObject,
    workflow: &Workflow,
    memory: &mut Memory,
) -> Result<Observations, Error> {
    let text = to_value(object).to_string();
    let pods = within(&context.client, &key.namespace, &core("Pod"));
    let own = ListParams::default().labels(&format!("{LABEL_WORKFLOW}={}", key.name));
    let list = pods
        .list(&own)
        .await
        .map_err(Error::api(format!("listing the pods of workflow {}/{}", key.namespace, key.name)))?;
    let uid = workflow.metadata.uid.clone().unwrap_or_default();
    let is_own =
        |pod: &&DynamicObject| pod.metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid);
    let mut seen = Observations {
        abilities: Abilities {
            artifacts: context.config.artifacts,
            container_order: context.config.container_order,
            sidecars: context.config.sidecars,
        },
        http: memory.requests.iter().filter_map(|(id, pending)| pending.answer(id)).collect(),
        pods: list.iter().filter(is_own).filter_map(|pod| PodSeen::from_pod(&to_value(pod))).collect(),
        refused: memory.refused.clone(),
        ..Observations::default()
    };
    for (request, watch) in memory.awaited.values_mut() {
        let result = objects::read(context, key, request).await?;
        watch.begin(context, key, request).await;
        let answer =
            ResourceSeen { node_id: request.node_id.clone(), result: result.map(Option::unwrap_or_default) };
        memory.answers.insert(request.node_id.clone(), answer);
    }
    seen.resources = memory.answers.values().cloned().collect();
    let stored = workflow.status.as_ref().and_then(|status| status.stored_spec.as_deref());
    let uses = |word: &str| {
        text.contains(word)
            || stored.is_some()
            || workflow.spec.workflow_template_ref.is_some()
            || text.contains("templateRef")
    };
    if uses("configMapKeyRef") {
        seen.parameters = config_maps(context, key, "Parameter").await?;
    }
    if uses("\"memoize\"") {
        seen.caches = config_maps(context, key, "Cache").await?;
    }
    Ok(seen)
}

/// The ConfigMaps of a type, with their data.
async fn config_maps(
    context: &Context,
    key: &Key,
    kind: &str,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
    let api = within(&context.client, &key.namespace, &core("ConfigMap"));
    let labelled = ListParams::default().labels(&format!("{}={kind}", act::LABEL_CONFIG_MAP));
    let list = api.list(&labelled).await.map_err(Error::api("listing ConfigMaps"))?;
    let data = |object: &DynamicObject| {
        let entries = object.data["data"].as_object().cloned().unwrap_or_default();
        entries.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect()
    };
    Ok(list.iter().map(|object| (object.metadata.name.clone().unwrap_or_default(), data(object))).collect())
}

/// Writes what the engine changed: the status with optimistic concurrency, then labels and annotations.
async fn write(
    context: &Context,
    key: &Key,
    object: &DynamicObject,
    before: &Workflow,
    after: &Workflow,
) -> Result<(), Error> {
    if before.status != after.status {
        let mut changed = object.clone();
        changed.data["status"] = serde_json::to_value(&after.status)
            .map_err(|source| Error::Form { what: format!("status of {}", key.name), source })?;
        let workflows = within(&context.client, &key.namespace, &argo("Workflow"));
        workflows
            .replace_status(&key.name, &PostParams::default(), &changed)
            .await
            .map_err(Error::api(format!("writing the status of workflow {}/{}", key.namespace, key.name)))?;
    }
    let changes =
        |before: &BTreeMap<String, String>, after: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            after
                .iter()
                .filter(|(name, value)| before.get(*name) != Some(value))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        };
    let labels = changes(&before.metadata.labels, &after.metadata.labels);
    let annotations = changes(&before.metadata.annotations, &after.metadata.annotations);
    if !labels.is_empty() || !annotations.is_empty() {
        label(context, key, json!({"labels": labels, "annotations": annotations})).await?;
    }
    Ok(())
}

async fn label(context: &Context, key: &Key, metadata: Value) -> Result<(), Error> {
    let workflows = within(&context.client, &key.namespace, &argo("Workflow"));
    let patch = Patch::Merge(json!({"metadata": metadata}));
    workflows
        .patch(&key.name, &PatchParams::default(), &patch)
        .await
        .map_err(Error::api(format!("labelling workflow {}/{}", key.namespace, key.name)))?;
    Ok(())
}

/// Drops what was learnt about nodes that have ended.
fn forget_ended(memory: &mut Memory, status: &WorkflowStatus) {
    let lives = |id: &String| status.nodes.get(id).is_some_and(|node| !node.phase.is_fulfilled());
    memory.refused.retain(|id, _| lives(id));
    memory.answers.retain(|id, _| lives(id));
    memory.awaited.retain(|id, _| lives(id));
    memory.requests.retain(|id, _| lives(id));
}
