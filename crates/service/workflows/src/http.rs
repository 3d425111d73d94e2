//! Requests of http templates.
//!
//! A request runs as a task of its own and wakes its workflow when the answer is there. After a crash it is sent
//! again: a request may reach its server more than once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use galley_workflow::{HttpAnswer, HttpRequest, HttpSeen};
use reqwest::Method;

use crate::api::{core, within};
use crate::reconcile::Memory;
use crate::service::{Context, Key};

/// The longest body that is kept.
const MAX_BODY: usize = 256 * 1024;

type Answer = Result<HttpAnswer, String>;

/// A request that was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending(Arc<Mutex<Option<Answer>>>);

impl Pending {
    /// The answer, once it is there.
    pub(crate) fn answer(&self, node_id: &str) -> Option<HttpSeen> {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        answer.map(|result| HttpSeen { node_id: node_id.to_owned(), result })
    }
}

/// Sends a request unless it was sent already.
pub(crate) fn send(context: &Context, key: &Key, memory: &mut Memory, request: HttpRequest) {
    if memory.requests.contains_key(&request.node_id) {
        return;
    }
    let pending = Pending::default();
    memory.requests.insert(request.node_id.clone(), pending.clone());
    let (client, queue, key) = (context.client.clone(), context.workflows.clone(), key.clone());
    let (turn, stop) = (Arc::clone(&context.http), context.shutdown.clone());
    tokio::spawn(async move {
        let answer = tokio::select! {
            () = stop.cancelled() => return,
            answer = async {
                let _turn = turn.acquire().await.map_err(|_| "the service is ending".to_owned())?;
                perform(&client, &key, &request).await
            } => answer,
        };
        *pending.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        tokio::select! {
            () = stop.cancelled() => {}
            _ = queue.send(key) => {}
        }
    });
}

async fn perform(client: &kube::Client, key: &Key, request: &HttpRequest) -> Answer {
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| format!("`{}` is not a method of HTTP", request.method))?;
    let http = reqwest::Client::builder()
        .timeout(request.timeout)
        .danger_accept_invalid_certs(request.insecure)
        .build()
        .map_err(|error| words(&error))?;
    let mut sent = http.request(method, &request.url).body(request.body.clone());
    for (name, value) in &request.headers {
        let value = match value {
            Ok(value) => value.clone(),
            Err((secret, field)) => secret_value(client, &key.namespace, secret, field).await?,
        };
        sent = sent.header(name, value);
    }
    let answer = sent.send().await.map_err(|error| words(&error))?;
    let status = answer.status().as_u16();
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in answer.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.as_str().to_owned()).or_default().push(value);
    }
    let mut body: Vec<u8> = Vec::new();
    let mut stream = answer.bytes_stream();
    while let Some(part) = stream.next().await {
        body.extend_from_slice(&part.map_err(|error| words(&error))?);
        if body.len() > MAX_BODY {
            return Err(format!("the answer is longer than {MAX_BODY} bytes"));
        }
    }
    Ok(HttpAnswer { status, body: String::from_utf8_lossy(&body).into_owned(), headers })
}

/// An error with its causes, without the address: it may hold a password.
pub(crate) fn words(error: &reqwest::Error) -> String {
    let mut text = String::from("the request failed");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    if error.is_timeout() { "the request took too long".to_owned() } else { text }
}

pub(crate) async fn secret_value(
    client: &kube::Client,
    namespace: &str,
    name: &str,
    field: &str,
) -> Result<String, String> {
    let secrets = within(client, namespace, &core("Secret"));
    let missing = || format!("secret `{name}` with the key `{field}` is not there");
    let secret = secrets.get_opt(name).await.ok().flatten().ok_or_else(missing)?;
    let encoded = secret.data["data"][field].as_str().ok_or_else(missing)?;
    let bytes = galley_expr::decode_base64(encoded).map_err(|_| missing())?;
    String::from_utf8(bytes).map_err(|_| missing())
}
