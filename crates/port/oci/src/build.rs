//! Building images without a Dockerfile: a base layer with the program, a layer with the model.
//!
//! Everything that could differ between two builds is fixed: order, times (0), owners (0), modes, the documents'
//! field order. So the same inputs give the same digest, which the tests hold.
//!
//! Layers are plain tar by default: local registries and runtimes read them without decompressing, the digest does not
//! depend on a compressor's version, and a program of 40 MB is packed in well under half a second. [`Compression::Gzip`]
//! is for images that travel far.
//!
//! Images run as user and group 65532 (`nonroot`), which owns nothing in them: a server needs to read its model,
//! not to write it. Whoever needs root says so in the pod.

mod elf;
mod layer;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use elf::check_static_elf;

use self::layer::{Content, Entry, write_layer};
use crate::media::{ContainerConfig, Descriptor, ImageConfig, Manifest, Platform, RootFs, media_type};
use crate::store::Repository;
use crate::{Digest, Error, Result, Store};

/// The user and group that images of ours run as.
pub const NONROOT: &str = "65532:65532";

const PASSWD: &[u8] = b"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n";
const GROUP: &[u8] = b"root:x:0:\nnonroot:x:65532:\n";
/// When every image of ours was made, as far as its configuration says.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// How a layer is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Compression {
    /// Plain tar: fastest to make and to open.
    #[default]
    None,
    /// Gzip with a level from 1 to 9.
    Gzip(u8),
}

/// How to build the base image.
#[derive(Clone, Debug, Default)]
pub struct BaseOptions {
    /// How its layer is packed.
    pub compression: Compression,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Certificates of the authorities that programs in the image trust, PEM; they become
    /// `/etc/ssl/certs/ca-certificates.crt`.
    pub certificates: Vec<u8>,
}

/// An image that is in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltImage {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// The configuration.
    pub config: ImageConfig,
}

/// A layer that is in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BuiltLayer {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: Digest,
}

/// A configuration and a manifest, written.
pub(crate) struct Composed {
    pub(crate) config: ImageConfig,
    pub(crate) config_bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
    pub(crate) manifest_bytes: Vec<u8>,
}

/// What the base layer was made from, kept so that an unchanged program is not packed again.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CachedBase {
    path: String,
    size: u64,
    modified: (i64, i64),
    inode: u64,
    compression: Compression,
    certificates: Digest,
    layer: BuiltLayer,
}

impl Store {
    /// Builds the image that holds `binary` as `/galley`, under `tag`. An unchanged program costs a few milliseconds.
    pub fn base_image(
        &self,
        repository: &Repository,
        tag: &str,
        binary: &Path,
        options: &BaseOptions,
    ) -> Result<BuiltImage> {
        let layer = self.base_layer(binary, options)?;
        self.put_image(repository, Some(tag), compose(None, &layer, &options.labels), &[&layer.descriptor])
    }

    /// Builds an image of `base` (an image in this store) and one more layer with `files` (absolute path to content).
    /// `labels` become labels of the configuration and annotations of the manifest.
    pub fn model_image(
        &self,
        base: &Digest,
        repository: &Repository,
        tag: Option<&str>,
        files: &BTreeMap<String, Vec<u8>>,
        labels: &BTreeMap<String, String>,
    ) -> Result<BuiltImage> {
        let (_, manifest) = self.image_manifest(base)?;
        let config = self.image_config(&manifest)?;
        let layer = self.file_layer(files)?;
        let mut blobs: Vec<&Descriptor> = manifest.layers.iter().collect();
        blobs.push(&layer.descriptor);
        self.put_image(repository, tag, compose(Some((&manifest, &config)), &layer, labels), &blobs)
    }

