//! ApplicationSets: keeps the Applications that they make as they should be.
//!
//! Everything is read anew each time; nothing is remembered but what was read of git, so that a set which asks for
//! several repositories is worked off step by step. An Application belongs to a set by its owner reference.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::BoxStream};
use galley_applicationset::{Failure, Git, generate};
use galley_argo_cd::API_VERSION;
use galley_units::{Clock, rfc3339};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Error, Repositories,
    kinds::{to_object, to_value},
    reconcile::application_resource,
};

/// How often sets are looked at although nothing happened.
const RESYNC: Duration = Duration::from_secs(180);
/// What happens within this time is one piece of news.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Most repositories that one set reads.
const MAX_READS: usize = 100;
/// Annotations of Applications that are not the set's.
const KEPT: [&str; 2] = ["argocd.argoproj.io/refresh", "notified.notifications.argoproj.io"];

/// Keeps Applications of sets.
pub(crate) struct Sets {
    pub(crate) client: Client,
    pub(crate) repositories: Arc<dyn Repositories>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) namespace: String,
}

fn set_resource() -> ApiResource {
    let (group, version) = API_VERSION.split_once('/').unwrap_or(("argoproj.io", "v1alpha1"));
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(group, version, "ApplicationSet"),
        "applicationsets",
    )
}

