//! Sending an image to a registry: blobs that it lacks, then manifests, then the tag.

use futures::{StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Url};
use tokio::io::AsyncReadExt;

use super::pull::blocking;
use super::session::{Access, Session};
use crate::media::{Descriptor, MANIFEST_LIMIT, ManifestKind};
use crate::{Digest, Error, Reference, Result, Store, StoredManifest, Target};

/// Bytes read from the disk at once.
const PIECE: usize = 256 << 10;

/// Where a blob's bytes are.
pub(super) enum Source<'a> {
    Store(&'a Store),
    /// Another repository of the same registry, which may lend the blob.
    Repository(&'a str),
}

pub(super) async fn push(
    session: &Session,
    store: &Store,
    digest: &Digest,
    reference: &Reference,
) -> Result<()> {
    // An index is sent after its images; deeper nesting has no use.
    let top = read(store, digest).await?;
    if let ManifestKind::Index(index) = top.parse()? {
        for entry in &index.manifests {
            let image = read(store, &entry.digest).await?;
            push_image(session, store, &image, reference, &Target::Digest(entry.digest)).await?;
        }
    }
    let target = match &reference.tag {
        Some(tag) => Target::Tag(tag.clone()),
        None => Target::Digest(*digest),
    };
    push_image(session, store, &top, reference, &target).await
}

async fn push_image(
    session: &Session,
    store: &Store,
    manifest: &StoredManifest,
    reference: &Reference,
    target: &Target,
) -> Result<()> {
    let document = manifest.parse()?;
    let blobs: Vec<Descriptor> = document.blobs().into_iter().cloned().collect();
    futures::stream::iter(blobs)
        .map(|blob| async move { send_blob(session, &Source::Store(store), &blob, reference).await })
        .buffer_unordered(session.config.parallel.max(1))
        .try_collect::<Vec<()>>()
        .await?;
    session.put_manifest(reference, target, manifest).await
}

async fn read(store: &Store, digest: &Digest) -> Result<StoredManifest> {
    let (store, digest) = (store.clone(), *digest);
    blocking(move || {
        let bytes = store.read_blob(&digest, MANIFEST_LIMIT)?;
        let kind = ManifestKind::parse("", &bytes)?;
        let (said, usual) = match &kind {
            ManifestKind::Image(manifest) => (&manifest.media_type, crate::media_type::MANIFEST),
            ManifestKind::Index(index) => (&index.media_type, crate::media_type::INDEX),
        };
        let media_type = said.clone().unwrap_or_else(|| usual.to_owned());
        Ok(StoredManifest { digest, media_type, bytes })
    })
    .await
}

/// Whether the registry's repository has a blob.
pub(super) async fn has_blob(session: &Session, blob: &Digest, reference: &Reference) -> Result<bool> {
    let url = session.url(reference, &format!("blobs/{blob}"))?;
    let timeout = session.config.request_timeout;
    let action = format!("look for blob {blob}");
    let outcome =
        session.send(&action, reference, Access::Push, |http| http.head(url.clone()).timeout(timeout)).await;
    match outcome {
        Ok(_) => Ok(true),
        Err(Error::Refused { status: 404, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends a blob that the repository lacks, or has it lent by another repository.
pub(super) async fn send_blob(
    session: &Session,
    source: &Source<'_>,
    blob: &Descriptor,
    reference: &Reference,
) -> Result<()> {
    if has_blob(session, &blob.digest, reference).await? {
        return Ok(());
    }
    let mut attempt = 1;
    loop {
        match send_once(session, source, blob, reference).await {
            Err(error) if error.is_transient() && attempt < session.config.attempts => {
                tracing::debug!(%error, attempt, "sending the blob again");
                tokio::time::sleep(std::time::Duration::from_millis(200 << attempt)).await;
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn send_once(
    session: &Session,
    source: &Source<'_>,
    blob: &Descriptor,
    reference: &Reference,
) -> Result<()> {
    let action = format!("write blob {}", blob.digest);
    let mut url = session.url(reference, "blobs/uploads/")?;
    if let Source::Repository(from) = source {
        url.query_pairs_mut().append_pair("mount", &blob.digest.to_string()).append_pair("from", from);
    }
    let timeout = session.config.request_timeout;
    let response = session
        .once(&action, reference, Access::Push, |http| {
            http.post(url.clone()).header(CONTENT_LENGTH, 0).timeout(timeout)
        })
        .await?;
    if response.status() == reqwest::StatusCode::CREATED {
        return Ok(());
    }
    let Source::Store(store) = source else {
        return Err(Error::Unsupported(format!(
            "{} does not lend blobs from one repository to another",
            reference.api_host()
        )));
    };
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|location| response.url().join(location.to_str().ok()?).ok())
        .ok_or_else(|| Error::Unsupported(format!("{} names no place to upload to", reference.api_host())))?;
    upload(session, store, blob, reference, location, &action).await
}

async fn upload(
    session: &Session,
    store: &Store,
    blob: &Descriptor,
    reference: &Reference,
    mut location: Url,
    action: &str,
) -> Result<()> {
    location.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
    let (opened, digest) = (store.clone(), blob.digest);
    let (file, size) = blocking(move || opened.open_blob(&digest)).await?;
    let timeout = session.config.transfer_timeout;
    session
        .once(action, reference, Access::Push, |http| {
            // Each attempt reads from the start; a handle that cannot be copied is an error of the body.
            let body = Body::wrap_stream(pieces(file.try_clone()));
            http.put(location.clone())
                .header(CONTENT_LENGTH, size)
                .header(CONTENT_TYPE, "application/octet-stream")
                .body(body)
                .timeout(timeout)
        })
        .await
        .map(drop)
}

/// A file's content from its start, in pieces.
fn pieces(
    file: std::io::Result<std::fs::File>,
) -> impl futures::Stream<Item = std::io::Result<Vec<u8>>> + Send {
    let file = file.and_then(|mut file| {
        use std::io::Seek;
        file.rewind().map(|()| tokio::fs::File::from_std(file))
    });
    futures::stream::try_unfold(Some(file), |state| async {
        let mut file = match state {
            Some(Ok(file)) => file,
            Some(Err(error)) => return Err(error),
            None => return Ok(None),
        };
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok((read > 0).then_some((piece, Some(Ok(file)))))
    })
}
