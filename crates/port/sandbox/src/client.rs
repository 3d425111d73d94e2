//! Galley's end of the sandbox: requests to the helper, and the containers' outputs.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::Error;
use crate::files::{create_dir, file_error, remove_tree, write_pod_files};
use crate::helper::ARGUMENT;
use crate::log::{self, Sink};
use crate::network::Network;
use crate::proto::{Boot, Event, Exit, Failure, Op, Request};
use crate::spec::{Config, ContainerSpec, ExecSpec, Mode, Mount, PodSandboxSpec, Report};
use crate::wire;

/// How long a connection to a pod may take to be made: everything is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the output of an ended container is waited for; a stray process may hold the pipe for ever.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(2);
/// Requests that wait for the helper's socket.
const QUEUE: usize = 64;
/// The variable that names a hosts file to plain processes.
const HOSTS: &str = "GALLEY_HOSTS";
const BACKLOG: u32 = 1024;
const LAST_POD: u16 = 65_000;

/// The sandbox; clones are handles to the same one, and the last one that is dropped ends it.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    mode: Mode,
    requests: mpsc::Sender<Outgoing>,
    shared: Arc<Mutex<Shared>>,
    /// Becomes true when the helper has ended.
    gone: watch::Receiver<bool>,
}

struct Outgoing {
    body: Vec<u8>,
    fds: Vec<OwnedFd>,
}

type Answer = (Result<(), Failure>, Vec<OwnedFd>, Vec<String>);

/// What the reader thread delivers to.
#[derive(Default)]
struct Shared {
    gone: bool,
    next_id: u64,
    replies: HashMap<u64, oneshot::Sender<Answer>>,
    exits: HashMap<String, oneshot::Sender<Exit>>,
    addresses: BTreeSet<u16>,
    last_address: u16,
}

/// A pod's place in the sandbox.
#[derive(Clone, Debug)]
pub struct PodHandle {
    /// The id it was made with.
    pub id: String,
    /// Its address.
    pub ip: Ipv4Addr,
    files: Vec<Mount>,
}

/// A started container or process.
pub struct Running {
    /// The id it was started with.
    pub id: String,
    /// What is not as it was asked for; full sentences.
    pub notices: Vec<String>,
    exit: oneshot::Receiver<Exit>,
    output: Output,
}

enum Output {
    Log(tokio::task::JoinHandle<io::Result<()>>),
    Text(tokio::task::JoinHandle<Vec<u8>>),
}

impl Sandbox {
    /// Starts the helper; in [`Mode::Auto`] falls back to plain processes where the kernel refuses namespaces.
    ///
    /// # Errors
    /// [`Error::Helper`] if the program cannot be started, [`Error::Refused`] if namespaces were demanded in vain.
    pub async fn start(config: Config) -> Result<(Sandbox, Report), Error> {
        create_dir(&config.state_dir)?;
        let result = tokio::task::spawn_blocking(move || match config.mode {
            Mode::Plain => Self::boot(config, Mode::Plain),
            Mode::Namespaces => Self::boot(config, Mode::Namespaces),
            Mode::Auto => match Self::boot(config.clone(), Mode::Namespaces) {
                Err(Error::Refused { reason }) => {
                    let (sandbox, mut report) = Self::boot(config, Mode::Plain)?;
                    report.notices.insert(0, format!("Namespaces are refused here ({reason})"));
                    Ok((sandbox, report))
                }
                other => other,
            },
        });
        result.await.map_err(|_| Error::Gone)?
    }

