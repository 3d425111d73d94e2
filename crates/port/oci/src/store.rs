//! The content store: blobs by digest, and repositories that link to them.
//!
//! ```text
//! blobs/ALGORITHM/HEX                     content, complete and hashed
//! uploads/*                               content that is being written
//! repositories/NAME/_blobs/HEX            empty: the repository holds this blob
//! repositories/NAME/_manifests/HEX        media type: the repository holds this manifest
//! repositories/NAME/_tags/TAG             digest
//! repositories/NAME/_referrers/HEX/HEX    empty: the second manifest says something about the first
//! remotes/HOST/NAME/...                   the same for images pulled from other registries
//! remotes/HOST/NAME/_aliases/HEX          digest of the image for this machine in an index that was not kept
//! layers/HEX/                             layers unpacked, by diff id (see `unpack`)
//! cache/                                  what can be computed again
//! ```
//!
//! Every file appears by a rename after its bytes were flushed, so the store is sound after a crash at any moment.
//! Names of repositories never start with `_`, so they cannot meet the folders above.

mod blobs;
mod collect;
mod manifests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

pub use blobs::Upload;
pub use collect::Collected;
pub use manifests::StoredManifest;

use crate::reference::valid_repository;
use crate::{Digest, Error, Reference, Result, UnpackLimits};

/// Settings of a [`Store`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Hosts (with port) that name our own registry: references to them are looked up here, never on a network.
    pub own_hosts: Vec<String>,
    /// Limits for unpacking layers.
    pub unpack: UnpackLimits,
}

/// A content store on disk. Clones share it; several processes may use one folder.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    pub(crate) options: Options,
    /// One lock for each layer that is being unpacked, so that it is done once.
    pub(crate) unpacking: Mutex<HashMap<Digest, Arc<Mutex<()>>>>,
    /// Held for reading while content is linked, for writing while unreachable content is removed.
    collecting: RwLock<()>,
}

/// The folder of one repository: of our own registry, or a copy of one elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    name: String,
    folder: PathBuf,
}

impl Repository {
    /// A repository of our own registry.
    pub fn own(name: &str) -> Result<Repository> {
        if !valid_repository(name) {
            return Err(Error::invalid("repository name", name));
        }
        Ok(Repository { name: name.to_owned(), folder: Path::new("repositories").join(name) })
    }

    /// The copy of a repository at another registry.
    fn remote(registry: &str, name: &str) -> Result<Repository> {
        if !valid_repository(name) {
            return Err(Error::invalid("repository name", name));
        }
        let host: String = registry
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' })
            .collect();
        if host.is_empty() || host.starts_with('.') {
            return Err(Error::invalid("registry host", registry));
        }
        Ok(Repository {
            name: format!("{registry}/{name}"),
            folder: Path::new("remotes").join(host).join(name),
        })
    }

    /// The name; with the host in front if it is a copy.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Store {
    /// Opens the store in `root` and makes its folders.
    pub fn open(root: impl Into<PathBuf>, options: Options) -> Result<Store> {
        let root = root.into();
        for folder in
            ["blobs/sha256", "blobs/sha512", "uploads", "repositories", "remotes", "layers", "cache"]
        {
            let path = root.join(folder);
            std::fs::create_dir_all(&path).map_err(Error::io("make", &path))?;
        }
        Ok(Store {
            inner: Arc::new(Inner {
                root,
                options,
                unpacking: Mutex::default(),
                collecting: RwLock::default(),
            }),
        })
    }

    /// The folder of the store.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Whether references to `registry` mean our own registry.
    pub fn is_own(&self, registry: &str) -> bool {
        self.inner.options.own_hosts.iter().any(|own| own == registry)
    }

    /// The repository that holds what `reference` names, whether or not it exists yet.
    pub fn repository(&self, reference: &Reference) -> Result<Repository> {
        if self.is_own(&reference.registry) {
            Repository::own(&reference.repository)
        } else {
            Repository::remote(&reference.registry, &reference.repository)
        }
    }

    /// The digest that `reference` names in this store, without asking any registry.
    pub fn lookup(&self, reference: &Reference) -> Result<Option<Digest>> {
        let repository = self.repository(reference)?;
        if let Some(manifest) = self.manifest(&repository, &reference.target())? {
            return Ok(Some(manifest.digest));
        }
        match reference.digest {
            Some(digest) => self.alias_of(&repository, &digest),
            None => Ok(None),
        }
    }

    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.inner.root.join(relative)
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path("blobs").join(digest.algorithm()).join(digest.hex())
    }

    fn folder(&self, repository: &Repository, kind: &str) -> PathBuf {
        self.path(&repository.folder).join(kind)
    }
}

/// Flushes a folder, so that names in it survive a loss of power.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    std::fs::File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::io("flush", path))
}

/// Whether a system error only says that the file is not there.
pub(crate) fn absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

/// The names in a folder; none if it does not exist.
pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", path)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(Error::io("list", path))?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests;
