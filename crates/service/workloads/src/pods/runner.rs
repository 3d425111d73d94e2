//! The life of one pod: volumes, init containers, containers, and the end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use galley_sandbox::{Mount, PodHandle, PodSandboxSpec};
use k8s_openapi::api::core::v1::{Container, Pod, Service};
use kube::Api;
use kube::api::ListParams;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::board::{self, Board, Doing, Role};
use super::container::{Leftover, Shared, Task, Termination, hand_back};
use super::env::{Source, hostname};
use super::rules::{Restart, grace};
use super::volumes::{self, VolumeError, Volumes};
use super::{artifacts, collect, order};
use crate::events::Events;
use crate::logs::Live;
use crate::network::Network;
use crate::objects::{Context, name_of, namespace_of, uid_of};

/// What is missing before the containers can start is looked for again after this.
const RETRY: Duration = Duration::from_secs(1);
/// The longest that connections to a leaving pod are waited for before it is asked to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// For those who learn of endpoints by watching them.
const SETTLE: Duration = Duration::from_millis(300);
/// Handing back files is tried so long before the pod ends without.
const COLLECT_ATTEMPTS: u32 = 20;
/// Beyond its grace a container is killed; after this, it is given up.
const KILL_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs one pod.
pub(crate) struct Runner {
    pub cx: Arc<Context>,
    pub network: Arc<Network>,
    pub live: Live,
    /// The object, as it changes.
    pub pod: watch::Receiver<Arc<Pod>>,
    /// Galley stops.
    pub stop: CancellationToken,
    /// The object is gone.
    pub gone: CancellationToken,
}

/// Why the pod's life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Every container has ended.
    Finished,
    /// Deletion was asked for.
    Deleted,
    /// `activeDeadlineSeconds` have passed.
    Deadline,
    /// The object has vanished.
    Gone,
    /// Galley stops.
    Stopped,
}

/// What a pod's containers leave in the sandbox.
#[derive(Default)]
struct Leftovers {
    handle: Option<PodHandle>,
    /// Why it could not even begin.
    refused: Option<String>,
}

impl Runner {
    /// Runs the pod to its end. Statuses are written unless Galley stops or the object is gone.
    pub(crate) async fn run(mut self) {
        let pod = Arc::clone(&self.pod.borrow_and_update());
        let board = Arc::new(Board::resume(&pod, self.cx.now()));
        let termination = Termination::default();
        let containers = CancellationToken::new();
        let receiver = self.pod.clone();
        let mut life = Box::pin(live(Life {
            cx: Arc::clone(&self.cx),
            network: Arc::clone(&self.network),
            live: self.live.clone(),
            pod: Arc::clone(&pod),
            board: Arc::clone(&board),
            termination: termination.clone(),
            quiet: containers.clone(),
        }));
        let cx = Arc::clone(&self.cx);
        let mut end = None;
        let leftovers = {
            let writing = board::write_changes(&cx, &receiver, &board);
            tokio::pin!(writing);
            loop {
                tokio::select! {
                    leftovers = &mut life => break leftovers,
                    () = &mut writing => {}
                    reason = self.ending(&board, end), if !containers.is_cancelled() => {
                        if matches!(reason, End::Gone | End::Stopped) {
                            // Nobody reads statuses any more; only the containers are waited for.
                            containers.cancel();
                        }
                        self.begin_end(reason, &board, &termination).await;
                        end = Some(reason);
                    }
                    // Nothing to write to: the future is polled no further.
                    () = silence(&containers) => break life.await,
                }
            }
        };
        self.finish(end.unwrap_or(End::Finished), &board, leftovers).await;
    }

