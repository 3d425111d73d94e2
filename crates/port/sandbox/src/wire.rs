//! Frames over a stream socket: four bytes of length, then the body; descriptors travel with the first byte.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// No honest frame is larger; a larger one means that the peers have lost each other.
pub(crate) const MAX_FRAME: usize = 16 << 20;
/// The most descriptors that one frame carries.
const MAX_FDS: usize = 4;

/// Sends one frame; blocks until it is written.
pub(crate) fn send(socket: impl AsFd, body: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let socket = socket.as_fd();
    let length = u32::try_from(body.len()).map_err(|_| io::Error::other("frame too large"))?.to_be_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one frame"));
    }
    let header = retry(|| sendmsg(socket, &[IoSlice::new(&length)], &mut control, SendFlags::NOSIGNAL))?;
    write_all(socket, &length[header..])?;
    write_all(socket, body)
}

/// Receives one frame; `None` when the peer has closed. Blocks.
pub(crate) fn recv(socket: impl AsFd) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let socket = socket.as_fd();
    let mut length = [0u8; 4];
    let (first, fds) = recv_with_fds(socket, &mut length)?;
    if first == 0 {
        return Ok(None);
    }
    read_exact(socket, &mut length[first..])?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::other("frame too large"));
    }
    let mut body = vec![0; length];
    read_exact(socket, &mut body)?;
    Ok(Some((body, fds)))
}

/// Receives bytes and the descriptors that came with them; 0 bytes when the peer has closed.
pub(crate) fn recv_with_fds(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        retry(|| recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC))?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((received.bytes, fds))
}

fn write_all(socket: BorrowedFd<'_>, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let written = retry(|| rustix::net::send(socket, rest, SendFlags::NOSIGNAL))?;
        rest = &rest[written..];
    }
    Ok(())
}

fn read_exact(socket: BorrowedFd<'_>, mut rest: &mut [u8]) -> io::Result<()> {
    while !rest.is_empty() {
        match retry(|| rustix::io::read(socket, &mut *rest))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => rest = &mut rest[read..],
        }
    }
    Ok(())
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn frames_and_descriptors_arrive() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let body = vec![7u8; 1 << 20];
        let sender = std::thread::spawn({
            let body = body.clone();
            move || {
                send(&left, b"plain", &[]).unwrap();
                send(&left, &body, &[writer.as_fd()]).unwrap();
            }
        });
        assert_eq!(recv(&right).unwrap().unwrap().0, b"plain");
        let (received, mut fds) = recv(&right).unwrap().unwrap();
        assert_eq!(received, body);
        sender.join().unwrap();
        let mut passed = std::fs::File::from(fds.pop().unwrap());
        passed.write_all(b"through").unwrap();
        drop(passed);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert!(recv(&right).unwrap().is_none());
    }
}
