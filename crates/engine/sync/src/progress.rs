//! The next turn of an operation.
//!
//! An operation's whole memory is the list of results in the Application's status: whoever reads it can go on, also
//! after a crash. [`advance`] looks at the plan, the results and the live objects, brings the results up to date, and
//! says what to do: run some steps, wait, or end. A wave is run when everything before it is healthy; the last wave of
//! the last phase is not waited for, unless it holds hooks.

use galley_argo_cd::{HealthCode, HookPhase, OperationPhase, ResourceResult, ResultCode, SyncPhase};
use serde_json::Value;

use crate::{Action, DeletePolicy, Key, Plan, Step, health};

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Run these steps (by number in the plan), [record] their outcomes, and ask again.
    Run {
        /// Numbers of steps, in order.
        steps: Vec<usize>,
        /// If all of them succeed, the operation ends here with [`Turn::run_to_the_end`].
        last: bool,
    },
    /// Wait until something live changes.
    Wait(
        /// What is waited for.
        String,
    ),
    /// The operation has ended.
    End {
        /// How.
        phase: OperationPhase,
        /// Why.
        message: String,
        /// Hooks to delete now.
        delete: Vec<Key>,
    },
}

impl Turn {
    /// How an operation ends whose last steps succeeded and need not be waited for.
    pub fn run_to_the_end(plan: &Plan, results: &[ResourceResult]) -> Self {
        Turn::End {
            phase: OperationPhase::Succeeded,
            message: "successfully synced (all tasks run)".into(),
            delete: to_delete(plan, results, DeletePolicy::HookSucceeded, HookPhase::Succeeded),
        }
    }
}

/// Brings the results up to date with the live objects and says what to do next.
pub fn advance(plan: &Plan, results: &mut Vec<ResourceResult>, live: impl Fn(&Key) -> Option<Value>) -> Turn {
    let steps: Vec<(usize, &Step)> = plan.steps.iter().enumerate().collect();
    if results.is_empty()
        && let Some(end) = refuse(plan, results)
    {
        return end;
    }
    // Once something was refused, the sync ends: what was applied beside it is not looked at any more.
    let refused = results.iter().any(|r| r.hook_type.is_none() && r.hook_phase == Some(HookPhase::Failed));
    for (_, step) in steps.iter().filter(|(_, step)| !refused || step.hook.is_some()) {
        look(step, results, &live);
    }
    let waits = several_waves(plan);
    let running: Vec<&Step> = plan
        .steps
        .iter()
        .filter(|step| (waits || step.hook.is_some()) && phase_of(step, results) == Some(HookPhase::Running))
        .collect();
    if let Some(first) = running.first() {
        return Turn::Wait(waiting(first, running.len()));
    }
    let (on_failure, regular): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|(_, step)| step.phase == SyncPhase::SyncFail);
    let failed = |step: &Step| {
        phase_of(step, results).is_some_and(|phase| matches!(phase, HookPhase::Failed | HookPhase::Error))
    };
    if regular.iter().any(|(_, step)| failed(step)) {
        return fail(plan, results, &on_failure);
    }
    let pending: Vec<(usize, &Step)> =
        regular.into_iter().filter(|(_, step)| phase_of(step, results).is_none()).collect();
    let Some((_, first)) = pending.first() else {
        return Turn::End {
            phase: OperationPhase::Succeeded,
            message: "successfully synced (no more tasks)".into(),
            delete: to_delete(plan, results, DeletePolicy::HookSucceeded, HookPhase::Succeeded),
        };
    };
    let now = (first.phase, first.wave);
    let last = pending.iter().all(|(_, step)| (step.phase, step.wave) == now && step.hook.is_none());
    let steps = pending.iter().filter(|(_, step)| (step.phase, step.wave) == now).map(|(n, _)| *n).collect();
    Turn::Run { steps, last }
}

fn find<'a>(step: &Step, results: &'a [ResourceResult]) -> Option<&'a ResourceResult> {
    results.iter().find(|result| step.is_result(result))
}

/// How far a step is: `None` before it was run. An outcome without a phase is an end.
fn phase_of(step: &Step, results: &[ResourceResult]) -> Option<HookPhase> {
    find(step, results).map(|result| match (result.hook_phase, result.status) {
        (_, Some(ResultCode::SyncFailed)) => HookPhase::Failed,
        (Some(phase), _) => phase,
        (None, _) => HookPhase::Succeeded,
    })
}

/// Ends an operation that would fail on an object of which that is known before.
fn refuse(plan: &Plan, results: &mut Vec<ResourceResult>) -> Option<Turn> {
    for step in &plan.steps {
        if let Some(message) = &step.refused {
            record(results, step, Some(ResultCode::SyncFailed), message.clone(), None);
        }
    }
    (!results.is_empty()).then(|| Turn::End {
        phase: OperationPhase::Failed,
        message: "one or more synchronization tasks are not valid".into(),
        delete: Vec::new(),
    })
}

