//! The few system calls without a safe wrapper.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NOSUID: u64 = 2;
const MOUNT_ATTR_NODEV: u64 = 4;

/// `struct mount_attr` of `mount_setattr(2)`.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// The two sides of a fork.
pub(crate) enum Forked {
    /// The caller, with the child's id.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Forks the process, with namespaces (`CLONE_NEW*`) for the child. The process must have a single thread.
pub(crate) fn fork(namespaces: libc::c_int) -> io::Result<Forked> {
    let flags = libc::c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with a null stack this is fork(2); the helper has a single thread, so the child
    // finds every lock of the C library in the state in which this thread left it.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match pid {
        0 => Ok(Forked::Child),
        pid if pid > 0 => i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .map(Forked::Parent)
            .ok_or_else(|| io::Error::other("clone returned an impossible process id")),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Leaves namespaces for new ones. Never used with `UnshareFlags::FILES`.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: descriptor tables stay shared with nobody: FILES is not among the flags.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Makes a mount, given by its descriptor, refuse writes.
pub(crate) fn make_read_only(mount: BorrowedFd<'_>) -> io::Result<()> {
    set_mount_attributes(mount, MOUNT_ATTR_RDONLY)
}

/// Makes a mount, given by its descriptor, ignore set-user-id bits and devices.
pub(crate) fn make_harmless(mount: BorrowedFd<'_>) -> io::Result<()> {
    set_mount_attributes(mount, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
}

fn set_mount_attributes(mount: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    let attr = MountAttr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::c_long::from(libc::AT_EMPTY_PATH | libc::AT_RECURSIVE);
    // SAFETY: the path is an empty C string and `attr` outlives the call, which is told its true size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::c_long::from(mount.as_raw_fd()),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(&attr),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Blocks every signal; gives the mask that was there before.
pub(crate) fn block_signals() -> libc::sigset_t {
    // SAFETY: both sets are plain memory of this frame, and the calls fill them.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &all, &mut before);
        before
    }
}

/// Sets the mask of signals.
pub(crate) fn set_signal_mask(mask: &libc::sigset_t) {
    // SAFETY: the set is initialized, and nothing is written back.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
}

/// Is the first process of a pid namespace for a program that is its child: hands signals on, reaps orphans, and ends as
/// the program ends. All signals must be blocked: the kernel drops those that a first process neither blocks nor handles.
pub(crate) fn be_first(program: Pid) -> ! {
    let program = program.as_raw_pid();
    // SAFETY: no descriptor is used any more in this process, which never returns from here; the other calls get valid
    // memory of this frame.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        loop {
            let mut signal = 0;
            if libc::sigwait(&all, &mut signal) != 0 {
                continue;
            }
            if signal != libc::SIGCHLD {
                libc::kill(program, signal);
                continue;
            }
            let mut status = 0;
            loop {
                let ended = libc::waitpid(-1, &mut status, libc::WNOHANG);
                if ended <= 0 {
                    break;
                }
                if ended == program && libc::WIFEXITED(status) {
                    exit_now(libc::WEXITSTATUS(status));
                }
                if ended == program && libc::WIFSIGNALED(status) {
                    exit_now(128 + libc::WTERMSIG(status));
                }
            }
        }
    }
}

/// Ends the process at once, without running anything of the parent's that a fork has copied.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Ends the process with code 0 when SIGTERM comes; as the first process of a pid namespace it would not end at all.
pub(crate) fn end_well_on_terminate() {
    extern "C" fn end(_: libc::c_int) {
        exit_now(0);
    }
    // SAFETY: the handler only calls _exit, which may be called in a signal handler.
    unsafe { libc::signal(libc::SIGTERM, end as *const () as libc::sighandler_t) };
}
