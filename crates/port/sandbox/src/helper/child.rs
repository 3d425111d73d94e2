//! What a freshly forked child does on its way to the container's program.
//!
//! The child tells the helper how it goes over a packet socket that closes when the program is executed: `Ready` with
//! descriptors of its root and namespaces, notices, or the step that failed.

use std::convert::Infallible;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, MoveMountFlags, mount_change, move_mount};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use super::fabric::{Abilities, Spaces};
use super::{identity, rootfs};
use crate::proto::{Failure, STEP_EXEC, Step};
use crate::spec::{ContainerSpec, ExecSpec, Mount, User};
use crate::sys;

/// Things of `/proc` that must not be written, after what container runtimes agree on.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// Things of `/proc` and `/sys` that must not be seen.
const MASKED: [&str; 8] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a child tells the helper.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    /// The root is ready; its descriptor, the mount and the pid namespace are attached (nothing for plain processes).
    Ready,
    /// Something is not as asked; the container starts all the same.
    Notice(String),
    /// It will not start.
    Failed(Failure),
}

/// The descriptors that a child starts with.
pub(crate) struct Ends {
    /// The packet socket to the helper; `None` once there is nothing more to say.
    pub report: Option<OwnedFd>,
    /// Standard output and error, until the program has them.
    pub output: Option<(OwnedFd, OwnedFd)>,
}

/// Runs `prepare_and_execute` to its end, which is another program or a failure told to the helper.
pub(crate) fn run(
    mut ends: Ends,
    prepare_and_execute: impl FnOnce(&mut Ends) -> Result<Infallible, Failure>,
) -> ! {
    let Err(failure) = prepare_and_execute(&mut ends);
    ends.say(&Said::Failed(failure), &[]);
    sys::exit_now(127)
}

/// Becomes the container's first process in namespaces of its own.
pub(crate) fn contain(
    ends: &mut Ends,
    spec: &ContainerSpec,
    pod: &Spaces,
    abilities: Abilities,
) -> Result<Infallible, Failure> {
    ends.die_with_parent()?;
    pod.enter()?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step("make mounts private")?;
    let (root, notice) = rootfs::mount_root(&spec.dir, &spec.layers, abilities.overlay)?;
    if let Some(notice) = notice {
        ends.say(&Said::Notice(notice), &[]);
    }
    let parts = Parts::open(&spec.mounts, abilities)?;
    rootfs::change_root(&root)?;
    parts.mount(spec.read_only_root)?;
    let here = [
        open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).step("open the root")?,
        File::open("/proc/self/ns/mnt").step("open the mount namespace")?.into(),
        File::open("/proc/self/ns/pid").step("open the pid namespace")?.into(),
    ];
    ends.say(&Said::Ready, &here);
    drop(here);
    if abilities.single_user && !matches!(spec.user.user.split(':').next(), Some("" | "0" | "root")) {
        let text = format!(
            "The container asks for the user `{}`; without root there is only one user here, so it runs as that one.",
            spec.user.user
        );
        ends.say(&Said::Notice(text), &[]);
    }
    if spec.first_process {
        below_a_first_process(ends)?;
    }
    execute(
        ends,
        &Program {
            args: &spec.args,
            env: &spec.env,
            working_dir: &spec.working_dir,
            user: &spec.user,
            drop: &spec.drop_capabilities,
        },
        abilities,
    )
}

/// Forks once more and returns in the child; the parent stays behind as the first process of the namespace.
fn below_a_first_process(ends: &mut Ends) -> Result<(), Failure> {
    let before = sys::block_signals();
    match sys::fork(0).step("start a process")? {
        sys::Forked::Child => {
            sys::set_signal_mask(&before);
            Ok(())
        }
        sys::Forked::Parent(program) => {
            // The child does the talking from here on.
            ends.report = None;
            ends.output = None;
            sys::be_first(program)
        }
    }
}

/// Becomes a further process of a container, whose namespaces were entered already.
pub(crate) fn join(ends: &mut Ends, spec: &ExecSpec, abilities: Abilities) -> Result<Infallible, Failure> {
    ends.die_with_parent()?;
    ends.say(&Said::Ready, &[]);
    let program = Program {
        args: &spec.args,
        env: &spec.env,
        working_dir: &spec.working_dir,
        user: &spec.user,
        drop: &[],
    };
    execute(ends, &program, abilities)
}

impl Ends {
    /// Sends a message to the helper; if the helper is gone there is nobody to tell and the child dies anyway.
    pub(crate) fn say(&self, said: &Said, fds: &[OwnedFd]) {
        if let Some(report) = &self.report {
            send(report, said, fds);
        }
    }

