//! One container: image, start, probes, end, and again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use galley_sandbox::{ContainerSpec, ExecSpec, Exit, Mount, PodHandle, Running};
use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, LifecycleHandler, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Doing, Role};
use super::env::Source;
use super::probe::{self, Finding, Target};
use super::rules::{
    Restart, command, grace, kubernetes_duration, pull_policy, repository, stop_signal, user,
};
use super::volumes::Volumes;
use super::{artifacts, collect, order};
use crate::events::Events;
use crate::images::PreparedImage;
use crate::logs::{Live, pod_folder};
use crate::network::hosts_file;
use crate::objects::{Context, name_of, namespace_of, uid_of};

/// A container that has run so long starts again without a pause.
const RESET: Duration = Duration::from_secs(600);
/// What is missing (a ConfigMap, a Secret) is looked for again after this.
const RETRY: Duration = Duration::from_secs(1);
const MESSAGE_LIMIT: u64 = 4096;
/// The annotation that asks for a first process above the programs of a pod.
const FIRST_PROCESS: &str = "runtime.galley.dev/first-process";
/// Handing back files is tried so often before the pod ends without.
const COLLECT_ATTEMPTS: u32 = 20;

/// A request to stop, with the time that is left for it.
#[derive(Clone, Default)]
pub(crate) struct Termination {
    token: CancellationToken,
    deadline: Arc<Mutex<Option<Instant>>>,
}

impl Termination {
    pub(crate) fn begin(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let mut current = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(current.map_or(deadline, |old| old.min(deadline)));
        drop(current);
        self.token.cancel();
    }

