//! Streams: lines of `{"result": ...}`, or server-sent events.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query as Params, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use serde_json::{Value, json};

use crate::error::{Code, Refusal};
use crate::fields::clean;
use crate::objects::{Query, argo, text, to_value, watch_params};
use crate::service::{Context, Cx};

/// A quiet stream says something after this long, so that a lost listener is noticed.
const QUIET: std::time::Duration = std::time::Duration::from_secs(20);

/// Answers with a stream. It ends when the listener leaves; at most so many are open at one time.
pub(crate) fn respond(
    cx: &Context,
    headers: &HeaderMap,
    results: impl Stream<Item = Result<Value, Refusal>> + Send + 'static,
) -> Result<Response, Refusal> {
    let held = Arc::clone(&cx.streams).try_acquire_owned();
    let held = held.map_err(|_| Refusal::new(Code::Unavailable, "too many streams are open"))?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let events = accept.contains("text/event-stream");
    let line = move |result: Result<Value, Refusal>| {
        let value = match result {
            Ok(value) => json!({"result": value}),
            Err(refusal) => json!({"error": {"grpc_code": refusal.code as i32, "message": refusal.message}}),
        };
        if events { format!("data: {value}\n\n") } else { format!("{value}\n") }
    };
    let shutdown = cx.shutdown.clone();
    let lines = async_stream::stream! {
        let _held = held;
        let mut results = std::pin::pin!(results);
        loop {
            let next = tokio::select! {
                next = tokio::time::timeout(QUIET, results.next()) => next,
                () = shutdown.cancelled() => return,
            };
            match next {
                Ok(Some(result)) => yield Ok::<_, std::convert::Infallible>(Bytes::from(line(result))),
                Ok(None) => return,
                // An empty line means nothing in both forms.
                Err(_) => yield Ok(Bytes::from_static(if events { b":\n" } else { b"\n" })),
            }
        }
    };
    let kind = if events { "text/event-stream" } else { "application/json" };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], Body::from_stream(lines))
        .into_response())
}

pub(crate) async fn all_workflows(
    cx: Cx,
    headers: HeaderMap,
    query: Params<Query>,
) -> Result<Response, Refusal> {
    workflows(cx, Path(String::new()), headers, query).await
}

pub(crate) async fn workflows(
    State(cx): Cx,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    Params(query): Params<Query>,
) -> Result<Response, Refusal> {
    let api = argo(&cx.client, "Workflow", &namespace);
    let mut params = watch_params(&query);
    if params.field_selector.as_deref() == Some("metadata.name=@latest") {
        let latest = crate::workflows::find(&cx, &namespace, "@latest").await?;
        params.field_selector = Some(format!("metadata.name={}", latest.metadata.name.unwrap_or_default()));
    }
    let since = since(&query);
    let fields = text(&query, "fields").to_owned();
    let results = async_stream::stream! {
        let mut since = since;
        // A watch of the API server ends now and then; it is taken up again where it was.
        loop {
            let mut events = match api.watch(&params, &since).await {
                Ok(events) => events.boxed(),
                Err(error) => { yield Err(Refusal::from(error)); return; }
            };
            while let Some(event) = events.next().await {
                let (kind, object) = match event {
                    Ok(WatchEvent::Added(object)) => ("ADDED", object),
                    Ok(WatchEvent::Modified(object)) => ("MODIFIED", object),
                    Ok(WatchEvent::Deleted(object)) => ("DELETED", object),
                    Ok(WatchEvent::Bookmark(mark)) => { since = mark.metadata.resource_version; continue; }
                    Ok(WatchEvent::Error(status)) => {
                        yield Err(Refusal::new(Code::Unavailable, status.message.clone()));
                        return;
                    }
                    Err(_) => break,
                };
                if let Some(version) = &object.metadata.resource_version {
                    since.clone_from(version);
                }
                yield Ok(clean(json!({"type": kind, "object": to_value(&object)}), &fields));
            }
        }
    };
    respond(&cx, &headers, results)
}

/// Where a watch begins: with what there is, unless the caller knows that.
fn since(query: &Query) -> String {
    match text(query, "listOptions.resourceVersion") {
        "" => "0".to_owned(),
        version => version.to_owned(),
    }
}

pub(crate) async fn events(
    State(cx): Cx,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    Params(query): Params<Query>,
) -> Result<Response, Refusal> {
    let api: Api<Event> = Api::namespaced(cx.client.clone(), &namespace);
    let params: WatchParams = watch_params(&query);
    let mut events = api.watch(&params, &since(&query)).await?.boxed();
    let results = async_stream::stream! {
        while let Some(event) = events.next().await {
            match event {
                Ok(WatchEvent::Added(event) | WatchEvent::Modified(event)) => yield Ok(json!(event)),
                Ok(_) => {}
                Err(error) => { yield Err(Refusal::from(error)); return; }
            }
        }
    };
    respond(&cx, &headers, results)
}
