//! A pack written as a stream.
//!
//! What is on disk as a difference is sent as one, byte for byte, if its base is sent too (or the other side has it);
//! everything else is sent whole. No differences are searched. Only ids and places are kept in memory, and the objects
//! on the way from one object to its base.

use std::{
    collections::{HashMap, HashSet},
    io::Write,
};

use flate2::{Compression, write::ZlibEncoder};
use gix_hash::ObjectId;
use gix_object::Kind;
use gix_pack::data::{Entry, entry::Header};
use sha1::{Digest as _, Sha1};

use super::{Objects, Pulse, Selected};
use crate::Error;

/// What the other side understands.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackStyle {
    /// Bases may be named by their distance.
    pub offsets: bool,
    /// Bases may be objects that the other side has.
    pub thin: bool,
}

/// Writes the selected objects as a pack.
///
/// # Errors
/// [`Error::Damaged`], or what writing answered.
pub fn write_pack(
    objects: &Objects,
    selected: &Selected,
    style: PackStyle,
    out: &mut dyn Write,
    pulse: Pulse<'_>,
) -> Result<(), Error> {
    let count = u32::try_from(selected.objects.len())
        .map_err(|_| Error::TooLarge { what: "the number of objects".into(), limit: u64::from(u32::MAX) })?;
    let mut writer = Writer {
        objects,
        selected,
        wanted: selected.objects.iter().copied().collect(),
        style,
        out: Summed { out, at: 0, sum: Sha1::new() },
        written: HashMap::with_capacity(selected.objects.len()),
        places: HashMap::new(),
    };
    writer.out.put(b"PACK\0\0\0\x02")?;
    writer.out.put(&count.to_be_bytes())?;
    for id in &selected.objects {
        pulse()?;
        writer.with_bases(*id)?;
    }
    writer.out.finish()
}

/// How an object is sent.
enum Plan {
    Whole,
    /// The header's size, the compressed bytes, and the kind or the base.
    Copy(u64, Vec<u8>, Result<Kind, ObjectId>),
}

struct Writer<'a> {
    objects: &'a Objects,
    selected: &'a Selected,
    wanted: HashSet<ObjectId>,
    style: PackStyle,
    out: Summed<'a>,
    written: HashMap<ObjectId, u64>,
    /// By pack: which object starts where.
    places: HashMap<u32, Vec<(u64, ObjectId)>>,
}

