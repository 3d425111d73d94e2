//! Experiments and runs, request by request.

use serde_json::{Value, json};

use crate::server::{refused, start, text};

const INVALID: (u16, &str) = (400, "INVALID_PARAMETER_VALUE");
const ABSENT: (u16, &str) = (404, "RESOURCE_DOES_NOT_EXIST");
const TAKEN: (u16, &str) = (400, "RESOURCE_ALREADY_EXISTS");

#[tokio::test]
async fn the_default_experiment_exists() {
    let server = start().await;
    let (status, body) = server.get("experiments/get?experiment_id=0").await;
    assert_eq!((status, body["experiment"]["name"].as_str()), (200, Some("Default")));
    assert_eq!(body["experiment"]["artifact_location"], "mlflow-artifacts:/0");
    assert_eq!(body["experiment"]["lifecycle_stage"], "active");
    assert!(body["experiment"]["creation_time"].is_i64() && body["experiment"].get("tags").is_none());
}

#[tokio::test]
async fn an_experiment_from_cradle_to_grave_and_back() {
    let server = start().await;
    let made = server
        .ok("experiments/create", json!({ "name": "food", "tags": [{ "key": "team", "value": "ml" }] }))
        .await;
    let id = text(&made["experiment_id"]);
    refused(server.post("experiments/create", json!({ "name": "food" })).await, TAKEN, "already exists");
    refused(
        server.post("experiments/create", json!({})).await,
        INVALID,
        "Missing value for required parameter 'name'",
    );
    let (_, found) = server.get("experiments/get-by-name?experiment_name=food").await;
    assert_eq!(found["experiment"]["experiment_id"], id.as_str());
    assert_eq!(found["experiment"]["tags"], json!([{ "key": "team", "value": "ml" }]));

    server.ok("experiments/update", json!({ "experiment_id": id, "new_name": "dishes" })).await;
    server
        .ok("experiments/set-experiment-tag", json!({ "experiment_id": id, "key": "a", "value": "b" }))
        .await;
    server.ok("experiments/delete-experiment-tag", json!({ "experiment_id": id, "key": "team" })).await;
    server.ok("experiments/delete", json!({ "experiment_id": id })).await;
    refused(
        server.post("runs/create", json!({ "experiment_id": id })).await,
        INVALID,
        "must be in the 'active' state",
    );
    let (_, active) = server.post("experiments/search", json!({ "max_results": 10 })).await;
    assert_eq!(active["experiments"].as_array().map(Vec::len), Some(1));
    let (_, gone) = server.get("experiments/search?max_results=10&view_type=DELETED_ONLY").await;
    assert_eq!(gone["experiments"][0]["name"], "dishes");
    server.ok("experiments/restore", json!({ "experiment_id": id })).await;
    let found =
        server.ok("experiments/search", json!({ "filter": "name LIKE 'dis%' AND tags.a = 'b'" })).await;
    assert_eq!(found["experiments"][0]["experiment_id"], id.as_str());

    refused(server.get("experiments/get?experiment_id=77").await, ABSENT, "No Experiment with id=77 exists");
    refused(server.get("experiments/get?experiment_id=x").await, INVALID, "must be a valid integer");
    refused(
        server.get("experiments/get-by-name?experiment_name=none").await,
        ABSENT,
        "Could not find experiment",
    );
    for location in ["/etc", "file:///etc", "s3://x/../y", "runs:/abc"] {
        let body = json!({ "name": "n", "artifact_location": location });
        refused(server.post("experiments/create", body).await, INVALID, "Invalid artifact location");
    }
}

