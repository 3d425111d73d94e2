//! One step of a plan, carried out. Doing it twice is the same as doing it once.

use std::time::Duration;

use galley_argo_cd::{HookPhase, ResourceResult, ResultCode};
use galley_sync::{
    Action, DeletePolicy, Ignore, Key, Step, annotation, applied, created_message, merge_patch, record,
};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    Error,
    error::said,
    kinds::{Kinds, Served, to_object, to_value},
};

/// The name under which fields are written.
const MANAGER: &str = "argocd-controller";
/// Marks a hook with the operation that made it, so that a restart does not make it again.
const MADE_BY: &str = "galley.dev/made-by-sync";
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(30);
/// How often an object that others change meanwhile is read and changed again.
const ATTEMPTS: usize = 5;

/// What all steps of an operation have in common.
pub(crate) struct Hands<'a> {
    pub(crate) kinds: &'a Kinds,
    pub(crate) ignore: &'a Ignore,
    /// `RespectIgnoreDifferences=true`.
    pub(crate) respect: bool,
    /// How what goes takes along what it owns.
    pub(crate) propagation: PropagationPolicy,
    /// Names the operation.
    pub(crate) mark: String,
}

/// Why a step failed.
enum Failure {
    /// The API server refused it: the words go into the result.
    Refused(String),
    /// The API server did not answer: the turn ends and is tried again.
    Broken(Error),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match &error {
            // A server that is overwhelmed or going down will answer later.
            kube::Error::Api(status) if status.code != 429 && status.code < 500 => {
                Failure::Refused(said(&error))
            }
            _ => Failure::Broken(Error::api("applying an object")(error)),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Failure::Refused(error.to_string())
    }
}

