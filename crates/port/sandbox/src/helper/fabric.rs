//! The namespaces that all pods share, and those of each pod.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::netlink::{Netlink, Veth, link_index};
use super::rootfs;
use crate::network::Network;
use crate::proto::{Boot, Failure, Step};
use crate::spec::Mode;
use crate::sys::{self, Forked};

const BRIDGE: &str = "galley0";
const NETWORK: Network = Network::of(Mode::Namespaces);

/// The network that the helper lives in, and what the kernel allowed.
pub(crate) struct Fabric {
    home: Spaces,
    netlink: Netlink,
    bridge: u32,
    links: u32,
    /// What containers can be given.
    pub abilities: Abilities,
}

/// What the kernel allows inside of the namespaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abilities {
    /// Root filesystems by overlayfs; else by copying.
    pub overlay: bool,
    /// A fresh `/proc`; else the machine's.
    pub proc: bool,
    /// Whether only one user id exists inside.
    pub single_user: bool,
}

/// A pod's namespaces, kept alive by these descriptors.
pub(crate) struct Spaces {
    net: OwnedFd,
    uts: OwnedFd,
    ipc: OwnedFd,
}

/// A pod's namespaces and its end in the fabric.
pub(crate) struct Pod {
    pub spaces: Spaces,
    link: String,
}

impl Fabric {
    /// Leaves the caller's namespaces and makes the network.
    pub(crate) fn make(boot: &Boot) -> Result<Fabric, Failure> {
        let single_user = enter_namespaces()?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .step("make mounts private")?;
        let mut netlink = Netlink::open().step("open a netlink socket")?;
        let lo = link_index("lo").step("find the loopback device")?;
        netlink.set_up(lo).step("bring the loopback device up")?;
        netlink.add_bridge(BRIDGE, mac(NETWORK.gateway())).step("make a bridge")?;
        let bridge = link_index(BRIDGE).step("find the bridge")?;
        netlink.add_address(bridge, NETWORK.gateway(), 16).step("give the bridge an address")?;
        netlink.add_local_route(lo, NETWORK.service(0), 16).step("make the service addresses local")?;
        allow_low_ports();
        let abilities = try_out(boot, single_user)?;
        Ok(Fabric { home: Spaces::current()?, netlink, bridge, links: 0, abilities })
    }

    /// Makes the namespaces of a pod, with a link into the fabric.
    pub(crate) fn create_pod(&mut self, hostname: &str, address: Ipv4Addr) -> Result<Pod, Failure> {
        let made = fresh_spaces(hostname);
        // The helper must be back at home whatever happened, or it would serve the next request in the pod.
        self.home.enter()?;
        let spaces = made?;
        self.links += 1;
        let link = format!("pod{}", self.links);
        let veth = Veth {
            name: &link,
            bridge: self.bridge,
            peer: "eth0",
            peer_mac: mac(address),
            peer_net: spaces.net.as_fd(),
        };
        self.netlink.add_veth(&veth).step("link the pod to the network")?;
        let configured = spaces.enter().and_then(|()| configure_pod(address));
        self.home.enter()?;
        configured?;
        Ok(Pod { spaces, link })
    }

    /// Lets go of a pod's namespaces.
    pub(crate) fn remove_pod(&mut self, pod: Pod) {
        // The link goes with the namespace anyway; removing it here frees the address at once.
        let _ = self.netlink.remove_link(&pod.link);
    }
}

impl Spaces {
    fn current() -> Result<Spaces, Failure> {
        let open = |name: &str| {
            File::open(format!("/proc/self/ns/{name}")).map(OwnedFd::from).step("open a namespace")
        };
        Ok(Spaces { net: open("net")?, uts: open("uts")?, ipc: open("ipc")? })
    }

    /// Moves the process into these namespaces.
    pub(crate) fn enter(&self) -> Result<(), Failure> {
        enter(self.net.as_fd(), LinkNameSpaceType::Network)?;
        enter(self.uts.as_fd(), LinkNameSpaceType::HostNameAndNISDomainName)?;
        enter(self.ipc.as_fd(), LinkNameSpaceType::InterProcessCommunication)
    }
}

