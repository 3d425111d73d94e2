//! Whether to sync without being asked, and when to try again: decisions without a hand to carry them out.

use std::time::Duration;

use galley_argo_cd::{
    Application, InitiatedBy, Operation, OperationPhase, OperationState, ResourceStatus, RetryStrategy,
    Source, SyncCode, SyncOperation, SyncOperationResource,
};
use galley_units::parse_duration;
use jiff::Timestamp;

/// How often an automatic sync is tried again if its policy does not say.
const RETRIES: i64 = 5;
/// The longest pause between undoing drift of the same objects.
const LONGEST_HEAL: Duration = Duration::from_secs(60);
/// Drift after so long a time is new drift.
const HEAL_MEMORY: Duration = Duration::from_secs(300);

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// All is well, or nobody wants it otherwise.
    Nothing,
    /// Begin this.
    Sync(Box<Operation>),
    /// Look again then.
    Later(Duration),
    /// Do nothing, and say why.
    Refuse(String),
}

/// What the decision rests on.
pub(crate) struct Situation<'a> {
    pub(crate) application: &'a Application,
    pub(crate) sync: SyncCode,
    pub(crate) sources: &'a [Source],
    pub(crate) revisions: &'a [String],
    pub(crate) resources: &'a [ResourceStatus],
    pub(crate) now: Timestamp,
}

/// Decides whether an automatic sync is due.
pub(crate) fn automatic(situation: &Situation<'_>) -> Decision {
    let Situation { application, sync, sources, revisions, resources, now } = situation;
    let Some(policy) = application.spec.automated() else { return Decision::Nothing };
    if *sync != SyncCode::OutOfSync {
        return Decision::Nothing;
    }
    let out_of_sync = || resources.iter().filter(|r| r.status == Some(SyncCode::OutOfSync));
    if !policy.prune && out_of_sync().all(|r| r.requires_pruning) {
        return Decision::Nothing;
    }
    let own = || resources.iter().filter(|r| r.status.is_some());
    if policy.prune && !policy.allow_empty && own().count() > 0 && own().all(|r| r.requires_pruning) {
        let revisions = revisions.join(" ");
        let why = format!("Skipping sync attempt to [{revisions}]: auto-sync will wipe out all resources");
        return Decision::Refuse(why);
    }
    let retry = application.spec.sync_policy.as_ref().and_then(|p| p.retry.clone());
    let mut sync = SyncOperation {
        prune: policy.prune,
        sync_options: application
            .spec
            .sync_policy
            .as_ref()
            .map(|p| p.sync_options.clone())
            .unwrap_or_default(),
        ..SyncOperation::default()
    };
    set_revisions(&mut sync, application, revisions);
    let last =
        application.status.operation_state.as_ref().filter(|state| attempted(state, sources, revisions));
    if let Some(last) = last {
        if last.phase != OperationPhase::Succeeded {
            let revision = revisions.join(" ");
            return Decision::Refuse(format!("Failed last sync attempt to [{revision}]: {}", last.message));
        }
        if !policy.self_heal {
            return Decision::Nothing;
        }
        match heal(last, *now) {
            Err(wait) => return Decision::Later(wait),
            Ok(attempts) => sync.self_heal_attempts_count = attempts,
        }
        sync.resources =
            out_of_sync().filter(|r| policy.prune || !r.requires_pruning).map(selected).collect();
    }
    Decision::Sync(Box::new(Operation {
        sync: Some(sync),
        initiated_by: InitiatedBy { automated: true, ..InitiatedBy::default() },
        info: Vec::new(),
        retry: retry.unwrap_or(RetryStrategy { limit: RETRIES, ..RetryStrategy::default() }),
    }))
}

fn set_revisions(sync: &mut SyncOperation, application: &Application, revisions: &[String]) {
    if application.spec.sources.is_empty() {
        sync.revision = revisions.first().cloned().unwrap_or_default();
    } else {
        sync.revisions = revisions.to_vec();
    }
}