    fn boot(config: Config, mode: Mode) -> Result<(Sandbox, Report), Error> {
        let failed = |source| Error::Helper { program: config.helper.clone(), source };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let child = Command::new(&config.helper)
            .arg(ARGUMENT)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .env_clear()
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let boot = Boot { namespaces: mode == Mode::Namespaces, scratch: config.state_dir.clone() };
        let booted = wire::send(&ours, &serde_json::to_vec(&boot).map_err(|e| failed(e.into()))?, &[])
            .and_then(|()| wire::recv(&ours))
            .and_then(|frame| frame.ok_or_else(|| io::Error::other("it ended at once")))
            .and_then(|(body, _)| Ok(serde_json::from_slice(&body)?));
        let (failure, mut notices) = match booted {
            Ok(Event::Booted { failure, notices }) => (failure, notices),
            Ok(_) => return Err(failed(io::Error::other("it did not introduce itself"))),
            Err(error) => return Err(reaped(child, failed(error))),
        };
        if let Some(failure) = failure {
            return Err(reaped(child, Error::Refused { reason: failure.message }));
        }
        notices.extend(standing_notices(mode));
        let shared = Arc::new(Mutex::new(Shared { last_address: first_address(mode), ..Shared::default() }));
        let (requests, queue) = mpsc::channel(QUEUE);
        let writer_end = ours.try_clone().map_err(failed)?;
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("sandbox-writer").spawn(move || write_requests(&writer_end, queue)).map_err(failed)?;
        let reader_shared = Arc::clone(&shared);
        let (ended, gone) = watch::channel(false);
        thread("sandbox-reader")
            .spawn(move || {
                read_events(&ours, &reader_shared, child);
                ended.send_replace(true);
            })
            .map_err(failed)?;
        let inner = Inner { config, mode, requests, shared, gone };
        Ok((Sandbox { inner: Arc::new(inner) }, Report { mode, notices }))
    }

    /// The mode in force.
    pub fn mode(&self) -> Mode {
        self.inner.mode
    }

    /// Whether the helper has ended, and every container with it.
    pub fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// Waits until the helper has ended; that happens before the last handle is dropped only if something killed it.
    pub async fn ended(&self) {
        let mut gone = self.inner.gone.clone();
        // An error means that the reader thread is gone, and the helper with it.
        let _ = gone.wait_for(|gone| *gone).await;
    }

    /// The addresses of pods and services.
    pub fn network(&self) -> Network {
        Network::of(self.inner.mode)
    }