/// Moves the process (or its children, for a pid namespace) into a namespace.
pub(crate) fn enter(namespace: BorrowedFd<'_>, kind: LinkNameSpaceType) -> Result<(), Failure> {
    move_into_link_name_space(namespace, Some(kind)).step("enter a namespace")
}

fn fresh_spaces(hostname: &str) -> Result<Spaces, Failure> {
    sys::unshare(UnshareFlags::NEWNET | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC)
        .step("make the namespaces of a pod")?;
    rustix::system::sethostname(hostname.as_bytes()).step("set the host name")?;
    Spaces::current()
}

fn configure_pod(address: Ipv4Addr) -> Result<(), Failure> {
    let mut netlink = Netlink::open().step("open a netlink socket")?;
    netlink
        .set_up(link_index("lo").step("find the loopback device")?)
        .step("bring the loopback device up")?;
    let eth = link_index("eth0").step("find the pod's link")?;
    netlink.add_address(eth, address, 16).step("give the pod its address")?;
    netlink.set_up(eth).step("bring the pod's link up")?;
    netlink.add_default_route(eth, NETWORK.gateway()).step("route the pod's traffic")?;
    allow_low_ports();
    Ok(())
}

/// Lets every user listen on every port of the current network namespace: there is nobody to protect here.
fn allow_low_ports() {
    let _ = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
}

/// A hardware address made from the network address.
fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// Enters new namespaces, with a user namespace if it is needed; says whether it was.
fn enter_namespaces() -> Result<bool, Failure> {
    let spaces = UnshareFlags::NEWNET | UnshareFlags::NEWNS | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC;
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    if uid.is_root() {
        match sys::unshare(spaces) {
            Ok(()) => return Ok(false),
            Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {}
            Err(error) => return Err(Failure::new("make namespaces", error)),
        }
    }
    sys::unshare(UnshareFlags::NEWUSER).step("make a user namespace")?;
    std::fs::write("/proc/self/setgroups", "deny").step("give up groups in the user namespace")?;
    std::fs::write("/proc/self/uid_map", format!("0 {} 1", uid.as_raw())).step("map the user id")?;
    std::fs::write("/proc/self/gid_map", format!("0 {} 1", gid.as_raw())).step("map the group id")?;
    sys::unshare(spaces).step("make namespaces inside of a user namespace")?;
    Ok(true)
}

/// Tries in a throw-away child what every container will need.
fn try_out(boot: &Boot, single_user: bool) -> Result<Abilities, Failure> {
    const NO_OVERLAY: i32 = 1;
    const NO_PROC: i32 = 2;
    let child = match sys::fork(libc::CLONE_NEWPID | libc::CLONE_NEWNS).step("make a pid namespace")? {
        Forked::Parent(pid) => pid,
        Forked::Child => {
            let overlay = if rootfs::try_overlay(&boot.scratch).is_ok() { 0 } else { NO_OVERLAY };
            let proc = if rootfs::fresh_proc().is_ok() { 0 } else { NO_PROC };
            sys::exit_now(overlay | proc)
        }
    };
    let status = rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty())
        .step("wait for the trial of the namespaces")?;
    let code = status.and_then(|(_, status)| status.exit_status()).unwrap_or(NO_OVERLAY | NO_PROC);
    Ok(Abilities { overlay: code & NO_OVERLAY == 0, proc: code & NO_PROC == 0, single_user })
}

/// What is known about why this machine refuses namespaces, and what to do about it.
pub(crate) fn explain_refusal(failure: &Failure) -> String {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).map(|text| text.trim().to_owned());
    let reason = format!("{}: {}", failure.step, failure.message);
    let hint = if read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").is_ok_and(|v| v == "1") {
        "AppArmor restricts user namespaces here: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` allows them."
    } else if read("/proc/sys/kernel/unprivileged_userns_clone").is_ok_and(|v| v == "0") {
        "User namespaces are switched off here: `sudo sysctl -w kernel.unprivileged_userns_clone=1` allows them."
    } else if read("/proc/sys/user/max_user_namespaces").is_ok_and(|v| v == "0") {
        "No user namespace may be made here: `sudo sysctl -w user.max_user_namespaces=15000` allows them."
    } else {
        "If this is a container, give it `--security-opt seccomp=unconfined` and the capability SYS_ADMIN, or run Galley outside of it."
    };
    format!("{reason}. {hint}")
}
