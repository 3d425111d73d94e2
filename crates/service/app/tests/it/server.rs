//! The socket's life.

use std::time::Duration;

use galley_app::{Config, Error, serve};
use galley_problem::Problem;
use reqwest::StatusCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::files;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn it_loads_serves_and_drains() {
    let folder = tempfile::tempdir().unwrap();
    files().save(folder.path()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let config =
        Config { model_dir: folder.path().to_owned(), version: Some("7".into()), ..Config::default() };
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(config, listener, shutdown.clone()));

    let ready = async {
        loop {
            let response = reqwest::get(format!("{address}/readyz")).await.unwrap();
            match response.status() {
                StatusCode::OK => break,
                status => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, ready).await.expect("it becomes ready");
    let version = reqwest::get(format!("{address}/version")).await.unwrap().text().await.unwrap();
    assert!(version.contains(r#""version":"7""#), "{version}");

    shutdown.cancel();
    tokio::time::timeout(SOON, server).await.expect("it ends").unwrap().unwrap();
    assert!(reqwest::get(format!("{address}/healthz")).await.is_err());
}

#[tokio::test]
async fn a_model_that_does_not_load_ends_it_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let run = async |folder: &std::path::Path| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config { model_dir: folder.to_owned(), drain_seconds: 0, ..Config::default() };
        let ended = tokio::time::timeout(SOON, serve(config, listener, CancellationToken::new())).await;
        ended.expect("it ends on its own").unwrap_err()
    };
    let error = run(folder.path()).await;
    assert!(matches!(error, Error::Model { .. }));
    assert_eq!(Problem::from(error).code, "G0705");

    files().save(folder.path()).unwrap();
    let model = folder.path().join("model.onnx");
    let mut bytes = std::fs::read(&model).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&model, bytes).unwrap();
    assert_eq!(Problem::from(run(folder.path()).await).code, "G0706");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_swaps_under_load_drop_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let put = |version: u32| {
        let mut files = files().clone();
        files.contract.version = Some(version.to_string());
        // The contract last: what is half written does not load, and the former model stays.
        files.save(folder.path()).unwrap();
    };
    put(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let config = Config { model_dir: folder.path().to_owned(), reload_seconds: 1, ..Config::default() };
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(config, listener, shutdown.clone()));
    let version = async || -> String {
        let answer = reqwest::get(format!("{address}/version")).await.unwrap();
        if answer.status() != StatusCode::OK {
            return String::new();
        }
        crate::support::json(answer).await["version"].as_str().unwrap().to_owned()
    };
    let reached = async |wanted: String| {
        let wait = async {
            while version().await != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, wait).await.expect("the new model takes over");
    };
    reached("0".into()).await;
    let stop = CancellationToken::new();
    let visitors: Vec<_> = (0..3)
        .map(|_| {
            let (stop, address) = (stop.clone(), address.clone());
            tokio::spawn(async move {
                let (client, mut answered) = (reqwest::Client::new(), 0);
                while !stop.is_cancelled() {
                    let request =
                        client.post(format!("{address}/predict")).header("content-type", "image/png");
                    let response = request.body(crate::support::sample_png()).send().await.unwrap();
                    assert_eq!(response.status(), StatusCode::OK);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for round in 1..=20 {
        put(round);
        reached(round.to_string()).await;
    }
    stop.cancel();
    let mut answered = 0;
    for visitor in visitors {
        answered += visitor.await.unwrap();
    }
    assert!(answered > 20, "{answered}");
    shutdown.cancel();
    tokio::time::timeout(SOON, server).await.expect("it ends").unwrap().unwrap();
}
