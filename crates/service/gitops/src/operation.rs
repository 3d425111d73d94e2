//! One operation, turn by turn: everything it knows is in the Application's status.

use std::time::Duration;

use galley_argo_cd::{
    Application, ApplicationStatus, HookPhase, Operation, OperationPhase, OperationState, SyncOperation,
    SyncResult,
};
use galley_sync::{Key, Options, Plan, Turn, advance, dry_run};
use jiff::Timestamp;
use kube::api::PropagationPolicy;

use crate::{
    Error,
    apply::Hands,
    observe::{Eyes, Observation, Reach},
    policy::{retry_after, since},
    source::Wanted,
    status::{Writer, named_sources, remember, set_revisions, words},
};

/// What comes after a turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    /// The operation has ended.
    Ended,
    /// It waits for the cluster, or for this long.
    Wait(Duration),
}

/// A new operation, at work from now on.
pub(crate) fn begin(operation: Operation, now: String) -> OperationState {
    OperationState {
        operation,
        phase: OperationPhase::Running,
        message: "waiting to start".into(),
        started_at: now,
        ..OperationState::default()
    }
}

/// An operation that is at work.
pub(crate) struct Course<'a> {
    pub(crate) eyes: &'a Eyes,
    pub(crate) application: &'a Application,
    /// The commits that the Application's own sources have now.
    pub(crate) newest: &'a [String],
}

