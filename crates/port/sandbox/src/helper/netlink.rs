//! Just enough of route netlink to make a bridge, veth pairs, addresses and routes.

use std::ffi::CString;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const VETH_INFO_PEER: u16 = 1;
const ARPHRD_NONE: u16 = 0;

/// A netlink socket of the network namespace in which it was opened.
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// The ends of a veth pair to make.
pub(crate) struct Veth<'a> {
    /// Name of the end that stays here.
    pub name: &'a str,
    /// The bridge that the end here joins.
    pub bridge: u32,
    /// Name of the other end.
    pub peer: &'a str,
    /// Hardware address of the other end; fixed, so that neighbours' caches stay true when an address is used again.
    pub peer_mac: [u8; 6],
    /// The network namespace of the other end.
    pub peer_net: BorrowedFd<'a>,
}

impl Netlink {
    /// Opens a socket in the current network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // Protocol 0 is route netlink.
            None,
        )?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Brings a link up.
    pub(crate) fn set_up(&mut self, index: u32) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_NEWLINK, 0, index);
        self.request(&mut message)
    }

    /// Makes a bridge that is up.
    pub(crate) fn add_bridge(&mut self, name: &str, mac: [u8; 6]) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, 0);
        message.text(libc::IFLA_IFNAME, name)?;
        message.attribute(libc::IFLA_ADDRESS, &mac);
        message.nested(libc::IFLA_LINKINFO, |info| info.text(libc::IFLA_INFO_KIND, "bridge"))?;
        self.request(&mut message)
    }

    /// Makes a veth pair; the end here is up and in the bridge.
    pub(crate) fn add_veth(&mut self, veth: &Veth<'_>) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, 0);
        message.text(libc::IFLA_IFNAME, veth.name)?;
        message.attribute(libc::IFLA_MASTER, &veth.bridge.to_ne_bytes());
        message.nested(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, "veth")?;
            info.nested(libc::IFLA_INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |peer| {
                    peer.bytes.extend(interface_info(0, 0));
                    peer.text(libc::IFLA_IFNAME, veth.peer)?;
                    peer.attribute(libc::IFLA_ADDRESS, &veth.peer_mac);
                    peer.attribute(libc::IFLA_NET_NS_FD, &veth.peer_net.as_raw_fd().to_ne_bytes());
                    Ok(())
                })
            })
        })?;
        self.request(&mut message)
    }

    /// Removes a link.
    pub(crate) fn remove_link(&mut self, name: &str) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_DELLINK, 0, 0);
        message.text(libc::IFLA_IFNAME, name)?;
        self.request(&mut message)
    }

    /// Gives a link an address.
    pub(crate) fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut body = vec![AF_INET, prefix, 0, libc::RT_SCOPE_UNIVERSE];
        body.extend(index.to_ne_bytes());
        let mut message = Message::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body);
        message.attribute(libc::IFA_LOCAL, &address.octets());
        message.attribute(libc::IFA_ADDRESS, &address.octets());
        self.request(&mut message)
    }

    /// Makes every address of a network the machine's own, as `ip route add local`.
    pub(crate) fn add_local_route(&mut self, index: u32, network: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let body = route(prefix, libc::RT_TABLE_LOCAL, libc::RT_SCOPE_HOST, libc::RTN_LOCAL);
        let mut message = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body);
        message.attribute(libc::RTA_DST, &network.octets());
        message.attribute(libc::RTA_OIF, &index.to_ne_bytes());
        self.request(&mut message)
    }

    /// Sends everything else to a gateway.
    pub(crate) fn add_default_route(&mut self, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
        let body = route(0, libc::RT_TABLE_MAIN, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST);
        let mut message = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &body);
        message.attribute(libc::RTA_GATEWAY, &gateway.octets());
        message.attribute(libc::RTA_OIF, &index.to_ne_bytes());
        self.request(&mut message)
    }

    fn request(&mut self, message: &mut Message) -> io::Result<()> {
        self.sequence += 1;
        rustix::net::send(&self.socket, message.finish(self.sequence)?, SendFlags::empty())?;
        let mut buffer = [0u8; 8192];
        loop {
            let (read, _) = rustix::net::recv(&self.socket, &mut buffer, RecvFlags::empty())?;
            if let Some(result) = acknowledgement(&buffer[..read], self.sequence) {
                return result;
            }
        }
    }
}

