//! Requests with a deadline, authentication and retries.

use std::collections::HashMap;
use std::time::Duration;

use galley_units::Secret;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::auth::Challenge;
use super::{ClientConfig, Credentials};
use crate::media::{Descriptor, MANIFEST_LIMIT, media_type};
use crate::{Digest, Error, Reference, Result, StoredManifest, Target};

/// Longest error text of a registry that is repeated.
const DETAIL_LIMIT: usize = 400;
/// Largest answer to a request for a token or an error, in bytes.
const SMALL_LIMIT: u64 = 1 << 20;
/// Tokens kept; more scopes than this start over.
const MAX_TOKENS: usize = 256;
/// Most pages of a list of tags.
const MAX_PAGES: usize = 1000;

/// What a request needs to be allowed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Access {
    Pull,
    Push,
}

pub(super) struct Session {
    pub(super) config: ClientConfig,
    http: reqwest::Client,
    /// `Authorization` values that worked, by host, repository and access.
    tokens: Mutex<HashMap<(String, String, Access), HeaderValue>>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

impl Session {
    pub(super) fn new(config: ClientConfig) -> Result<Session> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("galley/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.connect_timeout)
            .read_timeout(config.request_timeout)
            .build()
            .map_err(|source| Error::Network {
                action: "start".into(),
                host: "this machine".into(),
                source,
            })?;
        Ok(Session { config, http, tokens: Mutex::default() })
    }

    /// The address of `path` below `/v2/` of a reference's repository.
    pub(super) fn url(&self, reference: &Reference, path: &str) -> Result<Url> {
        let host = reference.api_host();
        let scheme = if self.is_insecure(host) { "http" } else { "https" };
        Url::parse(&format!("{scheme}://{host}/v2/{}/{path}", reference.repository))
            .map_err(|_| Error::invalid("registry address", host))
    }

    fn is_insecure(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => name,
            _ => host,
        };
        let loopback = name == "localhost"
            || name
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        loopback || self.config.insecure_hosts.iter().any(|insecure| insecure == host)
    }

