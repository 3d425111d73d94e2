//! Logs of a workflow's pods, put together.

use std::collections::BTreeSet;

use axum::extract::{Path, Query as Params, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use regex::Regex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::{Code, Refusal};
use crate::objects::{Query, and, argo, text};
use crate::service::{Context, Cx};
use crate::stream::respond;
use crate::workflows::find;

/// Lines that wait for a slow listener.
const QUEUE: usize = 256;
/// Lines that are put in order before they are sent.
const MAX_SORTED: usize = 1_000_000;

/// What is wanted.
#[derive(Clone)]
struct Wanted {
    params: LogParams,
    grep: Option<Regex>,
    pods: ListParams,
    pod: Option<String>,
    /// Show the time of each line.
    timestamps: bool,
}

impl Wanted {
    fn read(query: &Query, workflow: &str, pod: Option<String>) -> Result<Wanted, Refusal> {
        let number = |name: &str| text(query, name).parse::<i64>().ok();
        let yes = |name: &str| text(query, name) == "true";
        let container = match text(query, "logOptions.container") {
            "" => "main",
            container => container,
        };
        let grep = match text(query, "grep") {
            "" => None,
            pattern => Some(Regex::new(pattern).map_err(|error| Refusal::invalid(error.to_string()))?),
        };
        let own = format!("workflows.argoproj.io/workflow={workflow}");
        let selector = Some(text(query, "selector").to_owned());
        let since = text(query, "logOptions.sinceTime").parse::<Timestamp>().ok();
        let named = Some(text(query, "podName").to_owned()).filter(|name| !name.is_empty());
        Ok(Wanted {
            params: LogParams {
                container: Some(container.to_owned()),
                follow: yes("logOptions.follow"),
                previous: yes("logOptions.previous"),
                tail_lines: number("logOptions.tailLines"),
                since_seconds: number("logOptions.sinceSeconds"),
                since_time: since,
                // Needed to put the lines of several pods in order.
                timestamps: true,
                ..LogParams::default()
            },
            grep,
            pods: ListParams { label_selector: and(selector, &own), ..ListParams::default() },
            pod: pod.or(named),
            timestamps: yes("logOptions.timestamps"),
        })
    }

    fn is_meant(&self, pod: &Pod) -> bool {
        self.pod.as_ref().is_none_or(|name| *name == pod.name_any())
    }

    /// A line as it is sent, if it is wanted.
    fn entry(&self, line: &Line) -> Option<Value> {
        if self.grep.as_ref().is_some_and(|grep| !grep.is_match(&line.text)) {
            return None;
        }
        let content =
            if self.timestamps { format!("{} {}", line.time, line.text) } else { line.text.clone() };
        Some(json!({"content": content, "podName": line.pod}))
    }
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    time: String,
    pod: String,
    text: String,
}

pub(crate) async fn of_workflow(
    State(cx): Cx,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    Params(query): Params<Query>,
) -> Result<Response, Refusal> {
    send(&cx, &namespace, &name, None, &headers, &query).await
}

pub(crate) async fn of_pod(
    State(cx): Cx,
    Path((namespace, name, pod)): Path<(String, String, String)>,
    headers: HeaderMap,
    Params(query): Params<Query>,
) -> Result<Response, Refusal> {
    send(&cx, &namespace, &name, Some(pod), &headers, &query).await
}

async fn send(
    cx: &Context,
    namespace: &str,
    name: &str,
    pod: Option<String>,
    headers: &HeaderMap,
    query: &Query,
) -> Result<Response, Refusal> {
    let name = find(cx, namespace, name).await?.name_any();
    let wanted = Wanted::read(query, &name, pod)?;
    let (client, namespace) = (cx.client.clone(), namespace.to_owned());
    if wanted.params.follow {
        return respond(cx, headers, followed(client, namespace, name, wanted));
    }
    let lines = collected(&client, &namespace, &wanted).await?;
    let entries: Vec<_> = lines.iter().filter_map(|line| wanted.entry(line)).map(Ok).collect();
    respond(cx, headers, futures::stream::iter(entries))
}

/// All lines there are, in the order of their times.
async fn collected(client: &Client, namespace: &str, wanted: &Wanted) -> Result<Vec<Line>, Refusal> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut lines = Vec::new();
    for pod in pods.list(&wanted.pods).await?.items.iter().filter(|pod| wanted.is_meant(pod)) {
        // A container that has not begun has said nothing.
        let Ok(stream) = pods.log_stream(&pod.name_any(), &wanted.params).await else { continue };
        let mut all = stream.lines();
        while let Ok(Some(text)) = all.try_next().await {
            lines.push(line(&pod.name_any(), &text));
            if lines.len() > MAX_SORTED {
                return Err(Refusal::new(
                    Code::FailedPrecondition,
                    "the logs are too long to be put in order; ask for one pod, or follow them",
                ));
            }
        }
    }
    // Stable: lines of the same moment stay as their container wrote them.
    lines.sort_by(|a, b| a.time.cmp(&b.time));
    Ok(lines)
}

