//! Carries a plan out: only what differs is written, in order, and remembered.

use std::time::Duration;

use futures::StreamExt as _;
use galley_problem::{Kind, Problem};
use http_body_util::{BodyExt as _, Limited};
use kube::{
    Resource as _,
    api::{DynamicObject, Patch, PatchParams},
    client::Body,
    core::{Request, Status},
    runtime::{WatchStreamExt as _, watcher},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Cluster, Entry, How, Lock, Plan, Planned,
    inventory::{Stored, evidence},
    mapping::{Mapped, unknown_kind},
    object::{MANAGER, ObjectRef, Phase, Progress, Wave, list, tell, text},
    plan::{Action, in_conflict},
    problem::late,
    retry::retried,
};

/// Largest answer that is read.
const LARGEST: usize = 32 << 20;

/// How a plan is carried out.
#[derive(Clone, Debug)]
pub struct ApplyOptions {
    /// How long one object may take, its retries included.
    pub object: Duration,
    /// How long the server may take to serve a new kind.
    pub established: Duration,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        ApplyOptions { object: Duration::from_secs(30), established: Duration::from_secs(60) }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Objects that were not there before.
    pub created: Vec<ObjectRef>,
    /// Objects that differed.
    pub changed: Vec<ObjectRef>,
    /// Objects that were as wanted.
    pub same: usize,
}

impl Cluster {
    /// Carries out a plan. Can be killed at any moment and run again (with a new plan).
    ///
    /// # Errors
    /// G1110 if others manage fields and the plan may not take them (nothing is written then); G1108, G1109, G1111 or
    /// G1112 for an object that is refused; G1114 if the lease is lost. What was done until then stays and is remembered.
    pub async fn apply(
        &self,
        plan: &Plan,
        lock: &Lock,
        options: &ApplyOptions,
        progress: &dyn Progress,
    ) -> Result<Applied, Problem> {
        if !plan.force
            && let Some(problem) = in_conflict(plan.conflicts())
        {
            return Err(problem);
        }
        lock.check()?;
        let mut stored = self.stored_or_new(lock.home()).await?;
        self.intend(plan, lock, &mut stored).await?;
        let mut applied = Applied::default();
        let outcome = self.waves(plan, lock, options, progress, &mut stored, &mut applied).await;
        // Also after a failure: what was done is known now, and a later run need not guess.
        if lock.check().is_ok() && stored_changed(&stored, &applied) {
            let completed = self.store(lock.home(), &mut stored).await;
            outcome?;
            completed?;
            return Ok(applied);
        }
        outcome.map(|()| applied)
    }

    /// Writes down what is about to be done. A run that changes nothing writes nothing.
    async fn intend(&self, plan: &Plan, lock: &Lock, stored: &mut Stored) -> Result<(), Problem> {
        let before = stored.inventory.clone();
        self.settle(&mut stored.inventory).await?;
        for planned in &plan.objects {
            let known = stored.inventory.find(&planned.object).cloned();
            let how = match (&planned.action, known) {
                (Action::Same, _) | (Action::Change { .. }, Some(_)) => continue,
                // Made by the lock a moment ago.
                (Action::Create, Some(known))
                    if known.object.is_namespace() && known.object.name == lock.home().namespace =>
                {
                    continue;
                }
                (Action::Create, _) => How::Created,
                (Action::Change { .. }, None) => How::Changed,
            };
            stored.inventory.put(Entry { object: planned.object.clone(), uid: None, how, done: false });
        }
        if stored.inventory == before && self.inventory(lock.home()).await?.is_some() {
            return Ok(());
        }
        self.store(lock.home(), stored).await
    }

    async fn waves(
        &self,
        plan: &Plan,
        lock: &Lock,
        options: &ApplyOptions,
        progress: &dyn Progress,
        stored: &mut Stored,
        applied: &mut Applied,
    ) -> Result<(), Problem> {
        let mut rest = plan.objects.as_slice();
        while let Some(first) = rest.first() {
            let wave = first.object.wave();
            let end = rest.iter().position(|planned| planned.object.wave() != wave).unwrap_or(rest.len());
            let (now, later) = rest.split_at(end);
            for planned in now {
                lock.check()?;
                self.bring(planned, plan.force, options, progress, stored, applied).await?;
            }
            if wave == Wave::Definitions {
                for planned in now {
                    self.established(&planned.object, options.established, progress).await?;
                }
                self.mapping.forget().await;
            }
            rest = later;
        }
        Ok(())
    }

