//! The room over HTTP, as the tools speak to it.

use std::sync::Arc;

use galley_statestore::{Config, Deps, Service};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

struct Server {
    url: String,
    http: Client,
    _dir: tempfile::TempDir,
}

async fn server() -> Server {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config { folder: dir.path().join("states"), largest: 2000, ..Config::default() };
    let deps =
        Deps { clock: Arc::new(galley_units::SystemClock), authorize: Arc::new(|token| token == "t0k") };
    let service = Service::new(config, deps).expect("opens");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/infra", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, service.router()).await });
    Server { url, http: Client::new(), _dir: dir }
}

impl Server {
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request =
            self.http.request(method, format!("{}{path}", self.url)).basic_auth("galley", Some("t0k"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("answers");
        let status = answer.status();
        (status, answer.json().await.unwrap_or_default())
    }
}

fn state(serial: u64) -> Value {
    json!({"version": 4, "serial": serial, "lineage": "l", "resources": []})
}

#[tokio::test]
async fn a_tools_whole_journey() {
    let server = server().await;
    assert_eq!(server.ask("GET", "/state/team", None).await.0, StatusCode::NO_CONTENT);
    let lock = json!({"ID": "1", "Operation": "OperationTypeApply", "Who": "ann@ship"});
    assert_eq!(server.ask("LOCK", "/state/team", Some(lock.clone())).await.0, StatusCode::OK);
    let other = json!({"ID": "2", "Who": "bob@ship"});
    assert_eq!(server.ask("LOCK", "/state/team", Some(other)).await, (StatusCode::LOCKED, lock.clone()));
    assert_eq!(server.ask("POST", "/state/team?ID=1", Some(state(1))).await.0, StatusCode::OK);
    assert_eq!(server.ask("POST", "/state/team", Some(state(2))).await.0, StatusCode::LOCKED);
    assert_eq!(server.ask("UNLOCK", "/state/team", Some(lock)).await.0, StatusCode::OK);
    let (status, body) = server.ask("POST", "/state/team?ID=1", Some(state(2))).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::CONFLICT, Some("G1230")));
    assert_eq!(server.ask("POST", "/state/team", Some(state(2))).await.0, StatusCode::OK);
    assert_eq!(server.ask("GET", "/state/team", None).await, (StatusCode::OK, state(2)));
    let (_, history) = server.ask("GET", "/states/team/versions", None).await;
    assert_eq!(
        (history["head"].as_u64(), history["versions"][1]["who"].as_str()),
        (Some(2), Some("ann@ship"))
    );
    let (status, restored) = server.ask("POST", "/states/team/versions/1/restore", None).await;
    assert_eq!((status, restored["serial"].as_u64()), (StatusCode::OK, Some(3)));
    let (_, all) = server.ask("GET", "/states", None).await;
    assert_eq!(all[0]["version"].as_u64(), Some(3));
}

#[tokio::test]
async fn nothing_is_given_without_the_token() {
    let server = server().await;
    for path in ["/state/team", "/states", "/states/team/versions"] {
        let answer = server
            .http
            .get(format!("{}{path}", server.url))
            .bearer_auth("wrong")
            .send()
            .await
            .expect("answers");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let answer =
        server.http.get(format!("{}/states", server.url)).bearer_auth("t0k").send().await.expect("answers");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_too_large_or_no_state_is_refused() {
    let server = server().await;
    assert_eq!(server.ask("POST", "/state/team", Some(json!({}))).await.0, StatusCode::BAD_REQUEST);
    let large = json!({"version": 4, "serial": 1, "lineage": "x".repeat(5000)});
    assert_eq!(server.ask("POST", "/state/team", Some(large)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(server.ask("GET", "/states/none/versions", None).await.0, StatusCode::NOT_FOUND);
}
