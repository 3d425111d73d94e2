//! OCI images: content store, building, unpacking, pulling and pushing.
//!
//! One [`Store`] on disk holds every image of a machine: those that were built here, those that were pushed to our own
//! registry, and those that were pulled from elsewhere. Invariants:
//!
//! - a blob is visible under its digest only when all of its bytes are on disk and were hashed;
//! - a manifest is visible only when everything it refers to is;
//! - the same inputs give the same image digest, on any machine, at any time;
//! - nothing from outside (manifests, archives, registries' answers) is read without a limit.
//!
//! Map: [`Digest`], [`Reference`] and `media` are the nouns; `store` keeps; `build` makes; `unpack` opens layers for
//! a runtime; [`Client`] talks to registries. Functions of the store block on the disk: call them from
//! `spawn_blocking` in asynchronous code.

mod build;
mod client;
mod digest;
mod error;
mod media;
mod reference;
mod save;
mod store;
mod unpack;

pub use build::{BaseOptions, BuiltImage, Compression, NONROOT, check_static_elf};
pub use client::{Client, ClientConfig, Credentials, PullPolicy};
pub use digest::{Digest, Hasher};
pub use error::{Error, Result};
pub use media::{
    ContainerConfig, Descriptor, ImageConfig, Index, MANIFEST_LIMIT, Manifest, ManifestKind, Platform,
    RootFs, media_type,
};
pub use reference::{Reference, Target, valid_repository, valid_tag};
pub use store::{Collected, Options, Repository, Store, StoredManifest, Upload};
pub use unpack::{UnpackLimits, resolve_in_root};