/// Sees whether a step that runs has come to its end.
fn look(step: &Step, results: &mut [ResourceResult], live: impl Fn(&Key) -> Option<Value>) {
    let Some(result) = results.iter_mut().find(|result| step.is_result(result)) else { return };
    if result.hook_phase != Some(HookPhase::Running) || step.is_prune() {
        return;
    }
    let Some(object) = live(&step.key) else {
        result.hook_phase = Some(HookPhase::Failed);
        result.message = format!("{} was deleted while the sync waited for it", step.key);
        return;
    };
    let Some(health) = health::of(&object) else {
        result.hook_phase = Some(HookPhase::Succeeded);
        return;
    };
    let is_hook = step.hook.is_some();
    let phase = match health.status {
        Some(HealthCode::Healthy) => HookPhase::Succeeded,
        Some(HealthCode::Degraded) => HookPhase::Failed,
        Some(HealthCode::Unknown) if is_hook => HookPhase::Error,
        _ => HookPhase::Running,
    };
    result.hook_phase = Some(phase);
    if (phase != HookPhase::Running || is_hook) && !health.message.is_empty() {
        result.message = health.message;
    }
}

fn several_waves(plan: &Plan) -> bool {
    let mut waves = plan.steps.iter().filter(|s| s.phase != SyncPhase::SyncFail).map(|s| (s.phase, s.wave));
    let first = waves.next();
    waves.any(|wave| Some(wave) != first)
}

fn waiting(first: &Step, count: usize) -> String {
    let (what, key) = match first.hook {
        Some(_) => ("completion of hook", &first.key),
        None => ("healthy state of", &first.key),
    };
    let path = [key.group.as_str(), &key.kind, &key.name].into_iter().filter(|part| !part.is_empty());
    let path = path.collect::<Vec<_>>().join("/");
    match count {
        1 => format!("waiting for {what} {path}"),
        count => format!("waiting for {what} {path} and {} more resources", count - 1),
    }
}

fn fail(plan: &Plan, results: &[ResourceResult], on_failure: &[(usize, &Step)]) -> Turn {
    let pending: Vec<usize> =
        on_failure.iter().filter(|(_, step)| phase_of(step, results).is_none()).map(|(n, _)| *n).collect();
    if !pending.is_empty() {
        return Turn::Run { steps: pending, last: false };
    }
    let refused: Vec<&str> = results
        .iter()
        .filter(|result| result.status == Some(ResultCode::SyncFailed))
        .map(|result| result.message.as_str())
        .collect();
    let message = if refused.is_empty() {
        "one or more synchronization tasks completed unsuccessfully".into()
    } else {
        format!("one or more objects failed to apply, reason: {}", refused.join(","))
    };
    Turn::End {
        phase: OperationPhase::Failed,
        message,
        delete: to_delete(plan, results, DeletePolicy::HookFailed, HookPhase::Failed),
    }
}

fn to_delete(plan: &Plan, results: &[ResourceResult], policy: DeletePolicy, phase: HookPhase) -> Vec<Key> {
    let ended = plan.steps.iter().filter(|s| s.hook.is_some() && s.phase != SyncPhase::SyncFail);
    let ended = ended.filter(|s| s.delete_policies.contains(&policy) && phase_of(s, results) == Some(phase));
    ended.map(|step| step.key.clone()).collect()
}

/// Writes the outcome of a step into the results, in place if it has one.
pub fn record(
    results: &mut Vec<ResourceResult>,
    step: &Step,
    status: Option<ResultCode>,
    message: String,
    phase: Option<HookPhase>,
) {
    let result = ResourceResult {
        group: step.key.group.clone(),
        version: step.version.clone(),
        kind: step.key.kind.clone(),
        namespace: step.key.namespace.clone(),
        name: step.key.name.clone(),
        status,
        message,
        hook_type: step.hook,
        hook_phase: phase,
        sync_phase: Some(step.phase),
    };
    match results.iter_mut().find(|known| step.is_result(known)) {
        Some(known) => *known = result,
        None => results.push(result),
    }
}

/// What is said of a step that has been run, in kubectl's words.
pub fn created_message(step: &Step, action: Action) -> String {
    let name = step.key.kubectl();
    match action {
        _ if step.hook.is_some() => format!("{} created", step.key.name),
        Action::Create | Action::Hook => format!("{name} created"),
        Action::Update => format!("{name} configured"),
        Action::Unchanged => format!("{name} unchanged"),
        Action::Prune => "pruned".into(),
        Action::PruneSkipped => "ignored (requires pruning)".into(),
    }
}

/// The results of a sync that changes nothing.
pub fn dry_run(plan: &Plan) -> Vec<ResourceResult> {
    let mut results = Vec::new();
    for step in &plan.steps {
        let (status, message) = match (&step.refused, step.action) {
            (Some(refused), _) => (ResultCode::SyncFailed, refused.clone()),
            (None, Action::Prune) => (ResultCode::Pruned, "pruned (dry run)".into()),
            (None, Action::PruneSkipped) => {
                (ResultCode::PruneSkipped, "ignored (requires pruning) (dry run)".into())
            }
            (None, action) => (ResultCode::Synced, format!("{} (dry run)", created_message(step, action))),
        };
        let phase = if step.refused.is_some() { HookPhase::Failed } else { HookPhase::Succeeded };
        let status = step.hook.is_none().then_some(status);
        record(&mut results, step, status, message, Some(phase));
    }
    results
}
