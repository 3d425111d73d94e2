//! The artifact proxy.

use galley_tracking::Config;
use reqwest::Method;

use crate::server::{refused, start, start_with};

const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";

#[tokio::test]
async fn files_go_up_and_come_down() {
    let server = start().await;
    let run = server.run().await;
    let root = format!("{FILES}/0/{run}/artifacts");
    let put =
        |path: &str, body: Vec<u8>| server.raw(Method::PUT, &format!("{root}/{path}")).body(body).send();
    let big: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
    assert_eq!(put("model/data%20set/model.onnx", big.clone()).await.expect("an answer").status(), 200);
    assert_eq!(put("notes.txt", b"one".to_vec()).await.expect("an answer").status(), 200);
    assert_eq!(put("notes.txt", b"two".to_vec()).await.expect("an answer").status(), 200);
    let got = server
        .raw(Method::GET, &format!("{root}/model/data%20set/model.onnx"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(got.headers()["content-disposition"], "attachment");
    assert_eq!(got.headers()["x-content-type-options"], "nosniff");
    assert_eq!(got.bytes().await.expect("bytes"), big);

    let (_, listed) = server.get(&format!("artifacts/list?run_id={run}")).await;
    assert_eq!(listed["root_uri"], format!("mlflow-artifacts:/0/{run}/artifacts"));
    assert_eq!(listed["files"][0], serde_json::json!({ "path": "model", "is_dir": true }));
    assert_eq!(
        listed["files"][1],
        serde_json::json!({ "path": "notes.txt", "is_dir": false, "file_size": 3 })
    );
    let (_, inner) = server.get(&format!("artifacts/list?run_id={run}&path=model")).await;
    assert_eq!(inner["files"][0]["path"], "model/data set");
    let list =
        server.raw(Method::GET, &format!("{FILES}?path=0/{run}/artifacts")).send().await.expect("an answer");
    assert!(list.text().await.expect("text").contains("notes.txt"));

    let gone = server.raw(Method::DELETE, &format!("{root}/model")).send().await.expect("an answer");
    assert_eq!(gone.status(), 200);
    let missing = server.raw(Method::GET, &format!("{root}/model/data%20set/model.onnx")).send().await;
    let missing = missing.expect("an answer");
    refused(
        (missing.status().as_u16(), missing.json().await.expect("JSON")),
        (404, "RESOURCE_DOES_NOT_EXIST"),
        "No such artifact",
    );
    let in_the_way = put("notes.txt/inner", b"x".to_vec()).await.expect("an answer");
    assert_eq!(in_the_way.status(), 400);
}

#[tokio::test]
async fn no_path_leaves_the_folder() {
    let server = start().await;
    std::fs::write(server.folder.path().join("secret"), "s").expect("writes");
    for path in
        ["..%2fsecret", "0/..%2f..%2fsecret", "%2fetc%2fpasswd", "a%5c..%5csecret", ".uploads/x", "a%00b"]
    {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let sent = server.raw(method.clone(), &format!("{FILES}/{path}")).body("x").send().await;
            let status = sent.expect("an answer").status();
            assert_eq!(status, 400, "{method} {path}");
        }
        let listed =
            server.raw(Method::GET, &format!("{FILES}?path={path}")).send().await.expect("an answer");
        assert_eq!(listed.status(), 400, "list {path}");
    }
    assert_eq!(std::fs::read_to_string(server.folder.path().join("secret")).expect("reads"), "s");
    let root = server.raw(Method::DELETE, &format!("{FILES}/.")).send().await.expect("an answer");
    assert!(root.status().is_client_error(), "the root itself stays");
}

#[tokio::test]
async fn an_upload_that_is_too_large_leaves_nothing() {
    let server = start_with(Config { max_artifact_bytes: 1000, ..Config::default() }, None).await;
    let sent = server.raw(Method::PUT, &format!("{FILES}/0/big")).body(vec![0u8; 1001]).send().await;
    assert_eq!(sent.expect("an answer").status(), 400);
    let folder = server.folder.path().join("artifacts");
    assert!(!folder.join("0").exists());
    assert_eq!(std::fs::read_dir(folder.join(".uploads")).expect("a folder").count(), 0);
}

#[tokio::test]
async fn the_page_shows_names_as_text() {
    let server = start().await;
    let hostile = serde_json::json!({ "name": "<script>alert(1)</script>" });
    server.ok("experiments/create", hostile).await;
    let page = server.raw(Method::GET, "/").send().await.expect("an answer");
    assert!(
        page.headers()["content-security-policy"].to_str().expect("text").starts_with("default-src 'none'")
    );
    let page = page.text().await.expect("text");
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    assert_eq!(
        server.raw(Method::GET, "/health").send().await.expect("ok").text().await.expect("text"),
        "OK"
    );
}
