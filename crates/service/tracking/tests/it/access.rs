//! Who may write.

use std::sync::Arc;

use galley_mlflow_client::Client;
use galley_tracking::Config;
use galley_units::Secret;
use reqwest::Method;
use serde_json::json;

use crate::server::{refused, start, start_with};

#[tokio::test]
async fn reading_is_open_and_writing_needs_the_token() {
    let server = start_with(Config::default(), Some(Arc::new(|token: &str| token == "s3cret"))).await;
    assert_eq!(server.get("experiments/get?experiment_id=0").await.0, 200);
    assert_eq!(server.post("runs/search", json!({ "experiment_ids": ["0"] })).await.0, 200);
    refused(server.post("runs/create", json!({})).await, (401, "UNAUTHENTICATED"), "MLFLOW_TRACKING_TOKEN");
    let put = |token: Option<&str>| {
        let request = server.raw(Method::PUT, "/api/2.0/mlflow-artifacts/artifacts/0/x").body("x");
        match token {
            Some(token) => request.basic_auth("anyone", Some(token)).send(),
            None => request.send(),
        }
    };
    assert_eq!(put(None).await.expect("an answer").status(), 401);
    assert_eq!(put(Some("wrong")).await.expect("an answer").status(), 403);
    assert_eq!(put(Some("s3cret")).await.expect("an answer").status(), 200);

    let stranger = Client::new(&server.url, Some(Secret::new("wrong".into()))).expect("an address");
    assert!(stranger.create_run("0", "x", &[]).await.expect_err("refused").is_denied());
    let known = Client::new(&server.url, Some(Secret::new("s3cret".into()))).expect("an address");
    known.create_run("0", "x", &[]).await.expect("allowed");
}

#[tokio::test]
async fn a_page_of_another_site_may_not_write() {
    let server = start().await;
    let create = |origin: String| {
        let request = server.raw(Method::POST, "/api/2.0/mlflow/runs/create");
        request.header("origin", origin).body(r#"{"experiment_id": "0"}"#).send()
    };
    assert_eq!(create("https://evil.example".into()).await.expect("an answer").status(), 403);
    assert_eq!(create(server.url.clone()).await.expect("an answer").status(), 200);
}
