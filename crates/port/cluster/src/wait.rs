//! Waits for Applications and workloads: woken by watch events, always with a deadline, and with reasons.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use futures::{Stream, StreamExt as _, stream};
use galley_problem::{Kind, Problem};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Cluster, ObjectRef,
    explain::one_line,
    mapping::unknown_kind,
    object::{list, text},
    problem::refused,
};

/// Asks Argo CD to compare again; it takes the annotation away when it has.
const REFRESH: &str = "argocd.argoproj.io/refresh";
/// Pods may fail without their Application's status changing: reasons are looked up again so often.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// An object of an Application that is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unhealthy {
    /// As in `Deployment gourmetgram-staging/gourmetgram-app`.
    pub object: String,
    /// Health or sync status.
    pub state: String,
    /// What Argo CD says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Where an Application stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AppState {
    /// Its name.
    pub name: String,
    /// As in `Synced`; `Missing` if there is no such Application yet.
    pub sync: String,
    /// As in `Healthy`.
    pub health: String,
    /// Revision that was compared last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What Argo CD says: errors of the last operation and conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Its objects that are not well.
    pub unhealthy: Vec<Unhealthy>,
    /// Why pods and claims of its namespace are not ready.
    pub reasons: Vec<String>,
    /// Whether Argo CD still has to compare as asked.
    #[serde(skip)]
    refreshing: bool,
    /// Where its objects live.
    #[serde(skip)]
    destination: Option<String>,
}

impl AppState {
    /// Reads an Application.
    pub fn of(application: &Value) -> AppState {
        let status = |path: &str| text(application, path).unwrap_or("Unknown").to_owned();
        let revision = text(application, "/status/sync/revision").filter(|text| !text.is_empty());
        AppState {
            name: text(application, "/metadata/name").unwrap_or_default().to_owned(),
            sync: status("/status/sync/status"),
            health: status("/status/health/status"),
            revision: revision.map(str::to_owned),
            message: message(application),
            unhealthy: list(application, "/status/resources").iter().filter_map(unhealthy).collect(),
            reasons: Vec::new(),
            refreshing: application["metadata"]["annotations"][REFRESH].is_string(),
            destination: text(application, "/spec/destination/namespace").map(str::to_owned),
        }
    }

    fn missing(name: &str) -> AppState {
        AppState {
            name: name.to_owned(),
            sync: "Missing".into(),
            health: "Missing".into(),
            ..Default::default()
        }
    }

    /// Synced, healthy, and compared since the last request to.
    pub fn ready(&self) -> bool {
        self.sync == "Synced" && self.health == "Healthy" && !self.refreshing
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("Application {}: {}, {}.", self.name, self.sync, self.health)];
        lines.extend(self.message.clone());
        lines.extend(self.unhealthy.iter().map(|one| {
            let message = one.message.as_deref().map_or(String::new(), |text| format!(" ({text})"));
            format!("{}: {}{message}.", one.object, one.state)
        }));
        lines.extend(self.reasons.iter().cloned());
        lines
    }
}

fn message(application: &Value) -> Option<String> {
    let phase = text(application, "/status/operationState/phase").unwrap_or_default();
    let operation = (matches!(phase, "Failed" | "Error" | "Running"))
        .then(|| text(application, "/status/operationState/message"))
        .flatten();
    let conditions = list(application, "/status/conditions").iter().filter_map(|c| c["message"].as_str());
    let health = text(application, "/status/health/message");
    let mut said: Vec<String> = Vec::new();
    for line in operation.into_iter().chain(conditions).chain(health).map(one_line) {
        if !line.is_empty() && !said.contains(&line) {
            said.push(line);
        }
    }
    (!said.is_empty()).then(|| said.join("; "))
}

fn unhealthy(resource: &Value) -> Option<Unhealthy> {
    let health = text(resource, "/health/status").unwrap_or("Healthy");
    let sync = text(resource, "/status").unwrap_or("Synced");
    if health == "Healthy" && sync == "Synced" {
        return None;
    }
    let namespace =
        text(resource, "/namespace").filter(|n| !n.is_empty()).map_or(String::new(), |n| format!("{n}/"));
    let kind = text(resource, "/kind").unwrap_or_default();
    Some(Unhealthy {
        object: format!("{kind} {namespace}{}", text(resource, "/name").unwrap_or_default()),
        state: if health == "Healthy" { sync.to_owned() } else { health.to_owned() },
        message: text(resource, "/health/message").filter(|text| !text.is_empty()).map(one_line),
    })
}

