//! Artifacts, through the server's proxy.

use bytes::Bytes;
use galley_mlflow::{FileInfo, Run, path};
use serde::Deserialize;

use crate::{
    Client, Error, Result,
    call::{Repeat, gather},
};

const ROUTE: &str = "/api/2.0/mlflow-artifacts/artifacts";

#[derive(Deserialize)]
struct Files {
    #[serde(default)]
    files: Vec<FileInfo>,
}

impl Client {
    /// Writes an artifact of a run.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn upload_artifact(&self, run: &Run, path: &str, bytes: impl Into<Bytes>) -> Result<()> {
        self.upload(&run.info.artifact_uri, path, bytes).await
    }

    /// Reads an artifact of a run, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn download_artifact(&self, run: &Run, path: &str, limit: u64) -> Result<Bytes> {
        self.download(&run.info.artifact_uri, path, limit).await
    }

    /// Lists a folder of a run's artifacts; an empty path is the root. Paths are relative to the root.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn list_artifacts(&self, run_id: &str, path: &str) -> Result<Vec<FileInfo>> {
        let what = format!("list the artifacts of the run {run_id}");
        let mut query = vec![("run_id", run_id)];
        if !path.is_empty() {
            query.push(("path", path));
        }
        Ok(self.get::<Files>(&what, "artifacts/list", &query).await?.files)
    }

    /// Writes a file below an artifact root.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn upload(&self, root: &str, path: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let (url, bytes) = (self.artifact_url(root, path)?, bytes.into());
        let what = format!("upload `{path}`");
        let request = || {
            // The server takes the bytes as they are; without a type some servers parse a form.
            self.http.put(&url).header("content-type", "application/octet-stream").body(bytes.clone())
        };
        self.send(&what, Repeat::Always, self.limits.transfer, request).await.map(drop)
    }

    /// Reads a file below an artifact root, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error`]
    pub async fn download(&self, root: &str, path: &str, limit: u64) -> Result<Bytes> {
        let url = self.artifact_url(root, path)?;
        let what = format!("download `{path}`");
        let response = self.send(&what, Repeat::Always, self.limits.transfer, || self.http.get(&url)).await?;
        gather(&what, response, limit).await
    }

    fn artifact_url(&self, root: &str, inner: &str) -> Result<String> {
        let parts = path::safe_parts(inner)
            .ok()
            .filter(|parts| !parts.is_empty())
            .ok_or_else(|| Error::Request(format!("`{inner}` is not the path of an artifact")))?;
        let inner = encoded(parts);
        if let Some(folder) = path::proxied(root) {
            let folder = encoded(folder.split('/').filter(|part| !part.is_empty()).collect());
            // A root that names a host names the same server by another name; the token must not travel to a host that
            // only an artifact root has named.
            return Ok(path::join(&path::join(&format!("{}{ROUTE}", self.base), &folder), &inner));
        }
        if root.starts_with(&format!("{}{ROUTE}", self.base)) {
            return Ok(path::join(root, &inner));
        }
        Err(Error::Request(format!(
            "the artifacts at `{root}` are not served by the tracking server; start it with --serve-artifacts"
        )))
    }
}

/// Percent-encodes each part of a path.
fn encoded(parts: Vec<&str>) -> String {
    let mut out = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            out.push('/');
        }
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_have_addresses_on_the_server() {
        let client = Client::new("http://127.0.0.1:5000/", None).expect("an address");
        let url = |root: &str, path: &str| client.artifact_url(root, path);
        assert_eq!(
            url("mlflow-artifacts:/0/abc/artifacts", "model/a b.onnx").expect("an address"),
            "http://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifacts/0/abc/artifacts/model/a%20b.onnx"
        );
        assert_eq!(
            url("mlflow-artifacts://elsewhere/0/abc", "x").expect("an address"),
            "http://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifacts/0/abc/x"
        );
        assert!(url("s3://bucket/x", "y").is_err());
        assert!(url("http://evil.example/api/2.0/mlflow-artifacts/artifacts/0", "y").is_err());
        assert!(url("mlflow-artifacts:/0", "../y").is_err());
    }
}