    /// Makes a request until it succeeds, is refused for good, or the attempts are used up.
    pub(super) async fn send<F>(
        &self,
        action: &str,
        reference: &Reference,
        access: Access,
        make: F,
    ) -> Result<Response>
    where
        F: Fn(&reqwest::Client) -> RequestBuilder,
    {
        let mut pause = Duration::from_millis(200);
        let mut attempt = 1;
        loop {
            let outcome = self.once(action, reference, access, &make).await;
            match outcome {
                Err(error) if error.is_transient() && attempt < self.config.attempts => {
                    tracing::debug!(%error, attempt, "asking the registry again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Makes a request once; authenticates if the registry asks for it. Answers of 400 and above are errors.
    pub(super) async fn once<F>(
        &self,
        action: &str,
        reference: &Reference,
        access: Access,
        make: F,
    ) -> Result<Response>
    where
        F: Fn(&reqwest::Client) -> RequestBuilder,
    {
        let host = reference.api_host();
        let network = |source| network(action, host, source);
        let known = self.authorization(reference, access).await;
        let mut request = make(&self.http);
        if let Some(value) = &known {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let response = request.send().await.map_err(network)?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return refuse(action, host, response).await;
        }
        let Some(value) = self.answer_challenge(&response, reference, access).await? else {
            return refuse(action, host, response).await;
        };
        let response = make(&self.http).header(AUTHORIZATION, value.clone()).send().await.map_err(network)?;
        let response = refuse(action, host, response).await?;
        let mut tokens = self.tokens.lock().await;
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        tokens.insert((host.to_owned(), reference.repository.clone(), access), value);
        Ok(response)
    }

    async fn authorization(&self, reference: &Reference, access: Access) -> Option<HeaderValue> {
        let key = (reference.api_host().to_owned(), reference.repository.clone(), access);
        self.tokens.lock().await.get(&key).cloned()
    }

    fn credentials(&self, reference: &Reference) -> Option<&Credentials> {
        let credentials = &self.config.credentials;
        credentials.get(&reference.registry).or_else(|| credentials.get(reference.api_host()))
    }

    /// What to present after a 401, or nothing if there is nothing to present.
    async fn answer_challenge(
        &self,
        response: &Response,
        reference: &Reference,
        access: Access,
    ) -> Result<Option<HeaderValue>> {
        let credentials = self.credentials(reference);
        if let Some(Credentials::Token(token)) = credentials {
            return Ok(secret_header(&format!("Bearer {}", token.expose())));
        }
        let challenges: Vec<Challenge> = response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .collect();
        if let Some(bearer) = challenges.iter().find(|challenge| challenge.scheme == "bearer") {
            let token = self.token(bearer, credentials, reference, access).await?;
            return Ok(token.and_then(|token| secret_header(&format!("Bearer {}", token.expose()))));
        }
        match credentials {
            Some(Credentials::Basic { user, password }) if challenges.iter().any(|c| c.scheme == "basic") => {
                // reqwest encodes it; a request that is never sent carries the result out.
                let request = self
                    .http
                    .request(Method::GET, response.url().clone())
                    .basic_auth(user, Some(password.expose()))
                    .build();
                Ok(request.ok().and_then(|request| request.headers().get(AUTHORIZATION).cloned()))
            }
            _ => Ok(None),
        }
    }

    /// Gets a token from the place that a registry names. It is trusted with the credentials only over TLS, or if the
    /// registry itself is spoken to without.
    async fn token(
        &self,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
        reference: &Reference,
        access: Access,
    ) -> Result<Option<Secret<String>>> {
        let Some(realm) = challenge.parameters.get("realm").and_then(|realm| Url::parse(realm).ok()) else {
            return Ok(None);
        };
        let host = reference.api_host();
        if realm.scheme() != "https" && !self.is_insecure(host) {
            return Err(Error::Unsupported(format!("{host} asks for credentials to be sent without TLS")));
        }
        let actions = if access == Access::Push { "pull,push" } else { "pull" };
        let scope = match challenge.parameters.get("scope") {
            Some(scope) => scope.clone(),
            None => format!("repository:{}:{actions}", reference.repository),
        };
        let mut query = vec![("scope", scope.as_str())];
        if let Some(service) = challenge.parameters.get("service") {
            query.push(("service", service));
        }
        let mut request = self.http.get(realm).query(&query).timeout(self.config.request_timeout);
        if let Some(Credentials::Basic { user, password }) = credentials {
            request = request.basic_auth(user, Some(password.expose()));
        }
        let action = "get a token";
        let response = request.send().await.map_err(|source| network(action, host, source))?;
        let mut response = refuse(action, host, response).await?;
        let body = read_limited(&mut response, action, host, SMALL_LIMIT).await?;
        let token: Token = serde_json::from_slice(&body)
            .map_err(|source| Error::InvalidDocument { what: "the registry's token".to_owned(), source })?;
        Ok(token.token.or(token.access_token).map(Secret::new))
    }

    pub(super) async fn manifest(&self, reference: &Reference, target: &Target) -> Result<StoredManifest> {
        let action = format!("read the manifest of {reference}");
        let url = self.url(reference, &format!("manifests/{target}"))?;
        let timeout = self.config.request_timeout;
        let make = |http: &reqwest::Client| {
            http.get(url.clone()).header(ACCEPT, media_type::ACCEPT).timeout(timeout)
        };
        let mut response = self.send(&action, reference, Access::Pull, make).await?;
        let media_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(|value| value.split(';').next().unwrap_or(value).trim().to_owned())
            .unwrap_or_default();
        let bytes = read_limited(&mut response, &action, reference.api_host(), MANIFEST_LIMIT).await?;
        let digest = match target {
            Target::Digest(expected) => expected.again(&bytes),
            Target::Tag(_) => Digest::of(&bytes),
        };
        if let Target::Digest(expected) = target
            && *expected != digest
        {
            return Err(Error::mismatch(*expected, digest));
        }
        Ok(StoredManifest { digest, media_type, bytes })
    }

    pub(super) async fn put_manifest(
        &self,
        reference: &Reference,
        target: &Target,
        manifest: &StoredManifest,
    ) -> Result<()> {
        let action = format!("write the manifest of {}/{}", reference.registry, reference.repository);
        let url = self.url(reference, &format!("manifests/{target}"))?;
        let timeout = self.config.request_timeout;
        let make = |http: &reqwest::Client| {
            http.put(url.clone())
                .header(CONTENT_TYPE, &manifest.media_type)
                .body(manifest.bytes.clone())
                .timeout(timeout)
        };
        self.send(&action, reference, Access::Push, make).await.map(drop)
    }

    pub(super) async fn small_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>> {
        if blob.size > limit {
            return Err(Error::TooLarge { what: format!("blob {}", blob.digest), limit });
        }
        let (mut response, action) = self.open_blob(reference, blob).await?;
        let content = read_limited(&mut response, &action, reference.api_host(), limit).await?;
        let actual = blob.digest.again(&content);
        if actual == blob.digest { Ok(content) } else { Err(Error::mismatch(blob.digest, actual)) }
    }

    /// Asks for a blob; the answer is read with [`Session::next_piece`]. Also gives the words for errors on the way.
    pub(super) async fn open_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
    ) -> Result<(Response, String)> {
        let limit = self.config.blob_limit;
        if blob.size > limit {
            return Err(Error::TooLarge { what: format!("blob {}", blob.digest), limit });
        }
        let action = format!("read blob {} of {reference}", blob.digest);
        let url = self.url(reference, &format!("blobs/{}", blob.digest))?;
        let timeout = self.config.transfer_timeout;
        let make = |http: &reqwest::Client| http.get(url.clone()).timeout(timeout);
        let response = self.once(&action, reference, Access::Pull, make).await?;
        Ok((response, action))
    }

    pub(super) async fn next_piece(
        &self,
        response: &mut Response,
        action: &str,
        reference: &Reference,
    ) -> Result<Option<bytes::Bytes>> {
        response.chunk().await.map_err(|source| network(action, reference.api_host(), source))
    }

    pub(super) async fn tags(&self, reference: &Reference) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let action = format!("list the tags of {}/{}", reference.registry, reference.repository);
        let timeout = self.config.request_timeout;
        let mut url = self.url(reference, "tags/list?n=1000")?;
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let make = |http: &reqwest::Client| http.get(url.clone()).timeout(timeout);
            let mut response = self.send(&action, reference, Access::Pull, make).await?;
            let next = response.headers().get("link").and_then(|link| next_page(link.to_str().ok()?, &url));
            let body = read_limited(&mut response, &action, reference.api_host(), MANIFEST_LIMIT).await?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|source| Error::InvalidDocument { what: "the list of tags".to_owned(), source })?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(tags)
    }
}

/// The address in `<...>; rel="next"`, if it stays on the same host.
fn next_page(link: &str, base: &Url) -> Option<Url> {
    let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = base.join(address).ok()?;
    (parameters.contains("next") && next.host() == base.host()).then_some(next)
}

fn secret_header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(super) fn network(action: &str, host: &str, source: reqwest::Error) -> Error {
    // The address may carry a signature of a storage service.
    Error::Network { action: action.to_owned(), host: host.to_owned(), source: source.without_url() }
}

/// Reads an answer of at most `limit` bytes.
pub(super) async fn read_limited(
    response: &mut Response,
    action: &str,
    host: &str,
    limit: u64,
) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|source| network(action, host, source))? {
        if (body.len() + piece.len()) as u64 > limit {
            return Err(Error::TooLarge { what: format!("the answer of {host}"), limit });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Turns an answer of 400 and above into an error with the registry's words.
async fn refuse(action: &str, host: &str, mut response: Response) -> Result<Response> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return Ok(response);
    }
    let body = read_limited(&mut response, action, host, SMALL_LIMIT).await.unwrap_or_default();
    Err(Error::Refused {
        action: action.to_owned(),
        host: host.to_owned(),
        status: status.as_u16(),
        detail: detail(&body),
    })
}

/// What a registry's error body says, as `: CODE message`.
fn detail(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(errors) = serde_json::from_slice::<Errors>(body) else { return String::new() };
    let texts: Vec<String> =
        errors.errors.iter().map(|one| format!("{} {}", one.code, one.message).trim().to_owned()).collect();
    if texts.is_empty() {
        return String::new();
    }
    let plain = texts.join("; ").chars().filter(|c| !c.is_control()).take(DETAIL_LIMIT).collect::<String>();
    format!(": {plain}")
}
