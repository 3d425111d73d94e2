//! A model image made at a registry: only the new layer travels, the base's layers are lent by its repository.

use std::collections::BTreeMap;

use super::Client;
use super::pull::blocking;
use super::push::{Source, send_blob};
use crate::build::compose;
use crate::media::{ManifestKind, Platform, media_type};
use crate::{Digest, Error, ImageConfig, Reference, Result, Store, StoredManifest, Target};

impl Client {
    /// Builds an image of `base` and one more layer with `files`, at the registry that holds `base`, and gives it the
    /// reference's tag. Gives the same digest as [`Store::model_image`]. `scratch` is a store for the new layer.
    pub async fn build_on(
        &self,
        base: &Reference,
        target: &Reference,
        files: BTreeMap<String, Vec<u8>>,
        labels: BTreeMap<String, String>,
        scratch: &Store,
    ) -> Result<Digest> {
        if base.registry != target.registry {
            return Err(Error::Unsupported(format!("{base} and {target} are at different registries")));
        }
        let mut stored = self.fetch_manifest(base).await?;
        if let ManifestKind::Index(index) = stored.parse()? {
            let chosen = index
                .choose(&Platform::here())
                .ok_or_else(|| Error::Unsupported(format!("{base} has no variant for this machine")))?;
            stored = self.fetch_manifest(&base.pinned(chosen.digest)).await?;
        }
        let ManifestKind::Image(manifest) = stored.parse()? else {
            return Err(Error::Unsupported(format!("{base} is an index of indexes")));
        };
        let config: ImageConfig =
            serde_json::from_slice(&self.fetch_blob(base, &manifest.config).await?).map_err(|source| {
                Error::InvalidDocument { what: "the image configuration".to_owned(), source }
            })?;

        let store = scratch.clone();
        let (composed, layer) = blocking(move || {
            let layer = store.file_layer(&files)?;
            let composed = compose(Some((&manifest, &config)), &layer, &labels);
            store.put_blob(&composed.config_bytes)?;
            Ok((composed, layer))
        })
        .await?;

        for blob in &composed.manifest.layers {
            let source = if *blob == layer.descriptor {
                Source::Store(scratch)
            } else {
                Source::Repository(&base.repository)
            };
            send_blob(&self.session, &source, blob, target).await?;
        }
        send_blob(&self.session, &Source::Store(scratch), &composed.manifest.config, target).await?;
        let stored = StoredManifest {
            digest: Digest::of(&composed.manifest_bytes),
            media_type: media_type::MANIFEST.to_owned(),
            bytes: composed.manifest_bytes,
        };
        let name = match &target.tag {
            Some(tag) => Target::Tag(tag.clone()),
            None => Target::Digest(stored.digest),
        };
        self.session.put_manifest(target, &name, &stored).await?;
        Ok(stored.digest)
    }
}
