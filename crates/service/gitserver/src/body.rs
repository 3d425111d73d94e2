//! Request bodies: unpacked if compressed, and never more than a limit.

use std::io::Write as _;

use axum::body::Body;
use bytes::Bytes;
use flate2::write::GzDecoder;
use futures::StreamExt as _;
use http::{HeaderMap, header};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Why a body could not be passed on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is longer than allowed.
    #[error("the request is larger than {0} bytes")]
    TooLarge(u64),
    /// The client broke off, or the compression is damaged.
    #[error("the request is damaged: {0}")]
    Damaged(String),
    /// A compression nobody asked for.
    #[error("the content encoding `{0}` is not supported")]
    Encoding(String),
}

/// Feeds a body to a child; ends quietly when the child does not want more.
pub(crate) async fn pass_on(
    headers: &HeaderMap,
    body: Body,
    mut to: impl AsyncWrite + Unpin,
    limit: u64,
) -> Result<(), BodyError> {
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or("identity");
    let mut unpack = match encoding {
        "gzip" | "x-gzip" => Some(GzDecoder::new(Limited { bytes: Vec::new(), left: limit })),
        "identity" => None,
        other => return Err(BodyError::Encoding(other.to_owned())),
    };
    let mut left = limit;
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| BodyError::Damaged(error.to_string()))?;
        let plain = match &mut unpack {
            Some(gzip) => unpacked(gzip, &chunk, limit)?,
            None => chunk,
        };
        left = left.checked_sub(plain.len() as u64).ok_or(BodyError::TooLarge(limit))?;
        if to.write_all(&plain).await.is_err() {
            return Ok(());
        }
    }
    if let Some(mut gzip) = unpack {
        gzip.try_finish().map_err(|error| damaged(&error, limit))?;
        let rest = std::mem::take(&mut gzip.get_mut().bytes);
        let _ = to.write_all(&rest).await;
    }
    let _ = to.shutdown().await;
    Ok(())
}

fn unpacked(gzip: &mut GzDecoder<Limited>, chunk: &[u8], limit: u64) -> Result<Bytes, BodyError> {
    gzip.write_all(chunk).map_err(|error| damaged(&error, limit))?;
    Ok(Bytes::from(std::mem::take(&mut gzip.get_mut().bytes)))
}

fn damaged(error: &std::io::Error, limit: u64) -> BodyError {
    if error.kind() == std::io::ErrorKind::FileTooLarge {
        return BodyError::TooLarge(limit);
    }
    BodyError::Damaged(error.to_string())
}

/// A buffer that takes no more than `left` bytes in all, so that a small packed body cannot become a huge one.
struct Limited {
    bytes: Vec<u8>,
    left: u64,
}

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = bytes.len() as u64;
        self.left = self.left.checked_sub(length).ok_or(std::io::ErrorKind::FileTooLarge)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> (HeaderMap, Body) {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(bytes).expect("packs");
        let headers =
            HeaderMap::from_iter([(header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"))]);
        (headers, Body::from(gzip.finish().expect("packs")))
    }

    #[tokio::test]
    async fn compressed_bodies_are_unpacked_within_the_limit() {
        let mut out = Vec::new();
        let (headers, body) = packed(b"0000want");
        pass_on(&headers, body, &mut out, 100).await.expect("fits");
        assert_eq!(out, b"0000want");

        let (headers, body) = packed(&vec![0; 1 << 20]);
        let result = pass_on(&headers, body, &mut Vec::new(), 1 << 10).await;
        assert!(matches!(result, Err(BodyError::TooLarge(1024))), "{result:?}");
        let plain = pass_on(&HeaderMap::new(), Body::from(vec![0; 11]), &mut Vec::new(), 10).await;
        assert!(matches!(plain, Err(BodyError::TooLarge(10))));
    }
}
