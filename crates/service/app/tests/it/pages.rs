//! What can be read.

use galley_ml::CLASSES;
use reqwest::StatusCode;

use crate::support::{json, sample_png, started};

#[tokio::test]
async fn the_page_asks_for_a_photo_and_needs_nothing_from_elsewhere() {
    let app = started().await;
    let response = app.get("/", "text/html").await;
    assert_eq!(response.status(), StatusCode::OK);
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"));
    let page = response.text().await.unwrap();
    assert!(page.contains(r#"action="predict" method="post" enctype="multipart/form-data""#));
    for (attribute, path) in
        [("href", "assets/app.css"), ("src", "assets/app.js"), ("href", "assets/icon.svg")]
    {
        assert!(page.contains(&format!(r#"{attribute}="{path}""#)));
        assert_eq!(app.get(&format!("/{path}"), "*/*").await.status(), StatusCode::OK);
    }
    assert!(!page.contains("https://") && !page.contains("style="), "nothing foreign, nothing inline");
}

#[tokio::test]
async fn the_version_is_told_to_programs_and_shells() {
    let app = started().await;
    let version = json(app.get("/version", "*/*").await).await;
    assert_eq!(version["version"], "3");
    assert_eq!(version["model"], "gourmetgram");
    assert_eq!(version["image"], "registry/app@sha256:1");
    assert_eq!(app.get("/version", "text/plain").await.text().await.unwrap(), "3");
}

#[tokio::test]
async fn the_test_names_one_class() {
    let app = started().await;
    let text = app.get("/test", "*/*").await.text().await.unwrap();
    assert!(CLASSES.contains(&text.as_str()), "{text}");
    assert_eq!(app.get("/healthz", "*/*").await.status(), StatusCode::OK);
    assert_eq!(app.get("/readyz", "*/*").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let app = started().await;
    app.post_form("/predict", "file", sample_png(), "*/*").await;
    app.post_form("/predict", "file", b"no photo".to_vec(), "*/*").await;
    app.get("/nowhere", "*/*").await;
    let response = app.get("/metrics", "*/*").await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    for line in [
        r#"gourmetgram_requests_total{route="/predict",status="200"} 1"#,
        r#"gourmetgram_requests_total{route="/predict",status="415"} 1"#,
        r#"gourmetgram_requests_total{route="unmatched",status="404"} 1"#,
        r#"gourmetgram_model_ready{version="3"} 1.0"#,
        "gourmetgram_prediction_confidence_count 1",
    ] {
        assert!(text.lines().any(|found| found == line), "`{line}` is missing in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}
