//! A received pack on its way into the repository.
//!
//! It lies in a folder of its own below `objects` (`tmp_objdir-…`, which git's own collection clears away too) until
//! everything in it is checked and all that the new tips name is known to be there. Then it is moved, objects first:
//! whatever moment the process is killed at, the repository is whole and at worst has objects that nothing names.

use std::{
    fs::{self, File},
    io::{Read, Write as _},
    path::Path,
};

use flate2::{Compression, write::ZlibEncoder};
use gix_hash::ObjectId;
use gix_object::Kind;
use tempfile::{NamedTempFile, TempDir};

use super::{Bare, Objects, PackLimits, Pulse, Selection, io, pack_in, refs, resolve, select};
use crate::Error;

const PREFIX: &str = "tmp_objdir-galley-";
/// Packs of up to this many objects become loose objects, as with git: small pushes must not become many small packs.
const LOOSE: usize = 100;

/// A received pack that is not yet part of the repository.
pub struct Quarantine {
    folder: TempDir,
    objects: Objects,
    indexed: resolve::Indexed,
}

impl Quarantine {
    /// Takes a pack from `input`: completes, checks and indexes it.
    ///
    /// # Errors
    /// [`Error::Pack`] and [`Error::TooLarge`] for what was sent; [`Error::Io`], [`Error::Damaged`] for what is here.
    pub fn receive(
        bare: &Bare,
        input: &mut dyn Read,
        limits: &PackLimits,
        pulse: Pulse<'_>,
    ) -> Result<Self, Error> {
        let objects = bare.path().join("objects");
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&objects).map_err(io(&objects))?;
        let packs = folder.path().join("pack");
        fs::create_dir(&packs).map_err(io(&packs))?;
        let (pack, index) = (packs.join("pack-new.pack"), packs.join("pack-new.idx"));
        let arrived = pack_in::arrive(input, &pack, limits, pulse)?;
        let indexed = resolve::resolve(arrived, &pack, &index, bare.objects(), limits, pulse)?;
        let objects = Objects::with_layer(bare.path(), folder.path())?;
        Ok(Quarantine { folder, objects, indexed })
    }

    /// Removes what processes that were killed have left. Only for a time at which nothing is received.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sweep(repository: &Path) -> Result<(), Error> {
        let objects = repository.join("objects");
        for entry in fs::read_dir(&objects).map_err(io(&objects))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                fs::remove_dir_all(entry.path()).map_err(io(&entry.path()))?;
            }
        }
        Ok(())
    }

    /// The repository's objects and the received ones.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Makes the received objects part of the repository, on disk for good.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn keep(self, bare: &Bare) -> Result<(), Error> {
        if self.indexed.received.len() <= LOOSE { self.keep_loose(bare) } else { self.keep_pack(bare) }
    }

    fn keep_pack(&self, bare: &Bare) -> Result<(), Error> {
        let packs = bare.path().join("objects/pack");
        fs::create_dir_all(&packs).map_err(io(&packs))?;
        let name = format!("pack-{}", hex::encode(self.indexed.sum));
        let from = self.folder.path().join("pack");
        // A pack without index is nothing to git: the index comes last.
        for kind in ["pack", "idx"] {
            let (from, to) = (from.join(format!("pack-new.{kind}")), packs.join(format!("{name}.{kind}")));
            if !to.exists() {
                read_only(&from)?;
                fs::rename(&from, &to).map_err(io(&to))?;
            }
        }
        refs::sync_folder(&packs.join(name))
    }

    fn keep_loose(&self, bare: &Bare) -> Result<(), Error> {
        let mut folders = std::collections::BTreeSet::new();
        for id in &self.indexed.received {
            if bare.objects().has(id) {
                continue;
            }
            let Some((kind, bytes)) = self.objects.find(id)? else {
                return Err(bare.damaged(format!("the received object {id} is gone")));
            };
            let path = write_loose(bare.path(), id, kind, &bytes)?;
            folders.insert(path);
        }
        folders.iter().try_for_each(|folder| refs::sync_folder(&folder.join("x")))?;
        refs::sync_folder(&bare.path().join("objects/x"))
    }
}

/// Writes one object as a file; answers its folder.
fn write_loose(
    repository: &Path,
    id: &ObjectId,
    kind: Kind,
    bytes: &[u8],
) -> Result<std::path::PathBuf, Error> {
    let name = id.to_string();
    let folder = repository.join("objects").join(&name[..2]);
    fs::create_dir_all(&folder).map_err(io(&folder))?;
    let file = tempfile::Builder::new().prefix("tmp_obj_").tempfile_in(&folder).map_err(io(&folder))?;
    let mut deflate = ZlibEncoder::new(file, Compression::fast());
    let written = deflate
        .write_all(format!("{kind} {}\0", bytes.len()).as_bytes())
        .and_then(|()| deflate.write_all(bytes))
        .and_then(|()| deflate.finish());
    let file: NamedTempFile = written.map_err(io(&folder))?;
    file.as_file().sync_all().map_err(io(file.path()))?;
    read_only(file.path())?;
    let path = folder.join(&name[2..]);
    file.persist(&path).map_err(|error| io(&path)(error.error))?;
    Ok(folder)
}

/// Objects never change.
fn read_only(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::Permissions::from_mode(0o444);
    File::open(path).and_then(|file| file.set_permissions(mode)).map_err(io(path))
}

impl Bare {
    /// Checks that everything the new tips name is there, in the repository or in `quarantine`. What existing references
    /// reach is taken to be whole.
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::Damaged`] for something that is missing or of the wrong kind.
    pub fn check_connected(
        &self,
        quarantine: Option<&Quarantine>,
        tips: &[ObjectId],
        pulse: Pulse<'_>,
    ) -> Result<(), Error> {
        let objects = quarantine.map_or(self.objects(), Quarantine::objects);
        let selection = Selection {
            wants: tips.to_vec(),
            haves: self.refs()?.into_values().collect(),
            ..Selection::default()
        };
        select::all_there(self, objects, &selection, pulse)
    }
}