    pub(crate) async fn begun(&self) {
        self.token.cancelled().await;
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    fn left(&self) -> Duration {
        let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

/// What all containers of a pod share.
pub(crate) struct Shared {
    pub cx: Arc<Context>,
    pub pod: Arc<Pod>,
    pub handle: PodHandle,
    pub board: Arc<Board>,
    pub events: Arc<Events>,
    pub live: Live,
    pub volumes: Volumes,
    pub services: Vec<Service>,
    pub dir: PathBuf,
    /// What the container `main` sees of its artifacts.
    pub inputs: Vec<Mount>,
    /// Nobody reads statuses any more: Galley stops, or the object is gone.
    pub quiet: CancellationToken,
}

/// One container of a pod.
pub(crate) struct Task {
    pub shared: Arc<Shared>,
    /// Its place on the board.
    pub index: usize,
    pub container: Container,
    pub restart: Restart,
    pub termination: Termination,
}

/// How an attempt ended.
struct Ended {
    state: ContainerStateTerminated,
    /// The container in the sandbox, if it was started.
    id: Option<String>,
}

/// What a finished container leaves: its id in the sandbox and its log.
#[derive(Clone, Debug)]
pub(crate) struct Leftover {
    pub id: String,
    pub log: PathBuf,
}

impl Task {
    /// Runs the container until it has ended for good, or was asked to stop. What the last attempt left in the
    /// sandbox stays there, for its files.
    pub(crate) async fn run(self) -> Option<Leftover> {
        let record = self.shared.board.record(self.index);
        if let Doing::Ended(ended) = &record.doing
            && !self.restart.applies(ended.exit_code)
        {
            return None;
        }
        let mut again = matches!(record.doing, Doing::Ended(_)) || record.last.is_some();
        let mut pause = Duration::ZERO;
        let mut leftover: Option<Leftover> = None;
        loop {
            if again {
                self.shared.board.update_record(self.index, |record| record.restarts += 1);
            }
            if let Some(old) = leftover.take() {
                self.discard(&old.id).await;
            }
            let begun = Instant::now();
            let ended = self.attempt().await?;
            leftover = ended.id.clone().map(|id| Leftover { log: self.log_path(), id });
            let code = ended.state.exit_code;
            let again_then = !self.termination.is_begun() && self.restart.applies(code);
            // With others beside it the pod's work is done only when they have ended, too.
            if !again_then && self.is_main() && order::is_last(&self.shared.pod) {
                hand_back(&self.shared, &ended.state, leftover.as_ref()).await;
            }
            self.shared.board.update_record(self.index, |record| {
                record.doing = Doing::Ended(ended.state);
                record.ready = false;
                record.started = false;
            });
            if self.termination.is_begun() || !self.restart.applies(code) {
                return leftover;
            }
            again = true;
            pause = if begun.elapsed() >= RESET { Duration::ZERO } else { pause };
            if !self.back_off(pause).await {
                return leftover;
            }
            pause = self.longer(pause);
        }
    }

    fn is_main(&self) -> bool {
        self.container.name == collect::MAIN && self.shared.board.record(self.index).role == Role::Main
    }

    fn longer(&self, pause: Duration) -> Duration {
        let config = &self.shared.cx.config;
        let initial = Duration::from_millis(config.back_off_initial_ms);
        (pause * 2).clamp(initial, Duration::from_millis(config.back_off_limit_ms).max(initial))
    }

    /// Waits before the next attempt; `false` if the pod is to stop meanwhile.
    async fn back_off(&self, pause: Duration) -> bool {
        let name = &self.container.name;
        self.shared.board.update_record(self.index, |record| {
            if let Doing::Ended(ended) = &record.doing {
                record.last = Some(ended.clone());
            }
        });
        if pause.is_zero() {
            return !self.termination.is_begun();
        }
        let pod = name_of(&self.shared.pod.metadata);
        let message = format!(
            "back-off {} restarting failed container={name} pod={pod}_{}({})",
            kubernetes_duration(pause),
            namespace_of(&self.shared.pod.metadata),
            uid_of(&self.shared.pod.metadata)
        );
        self.shared.board.wait(self.index, "CrashLoopBackOff", Some(message));
        self.shared
            .events
            .warn(
                &self.shared.cx,
                "BackOff",
                &format!("Back-off restarting failed container {name} in pod {pod}"),
            )
            .await;
        self.sleep(pause).await
    }

    /// Sleeps; `false` if the pod is to stop meanwhile.
    async fn sleep(&self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.termination.begun() => false,
        }
    }

    /// One attempt: from the image to the end. `None` if the pod was asked to stop before the start.
    async fn attempt(&self) -> Option<Ended> {
        let image = self.image().await?;
        let spec = self.spec(&image).await?;
        let id = spec.id.clone();
        let started = self.shared.cx.now();
        let log = spec.log.clone();
        self.shared.live.begin(&log);
        let user = spec.user.clone();
        let (env, working_dir) = (spec.env.clone(), spec.working_dir.clone());
        let running = match self.shared.cx.sandbox.start_container(&self.shared.handle, spec).await {
            Ok(running) => running,
            Err(error) => {
                self.shared.live.end(&log);
                return Some(self.failed_start(&error, &started).await);
            }
        };
        for notice in &running.notices {
            self.shared.events.warn(&self.shared.cx, "NotAsAsked", notice).await;
        }
        self.shared.board.update_record(self.index, |record| {
            record.doing = Doing::Running { since: started.clone() };
            record.container_id = Some(format!("galley://{id}"));
        });
        let name = &self.container.name;
        self.shared
            .events
            .write(&self.shared.cx, "Normal", "Started", &format!("Started container {name}"))
            .await;
        let exec =
            ExecSpec { id: id.clone(), container: id.clone(), args: Vec::new(), env, working_dir, user };
        let target = Target {
            sandbox: &self.shared.cx.sandbox,
            ip: self.shared.handle.ip,
            container: &self.container,
            exec,
        };
        let exit = self.supervise(running, &target).await;
        self.shared.live.end(&log);
        if self.shared.cx.sandbox.is_gone() {
            // It was not the container that ended; it will be started again when there is a sandbox.
            return None;
        }
        let state = self.terminated(&id, exit, started).await;
        Some(Ended { state, id: Some(id) })
    }

    /// Waits for the end; stops the container if a probe or the pod demands it.
    async fn supervise(&self, running: Running, target: &Target<'_>) -> Exit {
        let (findings, mut found) = tokio::sync::mpsc::channel(16);
        let tell = |finding: Finding| {
            if let Finding::Failed { .. } = &finding {
                let _ = findings.try_send(finding);
                return;
            }
            self.shared.board.update_record(self.index, |record| match finding {
                Finding::Started => record.started = true,
                Finding::Ready(ready) => record.ready = ready,
                Finding::Failed { .. } => {}
            });
        };
        let mut exit = Box::pin(running.wait());
        if let Some(handler) = self.container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) {
            self.hook("FailedPostStartHook", handler, target).await;
        }
        let events = async {
            while let Some(Finding::Failed { probe, message }) = found.recv().await {
                let text = format!("{probe} probe failed: {message}");
                self.shared.events.warn(&self.shared.cx, "Unhealthy", &text).await;
            }
            std::future::pending::<()>().await;
        };
        let grace = tokio::select! {
            exit = &mut exit => return exit,
            () = self.termination.begun() => None,
            message = probe::watch(target, &tell) => {
                self.shared.events.write(&self.shared.cx, "Normal", "Killing", &message).await;
                Some(self.own_grace())
            }
            () = events => None,
        };
        self.shared.board.update_record(self.index, |record| record.ready &= grace.is_none());
        self.stop(exit, target, grace).await
    }

    /// Asks the container to end, and kills it when its time is up.
    async fn stop(
        &self,
        mut exit: std::pin::Pin<Box<impl Future<Output = Exit>>>,
        target: &Target<'_>,
        grace: Option<Duration>,
    ) -> Exit {
        let deadline = Instant::now() + grace.unwrap_or_else(|| self.termination.left());
        let sandbox = &self.shared.cx.sandbox;
        let id = &target.exec.container;
        if let Some(handler) = self.container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref()) {
            let hook = self.hook("FailedPreStopHook", handler, target);
            tokio::select! {
                exit = &mut exit => return exit,
                _ = tokio::time::timeout_at(deadline, hook) => {}
            }
        }
        let _ = sandbox.signal(id, stop_signal(&self.container)).await;
        loop {
            // The deadline may come nearer: a second request to stop may allow less.
            let deadline = if grace.is_some() {
                deadline
            } else {
                deadline.min(Instant::now() + self.termination.left())
            };
            let slice = deadline.min(Instant::now() + Duration::from_millis(500));
            match tokio::time::timeout_at(slice, &mut exit).await {
                Ok(exit) => return exit,
                Err(_) if Instant::now() >= deadline => break,
                Err(_) => {}
            }
        }
        let _ = sandbox.kill(id).await;
        exit.await
    }