impl Course<'_> {
    /// Goes on as far as possible. `seen` is a look at the Application's own sources that was just made.
    pub(crate) async fn go_on(
        &self,
        status: &mut ApplicationStatus,
        writer: &mut Writer<'_>,
        mut seen: Option<Observation>,
    ) -> Result<Next, Error> {
        let Some(mut state) = status.operation_state.take() else { return Ok(Next::Ended) };
        let mut turns = 0;
        let outcome = loop {
            let turn = self.turn(&mut state, writer, seen.take()).await;
            status.operation_state = Some(state.clone());
            match turn {
                Ok(None) => writer.write(status, false).await?,
                Ok(Some(next)) => break next,
                Err(error) => {
                    // What was done so far is kept; the next turn goes on from there.
                    writer.write(status, false).await?;
                    return Err(error);
                }
            }
            turns += 1;
            if turns > 10_000 {
                return Err(Error::Late(self.eyes.config.turn_seconds));
            }
        };
        if state.phase == OperationPhase::Succeeded
            && let Some(sync) = &state.operation.sync
            && !sync.dry_run
            && sync.resources.is_empty()
        {
            remember(status, self.application, &state);
        }
        status.operation_state = Some(state);
        // The end is written by the caller, together with what the cluster looks like then: nobody sees a sync that has
        // succeeded beside the differences it has removed.
        if outcome != Next::Ended {
            writer.write(status, false).await?;
        }
        Ok(outcome)
    }

    /// One turn; `None` if the next one can follow at once.
    async fn turn(
        &self,
        state: &mut OperationState,
        writer: &Writer<'_>,
        seen: Option<Observation>,
    ) -> Result<Option<Next>, Error> {
        let now = writer.clock.now();
        if state.phase == OperationPhase::Terminating {
            return Ok(Some(end(state, writer, OperationPhase::Failed, "Operation terminated".into())));
        }
        if let Some(wait) = self.pause(state, now) {
            return Ok(Some(wait));
        }
        let Some(sync) = state.operation.sync.clone() else {
            let why = "Invalid operation: only syncs are known".into();
            return Ok(Some(end(state, writer, OperationPhase::Error, why)));
        };
        let seen = match self.see(state, &sync, seen).await {
            Ok(seen) => seen,
            Err(Error::Problem(problem)) => {
                let why = format!("ComparisonError: {}", words(&problem));
                self.name_commits(state, &sync).await;
                return Ok(Some(self.fail(state, writer, OperationPhase::Error, why)));
            }
            Err(error) => return Err(error),
        };
        self.step(state, &sync, writer, &seen).await
    }

    /// Whether it waits for its next attempt, and for how long; begins the attempt when it is due.
    fn pause(&self, state: &mut OperationState, now: Timestamp) -> Option<Next> {
        state.finished_at.as_ref()?;
        if self.superseded(state) {
            return None;
        }
        let wait = retry_after(&state.operation.retry, state.retry_count).unwrap_or_default();
        let passed = since(state.finished_at.as_deref(), now);
        if passed < wait {
            return Some(Next::Wait(wait - passed));
        }
        state.finished_at = None;
        state.retry_count += 1;
        if let Some(result) = &mut state.sync_result {
            result.resources.clear();
        }
        None
    }

    /// Whether it was begun by the policy for a commit that is not the newest any more.
    fn superseded(&self, state: &OperationState) -> bool {
        let Some(result) = &state.sync_result else { return false };
        let one = std::slice::from_ref(&result.revision);
        let own = if result.revisions.is_empty() { one } else { &result.revisions };
        state.operation.initiated_by.automated && !self.newest.is_empty() && own != self.newest
    }

    /// Looks at the commits of the operation, and pins them: a branch that moves meanwhile does not change it.
    async fn see(
        &self,
        state: &mut OperationState,
        sync: &SyncOperation,
        seen: Option<Observation>,
    ) -> Result<Observation, Error> {
        let own = || sync.source.iter().cloned().collect::<Vec<_>>();
        let pinned = state.sync_result.as_ref().filter(|r| !r.revision.is_empty() || !r.revisions.is_empty());
        let wanted = match pinned {
            Some(result) => Wanted {
                sources: if result.sources.is_empty() {
                    result.source.iter().cloned().collect()
                } else {
                    result.sources.clone()
                },
                revisions: if result.revisions.is_empty() {
                    vec![result.revision.clone()]
                } else {
                    result.revisions.clone()
                },
            },
            None => Wanted {
                sources: if sync.sources.is_empty() { own() } else { sync.sources.clone() },
                revisions: if sync.revisions.is_empty() {
                    vec![sync.revision.clone()]
                } else {
                    sync.revisions.clone()
                },
            },
        };
        let fits = |seen: &Observation| {
            let given = wanted.revisions.iter().filter(|r| !r.is_empty()).count();
            (wanted.sources.is_empty() || wanted.sources == seen.rendered.sources)
                && (given == 0 || wanted.revisions == seen.rendered.revisions)
        };
        let seen = match seen.filter(fits) {
            Some(seen) => seen,
            None => self.eyes.look(self.application, &wanted, Reach::Known).await?,
        };
        let several = seen.rendered.sources.len() > 1 || !self.application.spec.sources.is_empty();
        let result = state.sync_result.get_or_insert_with(SyncResult::default);
        set_revisions(&mut result.revision, &mut result.revisions, &seen.rendered.revisions, several);
        (result.source, result.sources) = named_sources(&seen.rendered.sources, several);
        Ok(seen)
    }

    /// Puts into the result which commits could not be rendered, as far as they are there.
    async fn name_commits(&self, state: &mut OperationState, sync: &SyncOperation) {
        let mut commits = Vec::new();
        for source in self.application.sources() {
            let Ok(repo) = self.eyes.repositories.open(&source.repo_url).await else { return };
            let wanted = if sync.revision.is_empty() { source.revision() } else { &sync.revision };
            let Ok(Some(commit)) = repo.resolve(wanted).await else { return };
            commits.push(commit);
        }
        let several = !self.application.spec.sources.is_empty();
        let result = state.sync_result.get_or_insert_with(SyncResult::default);
        set_revisions(&mut result.revision, &mut result.revisions, &commits, several);
    }

    async fn step(
        &self,
        state: &mut OperationState,
        sync: &SyncOperation,
        writer: &Writer<'_>,
        seen: &Observation,
    ) -> Result<Option<Next>, Error> {
        let mut results =
            state.sync_result.as_mut().map(|r| std::mem::take(&mut r.resources)).unwrap_or_default();
        let started: Option<Timestamp> = state.started_at.parse().ok();
        let options = self.options(sync, seen, results.clone(), started);
        let plan = Plan::new(&self.application.metadata.name, &seen.comparison, &options);
        if sync.dry_run {
            keep(state, dry_run(&plan));
            let refused = plan.steps.iter().any(|step| step.refused.is_some());
            let (phase, message) = match refused {
                true => (OperationPhase::Failed, "one or more objects failed to apply (dry run)"),
                false => (OperationPhase::Succeeded, "successfully synced (no more tasks)"),
            };
            return Ok(Some(end(state, writer, phase, message.into())));
        }
        let live = |key: &Key| seen.comparison.objects.iter().find(|o| o.key == *key)?.live.clone();
        let mut turn = advance(&plan, &mut results, live);
        let mark = format!("{}#{}", state.started_at, state.retry_count);
        let hands = self.hands(seen, &options, mark);
        if let Turn::Run { steps, last } = &turn {
            let mut fine = true;
            for number in steps {
                match hands.carry_out(&plan.steps[*number], &mut results).await {
                    Ok(done) => fine &= done,
                    Err(error) => {
                        keep(state, results);
                        return Err(error);
                    }
                }
            }
            if !(fine && *last) {
                keep(state, results);
                state.message = "one or more tasks are running".into();
                return Ok(None);
            }
            turn = Turn::run_to_the_end(&plan, &results);
        }
        let waits_for_hook =
            results.iter().any(|r| r.hook_type.is_some() && r.hook_phase == Some(HookPhase::Running));
        keep(state, results);
        match turn {
            Turn::Run { .. } => Ok(None),
            Turn::Wait(what) => Ok(Some(self.wait(state, writer, what, waits_for_hook))),
            Turn::End { phase, message, delete } => {
                for key in &delete {
                    hands.remove(key, None).await?;
                }
                Ok(Some(match phase {
                    OperationPhase::Succeeded => end(state, writer, phase, message),
                    phase => self.fail(state, writer, phase, message),
                }))
            }
        }
    }

    fn hands<'a>(&'a self, seen: &'a Observation, options: &Options, mark: String) -> Hands<'a> {
        let has = |option: &str| options.options.iter().any(|o| o == option);
        let propagation = if has("PrunePropagationPolicy=background") {
            PropagationPolicy::Background
        } else if has("PrunePropagationPolicy=orphan") {
            PropagationPolicy::Orphan
        } else {
            PropagationPolicy::Foreground
        };
        Hands {
            kinds: &self.eyes.kinds,
            ignore: &seen.ignore,
            respect: has("RespectIgnoreDifferences=true"),
            propagation,
            mark,
        }
    }

    fn options(
        &self,
        sync: &SyncOperation,
        seen: &Observation,
        results: Vec<galley_argo_cd::ResourceResult>,
        started: Option<Timestamp>,
    ) -> Options {
        let policy = self.application.spec.sync_policy.as_ref();
        let own = policy.map(|p| p.sync_options.clone()).unwrap_or_default();
        Options {
            revision: seen.rendered.revisions.first().cloned().unwrap_or_default(),
            started: started.map_or(0, Timestamp::as_second),
            prune: sync.prune,
            options: sync.sync_options.iter().cloned().chain(own).collect(),
            resources: sync.resources.clone(),
            skip_hooks: sync.skips_hooks(),
            namespace: seen.namespace.clone(),
            results,
        }
    }

    fn wait(&self, state: &mut OperationState, writer: &Writer<'_>, what: String, hook: bool) -> Next {
        // A newer commit may be what heals it; but a hook that runs is not cut off.
        if !hook && self.superseded(state) {
            let message = format!("a newer commit replaces this sync, which was {what}");
            return end(state, writer, OperationPhase::Failed, message);
        }
        let limit = Duration::from_secs(self.eyes.config.operation_seconds);
        let passed = since(Some(&state.started_at), writer.clock.now());
        if passed >= limit {
            let message = format!("timed out after {} s, {what}", limit.as_secs());
            return end(state, writer, OperationPhase::Failed, message);
        }
        state.message = what;
        Next::Wait(limit - passed)
    }

    /// Ends an attempt that failed; it is tried again if the operation allows.
    fn fail(
        &self,
        state: &mut OperationState,
        writer: &Writer<'_>,
        phase: OperationPhase,
        message: String,
    ) -> Next {
        match retry_after(&state.operation.retry, state.retry_count) {
            Some(wait) if !self.superseded(state) => {
                let at = writer.clock.now().checked_add(wait).unwrap_or(Timestamp::MAX);
                let (number, at) = (state.retry_count + 1, at.strftime("%H:%M:%SZ"));
                state.message = format!("{message}. Retrying attempt #{number} at {at}.");
                state.finished_at = Some(writer.now());
                Next::Wait(wait)
            }
            _ => {
                let tried = state.retry_count;
                let message = if tried > 0 { format!("{message} (retried {tried} times).") } else { message };
                end(state, writer, phase, message)
            }
        }
    }
}

fn keep(state: &mut OperationState, results: Vec<galley_argo_cd::ResourceResult>) {
    state.sync_result.get_or_insert_with(SyncResult::default).resources = results;
}

fn end(state: &mut OperationState, writer: &Writer<'_>, phase: OperationPhase, message: String) -> Next {
    state.phase = phase;
    state.message = message;
    state.finished_at = Some(writer.now());
    Next::Ended
}