    /// Asks to be killed when the helper dies, and makes sure that it has not died before.
    pub(crate) fn die_with_parent(&self) -> Result<(), Failure> {
        set_parent_process_death_signal(Some(Signal::KILL)).step("tie the process to Galley")?;
        let Some(report) = &self.report else { return Ok(()) };
        let mut fds = [PollFd::new(report, PollFlags::HUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
            && fds[0].revents().contains(PollFlags::HUP)
        {
            sys::exit_now(126);
        }
        Ok(())
    }
}

fn send(report: &OwnedFd, said: &Said, fds: &[OwnedFd]) {
    let Ok(body) = serde_json::to_vec(said) else { return };
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    if !borrowed.is_empty() {
        control.push(rustix::net::SendAncillaryMessage::ScmRights(&borrowed));
    }
    let _ = rustix::net::sendmsg(
        report,
        &[std::io::IoSlice::new(&body)],
        &mut control,
        rustix::net::SendFlags::NOSIGNAL,
    );
}

/// Mounts that are opened while the machine's files are still in sight, and placed when they no longer are.
struct Parts {
    volumes: Vec<(OwnedFd, bool, Mount)>,
    devices: Vec<(OwnedFd, &'static str)>,
    dev: OwnedFd,
    shm: OwnedFd,
    pts: Option<OwnedFd>,
    proc: OwnedFd,
    sys: Option<OwnedFd>,
}

impl Parts {
    fn open(mounts: &[Mount], abilities: Abilities) -> Result<Parts, Failure> {
        let volumes = mounts
            .iter()
            .map(|mount| {
                let step = || format!("open the source of the mount `{}`", mount.target);
                let fd = rootfs::view(&mount.source).step(step())?;
                sys::make_harmless(fd.as_fd()).step(step())?;
                if mount.read_only {
                    sys::make_read_only(fd.as_fd()).step(step())?;
                }
                Ok((fd, mount.source.is_dir(), mount.clone()))
            })
            .collect::<Result<_, Failure>>()?;
        let devices = DEVICES
            .iter()
            .filter_map(|name| rootfs::view(&Path::new("/dev").join(name)).ok().map(|fd| (fd, *name)))
            .collect();
        let nosuid = MountAttrFlags::MOUNT_ATTR_NOSUID;
        let no_exec = nosuid | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let devpts = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
        Ok(Parts {
            volumes,
            devices,
            dev: rootfs::detached("tmpfs", &[("mode", "755"), ("size", "65536k")], nosuid)
                .step("make /dev")?,
            shm: rootfs::detached(
                "tmpfs",
                &[("mode", "1777"), ("size", "64m")],
                no_exec | MountAttrFlags::MOUNT_ATTR_NODEV,
            )
            .step("make /dev/shm")?,
            pts: rootfs::detached("devpts", &devpts[1..], no_exec).ok(),
            proc: match abilities.proc {
                true => rootfs::fresh_proc().step("make /proc")?,
                false => rootfs::view(Path::new("/proc")).step("open /proc")?,
            },
            sys: rootfs::detached(
                "sysfs",
                &[],
                no_exec | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY,
            )
            .ok(),
        })
    }

    fn mount(self, read_only_root: bool) -> Result<(), Failure> {
        make_tmp()?;
        place(&self.dev, "/dev", true)?;
        for (fd, name) in &self.devices {
            place(fd, &format!("/dev/{name}"), false)?;
        }
        place(&self.shm, "/dev/shm", true)?;
        if let Some(pts) = &self.pts {
            place(pts, "/dev/pts", true)?;
            let _ = std::os::unix::fs::symlink("pts/ptmx", "/dev/ptmx");
        }
        for (name, to) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
            let _ = std::os::unix::fs::symlink(format!("/proc/self/fd{to}"), format!("/dev/{name}"));
        }
        for (fd, folder, mount) in &self.volumes {
            place(fd, &mount.target, *folder)?;
        }
        place(&self.proc, "/proc", true)?;
        if let Some(sys) = &self.sys {
            place(sys, "/sys", true)?;
        }
        protect_kernel_files()?;
        if read_only_root {
            let root = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step("open the root")?;
            // Not recursive: volumes keep their own setting.
            let view = rustix::mount::MountFlags::BIND | rustix::mount::MountFlags::RDONLY;
            rustix::mount::mount_remount("/", view, "").step("make the root refuse writes")?;
            drop(root);
        }
        Ok(())
    }
}

fn place(mount: &OwnedFd, target: &str, folder: bool) -> Result<(), Failure> {
    let step = || format!("mount `{target}`");
    rootfs::make_target(Path::new(target), folder).step(step())?;
    move_mount(
        mount,
        "",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS,
    )
    .step(step())
}

fn make_tmp() -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    for path in ["/tmp", "/var/tmp"] {
        if path == "/tmp" || Path::new("/var").is_dir() {
            fs::create_dir_all(path).step("make /tmp")?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).step("open /tmp to everybody")?;
        }
    }
    Ok(())
}

