//! One image as one file: a tar archive in the OCI layout, with the `manifest.json` that `docker load` wants beside it.
//!
//! `ctr images import`, `nerdctl load`, `podman load`, `docker load` and `skopeo copy oci-archive:` read it. The same
//! image gives the same bytes.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::json;
use tar::{EntryType, Header};

use crate::{Descriptor, Digest, Error, Index, Manifest, ManifestKind, Reference, Result, Store, media_type};

impl Store {
    /// Writes an image of this store as an archive; `name` is what it is called where it is read.
    ///
    /// # Errors
    /// [`Error::NotFound`] if a part is not here, [`Error::Io`] if `to` cannot be written.
    pub fn save(&self, digest: &Digest, name: &Reference, to: impl Write) -> Result<()> {
        let (digest, manifest) = self.image_manifest(digest)?;
        let mut archive = tar::Builder::new(to);
        file(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        file(&mut archive, "index.json", &self.index(&digest, name)?)?;
        file(&mut archive, "manifest.json", &docker_list(&manifest, name))?;
        for blob in
            std::iter::once(digest).chain(ManifestKind::Image(manifest).blobs().iter().map(|b| b.digest))
        {
            let (content, size) = self.open_blob(&blob)?;
            let mut header = header(size);
            archive.append_data(&mut header, path(&blob), content).map_err(written)?;
        }
        archive.into_inner().and_then(|mut to| to.flush()).map_err(written)
    }

    fn index(&self, digest: &Digest, name: &Reference) -> Result<Vec<u8>> {
        let (_, size) = self.open_blob(digest)?;
        let mut entry = Descriptor::new(media_type::MANIFEST, *digest, size);
        entry.annotations = [
            ("io.containerd.image.name".to_owned(), name.to_string()),
            ("org.opencontainers.image.ref.name".to_owned(), name.tag.clone().unwrap_or_default()),
        ]
        .into();
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::INDEX.to_owned()),
            artifact_type: None,
            manifests: vec![entry],
            subject: None,
            annotations: BTreeMap::new(),
        };
        Ok(serde_json::to_vec(&index).unwrap_or_default())
    }
}

/// What `docker load` reads.
fn docker_list(manifest: &Manifest, name: &Reference) -> Vec<u8> {
    let layers: Vec<_> = manifest.layers.iter().map(|layer| path(&layer.digest)).collect();
    let tags: Vec<_> = name.tag.iter().map(|_| name.to_string()).collect();
    let list = json!([{ "Config": path(&manifest.config.digest), "RepoTags": tags, "Layers": layers }]);
    list.to_string().into_bytes()
}

fn path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

fn file(archive: &mut tar::Builder<impl Write>, path: &str, content: &[u8]) -> Result<()> {
    archive.append_data(&mut header(content.len() as u64), path, content).map_err(written)
}

fn header(size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    header
}

fn written(source: std::io::Error) -> Error {
    Error::Io { action: "write", path: "the archive".into(), source }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::{Options, Repository};

    #[test]
    fn an_archive_holds_every_part_and_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Options::default()).unwrap();
        let repository = Repository::own("galley").unwrap();
        let binary = std::env::current_exe().unwrap();
        let built = store.base_image(&repository, "1", &binary, &crate::BaseOptions::default()).unwrap();
        let name: Reference = "registry.example:5000/galley:1".parse().unwrap();
        let mut bytes = Vec::new();
        store.save(&built.digest, &name, &mut bytes).unwrap();

        let mut parts = BTreeMap::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            parts.insert(entry.path().unwrap().display().to_string(), content);
        }
        let index: Index = serde_json::from_slice(&parts["index.json"]).unwrap();
        let entry = &index.manifests[0];
        assert_eq!(entry.digest, built.digest);
        assert_eq!(entry.annotations["io.containerd.image.name"], "registry.example:5000/galley:1");
        let manifest: Manifest = serde_json::from_slice(&parts[&path(&entry.digest)]).unwrap();
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            assert_eq!(Digest::of(&parts[&path(&blob.digest)]), blob.digest);
        }
        let docker: serde_json::Value = serde_json::from_slice(&parts["manifest.json"]).unwrap();
        assert_eq!(docker[0]["RepoTags"][0], "registry.example:5000/galley:1");
    }
}