impl Sets {
    fn sets(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &set_resource())
    }

    fn applications(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &application_resource())
    }

    /// Runs until cancelled.
    pub(crate) async fn run(self, mut wake: watch::Receiver<u64>, shutdown: CancellationToken) {
        // Where the kind is not served there is nothing to do.
        if self.sets().list(&ListParams::default().limit(1)).await.is_err() {
            shutdown.cancelled().await;
            return;
        }
        let mut news = futures::stream::select(
            watched(self.sets(), |object| json!([object.data.get("spec"), object.metadata.annotations])),
            watched(self.applications(), |object| {
                json!([object.data.get("spec"), object.metadata.labels, object.metadata.owner_references])
            }),
        );
        let mut wakes = true;
        loop {
            if let Err(error) = self.all().await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "ApplicationSets could not be worked off");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(()) = news.next() => {
                    // What follows at once belongs to it.
                    while let Ok(Some(())) = tokio::time::timeout(DEBOUNCE, news.next()).await {}
                }
                changed = wake.changed(), if wakes => {
                    wakes = changed.is_ok();
                }
                () = tokio::time::sleep(RESYNC) => {}
            }
        }
    }

    async fn all(&self) -> Result<(), Error> {
        let sets =
            self.sets().list(&ListParams::default()).await.map_err(Error::api("listing ApplicationSets"))?;
        for set in sets {
            let value = to_value(set, &set_resource());
            if value.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string) {
                continue;
            }
            self.one(&value).await?;
        }
        Ok(())
    }

    async fn one(&self, set: &Value) -> Result<(), Error> {
        let made = match self.generated(set).await {
            Ok(made) => made,
            Err((reason, message)) => return self.tell(set, Some((reason, &message))).await,
        };
        let policy =
            set.pointer("/spec/syncPolicy/applicationsSync").and_then(Value::as_str).unwrap_or("sync");
        let owned = self.owned(set).await?;
        for application in &made {
            let name = application["metadata"]["name"].as_str().unwrap_or_default();
            let there = owned.iter().find(|one| one["metadata"]["name"] == name);
            let done = match there {
                None => self.create(set, application).await,
                Some(there) if matches!(policy, "sync" | "create-update") => {
                    self.update(there, application).await
                }
                Some(_) => Ok(()),
            };
            if let Err(error) = done {
                let reason =
                    if there.is_none() { "CreateApplicationError" } else { "UpdateApplicationError" };
                return self.tell(set, Some((reason, &crate::error::said(&error)))).await;
            }
        }
        if matches!(policy, "sync" | "create-delete") {
            let wanted: BTreeSet<&str> =
                made.iter().filter_map(|one| one["metadata"]["name"].as_str()).collect();
            for one in &owned {
                let name = one["metadata"]["name"].as_str().unwrap_or_default();
                if !wanted.contains(name) {
                    match self.applications().delete(name, &DeleteParams::default()).await {
                        Ok(_) => {}
                        Err(kube::Error::Api(status)) if status.code == 404 => {}
                        Err(error) => return Err(Error::api(format!("deleting Application {name}"))(error)),
                    }
                }
            }
        }
        self.tell(set, None).await
    }

    /// The Applications of a set; git is read as far as its generators ask for it.
    async fn generated(&self, set: &Value) -> Result<Vec<Value>, (&'static str, String)> {
        const REASON: &str = "ApplicationParamsGenerationError";
        let mut git = Git::default();
        for _ in 0..MAX_READS {
            let (one, known) = (set.clone(), git.clone());
            let done = tokio::task::spawn_blocking(move || generate(&one, &known)).await;
            match done.map_err(|error| (REASON, error.to_string()))? {
                Ok(made) => return Ok(made),
                Err(Failure::Wrong { reason, message }) => return Err((reason, message)),
                Err(Failure::Needs { repository, revision }) => {
                    let told = |what: String| (REASON, format!("error generating params from git: {what}"));
                    let repo = self
                        .repositories
                        .open(&repository)
                        .await
                        .map_err(|problem| told(problem.to_string()))?;
                    let wanted = if revision.is_empty() { "HEAD" } else { &revision };
                    let commit = repo.resolve(wanted).await.map_err(|error| told(error.to_string()))?;
                    let commit = commit
                        .ok_or_else(|| told(format!("unable to resolve '{revision}' to a commit SHA")))?;
                    let files = repo.read_tree(&commit, "").await.map_err(|error| told(error.to_string()))?;
                    git.0.insert((repository, revision), files);
                }
            }
        }
        Err((REASON, "the set reads too many repositories".to_owned()))
    }

    /// The Applications that belong to a set.
    async fn owned(&self, set: &Value) -> Result<Vec<Value>, Error> {
        let all = self.applications().list(&ListParams::default()).await;
        let all = all.map_err(Error::api("listing Applications"))?;
        let uid = &set["metadata"]["uid"];
        let values = all.into_iter().map(|one| to_value(one, &application_resource()));
        Ok(values
            .filter(|one| {
                let owners = one.pointer("/metadata/ownerReferences").and_then(Value::as_array);
                owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == *uid))
            })
            .collect())
    }

    async fn create(&self, set: &Value, application: &Value) -> Result<(), kube::Error> {
        let mut object = application.clone();
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": API_VERSION,
            "kind": "ApplicationSet",
            "name": set["metadata"]["name"],
            "uid": set["metadata"]["uid"],
            "controller": true,
            "blockOwnerDeletion": true,
        }]);
        let object = to_object(&object).map_err(kube::Error::SerdeError)?;
        self.applications().create(&PostParams::default(), &object).await.map(|_| ())
    }

    /// Makes an Application as its set says; what others wrote into its annotations stays.
    async fn update(&self, there: &Value, wanted: &Value) -> Result<(), kube::Error> {
        let mut object = there.clone();
        object["spec"] = wanted["spec"].clone();
        object["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
        object["metadata"]["finalizers"] = wanted["metadata"]["finalizers"].clone();
        let mut annotations = wanted["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        let old = there["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        annotations.extend(old.into_iter().filter(|(key, _)| KEPT.contains(&key.as_str())));
        object["metadata"]["annotations"] = json!(annotations);
        let plain = |value: &Value| {
            let metadata = &value["metadata"];
            let or = |field: &str| metadata[field].as_object().cloned().unwrap_or_default();
            json!([value["spec"], or("labels"), or("annotations"), metadata["finalizers"]])
        };
        if plain(&object) == plain(there) {
            return Ok(());
        }
        let name = there["metadata"]["name"].as_str().unwrap_or_default();
        let object = to_object(&object).map_err(kube::Error::SerdeError)?;
        self.applications().replace(name, &PostParams::default(), &object).await.map(|_| ())
    }

    /// Writes the conditions, if they have changed.
    async fn tell(&self, set: &Value, wrong: Option<(&str, &str)>) -> Result<(), Error> {
        let name = set["metadata"]["name"].as_str().unwrap_or_default();
        let good = "All applications have been generated successfully";
        let rows = match wrong {
            None => [
                ("ErrorOccurred", "False", "ApplicationSetUpToDate", good),
                (
                    "ParametersGenerated",
                    "True",
                    "ParametersGenerated",
                    "Successfully generated parameters for all Applications",
                ),
                ("ResourcesUpToDate", "True", "ApplicationSetUpToDate", good),
            ],
            Some((reason, message)) => [
                ("ErrorOccurred", "True", reason, message),
                ("ParametersGenerated", "False", "ErrorOccurred", message),
                ("ResourcesUpToDate", "False", "ErrorOccurred", message),
            ],
        };
        let old = set.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let now = rfc3339(self.clock.now());
        let conditions: Vec<Value> = rows
            .into_iter()
            .map(|(kind, status, reason, message)| {
                let same = old.iter().find(|one| {
                    one["type"] == kind && one["status"] == status && one["reason"] == reason && one["message"] == message
                });
                same.cloned().unwrap_or_else(|| {
                    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now})
                })
            })
            .collect();
        if conditions == old {
            return Ok(());
        }
        let patch = json!({"status": {"conditions": conditions}});
        match self.sets().patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Error::api(format!("writing the status of ApplicationSet {name}"))(error)),
        }
    }
}

/// Something has changed that matters.
fn watched(api: Api<DynamicObject>, matter: fn(&DynamicObject) -> Value) -> BoxStream<'static, ()> {
    let stream = watcher(api, watcher::Config::default()).default_backoff();
    let mut known = std::collections::HashMap::<String, String>::new();
    stream
        .filter_map(move |event| {
            let news = match event {
                Ok(Event::Apply(object) | Event::InitApply(object)) => {
                    let name = object.metadata.name.clone().unwrap_or_default();
                    let now = matter(&object).to_string();
                    (known.insert(name, now.clone()) != Some(now)).then_some(())
                }
                Ok(Event::Delete(object)) => {
                    known.remove(&object.metadata.name.unwrap_or_default());
                    Some(())
                }
                Ok(Event::Init | Event::InitDone) => None,
                Err(error) => {
                    tracing::warn!(%error, "a watch broke");
                    None
                }
            };
            std::future::ready(news)
        })
        .boxed()
}
