//! Undoes the differences in a received pack, adds the bases it does without, and writes its index.

use std::{
    cell::Cell,
    collections::HashMap,
    fs::File,
    io::{Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
    rc::Rc,
};

use flate2::{Compression, Crc, read::ZlibDecoder, write::ZlibEncoder};
use gix_hash::ObjectId;
use gix_object::Kind;
use sha1::{Digest as _, Sha1};

use super::{
    Objects, PackLimits, Pulse, check, io,
    pack_in::{Arrived, Entry, Kept, bad, finished, hasher},
    pack_out::{code, header},
    refs::readable,
};
use crate::{
    Error,
    remote::{RemoteError, undo_delta},
};

/// A pack whose objects all have ids.
pub(super) struct Indexed {
    /// What the sender sent, without the bases that were added.
    pub(super) received: Vec<ObjectId>,
    /// The sum at the pack's end, which names it.
    pub(super) sum: [u8; 20],
}

/// The bytes that differences are from; counted while they live.
struct Base {
    bytes: Vec<u8>,
    kind: Kind,
    depth: u32,
    live: Rc<Cell<usize>>,
}

impl Drop for Base {
    fn drop(&mut self) {
        self.live.set(self.live.get() - self.bytes.len());
    }
}

/// Gives every object its id, completes the pack from `objects`, and writes the index beside it.
pub(super) fn resolve(
    arrived: Arrived,
    pack: &Path,
    index: &Path,
    objects: &Objects,
    limits: &PackLimits,
    pulse: Pulse<'_>,
) -> Result<Indexed, Error> {
    let file = File::options().read(true).write(true).open(pack).map_err(io(pack))?;
    let mut work = Work::new(arrived, file, pack, limits, pulse);
    work.undo_own()?;
    work.undo_thin(objects)?;
    let received = work.received()?;
    work.complete(received.len())?;
    work.write_index(index)?;
    work.file.sync_all().map_err(io(pack))?;
    Ok(Indexed { received, sum: work.sum })
}

struct Work<'a> {
    entries: Vec<Entry>,
    file: File,
    path: &'a Path,
    limits: &'a PackLimits,
    pulse: Pulse<'a>,
    sum: [u8; 20],
    total: u64,
    live: Rc<Cell<usize>>,
    /// Differences by the entry, or by the object, that they are from.
    from: HashMap<usize, Vec<usize>>,
    of: HashMap<ObjectId, Vec<usize>>,
}

impl<'a> Work<'a> {
    fn new(arrived: Arrived, file: File, path: &'a Path, limits: &'a PackLimits, pulse: Pulse<'a>) -> Self {
        let (mut from, mut of): (HashMap<_, Vec<_>>, HashMap<_, Vec<_>>) = Default::default();
        for (at, entry) in arrived.entries.iter().enumerate() {
            match entry.kept {
                Kept::Whole(_) => {}
                Kept::From(base) => from.entry(base).or_default().push(at),
                Kept::Of(base) => of.entry(base).or_default().push(at),
            }
        }
        let Arrived { entries, sum, total } = arrived;
        Work { entries, file, path, limits, pulse, sum, total, live: Rc::default(), from, of }
    }

    /// What waits for the object at this place.
    fn waiting(&mut self, at: usize, id: &ObjectId) -> Vec<usize> {
        let mut waiting = self.from.remove(&at).unwrap_or_default();
        waiting.extend(self.of.remove(id).unwrap_or_default());
        waiting
    }

    fn undo_own(&mut self) -> Result<(), Error> {
        for at in 0..self.entries.len() {
            let (Kept::Whole(kind), Some(id)) = (self.entries[at].kept, self.entries[at].id) else {
                continue;
            };
            let waiting = self.waiting(at, &id);
            if !waiting.is_empty() {
                let bytes = self.read(at)?;
                self.undo(kind, bytes, waiting)?;
            }
        }
        Ok(())
    }

    /// The bases that the sender knows to be here already become part of the pack: it must be readable alone.
    fn undo_thin(&mut self, objects: &Objects) -> Result<(), Error> {
        loop {
            let bases: Vec<ObjectId> = self.of.keys().copied().collect();
            let mut found = false;
            for base in bases {
                if !self.of.contains_key(&base) {
                    continue;
                }
                let Some((kind, bytes)) = objects.find(&base)? else { continue };
                found = true;
                let waiting = self.of.remove(&base).unwrap_or_default();
                self.append(base, kind, &bytes)?;
                self.undo(kind, bytes, waiting)?;
            }
            if !found {
                return Ok(());
            }
        }
    }

    fn base(&self, kind: Kind, bytes: Vec<u8>, depth: u32) -> Result<Rc<Base>, Error> {
        let live = self.live.get() + bytes.len();
        self.live.set(live);
        let base = Rc::new(Base { bytes, kind, depth, live: Rc::clone(&self.live) });
        if live > self.limits.memory {
            let what = "what the pack's differences need in memory".into();
            return Err(Error::TooLarge { what, limit: self.limits.memory as u64 });
        }
        Ok(base)
    }