/// What is known while waiting for Applications.
struct Waiting<S> {
    cluster: Cluster,
    events: std::pin::Pin<Box<S>>,
    states: BTreeMap<String, AppState>,
    fresh: BTreeSet<String>,
    pending: VecDeque<AppState>,
    synced_once: bool,
    deadline: Duration,
    end: Instant,
    over: bool,
}

impl Cluster {
    /// Tells the state of each Application now and whenever it changes, and ends when all are Synced and Healthy. An
    /// Application that does not exist yet is waited for.
    ///
    /// # Errors
    /// Yields G1116 with all reasons when `deadline` has passed, and G1111 if the cluster knows no Applications.
    pub fn wait_applications(
        &self,
        namespace: &str,
        names: &[String],
        deadline: Duration,
    ) -> impl Stream<Item = Result<AppState, Problem>> + Send + use<> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client(), namespace, &application());
        let events = watcher::watcher(api, watcher::Config::default()).default_backoff();
        let waiting = Waiting {
            cluster: self.clone(),
            events: Box::pin(events),
            states: names.iter().map(|name| (name.clone(), AppState::missing(name))).collect(),
            fresh: BTreeSet::new(),
            pending: VecDeque::new(),
            synced_once: false,
            deadline,
            end: Instant::now() + deadline,
            over: false,
        };
        stream::unfold(waiting, |mut waiting| async move { waiting.next().await.map(|item| (item, waiting)) })
    }

    /// Reads the state of one Application, with reasons if it is not ready.
    ///
    /// # Errors
    /// G1104 to G1108 if it cannot be read.
    pub async fn application(&self, namespace: &str, name: &str) -> Result<AppState, Problem> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client(), namespace, &application());
        let found =
            api.get_opt(name).await.map_err(|e| refused(format!("read the Application `{name}`"), &e))?;
        let Some(found) = found else { return Ok(AppState::missing(name)) };
        let mut state = AppState::of(&serde_json::to_value(found).unwrap_or_default());
        self.reasons(&mut state).await;
        Ok(state)
    }

    /// Asks Argo CD to look at an Application's source and objects now rather than at its next round.
    ///
    /// # Errors
    /// G1104 to G1108 if the Application cannot be changed.
    pub async fn refresh_application(&self, namespace: &str, name: &str) -> Result<(), Problem> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client(), namespace, &application());
        let patch = Patch::Merge(json!({"metadata": {"annotations": {REFRESH: "hard"}}}));
        let patched = api.patch(name, &PatchParams::default(), &patch).await;
        patched.map(drop).map_err(|e| refused(format!("have the Application `{name}` refreshed"), &e))
    }

    /// Waits until a Deployment, StatefulSet, DaemonSet or Job is rolled out.
    ///
    /// # Errors
    /// G1117 with the reasons if it fails or the deadline passes; G1111 if its kind is not served.
    pub async fn wait_workload(&self, workload: &ObjectRef, deadline: Duration) -> Result<(), Problem> {
        let api = self.mapping.api(workload).await?.ok_or_else(|| unknown_kind(workload))?;
        let mut states = Box::pin(watcher::watch_object(api, &workload.name).default_backoff());
        let mut last = "It is not there yet.".to_owned();
        let waited = tokio::time::timeout(deadline, async {
            while let Some(state) = states.next().await {
                let Ok(state) = state else { continue };
                let state = state.map(|live| serde_json::to_value(live).unwrap_or_default());
                match rollout(&workload.kind, state.as_ref()) {
                    Rollout::Done => return true,
                    Rollout::Failed(why) => {
                        last = why;
                        return false;
                    }
                    Rollout::Going(why) => last = why,
                }
            }
            false
        });
        if matches!(waited.await, Ok(true)) {
            return Ok(());
        }
        let mut problem = Problem::new("G1117", Kind::Timeout, format!("{workload} is not ready."))
            .because_of(last)
            .try_this(
                "`kubectl describe` and `kubectl logs` show more; run the command again once it is mended.",
            );
        if let Some(namespace) = &workload.namespace {
            problem.causes.extend(self.explain(namespace).await.unwrap_or_default());
        }
        Err(problem)
    }

    async fn reasons(&self, state: &mut AppState) {
        if state.health == "Healthy" || state.health == "Missing" {
            return;
        }
        if let Some(namespace) = &state.destination {
            state.reasons = self.explain(namespace).await.unwrap_or_default();
        }
    }
}