    /// Connects to an address of the pod network (of the machine, for plain processes), with a deadline.
    ///
    /// # Errors
    /// As `connect(2)`, and `TimedOut` after five seconds.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.tcp_socket().await?;
        match tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(address)).await {
            Ok(connected) => connected,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Listens on an address of the pod network.
    ///
    /// # Errors
    /// As `bind(2)` and `listen(2)`.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = self.tcp_socket().await?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }

    /// A datagram socket bound to an address of the pod network.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub async fn udp(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        let fd = self.socket(true).await?;
        rustix::net::bind(&fd, &address)?;
        UdpSocket::from_std(fd.into())
    }

    async fn tcp_socket(&self) -> io::Result<TcpSocket> {
        let fd = self.socket(false).await?;
        Ok(TcpSocket::from_std_stream(fd.into()))
    }

    async fn socket(&self, udp: bool) -> io::Result<OwnedFd> {
        let (result, mut fds, _) =
            self.ask(Op::Socket { udp }, Vec::new()).await.map_err(io::Error::other)?;
        result.map_err(Failure::into_io)?;
        fds.pop().ok_or_else(|| io::Error::other("the sandbox sent no socket"))
    }

    /// Makes a pod: an address, and the files that name it.
    ///
    /// # Errors
    /// [`Error::NoAddress`], [`Error::File`], or the helper's [`Error::Step`].
    pub async fn create_pod(&self, spec: PodSandboxSpec) -> Result<PodHandle, Error> {
        let address = self.take_address()?;
        let made = self.create_pod_at(&spec, self.network().pod(address)).await;
        if made.is_err() {
            self.lock().addresses.remove(&address);
        }
        made
    }

    async fn create_pod_at(&self, spec: &PodSandboxSpec, ip: Ipv4Addr) -> Result<PodHandle, Error> {
        let files = write_pod_files(spec, ip, self.network())?;
        let op = Op::CreatePod { pod: spec.id.clone(), hostname: spec.hostname.clone(), address: ip };
        self.done(op, Vec::new()).await?;
        Ok(PodHandle { id: spec.id.clone(), ip, files })
    }

    /// Starts a container; returns once its program has been executed.
    ///
    /// # Errors
    /// The step that failed; [`Error::is_exec_failure`] tells a bad command from a failing sandbox.
    pub async fn start_container(&self, pod: &PodHandle, mut spec: ContainerSpec) -> Result<Running, Error> {
        create_dir(&spec.dir)?;
        let own =
            pod.files.iter().filter(|file| !spec.mounts.iter().any(|mount| mount.target == file.target));
        let own: Vec<Mount> = own.cloned().collect();
        spec.mounts.splice(0..0, own);
        if self.mode() == Mode::Plain && !spec.env.iter().any(|(name, _)| name == HOSTS) {
            // The machine's own files of these names are what a plain process sees; linking ours would help nobody.
            let hosts = pod.files.first().map(|file| file.source.display().to_string());
            spec.env.extend(hosts.map(|hosts| (HOSTS.to_owned(), hosts)));
        }
        let sink = Sink::open(&spec.log, spec.log_limit, Arc::clone(&self.inner.config.clock)).await;
        let sink = sink.map_err(|source| file_error("open the log", &spec.log, source))?;
        let (readers, writers) = pipes().map_err(|source| file_error("make pipes for", &spec.log, source))?;
        let id = spec.id.clone();
        let exit = self.expect_exit(&id);
        let op = Op::Start { pod: pod.id.clone(), spec: Box::new(spec) };
        let notices = self.started(&id, op, writers).await?;
        let [stdout, stderr] = readers;
        let output = Output::Log(tokio::spawn(log::copy(stdout, stderr, sink)));
        Ok(Running { id, notices, exit, output })
    }

    /// Starts a further process in a running container.
    ///
    /// # Errors
    /// The step that failed.
    pub async fn exec(&self, spec: ExecSpec) -> Result<Running, Error> {
        let (readers, writers) =
            pipes().map_err(|source| file_error("make pipes for", Path::new(&spec.id), source))?;
        let id = spec.id.clone();
        let exit = self.expect_exit(&id);
        let notices = self.started(&id, Op::Exec { spec: Box::new(spec) }, writers).await?;
        let output = Output::Text(tokio::spawn(collect(readers)));
        Ok(Running { id, notices, exit, output })
    }

    /// Sends a signal to a container's first process; nothing happens if it has ended.
    ///
    /// # Errors
    /// [`Error::Step`] for a signal that does not exist.
    pub async fn signal(&self, container: &str, signal: i32) -> Result<(), Error> {
        self.done(Op::Signal { container: container.to_owned(), signal }, Vec::new()).await
    }

    /// Kills a container; its files stay until it is removed.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub async fn kill(&self, container: &str) -> Result<(), Error> {
        self.signal(container, libc::SIGKILL).await
    }

    /// Reads a regular file of a running or ended container, at most `limit` bytes of it. Links are resolved inside.
    ///
    /// # Errors
    /// `NotFound` if there is no such file, `InvalidInput` if it is not a regular file.
    pub async fn read_file(&self, container: &str, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let file: std::fs::File = self.open(container, path).await?.into();
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut content = Vec::new();
        tokio::fs::File::from_std(file).take(limit).read_to_end(&mut content).await?;
        Ok(content)
    }

    /// Copies a file or folder of a running or ended container to a path of the machine that does not exist yet. Links
    /// on the way are resolved inside; links in a folder are copied as links.
    ///
    /// # Errors
    /// `NotFound` if there is nothing, `InvalidInput` if it is neither a file nor a folder.
    pub async fn copy_out(&self, container: &str, path: &str, to: &Path) -> io::Result<()> {
        let from = self.open(container, path).await?;
        let to = to.to_owned();
        let copied = tokio::task::spawn_blocking(move || crate::export::copy_out(from, &to));
        copied.await.map_err(io::Error::other)?
    }

    async fn open(&self, container: &str, path: &str) -> io::Result<OwnedFd> {
        let op = Op::Open { container: container.to_owned(), path: path.to_owned() };
        let (result, mut fds, _) = self.ask(op, Vec::new()).await.map_err(io::Error::other)?;
        result.map_err(Failure::into_io)?;
        fds.pop().ok_or_else(|| io::Error::other("the sandbox sent no file"))
    }

    /// Kills what is left of a container and deletes what it wrote.
    ///
    /// # Errors
    /// [`Error::Gone`].
    pub async fn remove_container(&self, container: &str, dir: &Path) -> Result<(), Error> {
        self.done(Op::Remove { container: container.to_owned() }, Vec::new()).await?;
        Self::delete_folder(dir).await
    }

    /// Deletes a folder of a container or pod, also folders in it that their owner may not enter (overlayfs leaves
    /// such). It need not exist.
    ///
    /// # Errors
    /// [`Error::File`] if something cannot be deleted.
    pub async fn delete_folder(dir: &Path) -> Result<(), Error> {
        remove_tree(dir.to_owned()).await
    }

    /// Kills a further process if it still runs, and forgets it.
    pub async fn forget(&self, process: &str) {
        // Only a helper that is gone refuses this, and then the process is gone, too.
        let _ = self.done(Op::Remove { container: process.to_owned() }, Vec::new()).await;
    }

    /// Lets go of a pod whose containers have been removed, and frees its address.
    ///
    /// # Errors
    /// [`Error::Gone`].
    pub async fn remove_pod(&self, pod: &PodHandle) -> Result<(), Error> {
        let result = self.done(Op::RemovePod { pod: pod.id.clone() }, Vec::new()).await;
        let [.., high, low] = pod.ip.octets();
        self.lock().addresses.remove(&u16::from_be_bytes([high, low]));
        result
    }

    async fn done(&self, op: Op, fds: Vec<OwnedFd>) -> Result<(), Error> {
        let (result, _, _) = self.ask(op, fds).await?;
        result.map_err(Failure::into_error)
    }

    async fn started(&self, id: &str, op: Op, fds: Vec<OwnedFd>) -> Result<Vec<String>, Error> {
        let answer = self
            .ask(op, fds)
            .await
            .and_then(|(result, _, notices)| result.map(|()| notices).map_err(Failure::into_error));
        if answer.is_err() {
            self.lock().exits.remove(id);
        }
        answer
    }

    async fn ask(&self, op: Op, fds: Vec<OwnedFd>) -> Result<Answer, Error> {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut shared = self.lock();
            if shared.gone {
                return Err(Error::Gone);
            }
            shared.next_id += 1;
            let id = shared.next_id;
            shared.replies.insert(id, sender);
            id
        };
        let body = serde_json::to_vec(&Request { id, op }).map_err(|_| Error::Gone)?;
        if body.len() > wire::MAX_FRAME {
            self.lock().replies.remove(&id);
            let message = "command, environment and mounts together are too large".to_owned();
            return Err(Error::Step { step: "start".to_owned(), message, errno: libc::E2BIG });
        }
        self.inner.requests.send(Outgoing { body, fds }).await.map_err(|_| Error::Gone)?;
        receiver.await.map_err(|_| Error::Gone)
    }

    fn expect_exit(&self, id: &str) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        self.lock().exits.insert(id.to_owned(), sender);
        receiver
    }

    fn take_address(&self) -> Result<u16, Error> {
        let mut shared = self.lock();
        // Onwards from the last one: an address that was just freed may still be in somebody's cache.
        for _ in 0..LAST_POD {
            shared.last_address = if shared.last_address >= LAST_POD { 2 } else { shared.last_address + 1 };
            let candidate = shared.last_address;
            if candidate & 0xff != 0 && candidate & 0xff != 0xff && shared.addresses.insert(candidate) {
                return Ok(candidate);
            }
        }
        Err(Error::NoAddress)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.inner.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Waits until the first process has ended and its output is in the log.
    pub async fn wait(self) -> Exit {
        let exit = self.exit.await.unwrap_or(Exit { code: 137, signal: Some(libc::SIGKILL) });
        if let Output::Log(mut copying) = self.output
            && tokio::time::timeout(OUTPUT_TIMEOUT, &mut copying).await.is_err()
        {
            copying.abort();
        }
        exit
    }

    /// Waits until the process has ended; returns its output, cut at 64 KiB. Empty for containers, which have logs.
    pub async fn output(self) -> (Exit, Vec<u8>) {
        let exit = self.exit.await.unwrap_or(Exit { code: 137, signal: Some(libc::SIGKILL) });
        match self.output {
            Output::Text(text) => (
                exit,
                tokio::time::timeout(OUTPUT_TIMEOUT, text)
                    .await
                    .map_or_else(|_| Vec::new(), |text| text.unwrap_or_default()),
            ),
            Output::Log(_) => (exit, Vec::new()),
        }
    }
}