    /// Waits for a reason to end that is stronger than the present one.
    async fn ending(&mut self, board: &Board, present: Option<End>) -> End {
        let pod = Arc::clone(&self.pod.borrow());
        let deadline = async {
            let seconds =
                pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds).filter(|_| present.is_none());
            let Some(seconds) = seconds else { return std::future::pending().await };
            let started = board.read().start_time.0;
            let due = started.saturating_add(jiff::SignedDuration::from_secs(seconds));
            let left = due.map_or(jiff::SignedDuration::MAX, |due| due.duration_since(self.cx.clock.now()));
            tokio::time::sleep(left.try_into().unwrap_or(Duration::ZERO)).await;
        };
        let mut changes = self.pod.clone();
        let shorter = self.pod.borrow().metadata.deletion_grace_period_seconds;
        let deleted = async {
            loop {
                let now = Arc::clone(&changes.borrow_and_update());
                let deleting = now.metadata.deletion_timestamp.is_some();
                let again = present == Some(End::Deleted);
                // A second deletion may allow less time.
                if deleting && (!again || now.metadata.deletion_grace_period_seconds != shorter) {
                    return;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => End::Stopped,
            () = self.gone.cancelled() => End::Gone,
            () = deleted => End::Deleted,
            () = deadline => End::Deadline,
        }
    }

    async fn begin_end(&self, reason: End, board: &Board, termination: &Termination) {
        let pod = Arc::clone(&self.pod.borrow());
        match reason {
            End::Stopped => termination.begin(Duration::from_millis(self.cx.config.shutdown_grace_ms)),
            End::Gone => termination.begin(Duration::ZERO),
            End::Deadline => {
                let message = "Pod was active on the node longer than the specified deadline".to_owned();
                board.update(|state| state.failure = Some(("DeadlineExceeded".to_owned(), message)));
                termination.begin(grace(&pod));
            }
            End::Deleted | End::Finished => {
                if !termination.is_begun()
                    && let Some(ip) = board.read().ip
                {
                    self.drain(ip, grace(&pod)).await;
                }
                termination.begin(grace(&pod));
            }
        }
    }

    /// Waits until a leaving pod is no longer among the endpoints and its connections through the proxy have ended.
    async fn drain(&self, ip: std::net::Ipv4Addr, grace: Duration) {
        if !self.network.serves(ip) {
            return;
        }
        let drained = async {
            self.network.drained(ip).await;
            tokio::time::sleep(SETTLE).await;
        };
        tokio::select! {
            _ = tokio::time::timeout(DRAIN.min(grace), drained) => {}
            () = self.stop.cancelled() => {}
            () = self.gone.cancelled() => {}
        }
    }

    async fn finish(&self, end: End, board: &Board, leftovers: Leftovers) {
        let pod = Arc::clone(&self.pod.borrow());
        // Without a sandbox, nothing that the containers did means anything.
        let quiet = matches!(end, End::Gone | End::Stopped) || self.cx.sandbox.is_gone();
        if !quiet {
            if collect::is_asked(&pod) && !board.read().handed_back {
                self.hand_back_nothing(&pod).await;
            }
            board.update(|state| {
                state.finished = true;
                if let Some(message) = &leftovers.refused {
                    state.failure.get_or_insert(("UnsupportedPod".to_owned(), message.clone()));
                }
            });
            if let Err(error) = board::write(&self.cx, &pod, board).await {
                let error: &dyn std::error::Error = &error;
                tracing::error!(
                    pod = name_of(&pod.metadata),
                    error,
                    "the end of a pod could not be reported"
                );
            }
        }
        self.network.withdraw(uid_of(&pod.metadata));
        if let Some(handle) = &leftovers.handle {
            let dir = super::folder(&self.cx, &pod);
            clear_containers(&self.cx, &pod, board).await;
            let _ = self.cx.sandbox.remove_pod(handle).await;
            if end != End::Stopped && !self.cx.sandbox.is_gone() {
                super::delete(&dir).await;
            }
        }
    }

    /// Says that nothing was handed back, for a pod whose main container never ran.
    async fn hand_back_nothing(&self, pod: &Pod) {
        for _ in 1..=COLLECT_ATTEMPTS {
            let Err(error) = collect::collect_nothing(&self.cx, pod).await else { return };
            tracing::warn!(
                pod = name_of(&pod.metadata),
                error = &error as &dyn std::error::Error,
                "could not hand back files"
            );
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = self.gone.cancelled() => return,
                () = self.stop.cancelled() => return,
            }
        }
    }
}

async fn silence(token: &CancellationToken) {
    token.cancelled().await;
}

/// Removes every container of a pod from the sandbox.
async fn clear_containers(cx: &Context, pod: &Pod, board: &Board) {
    let dir = super::folder(cx, pod).join("containers");
    for record in board.read().containers {
        let id = format!("{}-{}-{}", uid_of(&pod.metadata), record.name, record.restarts);
        if let Err(error) = cx.sandbox.remove_container(&id, &dir.join(&id)).await {
            tracing::debug!(id, error = &error as &dyn std::error::Error, "could not remove a container");
        }
    }
}

/// What the life of a pod needs.
struct Life {
    cx: Arc<Context>,
    network: Arc<Network>,
    live: Live,
    pod: Arc<Pod>,
    board: Arc<Board>,
    termination: Termination,
    quiet: CancellationToken,
}