fn selected(resource: &ResourceStatus) -> SyncOperationResource {
    SyncOperationResource {
        group: resource.group.clone(),
        kind: resource.kind.clone(),
        name: resource.name.clone(),
        namespace: resource.namespace.clone(),
        exclude: false,
    }
}

/// Whether the last operation was for the same sources at the same commits.
fn attempted(state: &OperationState, sources: &[Source], revisions: &[String]) -> bool {
    let Some(result) = &state.sync_result else { return false };
    let single = result.source.iter().cloned().collect::<Vec<_>>();
    let before = if result.sources.is_empty() { &single } else { &result.sources };
    let commits =
        if result.revisions.is_empty() { std::slice::from_ref(&result.revision) } else { &result.revisions };
    before == sources && commits == revisions
}

/// The number of this healing, or how long to wait: the first is at once, each further one waits twice as long.
fn heal(last: &OperationState, now: Timestamp) -> Result<i64, Duration> {
    let passed = since(last.finished_at.as_deref(), now);
    let before = last.operation.sync.as_ref().map_or(0, |sync| sync.self_heal_attempts_count);
    let before = if passed > HEAL_MEMORY { 0 } else { before };
    let wait = match before {
        0 => Duration::ZERO,
        n => LONGEST_HEAL.min(Duration::from_secs(1 << (n - 1).clamp(0, 6))),
    };
    if passed >= wait { Ok(before + 1) } else { Err(wait - passed) }
}

/// The time since a moment; very long if there is none.
pub(crate) fn since(moment: Option<&str>, now: Timestamp) -> Duration {
    let moment: Option<Timestamp> = moment.and_then(|text| text.parse().ok());
    moment.map_or(Duration::MAX, |moment| Duration::try_from(now - moment).unwrap_or_default())
}

/// How long to wait before retry number `count + 1`; `None` if there is to be none.
pub(crate) fn retry_after(retry: &RetryStrategy, count: i64) -> Option<Duration> {
    if retry.limit == 0 || retry.limit > 0 && count >= retry.limit {
        return None;
    }
    let backoff = retry.backoff.clone().unwrap_or_default();
    let read = |text: &str, default| parse_duration(text).ok().filter(|d| !d.is_zero()).unwrap_or(default);
    let first = read(&backoff.duration, Duration::from_secs(5));
    let longest = read(&backoff.max_duration, Duration::from_secs(180));
    let factor = backoff.factor.unwrap_or(2).clamp(1, 1000) as f64;
    let grown = first.as_secs_f64() * factor.powi(count.clamp(0, 1000) as i32);
    Some(Duration::try_from_secs_f64(grown).unwrap_or(longest).min(longest))
}

#[cfg(test)]
mod tests {
    use galley_argo_cd::{ApplicationSpec, Automated, Backoff, SyncPolicy, SyncResult};

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn application(policy: Automated) -> Application {
        let sync_policy = Some(SyncPolicy { automated: Some(policy), ..SyncPolicy::default() });
        Application { spec: ApplicationSpec { sync_policy, ..Default::default() }, ..Application::default() }
    }

    fn decide(application: &Application, resources: &[ResourceStatus]) -> Decision {
        let sync = if resources.iter().any(|r| r.status == Some(SyncCode::OutOfSync)) {
            SyncCode::OutOfSync
        } else {
            SyncCode::Synced
        };
        let revisions = ["c2".to_owned()];
        automatic(&Situation { application, sync, sources: &[], revisions: &revisions, resources, now: NOW })
    }

    fn resource(status: SyncCode, requires_pruning: bool) -> ResourceStatus {
        ResourceStatus {
            kind: "X".into(),
            name: "x".into(),
            status: Some(status),
            requires_pruning,
            ..Default::default()
        }
    }

    fn last(revision: &str, phase: OperationPhase, seconds_ago: i64, heals: i64) -> OperationState {
        let finished = Timestamp::from_second(NOW.as_second() - seconds_ago).expect("a time").to_string();
        let sync = SyncOperation { self_heal_attempts_count: heals, ..SyncOperation::default() };
        OperationState {
            operation: Operation { sync: Some(sync), ..Operation::default() },
            phase,
            message: "said so".into(),
            finished_at: Some(finished),
            sync_result: Some(SyncResult { revision: revision.into(), ..SyncResult::default() }),
            ..OperationState::default()
        }
    }

