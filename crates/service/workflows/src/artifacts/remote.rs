//! Artifacts that lie elsewhere: in a git repository or behind an HTTP address.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use futures::StreamExt;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::http::{secret_value, words};

/// How long a transfer may take.
const DEADLINE: Duration = Duration::from_secs(30 * 60);
/// How much of git's words goes into a message.
const WORDS: usize = 600;

/// Where secrets come from: the API and the namespace of the workflow.
pub(super) type Secrets<'a> = Option<(&'a Client, &'a str)>;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Http {
    url: String,
    headers: Vec<Header>,
    auth: Auth,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Auth {
    basic_auth: Basic,
    client_cert: Option<Value>,
    #[serde(rename = "oauth2")]
    oauth: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Basic {
    username_secret: Option<Selector>,
    password_secret: Option<Selector>,
}

#[derive(Deserialize)]
struct Selector {
    name: String,
    key: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Git {
    repo: String,
    revision: String,
    branch: String,
    depth: Option<u64>,
    single_branch: bool,
    fetch: Vec<String>,
    disable_submodules: bool,
    insecure_skip_tls: bool,
    username_secret: Option<Selector>,
    password_secret: Option<Selector>,
    ssh_private_key_secret: Option<Selector>,
}

async fn secret(secrets: Secrets<'_>, selector: Option<&Selector>) -> Result<Option<String>, String> {
    match (selector, secrets) {
        (None, _) => Ok(None),
        (Some(one), Some((client, namespace))) => {
            secret_value(client, namespace, &one.name, &one.key).await.map(Some)
        }
        (Some(one), None) => Err(format!("secret `{}` cannot be read here", one.name)),
    }
}

async fn request(
    method: reqwest::Method,
    location: &Value,
    secrets: Secrets<'_>,
) -> Result<reqwest::RequestBuilder, String> {
    let http: Http = serde_json::from_value(location.clone()).map_err(|error| error.to_string())?;
    if http.auth.client_cert.is_some() || http.auth.oauth.is_some() {
        return Err("of the kinds of `auth` only `basicAuth` is known here".to_owned());
    }
    let client = reqwest::Client::builder()
        .timeout(DEADLINE)
        .connect_timeout(Duration::from_secs(20))
        .build()
        .map_err(|error| words(&error))?;
    let mut request = client.request(method, &http.url);
    for header in &http.headers {
        request = request.header(&header.name, &header.value);
    }
    let basic = http.auth.basic_auth;
    if let Some(name) = secret(secrets, basic.username_secret.as_ref()).await? {
        request = request.basic_auth(name, secret(secrets, basic.password_secret.as_ref()).await?);
    }
    Ok(request)
}

/// Fetches a file; `false` when the server says that there is none.
pub(super) async fn get(location: &Value, secrets: Secrets<'_>, to: &Path) -> Result<bool, String> {
    let answer = request(reqwest::Method::GET, location, secrets).await?.send().await;
    let answer = answer.map_err(|error| words(&error))?;
    if answer.status().as_u16() == 404 {
        return Ok(false);
    }
    if !answer.status().is_success() {
        return Err(format!("the server answered {}", answer.status()));
    }
    let mut file = File::create(to).map_err(|error| error.to_string())?;
    let mut parts = answer.bytes_stream();
    while let Some(part) = parts.next().await {
        file.write_all(&part.map_err(|error| words(&error))?).map_err(|error| error.to_string())?;
    }
    Ok(true)
}

/// Sends a file.
pub(super) async fn put(location: &Value, secrets: Secrets<'_>, from: &Path) -> Result<(), String> {
    let content = fs::read(from).map_err(|error| error.to_string())?;
    let answer = request(reqwest::Method::PUT, location, secrets).await?.body(content).send().await;
    let answer = answer.map_err(|error| words(&error))?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(format!("the server answered {}", answer.status()))
    }
}

/// Clones a repository to a folder and checks the revision out.
pub(super) async fn clone(location: &Value, secrets: Secrets<'_>, to: &Path) -> Result<(), String> {
    let git: Git = serde_json::from_value(location.clone()).map_err(|error| error.to_string())?;
    if git.ssh_private_key_secret.is_some() {
        return Err("`sshPrivateKeySecret` is not used here: give `usernameSecret` and `passwordSecret` over https, or let this machine's own ssh keys reach the repository".to_owned());
    }
    let mut settings = Vec::new();
    if let Some(name) = secret(secrets, git.username_secret.as_ref()).await? {
        let password = secret(secrets, git.password_secret.as_ref()).await?.unwrap_or_default();
        let token = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        settings.push(("http.extraHeader".to_owned(), format!("Authorization: Basic {token}")));
    }
    if git.insecure_skip_tls {
        settings.push(("http.sslVerify".to_owned(), "false".to_owned()));
    }
    let folder = to.display().to_string();
    let mut words = vec!["clone".to_owned(), "--quiet".to_owned()];
    if let Some(depth) = git.depth.filter(|depth| *depth > 0) {
        words.push(format!("--depth={depth}"));
    }
    if git.single_branch {
        words.push("--single-branch".to_owned());
    }
    if !git.branch.is_empty() {
        words.push(format!("--branch={}", git.branch));
    }
    words.extend(["--".to_owned(), git.repo.clone(), folder.clone()]);
    run(&settings, &words).await?;
    let inside = |rest: &[&str]| {
        let mut words = vec!["-C".to_owned(), folder.clone()];
        words.extend(rest.iter().map(|word| (*word).to_owned()));
        words
    };
    if !git.fetch.is_empty() {
        let mut words = inside(&["fetch", "--quiet", "origin"]);
        words.extend(git.fetch.iter().filter(|one| !one.starts_with('-')).cloned());
        run(&settings, &words).await?;
    }
    if !git.revision.is_empty() {
        if git.revision.starts_with('-') {
            return Err(format!("`{}` is no revision", git.revision));
        }
        let checkout = inside(&["checkout", "--quiet", git.revision.as_str()]);
        if run(&settings, &checkout).await.is_err() {
            // A commit or a ref that the clone did not bring along.
            let fetch = inside(&["fetch", "--quiet", "origin", git.revision.as_str()]);
            run(&settings, &fetch).await?;
            run(&settings, &inside(&["checkout", "--quiet", "FETCH_HEAD"])).await?;
        }
    }
    if !git.disable_submodules && to.join(".gitmodules").is_file() {
        run(&settings, &inside(&["submodule", "update", "--init", "--recursive", "--quiet"])).await?;
    }
    Ok(())
}

async fn run(settings: &[(String, String)], words: &[String]) -> Result<(), String> {
    let mut command = galley_git::command(settings);
    command.args(words);
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output.map_err(|_| "git took too long".to_owned())?;
    let output = output.map_err(|error| format!("the program `git` cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    let start = said.ceil_char_boundary(said.len().saturating_sub(WORDS));
    Err(format!("git said: {}", &said[start..]))
}

/// The kinds of places that are known here, and those that are not.
pub(super) fn unknown(rest: &serde_json::Map<String, Value>) -> Option<&str> {
    let others = BTreeMap::from([
        ("gcs", ()),
        ("oss", ()),
        ("azure", ()),
        ("hdfs", ()),
        ("artifactory", ()),
        ("plugin", ()),
    ]);
    rest.keys().map(String::as_str).find(|kind| others.contains_key(kind))
}
