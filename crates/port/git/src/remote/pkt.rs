//! Packet lines: git's framing, four hexadecimal digits of length before each line.

use super::RemoteError;

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// A line, without its end of line.
    Line(&'a [u8]),
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section; `0002` is taken as the same.
    Delimiter,
}

/// A line as a packet.
pub(super) fn line(text: &[u8]) -> Vec<u8> {
    let mut packet = format!("{:04x}", text.len() + 4).into_bytes();
    packet.extend_from_slice(text);
    packet
}

/// A protocol version 2 request.
pub(super) fn command(name: &str, arguments: &[String]) -> Vec<u8> {
    let mut request = line(format!("command={name}\n").as_bytes());
    request.extend(line(b"agent=git/galley\n"));
    request.extend(line(b"object-format=sha1\n"));
    request.extend(b"0001");
    for argument in arguments {
        request.extend(line(format!("{argument}\n").as_bytes()));
    }
    request.extend(b"0000");
    request
}

/// Takes one packet off the front; `None` at the end.
pub(super) fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<Packet<'a>>, RemoteError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let bad = || RemoteError::Protocol("a packet line is damaged".into());
    let digits = rest.get(..4).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(bad)?;
    let length = usize::from_str_radix(digits, 16).map_err(|_| bad())?;
    let packet = match length {
        0 => Packet::Flush,
        1 | 2 => Packet::Delimiter,
        3 => return Err(bad()),
        length => Packet::Line(rest.get(4..length).ok_or_else(bad)?),
    };
    *rest = &rest[length.max(4)..];
    if let Packet::Line(text) = packet {
        if let Some(said) = text.strip_prefix(b"ERR ") {
            return Err(RemoteError::Protocol(String::from_utf8_lossy(said).trim().to_owned()));
        }
        return Ok(Some(Packet::Line(text.strip_suffix(b"\n").unwrap_or(text))));
    }
    Ok(Some(packet))
}

pub(super) fn read_all(mut bytes: &[u8]) -> Result<Vec<Packet<'_>>, RemoteError> {
    let mut packets = Vec::new();
    while let Some(packet) = next(&mut bytes)? {
        packets.push(packet);
    }
    Ok(packets)
}

/// What follows `# service=...` and its flush in an advertisement.
pub(super) fn after_service_line(bytes: &[u8]) -> Result<Vec<u8>, RemoteError> {
    let mut rest = bytes;
    match next(&mut rest)? {
        Some(Packet::Line(text)) if text.starts_with(b"# service=") => {
            next(&mut rest)?;
            Ok(rest.to_vec())
        }
        _ => Err(RemoteError::Protocol("this is no git server".into())),
    }
}

/// The pack inside the answer to `fetch`: the `packfile` section's band 1. Band 3 is the server's complaint.
pub(super) fn packfile(bytes: &[u8]) -> Result<Vec<u8>, RemoteError> {
    let mut rest = bytes;
    let mut inside = false;
    let mut pack = Vec::new();
    loop {
        // Lines of the pack are data: `next` would take a line end off them.
        if inside {
            let Some(raw) = next_raw(&mut rest)? else { break };
            match raw.split_first() {
                Some((1, data)) => pack.extend_from_slice(data),
                Some((2, _)) | None => {}
                Some((_, said)) => {
                    return Err(RemoteError::Protocol(String::from_utf8_lossy(said).trim().to_owned()));
                }
            }
            continue;
        }
        match next(&mut rest)? {
            Some(Packet::Line(b"packfile")) => inside = true,
            Some(_) => {}
            None => break,
        }
    }
    if inside { Ok(pack) } else { Err(RemoteError::Protocol("the answer holds no pack".into())) }
}

/// As [`next`], but with line ends kept; flush ends.
fn next_raw<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RemoteError> {
    let bad = || RemoteError::Protocol("a packet line is damaged".into());
    let digits = rest.get(..4).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(bad)?;
    let length = usize::from_str_radix(digits, 16).map_err(|_| bad())?;
    if length < 4 {
        return Ok(None);
    }
    let text = rest.get(4..length).ok_or_else(bad)?;
    *rest = &rest[length..];
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_framed_and_read_back() {
        let mut bytes = line(b"hello\n");
        bytes.extend(b"00010000");
        let packets = read_all(&bytes).expect("reads");
        assert_eq!(packets, [Packet::Line(b"hello"), Packet::Delimiter, Packet::Flush]);
    }

    #[test]
    fn damage_and_complaints_are_errors() {
        for bad in [&b"0003"[..], b"zzzz", b"00ffshort", b"00", b"0009ERR x"] {
            assert!(read_all(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn the_pack_is_taken_from_band_one() {
        let mut bytes = line(b"shallow-info\n");
        bytes.extend(b"0001");
        bytes.extend(line(b"packfile\n"));
        bytes.extend(line(b"\x02progress\n"));
        bytes.extend(line(b"\x01ab\n"));
        bytes.extend(line(b"\x01c"));
        bytes.extend(b"0000");
        assert_eq!(packfile(&bytes).expect("a pack"), b"ab\nc");
        let mut failed = line(b"packfile\n");
        failed.extend(line(b"\x03no"));
        failed.extend(b"0000");
        assert!(matches!(packfile(&failed), Err(RemoteError::Protocol(said)) if said == "no"));
    }
}