    #[test]
    fn a_new_commit_is_synced_and_a_failed_one_is_not_tried_for_ever() {
        let mut app = application(Automated { prune: true, ..Automated::default() });
        let drifted = [resource(SyncCode::OutOfSync, false)];
        assert_eq!(decide(&app, &[resource(SyncCode::Synced, false)]), Decision::Nothing);
        app.status.operation_state = Some(last("c1", OperationPhase::Succeeded, 10, 0));
        let Decision::Sync(operation) = decide(&app, &drifted) else { panic!("no sync") };
        let sync = operation.sync.expect("a sync");
        assert_eq!((sync.revision.as_str(), sync.prune, sync.resources.len()), ("c2", true, 0));
        assert_eq!((operation.initiated_by.automated, operation.retry.limit), (true, 5));
        app.status.operation_state = Some(last("c2", OperationPhase::Failed, 10, 0));
        assert_eq!(
            decide(&app, &drifted),
            Decision::Refuse("Failed last sync attempt to [c2]: said so".into())
        );
    }

    #[test]
    fn drift_is_healed_when_asked_and_ever_more_slowly() {
        let drifted = [resource(SyncCode::OutOfSync, false), resource(SyncCode::Synced, false)];
        let mut app = application(Automated::default());
        app.status.operation_state = Some(last("c2", OperationPhase::Succeeded, 0, 0));
        assert_eq!(decide(&app, &drifted), Decision::Nothing);
        let mut app = application(Automated { self_heal: true, ..Automated::default() });
        for (seconds_ago, heals, expected) in
            [(0, 0, Ok(1)), (0, 1, Err(1)), (1, 1, Ok(2)), (3, 3, Err(1)), (400, 9, Ok(1))]
        {
            app.status.operation_state = Some(last("c2", OperationPhase::Succeeded, seconds_ago, heals));
            match (decide(&app, &drifted), expected) {
                (Decision::Sync(operation), Ok(count)) => {
                    let sync = operation.sync.expect("a sync");
                    assert_eq!((sync.self_heal_attempts_count, sync.resources.len()), (count, 1));
                }
                (Decision::Later(wait), Err(seconds)) => assert_eq!(wait, Duration::from_secs(seconds)),
                other => panic!("{seconds_ago} {heals}: {other:?}"),
            }
        }
    }

    #[test]
    fn pruning_everything_needs_a_word() {
        let gone = [resource(SyncCode::OutOfSync, true)];
        let app = |prune, allow_empty| application(Automated { prune, allow_empty, ..Automated::default() });
        assert_eq!(decide(&app(false, false), &gone), Decision::Nothing);
        let why = "Skipping sync attempt to [c2]: auto-sync will wipe out all resources".to_owned();
        assert_eq!(decide(&app(true, false), &gone), Decision::Refuse(why));
        assert!(matches!(decide(&app(true, true), &gone), Decision::Sync(_)));
        let off = application(Automated { enabled: Some(false), ..Automated::default() });
        assert_eq!(decide(&off, &[resource(SyncCode::OutOfSync, false)]), Decision::Nothing);
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let backoff = Backoff { duration: "2s".into(), factor: Some(3), max_duration: "10s".into() };
        let retry = RetryStrategy { limit: 3, backoff: Some(backoff), refresh: false };
        let pauses: Vec<Option<u64>> = (0..4).map(|n| retry_after(&retry, n).map(|d| d.as_secs())).collect();
        assert_eq!(pauses, [Some(2), Some(6), Some(10), None]);
        assert_eq!(retry_after(&RetryStrategy::default(), 0), None);
        let endless = RetryStrategy { limit: -1, ..RetryStrategy::default() };
        assert_eq!(retry_after(&endless, 10_000), Some(Duration::from_secs(180)));
    }
}
