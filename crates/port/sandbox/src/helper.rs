//! The sandbox's own process: one thread, one loop over the control socket and the children.
//!
//! It answers requests in order, never waits for a child in between, and ends - taking every container along - when
//! the control socket does.

mod child;
mod fabric;
mod identity;
mod netlink;
mod plain;
mod rootfs;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode as FileMode, OFlags, ResolveFlags, openat2};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::LinkNameSpaceType;

use self::child::{Ends, Said};
use self::fabric::{Abilities, Fabric, Pod};
use crate::proto::{Boot, Event, Exit, Failure, Op, Request, Step};
use crate::spec::{ContainerSpec, ExecSpec, Mount};
use crate::sys::{self, Forked};
use crate::wire;

/// The hidden argument that makes a process the helper.
pub(crate) const ARGUMENT: &str = "__galley-sandbox";
/// The most that one message of a child holds.
const MAX_SAID: usize = 64 << 10;

/// Becomes the sandbox's helper, and never returns, if the process was started as one; call it first in `main`,
/// before any thread exists. Otherwise returns at once.
pub fn run_helper_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT) {
        let code = i32::from(serve().is_err());
        std::process::exit(code);
    }
}

fn serve() -> std::io::Result<()> {
    // Standard input is the control socket; children must not get it.
    let control = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let _ = rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum },
    );
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let Some((body, _)) = wire::recv(&control)? else { return Ok(()) };
    let boot: Boot = serde_json::from_slice(&body)?;
    let fabric = if boot.namespaces { Fabric::make(&boot).map(Some) } else { Ok(None) };
    let (fabric, failure) = match fabric {
        Ok(fabric) => (fabric, None),
        Err(mut failure) => {
            failure.message = fabric::explain_refusal(&failure);
            (None, Some(failure))
        }
    };
    let failed = failure.is_some();
    let notices = fabric.as_ref().map_or_else(Vec::new, |fabric| notices(fabric.abilities));
    send(&control, &Event::Booted { failure, notices }, None)?;
    if failed {
        return Ok(());
    }
    let mut helper = Helper { control, fabric, pods: BTreeMap::new(), containers: BTreeMap::new() };
    let result = helper.run();
    helper.kill_everything();
    result
}

fn notices(abilities: Abilities) -> Vec<String> {
    let mut notices = Vec::new();
    if !abilities.overlay {
        notices.push(
            "The kernel refuses overlay filesystems here, so every container gets a copy of its image; starting takes longer."
                .to_owned(),
        );
    }
    if !abilities.proc {
        notices.push(
            "The kernel refuses a /proc of its own to containers here; they see the machine's processes."
                .to_owned(),
        );
    }
    if abilities.single_user {
        notices.push("Galley does not run as root, so all containers run as your own user, whatever user they ask for.".to_owned());
    }
    notices
}

fn send(control: &OwnedFd, event: &Event, fd: Option<BorrowedFd<'_>>) -> std::io::Result<()> {
    wire::send(control, &serde_json::to_vec(event)?, fd.as_slice())
}

/// The state of the loop.
struct Helper {
    control: OwnedFd,
    fabric: Option<Fabric>,
    pods: BTreeMap<String, Pod>,
    containers: BTreeMap<String, Container>,
}

/// A container, or a further process in one.
#[derive(Default)]
struct Container {
    process: Option<Process>,
    starting: Option<Starting>,
    pod: String,
    /// The root, the mount namespace and the pid namespace; they keep the files in reach after the process has ended.
    inside: Option<[OwnedFd; 3]>,
    /// For plain processes: the folder that stands for the root, and the mounts.
    folder: Option<(PathBuf, Vec<Mount>)>,
}

struct Process {
    pid: Pid,
    fd: OwnedFd,
}

/// A child that has not executed its program yet.
struct Starting {
    request: u64,
    report: OwnedFd,
    ready: bool,
    notices: Vec<String>,
}

/// What the loop woke up for.
enum Woken {
    Control,
    Report(String),
    Process(String),
}

impl Helper {
    fn run(&mut self) -> std::io::Result<()> {
        loop {
            for woken in self.wait()? {
                match woken {
                    Woken::Control => {
                        let Some((body, fds)) = wire::recv(&self.control)? else { return Ok(()) };
                        let request: Request = serde_json::from_slice(&body)?;
                        self.handle(request, fds)?;
                    }
                    Woken::Report(id) => self.hear(&id)?,
                    Woken::Process(id) => self.reap(&id)?,
                }
            }
            self.reap_orphans();
        }
    }

