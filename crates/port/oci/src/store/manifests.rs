//! Manifests, tags and referrers of a repository.

use std::path::Path;

use super::{Repository, Store, absent, names, sync_folder};
use crate::media::{Descriptor, MANIFEST_LIMIT, ManifestKind};
use crate::reference::{Target, valid_tag};
use crate::{Digest, Error, Result};

/// A manifest or index as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl StoredManifest {
    /// Reads the document.
    pub fn parse(&self) -> Result<ManifestKind> {
        ManifestKind::parse(&self.media_type, &self.bytes)
    }
}

/// Removes a file; false if it was not there.
pub(super) fn remove(path: &Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if absent(&error) => Ok(false),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

/// Reads a small file; nothing if it is not there.
fn read_text(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

impl Store {
    /// Stores a manifest or index in a repository and moves `tag` to it. Everything it refers to must be there.
    pub fn put_manifest(
        &self,
        repository: &Repository,
        tag: Option<&str>,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest> {
        let digest = Digest::of(bytes);
        self.put_manifest_as(repository, &digest, tag.as_slice(), media_type, bytes)?;
        Ok(digest)
    }

    /// Stores a manifest or index under its digest, by whatever algorithm, and moves `tags` to it.
    pub fn put_manifest_as(
        &self,
        repository: &Repository,
        digest: &Digest,
        tags: &[&str],
        media_type: &str,
        bytes: &[u8],
    ) -> Result<()> {
        if let Some(tag) = tags.iter().find(|tag| !valid_tag(tag)) {
            return Err(Error::invalid("tag", tag));
        }
        let document = ManifestKind::parse(media_type, bytes)?;
        let _linking = self.inner.collecting.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.check_references(repository, &document)?;
        let mut upload = self.begin_upload()?;
        upload.write(bytes)?;
        upload.finish(Some(digest))?;
        self.write_file(&self.folder(repository, "_manifests").join(digest.hex()), media_type.as_bytes())?;
        if let Some(subject) = document.subject() {
            let link = self.folder(repository, "_referrers").join(subject.digest.hex()).join(digest.hex());
            self.write_file(&link, b"")?;
        }
        for tag in tags {
            self.write_file(&self.folder(repository, "_tags").join(tag), digest.to_string().as_bytes())?;
        }
        Ok(())
    }

    fn check_references(&self, repository: &Repository, document: &ManifestKind) -> Result<()> {
        let blobs = document.blobs();
        for blob in &blobs {
            if self.repository_blob(repository, &blob.digest)?.is_none() {
                return Err(Error::MissingReference(blob.digest));
            }
        }
        for manifest in document.manifests() {
            if !self.folder(repository, "_manifests").join(manifest.digest.hex()).exists() {
                return Err(Error::MissingReference(manifest.digest));
            }
        }
        // The links were made without a flush each; one for all of them before the manifest relies on them.
        if blobs.is_empty() { Ok(()) } else { sync_folder(&self.folder(repository, "_blobs")) }
    }

    /// The manifest or index that a repository holds under a tag or digest.
    pub fn manifest(&self, repository: &Repository, target: &Target) -> Result<Option<StoredManifest>> {
        let digest = match target {
            Target::Digest(digest) => *digest,
            Target::Tag(tag) if !valid_tag(tag) => return Err(Error::invalid("tag", tag)),
            Target::Tag(tag) => match read_text(&self.folder(repository, "_tags").join(tag))? {
                Some(digest) => digest.parse()?,
                None => return Ok(None),
            },
        };
        let Some(media_type) = read_text(&self.folder(repository, "_manifests").join(digest.hex()))? else {
            return Ok(None);
        };
        match self.read_blob(&digest, MANIFEST_LIMIT) {
            Ok(bytes) => Ok(Some(StoredManifest { digest, media_type, bytes })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves a tag to a manifest that the repository holds.
    pub fn tag(&self, repository: &Repository, tag: &str, digest: &Digest) -> Result<()> {
        if !valid_tag(tag) {
            return Err(Error::invalid("tag", tag));
        }
        if !self.folder(repository, "_manifests").join(digest.hex()).exists() {
            return Err(Error::NotFound { what: "manifest", name: digest.to_string() });
        }
        self.write_file(&self.folder(repository, "_tags").join(tag), digest.to_string().as_bytes())
    }

    /// Notes that an index, which is not kept itself, gives `image` on this machine.
    pub(crate) fn alias(&self, repository: &Repository, index: &Digest, image: &Digest) -> Result<()> {
        let path = self.folder(repository, "_aliases").join(index.hex());
        self.write_file(&path, image.to_string().as_bytes())
    }

    /// The image that an index which is not kept gives on this machine.
    pub(super) fn alias_of(&self, repository: &Repository, index: &Digest) -> Result<Option<Digest>> {
        let Some(image) = read_text(&self.folder(repository, "_aliases").join(index.hex()))? else {
            return Ok(None);
        };
        let image = image.parse()?;
        Ok(self.manifest(repository, &Target::Digest(image))?.map(|manifest| manifest.digest))
    }

    /// Removes a manifest, the tags that point to it and its place among referrers. False if it was not there.
    pub fn delete_manifest(&self, repository: &Repository, digest: &Digest) -> Result<bool> {
        for tag in self.tags(repository)? {
            let path = self.folder(repository, "_tags").join(&tag);
            if read_text(&path)?.is_some_and(|text| text == digest.to_string()) {
                remove(&path)?;
            }
        }
        if let Some(stored) = self.manifest(repository, &Target::Digest(*digest))?
            && let Some(subject) = stored.parse()?.subject()
        {
            let folder = self.folder(repository, "_referrers").join(subject.digest.hex());
            remove(&folder.join(digest.hex()))?;
        }
        remove(&self.folder(repository, "_manifests").join(digest.hex()))
    }

    /// Removes a tag; its manifest stays. False if it was not there.
    pub fn delete_tag(&self, repository: &Repository, tag: &str) -> Result<bool> {
        if !valid_tag(tag) {
            return Err(Error::invalid("tag", tag));
        }
        remove(&self.folder(repository, "_tags").join(tag))
    }

    /// The tags of a repository in byte order.
    pub fn tags(&self, repository: &Repository) -> Result<Vec<String>> {
        names(&self.folder(repository, "_tags"))
    }

    /// The manifests of a repository by digest.
    pub fn manifests(&self, repository: &Repository) -> Result<Vec<Digest>> {
        let names = names(&self.folder(repository, "_manifests"))?;
        Ok(names.iter().filter_map(|name| Digest::from_hex(name)).collect())
    }

    /// Whether a repository has ever held anything.
    pub fn repository_exists(&self, repository: &Repository) -> bool {
        ["_manifests", "_blobs"].iter().any(|kind| self.folder(repository, kind).exists())
    }

    /// The repositories of our own registry that hold a manifest, in byte order.
    pub fn repositories(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for repository in self.all_repositories(true)? {
            if !self.manifests(&repository)?.is_empty() {
                found.push(repository.name);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Every repository folder: our own only, or those pulled from elsewhere too.
    pub(super) fn all_repositories(&self, own_only: bool) -> Result<Vec<Repository>> {
        let tops: &[&str] = if own_only { &["repositories"] } else { &["repositories", "remotes"] };
        let mut found = Vec::new();
        for top in tops {
            let mut open = vec![String::new()];
            while let Some(name) = open.pop() {
                let folder = Path::new(top).join(&name);
                let mut holds = false;
                for child in names(&self.path(&folder))? {
                    if child.starts_with('_') {
                        holds = true;
                    } else if name.is_empty() {
                        open.push(child);
                    } else {
                        open.push(format!("{name}/{child}"));
                    }
                }
                if holds {
                    found.push(Repository { name, folder });
                }
            }
        }
        Ok(found)
    }

    /// Describes the manifests of a repository whose subject is `digest`.
    pub fn referrers(&self, repository: &Repository, digest: &Digest) -> Result<Vec<Descriptor>> {
        let folder = self.folder(repository, "_referrers").join(digest.hex());
        let mut found = Vec::new();
        for name in names(&folder)? {
            let Some(referrer) = Digest::from_hex(&name) else { continue };
            let Some(stored) = self.manifest(repository, &Target::Digest(referrer))? else { continue };
            let (artifact_type, annotations) = stored.parse()?.description();
            let mut descriptor = Descriptor::new(&stored.media_type, referrer, stored.bytes.len() as u64);
            descriptor.artifact_type = artifact_type;
            descriptor.annotations = annotations;
            found.push(descriptor);
        }
        Ok(found)
    }
}