impl<S> Waiting<S>
where
    S: Stream<Item = watcher::Result<Event<DynamicObject>>> + Send,
{
    async fn next(&mut self) -> Option<Result<AppState, Problem>> {
        if self.over {
            return None;
        }
        loop {
            if let Some(state) = self.pending.pop_front() {
                return Some(Ok(state));
            }
            if self.synced_once && self.states.values().all(AppState::ready) {
                self.over = true;
                return None;
            }
            let next = (Instant::now() + LOOK_AGAIN).min(self.end);
            let event = tokio::time::timeout_at(next, self.events.next()).await;
            if Instant::now() >= self.end {
                self.over = true;
                return Some(Err(self.late().await));
            }
            match event {
                Ok(Some(Ok(event))) => self.take(event).await,
                Ok(Some(Err(watcher::Error::InitialListFailed(kube::Error::Api(status)))))
                    if matches!(status.code, 403 | 404) =>
                {
                    self.over = true;
                    return Some(Err(no_applications(&status)));
                }
                Ok(Some(Err(error))) => tracing::debug!(%error, "watching Applications"),
                Ok(None) => return None,
                Err(_) => self.look_again().await,
            }
        }
    }

    async fn take(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Init => self.fresh.clear(),
            Event::InitApply(object) => {
                self.fresh.extend(object.metadata.name.clone());
                self.put(&object).await;
            }
            Event::Apply(object) => self.put(&object).await,
            Event::Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                self.replace(AppState::missing(&name));
            }
            Event::InitDone => {
                let gone: Vec<String> =
                    self.states.keys().filter(|name| !self.fresh.contains(*name)).cloned().collect();
                for name in gone {
                    self.replace(AppState::missing(&name));
                    if !self.synced_once {
                        self.pending.push_back(AppState::missing(&name));
                    }
                }
                self.synced_once = true;
            }
        }
    }

    async fn put(&mut self, object: &DynamicObject) {
        if !object.metadata.name.as_ref().is_some_and(|name| self.states.contains_key(name)) {
            return;
        }
        let mut state = AppState::of(&serde_json::to_value(object).unwrap_or_default());
        self.cluster.reasons(&mut state).await;
        self.replace(state);
    }

    fn replace(&mut self, state: AppState) {
        if let Some(known) = self.states.get_mut(&state.name)
            && *known != state
        {
            known.clone_from(&state);
            self.pending.push_back(state);
        }
    }

    async fn look_again(&mut self) {
        let unready: Vec<AppState> = self.states.values().filter(|state| !state.ready()).cloned().collect();
        for mut state in unready {
            self.cluster.reasons(&mut state).await;
            self.replace(state);
        }
    }

    async fn late(&mut self) -> Problem {
        self.look_again().await;
        let unready: Vec<&AppState> = self.states.values().filter(|state| !state.ready()).collect();
        let names: Vec<&str> = unready.iter().map(|state| state.name.as_str()).collect();
        let what = format!("Not ready after {} s: {}.", self.deadline.as_secs(), names.join(", "));
        let mut problem = Problem::new("G1116", Kind::Timeout, what)
            .try_this("Mend what is named, then run the command again: it goes on where it stopped.");
        problem.causes = unready.iter().flat_map(|state| state.lines()).take(40).collect();
        problem
    }
}

fn no_applications(status: &kube::core::Status) -> Problem {
    if status.code == 403 {
        return refused("watch Applications", &kube::Error::Api(Box::new(status.clone())));
    }
    Problem::new("G1111", Kind::NotFound, "The cluster knows no Applications.")
        .because_of("Argo CD's definitions are not installed.")
        .try_this("Install Argo CD, then run the command again.")
}