    fn wait(&self) -> std::io::Result<Vec<Woken>> {
        let mut fds = vec![PollFd::new(&self.control, PollFlags::IN)];
        let mut meaning = vec![Woken::Control];
        for (id, container) in &self.containers {
            // While a child is starting, what it says comes first: how it ended means nothing without that.
            if let Some(starting) = &container.starting {
                fds.push(PollFd::new(&starting.report, PollFlags::IN));
                meaning.push(Woken::Report(id.clone()));
            } else if let Some(process) = &container.process {
                fds.push(PollFd::new(&process.fd, PollFlags::IN));
                meaning.push(Woken::Process(id.clone()));
            }
        }
        loop {
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(meaning.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|(woken, _)| woken).collect())
    }

    fn handle(&mut self, request: Request, fds: Vec<OwnedFd>) -> std::io::Result<()> {
        let done = match request.op {
            Op::Socket { udp } => fresh_socket(udp).map(Some),
            Op::CreatePod { pod, hostname, address } => {
                self.create_pod(pod, &hostname, address).map(|()| None)
            }
            Op::RemovePod { pod } => {
                if let (Some(pod), Some(fabric)) = (self.pods.remove(&pod), &mut self.fabric) {
                    fabric.remove_pod(pod);
                }
                Ok(None)
            }
            Op::Start { pod, spec } => match self.start(request.id, pod, &spec, fds) {
                Ok(()) => return Ok(()),
                Err(failure) => Err(failure),
            },
            Op::Exec { spec } => match self.exec(request.id, &spec, fds) {
                Ok(()) => return Ok(()),
                Err(failure) => Err(failure),
            },
            Op::Signal { container, signal } => self.signal(&container, signal).map(|()| None),
            Op::Open { container, path } => self.open(&container, &path).map(Some),
            Op::Remove { container } => {
                self.remove(&container);
                Ok(None)
            }
        };
        self.reply(request.id, done, Vec::new())
    }

    fn reply(
        &self,
        id: u64,
        done: Result<Option<OwnedFd>, Failure>,
        notices: Vec<String>,
    ) -> std::io::Result<()> {
        let (fd, failure) = match done {
            Ok(fd) => (fd, None),
            Err(failure) => (None, Some(failure)),
        };
        send(&self.control, &Event::Reply { id, failure, notices }, fd.as_ref().map(AsFd::as_fd))
    }

    fn create_pod(&mut self, id: String, hostname: &str, address: std::net::Ipv4Addr) -> Result<(), Failure> {
        if let Some(fabric) = &mut self.fabric {
            let pod = fabric.create_pod(hostname, address)?;
            self.pods.insert(id, pod);
        }
        Ok(())
    }

    fn start(
        &mut self,
        request: u64,
        pod: String,
        spec: &ContainerSpec,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        if self.containers.contains_key(&spec.id) {
            return Err(refusal(format!("the container `{}` exists already", spec.id)));
        }
        let (report, ends) = ends(fds)?;
        let (namespaces, folder) = match &self.fabric {
            Some(_) => (libc::CLONE_NEWPID | libc::CLONE_NEWNS, None),
            None => (0, Some((plain::root(spec), spec.mounts.clone()))),
        };
        let pod_spaces = self.pods.get(&pod);
        if self.fabric.is_some() && pod_spaces.is_none() {
            return Err(refusal(format!("there is no pod `{pod}`")));
        }
        let pid = match sys::fork(namespaces).step("start a process")? {
            Forked::Parent(pid) => pid,
            Forked::Child => {
                drop(report);
                child::run(ends, |ends| match (&self.fabric, pod_spaces) {
                    (Some(fabric), Some(pod)) => child::contain(ends, spec, &pod.spaces, fabric.abilities),
                    _ => plain::run(ends, spec),
                })
            }
        };
        drop(ends);
        let container = Container { pod, folder, ..Container::default() };
        self.watch(spec.id.clone(), container, pid, report, request)
    }

