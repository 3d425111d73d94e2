//! Watches: what happened since a revision, and then what happens, as a stream of JSON lines.
//!
//! A watcher sleeps until the store signals its kind, then reads what is new from the log: nothing is polled, and
//! nothing is queued per watcher, so a slow one costs nothing and is told 410 when the log no longer reaches back.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use galley_store::objects::{Change, Event, ObjectError, Query};
use http::StatusCode;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{ApiError, Call, Shape};
use crate::{selector::Selector, status::json_response, table};

/// A watch ends after this time if the client does not say otherwise, and in no case later.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// Time between bookmarks.
const BOOKMARKS: Duration = Duration::from_secs(30);
/// Events read from the log at a time.
const BATCH: usize = 256;

/// Watches a collection, or one object of it.
pub(super) fn watch(mut call: Call, name: Option<String>) -> Result<Response, ApiError> {
    if let Some(name) = name {
        let field = format!("metadata.name={name}");
        call.params.selector = Selector::parse("", &field).map_err(ApiError::bad_request)?;
    }
    let permit = call.server.watches().clone().try_acquire_owned().map_err(|_| ApiError::too_many())?;
    let closing = call.user.closing.clone();
    let deadline = Instant::now()
        + call
            .params
            .timeout_seconds
            .map_or(LONGEST, |seconds| Duration::from_secs(seconds.max(1)).min(LONGEST));
    let stream = async_stream::stream! {
        let _permit = permit;
        let kind = call.def.key();
        // Subscribed before anything is read: a change in between wakes us.
        let mut wakes = call.server.objects().subscribe(Some(&kind));
        let mut bookmarks = interval_at(Instant::now() + BOOKMARKS, BOOKMARKS);
        bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut since = call.params.resource_version.unwrap_or(0);
        // Without a revision, the watch begins with what is there.
        if call.params.initial_events.unwrap_or(since == 0) {
            match initial(&call) {
                Ok((frames, revision)) => {
                    for frame in frames {
                        yield Ok::<_, Infallible>(frame);
                    }
                    since = revision;
                }
                Err(error) => {
                    yield Ok(error_frame(&error));
                    return;
                }
            }
        } else if since == 0 {
            match call.server.objects().revision() {
                Ok(revision) => since = revision,
                Err(error) => {
                    yield Ok(error_frame(&error.into()));
                    return;
                }
            }
        }
        if call.params.initial_events == Some(true) && call.params.bookmarks {
            yield Ok(bookmark(&call, since, true));
        }
        loop {
            match call.server.objects().events(Some(&kind), since, BATCH) {
                Ok((events, complete)) => {
                    for event in &events {
                        match frame(&call, event) {
                            Ok(Some(frame)) => yield Ok(frame),
                            Ok(None) => {}
                            Err(error) => {
                                yield Ok(error_frame(&error));
                                return;
                            }
                        }
                    }
                    since = complete;
                    if events.len() == BATCH {
                        continue;
                    }
                }
                Err(error) => {
                    if !matches!(error, ObjectError::Compacted { .. }) {
                        tracing::warn!(error = %error, "a watch could not read the log");
                    }
                    yield Ok(error_frame(&error.into()));
                    return;
                }
            }
            tokio::select! {
                changed = wakes.changed() => if changed.is_err() { return },
                _ = bookmarks.tick() => if call.params.bookmarks {
                    yield Ok(bookmark(&call, since, false));
                },
                () = tokio::time::sleep_until(deadline) => return,
                () = closing.cancelled() => return,
            }
        }
    };
    Ok(json_response(StatusCode::OK, Body::from_stream(stream)))
}

/// What is there now, as ADDED events, and the revision at which it was read.
fn initial(call: &Call) -> Result<(Vec<Bytes>, u64), ApiError> {
    let query = Query { namespace: call.path.namespace.clone(), ..Query::default() };
    let page =
        call.server.objects().list(&call.def.key(), &query, |facts| call.params.selector.matches(facts))?;
    let frames = page.items.iter().map(|item| line(call, "ADDED", &item.json)).collect::<Result<_, _>>()?;
    Ok((frames, page.revision))
}

/// The line for an event, unless it does not concern this watch.
fn frame(call: &Call, event: &Event) -> Result<Option<Bytes>, ApiError> {
    if call.path.namespace.as_deref().is_some_and(|namespace| namespace != event.key.namespace) {
        return Ok(None);
    }
    let selector = &call.params.selector;
    let was = event.before.as_deref().is_some_and(|facts| selector.matches(facts));
    let is = event.change != Change::Deleted && selector.matches(&event.facts);
    // An object that begins or ceases to be selected appears or disappears, as far as this watch can tell.
    let kind = match (was, is) {
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
        (false, false) => return Ok(None),
    };
    line(call, kind, &event.json).map(Some)
}

fn line(call: &Call, kind: &str, json: &str) -> Result<Bytes, ApiError> {
    let line = match call.shape {
        Shape::Object if !call.is_converted() => format!("{{\"type\":\"{kind}\",\"object\":{json}}}\n"),
        _ => format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", call.formed(json)?),
    };
    Ok(Bytes::from(line))
}

fn bookmark(call: &Call, revision: u64, initial_end: bool) -> Bytes {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if initial_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let object = match call.shape {
        Shape::Table => table::table(&call.def, [], None, call.server.now(), metadata),
        Shape::Metadata => {
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
        }
        // Typed clients expect the fields of the kind to be there, if only as empty ones.
        Shape::Object => {
            json!({"kind": call.def.kind, "apiVersion": call.def.api_version(), "metadata": metadata})
        }
    };
    Bytes::from(format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n"))
}

fn error_frame(error: &ApiError) -> Bytes {
    Bytes::from(format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", error.to_json()))
}
