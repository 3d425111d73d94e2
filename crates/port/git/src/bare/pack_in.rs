//! A pack as it arrives: written to a file while it is read, every object unpacked once and measured.
//!
//! Sizes in a pack are claims: memory grows with what really comes, and a stream that is longer or shorter than it says
//! is refused. Whole objects get their ids here; differences get theirs in `resolve`.

use std::{
    fs::File,
    io::{BufWriter, Read, Write as _},
    path::Path,
};

use flate2::{Crc, Decompress, FlushDecompress, Status};
use gix_hash::{Hasher, ObjectId};
use gix_object::Kind;
use sha1::{Digest as _, Sha1};

use super::{Pulse, check, io};
use crate::Error;

const CHUNK: usize = 64 * 1024;

/// What a received pack may weigh.
#[derive(Clone, Copy, Debug)]
pub struct PackLimits {
    /// Objects in it.
    pub objects: u32,
    /// Bytes of one object.
    pub object: u64,
    /// Bytes of all objects, unpacked.
    pub total: u64,
    /// Bytes of bases in memory at once while differences are undone.
    pub memory: usize,
    /// Differences of differences of differences.
    pub depth: u32,
}

impl Default for PackLimits {
    fn default() -> Self {
        PackLimits { objects: 5_000_000, object: 256 << 20, total: 16 << 30, memory: 768 << 20, depth: 4096 }
    }
}

pub(super) fn bad(what: impl Into<String>) -> Error {
    Error::Pack(what.into())
}

/// How an object is kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    Whole(Kind),
    /// A difference from the object at this place of the list.
    From(usize),
    /// A difference from this object.
    Of(ObjectId),
}

/// One object of the pack.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) start: u64,
    /// Where its compressed bytes begin and end.
    pub(super) body: u64,
    pub(super) end: u64,
    pub(super) crc: u32,
    pub(super) kept: Kept,
    /// Of the object, or of the difference.
    pub(super) size: u64,
    pub(super) id: Option<ObjectId>,
}

/// A pack that has arrived, its differences not yet undone.
pub(super) struct Arrived {
    pub(super) entries: Vec<Entry>,
    pub(super) sum: [u8; 20],
    pub(super) total: u64,
}

/// Starts the sum that is an object's id. It notices inputs made to collide.
pub(super) fn hasher(kind: Kind, size: u64) -> Hasher {
    let mut hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
    hasher.update(format!("{kind} {size}\0").as_bytes());
    hasher
}

pub(super) fn finished(hasher: Hasher) -> Result<ObjectId, Error> {
    hasher.try_finalize().map_err(|_| bad("an object is made to collide with another"))
}

/// Reads a pack to its end and writes it to `path`.
pub(super) fn arrive(
    input: &mut dyn Read,
    path: &Path,
    limits: &PackLimits,
    pulse: Pulse<'_>,
) -> Result<Arrived, Error> {
    let file = File::options().write(true).create_new(true).open(path).map_err(io(path))?;
    let mut reader = Reader {
        input,
        out: BufWriter::with_capacity(CHUNK, file),
        path,
        buffer: vec![0; CHUNK],
        from: 0,
        to: 0,
        at: 0,
        sum: Sha1::new(),
        crc: Crc::new(),
        total: 0,
        limits,
    };
    let head = reader.bytes::<12>()?;
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if &head[..4] != b"PACK" || !matches!(number(4), 2 | 3) {
        return Err(bad("this is no pack"));
    }
    let count = number(8);
    if count > limits.objects {
        let limit = u64::from(limits.objects);
        return Err(Error::TooLarge { what: "the number of objects in the pack".into(), limit });
    }
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..count {
        pulse()?;
        let entry = reader.entry(&entries)?;
        entries.push(entry);
    }
    let (sum, total) = (reader.end()?, reader.total);
    Ok(Arrived { entries, sum, total })
}

struct Reader<'a> {
    input: &'a mut dyn Read,
    out: BufWriter<File>,
    path: &'a Path,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    at: u64,
    sum: Sha1,
    crc: Crc,
    total: u64,
    limits: &'a PackLimits,
}