fn application() -> ApiResource {
    ApiResource {
        group: "argoproj.io".into(),
        version: "v1alpha1".into(),
        api_version: "argoproj.io/v1alpha1".into(),
        kind: "Application".into(),
        plural: "applications".into(),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Rollout {
    Done,
    Going(String),
    Failed(String),
}

/// Where a workload stands; the rules are those of `kubectl rollout status`.
fn rollout(kind: &str, live: Option<&Value>) -> Rollout {
    let Some(live) = live else { return Rollout::Going("It is not there yet.".into()) };
    let number = |path: &str| live.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let condition = |kind: &str| list(live, "/status/conditions").iter().find(|c| c["type"] == kind);
    if kind == "Job" {
        let holds = |kind: &str| condition(kind).filter(|c| c["status"] == "True");
        return match (holds("Complete"), holds("Failed")) {
            (Some(_), _) => Rollout::Done,
            (_, Some(failed)) => {
                Rollout::Failed(failed["message"].as_str().unwrap_or("It failed.").to_owned())
            }
            _ => Rollout::Going("It has not ended.".into()),
        };
    }
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Rollout::Going("Its controller has not seen the newest change.".into());
    }
    if let Some(stuck) = condition("Progressing").filter(|c| c["reason"] == "ProgressDeadlineExceeded") {
        return Rollout::Failed(stuck["message"].as_str().unwrap_or("It makes no progress.").to_owned());
    }
    let (wanted, updated, available) = match kind {
        "DaemonSet" => (
            number("/status/desiredNumberScheduled"),
            number("/status/updatedNumberScheduled"),
            number("/status/numberAvailable"),
        ),
        _ => (
            live.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1),
            number("/status/updatedReplicas"),
            number("/status/availableReplicas"),
        ),
    };
    let old = if kind == "Deployment" { number("/status/replicas") - updated } else { 0 };
    if updated >= wanted && available >= wanted && old <= 0 {
        return Rollout::Done;
    }
    Rollout::Going(format!(
        "{updated} of {wanted} are up to date, {available} available, {} old.",
        old.max(0)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_tells_what_is_wrong() {
        let state = AppState::of(&json!({
            "metadata": {"name": "staging"},
            "spec": {"destination": {"namespace": "s"}},
            "status": {
                "sync": {"status": "OutOfSync", "revision": "abc"}, "health": {"status": "Degraded"},
                "operationState": {"phase": "Failed", "message": "one or more objects failed\nmore"},
                "conditions": [{"type": "SyncError", "message": "one or more objects failed"}],
                "resources": [
                    {"kind": "Service", "namespace": "s", "name": "a", "status": "Synced", "health": {"status": "Healthy"}},
                    {"kind": "Deployment", "namespace": "s", "name": "a", "status": "Synced",
                        "health": {"status": "Degraded", "message": "exceeded its progress deadline"}},
                    {"kind": "ConfigMap", "namespace": "s", "name": "b", "status": "OutOfSync"},
                ],
            },
        }));
        assert!(!state.ready());
        assert_eq!(state.message.as_deref(), Some("one or more objects failed"));
        let names: Vec<_> =
            state.unhealthy.iter().map(|one| (one.object.as_str(), one.state.as_str())).collect();
        assert_eq!(names, [("Deployment s/a", "Degraded"), ("ConfigMap s/b", "OutOfSync")]);
        let waits = json!({"metadata": {"name": "x", "annotations": {REFRESH: "hard"}},
            "status": {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}});
        assert!(!AppState::of(&waits).ready(), "asked to compare again and has not yet");
    }

    #[test]
    fn a_rollout_is_done_when_the_new_pods_serve() {
        let check = |kind: &str, live: Value, expected: fn(&Rollout) -> bool| {
            let state = rollout(kind, Some(&live));
            assert!(expected(&state), "{state:?}");
        };
        let done: fn(&Rollout) -> bool = |r| *r == Rollout::Done;
        let going: fn(&Rollout) -> bool = |r| matches!(r, Rollout::Going(_));
        let failed: fn(&Rollout) -> bool = |r| matches!(r, Rollout::Failed(_));
        let deployment = |seen: i64, all: i64, updated: i64, available: i64| {
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 2},
                "status": {"observedGeneration": seen, "replicas": all, "updatedReplicas": updated, "availableReplicas": available}})
        };
        check("Deployment", deployment(2, 2, 2, 2), done);
        check("Deployment", deployment(1, 2, 2, 2), going);
        check("Deployment", deployment(2, 3, 2, 3), going);
        check("Deployment", deployment(2, 2, 2, 1), going);
        let stuck = json!({"status": {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}});
        check("Deployment", stuck, failed);
        check("Job", json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}), done);
        check("Job", json!({"status": {"conditions": [{"type": "Failed", "status": "True"}]}}), failed);
        check(
            "DaemonSet",
            json!({"status": {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2}}),
            going,
        );
    }
}
