//! The stream of renderings: when objects change, the server renders the page again and sends it, if it is different.
//!
//! Changes are gathered for a moment, so a busy workflow does not render a page a hundred times a second. Ages and
//! durations move on without changes, so a page is also looked at every few seconds.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{Query, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::Stream;
use http::StatusCode;
use serde::Deserialize;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};

use crate::{routes::Page, service::Shared};

/// Changes within this time are rendered together.
const GATHER: Duration = Duration::from_millis(300);
/// A page is rendered at least so often.
const TICK: Duration = Duration::from_secs(5);

/// What a browser asks for.
#[derive(Deserialize)]
pub(crate) struct Follow {
    page: String,
}

/// `/events?page=/...`
pub(crate) async fn events(State(shared): State<Shared>, Query(follow): Query<Follow>) -> Response {
    let Some(page) = Page::at(&follow.page) else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(place) = shared.streams.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "Too many pages are followed at one time.\n")
            .into_response();
    };
    Sse::new(renderings(shared, page, place)).keep_alive(KeepAlive::default()).into_response()
}

fn renderings(
    shared: Shared,
    page: Page,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        // Held as long as the stream lives.
        let _place = place;
        let mut changes = shared.watches.follow();
        let mut last = String::new();
        loop {
            changes.mark_unchanged();
            let (_, body) = page.body(&shared);
            if body != last {
                yield Ok(Event::default().event("page").data(body.clone()));
                last = body;
            }
            let ended = shared.shutdown.cancelled();
            tokio::select! {
                () = ended => break,
                // Both a change and the end of the wait lead to a new look.
                _ = timeout(TICK, changes.changed()) => {}
            }
            sleep(GATHER).await;
        }
    }
}
