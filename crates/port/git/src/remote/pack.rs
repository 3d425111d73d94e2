//! Packs: many objects in one stream, some as differences from others.

use std::{collections::HashMap, io::Write};

use bytes::Bytes;
use flate2::{Compression, Decompress, FlushDecompress, Status, write::ZlibEncoder};
use sha1::{Digest, Sha1};

use super::{
    RemoteError, RemoteLimits,
    object::{Id, Kind, Object},
};

/// How an object is kept in the pack.
enum Kept {
    Whole(Kind),
    /// A difference from the object that starts at this place.
    At(usize),
    /// A difference from this object.
    Of(Id),
}

fn bad(detail: &str) -> RemoteError {
    RemoteError::Protocol(format!("the pack is damaged: {detail}"))
}

/// All objects of a pack that stands alone, by id.
pub(super) fn read(pack: &[u8], limits: RemoteLimits) -> Result<HashMap<Id, Object>, RemoteError> {
    let body_end = pack.len().checked_sub(20).ok_or_else(|| bad("too short"))?;
    let (body, sum) = pack.split_at(body_end);
    if Sha1::digest(body).as_slice() != sum {
        return Err(bad("wrong sum"));
    }
    let number = |at: usize| -> Result<u32, RemoteError> {
        let bytes = body.get(at..at + 4).and_then(|b| b.try_into().ok()).ok_or_else(|| bad("too short"))?;
        Ok(u32::from_be_bytes(bytes))
    };
    if !body.starts_with(b"PACK") || !matches!(number(4)?, 2 | 3) {
        return Err(bad("no pack"));
    }
    let count = number(8)? as usize;
    if count > limits.objects {
        return Err(RemoteError::TooLarge { what: "the number of objects", limit: limits.objects });
    }
    let mut reader = Reader { body, at: 12, total: 0, limits };
    let mut store = Store::default();
    let mut waiting = Vec::new();
    for _ in 0..count {
        let start = reader.at;
        let (kept, bytes) = reader.object()?;
        if let Some((kept, bytes)) = store.add(start, kept, bytes, &mut reader)? {
            waiting.push((start, kept, bytes));
        }
    }
    // Differences from objects that came later in the pack.
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut next = Vec::new();
        for (start, kept, bytes) in waiting {
            if let Some((kept, bytes)) = store.add(start, kept, bytes, &mut reader)? {
                next.push((start, kept, bytes));
            }
        }
        if next.len() == before {
            return Err(bad("a base is missing"));
        }
        waiting = next;
    }
    Ok(store.by_id)
}

#[derive(Default)]
struct Store {
    by_id: HashMap<Id, Object>,
    by_place: HashMap<usize, Id>,
}

impl Store {
    /// Keeps the object, or gives it back if what it differs from is not known yet.
    fn add(
        &mut self,
        start: usize,
        kept: Kept,
        bytes: Vec<u8>,
        reader: &mut Reader<'_>,
    ) -> Result<Option<(Kept, Vec<u8>)>, RemoteError> {
        let base = match &kept {
            Kept::Whole(kind) => {
                self.put(start, *kind, bytes);
                return Ok(None);
            }
            Kept::At(place) => self.by_place.get(place).copied(),
            Kept::Of(id) => self.by_id.contains_key(id).then_some(*id),
        };
        let Some(base) = base.and_then(|id| self.by_id.get(&id)).cloned() else {
            return Ok(Some((kept, bytes)));
        };
        let result = undo_delta(&base.bytes, &bytes, reader.limits.object)?;
        reader.count(result.len())?;
        self.put(start, base.kind, result);
        Ok(None)
    }

    fn put(&mut self, start: usize, kind: Kind, bytes: Vec<u8>) {
        let id = Id::of(kind, &bytes);
        self.by_place.insert(start, id);
        self.by_id.insert(id, Object { kind, bytes: Bytes::from(bytes) });
    }
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    total: usize,
    limits: RemoteLimits,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, RemoteError> {
        let byte = *self.body.get(self.at).ok_or_else(|| bad("ends early"))?;
        self.at += 1;
        Ok(byte)
    }

    fn count(&mut self, bytes: usize) -> Result<(), RemoteError> {
        self.total += bytes;
        if self.total > self.limits.total {
            return Err(RemoteError::TooLarge { what: "the repository's content", limit: self.limits.total });
        }
        Ok(())
    }

    fn object(&mut self) -> Result<(Kept, Vec<u8>), RemoteError> {
        let start = self.at;
        let first = self.byte()?;
        let mut size = usize::from(first & 0x0f);
        let (mut byte, mut shift) = (first, 4);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            if shift > 53 {
                return Err(bad("a size"));
            }
            size |= usize::from(byte & 0x7f) << shift;
            shift += 7;
        }
        if size > self.limits.object {
            return Err(RemoteError::TooLarge { what: "an object", limit: self.limits.object });
        }
        let kept = match (first >> 4) & 7 {
            1 => Kept::Whole(Kind::Commit),
            2 => Kept::Whole(Kind::Tree),
            3 => Kept::Whole(Kind::Blob),
            4 => Kept::Whole(Kind::Tag),
            6 => Kept::At(self.offset(start)?),
            7 => {
                let id = self.body.get(self.at..self.at + 20).and_then(|id| id.try_into().ok());
                self.at += 20;
                Kept::Of(Id(id.ok_or_else(|| bad("ends early"))?))
            }
            _ => return Err(bad("a kind")),
        };
        let bytes = self.inflate(size)?;
        self.count(bytes.len())?;
        Ok((kept, bytes))
    }

    /// Where the base of a difference starts: a distance back, in git's own variable-length form.
    fn offset(&mut self, start: usize) -> Result<usize, RemoteError> {
        let mut byte = self.byte()?;
        let mut distance = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            distance = distance
                .checked_add(1)
                .and_then(|d| d.checked_mul(128))
                .map(|d| d | usize::from(byte & 0x7f))
                .ok_or_else(|| bad("an offset"))?;
        }
        start.checked_sub(distance).ok_or_else(|| bad("an offset"))
    }

    fn inflate(&mut self, size: usize) -> Result<Vec<u8>, RemoteError> {
        let mut inflate = Decompress::new(true);
        // One byte more, so that a stream that is longer than it says shows itself.
        let mut out = Vec::with_capacity(size + 1);
        loop {
            let (taken, made) = (inflate.total_in(), out.len());
            let input = self.body.get(self.at..).unwrap_or_default();
            let status = inflate
                .decompress_vec(input, &mut out, FlushDecompress::None)
                .map_err(|_| bad("compression"))?;
            let used = (inflate.total_in() - taken) as usize;
            self.at += used;
            if out.len() > size {
                return Err(bad("a size"));
            }
            match status {
                Status::StreamEnd => break,
                _ if used == 0 && out.len() == made => return Err(bad("ends early")),
                _ => {}
            }
        }
        if out.len() == size { Ok(out) } else { Err(bad("a size")) }
    }
}