impl Reader<'_> {
    /// Sees to it that there is something to read, unless the input has ended.
    fn fill(&mut self) -> Result<(), Error> {
        while self.from == self.to {
            match self.input.read(&mut self.buffer) {
                Ok(length) => (self.from, self.to) = (0, length),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(bad(format!("it did not arrive: {error}"))),
            }
            break;
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<(), Error> {
        let piece = &self.buffer[self.from..self.from + length];
        self.sum.update(piece);
        self.crc.update(piece);
        self.out.write_all(piece).map_err(io(self.path))?;
        self.from += length;
        self.at += length as u64;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.fill()?;
        let byte = *self.buffer[self.from..self.to].first().ok_or_else(|| bad("it ends early"))?;
        self.take(1)?;
        Ok(byte)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    fn entry(&mut self, before: &[Entry]) -> Result<Entry, Error> {
        let start = self.at;
        self.crc = Crc::new();
        let first = self.byte()?;
        let size = self.size(first)?;
        if size > self.limits.object {
            return Err(Error::TooLarge { what: "an object of the pack".into(), limit: self.limits.object });
        }
        let kept = match (first >> 4) & 7 {
            1 => Kept::Whole(Kind::Commit),
            2 => Kept::Whole(Kind::Tree),
            3 => Kept::Whole(Kind::Blob),
            4 => Kept::Whole(Kind::Tag),
            6 => {
                let base = start.checked_sub(self.distance()?);
                let found = base.and_then(|base| before.binary_search_by_key(&base, |e| e.start).ok());
                Kept::From(found.ok_or_else(|| bad("a difference is from no object"))?)
            }
            7 => Kept::Of(ObjectId::from(self.bytes::<20>()?)),
            _ => return Err(bad("an object is of no kind")),
        };
        let body = self.at;
        let id = self.body(kept, size)?;
        Ok(Entry { start, body, end: self.at, crc: self.crc.sum(), kept, size, id })
    }

    fn size(&mut self, first: u8) -> Result<u64, Error> {
        let mut size = u64::from(first & 0x0f);
        let (mut byte, mut shift) = (first, 4);
        while byte & 0x80 != 0 {
            if shift > 53 {
                return Err(bad("a size is impossible"));
            }
            byte = self.byte()?;
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
        }
        Ok(size)
    }

    fn distance(&mut self) -> Result<u64, Error> {
        let mut byte = self.byte()?;
        let mut distance = u64::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            let next = distance.checked_add(1).and_then(|d| d.checked_mul(128));
            distance = next.ok_or_else(|| bad("a distance is impossible"))? | u64::from(byte & 0x7f);
        }
        Ok(distance)
    }

    /// Unpacks an object to measure it; answers the id of a whole one. Only what is checked is kept in memory.
    fn body(&mut self, kept: Kept, size: u64) -> Result<Option<ObjectId>, Error> {
        let kind = match kept {
            Kept::Whole(kind) => Some(kind),
            Kept::From(_) | Kept::Of(_) => None,
        };
        let mut sum = kind.map(|kind| hasher(kind, size));
        let checked = kind.is_some_and(|kind| kind != Kind::Blob);
        let mut bytes = Vec::new();
        self.inflate(size, &mut |piece| {
            if let Some(sum) = &mut sum {
                sum.update(piece);
            }
            if checked {
                bytes.extend_from_slice(piece);
            }
        })?;
        if let (Some(kind), true) = (kind, checked) {
            check::object(kind, &bytes).map_err(bad)?;
        }
        sum.map(finished).transpose()
    }

    fn inflate(&mut self, size: u64, sink: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let mut inflate = Decompress::new(true);
        let mut out = [0; CHUNK];
        loop {
            self.fill()?;
            let (used, made) = (inflate.total_in(), inflate.total_out());
            let input = &self.buffer[self.from..self.to];
            let ended = input.is_empty();
            let status = inflate
                .decompress(input, &mut out, FlushDecompress::None)
                .map_err(|_| bad("an object's compression is damaged"))?;
            let (used, made) = (inflate.total_in() - used, inflate.total_out() - made);
            self.take(used as usize)?;
            sink(&out[..made as usize]);
            self.total += made;
            if inflate.total_out() > size {
                return Err(bad("an object is longer than it says"));
            }
            if self.total > self.limits.total {
                let what = "the unpacked pack".into();
                return Err(Error::TooLarge { what, limit: self.limits.total });
            }
            match status {
                Status::StreamEnd => break,
                _ if ended && made == 0 => return Err(bad("it ends early")),
                _ if used == 0 && made == 0 => return Err(bad("an object's compression is damaged")),
                _ => {}
            }
        }
        if inflate.total_out() == size { Ok(()) } else { Err(bad("an object is shorter than it says")) }
    }

    /// The sum at the end, which must be right and the last thing.
    fn end(&mut self) -> Result<[u8; 20], Error> {
        let sum: [u8; 20] = self.sum.clone().finalize().into();
        if self.bytes::<20>()? != sum {
            return Err(bad("its sum is wrong"));
        }
        self.fill()?;
        if self.from != self.to {
            return Err(bad("something follows it"));
        }
        self.out.flush().map_err(io(self.path))?;
        Ok(sum)
    }
}
