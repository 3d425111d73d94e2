//! Manifests, indexes and image configurations, and the media types that name them.
//!
//! Only what is read or written here is modelled; unknown fields are ignored, because the bytes of a document are
//! kept and served as they came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Error, Result};

/// Largest manifest or index that is read, in bytes; what registries commonly accept.
pub const MANIFEST_LIMIT: u64 = 4 << 20;

/// Media types of OCI and of Docker's second schema.
pub mod media_type {
    /// An OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image configuration.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A plain tar layer.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A tar layer, compressed with gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// Docker's image manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's layer, compressed with gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

    /// What a client says it can read when it asks for a manifest.
    pub const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
        application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";
}

/// A pointer to content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The kind of artifact, in lists of referrers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Other addresses of the content; layers that can only be had there are not supported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// In an index: the platform the image is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// A descriptor with nothing but the necessary.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: None,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
        }
    }

    /// Whether the content may be left out by a registry: layers that say they are served elsewhere.
    pub fn is_foreign(&self) -> bool {
        self.media_type.contains("nondistributable") || self.media_type.contains("foreign")
    }
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Architecture in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// Operating system in Go's words: `linux`.
    pub os: String,
    /// Variant of the architecture, such as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on the architecture that this program was compiled for.
    pub fn here() -> Platform {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Platform { architecture: architecture.to_owned(), os: "linux".to_owned(), variant: None }
    }

    fn runs_on(&self, machine: &Platform) -> bool {
        self.os == machine.os && self.architecture == machine.architecture
    }
}

/// An image manifest: one configuration and its layers, lowest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What this document is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The kind of artifact, when it is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An index, or Docker's manifest list: manifests by platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What this document is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The kind of artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// The image for `platform`: the first that fits, as containerd and Docker choose.
    pub fn choose(&self, platform: &Platform) -> Option<&Descriptor> {
        self.manifests.iter().find(|entry| entry.platform.as_ref().is_some_and(|p| p.runs_on(platform)))
    }
}

/// Either document that a manifest address can hold.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "short-lived; a box would be in every caller's way")]
pub enum ManifestKind {
    /// One image or artifact.
    Image(Manifest),
    /// Several, by platform.
    Index(Index),
}

impl ManifestKind {
    /// Reads a manifest or an index, whichever `media_type` or else its own fields say it is.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<ManifestKind> {
        if bytes.len() as u64 > MANIFEST_LIMIT {
            return Err(Error::TooLarge { what: "the manifest".to_owned(), limit: MANIFEST_LIMIT });
        }
        let invalid = |source| Error::InvalidDocument { what: "the manifest".to_owned(), source };
        let index = match media_type {
            media_type::INDEX | media_type::DOCKER_LIST => true,
            media_type::MANIFEST | media_type::DOCKER_MANIFEST => false,
            _ => {
                let shape: serde_json::Value = serde_json::from_slice(bytes).map_err(invalid)?;
                shape.get("manifests").is_some()
            }
        };
        if index {
            serde_json::from_slice(bytes).map(ManifestKind::Index).map_err(invalid)
        } else {
            serde_json::from_slice(bytes).map(ManifestKind::Image).map_err(invalid)
        }
    }

    /// The manifest that this one says something about.
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            ManifestKind::Image(manifest) => manifest.subject.as_ref(),
            ManifestKind::Index(index) => index.subject.as_ref(),
        }
    }

    /// Configuration and layers that must be in the repository.
    pub fn blobs(&self) -> Vec<&Descriptor> {
        match self {
            ManifestKind::Image(manifest) => std::iter::once(&manifest.config)
                .chain(manifest.layers.iter().filter(|layer| !layer.is_foreign()))
                .collect(),
            ManifestKind::Index(_) => Vec::new(),
        }
    }

    /// Manifests that an index refers to.
    pub fn manifests(&self) -> &[Descriptor] {
        match self {
            ManifestKind::Image(_) => &[],
            ManifestKind::Index(index) => &index.manifests,
        }
    }

    /// How a list of referrers describes this manifest: kind of artifact (a manifest without one has its
    /// configuration's type) and annotations.
    pub fn description(&self) -> (Option<String>, BTreeMap<String, String>) {
        match self {
            ManifestKind::Image(manifest) => (
                Some(manifest.artifact_type.clone().unwrap_or_else(|| manifest.config.media_type.clone())),
                manifest.annotations.clone(),
            ),
            ManifestKind::Index(index) => (index.artifact_type.clone(), index.annotations.clone()),
        }
    }
}

/// An image's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made; a fixed moment in images of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Architecture in Go's words.
    #[serde(default)]
    pub architecture: String,
    /// Operating system in Go's words.
    #[serde(default)]
    pub os: String,
    /// How to run it.
    #[serde(default)]
    pub config: ContainerConfig,
    /// Its file system.
    #[serde(default)]
    pub rootfs: RootFs,
}

/// The layers of an image as they are when unpacked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(default)]
    pub diff_ids: Vec<Digest>,
}

/// How an image wants to be run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// User and perhaps group, names or numbers: `65532:65532`.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null")]
    pub user: String,
    /// `NAME=value` lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null")]
    pub env: Vec<String>,
    /// What is run.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null")]
    pub entrypoint: Vec<String>,
    /// Its arguments unless others are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null")]
    pub cmd: Vec<String>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "null")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
}

/// Docker writes `null` for empty lists.
fn null<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_gives_the_image_for_the_platform() {
        let digest = |n: u8| Digest::of(&[n]);
        let entry = |n, os: &str, architecture: &str| {
            let mut d = Descriptor::new(media_type::MANIFEST, digest(n), 1);
            d.platform = Some(Platform { architecture: architecture.into(), os: os.into(), variant: None });
            d
        };
        let index = Index {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            manifests: vec![
                entry(0, "unknown", "unknown"),
                entry(1, "linux", "arm64"),
                entry(2, "linux", "amd64"),
                entry(3, "windows", "amd64"),
            ],
            subject: None,
            annotations: BTreeMap::new(),
        };
        let linux = Platform { architecture: "amd64".into(), os: "linux".into(), variant: None };
        assert_eq!(index.choose(&linux).unwrap().digest, digest(2));
        let s390 = Platform { architecture: "s390x".into(), ..linux };
        assert!(index.choose(&s390).is_none());
    }

    #[test]
    fn dockers_nulls_are_read() {
        let config: ImageConfig = serde_json::from_str(
            r#"{"architecture":"amd64","os":"linux","config":{"Cmd":null,"Entrypoint":["/x"],"Labels":null},
                "rootfs":{"type":"layers","diff_ids":[]},"history":[]}"#,
        )
        .unwrap();
        assert_eq!(config.config.entrypoint, ["/x"]);
        assert!(config.config.cmd.is_empty());
    }
}
