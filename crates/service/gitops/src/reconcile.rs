//! Everything, once, for one Application.

use std::{sync::Arc, time::Duration};

use galley_argo_cd::{API_VERSION, Application, ApplicationStatus, OperationPhase, names};
use galley_sync::Key;
use galley_units::Clock;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use crate::{
    Error,
    deletion::{self, Deletion},
    kinds::{Served, to_value},
    observe::{Eyes, Observation, Reach},
    operation::{Course, Next, begin},
    policy::{self, Decision, Situation},
    source::Wanted,
    status::{self, Writer},
};

/// How often is looked whether a sync window has opened or closed.
const WINDOW: Duration = Duration::from_secs(30);

/// What a turn leaves behind.
#[derive(Default)]
pub(crate) struct Outcome {
    /// When to look again although nothing happened; never if there is nothing to look at.
    pub(crate) again: Option<Duration>,
    /// Kinds whose changes are of interest.
    pub(crate) kinds: Vec<Served>,
    /// Objects that are wanted, whoever they say they belong to.
    pub(crate) keys: Vec<Key>,
}

/// What reconciles Applications.
pub(crate) struct Reconciler {
    pub(crate) client: Client,
    pub(crate) eyes: Eyes,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The kind `Application`.
pub(crate) fn application_resource() -> ApiResource {
    let (group, version) = API_VERSION.split_once('/').unwrap_or(("argoproj.io", "v1alpha1"));
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, "Application"), "applications")
}

impl Reconciler {
    pub(crate) fn applications(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.eyes.config.namespace, &application_resource())
    }

    /// Brings one Application as far as it can be brought now.
    pub(crate) async fn reconcile(&self, name: &str, first: bool) -> Result<Outcome, Error> {
        let api = self.applications();
        let found = api.get_opt(name).await.map_err(Error::api(format!("reading Application {name}")))?;
        let Some(object) = found else {
            self.eyes.cache.forget(name);
            return Ok(Outcome::default());
        };
        let object = to_value(object, &application_resource());
        let written = object.get("status").cloned().unwrap_or_default();
        let application: Application = serde_json::from_value(object)
            .map_err(|source| Error::Object { object: format!("Application {name}"), source })?;
        if application.metadata.deletion_timestamp.is_some() {
            return Ok(match deletion::go_on(&self.eyes, &api, &application).await? {
                Deletion::Done => Outcome::default(),
                Deletion::Waiting(kinds, again) => Outcome { again: Some(again), kinds, keys: Vec::new() },
            });
        }
        let writer = Writer { api: &api, name, clock: &*self.clock, written };
        Turn { reconciler: self, application: &application, writer, status: application.status.clone() }
            .run(first)
            .await
    }
}

struct Turn<'a> {
    reconciler: &'a Reconciler,
    application: &'a Application,
    writer: Writer<'a>,
    status: ApplicationStatus,
}

