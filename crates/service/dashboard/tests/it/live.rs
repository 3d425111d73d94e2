//! Following a page.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::{
    cluster::{set_status, start},
    objects::workflow,
};

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_change_is_sent_as_a_new_rendering() {
    let flow = workflow("train", "Running");
    let cluster = start(std::slice::from_ref(&flow)).await;
    let page = "/workflows/gourmetgram-pipeline/train";
    // The page waits for the first lists, so the stream begins with the workflow.
    cluster.page(page).await;
    let url = format!("{}/events?page={page}", cluster.url);
    let mut stream = cluster.http.get(url).send().await.expect("a stream");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut seen = String::new();
    let mut changed = false;
    let all = async {
        while !seen.contains("stopped by hand") {
            let chunk = stream.chunk().await.expect("readable").expect("not ended");
            seen.push_str(&String::from_utf8_lossy(&chunk));
            if !changed && seen.contains("judge-canary") {
                changed = true;
                set_status(
                    &cluster.client,
                    &flow,
                    &json!({ "phase": "Failed", "message": "stopped by hand" }),
                )
                .await;
            }
        }
    };
    timeout(DEADLINE, all).await.expect("the change arrives");
    assert!(seen.starts_with("event: page\n") && !seen.contains("<!doctype"), "only the body is sent");
}

#[tokio::test]
async fn streams_end_with_the_dashboard_and_only_pages_are_followed() {
    let cluster = start(&[]).await;
    let follow = |page: &str| cluster.http.get(format!("{}/events?page={page}", cluster.url)).send();
    assert_eq!(follow("/assets/style.css").await.expect("an answer").status(), 404);
    let mut stream = follow("/").await.expect("a stream");
    drop(cluster);
    let ended = async { while let Ok(Some(_)) = stream.chunk().await {} };
    timeout(DEADLINE, ended).await.expect("the stream ends");
}
