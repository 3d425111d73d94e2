//! Opening layers for a runtime: each layer once, by diff id, ready to be a lower folder of an overlay.
//!
//! An archive is hostile until it is unpacked: no entry may leave its folder (parents are resolved inside it, symbolic
//! links included), numbers and sizes have limits, devices are left out, and both the blob's digest and the diff id
//! must be what the image says. Deletions in a layer (`.wh.NAME`, `.wh..wh..opq`) become what overlayfs understands:
//! character devices 0/0, which Linux lets anyone make since 5.8, and the attribute `user.overlay.opaque` (mount
//! with `userxattr`) or, as root, `trusted.overlay.opaque`. Where there is no overlay, [`Store::unpack_into`] makes one
//! plain folder of all layers and carries deletions out.
//!
//! Owners are kept when running as root and are the caller's otherwise. Extended attributes are not kept.

mod entries;
mod paths;

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use flate2::read::MultiGzDecoder;

pub use paths::resolve_in_root;

use self::entries::Unpacker;
pub(crate) use self::entries::Whiteouts;
use crate::media::{Descriptor, ImageConfig, MANIFEST_LIMIT, Manifest, ManifestKind, Platform};
use crate::store::sync_folder;
use crate::{Digest, Error, Hasher, Result, Store};

/// Limits for one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Bytes when unpacked.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        UnpackLimits { bytes: 16 << 30, entries: 1_000_000 }
    }
}

impl Store {
    /// The image manifest with this digest, from any repository; an index gives its image for this machine.
    pub fn image_manifest(&self, digest: &Digest) -> Result<(Digest, Manifest)> {
        let bytes = self.read_blob(digest, MANIFEST_LIMIT)?;
        match ManifestKind::parse("", &bytes)? {
            ManifestKind::Image(manifest) => Ok((*digest, manifest)),
            ManifestKind::Index(index) => {
                let platform = Platform::here();
                let chosen = index.choose(&platform).ok_or_else(|| {
                    Error::Unsupported(format!(
                        "the image has no variant for {}/{}",
                        platform.os, platform.architecture
                    ))
                })?;
                let bytes = self.read_blob(&chosen.digest, MANIFEST_LIMIT)?;
                match ManifestKind::parse("", &bytes)? {
                    ManifestKind::Image(manifest) => Ok((chosen.digest, manifest)),
                    ManifestKind::Index(_) => {
                        Err(Error::Unsupported("the index holds another index for this machine".to_owned()))
                    }
                }
            }
        }
    }

