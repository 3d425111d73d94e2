//! Bringing an image into the store: manifest, then blobs side by side, then the links that make it visible.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use super::session::Session;
use crate::media::{Descriptor, Manifest, ManifestKind, Platform};
use crate::{Digest, Error, Reference, Result, Store, StoredManifest, Target};

/// Pieces between the network and the disk.
const PIECES: usize = 32;

/// Runs work on the store where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Error::Io {
            action: "finish work in",
            path: "the image store".into(),
            source: std::io::Error::other(error),
        }),
    }
}

/// The digest of the image for this machine if the store holds all of it.
pub(super) async fn present(store: &Store, reference: &Reference) -> Result<Option<Digest>> {
    let (store, reference) = (store.clone(), reference.clone());
    blocking(move || {
        let Some(digest) = store.lookup(&reference)? else { return Ok(None) };
        // Of an index that was pulled, only this machine's image may be here.
        let (digest, manifest) = match store.image_manifest(&digest) {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            if store.blob_size(&blob.digest)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(digest))
    })
    .await
}

pub(super) async fn pull(session: &Session, reference: &Reference, store: &Store) -> Result<Digest> {
    let asked = session.manifest(reference, &reference.target()).await?;
    let (image, manifest) = match asked.parse()? {
        ManifestKind::Image(manifest) => (asked.clone(), manifest),
        ManifestKind::Index(index) => {
            let platform = Platform::here();
            let chosen = index.choose(&platform).ok_or_else(|| {
                Error::Unsupported(format!(
                    "{reference} has no variant for {}/{}",
                    platform.os, platform.architecture
                ))
            })?;
            let image = session.manifest(reference, &Target::Digest(chosen.digest)).await?;
            match image.parse()? {
                ManifestKind::Image(manifest) => (image, manifest),
                ManifestKind::Index(_) => {
                    return Err(Error::Unsupported(format!("{reference} is an index of indexes")));
                }
            }
        }
    };
    let blobs: Vec<Descriptor> = std::iter::once(&manifest.config).chain(&manifest.layers).cloned().collect();
    futures::stream::iter(blobs)
        .map(|blob| async move { fetch(session, reference, store, &blob).await })
        .buffer_unordered(session.config.parallel.max(1))
        .try_collect::<Vec<()>>()
        .await?;
    record(store, reference, asked, image, manifest).await
}

/// Links everything in the copy of the repository. An index is kept as a tag only: its other images are not here,
/// so the tag names this machine's image.
async fn record(
    store: &Store,
    reference: &Reference,
    asked: StoredManifest,
    image: StoredManifest,
    manifest: Manifest,
) -> Result<Digest> {
    let (store, reference) = (store.clone(), reference.clone());
    blocking(move || {
        let repository = store.repository(&reference)?;
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            store.link_blob(&repository, &blob.digest)?;
        }
        // A tag beside a digest is a comment: the digest decided.
        let tag = if reference.digest.is_some() { None } else { reference.tag.as_deref() };
        store.put_manifest_as(&repository, &image.digest, tag.as_slice(), &image.media_type, &image.bytes)?;
        if asked.digest != image.digest {
            store.alias(&repository, &asked.digest, &image.digest)?;
        }
        Ok(image.digest)
    })
    .await
}

/// Transfers one blob unless it is here; begins again after a transient failure.
async fn fetch(session: &Session, reference: &Reference, store: &Store, blob: &Descriptor) -> Result<()> {
    let (known, digest) = (store.clone(), blob.digest);
    if blocking(move || known.blob_size(&digest)).await?.is_some() {
        return Ok(());
    }
    if blob.is_foreign() {
        return Err(Error::Unsupported(format!("layer {} is not served by the registry", blob.digest)));
    }
    let mut pause = Duration::from_millis(200);
    let mut attempt = 1;
    loop {
        match transfer(session, reference, store, blob).await {
            Err(error) if error.is_transient() && attempt < session.config.attempts => {
                tracing::debug!(%error, attempt, "reading the blob again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn transfer(session: &Session, reference: &Reference, store: &Store, blob: &Descriptor) -> Result<()> {
    let (to_disk, mut pieces) = mpsc::channel::<Bytes>(PIECES);
    let (done, finished) = tokio::sync::oneshot::channel::<()>();
    let (store, digest) = (store.clone(), blob.digest);
    let writer = blocking(move || {
        let mut upload = store.begin_upload()?;
        while let Some(piece) = pieces.blocking_recv() {
            upload.write(&piece)?;
        }
        // Without the word that all was read, the pieces ended early: leave nothing behind.
        if finished.blocking_recv().is_ok() { upload.finish(Some(&digest)).map(drop) } else { Ok(()) }
    });
    let reader = async {
        let (mut response, action) = session.open_blob(reference, blob).await?;
        let mut size = 0u64;
        while let Some(piece) = session.next_piece(&mut response, &action, reference).await? {
            size += piece.len() as u64;
            if size > blob.size {
                return Err(Error::TooLarge { what: format!("blob {}", blob.digest), limit: blob.size });
            }
            if to_disk.send(piece).await.is_err() {
                // The writer failed and says why.
                return Ok(());
            }
        }
        let _ = done.send(());
        drop(to_disk);
        Ok(())
    };
    let (read, written) = tokio::join!(reader, writer);
    read.and(written)
}