fn line(pod: &str, text: &str) -> Line {
    let (time, rest) = text.split_once(' ').unwrap_or((text, ""));
    Line { time: time.to_owned(), pod: pod.to_owned(), text: rest.to_owned() }
}

/// Lines as they come, until the workflow has ended.
fn followed(
    client: Client,
    namespace: String,
    name: String,
    wanted: Wanted,
) -> impl futures::Stream<Item = Result<Value, Refusal>> + Send {
    async_stream::stream! {
        let (send, mut receive) = mpsc::channel::<Line>(QUEUE);
        let mut readers = JoinSet::new();
        readers.spawn(read_all(client, namespace, name, wanted.clone(), send));
        while let Some(line) = receive.recv().await {
            if let Some(entry) = wanted.entry(&line) {
                yield Ok(entry);
            }
        }
    }
}

/// Reads every pod from its beginning to its end; ends when the workflow has ended and nothing more is to be read.
async fn read_all(client: Client, namespace: String, name: String, wanted: Wanted, send: mpsc::Sender<Line>) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let selector = wanted.pods.label_selector.clone().unwrap_or_default();
    let mut changes =
        watcher(pods.clone(), watcher::Config::default().labels(&selector)).default_backoff().boxed();
    let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut workflow = watcher(argo(&client, "Workflow", &namespace), one).default_backoff().boxed();
    let mut begun = BTreeSet::new();
    let mut readers = JoinSet::new();
    let (mut ended, mut seen) = (false, false);
    while !(ended && seen && readers.is_empty()) {
        tokio::select! {
            () = send.closed() => return,
            event = changes.try_next() => match event {
                Ok(Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) => {
                    let container = wanted.params.container.clone().unwrap_or_default();
                    if wanted.is_meant(&pod) && has_begun(&pod, &container) && begun.insert(pod.name_any()) {
                        readers.spawn(read_pod(pods.clone(), pod.name_any(), wanted.params.clone(), send.clone()));
                    }
                }
                Ok(Some(watcher::Event::InitDone)) => seen = true,
                Ok(None) => return,
                _ => {}
            },
            event = workflow.try_next() => match event {
                Ok(Some(watcher::Event::Apply(object) | watcher::Event::InitApply(object))) => {
                    ended = object.data["status"]["finishedAt"].is_string();
                }
                Ok(Some(watcher::Event::Delete(_)) | None) => ended = true,
                _ => {}
            },
            Some(_) = readers.join_next(), if !readers.is_empty() => {}
        }
    }
}

fn has_begun(pod: &Pod, container: &str) -> bool {
    let statuses = pod.status.iter().flat_map(|status| {
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
    });
    statuses.filter(|one| one.name == container).any(|one| {
        one.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    })
}

async fn read_pod(pods: Api<Pod>, name: String, params: LogParams, send: mpsc::Sender<Line>) {
    let Ok(stream) = pods.log_stream(&name, &params).await else { return };
    let mut lines = stream.lines();
    while let Ok(Some(text)) = lines.try_next().await {
        if send.send(line(&name, &text)).await.is_err() {
            return;
        }
    }
}
