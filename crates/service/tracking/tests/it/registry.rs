//! Registered models, versions and aliases, request by request.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, refused, start, text};

const INVALID: (u16, &str) = (400, "INVALID_PARAMETER_VALUE");
const ABSENT: (u16, &str) = (404, "RESOURCE_DOES_NOT_EXIST");

async fn version(server: &Server, run: &str) -> Value {
    let source = format!("mlflow-artifacts:/0/{run}/artifacts/model");
    let body =
        json!({ "name": "food", "source": source, "run_id": run, "tags": [{ "key": "run", "value": run }] });
    server.ok("model-versions/create", body).await["model_version"].clone()
}

#[tokio::test]
async fn versions_count_up_and_aliases_move() {
    let server = start().await;
    server.ok("registered-models/create", json!({ "name": "food", "description": "dishes" })).await;
    let again = server.post("registered-models/create", json!({ "name": "food" })).await;
    refused(again, (400, "RESOURCE_ALREADY_EXISTS"), "Registered Model (name=food) already exists.");
    refused(
        server.post("registered-models/create", json!({ "name": "a/b" })).await,
        INVALID,
        "cannot contain",
    );
    let run = server.run().await;
    let first = version(&server, &run).await;
    assert_eq!((first["version"].as_str(), first["status"].as_str()), (Some("1"), Some("READY")));
    assert_eq!(first["current_stage"], "None");
    assert_eq!(version(&server, &run).await["version"], "2");

    let alias = |version: &str| json!({ "name": "food", "alias": "production", "version": version });
    server.ok("registered-models/alias", alias("1")).await;
    server.ok("registered-models/alias", alias("2")).await;
    refused(server.post("registered-models/alias", alias("9")).await, ABSENT, "version=9) not found");
    refused(server.post("registered-models/alias", alias("x")).await, INVALID, "must be an integer");
    let reserved = json!({ "name": "food", "alias": "v7", "version": "1" });
    refused(server.post("registered-models/alias", reserved).await, INVALID, "reserved");
    let (_, found) = server.get("registered-models/alias?name=food&alias=production").await;
    assert_eq!(found["model_version"]["version"], "2");
    assert_eq!(found["model_version"]["aliases"], json!(["production"]));
    let (_, model) = server.get("registered-models/get?name=food").await;
    assert_eq!(model["registered_model"]["aliases"], json!([{ "alias": "production", "version": "2" }]));
    assert_eq!(model["registered_model"]["latest_versions"][0]["version"], "2");
    let gone = json!({ "name": "food", "alias": "production" });
    assert_eq!(server.call(Method::DELETE, "registered-models/alias", gone).await.0, 200);
    let missing = server.get("registered-models/alias?name=food&alias=production").await;
    refused(missing, INVALID, "Registered model alias production not found.");
    refused(server.get("registered-models/alias?name=no&alias=x").await, ABSENT, "name=no not found");
    let (_, latest) = server.get("registered-models/alias?name=food&alias=latest").await;
    assert_eq!(latest["model_version"]["version"], "2");
}

#[tokio::test]
async fn versions_are_found_moved_and_deleted() {
    let server = start().await;
    server.ok("registered-models/create", json!({ "name": "food" })).await;
    let runs = [server.run().await, server.run().await];
    for run in &runs {
        version(&server, run).await;
    }
    let query = format!("model-versions/search?filter=run_id%3D'{}'%20and%20name='food'", runs[0]);
    let (_, found) = server.get(&query).await;
    assert_eq!(found["model_versions"].as_array().map(Vec::len), Some(1), "{found}");
    let (_, found) =
        server.get("model-versions/search?filter=name='food'&order_by=version_number%20ASC").await;
    assert_eq!(found["model_versions"][0]["version"], "1");
    let tag = json!({ "name": "food", "version": "1", "key": "gate", "value": "pass" });
    server.ok("model-versions/set-tag", tag).await;
    let (_, found) = server.get("model-versions/search?filter=tags.gate='pass'").await;
    assert_eq!(found["model_versions"][0]["version"], "1");

    let stage = |version: &str| json!({ "name": "food", "version": version, "stage": "production", "archive_existing_versions": true });
    server.ok("model-versions/transition-stage", stage("1")).await;
    server.ok("model-versions/transition-stage", stage("2")).await;
    let latest = server.ok("registered-models/get-latest-versions", json!({ "name": "food" })).await;
    let stages: Vec<String> = latest["model_versions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|v| text(&v["current_stage"]))
        .collect();
    assert_eq!(stages, ["Production", "Archived"]);
    let uri = server.get("model-versions/get-download-uri?name=food&version=2").await.1;
    assert_eq!(uri["artifact_uri"], format!("mlflow-artifacts:/0/{}/artifacts/model", runs[1]));

    let named = json!({ "name": "food", "version": "2" });
    assert_eq!(server.call(Method::DELETE, "model-versions/delete", named).await.0, 200);
    refused(
        server.get("model-versions/get?name=food&version=2").await,
        ABSENT,
        "(name=food, version=2) not found",
    );
    assert_eq!(version(&server, &runs[0]).await["version"], "3", "numbers are not used again");
    let update = json!({ "name": "food", "version": "3", "description": "good" });
    let (_, updated) = server.call(Method::PATCH, "model-versions/update", update).await;
    assert_eq!(updated["model_version"]["description"], "good");

    server.ok("registered-models/rename", json!({ "name": "food", "new_name": "dishes" })).await;
    let (_, found) = server.get("registered-models/search?filter=name%20ILIKE%20'DISH%25'").await;
    assert_eq!(found["registered_models"][0]["name"], "dishes");
    assert_eq!(
        server.call(Method::DELETE, "registered-models/delete", json!({ "name": "dishes" })).await.0,
        200
    );
    refused(server.get("registered-models/get?name=dishes").await, ABSENT, "name=dishes not found");
}

#[tokio::test]
async fn a_source_must_belong_to_what_it_names() {
    let server = start().await;
    server.ok("registered-models/create", json!({ "name": "food" })).await;
    let (run, other) = (server.run().await, server.run().await);
    let make = |source: String, run: &str| {
        let body = json!({ "name": "food", "source": source, "run_id": run });
        server.post("model-versions/create", body)
    };
    for source in
        ["/etc/passwd", "file:///etc/passwd", "mlflow-artifacts:/0/../1", "s3://b/%2e%2e/x", "model"]
    {
        refused(make(source.into(), &run).await, INVALID, "Invalid model version source");
    }
    let foreign = make(format!("mlflow-artifacts:/0/{other}/artifacts/model"), &run).await;
    refused(foreign, INVALID, "run_id request parameter must identify");
    refused(make(format!("runs:/{other}/model"), &run).await, INVALID, "must identify");
    assert_eq!(make(format!("runs:/{run}/model"), &run).await.0, 200);
    assert_eq!(make("s3://bucket/model".into(), &run).await.0, 200);
    let uri = server.get("model-versions/get-download-uri?name=food&version=1").await.1;
    assert_eq!(uri["artifact_uri"], format!("mlflow-artifacts:/0/{run}/artifacts/model"));
    let copied = make("models:/food/1".into(), "").await.1;
    assert_eq!(copied["model_version"]["run_id"], run.as_str());
}