/// Where giving out addresses begins: plain processes share loopback addresses with those of any other Galley here.
fn first_address(mode: Mode) -> u16 {
    match mode {
        Mode::Plain => u16::try_from(std::process::id().wrapping_mul(251) % u32::from(LAST_POD)).unwrap_or(1),
        _ => 1,
    }
}

fn standing_notices(mode: Mode) -> Vec<String> {
    let mut notices = vec!["Limits on memory and processor time are not enforced.".to_owned()];
    match mode {
        Mode::Plain => notices.push(
            "Pods are plain processes: they share this machine's files, network and users, have addresses 127.88.x.y, and absolute paths inside lie below the folder in GALLEY_ROOT."
                .to_owned(),
        ),
        _ => notices.push("System calls of containers are not filtered, and pods reach each other and Galley but no network outside.".to_owned()),
    }
    notices
}

fn reaped(mut child: std::process::Child, error: Error) -> Error {
    let _ = child.kill();
    let _ = child.wait();
    error
}

fn write_requests(socket: &UnixStream, mut queue: mpsc::Receiver<Outgoing>) {
    while let Some(Outgoing { body, fds }) = queue.blocking_recv() {
        let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        if wire::send(socket, &body, &borrowed).is_err() {
            break;
        }
    }
    // The last handle is gone, or the helper is: this is what makes the helper end.
    let _ = socket.shutdown(std::net::Shutdown::Both);
}