    /// Undoes all differences from an object, and from those that come of them: depth first, so that few live at once.
    fn undo(&mut self, kind: Kind, bytes: Vec<u8>, waiting: Vec<usize>) -> Result<(), Error> {
        let base = self.base(kind, bytes, 0)?;
        let mut stack: Vec<(usize, Rc<Base>)> =
            waiting.into_iter().map(|at| (at, Rc::clone(&base))).collect();
        drop(base);
        while let Some((at, base)) = stack.pop() {
            (self.pulse)()?;
            if base.depth >= self.limits.depth {
                return Err(bad("its chains of differences are too long"));
            }
            let delta = self.read(at)?;
            let limit = usize::try_from(self.limits.object).unwrap_or(usize::MAX);
            let bytes = undo_delta(&base.bytes, &delta, limit).map_err(|error| match error {
                RemoteError::TooLarge { limit, .. } => {
                    Error::TooLarge { what: "an object of the pack".into(), limit: limit as u64 }
                }
                _ => bad("a difference is damaged"),
            })?;
            let (kind, depth) = (base.kind, base.depth + 1);
            drop(base);
            self.total += bytes.len() as u64;
            if self.total > self.limits.total {
                let what = "the unpacked pack".into();
                return Err(Error::TooLarge { what, limit: self.limits.total });
            }
            check::object(kind, &bytes).map_err(bad)?;
            let mut sum = hasher(kind, bytes.len() as u64);
            sum.update(&bytes);
            let id = finished(sum)?;
            self.entries[at].id = Some(id);
            let waiting = self.waiting(at, &id);
            if !waiting.is_empty() {
                let base = self.base(kind, bytes, depth)?;
                stack.extend(waiting.into_iter().map(|at| (at, Rc::clone(&base))));
            }
        }
        Ok(())
    }

    /// Unpacks what the pack holds at a place; its length was checked when it came.
    fn read(&self, at: usize) -> Result<Vec<u8>, Error> {
        let entry = &self.entries[at];
        let mut packed = vec![0; (entry.end - entry.body) as usize];
        self.file.read_exact_at(&mut packed, entry.body).map_err(io(self.path))?;
        let mut bytes = Vec::with_capacity(entry.size as usize);
        ZlibDecoder::new(packed.as_slice()).read_to_end(&mut bytes).map_err(io(self.path))?;
        Ok(bytes)
    }

    fn append(&mut self, id: ObjectId, kind: Kind, bytes: &[u8]) -> Result<(), Error> {
        let start = self.entries.last().map_or(12, |entry| entry.end);
        let head = header(code(kind), bytes.len() as u64);
        let mut deflate = ZlibEncoder::new(head.clone(), Compression::default());
        let packed = deflate.write_all(bytes).and_then(|()| deflate.finish()).map_err(io(self.path))?;
        self.file.write_all_at(&packed, start).map_err(io(self.path))?;
        let mut crc = Crc::new();
        crc.update(&packed);
        self.entries.push(Entry {
            start,
            body: start + head.len() as u64,
            end: start + packed.len() as u64,
            crc: crc.sum(),
            kept: Kept::Whole(kind),
            size: bytes.len() as u64,
            id: Some(id),
        });
        Ok(())
    }

    /// The ids of what was sent; all must be known by now, and no two the same.
    fn received(&self) -> Result<Vec<ObjectId>, Error> {
        let ids: Option<Vec<ObjectId>> = self.entries.iter().map(|entry| entry.id).collect();
        let ids = ids.ok_or_else(|| bad("a difference is from an object that is not here"))?;
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(bad("an object is in it twice"));
        }
        Ok(ids)
    }

    /// Gives a pack that grew its new count and sum.
    fn complete(&mut self, count: usize) -> Result<(), Error> {
        let end = self.entries.last().map_or(12, |entry| entry.end);
        let length = self.file.metadata().map_err(io(self.path))?.len();
        let mut head = [0; 12];
        self.file.read_exact_at(&mut head, 0).map_err(io(self.path))?;
        let count = u32::try_from(count).map_err(|_| bad("it has too many objects"))?;
        if length == end + 20 && head[8..] == count.to_be_bytes() {
            return Ok(());
        }
        self.file.write_all_at(&count.to_be_bytes(), 8).map_err(io(self.path))?;
        self.file.set_len(end).map_err(io(self.path))?;
        let mut sum = Sha1::new();
        let mut at = 0;
        let mut chunk = vec![0; 1 << 20];
        while at < end {
            let length = self.file.read_at(&mut chunk, at).map_err(io(self.path))?;
            sum.update(&chunk[..length]);
            at += length as u64;
        }
        self.sum = sum.finalize().into();
        self.file.write_all_at(&self.sum, end).map_err(io(self.path))
    }

    /// The index of the pack, in git's second format.
    fn write_index(&self, path: &Path) -> Result<(), Error> {
        let mut sorted: Vec<(ObjectId, &Entry)> =
            self.entries.iter().filter_map(|entry| Some((entry.id?, entry))).collect();
        sorted.sort_unstable_by_key(|(id, _)| *id);
        let mut bytes = b"\xfftOc\0\0\0\x02".to_vec();
        let mut below = 0u32;
        let mut ids = sorted.iter().map(|(id, _)| id.as_slice()[0]).peekable();
        for first in 0..=255u8 {
            while ids.next_if(|byte| *byte <= first).is_some() {
                below += 1;
            }
            bytes.extend(below.to_be_bytes());
        }
        sorted.iter().for_each(|(id, _)| bytes.extend(id.as_slice()));
        sorted.iter().for_each(|(_, entry)| bytes.extend(entry.crc.to_be_bytes()));
        let mut far: Vec<u64> = Vec::new();
        for (_, entry) in &sorted {
            let place = match u32::try_from(entry.start) {
                Ok(place) if place < 1 << 31 => place,
                _ => {
                    far.push(entry.start);
                    1 << 31 | (far.len() - 1) as u32
                }
            };
            bytes.extend(place.to_be_bytes());
        }
        far.iter().for_each(|place| bytes.extend(place.to_be_bytes()));
        bytes.extend(self.sum);
        let sum = Sha1::digest(&bytes);
        bytes.extend(sum);
        let mut file = File::create_new(path).map_err(io(path))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io(path))?;
        readable(&file).map_err(io(path))
    }
}
