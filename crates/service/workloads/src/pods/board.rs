//! What is known of a pod that runs: its containers' states, from which its status is written.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;

use super::collect;
use super::status;
use crate::error::{Attempt, Error};
use crate::objects::{Context, RETRIES, name_of, namespace_of, uid_of};

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next one begins.
    Init,
    /// An init container that goes on running beside the others.
    Sidecar,
    /// One of the pod's own.
    Main,
}

/// What a container does now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Doing {
    Waiting { reason: String, message: Option<String> },
    Running { since: Time },
    Ended(ContainerStateTerminated),
}

/// A container's state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub name: String,
    pub image: String,
    pub image_id: String,
    pub container_id: Option<String>,
    pub role: Role,
    pub doing: Doing,
    pub last: Option<ContainerStateTerminated>,
    pub restarts: i32,
    pub ready: bool,
    pub started: bool,
    /// It was running when Galley stopped.
    pub interrupted: bool,
}

/// A pod's state.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub ip: Option<Ipv4Addr>,
    pub start_time: Time,
    /// Init containers in order, then the others.
    pub containers: Vec<Record>,
    /// The runtime's own work before the first container, if that failed.
    pub preparation: Option<Record>,
    /// What the main container hands back has been written.
    pub handed_back: bool,
    /// Nothing will change any more, and what is handed back has been written.
    pub finished: bool,
    /// Why the pod as a whole has failed: a reason and a sentence.
    pub failure: Option<(String, String)>,
}

/// The state, shared by everything that works on one pod.
pub(crate) struct Board {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Board {
    /// Takes over from the status that is stored: after a restart of Galley, containers that ran are `interrupted`.
    pub(crate) fn resume(pod: &Pod, now: Time) -> Board {
        let status = pod.status.clone().unwrap_or_default();
        let spec = pod.spec.clone().unwrap_or_default();
        let init = spec.init_containers.iter().flatten().map(|container| {
            let sidecar = container.restart_policy.as_deref() == Some("Always");
            (container, if sidecar { Role::Sidecar } else { Role::Init })
        });
        let all = init.chain(spec.containers.iter().map(|container| (container, Role::Main)));
        let stored: Vec<ContainerStatus> = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .flatten()
            .cloned()
            .collect();
        let mut containers: Vec<Record> = all
            .map(|(container, role)| {
                record(container, role, stored.iter().find(|one| one.name == container.name), &now)
            })
            .collect();
        // It had ended when Galley stopped; only its status was not written any more.
        let ended = collect::ended(pod).filter(|_| spec.restart_policy.as_deref() == Some("Never"));
        let handed_back = ended.is_some();
        let main = containers.iter_mut().find(|one| one.role == Role::Main && one.name == collect::MAIN);
        if let (Some(main), Some(ended)) = (main, ended) {
            main.doing = Doing::Ended(ended);
            main.last = None;
            main.interrupted = false;
        }
        let state = State {
            ip: None,
            start_time: status.start_time.unwrap_or(now),
            containers,
            preparation: None,
            handed_back,
            finished: false,
            failure: None,
        };
        Board { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }

    pub(crate) fn read(&self) -> State {
        self.lock().clone()
    }

    pub(crate) fn record(&self, index: usize) -> Record {
        self.lock().containers[index].clone()
    }

    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
        result
    }

    pub(crate) fn update_record<T>(&self, index: usize, change: impl FnOnce(&mut Record) -> T) -> T {
        self.update(|state| change(&mut state.containers[index]))
    }

    pub(crate) fn wait(&self, index: usize, reason: &str, message: Option<String>) {
        self.update_record(index, |record| {
            record.doing = Doing::Waiting { reason: reason.to_owned(), message };
            record.ready = false;
            record.started = false;
        });
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record of a preparation that failed.
pub(crate) fn failed_preparation(message: String, now: &Time) -> Record {
    let container = Container { name: "init".to_owned(), ..Container::default() };
    let mut record = record(&container, Role::Init, None, now);
    record.doing = Doing::Ended(ContainerStateTerminated {
        exit_code: 64,
        reason: Some("Error".to_owned()),
        message: Some(message),
        started_at: Some(now.clone()),
        finished_at: Some(now.clone()),
        ..ContainerStateTerminated::default()
    });
    record
}

fn record(container: &Container, role: Role, stored: Option<&ContainerStatus>, now: &Time) -> Record {
    let mut record = Record {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: String::new(),
        container_id: None,
        role,
        doing: Doing::Waiting { reason: waiting_reason(role), message: None },
        last: None,
        restarts: 0,
        ready: false,
        started: false,
        interrupted: false,
    };
    let Some(stored) = stored else { return record };
    record.image_id.clone_from(&stored.image_id);
    record.container_id.clone_from(&stored.container_id);
    record.restarts = stored.restart_count;
    record.last = stored.last_state.as_ref().and_then(|state| state.terminated.clone());
    let state = stored.state.clone().unwrap_or_default();
    if let Some(ended) = state.terminated {
        record.doing = Doing::Ended(ended);
    } else if let Some(running) = state.running {
        record.interrupted = true;
        record.last = Some(ContainerStateTerminated {
            exit_code: 137,
            reason: Some("GalleyStopped".to_owned()),
            message: Some("Galley itself was stopped; the container is started again.".to_owned()),
            started_at: running.started_at,
            finished_at: Some(now.clone()),
            container_id: stored.container_id.clone(),
            ..ContainerStateTerminated::default()
        });
    }
    record
}

fn waiting_reason(role: Role) -> String {
    if role == Role::Main { "ContainerCreating" } else { "PodInitializing" }.to_owned()
}

/// Writes the status after every change, until the future is dropped.
pub(crate) async fn write_changes(cx: &Context, pod: &watch::Receiver<Arc<Pod>>, board: &Board) {
    let mut changes = board.subscribe();
    changes.mark_changed();
    while changes.changed().await.is_ok() {
        let current = Arc::clone(&pod.borrow());
        if let Err(error) = write(cx, &current, board).await
            && !error.is_stale()
        {
            tracing::warn!(
                pod = name_of(&current.metadata),
                error = &error as &dyn std::error::Error,
                "could not write a status"
            );
        }
    }
}

/// Writes the status as it is now.
pub(crate) async fn write(cx: &Context, pod: &Pod, board: &Board) -> Result<(), Error> {
    let name = name_of(&pod.metadata);
    let api = Api::<Pod>::namespaced(cx.client.clone(), namespace_of(&pod.metadata));
    let mut pauses = RETRIES.iter();
    loop {
        let error = match try_write(cx, &api, name, uid_of(&pod.metadata), board).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let Some(pause) = pauses.next() else {
            return Err(error).attempt(|| format!("report the state of the pod `{name}`"));
        };
        tracing::debug!(pod = name, %error, "writing a status again");
        tokio::time::sleep(Duration::from_millis(*pause)).await;
    }
}

async fn try_write(cx: &Context, api: &Api<Pod>, name: &str, uid: &str, board: &Board) -> kube::Result<()> {
    let Some(mut stored) = api.get_opt(name).await? else { return Ok(()) };
    if uid_of(&stored.metadata) != uid {
        return Ok(());
    }
    let status = status::compute(&stored, &board.read(), cx);
    if stored.status.as_ref() == Some(&status) {
        return Ok(());
    }
    stored.status = Some(status);
    api.replace_status(name, &PostParams::default(), &stored).await.map(drop)
}