    fn exec(&mut self, request: u64, spec: &ExecSpec, fds: Vec<OwnedFd>) -> Result<(), Failure> {
        let Some(container) = self.containers.get(&spec.container) else {
            return Err(refusal(format!("there is no container `{}`", spec.container)));
        };
        let (report, ends) = ends(fds)?;
        let pod = self.pods.get(&container.pod);
        let pid = match sys::fork(0).step("start a process")? {
            Forked::Parent(pid) => pid,
            Forked::Child => {
                drop(report);
                child::run(ends, |ends| match (&self.fabric, pod, &container.inside, &container.folder) {
                    (Some(fabric), Some(pod), Some(inside), _) => {
                        ends.die_with_parent()?;
                        pod.spaces.enter()?;
                        fabric::enter(inside[2].as_fd(), LinkNameSpaceType::ProcessID)?;
                        fabric::enter(inside[1].as_fd(), LinkNameSpaceType::Mount)?;
                        step_inside(ends, spec, fabric.abilities)
                    }
                    (_, _, _, Some((root, _))) => plain::join(ends, spec, root),
                    _ => Err(refusal("the container has not started".to_owned())),
                })
            }
        };
        drop(ends);
        let process = Container { pod: container.pod.clone(), ..Container::default() };
        self.watch(spec.id.clone(), process, pid, report, request)
    }