impl Writer<'_> {
    /// Writes an object after the one it differs from.
    fn with_bases(&mut self, id: ObjectId) -> Result<(), Error> {
        if self.written.contains_key(&id) {
            return Ok(());
        }
        let mut stack = vec![(id, self.plan(&id)?)];
        while let Some((id, plan)) = stack.pop() {
            if let Plan::Copy(_, _, Err(base)) = &plan
                && self.wanted.contains(base)
                && !self.written.contains_key(base)
            {
                // Copies of objects in several packs can differ from each other in a circle.
                if stack.iter().any(|(waiting, _)| waiting == base) || *base == id {
                    self.write(id, Plan::Whole)?;
                    continue;
                }
                let base = *base;
                stack.push((id, plan));
                stack.push((base, self.plan(&base)?));
                continue;
            }
            if !self.written.contains_key(&id) {
                self.write(id, plan)?;
            }
        }
        Ok(())
    }

    fn plan(&mut self, id: &ObjectId) -> Result<Plan, Error> {
        let Some(packed) = self.objects.packed(id)? else { return Ok(Plan::Whole) };
        let start = packed.location.pack_offset;
        let entry = Entry::from_bytes(&packed.bytes, start, gix_hash::Kind::Sha1);
        let Ok(entry) = entry else { return Err(self.objects.unreadable(id)) };
        let base = match entry.header {
            Header::Commit => Ok(Kind::Commit),
            Header::Tree => Ok(Kind::Tree),
            Header::Blob => Ok(Kind::Blob),
            Header::Tag => Ok(Kind::Tag),
            Header::RefDelta { base_id } => Err(base_id),
            Header::OfsDelta { base_distance } => {
                match self.starting_at(packed.location.pack_id, start.wrapping_sub(base_distance))? {
                    Some(base) => Err(base),
                    None => return Ok(Plan::Whole),
                }
            }
        };
        if let Err(base) = &base
            && !self.wanted.contains(base)
            && !(self.style.thin && self.selected.there.contains(base))
        {
            return Ok(Plan::Whole);
        }
        let body = packed.bytes.get(usize::from(entry.encoded_header_size)..).unwrap_or_default().to_vec();
        Ok(Plan::Copy(entry.decompressed_size, body, base))
    }

    fn starting_at(&mut self, pack: u32, place: u64) -> Result<Option<ObjectId>, Error> {
        if !self.places.contains_key(&pack) {
            self.places.insert(pack, self.objects.places(pack)?);
        }
        let places = &self.places[&pack];
        Ok(places.binary_search_by_key(&place, |(start, _)| *start).ok().map(|at| places[at].1))
    }

    fn write(&mut self, id: ObjectId, plan: Plan) -> Result<(), Error> {
        let start = self.out.at;
        match plan {
            Plan::Whole => {
                let (kind, bytes) = self.objects.find(&id)?.ok_or_else(|| self.objects.unreadable(&id))?;
                self.out.put(&header(code(kind), bytes.len() as u64))?;
                let mut deflate = ZlibEncoder::new(&mut self.out, Compression::default());
                deflate.write_all(&bytes).and_then(|()| deflate.finish().map(drop)).map_err(gone)?;
            }
            Plan::Copy(size, body, Ok(kind)) => {
                self.out.put(&header(code(kind), size))?;
                self.out.put(&body)?;
            }
            Plan::Copy(size, body, Err(base)) => {
                match self.written.get(&base) {
                    Some(place) if self.style.offsets => {
                        self.out.put(&header(6, size))?;
                        self.out.put(&distance(start - place))?;
                    }
                    _ => {
                        self.out.put(&header(7, size))?;
                        self.out.put(base.as_slice())?;
                    }
                }
                self.out.put(&body)?;
            }
        }
        self.written.insert(id, start);
        Ok(())
    }
}

/// The number of an object's kind in a pack.
pub(super) fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
    }
}

/// Kind and size as a pack holds them.
pub(super) fn header(kind: u8, size: u64) -> Vec<u8> {
    let mut byte = kind << 4 | (size & 0x0f) as u8;
    let mut size = size >> 4;
    let mut bytes = Vec::new();
    while size > 0 {
        bytes.push(byte | 0x80);
        byte = (size & 0x7f) as u8;
        size >>= 7;
    }
    bytes.push(byte);
    bytes
}

/// A distance back, in git's own form.
fn distance(mut far: u64) -> Vec<u8> {
    let mut bytes = vec![(far & 0x7f) as u8];
    while far > 0x7f {
        far = (far >> 7) - 1;
        bytes.push(0x80 | (far & 0x7f) as u8);
    }
    bytes.reverse();
    bytes
}

fn gone(source: std::io::Error) -> Error {
    Error::Io { path: "the other side".into(), source }
}

/// Counts and sums what goes out.
struct Summed<'a> {
    out: &'a mut dyn Write,
    at: u64,
    sum: Sha1,
}

impl Summed<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_all(bytes).map_err(gone)
    }

    fn finish(self) -> Result<(), Error> {
        let sum = self.sum.finalize();
        self.out.write_all(&sum).and_then(|()| self.out.flush()).map_err(gone)
    }
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write_all(bytes)?;
        self.sum.update(bytes);
        self.at += bytes.len() as u64;
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
    fn numbers_are_written_as_git_reads_them() {
        assert_eq!(header(1, 15), [0x1f]);
        assert_eq!(header(3, 16), [0xb0, 0x01]);
        assert_eq!(distance(127), [0x7f]);
        assert_eq!(distance(128), [0x80, 0x00]);
        assert_eq!(distance(16512), [0x80, 0x80, 0x00]);
    }
}
