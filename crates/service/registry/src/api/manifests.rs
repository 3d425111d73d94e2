//! Manifests and indexes.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use galley_oci::{Digest, MANIFEST_LIMIT, ManifestKind, Repository, Target, media_type};
use http::{HeaderValue, StatusCode, header};

use super::{Answer, blocking, empty, read_all, value};
use crate::answer::{CONTENT_DIGEST, Refusal, SUBJECT, TAG};
use crate::service::Service;

/// Most tags that one request gives.
const MAX_TAGS: usize = 100;

pub(super) async fn get(service: &Service, repository: Repository, target: &str) -> Answer {
    let store = service.inner.store.clone();
    let target = read_target(target)?;
    let stored = blocking(move || {
        let unknown =
            || Refusal::not_found("MANIFEST_UNKNOWN", "The repository does not hold this manifest.");
        store.manifest(&repository, &target)?.ok_or_else(unknown)
    })
    .await?;
    let length = stored.bytes.len();
    let mut response = Response::new(Body::from(stored.bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, value(&stored.media_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ETAG, value(format!("\"{}\"", stored.digest)));
    headers.insert(CONTENT_DIGEST, value(stored.digest.to_string()));
    Ok(response)
}

pub(super) async fn put(service: &Service, repository: Repository, target: &str, request: Request) -> Answer {
    let target = read_target(target)?;
    // With a digest in the path, tags may come as parameters.
    let tags = read_all(request.uri().query().unwrap_or_default(), "tag");
    if tags.len() > MAX_TAGS {
        let message = format!("A manifest is given at most {MAX_TAGS} tags at once.");
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, "TAG_INVALID", message));
    }
    let shown = if matches!(target, Target::Digest(_)) { tags.clone() } else { Vec::new() };
    let said = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or(value).trim().to_owned());
    let limit = usize::try_from(MANIFEST_LIMIT).unwrap_or(usize::MAX);
    let bytes = to_bytes(request.into_body(), limit).await.map_err(|_| {
        let message = format!("A manifest has at most {MANIFEST_LIMIT} bytes.");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
    })?;
    let store = service.inner.store.clone();
    let name = repository.name().to_owned();
    let (digest, subject) = blocking(move || {
        let digest = match &target {
            Target::Digest(expected) => *expected,
            Target::Tag(_) => Digest::of(&bytes),
        };
        let actual = digest.again(&bytes);
        if actual != digest {
            return Err(Refusal::bad("DIGEST_INVALID", format!("The manifest has the digest {actual}.")));
        }
        let media_type = media_type_of(said.as_deref(), &bytes)?;
        let subject = ManifestKind::parse(&media_type, &bytes)?.subject().map(|subject| subject.digest);
        let names: Vec<&str> = match &target {
            Target::Tag(tag) => vec![tag],
            Target::Digest(_) => tags.iter().map(String::as_str).collect(),
        };
        store.put_manifest_as(&repository, &digest, &names, &media_type, &bytes)?;
        Ok((digest, subject))
    })
    .await?;
    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, value(format!("/v2/{name}/manifests/{digest}")));
    headers.insert(CONTENT_DIGEST, value(digest.to_string()));
    if let Some(subject) = subject {
        headers.insert(SUBJECT, value(subject.to_string()));
    }
    for tag in shown {
        headers.append(TAG, value(tag));
    }
    Ok(response)
}

pub(super) async fn delete(service: &Service, repository: Repository, target: &str) -> Answer {
    let store = service.inner.store.clone();
    let target = read_target(target)?;
    let removed = blocking(move || {
        Ok(match &target {
            Target::Digest(digest) => store.delete_manifest(&repository, digest)?,
            Target::Tag(tag) => store.delete_tag(&repository, tag)?,
        })
    })
    .await?;
    if removed {
        Ok(empty(StatusCode::ACCEPTED))
    } else {
        Err(Refusal::not_found("MANIFEST_UNKNOWN", "The repository does not hold this manifest."))
    }
}

/// Reads a tag or a digest. A tag that cannot be one names nothing, as the specification has it.
fn read_target(text: &str) -> Result<Target, Refusal> {
    text.parse().map_err(|error: galley_oci::Error| {
        if text.contains(':') {
            Refusal::from(error)
        } else {
            Refusal::not_found("MANIFEST_UNKNOWN", error.to_string())
        }
    })
}

/// The manifest's type: the header's, which must be what the document itself says if it says so.
fn media_type_of(said: Option<&str>, bytes: &[u8]) -> Result<String, Refusal> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    let document: Typed = serde_json::from_slice(bytes).map_err(|error| {
        Refusal::bad("MANIFEST_INVALID", format!("The manifest is not valid JSON: {error}"))
    })?;
    match (said.filter(|said| !said.is_empty()), document.media_type) {
        (Some(said), Some(own)) if said != own => {
            let message = format!("The manifest says it is `{own}`, the request says `{said}`.");
            Err(Refusal::bad("MANIFEST_INVALID", message))
        }
        (Some(said), _) => Ok(said.to_owned()),
        (None, Some(own)) => Ok(own),
        (None, None) => Ok(media_type::MANIFEST.to_owned()),
    }
}
