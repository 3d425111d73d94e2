//! Our own client against the server.

use std::time::Duration;

use galley_mlflow_client::{Client, Error, KeyValue, Limits, MetricPoint, RunQuery, RunStatus};

use crate::server::start;

#[tokio::test]
async fn steps_work_with_our_server() {
    let server = start().await;
    let client = Client::new(&server.url, None).expect("an address");
    training(&client, "food-11").await;
    registration(&client, "food-11").await;
}

#[tokio::test]
#[allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test tells why it does nothing")]
async fn steps_work_with_a_real_mlflow() {
    let Ok(url) = std::env::var("GALLEY_TEST_MLFLOW_URL") else {
        println!("skipped: GALLEY_TEST_MLFLOW_URL does not name an MLflow server");
        return;
    };
    let client = Client::new(&url, None).expect("an address");
    let name = format!("food-11-{}", galley_units::random_suffix(8));
    training(&client, &name).await;
    registration(&client, &name).await;
}

/// What a training step does.
async fn training(client: &Client, name: &str) {
    let experiment = client.get_or_create_experiment(name).await.expect("made");
    assert_eq!(client.get_or_create_experiment(name).await.expect("found"), experiment);
    assert!(client.find_run(&experiment, "galley.release", "it's r1").await.expect("searched").is_none());
    let tags = [KeyValue::new("galley.release", "it's r1")];
    let run = client.create_run(&experiment, "train", &tags).await.expect("made");
    let id = run.info.run_id.clone();
    let found =
        client.find_run(&experiment, "galley.release", "it's r1").await.expect("searched").expect("found");
    assert_eq!(found.info.run_id, id);

    let params: Vec<KeyValue> = (0..150).map(|n| KeyValue::new(format!("p{n:03}"), n.to_string())).collect();
    let metrics: Vec<MetricPoint> =
        (0..1200).map(|n| MetricPoint::at("loss", 1.0 / f64::from(n + 1), i64::from(n))).collect();
    client
        .log_batch(&id, &params, &metrics, &[KeyValue::new("done", "yes")])
        .await
        .expect("logged in pieces");
    client.log_batch(&id, &params, &[], &[]).await.expect("the same parameters again are no error");
    let refused =
        client.log_batch(&id, &[KeyValue::new("p000", "other")], &[], &[]).await.expect_err("refused");
    assert!(refused.to_string().contains("Changing param values is not allowed"), "{refused}");
    client.log_batch(&id, &[], &[MetricPoint::new("nan", f64::NAN)], &[]).await.expect("NaN travels");
    client.finish_run(&id, RunStatus::Finished).await.expect("ended");
    let run = client.get_run(&id).await.expect("read");
    assert_eq!((run.info.status, run.data.params.len()), (RunStatus::Finished, 150));
    assert!(run.info.end_time.is_some() && run.metric("nan").is_some_and(f64::is_nan));
    assert_eq!(run.metric("loss"), Some(1.0 / 1200.0));
    assert_eq!(client.metric_history(&id, "loss").await.expect("history").len(), 1200);

    client.upload_artifact(&run, "model/model.onnx", vec![7u8; 100_000]).await.expect("up");
    assert_eq!(
        client.download_artifact(&run, "model/model.onnx", 1 << 20).await.expect("down").len(),
        100_000
    );
    let limited = client.download_artifact(&run, "model/model.onnx", 99_999).await.expect_err("too large");
    assert!(matches!(limited, Error::TooLarge { limit: 99_999, .. }), "{limited}");
    assert!(client.download_artifact(&run, "model/none", 1).await.expect_err("missing").is_absent());
    let listed = client.list_artifacts(&id, "model").await.expect("listed");
    assert_eq!((listed[0].path.as_str(), listed[0].file_size), ("model/model.onnx", Some(100_000)));
    let query =
        RunQuery { experiments: &[&experiment], filter: "metrics.loss < 1", order_by: &[], max_results: 5 };
    assert_eq!(client.search_runs(query).await.expect("searched").len(), 1);
}

/// What a register step does.
async fn registration(client: &Client, name: &str) {
    let run = client.create_run("0", "train", &[]).await.expect("made");
    client.get_or_create_registered_model(name).await.expect("made");
    client.get_or_create_registered_model(name).await.expect("found");
    assert!(client.find_version_by_tag(name, "release", "r1").await.expect("searched").is_none());
    let source = format!("{}/model", run.info.artifact_uri);
    let tags = [KeyValue::new("release", "r1")];
    let made = client.create_model_version(name, &source, &run.info.run_id, &tags).await.expect("made");
    let found = client.find_version_by_tag(name, "release", "r1").await.expect("searched").expect("found");
    assert_eq!((found.number(), found.tag("release")), (made.number(), Some("r1")));
    let second = client.create_model_version(name, &source, &run.info.run_id, &[]).await.expect("made");
    assert_eq!(client.latest_versions(name, 1).await.expect("found")[0].version, second.version);
    assert!(client.version_by_alias(name, "production").await.expect("asked").is_none());
    client.set_alias(name, "production", "1").await.expect("set");
    client.set_version_tag(name, "1", "gate", "pass").await.expect("tagged");
    let production = client.version_by_alias(name, "production").await.expect("asked").expect("there");
    assert_eq!((production.version.as_str(), production.tag("gate")), ("1", Some("pass")));
    client.delete_alias(name, "production").await.expect("deleted");
    client.delete_alias(name, "production").await.expect("twice is no error");
    assert!(client.version_by_alias(name, "production").await.expect("asked").is_none());
    assert!(client.version_by_alias("none", "production").await.expect("asked").is_none());
    assert!(client.get_version(name, "9").await.expect("asked").is_none());
    assert_eq!(client.version_uri(name, "1").await.expect("asked"), source);
}

#[tokio::test]
async fn a_server_that_is_away_is_reported_after_a_few_attempts() {
    // A port that was just free and that nobody listens on.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let limits = Limits { attempts: 3, pause: Duration::from_millis(5), ..Limits::default() };
    let client = Client::with_limits(&format!("http://127.0.0.1:{port}"), None, limits).expect("an address");
    let error = client.create_run("0", "x", &[]).await.expect_err("nobody there");
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let problem = galley_problem::Problem::from(error);
    assert_eq!((problem.code, problem.exit_code()), ("G0902", 69));
    assert!(Client::new("sqlite:///x.db", None).is_err());
}