    fn watch(
        &mut self,
        id: String,
        mut container: Container,
        pid: Pid,
        report: OwnedFd,
        request: u64,
    ) -> Result<(), Failure> {
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).step("watch a process")?;
        container.process = Some(Process { pid, fd });
        container.starting = Some(Starting { request, report, ready: false, notices: Vec::new() });
        self.containers.insert(id, container);
        Ok(())
    }

    /// Takes what a starting child says; the end of its words is the beginning of its program.
    fn hear(&mut self, id: &str) -> std::io::Result<()> {
        let Some(container) = self.containers.get_mut(id) else { return Ok(()) };
        let Some(starting) = &mut container.starting else { return Ok(()) };
        let mut buffer = vec![0; MAX_SAID];
        let (read, fds) = wire::recv_with_fds(starting.report.as_fd(), &mut buffer)?;
        let said = (read > 0).then(|| serde_json::from_slice::<Said>(&buffer[..read])).transpose()?;
        let failure = match said {
            Some(Said::Ready) => {
                starting.ready = true;
                container.inside = fds.try_into().ok();
                return Ok(());
            }
            Some(Said::Notice(text)) => {
                starting.notices.push(text);
                return Ok(());
            }
            Some(Said::Failed(failure)) => Some(failure),
            None if starting.ready => None,
            None => Some(refusal("the process died while it was being set up".to_owned())),
        };
        let Some(starting) = container.starting.take() else { return Ok(()) };
        if failure.is_some() {
            self.remove(id);
        }
        self.reply(starting.request, failure.map_or(Ok(None), Err), starting.notices)
    }

    /// Takes the exit status of a container's first process.
    fn reap(&mut self, id: &str) -> std::io::Result<()> {
        let Some(container) = self.containers.get_mut(id) else { return Ok(()) };
        let Some(process) = &container.process else { return Ok(()) };
        let Ok(Some((pid, status))) = rustix::process::waitpid(Some(process.pid), WaitOptions::NOHANG) else {
            return Ok(());
        };
        if container.folder.is_some() {
            // A pid namespace takes its members along; a process group must be told.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
        container.process = None;
        let exit = match status.terminating_signal() {
            Some(signal) => Exit { code: 128 + signal, signal: Some(signal) },
            None => Exit { code: status.exit_status().unwrap_or(255), signal: None },
        };
        send(&self.control, &Event::Exited { container: id.to_owned(), exit }, None)
    }

    /// Reaps what children of plain containers have left behind.
    fn reap_orphans(&mut self) {
        let known = |pid: Pid, all: &BTreeMap<String, Container>| {
            all.values().any(|container| container.process.as_ref().is_some_and(|process| process.pid == pid))
        };
        let options = rustix::process::WaitIdOptions::EXITED
            | rustix::process::WaitIdOptions::NOHANG
            | rustix::process::WaitIdOptions::NOWAIT;
        if self.fabric.is_some() {
            return;
        }
        while let Ok(Some(_)) = rustix::process::waitid(rustix::process::WaitId::All, options) {
            // Which one it is can only be asked by taking it, so look at the orphans by their parent instead.
            let orphans: Vec<Pid> =
                children().into_iter().filter(|pid| !known(*pid, &self.containers)).collect();
            let reaped = orphans
                .iter()
                .filter(|pid| {
                    matches!(rustix::process::waitpid(Some(**pid), WaitOptions::NOHANG), Ok(Some(_)))
                })
                .count();
            if reaped == 0 {
                return;
            }
        }
    }

    fn signal(&mut self, id: &str, signal: i32) -> Result<(), Failure> {
        let Some(container) = self.containers.get(id) else { return Ok(()) };
        let Some(process) = &container.process else { return Ok(()) };
        let signal =
            Signal::from_named_raw(signal).ok_or_else(|| refusal(format!("there is no signal {signal}")))?;
        let sent = if container.folder.is_some() && container.starting.is_none() {
            rustix::process::kill_process_group(process.pid, signal)
        } else {
            rustix::process::pidfd_send_signal(&process.fd, signal)
        };
        match sent {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => other.step("send a signal"),
        }
    }

    fn open(&self, id: &str, path: &str) -> Result<OwnedFd, Failure> {
        let Some(container) = self.containers.get(id) else {
            return Err(refusal(format!("there is no container `{id}`")));
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let step = || format!("open `{path}` of the container");
        let open = |root: BorrowedFd<'_>, path: &std::path::Path| {
            openat2(root, path, flags, FileMode::empty(), resolve).step(step())
        };
        if let Some([root, ..]) = &container.inside {
            return open(root.as_fd(), std::path::Path::new(path));
        }
        let Some((root, mounts)) = &container.folder else {
            return Err(refusal("the container has not started".to_owned()));
        };
        let (folder, rest) = plain::outside(root, mounts, path);
        let folder = File::open(&folder).step(step())?;
        match rest.as_os_str().is_empty() {
            true => Ok(folder.into()),
            false => open(folder.as_fd(), &rest),
        }
    }

    fn remove(&mut self, id: &str) {
        let Some(container) = self.containers.remove(id) else { return };
        if let Some(process) = container.process {
            let _ = rustix::process::pidfd_send_signal(&process.fd, Signal::KILL);
            if container.folder.is_some() {
                let _ = rustix::process::kill_process_group(process.pid, Signal::KILL);
            }
            // SIGKILL has been sent, so this does not wait for the program's consent.
            let _ = rustix::process::waitpid(Some(process.pid), WaitOptions::empty());
        }
    }

    fn kill_everything(&mut self) {
        for id in self.containers.keys().cloned().collect::<Vec<_>>() {
            self.remove(&id);
        }
        for pid in children() {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

/// Forks once more, because only children enter a pid namespace, and ends as the grandchild ends.
fn step_inside(
    ends: &mut Ends,
    spec: &ExecSpec,
    abilities: Abilities,
) -> Result<std::convert::Infallible, Failure> {
    let pid = match sys::fork(0).step("start a process")? {
        Forked::Child => return child::join(ends, spec, abilities),
        Forked::Parent(pid) => pid,
    };
    // The grandchild does the talking; the helper hears its program begin when both ends are closed.
    ends.report = None;
    ends.output = None;
    let status = rustix::process::waitpid(Some(pid), WaitOptions::empty()).step("wait for a process")?;
    let code = status.map_or(255, |(_, status)| {
        status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(255)
    });
    sys::exit_now(code)
}

fn ends(fds: Vec<OwnedFd>) -> Result<(OwnedFd, Ends), Failure> {
    let [stdout, stderr]: [OwnedFd; 2] =
        fds.try_into().map_err(|_| refusal("standard output and error are missing".to_owned()))?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .step("make a socket pair")?;
    Ok((ours, Ends { report: Some(theirs), output: Some((stdout, stderr)) }))
}

fn fresh_socket(udp: bool) -> Result<OwnedFd, Failure> {
    let kind = if udp { SocketType::DGRAM } else { SocketType::STREAM };
    socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
        .step("make a socket")
}

fn refusal(message: String) -> Failure {
    Failure { step: "sandbox".to_owned(), message, errno: 0 }
}

/// The helper's children, orphans included.
fn children() -> Vec<Pid> {
    let own = rustix::process::getpid().as_raw_pid();
    let text = std::fs::read_to_string(format!("/proc/self/task/{own}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw)).collect()
}
