//! Uploads: begin, append, finish, ask, cancel, and borrowing a blob from another repository.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use futures::StreamExt;
use galley_oci::{Digest, Repository};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::{Answer, Query, blocking, empty, value};
use crate::answer::{CONTENT_DIGEST, Refusal, UPLOAD_ID};
use crate::service::Service;
use crate::uploads::Progress;

/// Pieces between the network and the disk.
const PIECES: usize = 32;

pub(super) async fn begin(
    service: &Service,
    repository: Repository,
    query: &Query,
    request: Request,
) -> Answer {
    if let Some(mount) = query.get("mount") {
        let digest: Digest = mount.parse()?;
        if let Some(from) = query.get("from").and_then(|from| Repository::own(from).ok())
            && borrow(service, &repository, from, digest).await?
        {
            return Ok(created(&repository, &digest));
        }
    }
    let store = service.inner.store.clone();
    let upload = blocking(move || Ok(store.begin_upload()?)).await?;
    let id = service.inner.uploads.begin(repository.name(), upload)?;
    // A request with a digest brings the whole blob along.
    if query.contains_key("digest") {
        let answer = finish(service, repository, &id, query, request).await;
        service.inner.uploads.end(&id);
        return answer;
    }
    Ok(accepted(StatusCode::ACCEPTED, &repository, &id, 0))
}

pub(super) async fn append(service: &Service, repository: &Repository, id: &str, request: Request) -> Answer {
    let progress = service.inner.uploads.lock(repository.name(), id)?;
    check_range(request.headers(), progress.length())?;
    let length = receive(service, progress, request.into_body()).await?;
    Ok(accepted(StatusCode::ACCEPTED, repository, id, length))
}

pub(super) async fn finish(
    service: &Service,
    repository: Repository,
    id: &str,
    query: &Query,
    request: Request,
) -> Answer {
    let missing = || Refusal::bad("DIGEST_INVALID", "The parameter `digest` is missing.");
    let expected: Digest = query.get("digest").ok_or_else(missing)?.parse()?;
    let progress = service.inner.uploads.lock(repository.name(), id)?;
    check_range(request.headers(), progress.length())?;
    receive(service, progress, request.into_body()).await?;
    let mut progress = service.inner.uploads.lock(repository.name(), id)?;
    let upload = progress.upload.take();
    drop(progress);
    service.inner.uploads.end(id);
    let unknown = || Refusal::not_found("BLOB_UPLOAD_UNKNOWN", "There is no such upload.");
    let upload = upload.ok_or_else(unknown)?;
    let (store, linked) = (service.inner.store.clone(), repository.clone());
    blocking(move || {
        let digest = upload.finish(Some(&expected))?;
        Ok(store.link_blob(&linked, &digest)?)
    })
    .await?;
    Ok(created(&repository, &expected))
}

pub(super) fn status(service: &Service, repository: &Repository, id: &str) -> Answer {
    let progress = service.inner.uploads.lock(repository.name(), id)?;
    Ok(accepted(StatusCode::NO_CONTENT, repository, id, progress.length()))
}

pub(super) fn cancel(service: &Service, repository: &Repository, id: &str) -> Answer {
    drop(service.inner.uploads.lock(repository.name(), id)?);
    service.inner.uploads.end(id);
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Links a blob of another repository; false if that one does not hold it.
async fn borrow(
    service: &Service,
    to: &Repository,
    from: Repository,
    digest: Digest,
) -> Result<bool, Refusal> {
    let (store, to) = (service.inner.store.clone(), to.clone());
    blocking(move || {
        if store.repository_blob(&from, &digest)?.is_none() {
            return Ok(false);
        }
        store.link_blob(&to, &digest)?;
        Ok(true)
    })
    .await
}

/// Writes a request's body to an upload and gives its new length. What arrived before a break stays: the client asks
/// where the upload stands and goes on. The thread that writes holds the lock, so that even a request that is dropped
/// leaves the upload whole.
async fn receive(service: &Service, progress: OwnedMutexGuard<Progress>, body: Body) -> Result<u64, Refusal> {
    let (to_disk, mut pieces) = mpsc::channel::<Bytes>(PIECES);
    let limit = service.inner.config.max_blob_bytes;
    let writer = blocking(move || {
        let mut progress = progress;
        while let Some(piece) = pieces.blocking_recv() {
            let Some(upload) = progress.upload.as_mut() else { break };
            if upload.length() + piece.len() as u64 > limit {
                let message = format!("A blob has at most {limit} bytes.");
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message));
            }
            upload.write(&piece)?;
        }
        Ok(progress.length())
    });
    let reader = async {
        let mut stream = body.into_data_stream();
        while let Some(piece) = stream.next().await {
            let piece =
                piece.map_err(|_| Refusal::bad("BLOB_UPLOAD_INVALID", "The request's body broke off."))?;
            if to_disk.send(piece).await.is_err() {
                break;
            }
        }
        drop(to_disk);
        Ok(())
    };
    let (read, written) = tokio::join!(reader, writer);
    let length = written?;
    read.map(|()| length)
}

/// A chunk that says where it belongs must belong at the end of what is here.
fn check_range(headers: &HeaderMap, length: u64) -> Result<(), Refusal> {
    let Some(range) = headers.get(header::CONTENT_RANGE) else { return Ok(()) };
    let first = range
        .to_str()
        .ok()
        .map(|range| range.trim_start_matches("bytes").trim_start_matches(['=', ' ']))
        .and_then(|range| range.split_once('-'))
        .and_then(|(first, last)| {
            Some((first.parse::<u64>().ok()?, last.split('/').next()?.parse::<u64>().ok()?))
        });
    match first {
        Some((first, last)) if first == length && last.checked_add(1).is_some_and(|end| end >= first) => {
            Ok(())
        }
        Some(_) => {
            let message = format!("The upload has {length} bytes.");
            let mut refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message);
            refusal.range = Some(range_of(length));
            Err(refusal)
        }
        None => Err(Refusal::bad("BLOB_UPLOAD_INVALID", "`Content-Range` is not `first-last`.")),
    }
}

/// First and last byte received, as the specification writes it: `0-0` also when there is none.
fn range_of(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}

fn accepted(status: StatusCode, repository: &Repository, id: &str, length: u64) -> Response {
    let mut response = empty(status);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, value(format!("/v2/{}/blobs/uploads/{id}", repository.name())));
    headers.insert(header::RANGE, value(range_of(length)));
    headers.insert(UPLOAD_ID, value(id));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    }
    response
}

fn created(repository: &Repository, digest: &Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, value(format!("/v2/{}/blobs/{digest}", repository.name())));
    headers.insert(CONTENT_DIGEST, value(digest.to_string()));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    response
}