    /// The configuration of an image.
    pub fn image_config(&self, manifest: &Manifest) -> Result<ImageConfig> {
        let bytes = self.read_blob(&manifest.config.digest, MANIFEST_LIMIT)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| Error::InvalidDocument { what: "the image configuration".to_owned(), source })
    }

    /// The folders of an image's layers, lowest first, unpacked if they were not yet.
    pub fn unpacked_layers(&self, manifest: &Digest) -> Result<Vec<PathBuf>> {
        let (_, manifest) = self.image_manifest(manifest)?;
        self.pairs(&manifest)?
            .into_iter()
            .map(|(layer, diff_id)| self.unpacked_layer(&layer, &diff_id))
            .collect()
    }

    /// Unpacks an image into one folder, for machines without an overlay. The folder must be empty or new.
    pub fn unpack_into(&self, manifest: &Digest, folder: &Path) -> Result<()> {
        let (_, manifest) = self.image_manifest(manifest)?;
        std::fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
        for (layer, diff_id) in self.pairs(&manifest)? {
            self.unpack(&layer, &diff_id, folder, Whiteouts::Delete)?;
        }
        Ok(())
    }

    /// Layers with their diff ids.
    fn pairs(&self, manifest: &Manifest) -> Result<Vec<(Descriptor, Digest)>> {
        let config = self.image_config(manifest)?;
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(Error::Unsupported(format!(
                "the manifest has {} layers, its configuration names {}",
                manifest.layers.len(),
                config.rootfs.diff_ids.len()
            )));
        }
        Ok(manifest.layers.iter().cloned().zip(config.rootfs.diff_ids).collect())
    }

    fn unpacked_layer(&self, layer: &Descriptor, diff_id: &Digest) -> Result<PathBuf> {
        let path = self.path("layers").join(diff_id.hex());
        let lock: Arc<Mutex<()>> = {
            let mut unpacking = self.inner.unpacking.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            Arc::clone(unpacking.entry(*diff_id).or_default())
        };
        let _one_at_a_time = lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if path.is_dir() {
            return Ok(path);
        }
        let layers = self.path("layers");
        let fresh = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&layers)
            .map_err(Error::io("write in", &layers))?;
        self.unpack(layer, diff_id, fresh.path(), Whiteouts::Overlay)?;
        flush_file_system(fresh.path())?;
        let fresh = fresh.keep();
        match std::fs::rename(&fresh, &path) {
            Ok(()) => sync_folder(&layers)?,
            // Another process was faster; its folder has the same content.
            Err(_) if path.is_dir() => {
                std::fs::remove_dir_all(&fresh).map_err(Error::io("remove", &fresh))?;
            }
            Err(error) => return Err(Error::io("name", &path)(error)),
        }
        Ok(path)
    }

    fn unpack(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        folder: &Path,
        whiteouts: Whiteouts,
    ) -> Result<()> {
        let (file, size) = self.open_blob(&layer.digest)?;
        if size != layer.size {
            return Err(bad(layer, format!("it has {size} bytes, the manifest says {}", layer.size)));
        }
        let raw = BufReader::with_capacity(256 << 10, file);
        let limits = self.inner.options.unpack;
        let plain: Box<dyn Read> = match compression(&layer.media_type)? {
            Packing::Plain => Box::new(raw),
            Packing::Gzip => Box::new(MultiGzDecoder::new(raw)),
        };
        let mut tap =
            Tap { inner: plain, hasher: Hasher::like(diff_id), left: limits.bytes, exceeded: false };
        let outcome = Unpacker::new(folder, whiteouts, limits).run(&mut tap);
        // What follows the archive's end belongs to the diff id too.
        let outcome = outcome.and_then(|()| {
            std::io::copy(&mut tap, &mut std::io::sink()).map(drop).map_err(|error| error.to_string())
        });
        if tap.exceeded {
            return Err(Error::TooLarge {
                what: format!("layer {} unpacked", layer.digest),
                limit: limits.bytes,
            });
        }
        outcome.map_err(|reason| bad(layer, reason))?;
        let actual = tap.hasher.finish();
        if actual != *diff_id {
            return Err(Error::mismatch(*diff_id, actual));
        }
        Ok(())
    }
}

fn bad(layer: &Descriptor, reason: String) -> Error {
    Error::BadLayer { layer: layer.digest, reason }
}

enum Packing {
    Plain,
    Gzip,
}

fn compression(media_type: &str) -> Result<Packing> {
    if media_type.ends_with("gzip") {
        return Ok(Packing::Gzip);
    }
    if media_type.ends_with(".tar") {
        return Ok(Packing::Plain);
    }
    Err(Error::Unsupported(format!(
        "layers of type `{media_type}` cannot be unpacked (gzip and plain tar can)"
    )))
}

/// Hashes and counts what passes.
struct Tap<R> {
    inner: R,
    hasher: Hasher,
    left: u64,
    exceeded: bool,
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => {
                self.exceeded = true;
                return Err(std::io::Error::other("the layer is too large"));
            }
        }
        Ok(read)
    }
}

/// A folder's name must not reach the disk before the content of its files.
fn flush_file_system(path: &Path) -> Result<()> {
    let folder = std::fs::File::open(path).map_err(Error::io("read", path))?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&folder).map_err(|error| Error::io("flush", path)(error.into()))?;
    #[cfg(not(target_os = "linux"))]
    folder.sync_all().map_err(Error::io("flush", path))?;
    Ok(())
}

#[cfg(test)]
mod tests;