impl Turn<'_> {
    async fn run(mut self, first: bool) -> Result<Outcome, Error> {
        let refresh = self.application.annotation(names::REFRESH).map(str::to_owned);
        let hard = refresh.as_deref() == Some("hard");
        if refresh.is_some() || self.application.operation.is_some() && !self.is_at_work() {
            for source in self.application.sources() {
                self.reconciler.eyes.repositories.expire(&source.repo_url).await;
            }
        }
        if hard {
            self.reconciler.eyes.cache.forget(&self.application.metadata.name);
        }
        let reach = if first || hard { Reach::All } else { Reach::Known };
        let mut outcome = self.outcome();
        let seen = self.look(reach, &mut outcome).await?;
        let newest = seen.as_ref().map(|seen| seen.rendered.revisions.clone()).unwrap_or_default();
        let begun = self.begin(seen.as_ref(), &mut outcome);
        if begun || self.is_at_work() {
            if begun {
                self.writer.write(&mut self.status, false).await?;
            }
            let course =
                Course { eyes: &self.reconciler.eyes, application: self.application, newest: &newest };
            let next = course.go_on(&mut self.status, &mut self.writer, seen).await?;
            self.look(Reach::Known, &mut outcome).await?;
            match next {
                Next::Wait(wait) => soonest(&mut outcome, wait),
                Next::Ended => self.ended(&mut outcome).await?,
            }
        }
        self.writer.write(&mut self.status, refresh.is_some()).await?;
        if refresh.is_some() {
            self.patch(json!({"metadata": {"annotations": {names::REFRESH: null}}})).await?;
        }
        Ok(outcome)
    }

    fn outcome(&self) -> Outcome {
        let resync = Duration::from_secs(self.reconciler.eyes.config.resync_seconds.max(1));
        Outcome { again: Some(resync), ..Outcome::default() }
    }

    fn is_at_work(&self) -> bool {
        self.status.operation_state.as_ref().is_some_and(|state| !state.phase.is_completed())
    }

    /// Looks, and puts what was seen into the status. `None` if there is something for a person to mend.
    async fn look(&mut self, reach: Reach, outcome: &mut Outcome) -> Result<Option<Observation>, Error> {
        let eyes = &self.reconciler.eyes;
        // Objects of the present status are looked for, also those that came with this turn.
        let application = Application { status: self.status.clone(), ..self.application.clone() };
        let now = self.writer.now();
        match eyes.look(&application, &Wanted::default(), reach).await {
            Ok(seen) => {
                status::observed(&mut self.status, self.application, &seen, &now, &eyes.config.namespace);
                outcome.kinds.clone_from(&seen.kinds);
                outcome.keys = seen.comparison.objects.iter().map(|object| object.key.clone()).collect();
                Ok(Some(seen))
            }
            Err(Error::Problem(problem)) => {
                tracing::warn!(application = self.application.metadata.name, %problem, "cannot be compared");
                status::unseen(&mut self.status, self.application, &problem, &now);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Begins what was asked for, or what the policy asks for; whether something was begun.
    fn begin(&mut self, seen: Option<&Observation>, outcome: &mut Outcome) -> bool {
        if self.is_at_work() {
            return false;
        }
        let now = self.writer.now();
        if let Some(operation) = &self.application.operation {
            self.status.operation_state = Some(begin(operation.clone(), now));
            return true;
        }
        let Some(seen) = seen else { return false };
        let application = Application { status: self.status.clone(), ..self.application.clone() };
        let decision = policy::automatic(&Situation {
            application: &application,
            sync: self.status.sync.status,
            sources: &seen.rendered.sources,
            revisions: &seen.rendered.revisions,
            resources: &self.status.resources,
            now: self.writer.clock.now(),
        });
        match decision {
            Decision::Nothing => false,
            Decision::Later(wait) => {
                soonest(outcome, wait);
                false
            }
            Decision::Refuse(why) => {
                status::add_condition(&mut self.status, self.application, "SyncError", why, &now);
                false
            }
            Decision::Sync(_) if self.is_kept_by_windows(seen) => {
                soonest(outcome, WINDOW);
                false
            }
            Decision::Sync(operation) => {
                let name = &self.application.metadata.name;
                tracing::info!(application = name, revisions = ?seen.rendered.revisions, "syncs by its policy");
                self.status.operation_state = Some(begin(*operation, now));
                true
            }
        }
    }

    /// Whether the project's windows keep the policy from syncing now.
    fn is_kept_by_windows(&self, seen: &Observation) -> bool {
        let destination = &self.application.spec.destination;
        let subject = galley_sync::windows::Subject {
            application: self.application.metadata.name.clone(),
            namespace: destination.namespace.clone(),
            server: destination.server.clone(),
            cluster: destination.name.clone(),
        };
        galley_sync::windows::blocked(&seen.windows, &subject, false, self.writer.clock.now())
    }

    /// After an operation: its request goes, and the policy is asked once more, for git may have moved meanwhile.
    async fn ended(&mut self, outcome: &mut Outcome) -> Result<(), Error> {
        self.writer.write(&mut self.status, false).await?;
        if self.application.operation.is_some() {
            self.patch(json!({"operation": null})).await?;
        }
        let state = self.status.operation_state.as_ref();
        if let Some(state) = state {
            let (name, message) = (&self.application.metadata.name, &state.message);
            tracing::info!(application = name, phase = ?state.phase, message, "sync ended");
        }
        if self.status.sync.status != galley_argo_cd::SyncCode::Synced
            && self.application.spec.automated().is_some()
            && state.is_some_and(|state| state.phase != OperationPhase::Error)
        {
            soonest(outcome, Duration::from_millis(100));
        }
        Ok(())
    }

    async fn patch(&self, patch: Value) -> Result<(), Error> {
        let name = &self.application.metadata.name;
        match self.writer.api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Error::api(format!("changing Application {name}"))(error)),
        }
    }
}

fn soonest(outcome: &mut Outcome, wait: Duration) {
    outcome.again = Some(outcome.again.map_or(wait, |again| again.min(wait)));
}