fn protect_kernel_files() -> Result<(), Failure> {
    for path in READ_ONLY.map(Path::new).into_iter().filter(|path| path.exists()) {
        let view = rootfs::view(path).step("protect /proc")?;
        sys::make_read_only(view.as_fd()).step("protect /proc")?;
        move_mount(&view, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).step("protect /proc")?;
    }
    for path in MASKED.map(Path::new).into_iter().filter(|path| path.exists()) {
        let cover = if path.is_dir() {
            rootfs::detached("tmpfs", &[("size", "0")], MountAttrFlags::MOUNT_ATTR_RDONLY)
        } else {
            rootfs::view(Path::new("/dev/null"))
        };
        let cover = cover.step("hide kernel files")?;
        move_mount(&cover, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .step("hide kernel files")?;
    }
    Ok(())
}

/// A program to execute in the current root.
struct Program<'a> {
    args: &'a [String],
    env: &'a [(String, String)],
    working_dir: &'a str,
    user: &'a User,
    drop: &'a [String],
}

fn execute(ends: &mut Ends, program: &Program<'_>, abilities: Abilities) -> Result<Infallible, Failure> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let ids = identity::resolve(program.user, &read("/etc/passwd"), &read("/etc/group"))?;
    let working_dir = if program.working_dir.is_empty() { "/" } else { program.working_dir };
    if !Path::new(working_dir).is_dir() {
        fs::create_dir_all(working_dir).step("make the working directory")?;
        let _ = std::os::unix::fs::chown(working_dir, Some(ids.uid), Some(ids.gid));
    }
    rustix::process::setsid().step("start a session")?;
    identity::set_limits();
    identity::become_user(&ids, program.drop, abilities.single_user)?;
    // Changing the user has cleared it.
    ends.die_with_parent()?;
    rustix::process::chdir(working_dir).step("enter the working directory")?;
    let mut env = program.env.to_vec();
    add_default(&mut env, "PATH", DEFAULT_PATH);
    add_default(&mut env, "HOME", ids.home.as_deref().unwrap_or("/"));
    Err(exec(ends, program.args, &env, None))
}

/// Sets a variable if it is not there.
pub(crate) fn add_default(env: &mut Vec<(String, String)>, name: &str, value: &str) {
    if !env.iter().any(|(key, _)| key == name) {
        env.push((name.to_owned(), value.to_owned()));
    }
}

/// Executes the program; returns only why it could not. `file` is what to execute if that is not the first argument.
pub(crate) fn exec(
    ends: &mut Ends,
    args: &[String],
    env: &[(String, String)],
    file: Option<PathBuf>,
) -> Failure {
    let Some((name, rest)) = args.split_first() else {
        return Failure { step: STEP_EXEC.to_owned(), message: "no command is given".to_owned(), errno: 0 };
    };
    let path = env.iter().rev().find(|(key, _)| key == "PATH").map_or("", |(_, value)| value.as_str());
    let file = match file.map_or_else(|| find(name, path), Ok) {
        Ok(file) => file,
        Err(failure) => return failure,
    };
    let Some((stdout, stderr)) = ends.output.take() else {
        return Failure { step: STEP_EXEC.to_owned(), message: "no standard output".to_owned(), errno: 0 };
    };
    let error = Command::new(&file)
        .arg0(name)
        .args(rest)
        .env_clear()
        .envs(env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .exec();
    let mut failure = Failure::new(STEP_EXEC, error);
    failure.message = format!("exec: \"{name}\": {}", failure.message);
    failure
}

fn find(name: &str, path: &str) -> Result<PathBuf, Failure> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    path.split(':').map(|folder| Path::new(folder).join(name)).find(|file| file.is_file()).ok_or_else(|| {
        Failure {
            step: STEP_EXEC.to_owned(),
            message: format!("exec: \"{name}\": executable file not found in $PATH"),
            errno: libc::ENOENT,
        }
    })
}
