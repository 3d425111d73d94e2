//! Objects by id.
//!
//! A received pack is read before it is part of the repository: its folder is then a layer above the repository's.

use std::{collections::HashSet, path::Path};

use gix_hash::{ObjectId, Prefix};
use gix_object::Kind;
use gix_odb::{Handle, store::init::Options};
use gix_pack::{Find as _, cache::lru::MemoryCappedHashmap, data::entry::Location};

use super::{damaged, io};
use crate::Error;

/// Bytes of decoded bases kept while differences are undone.
const BASES: usize = 32 << 20;
/// The most memory that one object on disk may ask for.
const OBJECT: usize = 1 << 30;

/// The objects of a repository; reading only.
pub struct Objects {
    layers: Vec<Handle>,
    path: std::path::PathBuf,
}

/// One object as a pack holds it.
pub(crate) struct Packed {
    pub(crate) location: Location,
    pub(crate) bytes: Vec<u8>,
}

impl Objects {
    pub(crate) fn open(repository: &Path) -> Result<Self, Error> {
        let layers = vec![layer(&repository.join("objects"))?];
        Ok(Objects { layers, path: repository.to_owned() })
    }

    /// The same with the objects of another folder, which does not change, in front of them.
    pub(crate) fn with_layer(repository: &Path, above: &Path) -> Result<Self, Error> {
        let mut objects = Objects::open(repository)?;
        let mut above = layer(above)?;
        above.refresh_never();
        objects.layers.insert(0, above);
        Ok(objects)
    }

    fn odd(&self, id: &ObjectId, error: impl std::fmt::Display) -> Error {
        damaged(&self.path, format!("reading the object {id}: {error}"))
    }

    /// The object's kind and bytes, if it is there.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn find(&self, id: &ObjectId) -> Result<Option<(Kind, Vec<u8>)>, Error> {
        let mut buffer = Vec::new();
        for layer in &self.layers {
            let found = gix_object::Find::try_find(layer, id, &mut buffer).map_err(|e| self.odd(id, e))?;
            if let Some(kind) = found.map(|data| data.kind) {
                return Ok(Some((kind, buffer)));
            }
        }
        Ok(None)
    }

    /// The object, which must be there and of that kind.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn get(&self, id: &ObjectId, kind: Kind) -> Result<Vec<u8>, Error> {
        match self.find(id)? {
            Some((found, bytes)) if found == kind => Ok(bytes),
            Some((found, _)) => Err(self.odd(id, format!("it is a {found}, not a {kind}"))),
            None => Err(self.odd(id, "it is missing")),
        }
    }

    /// The object's kind and size, if it is there.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn header(&self, id: &ObjectId) -> Result<Option<(Kind, u64)>, Error> {
        for layer in &self.layers {
            let found = gix_odb::Header::try_header(layer, id).map_err(|e| self.odd(id, e))?;
            if let Some(header) = found {
                return Ok(Some((header.kind(), header.size())));
            }
        }
        Ok(None)
    }

    pub(super) fn unreadable(&self, id: &ObjectId) -> Error {
        self.odd(id, "it cannot be understood")
    }

    /// Whether the object is there.
    pub fn has(&self, id: &ObjectId) -> bool {
        self.layers.iter().any(|layer| layer.contains(id))
    }

    /// The object that a tag, and a tag of a tag, names, with its kind; the object itself if it is no tag.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn peel(&self, id: &ObjectId) -> Result<Option<(Kind, ObjectId)>, Error> {
        let mut id = *id;
        for _ in 0..32 {
            let Some((kind, _)) = self.header(&id)? else { return Ok(None) };
            if kind != Kind::Tag {
                return Ok(Some((kind, id)));
            }
            id = super::commit::tag_target(&self.get(&id, Kind::Tag)?)
                .ok_or_else(|| self.odd(&id, "the tag names nothing"))?;
        }
        Ok(None)
    }

    /// What a tag names, with its kind.
    pub(super) fn peel_once(&self, tag: &ObjectId) -> Result<(Kind, ObjectId), Error> {
        let target = super::commit::tag_target(&self.get(tag, Kind::Tag)?);
        let target = target.ok_or_else(|| self.odd(tag, "the tag names nothing"))?;
        match self.header(&target)? {
            Some((kind, _)) => Ok((kind, target)),
            None => Err(self.odd(&target, "it is missing")),
        }
    }

    /// All objects whose ids begin so.
    pub(crate) fn beginning(&self, hex: &str) -> Result<Vec<ObjectId>, Error> {
        let Ok(prefix) = Prefix::from_hex(hex) else { return Ok(Vec::new()) };
        let mut found = HashSet::new();
        for layer in &self.layers {
            layer
                .lookup_prefix(prefix, Some(&mut found))
                .map_err(|error| damaged(&self.path, format!("looking for `{hex}`: {error}")))?;
        }
        Ok(found.into_iter().collect())
    }

    /// The object as the repository's packs hold it; nothing if it is loose.
    pub(crate) fn packed(&self, id: &ObjectId) -> Result<Option<Packed>, Error> {
        let Some(layer) = self.layers.last() else { return Ok(None) };
        let mut buffer = Vec::new();
        let found = layer.location_by_oid(id, &mut buffer).map_err(|e| self.odd(id, e))?;
        let Some(location) = found else { return Ok(None) };
        let bytes = layer.entry_by_location(&location).map(|entry| entry.data);
        Ok(bytes.map(|bytes| Packed { location, bytes }))
    }

    /// The objects of a pack by the place where they start, in order.
    pub(crate) fn places(&self, pack: u32) -> Result<Vec<(u64, ObjectId)>, Error> {
        let Some(layer) = self.layers.last() else { return Ok(Vec::new()) };
        let found = layer.pack_offsets_and_oid(pack);
        let found = found.map_err(|error| damaged(&self.path, format!("reading a pack's index: {error}")))?;
        let mut places = found.unwrap_or_default();
        places.sort_unstable();
        Ok(places)
    }
}

fn layer(folder: &Path) -> Result<Handle, Error> {
    let options = Options { alloc_limit_bytes: Some(OBJECT), ..Options::default() };
    let mut handle = gix_odb::at_opts(folder, gix_hash::Kind::Sha1, [], options).map_err(io(folder))?;
    handle.prevent_pack_unload();
    handle.set_pack_cache(|| Box::new(MemoryCappedHashmap::new(BASES)));
    Ok(handle)
}