#[tokio::test]
async fn a_run_keeps_what_is_logged() {
    let server = start().await;
    let body = json!({ "experiment_id": "0", "user_id": "ada", "run_name": "first", "start_time": 1_700_000_000_000i64,
        "tags": [{ "key": "galley.commit", "value": "abc" }] });
    let made = server.ok("runs/create", body).await;
    let info = &made["run"]["info"];
    let id = text(&info["run_id"]);
    assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    assert_eq!(info["run_uuid"], info["run_id"]);
    assert_eq!(info["status"], "RUNNING");
    assert_eq!(info["artifact_uri"], format!("mlflow-artifacts:/0/{id}/artifacts"));

    server.ok("runs/log-parameter", json!({ "run_id": id, "key": "lr", "value": "0.1" })).await;
    server.ok("runs/log-parameter", json!({ "run_id": id, "key": "lr", "value": "0.1" })).await;
    let changed =
        server.post("runs/log-parameter", json!({ "run_id": id, "key": "lr", "value": "0.2" })).await;
    refused(
        changed,
        INVALID,
        &format!(
            "Changing param values is not allowed. Param with key='lr' was already logged with value='0.1' for run \
             ID='{id}'. Attempted logging new value '0.2'."
        ),
    );
    for (step, value) in [(0, json!(0.5)), (2, json!("NaN")), (1, json!(0.75))] {
        let body =
            json!({ "run_id": id, "key": "acc", "value": value, "timestamp": 1000 + step, "step": step });
        server.ok("runs/log-metric", body).await;
    }
    server
        .ok(
            "runs/log-batch",
            json!({ "run_id": id,
                "metrics": [{ "key": "loss", "value": 1.5, "timestamp": "1000", "step": "3" }],
                "params": [{ "key": "epochs", "value": "5" }],
                "tags": [{ "key": "mlflow.runName", "value": "renamed" }] }),
        )
        .await;
    server.ok("runs/set-tag", json!({ "run_id": id, "key": "x", "value": "y" })).await;
    server.ok("runs/delete-tag", json!({ "run_id": id, "key": "x" })).await;
    refused(
        server.post("runs/delete-tag", json!({ "run_id": id, "key": "x" })).await,
        ABSENT,
        "No tag with name: x",
    );
    let ended = server
        .ok("runs/update", json!({ "run_id": id, "status": "FINISHED", "end_time": 1_700_000_001_000i64 }));
    assert_eq!(ended.await["run_info"]["end_time"], 1_700_000_001_000i64);

    let (_, body) = server.get(&format!("runs/get?run_id={id}")).await;
    let data = &body["run"]["data"];
    assert_eq!(body["run"]["info"]["run_name"], "renamed");
    assert_eq!(data["params"], json!([{ "key": "epochs", "value": "5" }, { "key": "lr", "value": "0.1" }]));
    assert_eq!(data["metrics"][0]["value"], "NaN", "the highest step is the latest");
    assert_eq!(data["metrics"][1], json!({ "key": "loss", "value": 1.5, "timestamp": 1000, "step": 3 }));
    let (_, history) =
        server.get(&format!("metrics/get-history?run_id={id}&metric_key=acc&max_results=2")).await;
    let steps = |page: &Value| {
        page["metrics"].as_array().expect("a list").iter().map(|m| m["step"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(steps(&history), vec![json!(0), json!(1)]);
    let token = text(&history["next_page_token"]).replace('=', "%3D");
    let (_, rest) = server
        .get(&format!("metrics/get-history?run_id={id}&metric_key=acc&max_results=2&page_token={token}"))
        .await;
    assert_eq!(steps(&rest), vec![json!(2)]);
    assert!(rest.get("next_page_token").is_none());
}

#[tokio::test]
async fn a_deleted_run_takes_nothing_until_it_is_restored() {
    let server = start().await;
    let id = server.run().await;
    server.ok("runs/delete", json!({ "run_id": id })).await;
    let tag = json!({ "run_id": id, "key": "x", "value": "y" });
    refused(server.post("runs/set-tag", tag.clone()).await, INVALID, "must be in the 'active' state");
    let found = server.ok("runs/search", json!({ "experiment_ids": ["0"] })).await;
    assert_eq!(found, json!({}), "an empty list is left out");
    let found =
        server.ok("runs/search", json!({ "experiment_ids": ["0"], "run_view_type": "DELETED_ONLY" })).await;
    assert_eq!(found["runs"][0]["info"]["lifecycle_stage"], "deleted");
    server.ok("runs/restore", json!({ "run_id": id })).await;
    server.ok("runs/set-tag", tag).await;
    refused(server.get("runs/get?run_id=none").await, ABSENT, "Run with id=none not found");
}

#[tokio::test]
async fn searches_come_in_pages() {
    let server = start().await;
    for number in 0..5 {
        let id = server.run().await;
        let metrics = json!([{ "key": "acc", "value": number, "timestamp": 1 }]);
        server.ok("runs/log-batch", json!({ "run_id": id, "metrics": metrics })).await;
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let body = json!({ "experiment_ids": ["0"], "filter": "metrics.acc >= 1", "order_by": ["metrics.acc DESC"],
            "max_results": 2, "page_token": token });
        let page = server.ok("runs/search", body).await;
        let runs = page["runs"].as_array().expect("runs").clone();
        assert!(runs.len() <= 2);
        seen.extend(runs.iter().map(|run| run["data"]["metrics"][0]["value"].as_f64().expect("a number")));
        match page.get("next_page_token") {
            Some(next) => token = text(next),
            None => break,
        }
    }
    assert_eq!(seen, [4.0, 3.0, 2.0, 1.0]);
    let bad = |body: Value| server.post("runs/search", body);
    refused(
        bad(json!({ "experiment_ids": ["0"], "filter": "metrics.acc >" })).await,
        INVALID,
        "missing at the end",
    );
    refused(bad(json!({ "experiment_ids": ["0"], "max_results": 0 })).await, INVALID, "max_results");
    refused(bad(json!({ "experiment_ids": ["0"], "max_results": 50_001 })).await, INVALID, "max_results");
    refused(bad(json!({ "experiment_ids": ["0"], "page_token": "?" })).await, INVALID, "page token");
    refused(bad(json!({ "experiment_ids": "0; DROP TABLE runs" })).await, INVALID, "must be a valid integer");
}

#[tokio::test]
async fn limits_are_those_of_mlflow() {
    let server = start().await;
    let id = server.run().await;
    let long = "x".repeat(8001);
    server.ok("runs/set-tag", json!({ "run_id": id, "key": "t", "value": long })).await;
    server.ok("runs/log-parameter", json!({ "run_id": id, "key": "p", "value": "x".repeat(6001) })).await;
    let data = server.get(&format!("runs/get?run_id={id}")).await.1["run"]["data"].clone();
    assert_eq!(text(&data["params"][0]["value"]).len(), 6000, "long values are cut");
    assert_eq!(text(&data["tags"][1]["value"]).len(), 8000, "long values are cut");
    let valueless = json!({ "run_id": id, "metrics": [{ "key": "m", "timestamp": 1 }] });
    refused(server.post("runs/log-batch", valueless).await, INVALID, "required parameter 'metrics[0].value'");
    let metrics: Vec<Value> =
        (0..1001).map(|n| json!({ "key": format!("m{n}"), "value": 1, "timestamp": 1 })).collect();
    let batch = json!({ "run_id": id, "metrics": metrics });
    refused(server.post("runs/log-batch", batch).await, INVALID, "at most 1000 metrics. Got 1001");
    let name = json!({ "run_id": id, "key": "a@b", "value": 1, "timestamp": 1 });
    refused(server.post("runs/log-metric", name).await, INVALID, "Names may only contain alphanumerics");
    let early = json!({ "run_id": id, "key": "m", "value": 1, "timestamp": -1 });
    refused(server.post("runs/log-metric", early).await, INVALID, "Timestamp must be a nonnegative");
    let timeless = json!({ "run_id": id, "key": "m", "value": 1 });
    refused(server.post("runs/log-metric", timeless).await, INVALID, "required parameter 'timestamp'");
    let odd = json!({ "run_id": 5 });
    refused(server.post("runs/delete", odd).await, INVALID, "Invalid value 5 for parameter 'run_id'");
    refused(server.get("nothing/here").await, (404, "ENDPOINT_NOT_FOUND"), "not part of this interface");
}

#[tokio::test]
async fn inputs_outputs_and_logged_models() {
    let server = start().await;
    let run = server.run().await;
    let dataset = json!({ "name": "food-11", "digest": "abc", "source_type": "local", "source": "{}" });
    let context = json!([{ "key": "mlflow.data.context", "value": "train" }]);
    let inputs = json!({ "run_id": run, "datasets": [{ "tags": context, "dataset": dataset }] });
    server.ok("runs/log-inputs", inputs.clone()).await;
    server.ok("runs/log-inputs", inputs).await;

    let body = json!({ "experiment_id": "0", "name": "head", "source_run_id": run, "model_type": "onnx",
        "params": [{ "key": "classes", "value": "11" }], "tags": [{ "key": "a", "value": "b" }] });
    let made = server.ok("logged-models", body).await;
    let model = text(&made["model"]["info"]["model_id"]);
    assert!(model.starts_with("m-") && model.len() == 34, "{model}");
    assert_eq!(made["model"]["info"]["status"], "LOGGED_MODEL_PENDING");
    assert_eq!(
        made["model"]["info"]["artifact_uri"],
        format!("mlflow-artifacts:/0/models/{model}/artifacts")
    );
    let ready = json!({ "model_id": model, "status": "LOGGED_MODEL_READY" });
    let (status, body) = server.call(reqwest::Method::PATCH, &format!("logged-models/{model}"), ready).await;
    assert_eq!((status, body["model"]["info"]["status"].as_str()), (200, Some("LOGGED_MODEL_READY")));
    server.ok("runs/outputs", json!({ "run_id": run, "models": [{ "model_id": model, "step": 3 }] })).await;
    let metric = json!({ "run_id": run, "key": "acc", "value": 0.9, "timestamp": 1, "model_id": model,
        "dataset_name": "food-11", "dataset_digest": "abc" });
    server.ok("runs/log-metric", metric).await;

    let (_, found) = server.get(&format!("runs/get?run_id={run}")).await;
    assert_eq!(found["run"]["inputs"]["dataset_inputs"].as_array().map(Vec::len), Some(1), "recorded once");
    assert_eq!(found["run"]["outputs"]["model_outputs"], json!([{ "model_id": model, "step": 3 }]));
    let by = |filter: &str| json!({ "experiment_ids": ["0"], "filter": filter });
    let found = server.ok("runs/search", by("dataset.name = 'food-11' AND dataset.context = 'train'")).await;
    assert_eq!(found["runs"][0]["info"]["run_id"], run.as_str());

    let filter = "name = 'head' AND params.classes = '11' AND metrics.acc > 0.5";
    let search = json!({ "experiment_ids": ["0"], "filter": filter, "datasets": [{ "dataset_name": "food-11" }],
        "order_by": [{ "field_name": "metrics.acc", "ascending": false }] });
    let found = server.ok("logged-models/search", search).await;
    assert_eq!(found["models"][0]["data"]["metrics"][0]["value"], 0.9);
    assert_eq!(found["models"][0]["data"]["metrics"][0]["run_id"], run.as_str());
    let tags = json!({ "tags": [{ "key": "a", "value": "c" }] });
    server.call(reqwest::Method::PATCH, &format!("logged-models/{model}/tags"), tags).await;
    let (_, tagged) = server.get(&format!("logged-models/{model}")).await;
    assert_eq!(tagged["model"]["info"]["tags"], json!([{ "key": "a", "value": "c" }]));
    let (status, _) =
        server.call(reqwest::Method::DELETE, &format!("logged-models/{model}"), json!({})).await;
    assert_eq!(status, 200);
    refused(server.get(&format!("logged-models/{model}")).await, ABSENT, "Logged model with ID");
    assert_eq!(server.get(&format!("logged-models/{model}?allow_deleted=true")).await.0, 200);
}
