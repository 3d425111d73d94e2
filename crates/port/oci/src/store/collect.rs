//! Removing what no manifest needs any more.
//!
//! What a repository's manifests refer to is kept; so is anything younger than a grace period, because an image is
//! written bottom up: its layers are there before its manifest. Touching a blob makes it young again.

use std::collections::HashSet;
use std::path::Path;

use galley_units::Clock;
use serde::Serialize;

use super::{Repository, Store, names};
use crate::reference::Target;
use crate::{Digest, Error, ManifestKind, Result};

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// Blobs removed.
    pub blobs: usize,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// Unpacked layers removed.
    pub layers: usize,
    /// Abandoned uploads removed.
    pub uploads: usize,
}

/// What the manifests of all repositories need.
#[derive(Default)]
struct Needed {
    blobs: HashSet<Digest>,
    diff_ids: HashSet<Digest>,
}

impl Store {
    /// Removes blobs, unpacked layers and uploads that nothing refers to and that are older than `grace`. Images in
    /// `in_use` (digests of manifests), such as those of running containers, keep their unpacked layers even if no
    /// repository holds them any more.
    pub fn collect_garbage(
        &self,
        clock: &dyn Clock,
        grace: std::time::Duration,
        in_use: &[Digest],
    ) -> Result<Collected> {
        let _alone = self.inner.collecting.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut needed = Needed::default();
        for repository in self.all_repositories(false)? {
            let held = self.needs(&repository, &mut needed)?;
            for name in names(&self.folder(&repository, "_blobs"))? {
                let link = self.folder(&repository, "_blobs").join(&name);
                let used = Digest::from_hex(&name).is_some_and(|digest| held.contains(&digest));
                if !used && is_old(&link, clock, grace) {
                    super::manifests::remove(&link)?;
                }
            }
        }
        for image in in_use {
            let (digest, manifest) = self.image_manifest(image)?;
            needed.blobs.extend([*image, digest, manifest.config.digest]);
            needed.blobs.extend(manifest.layers.iter().map(|layer| layer.digest));
            needed.diff_ids.extend(self.image_config(&manifest)?.rootfs.diff_ids);
        }
        self.remove_unneeded(&needed, clock, grace)
    }

    /// Adds what a repository's manifests need to `needed`, and gives the blobs among it.
    fn needs(&self, repository: &Repository, needed: &mut Needed) -> Result<HashSet<Digest>> {
        let mut held = HashSet::new();
        for digest in self.manifests(repository)? {
            let Some(stored) = self.manifest(repository, &Target::Digest(digest))? else { continue };
            needed.blobs.insert(digest);
            let document = stored.parse()?;
            held.extend(document.blobs().iter().map(|blob| blob.digest));
            if let ManifestKind::Image(manifest) = &document {
                // An artifact's configuration is not an image's; it has no layers to keep unpacked.
                if let Ok(config) = self.image_config(manifest) {
                    needed.diff_ids.extend(config.rootfs.diff_ids);
                }
            }
        }
        needed.blobs.extend(held.iter().copied());
        Ok(held)
    }

    fn remove_unneeded(
        &self,
        needed: &Needed,
        clock: &dyn Clock,
        grace: std::time::Duration,
    ) -> Result<Collected> {
        let mut collected = Collected::default();
        for folder in ["blobs/sha256", "blobs/sha512"] {
            for name in names(&self.path(folder))? {
                let path = self.path(folder).join(&name);
                let keep = Digest::from_hex(&name).is_none_or(|digest| needed.blobs.contains(&digest));
                if !keep && is_old(&path, clock, grace) {
                    collected.bytes += std::fs::metadata(&path).map(|metadata| metadata.len()).unwrap_or(0);
                    collected.blobs += usize::from(super::manifests::remove(&path)?);
                }
            }
        }
        for name in names(&self.path("layers"))? {
            let path = self.path("layers").join(&name);
            let keep = Digest::from_hex(&name).is_some_and(|digest| needed.diff_ids.contains(&digest));
            if !keep && is_old(&path, clock, grace) {
                std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
                collected.layers += 1;
            }
        }
        for name in names(&self.path("uploads"))? {
            let path = self.path("uploads").join(&name);
            if is_old(&path, clock, grace) {
                collected.uploads += usize::from(super::manifests::remove(&path)?);
            }
        }
        Ok(collected)
    }
}

/// Whether a file was last changed longer ago than `grace`; a file whose age is unknown is young.
fn is_old(path: &Path, clock: &dyn Clock, grace: std::time::Duration) -> bool {
    let Ok(changed) = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified()) else {
        return false;
    };
    let now = std::time::SystemTime::from(clock.now());
    now.duration_since(changed).is_ok_and(|age| age > grace)
}