fn read_events(socket: &UnixStream, shared: &Mutex<Shared>, mut helper: std::process::Child) {
    while let Ok(Some((body, fds))) = wire::recv(socket) {
        let Ok(event) = serde_json::from_slice(&body) else { break };
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Reply { id, failure, notices } => {
                if let Some(waiting) = shared.replies.remove(&id) {
                    let _ = waiting.send((failure.map_or(Ok(()), Err), fds, notices));
                }
            }
            Event::Exited { container, exit } => {
                if let Some(waiting) = shared.exits.remove(&container) {
                    let _ = waiting.send(exit);
                }
            }
            Event::Booted { .. } => {}
        }
    }
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    shared.gone = true;
    shared.replies.clear();
    shared.exits.clear();
    drop(shared);
    let _ = socket.shutdown(std::net::Shutdown::Both);
    if let Ok(status) = helper.wait()
        && !status.success()
    {
        tracing::error!(%status, "the sandbox helper has ended");
    }
}

fn pipes() -> io::Result<([OwnedFd; 2], Vec<OwnedFd>)> {
    let (out, out_writer) = io::pipe()?;
    let (err, err_writer) = io::pipe()?;
    for end in [&out, &err] {
        rustix::io::ioctl_fionbio(end, true)?;
    }
    Ok(([out.into(), err.into()], vec![out_writer.into(), err_writer.into()]))
}

async fn collect(readers: [OwnedFd; 2]) -> Vec<u8> {
    const LIMIT: usize = 64 << 10;
    let mut text = Vec::new();
    for reader in readers {
        let Ok(mut pipe) = tokio::net::unix::pipe::Receiver::from_owned_fd(reader) else { continue };
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
            text.extend_from_slice(&chunk[..read.min(LIMIT - text.len())]);
        }
    }
    text
}
