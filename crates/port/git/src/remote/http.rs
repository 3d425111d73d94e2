//! Git's four requests over HTTP.

use std::{fmt, time::Duration};

use galley_units::Secret;

use super::{RemoteError, pkt};
use crate::Credentials;

const CONNECT: Duration = Duration::from_secs(10);

/// A client for one repository.
#[derive(Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    url: String,
    user: Option<(String, Secret<String>)>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("url", &self.url).field("user", &self.user).finish()
    }
}

impl Http {
    pub(super) fn new(url: &str, user: Option<Credentials>, deadline: Duration) -> Result<Self, RemoteError> {
        let url = url.trim_end_matches('/').to_owned();
        if !(url.starts_with("http://") || url.starts_with("https://")) || url.contains('@') {
            return Err(RemoteError::Protocol(
                "the URL must be http:// or https:// and hold no credentials".into(),
            ));
        }
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(deadline)
            .user_agent("git/galley")
            .redirect(reqwest::redirect::Policy::limited(3))
            .build()
            .map_err(|source| RemoteError::Http { url: url.clone(), source })?;
        Ok(Http { client, url, user })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Posts a protocol version 2 command.
    pub(super) async fn upload_pack(&self, body: Vec<u8>, limit: usize) -> Result<Vec<u8>, RemoteError> {
        let request = self
            .client
            .post(format!("{}/git-upload-pack", self.url))
            .header("git-protocol", "version=2")
            .header("content-type", "application/x-git-upload-pack-request")
            .header("accept", "application/x-git-upload-pack-result")
            .body(body);
        self.send(request, limit).await
    }

    /// What the server says it has and can before a push, after its `# service` line.
    pub(super) async fn receive_pack_refs(&self) -> Result<Vec<u8>, RemoteError> {
        let request = self.client.get(format!("{}/info/refs?service=git-receive-pack", self.url));
        let answer = self.send(request, 16 << 20).await?;
        pkt::after_service_line(&answer)
    }

    pub(super) async fn receive_pack(&self, body: Vec<u8>) -> Result<Vec<u8>, RemoteError> {
        let request = self
            .client
            .post(format!("{}/git-receive-pack", self.url))
            .header("content-type", "application/x-git-receive-pack-request")
            .header("accept", "application/x-git-receive-pack-result")
            .body(body);
        self.send(request, 4 << 20).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, limit: usize) -> Result<Vec<u8>, RemoteError> {
        let broken = |source: reqwest::Error| RemoteError::Http {
            url: self.url.clone(),
            source: source.without_url(),
        };
        let request = match &self.user {
            Some((user, password)) => request.basic_auth(user, Some(password.expose())),
            None => request,
        };
        let mut response = request.send().await.map_err(broken)?;
        let status = response.status();
        let limit = if status.is_success() { limit } else { 1024 };
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if bytes.len() + chunk.len() > limit {
                if status.is_success() {
                    return Err(RemoteError::TooLarge { what: "the answer of the git server", limit });
                }
                break;
            }
            bytes.extend_from_slice(&chunk);
        }
        let url = self.url.clone();
        match status.as_u16() {
            200 => Ok(bytes),
            401 | 403 => Err(RemoteError::Denied { url }),
            404 => Err(RemoteError::Absent { url, rev: "repository".into() }),
            status => {
                let said = String::from_utf8_lossy(&bytes).trim().to_owned();
                Err(RemoteError::Status { url, status, said })
            }
        }
    }
}
