//! Blobs: writing them in pieces, reading them, and which repository holds which.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::{Repository, Store, absent, sync_folder};
use crate::{Digest, Error, Hasher, Result};

/// Content on its way into the store. Dropped unfinished, it leaves nothing behind.
pub struct Upload {
    store: Store,
    file: NamedTempFile,
    hasher: Hasher,
    length: u64,
}

impl Upload {
    /// Takes the next piece.
    pub fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.file.write_all(piece).map_err(Error::io("write", self.file.path()))?;
        self.hasher.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    /// Bytes taken so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Makes the content visible under its digest, which must be `expected` if that is given.
    pub fn finish(self, expected: Option<&Digest>) -> Result<Digest> {
        let Upload { store, mut file, hasher, .. } = self;
        let digest = match expected {
            // Which algorithm it would be was not known while the pieces came.
            Some(expected) if expected.algorithm() != "sha256" => hash_again(&mut file, expected)?,
            _ => hasher.finish(),
        };
        if let Some(expected) = expected
            && *expected != digest
        {
            return Err(Error::mismatch(*expected, digest));
        }
        let path = store.blob_path(&digest);
        if store.blob_size(&digest)?.is_some() {
            touch(&path)?;
            return Ok(digest);
        }
        persist(file, &path)?;
        Ok(digest)
    }
}

/// Hashes a file by the algorithm of `like`.
fn hash_again(file: &mut NamedTempFile, like: &Digest) -> Result<Digest> {
    let path = file.path().to_owned();
    file.rewind().map_err(Error::io("read", &path))?;
    let mut hasher = Hasher::like(like);
    let mut piece = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut piece).map_err(Error::io("read", &path))?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&piece[..read]);
    }
}

/// Flushes a temporary file and gives it its name.
fn persist(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().map_err(Error::io("flush", file.path()))?;
    file.persist(path).map_err(|error| Error::io("name", path)(error.error))?;
    sync_folder(path.parent().unwrap_or(path))
}

/// Makes a file young again, so that removing what is old and unused leaves it.
fn touch(path: &Path) -> Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    utimensat(CWD, path, &times, AtFlags::empty()).map_err(|error| Error::io("touch", path)(error.into()))
}

impl Store {
    /// Starts to write content.
    pub fn begin_upload(&self) -> Result<Upload> {
        let folder = self.path("uploads");
        let file = NamedTempFile::new_in(&folder).map_err(Error::io("write in", &folder))?;
        Ok(Upload { store: self.clone(), file, hasher: Hasher::default(), length: 0 })
    }

    /// Stores content at once.
    pub fn put_blob(&self, content: &[u8]) -> Result<Digest> {
        let mut upload = self.begin_upload()?;
        upload.write(content)?;
        upload.finish(None)
    }

    /// The size of a blob, if it is here.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob_path(digest);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// Opens a blob; gives its size too.
    pub fn open_blob(&self, digest: &Digest) -> Result<(File, u64)> {
        let path = self.blob_path(digest);
        match File::open(&path).and_then(|file| file.metadata().map(|metadata| (file, metadata.len()))) {
            Ok(opened) => Ok(opened),
            Err(error) if absent(&error) => Err(Error::NotFound { what: "blob", name: digest.to_string() }),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// Reads a blob of at most `limit` bytes and checks that its bytes are still those of its digest.
    pub fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let (mut file, size) = self.open_blob(digest)?;
        if size > limit {
            return Err(Error::TooLarge { what: format!("blob {digest}"), limit });
        }
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.read_to_end(&mut content).map_err(Error::io("read", self.blob_path(digest)))?;
        let actual = digest.again(&content);
        if actual != *digest {
            return Err(Error::mismatch(*digest, actual));
        }
        Ok(content)
    }

    /// Notes that a repository holds a blob, which must be in the store.
    pub fn link_blob(&self, repository: &Repository, digest: &Digest) -> Result<()> {
        let _linking = self.inner.collecting.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if self.blob_size(digest)?.is_none() {
            return Err(Error::NotFound { what: "blob", name: digest.to_string() });
        }
        touch(&self.blob_path(digest))?;
        let folder = self.folder(repository, "_blobs");
        std::fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        let link = folder.join(digest.hex());
        // Opening for writing makes the link young again as well.
        File::create(&link).map_err(Error::io("write", &link))?;
        touch(&link)
    }

    /// The size of a blob, if this repository holds it.
    pub fn repository_blob(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>> {
        let linked = self.folder(repository, "_blobs").join(digest.hex()).exists();
        if linked { self.blob_size(digest) } else { Ok(None) }
    }

    /// Removes a blob from a repository; its bytes stay until they are collected. False if it was not there.
    pub fn unlink_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool> {
        super::manifests::remove(&self.folder(repository, "_blobs").join(digest.hex()))
    }

    /// Writes a small file so that it is there completely or not at all.
    pub(crate) fn write_file(&self, path: &Path, content: &[u8]) -> Result<()> {
        let folder = path.parent().unwrap_or(path);
        std::fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
        let uploads = self.path("uploads");
        let mut file = NamedTempFile::new_in(&uploads).map_err(Error::io("write in", &uploads))?;
        file.write_all(content).map_err(Error::io("write", file.path()))?;
        persist(file, path)
    }
}