impl Hands<'_> {
    /// Carries out a step and records its outcome. `Ok(false)` if it was refused.
    pub(crate) async fn carry_out(
        &self,
        step: &Step,
        results: &mut Vec<ResourceResult>,
    ) -> Result<bool, Error> {
        let outcome = match timeout(REQUEST * 2, self.attempt(step)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Broken(Error::Late(REQUEST.as_secs() * 2))),
        };
        match outcome {
            Ok((status, action)) => {
                let phase = match action {
                    Action::Prune | Action::PruneSkipped => HookPhase::Succeeded,
                    _ if step.key.kind == "Namespace" && step.key.group.is_empty() => HookPhase::Succeeded,
                    _ => HookPhase::Running,
                };
                let status = step.hook.is_none().then_some(status);
                record(results, step, status, message(step, action), Some(phase));
                Ok(true)
            }
            Err(Failure::Refused(why)) => {
                let status = step.hook.is_none().then_some(ResultCode::SyncFailed);
                record(results, step, status, why, Some(HookPhase::Failed));
                Ok(false)
            }
            Err(Failure::Broken(error)) => Err(error),
        }
    }

    async fn attempt(&self, step: &Step) -> Result<(ResultCode, Action), Failure> {
        match (step.action, &step.target) {
            (Action::Prune, _) => {
                self.delete(&step.key, step.live.as_ref()).await?;
                Ok((ResultCode::Pruned, Action::Prune))
            }
            (Action::PruneSkipped, _) | (_, None) => Ok((ResultCode::PruneSkipped, Action::PruneSkipped)),
            (_, Some(target)) if step.hook.is_some() => {
                Ok((ResultCode::Synced, self.hook(step, target).await?))
            }
            (_, Some(target)) => Ok((ResultCode::Synced, self.apply(step, target).await?)),
        }
    }

    async fn served(&self, step: &Step, target: &Value) -> Result<Served, Failure> {
        let version = target.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let found = self.kinds.find(version, &step.key.kind).await.map_err(Failure::Broken)?;
        found.ok_or_else(|| {
            let Key { kind, namespace, name, .. } = &step.key;
            Failure::Refused(format!(
                "resource mapping not found for name: {name:?} namespace: {namespace:?} from \"<file>\": no matches for kind \
                 {kind:?} in version {version:?}\nensure CRDs are installed first"
            ))
        })
    }

    async fn apply(&self, step: &Step, target: &Value) -> Result<Action, Failure> {
        let served = self.served(step, target).await?;
        if step.server_side {
            return self.apply_on_the_server(&served, step, target).await;
        }
        for _ in 0..ATTEMPTS {
            let Some(live) = self.kinds.get(&served, &step.key).await? else {
                match self.create(&served, &step.key, &applied(target)).await {
                    Err(kube::Error::Api(status))
                        if status.code == 409 && status.reason == "AlreadyExists" =>
                    {
                        continue;
                    }
                    other => other?,
                }
                return Ok(Action::Create);
            };
            match self.change(&served, step, target, &live).await {
                Err(Failure::Broken(error)) => return Err(Failure::Broken(error)),
                Ok(Some(action)) => return Ok(action),
                // Somebody else was faster: read again.
                Ok(None) => {}
                Err(Failure::Refused(why)) if step.force => {
                    tracing::info!(object = %step.key, why, "cannot be changed: made anew, as `Force=true` asks");
                    self.delete(&step.key, Some(&live)).await?;
                    self.gone(&served, &step.key).await?;
                }
                Err(refused) => return Err(refused),
            }
        }
        Err(Failure::Refused(format!("{} is changed by others all the time", step.key)))
    }

    async fn create(&self, served: &Served, key: &Key, object: &Value) -> Result<(), kube::Error> {
        let parameters = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let object = to_object(object).map_err(kube::Error::SerdeError)?;
        self.kinds.api(served, &key.namespace).create(&parameters, &object).await.map(|_| ())
    }

    /// Changes a live object; `None` if it changed meanwhile.
    async fn change(
        &self,
        served: &Served,
        step: &Step,
        target: &Value,
        live: &Value,
    ) -> Result<Option<Action>, Failure> {
        let mut target = target.clone();
        if self.respect {
            self.ignore.respect(&step.key, &mut target, live);
        }
        let version = live.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
        let api = self.kinds.api(served, &step.key.namespace);
        let sent = if step.replace {
            let mut object = applied(&target);
            object["metadata"]["resourceVersion"] = version;
            let parameters = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
            api.replace(&step.key.name, &parameters, &to_object(&object)?).await
        } else {
            let patch = merge_patch(&target, live).map_err(|error| Failure::Refused(error.to_string()))?;
            if patch == json!({}) {
                return Ok(Some(Action::Unchanged));
            }
            let mut patch = patch;
            patch["metadata"]["resourceVersion"] = version;
            let parameters = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
            api.patch(&step.key.name, &parameters, &Patch::Merge(&patch)).await
        };
        match sent {
            Ok(_) => Ok(Some(Action::Update)),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn apply_on_the_server(
        &self,
        served: &Served,
        step: &Step,
        target: &Value,
    ) -> Result<Action, Failure> {
        let parameters = PatchParams::apply(MANAGER).force();
        let api = self.kinds.api(served, &step.key.namespace);
        let before = self.kinds.get(served, &step.key).await?;
        let after = api.patch(&step.key.name, &parameters, &Patch::Apply(target)).await?;
        let after = to_value(after, &served.resource);
        let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
        Ok(match before {
            None => Action::Create,
            Some(before) if version(&before) == version(&after) => Action::Unchanged,
            Some(_) => Action::Update,
        })
    }

    /// Makes a hook anew, unless this operation has made it already.
    async fn hook(&self, step: &Step, target: &Value) -> Result<Action, Failure> {
        let served = self.served(step, target).await?;
        let live = self.kinds.get(&served, &step.key).await?;
        if let Some(live) = &live {
            if annotation(live, MADE_BY) == Some(&self.mark) {
                return Ok(Action::Hook);
            }
            if !step.delete_policies.contains(&DeletePolicy::BeforeHookCreation) {
                return self.apply(step, target).await;
            }
            self.delete(&step.key, Some(live)).await?;
            self.gone(&served, &step.key).await?;
        }
        let mut object = target.clone();
        object["metadata"]["annotations"][MADE_BY] = self.mark.clone().into();
        self.create(&served, &step.key, &object).await?;
        Ok(Action::Hook)
    }

    /// Deletes an object, if it is still the one that was seen.
    async fn delete(&self, key: &Key, seen: Option<&Value>) -> Result<(), Failure> {
        let known = self.kinds.known().await.map_err(Failure::Broken)?;
        let Some(served) = known.find_any(&key.group, &key.kind) else { return Ok(()) };
        let uid = seen.and_then(|o| o.pointer("/metadata/uid")).and_then(Value::as_str).map(str::to_owned);
        let parameters = DeleteParams {
            propagation_policy: Some(self.propagation.clone()),
            preconditions: uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.kinds.api(&served, &key.namespace).delete(&key.name, &parameters).await {
            Ok(_) => Ok(()),
            // Gone, or another object of the same name that nobody asked to delete.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an object; one that is gone is fine.
    pub(crate) async fn remove(&self, key: &Key, seen: Option<&Value>) -> Result<(), Error> {
        match timeout(REQUEST, self.delete(key, seen)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Failure::Broken(error))) => Err(error),
            Ok(Err(Failure::Refused(why))) => {
                tracing::warn!(object = %key, why, "was not deleted");
                Ok(())
            }
            Err(_) => Err(Error::Late(REQUEST.as_secs())),
        }
    }

    /// Waits until an object is gone.
    async fn gone(&self, served: &Served, key: &Key) -> Result<(), Failure> {
        let api = self.kinds.api(served, &key.namespace);
        let gone =
            kube::runtime::wait::await_condition(api, &key.name, |object: Option<&_>| object.is_none());
        match timeout(REQUEST, gone).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::Refused(format!("waiting for {key} to go: {error}"))),
            Err(_) => Err(Failure::Refused(format!("{key} did not go within {} s", REQUEST.as_secs()))),
        }
    }
}

fn message(step: &Step, action: Action) -> String {
    let managed =
        step.key.kind == "Namespace" && step.reasons.iter().any(|why| why == "CreateNamespace=true");
    if (step.server_side || managed) && matches!(action, Action::Create | Action::Update | Action::Unchanged)
    {
        return format!("{} serverside-applied", step.key.kubectl());
    }
    created_message(step, action)
}