/// Applies git's difference format: copies from the base and bytes of its own.
pub(crate) fn undo_delta(base: &[u8], delta: &[u8], limit: usize) -> Result<Vec<u8>, RemoteError> {
    let mut rest = delta;
    if delta_size(&mut rest)? != base.len() {
        return Err(bad("a difference from something else"));
    }
    let size = delta_size(&mut rest)?;
    if size > limit {
        return Err(RemoteError::TooLarge { what: "an object", limit });
    }
    let mut result = Vec::with_capacity(size);
    while let Some((&order, after)) = rest.split_first() {
        rest = after;
        if order & 0x80 != 0 {
            let (mut offset, mut length) = (0usize, 0usize);
            for bit in 0..7 {
                if order & (1 << bit) == 0 {
                    continue;
                }
                let (&byte, after) = rest.split_first().ok_or_else(|| bad("a difference"))?;
                rest = after;
                match bit {
                    0..4 => offset |= usize::from(byte) << (8 * bit),
                    _ => length |= usize::from(byte) << (8 * (bit - 4)),
                }
            }
            let length = if length == 0 { 0x10000 } else { length };
            let piece = base.get(offset..offset + length).ok_or_else(|| bad("a difference"))?;
            result.extend_from_slice(piece);
        } else {
            let piece = rest
                .get(..usize::from(order))
                .filter(|p| !p.is_empty())
                .ok_or_else(|| bad("a difference"))?;
            result.extend_from_slice(piece);
            rest = &rest[piece.len()..];
        }
        if result.len() > size {
            return Err(bad("a difference"));
        }
    }
    if result.len() == size { Ok(result) } else { Err(bad("a difference")) }
}

fn delta_size(rest: &mut &[u8]) -> Result<usize, RemoteError> {
    let (mut size, mut shift) = (0usize, 0);
    loop {
        let (&byte, after) = rest.split_first().ok_or_else(|| bad("a difference"))?;
        *rest = after;
        size |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(size);
        }
        if shift > 56 {
            return Err(bad("a size"));
        }
    }
}

/// A pack of whole objects.
pub(super) fn write(objects: &[(Kind, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend_from_slice(&(objects.len() as u32).to_be_bytes());
    for (kind, bytes) in objects {
        let mut size = bytes.len();
        let mut byte = ((*kind as u8) << 4) | (size & 0x0f) as u8;
        size >>= 4;
        while size > 0 {
            pack.push(byte | 0x80);
            byte = (size & 0x7f) as u8;
            size >>= 7;
        }
        pack.push(byte);
        let mut deflate = ZlibEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(bytes)?;
        pack.extend(deflate.finish()?);
    }
    let sum = Sha1::digest(&pack);
    pack.extend_from_slice(&sum);
    Ok(pack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_back(blobs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5000), 0..8)) {
            let objects: Vec<_> = blobs.into_iter().map(|bytes| (Kind::Blob, bytes)).collect();
            let read = read(&write(&objects).expect("packs"), RemoteLimits::default()).expect("reads");
            for (kind, bytes) in objects {
                prop_assert_eq!(&read[&Id::of(kind, &bytes)].bytes[..], &bytes[..]);
            }
        }

        #[test]
        fn noise_is_refused_without_panic(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut pack = b"PACK\0\0\0\x02\0\0\0\x01".to_vec();
            pack.extend(&noise);
            let sum = Sha1::digest(&pack);
            pack.extend_from_slice(&sum);
            let _ = read(&pack, RemoteLimits::default());
            let _ = undo_delta(b"base", &noise, 1 << 20);
        }
    }

    #[test]
    fn limits_and_sums_hold() {
        let pack = write(&[(Kind::Blob, vec![0; 1000])]).expect("packs");
        let small = RemoteLimits { object: 999, ..RemoteLimits::default() };
        assert!(matches!(read(&pack, small), Err(RemoteError::TooLarge { .. })));
        let mut damaged = pack;
        damaged[15] ^= 1;
        assert!(matches!(read(&damaged, RemoteLimits::default()), Err(RemoteError::Protocol(_))));
    }

    #[test]
    fn differences_copy_and_insert() {
        // Base "hello world": copy 6 from 0, insert "there".
        let delta = [11, 11, 0x90, 6, 5, b't', b'h', b'e', b'r', b'e'];
        assert_eq!(undo_delta(b"hello world", &delta, 100).expect("applies"), b"hello there");
        assert!(undo_delta(b"hello", &delta, 100).is_err());
    }
}