    async fn bring(
        &self,
        planned: &Planned,
        force: bool,
        options: &ApplyOptions,
        progress: &dyn Progress,
        stored: &mut Stored,
        applied: &mut Applied,
    ) -> Result<(), Problem> {
        let object = &planned.object;
        if planned.action == Action::Same {
            applied.same += 1;
            tell(progress, object, Phase::Same);
            return Ok(());
        }
        tell(progress, object, Phase::Applying);
        let mapped = self
            .mapping
            .find(&object.api_version, &object.kind)
            .await?
            .ok_or_else(|| unknown_kind(object))?;
        let mut params = PatchParams::apply(MANAGER);
        params.force = force;
        let doing = format!("apply {object}");
        let again = |error: &kube::Error| tell(progress, object, Phase::Retrying(error.to_string()));
        let (created, live) =
            retried(&doing, options.object, again, || self.patch(&mapped, object, &planned.desired, &params))
                .await
                .map_err(|problem| name_conflict(problem, object))?;
        self.remember(object, created, &live, stored);
        let (list, phase) = if created {
            (&mut applied.created, Phase::Created)
        } else {
            (&mut applied.changed, Phase::Changed)
        };
        list.push(object.clone());
        tell(progress, object, phase);
        Ok(())
    }

    fn remember(&self, object: &ObjectRef, created: bool, live: &Value, stored: &mut Stored) {
        let uid = text(live, "/metadata/uid").map(str::to_owned);
        let how = match stored.inventory.find(object) {
            // By its uid: an object made anew by somebody else is not the one that we created.
            Some(known) if known.done && known.uid == uid => known.how,
            // The same request may have been made before, by a run that was killed or whose answer was lost.
            _ if created || evidence(live) == Some(How::Created) => How::Created,
            _ => How::Changed,
        };
        stored.inventory.put(Entry { object: object.clone(), uid, how, done: true });
    }

    /// Applies an object; says whether it was created, which the typed client does not.
    pub(crate) async fn patch(
        &self,
        mapped: &Mapped,
        object: &ObjectRef,
        body: &Value,
        params: &PatchParams,
    ) -> Result<(bool, Value), kube::Error> {
        let path = DynamicObject::url_path(&mapped.resource, object.namespace.as_deref());
        let request = Request::new(path)
            .patch(&object.name, params, &Patch::Apply(body))
            .map_err(kube::Error::BuildRequest)?;
        let answer = self.client().send(request.map(Body::from)).await?;
        let code = answer.status();
        let bytes = Limited::new(answer.into_body(), LARGEST)
            .collect()
            .await
            .map_err(kube::Error::Service)?
            .to_bytes();
        if code.is_success() {
            let live = serde_json::from_slice(&bytes).map_err(kube::Error::SerdeError)?;
            return Ok((code == http::StatusCode::CREATED, live));
        }
        let status = serde_json::from_slice::<Status>(&bytes).unwrap_or_else(|_| {
            Status::failure(&String::from_utf8_lossy(&bytes[..bytes.len().min(512)]), "Failed")
                .with_code(code.as_u16())
        });
        Err(kube::Error::Api(status.with_code(code.as_u16()).boxed()))
    }

    /// Waits until a new kind is served.
    async fn established(
        &self,
        object: &ObjectRef,
        deadline: Duration,
        progress: &dyn Progress,
    ) -> Result<(), Problem> {
        let Some(api) = self.mapping.api(object).await? else { return Err(unknown_kind(object)) };
        let mut states = Box::pin(watcher::watch_object(api, &object.name).default_backoff());
        let mut told = false;
        let waited = tokio::time::timeout(deadline, async {
            while let Some(state) = states.next().await {
                let Ok(Some(live)) = state else { continue };
                let is = |kind: &str| {
                    list(&live.data, "/status/conditions").iter().find(|c| c["type"] == kind).cloned()
                };
                if is("Established").is_some_and(|c| c["status"] == "True") {
                    return Ok(());
                }
                if let Some(refused) = is("NamesAccepted").filter(|c| c["status"] == "False") {
                    let why = refused["message"].as_str().unwrap_or("Its names are taken.");
                    return Err(Problem::new("G1109", Kind::Conflict, format!("{object} was not accepted."))
                        .because_of(why));
                }
                if !told {
                    tell(progress, object, Phase::Waiting("being established".into()));
                    told = true;
                }
            }
            Err(late(format!("{object} could not be watched.")))
        });
        waited.await.unwrap_or_else(|_| {
            Err(late(format!("{object} was not established within {} s.", deadline.as_secs())))
        })
    }
}

fn stored_changed(stored: &Stored, applied: &Applied) -> bool {
    !applied.created.is_empty()
        || !applied.changed.is_empty()
        || stored.inventory.entries.iter().any(|e| !e.done)
}

/// A conflict that the plan did not foresee.
fn name_conflict(problem: Problem, object: &ObjectRef) -> Problem {
    if problem.kind != Kind::Conflict {
        return problem;
    }
    let mut conflict =
        Problem::new("G1110", Kind::Conflict, format!("{object} changed while it was being applied."))
            .try_this("Plan again; `--force-conflicts` takes over fields that others manage.");
    conflict.causes = problem.causes;
    conflict
}