    async fn hook(&self, reason: &str, handler: &LifecycleHandler, target: &Target<'_>) {
        let done = if let Some(exec) = &handler.exec {
            probe::run(target, exec.command.clone().unwrap_or_default()).await
        } else if let Some(http) = &handler.http_get {
            probe::http_get(target, http).await
        } else if let Some(sleep) = &handler.sleep {
            tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
            Ok(())
        } else {
            Err("hooks of this kind are not supported".to_owned())
        };
        if let Err(message) = done {
            self.shared.events.warn(&self.shared.cx, reason, &message).await;
        }
    }

    fn own_grace(&self) -> Duration {
        grace(&self.shared.pod)
    }

    async fn failed_start(&self, error: &galley_sandbox::Error, started: &Time) -> Ended {
        let message = format!("failed to start container \"{}\": {error}", self.container.name);
        self.shared.events.warn(&self.shared.cx, "Failed", &format!("Error: {message}")).await;
        let state = ContainerStateTerminated {
            exit_code: if error.is_exec_failure() { 127 } else { 128 },
            reason: Some("StartError".to_owned()),
            message: Some(message),
            started_at: Some(started.clone()),
            finished_at: Some(self.shared.cx.now()),
            ..ContainerStateTerminated::default()
        };
        Ended { state, id: None }
    }

    async fn terminated(&self, id: &str, exit: Exit, started: Time) -> ContainerStateTerminated {
        let path = self.container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
        let message = self.shared.cx.sandbox.read_file(id, path, MESSAGE_LIMIT).await.ok();
        let message =
            message.map(|text| String::from_utf8_lossy(&text).into_owned()).filter(|text| !text.is_empty());
        ContainerStateTerminated {
            exit_code: exit.code,
            reason: Some(if exit.code == 0 { "Completed" } else { "Error" }.to_owned()),
            message,
            started_at: Some(started),
            finished_at: Some(self.shared.cx.now()),
            container_id: Some(format!("galley://{id}")),
            // As containerd: the signal shows in the exit code only.
            signal: None,
        }
    }

    /// The image; waits, and tells, as long as it is not there. `None` if the pod is to stop meanwhile.
    async fn image(&self) -> Option<PreparedImage> {
        let reference = self.container.image.clone().unwrap_or_default();
        let policy = pull_policy(&self.container, &reference);
        let mut pause = Duration::ZERO;
        loop {
            let prepared = tokio::select! {
                prepared = self.shared.cx.images.prepare(&reference, policy) => prepared,
                () = self.termination.begun() => return None,
            };
            let error = match prepared {
                Ok(image) => {
                    let image_id = format!("{}@{}", repository(&reference), image.digest);
                    self.shared.board.update_record(self.index, |record| record.image_id = image_id);
                    return Some(image);
                }
                Err(error) => error,
            };
            let message = format!("Failed to pull image \"{reference}\": {}", error.message);
            self.shared.events.warn(&self.shared.cx, "Failed", &message).await;
            self.shared.board.wait(self.index, &error.reason, Some(error.message));
            pause = self.longer(pause);
            if !self.sleep(RETRY.min(pause)).await {
                return None;
            }
            let text = format!("Back-off pulling image \"{reference}\"");
            self.shared.board.wait(self.index, "ImagePullBackOff", Some(text));
            if !self.sleep(pause.saturating_sub(RETRY)).await {
                return None;
            }
        }
    }

