//! Photos that are answered.

use galley_ml::CLASSES;
use reqwest::StatusCode;

use crate::support::{json, sample_png, started};

#[tokio::test]
async fn a_form_is_answered_with_all_probabilities() {
    let app = started().await;
    for path in ["/predict", "/"] {
        for field in ["file", "image"] {
            let response = app.post_form(path, field, sample_png(), "*/*").await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["content-type"], "application/json");
            let answer = json(response).await;
            let probabilities = answer["probabilities"].as_object().unwrap();
            assert_eq!(probabilities.len(), 11);
            let sum: f64 = probabilities.values().map(|p| p.as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 0.001, "{sum}");
            let (first, highest) = probabilities.iter().next().unwrap();
            assert_eq!(answer["class"], *first);
            assert_eq!(answer["confidence"], *highest);
            assert_eq!(answer["class"], CLASSES[answer["index"].as_u64().unwrap() as usize]);
            assert_eq!(answer["version"], "3");
        }
    }
}

#[tokio::test]
async fn a_bare_photo_is_answered_too() {
    let app = started().await;
    let expected = json(app.post_form("/predict", "file", sample_png(), "*/*").await).await;
    for content_type in ["image/png", "application/octet-stream", "application/x-www-form-urlencoded"] {
        let response = app.post_body("/predict", content_type, sample_png()).await;
        assert_eq!(response.status(), StatusCode::OK, "{content_type}");
        assert_eq!(json(response).await["class"], expected["class"]);
    }
}

#[tokio::test]
async fn browsers_get_a_page_and_shells_a_word() {
    let app = started().await;
    let response = app.post_form("/predict", "file", sample_png(), "text/html,*/*;q=0.8").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let page = response.text().await.unwrap();
    for class in CLASSES {
        // The template escapes nothing in these names but would in others.
        assert!(page.contains(&format!(r#"<th scope="row">{class}</th>"#)), "{class} is missing");
    }
    assert!(page.contains("data:image/png;base64,"));
    let text = app.post_form("/predict", "file", sample_png(), "text/plain").await.text().await.unwrap();
    assert!(CLASSES.contains(&text.trim_end()), "{text}");
}
