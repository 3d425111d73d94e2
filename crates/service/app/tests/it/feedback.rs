//! What people say of the answers.

use galley_app::Config;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Running, json as read, model, sample_png, start, started};

async fn keeping(folder: &std::path::Path) -> Running {
    start(Config { feedback_dir: Some(folder.to_owned()), ..Config::default() }, model()).await
}

#[tokio::test]
async fn an_answer_can_be_flagged_corrected_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let app = keeping(folder.path()).await;
    let answer = read(app.post_form("/predict", "file", sample_png(), "*/*").await).await;
    let id = answer["id"].as_str().unwrap().to_owned();
    let kept = read(app.get(&format!("/predictions/{id}"), "*/*").await).await;
    assert_eq!((&kept["class"], &kept["modelVersion"]), (&answer["class"], &json!("3")));
    assert_eq!(kept["probabilities"].as_array().unwrap().len(), 11);
    assert_eq!(std::fs::read(folder.path().join(format!("{id}.photo"))).unwrap(), sample_png());

    let flagged = read(app.post_body(&format!("/flag/{id}"), "text/plain", Vec::new()).await).await;
    assert!(flagged["flagged"].is_string());
    for (content_type, body) in [
        ("application/json", r#"{"class": "Soup"}"#),
        ("application/json", r#"{"class": 9}"#),
        ("application/x-www-form-urlencoded", "class=soup"),
        ("text/plain", "9_Soup"),
    ] {
        let response = app.post_body(&format!("/correct-label/{id}"), content_type, body.into()).await;
        assert_eq!(read(response).await["correctClass"], "Soup", "{body}");
    }
    let response = app
        .post_body(&format!("/correct-label/{id}"), "application/json", br#"{"class":"Beer"}"#.to_vec())
        .await;
    assert_eq!(
        (response.status(), read(response).await["error"]["code"].clone()),
        (StatusCode::BAD_REQUEST, json!("G0720"))
    );
    let metrics = app.get("/metrics", "*/*").await.text().await.unwrap();
    assert!(metrics.contains(r#"gourmetgram_corrections_total{class="Soup"} 4"#), "{metrics}");

    let delete = app.client.delete(format!("{}/predictions/{id}", app.address));
    assert_eq!(delete.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(app.get(&format!("/predictions/{id}"), "*/*").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_form_without_a_script_leads_to_thanks() {
    let folder = tempfile::tempdir().unwrap();
    let app = keeping(folder.path()).await;
    let page = app.post_form("/predict", "file", sample_png(), "text/html").await.text().await.unwrap();
    let action = page.split("action=\"").find(|part| part.starts_with("correct-label/")).unwrap();
    let path = action.split('"').next().unwrap();
    let request = app.client.post(format!("{}/{path}", app.address)).header("accept", "text/html");
    let thanks = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body("class=Rice")
        .send()
        .await
        .unwrap();
    assert_eq!(thanks.status(), StatusCode::OK);
    let page = thanks.text().await.unwrap();
    assert!(page.contains("The right class is noted.") && page.contains(r#"href="../assets/app.css""#));
}

#[tokio::test]
async fn without_a_folder_nothing_is_kept() {
    let app = started().await;
    let answer = read(app.post_form("/predict", "file", sample_png(), "*/*").await).await;
    assert!(answer.get("id").is_none());
    let response = app.post_body("/flag/x", "text/plain", Vec::new()).await;
    assert_eq!(
        (response.status(), read(response).await["error"]["code"].clone()),
        (StatusCode::NOT_FOUND, json!("G0718"))
    );
    let page = app.post_form("/predict", "file", sample_png(), "text/html").await.text().await.unwrap();
    assert!(page.contains("The photo was not kept.") && !page.contains("correct-label"));
}

#[tokio::test]
async fn other_peoples_paths_are_nobodys_prediction() {
    let folder = tempfile::tempdir().unwrap();
    let app = keeping(folder.path()).await;
    for id in ["nothing", "..%2F..%2Fetc%2Fpasswd", "%00", "a%2Fb"] {
        for path in [format!("/flag/{id}"), format!("/correct-label/{id}"), format!("/delete/{id}")] {
            let response = app.post_body(&path, "text/plain", b"Soup".to_vec()).await;
            assert!(response.status().is_client_error(), "{path}: {}", response.status());
        }
    }
}
