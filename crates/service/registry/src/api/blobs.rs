//! Blobs: reading, whole or in part, and removing.

use std::io::{Seek, SeekFrom};

use axum::body::Body;
use axum::response::Response;
use galley_oci::{Digest, Repository};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::{Answer, blocking, empty, value};
use crate::answer::{CONTENT_DIGEST, Refusal};
use crate::service::Service;

/// Bytes read from the disk at once.
const PIECE: usize = 256 << 10;

pub(super) async fn get(
    service: &Service,
    repository: Repository,
    digest: Digest,
    headers: &HeaderMap,
) -> Answer {
    let store = service.inner.store.clone();
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
    let (file, size, part) = blocking(move || {
        let unknown = || Refusal::not_found("BLOB_UNKNOWN", "The repository does not hold this blob.");
        store.repository_blob(&repository, &digest)?.ok_or_else(unknown)?;
        let (mut file, size) = store.open_blob(&digest)?;
        let part = match range.as_deref().map(|range| read_range(range, size)) {
            None | Some(Range::Whole) => None,
            Some(Range::Part(first, last)) => Some((first, last)),
            Some(Range::Outside) => {
                let message = format!("The blob has {size} bytes.");
                return Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "UNSUPPORTED", message));
            }
        };
        if let Some((first, _)) = part {
            file.seek(SeekFrom::Start(first)).map_err(|source| galley_oci::Error::Io {
                action: "read",
                path: digest.hex().into(),
                source,
            })?;
        }
        Ok((file, size, part))
    })
    .await?;
    let length = part.map_or(size, |(first, last)| last - first + 1);
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file).take(length), PIECE);
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::ETAG, value(format!("\"{digest}\"")));
    headers.insert(CONTENT_DIGEST, value(digest.to_string()));
    if let Some((first, last)) = part {
        headers.insert(header::CONTENT_RANGE, value(format!("bytes {first}-{last}/{size}")));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

pub(super) async fn delete(service: &Service, repository: Repository, digest: Digest) -> Answer {
    let store = service.inner.store.clone();
    let removed = blocking(move || Ok(store.unlink_blob(&repository, &digest)?)).await?;
    if removed {
        Ok(empty(StatusCode::ACCEPTED))
    } else {
        Err(Refusal::not_found("BLOB_UNKNOWN", "The repository does not hold this blob."))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// Not a range that is understood: the whole is answered, as HTTP says.
    Whole,
    /// First and last byte.
    Part(u64, u64),
    Outside,
}

/// Reads a `Range` header with one range.
fn read_range(text: &str, size: u64) -> Range {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Range::Whole;
    };
    let part = match (first.trim(), last.trim()) {
        ("", "") => return Range::Whole,
        ("", suffix) => {
            suffix.parse::<u64>().map(|length| (size.saturating_sub(length), size.saturating_sub(1)))
        }
        (first, "") => first.parse::<u64>().map(|first| (first, size.saturating_sub(1))),
        (first, last) => match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => Ok((first, last.min(size.saturating_sub(1)))),
            (Ok(_), Ok(_)) => return Range::Whole,
            (Err(error), _) | (_, Err(error)) => Err(error),
        },
    };
    match part {
        Err(_) => Range::Whole,
        Ok((first, last)) if first < size && first <= last => Range::Part(first, last),
        Ok(_) => Range::Outside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_says() {
        let check = |text, expected| assert_eq!(read_range(text, 10), expected, "{text}");
        check("bytes=0-3", Range::Part(0, 3));
        check("bytes=4-", Range::Part(4, 9));
        check("bytes=-3", Range::Part(7, 9));
        check("bytes=-30", Range::Part(0, 9));
        check("bytes=8-20", Range::Part(8, 9));
        check("bytes=10-", Range::Outside);
        check("bytes=-0", Range::Outside);
        check("bytes=5-2", Range::Whole);
        check("bytes=0-1,4-5", Range::Whole);
        check("lines=0-1", Range::Whole);
        assert_eq!(read_range("bytes=0-", 0), Range::Outside);
    }
}