    /// A layer with these files in the store.
    pub(crate) fn file_layer(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<BuiltLayer> {
        let mut entries = Vec::new();
        for (path, content) in files {
            entries.push(Entry::file(path, 0o644, Content::Bytes(content))?);
        }
        write_layer(self, entries, Compression::None)
    }

    /// Links the parts of an image, writes its documents, and moves the tag; nothing is written that is there.
    fn put_image(
        &self,
        repository: &Repository,
        tag: Option<&str>,
        composed: Composed,
        layers: &[&Descriptor],
    ) -> Result<BuiltImage> {
        let digest = Digest::of(&composed.manifest_bytes);
        let built = BuiltImage { digest, manifest: composed.manifest, config: composed.config };
        let target = tag.map_or(crate::Target::Digest(digest), |tag| crate::Target::Tag(tag.to_owned()));
        if self.manifest(repository, &target)?.is_some_and(|stored| stored.digest == digest) {
            return Ok(built);
        }
        let config = self.put_blob(&composed.config_bytes)?;
        for blob in layers.iter().map(|layer| &layer.digest).chain([&config]) {
            self.link_blob(repository, blob)?;
        }
        self.put_manifest(repository, tag, media_type::MANIFEST, &composed.manifest_bytes)?;
        Ok(built)
    }

    fn base_layer(&self, binary: &Path, options: &BaseOptions) -> Result<BuiltLayer> {
        let compression = options.compression;
        let certificates = Digest::of(&options.certificates);
        let path = binary.canonicalize().map_err(Error::io("read", binary))?;
        let metadata = path.metadata().map_err(Error::io("read", &path))?;
        let cache = self.path("cache/base.json");
        let text = path.to_string_lossy().into_owned();
        let known = std::fs::read(&cache).ok().and_then(|b| serde_json::from_slice::<CachedBase>(&b).ok());
        if let Some(known) = known
            && known.path == text
            && known.size == metadata.size()
            && known.modified == (metadata.mtime(), metadata.mtime_nsec())
            && known.inode == metadata.ino()
            && known.compression == compression
            && known.certificates == certificates
            && self.blob_size(&known.layer.descriptor.digest)? == Some(known.layer.descriptor.size)
        {
            return Ok(known.layer);
        }
        check_static_elf(&path)?;
        let mut entries = vec![
            Entry::file("/etc/group", 0o644, Content::Bytes(GROUP))?,
            Entry::file("/etc/passwd", 0o644, Content::Bytes(PASSWD))?,
            Entry::file("/galley", 0o755, Content::File(&path, metadata.size()))?,
            Entry::folder("/tmp", 0o1777)?,
        ];
        if !options.certificates.is_empty() {
            entries.push(Entry::file(
                "/etc/ssl/certs/ca-certificates.crt",
                0o644,
                Content::Bytes(&options.certificates),
            )?);
        }
        let layer = write_layer(self, entries, compression)?;
        let entry = CachedBase {
            path: text,
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            inode: metadata.ino(),
            compression,
            certificates,
            layer: layer.clone(),
        };
        let json = serde_json::to_vec(&entry).map_err(|source| Error::InvalidDocument {
            what: "the record of the base layer".to_owned(),
            source,
        })?;
        self.write_file(&cache, &json)?;
        Ok(layer)
    }
}

/// The documents of an image: `base` with one more layer, or that layer alone with our entrypoint.
pub(crate) fn compose(
    base: Option<(&Manifest, &ImageConfig)>,
    layer: &BuiltLayer,
    labels: &BTreeMap<String, String>,
) -> Composed {
    let (mut layers, mut config) = match base {
        Some((manifest, config)) => (manifest.layers.clone(), config.clone()),
        None => (Vec::new(), base_config()),
    };
    layers.push(layer.descriptor.clone());
    config.rootfs.diff_ids.push(layer.diff_id);
    config.created = Some(EPOCH.to_owned());
    config.config.labels.extend(labels.clone());
    let config_bytes = json(&config);
    // The result is an OCI image, also upon a Docker one: both name the same bytes by other types.
    for layer in &mut layers {
        if layer.media_type == media_type::DOCKER_LAYER_GZIP {
            media_type::LAYER_GZIP.clone_into(&mut layer.media_type);
        }
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::new(media_type::CONFIG, Digest::of(&config_bytes), config_bytes.len() as u64),
        layers,
        subject: None,
        annotations: labels.clone(),
    };
    let manifest_bytes = json(&manifest);
    Composed { config, config_bytes, manifest, manifest_bytes }
}

fn base_config() -> ImageConfig {
    let platform = Platform::here();
    ImageConfig {
        created: None,
        architecture: platform.architecture,
        os: platform.os,
        config: ContainerConfig {
            user: NONROOT.to_owned(),
            env: vec!["PATH=/".to_owned(), "HOME=/tmp".to_owned()],
            entrypoint: vec!["/galley".to_owned()],
            working_dir: "/".to_owned(),
            ..ContainerConfig::default()
        },
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
    }
}

fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("documents of strings, numbers and lists can always be written")
}

#[cfg(test)]
mod tests;
