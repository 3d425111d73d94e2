//! Packet lines: git's framing, four hexadecimal digits of length before each line.

use std::io::{Read, Write};

/// The longest packet, with its length.
pub(crate) const LONGEST: usize = 65520;

/// One packet, without its end of line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Line(Vec<u8>),
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
}

impl Packet {
    /// The line as text; nothing for the other packets.
    pub(crate) fn text(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Packet::Line(line) => Some(String::from_utf8_lossy(line)),
            _ => None,
        }
    }
}

/// A request that is not git's protocol.
#[derive(Debug, thiserror::Error)]
#[error("this is not git's protocol: {0}")]
pub(crate) struct Odd(pub(crate) String);

pub(crate) fn odd(what: impl Into<String>) -> Odd {
    Odd(what.into())
}

/// Reads one packet; nothing at the end.
pub(crate) fn read(from: &mut dyn Read) -> Result<Option<Packet>, Odd> {
    let mut digits = [0; 4];
    let first = from.read(&mut digits[..1]).map_err(|error| odd(error.to_string()))?;
    if first == 0 {
        return Ok(None);
    }
    let early = |_| odd("it ends early");
    from.read_exact(&mut digits[1..]).map_err(early)?;
    let length = std::str::from_utf8(&digits).ok().filter(|d| d.bytes().all(|c| c.is_ascii_hexdigit()));
    let length = length.and_then(|digits| usize::from_str_radix(digits, 16).ok());
    match length {
        Some(0) => Ok(Some(Packet::Flush)),
        Some(1) => Ok(Some(Packet::Delimiter)),
        Some(length @ 4..=LONGEST) => {
            let mut line = vec![0; length - 4];
            from.read_exact(&mut line).map_err(early)?;
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            Ok(Some(Packet::Line(line)))
        }
        _ => Err(odd("a packet has a bad length")),
    }
}

/// Writes one line as a packet.
pub(crate) fn line(to: &mut dyn Write, text: impl AsRef<[u8]>) -> std::io::Result<()> {
    let text = text.as_ref();
    write!(to, "{:04x}", text.len() + 4)?;
    to.write_all(text)
}

pub(crate) const FLUSH: &[u8] = b"0000";
pub(crate) const DELIMITER: &[u8] = b"0001";

/// Writes into band 1 of packets of bounded length, or plainly if the client knows no bands.
pub(crate) struct Bands<'a> {
    to: &'a mut dyn Write,
    /// The longest packet the client takes.
    length: Option<usize>,
    waiting: Vec<u8>,
}

impl<'a> Bands<'a> {
    pub(crate) fn new(to: &'a mut dyn Write, length: Option<usize>) -> Self {
        Bands { to, length, waiting: Vec::new() }
    }

    fn packet(&mut self, band: u8, bytes: &[u8]) -> std::io::Result<()> {
        write!(self.to, "{:04x}", bytes.len() + 5)?;
        self.to.write_all(&[band])?;
        self.to.write_all(bytes)
    }

    fn send(&mut self, least: usize) -> std::io::Result<()> {
        let Some(length) = self.length else { return Ok(()) };
        let room = length - 5;
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        while rest.len() >= least.min(room) && !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(room));
            self.packet(1, piece)?;
            rest = after;
        }
        self.waiting = rest.to_vec();
        Ok(())
    }

    /// Writes what waits, and the end.
    pub(crate) fn end(mut self) -> std::io::Result<()> {
        self.send(1)?;
        if self.length.is_some() {
            self.to.write_all(FLUSH)?;
        }
        self.to.flush()
    }

    /// Tells the client why there is no more; `false` if it knows no bands.
    pub(crate) fn complain(mut self, why: &str) -> std::io::Result<bool> {
        if self.length.is_none() {
            return Ok(false);
        }
        let why = why.get(..900).unwrap_or(why);
        self.packet(3, format!("{why}\n").as_bytes())?;
        self.to.write_all(FLUSH)?;
        self.to.flush()?;
        Ok(true)
    }
}

impl Write for Bands<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(length) = self.length else { return self.to.write(bytes) };
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= length - 5 {
            self.send(length - 5)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_and_bad_lengths_refused() {
        let mut bytes = &b"0009want\n000100000004"[..];
        let mut next = || read(&mut bytes).expect("reads");
        assert_eq!(next(), Some(Packet::Line(b"want".to_vec())));
        assert_eq!(next(), Some(Packet::Delimiter));
        assert_eq!(next(), Some(Packet::Flush));
        assert_eq!(next(), Some(Packet::Line(Vec::new())));
        assert_eq!(next(), None);
        for bad in ["0003", "zzzz", "+004", "00", "0009wan", "fff1x", "-001"] {
            assert!(read(&mut bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn bands_are_cut_to_what_the_client_takes() {
        let mut out = Vec::new();
        let mut bands = Bands::new(&mut out, Some(9));
        for piece in ["ab", "cdef", "g", "hi"] {
            bands.write_all(piece.as_bytes()).expect("writes");
        }
        bands.end().expect("writes");
        assert_eq!(String::from_utf8_lossy(&out), "0009\u{1}abcd0009\u{1}efgh0006\u{1}i0000");
        let mut plain = Vec::new();
        let mut bands = Bands::new(&mut plain, None);
        bands.write_all(b"abc").expect("writes");
        assert!(!bands.complain("no").expect("writes"));
        assert_eq!(plain, b"abc");
    }
}