    /// What to start; waits, and tells, as long as something is missing.
    async fn spec(&self, image: &PreparedImage) -> Option<ContainerSpec> {
        loop {
            match self.try_spec(image).await {
                Ok(spec) => return Some(spec),
                Err(message) => {
                    self.shared.board.wait(self.index, "CreateContainerConfigError", Some(message.clone()));
                    self.shared.events.warn(&self.shared.cx, "Failed", &format!("Error: {message}")).await;
                }
            }
            if !self.sleep(RETRY).await {
                return None;
            }
        }
    }

    async fn try_spec(&self, image: &PreparedImage) -> Result<ContainerSpec, String> {
        let shared = &*self.shared;
        let source =
            Source { cx: &shared.cx, pod: &shared.pod, ip: shared.handle.ip, services: &shared.services };
        let mut env = source.environment(&self.container, &image.env).await?;
        if let Some(path) = &shared.volumes.kubeconfig {
            env.push(("KUBECONFIG".to_owned(), path.display().to_string()));
            env.push(("GALLEY_HOSTS".to_owned(), hosts_file(&shared.cx).display().to_string()));
        }
        let id = self.id();
        let log = self.log_path();
        if let Some(parent) = log.parent() {
            std::fs::create_dir_all(parent).map_err(|error| error.to_string())?;
        }
        let mut mounts = shared.volumes.mounts(&self.container, &env)?;
        if self.is_main() {
            mounts.splice(0..0, shared.inputs.iter().cloned());
        }
        let security = self.container.security_context.clone().unwrap_or_default();
        Ok(ContainerSpec {
            dir: shared.dir.join("containers").join(&id),
            id,
            layers: image.layers.clone(),
            args: command(&self.container, image, &env),
            mounts,
            env,
            working_dir: self.container.working_dir.clone().unwrap_or_else(|| image.working_dir.clone()),
            user: user(&shared.pod, &self.container, image)?,
            first_process: collect::annotation(&shared.pod, FIRST_PROCESS) == Some("true"),
            read_only_root: security.read_only_root_filesystem.unwrap_or(false),
            drop_capabilities: security.capabilities.and_then(|all| all.drop).unwrap_or_default(),
            log,
            log_limit: shared.cx.config.log_limit,
        })
    }

    fn id(&self) -> String {
        let restarts = self.shared.board.record(self.index).restarts;
        format!("{}-{}-{restarts}", uid_of(&self.shared.pod.metadata), self.container.name)
    }

    fn log_path(&self) -> PathBuf {
        let meta = &self.shared.pod.metadata;
        let logs = self.shared.cx.config.state_dir.join("logs");
        let folder = pod_folder(&logs, namespace_of(meta), name_of(meta), uid_of(meta));
        let restarts = self.shared.board.record(self.index).restarts;
        folder.join(&self.container.name).join(format!("{restarts}.log"))
    }

    async fn discard(&self, id: &str) {
        let dir = self.shared.dir.join("containers").join(id);
        if let Err(error) = self.shared.cx.sandbox.remove_container(id, &dir).await {
            tracing::debug!(id, error = &error as &dyn std::error::Error, "could not remove a container");
        }
    }
}

/// Hands back what was asked for. Where the main container stands alone its end is told only after that: whoever sees it
/// finds everything, and what was handed back is not made again when Galley is killed in between.
pub(crate) async fn hand_back(
    shared: &Shared,
    ended: &ContainerStateTerminated,
    leftover: Option<&Leftover>,
) {
    let pod = &*shared.pod;
    if !collect::is_asked(pod) || shared.quiet.is_cancelled() || shared.cx.sandbox.is_gone() {
        return;
    }
    let kept = match leftover {
        Some(left) => artifacts::keep(&shared.cx, pod, &left.id, &shared.dir).await,
        None => None,
    };
    for attempt in 1..=COLLECT_ATTEMPTS {
        let written = match leftover {
            Some(left) => {
                collect::collect(&shared.cx, pod, (&left.id, &left.log), kept.as_ref(), ended).await
            }
            None => collect::collect_nothing(&shared.cx, pod).await,
        };
        let Err(error) = written else {
            shared.board.update(|state| state.handed_back = true);
            return;
        };
        tracing::warn!(
            pod = name_of(&pod.metadata),
            attempt,
            error = &error as &dyn std::error::Error,
            "could not hand back files"
        );
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = shared.quiet.cancelled() => return,
        }
    }
}
