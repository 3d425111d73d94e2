//! A tracking server on a free port, and plain requests to it.

use std::sync::Arc;

use galley_store::{Database, tracking::MIGRATION};
use galley_tracking::{Authorize, Config, Deps, Service};
use galley_units::SystemClock;
use serde_json::{Value, json};

/// A running server; it and its folder go away together.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
    http: reqwest::Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn start() -> Server {
    start_with(Config::default(), None).await
}

pub(crate) async fn start_with(config: Config, authorize: Option<Authorize>) -> Server {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let database = Database::open(&folder.path().join("tracking.db"), &[MIGRATION]).expect("a database");
    let config = Config { artifact_dir: folder.path().join("artifacts"), ..config };
    let deps = Deps { database, clock: Arc::new(SystemClock), authorize };
    let router = Service::new(config, deps).expect("a service").router();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
    Server { url, folder, task, http: reqwest::Client::builder().no_proxy().build().expect("a client") }
}

impl Server {
    /// `POST` below `/api/2.0/mlflow`; status and body.
    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(reqwest::Method::POST, path, body).await
    }

    pub(crate) async fn call(&self, method: reqwest::Method, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/api/2.0/mlflow/{path}", self.url);
        answer(self.http.request(method, url).json(&body)).await
    }

    pub(crate) async fn get(&self, path_and_query: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}/api/2.0/mlflow/{path_and_query}", self.url))).await
    }

    pub(crate) fn raw(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// `POST` that must succeed.
    pub(crate) async fn ok(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// A run in the default experiment.
    pub(crate) async fn run(&self) -> String {
        let body = json!({ "experiment_id": "0", "start_time": 1_700_000_000_000i64 });
        text(&self.ok("runs/create", body).await["run"]["info"]["run_id"])
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    (response.status().as_u16(), response.json().await.expect("a JSON answer"))
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The answer is an error of this kind, and its message holds `part`.
pub(crate) fn refused((status, body): (u16, Value), expected: (u16, &str), part: &str) {
    assert_eq!((status, body["error_code"].as_str().unwrap_or("")), expected, "{body}");
    assert!(body["message"].as_str().unwrap_or("").contains(part), "{body}");
}