/// The index of a link in the current network namespace.
pub(crate) fn link_index(name: &str) -> io::Result<u32> {
    // `/sys` may show another namespace, so ask with a socket that is surely of this one.
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    Ok(rustix::net::netdevice::name_to_index(&socket, name)?)
}

const AF_INET: u8 = 2;

fn route(prefix: u8, table: u8, scope: u8, kind: u8) -> Vec<u8> {
    let mut body = vec![AF_INET, prefix, 0, 0, table, libc::RTPROT_BOOT, scope, kind];
    body.extend(0u32.to_ne_bytes());
    body
}

fn interface_info(index: u32, flags: u32) -> Vec<u8> {
    let mut info = vec![0, 0];
    info.extend(ARPHRD_NONE.to_ne_bytes());
    info.extend(index.to_ne_bytes());
    info.extend(flags.to_ne_bytes());
    info.extend(flags.to_ne_bytes());
    info
}

fn acknowledgement(mut data: &[u8], sequence: u32) -> Option<io::Result<()>> {
    let number =
        |data: &[u8], at: usize| data.get(at..at + 4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
    while data.len() >= 16 {
        let length = number(data, 0)? as usize;
        let kind = u16::from_ne_bytes([data[4], data[5]]);
        if i32::from(kind) == libc::NLMSG_ERROR && number(data, 8)? == sequence {
            let code = number(data, 16)?.cast_signed();
            return Some(if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) });
        }
        data = data.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// A netlink message, or the inside of a nested attribute.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: libc::c_int, body: &[u8]) -> Self {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK).unwrap_or(u16::MAX);
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        Message { bytes }
    }

    fn link(kind: u16, flags: libc::c_int, index: u32) -> Self {
        Message::new(kind, flags, &interface_info(index, libc::IFF_UP.cast_unsigned()))
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn text(&mut self, kind: u16, value: &str) -> io::Result<()> {
        let value = CString::new(value)?;
        self.attribute(kind, value.as_bytes_with_nul());
        Ok(())
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Message) -> io::Result<()>) -> io::Result<()> {
        let mut inside = Message { bytes: Vec::new() };
        fill(&mut inside)?;
        self.attribute(kind, &inside.bytes);
        Ok(())
    }

    fn finish(&mut self, sequence: u32) -> io::Result<&[u8]> {
        let length = u32::try_from(self.bytes.len()).map_err(|_| io::Error::other("message too long"))?;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        Ok(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_to_four_bytes() {
        let mut message = Message::new(libc::RTM_NEWLINK, 0, &[]);
        message.text(libc::IFLA_IFNAME, "eth0").unwrap();
        assert_eq!(message.bytes.len(), 16 + 12);
        assert_eq!(message.bytes[16..18], 9u16.to_ne_bytes());
    }

    #[test]
    fn an_error_is_found_behind_other_messages() {
        let mut data = Vec::new();
        for (kind, sequence, code) in [(20u16, 7u32, 0i32), (2, 6, 0), (2, 7, -17)] {
            data.extend(20u32.to_ne_bytes());
            data.extend(kind.to_ne_bytes());
            data.extend([0; 2]);
            data.extend(sequence.to_ne_bytes());
            data.extend([0; 4]);
            data.extend(code.to_ne_bytes());
        }
        let error = acknowledgement(&data, 7).unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(17));
        assert!(acknowledgement(&data, 9).is_none());
    }
}