/// Runs all containers until they have ended for good.
async fn live(life: Life) -> Leftovers {
    let mut leftovers = Leftovers::default();
    let events = Arc::new(Events::about(&*life.pod));
    if let Some(message) = volumes::unsupported(&life.pod) {
        events.warn(&life.cx, "FailedMount", &message).await;
        leftovers.refused = Some(message);
        return leftovers;
    }
    let Some(handle) = life.sandbox(&events).await else { return leftovers };
    leftovers.handle = Some(handle.clone());
    life.network.announce(uid_of(&life.pod.metadata), handle.ip);
    life.board.update(|state| state.ip = Some(handle.ip));
    let services = life.services().await;
    let dir = super::folder(&life.cx, &life.pod);
    let volumes = match life.volumes(&handle, &services, &events).await {
        Ok(Some(volumes)) => volumes,
        Ok(None) => return leftovers,
        Err(message) => {
            leftovers.refused = Some(message);
            return leftovers;
        }
    };
    let inputs = match life.inputs(&volumes, &dir).await {
        Some(Ok(inputs)) => inputs,
        Some(Err(why)) => {
            let record = board::failed_preparation(why, &life.cx.now());
            life.board.update(|state| state.preparation = Some(record));
            return leftovers;
        }
        None => return leftovers,
    };
    let shared = Arc::new(Shared {
        cx: Arc::clone(&life.cx),
        pod: Arc::clone(&life.pod),
        handle,
        board: Arc::clone(&life.board),
        events,
        live: life.live.clone(),
        volumes,
        services,
        dir,
        inputs,
        quiet: life.quiet.clone(),
    });
    let sidecars_end = Termination::default();
    let mut sidecars = JoinSet::new();
    if life.initialize(&shared, &mut sidecars, &sidecars_end).await {
        life.run_main(&shared).await;
    }
    sidecars_end.begin(grace(&life.pod));
    let ended = async { while sidecars.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(grace(&life.pod) + KILL_TIMEOUT, ended).await;
    leftovers
}

impl Life {
    /// The pod's place in the sandbox; tried until it works or the pod is to stop.
    async fn sandbox(&self, events: &Events) -> Option<PodHandle> {
        loop {
            match self.cx.sandbox.create_pod(self.sandbox_spec()).await {
                Ok(handle) => return Some(handle),
                Err(error) => {
                    let message = format!("Failed to create pod sandbox: {error}");
                    events.warn(&self.cx, "FailedCreatePodSandBox", &message).await;
                }
            }
            if !self.pause().await {
                return None;
            }
        }
    }

    fn sandbox_spec(&self) -> PodSandboxSpec {
        let spec = self.pod.spec.clone().unwrap_or_default();
        let namespace = namespace_of(&self.pod.metadata);
        let domain = &self.cx.config.cluster_domain;
        let hostname = hostname(&self.pod);
        let aliases = spec.host_aliases.iter().flatten().flat_map(|alias| {
            let ip: Option<IpAddr> = alias.ip.parse().ok();
            let names = alias.hostnames.iter().flatten();
            names.filter_map(move |name| Some((ip?, name.clone()))).collect::<Vec<_>>()
        });
        let full = spec.subdomain.as_ref().map(|sub| format!("{hostname}.{sub}.{namespace}.svc.{domain}"));
        PodSandboxSpec {
            id: uid_of(&self.pod.metadata).to_owned(),
            hostname,
            dir: super::folder(&self.cx, &self.pod),
            hosts: aliases.collect(),
            search: vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()],
            aliases: full.into_iter().collect(),
        }
    }

    async fn services(&self) -> Vec<Service> {
        let api = Api::<Service>::namespaced(self.cx.client.clone(), namespace_of(&self.pod.metadata));
        match api.list(&ListParams::default()).await {
            Ok(list) => list.items,
            Err(error) => {
                tracing::warn!(%error, "could not list Services for a pod's environment");
                Vec::new()
            }
        }
    }

    /// The volumes; `None` if the pod is to stop meanwhile, an error if they can never be.
    async fn volumes(
        &self,
        handle: &PodHandle,
        services: &[Service],
        events: &Events,
    ) -> Result<Option<Volumes>, String> {
        let source = Source { cx: &self.cx, pod: &self.pod, ip: handle.ip, services };
        let dir = super::folder(&self.cx, &self.pod);
        loop {
            match volumes::prepare(&source, &dir).await {
                Ok(volumes) => return Ok(Some(volumes)),
                Err(VolumeError::NotYet(message)) => {
                    let message = format!("MountVolume.SetUp failed for {message}");
                    self.tell_waiting(&message);
                    events.warn(&self.cx, "FailedMount", &message).await;
                }
                Err(VolumeError::Unsupported(message)) => {
                    events.warn(&self.cx, "FailedMount", &message).await;
                    return Err(message);
                }
            }
            if !self.pause().await {
                return Ok(None);
            }
        }
    }

    /// The main container's input artifacts; `None` if the pod is to stop meanwhile.
    async fn inputs(&self, volumes: &Volumes, dir: &std::path::Path) -> Option<Result<Vec<Mount>, String>> {
        // Files of a container that has ended are not made again.
        if self.board.read().handed_back {
            return Some(Ok(Vec::new()));
        }
        tokio::select! {
            fetched = artifacts::fetch(&self.cx, &self.pod, volumes, dir) => Some(fetched),
            () = self.termination.begun() => None,
        }
    }

    /// Says of every container that has not begun what it waits for.
    fn tell_waiting(&self, why: &str) {
        self.board.update(|state| {
            for record in &mut state.containers {
                if let Doing::Waiting { message, .. } = &mut record.doing {
                    *message = Some(why.to_owned());
                }
            }
        });
    }

    async fn pause(&self) -> bool {
        tokio::select! {
            () = tokio::time::sleep(RETRY) => true,
            () = self.termination.begun() => false,
        }
    }

    /// Runs the init containers in order; `false` if the others must not start.
    async fn initialize(
        &self,
        shared: &Arc<Shared>,
        sidecars: &mut JoinSet<Option<Leftover>>,
        sidecars_end: &Termination,
    ) -> bool {
        let records = self.board.read().containers;
        let initialized = records.iter().any(|record| {
            record.role == Role::Main
                && (record.interrupted || record.last.is_some() || matches!(record.doing, Doing::Ended(_)))
        });
        let init = self.pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        for (index, container) in init.enumerate() {
            if records[index].role == Role::Sidecar {
                sidecars
                    .spawn(self.task(shared, index, container, Restart::Always, sidecars_end.clone()).run());
                if !self.started(index).await {
                    return false;
                }
                continue;
            }
            if initialized && matches!(records[index].doing, Doing::Ended(_)) {
                continue;
            }
            let restart =
                if Restart::of(&self.pod) == Restart::Never { Restart::Never } else { Restart::OnFailure };
            let task = self.task(shared, index, container, restart, self.termination.clone());
            if let Some(leftover) = task.run().await {
                let dir = shared.dir.join("containers").join(&leftover.id);
                let _ = self.cx.sandbox.remove_container(&leftover.id, &dir).await;
            }
            let well = matches!(&self.board.record(index).doing, Doing::Ended(ended) if ended.exit_code == 0);
            if !well || self.termination.is_begun() {
                return false;
            }
        }
        true
    }

    /// Waits until a sidecar has started; `false` if the pod is to stop meanwhile.
    async fn started(&self, index: usize) -> bool {
        let mut changes = self.board.subscribe();
        loop {
            if self.board.record(index).started {
                return true;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return false },
                () = self.termination.begun() => return false,
            }
        }
    }

    /// Runs the pod's own containers to their end, each after those that it waits for.
    async fn run_main(&self, shared: &Arc<Shared>) {
        let spec = self.pod.spec.clone().unwrap_or_default();
        let first = spec.init_containers.as_ref().map_or(0, Vec::len);
        let restart = Restart::of(&self.pod);
        let order = order::of(&self.pod);
        let mut tasks = JoinSet::new();
        let mut left = None;
        for (number, container) in spec.containers.iter().enumerate() {
            let index = first + number;
            let task = self.task(shared, index, container, restart, self.termination.clone());
            let before = order.get(&container.name).cloned().unwrap_or_default();
            let (board, now) = (Arc::clone(&self.board), self.cx.now());
            let termination = self.termination.clone();
            let (ends_all, grace) = (order::ends_all(&self.pod, &container.name), grace(&self.pod));
            tasks.spawn(async move {
                let turn = tokio::select! {
                    biased;
                    turn = order::turn(&board, &before) => turn,
                    () = termination.begun() => return (index, None),
                };
                let mut left = None;
                match turn {
                    Ok(()) => left = task.run().await,
                    Err(why) => order::pass_over(&board, index, why, &now),
                }
                if ends_all && !termination.is_begun() {
                    termination.begin(grace);
                }
                (index, left)
            });
        }
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok((index, Some(leftover))) if spec.containers[index - first].name == collect::MAIN => {
                    left = Some((index, leftover));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(pod = name_of(&self.pod.metadata), %error, "a container's task has failed");
                }
            }
        }
        if let (Some((index, leftover)), false) = (left, self.board.read().handed_back)
            && let Doing::Ended(ended) = self.board.record(index).doing
        {
            hand_back(shared, &ended, Some(&leftover)).await;
        }
    }

    fn task(
        &self,
        shared: &Arc<Shared>,
        index: usize,
        container: &Container,
        restart: Restart,
        termination: Termination,
    ) -> Task {
        Task { shared: Arc::clone(shared), index, container: container.clone(), restart, termination }
    }
}
