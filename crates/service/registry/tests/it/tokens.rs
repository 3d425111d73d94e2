//! Who may write here, and how our client earns a token elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use galley_oci::{ClientConfig, Credentials, Options, Reference, Repository, Store, media_type};
use galley_registry::Config;
use galley_units::Secret;
use http::StatusCode;

use crate::{Registry, client};

fn credentials(host: &str, password: &str) -> BTreeMap<String, Credentials> {
    let password = Secret::new(password.to_owned());
    BTreeMap::from([(host.to_owned(), Credentials::Basic { user: "galley".into(), password })])
}

/// An artifact without layers.
fn artifact() -> (tempfile::TempDir, Store, galley_oci::Digest) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options::default()).unwrap();
    let repository = Repository::own("a").unwrap();
    let config = store.put_blob(b"{}").unwrap();
    store.link_blob(&repository, &config).unwrap();
    let manifest = serde_json::json!({"schemaVersion": 2, "layers": [],
        "config": {"mediaType": media_type::CONFIG, "digest": config, "size": 2}});
    let manifest = manifest.to_string();
    let digest = store.put_manifest(&repository, None, media_type::MANIFEST, manifest.as_bytes()).unwrap();
    (folder, store, digest)
}

#[tokio::test]
async fn reading_is_open_and_writing_needs_the_token() {
    let registry = Registry::start(Config::default(), Some("s3cret")).await;
    let (_folder, store, digest) = artifact();
    let name: Reference = format!("{}/a:1", registry.host).parse().unwrap();
    let error = client(ClientConfig::default()).push(&store, &digest, &name).await.unwrap_err();
    assert_eq!(error.problem().code, "G0804", "{error}");
    let wrong = ClientConfig { credentials: credentials(&registry.host, "wrong"), ..ClientConfig::default() };
    let error = client(wrong).push(&store, &digest, &name).await.unwrap_err();
    assert_eq!(error.problem().code, "G0804");
    assert!(!format!("{error:?}").contains("wrong"), "no secret is printed");
    let right =
        ClientConfig { credentials: credentials(&registry.host, "s3cret"), ..ClientConfig::default() };
    client(right).push(&store, &digest, &name).await.unwrap();
    assert_eq!(client(ClientConfig::default()).resolve(&name).await.unwrap(), digest);
    let bearer =
        registry.http.delete(registry.url("a/manifests/1")).bearer_auth("s3cret").send().await.unwrap();
    assert_eq!(bearer.status(), StatusCode::ACCEPTED);
    let refused = registry.http.post(registry.url("a/blobs/uploads/")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "));
}

#[tokio::test]
async fn a_registry_that_needs_a_login_refuses_strangers() {
    let config = Config { require_login: true, ..Config::default() };
    let registry = Registry::start(config, Some("s3cret")).await;
    assert_eq!(registry.http.get(registry.url("")).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let known =
        registry.http.get(registry.url("")).basic_auth("galley", Some("s3cret")).send().await.unwrap();
    assert_eq!(known.status(), StatusCode::OK);
}

/// A registry that sends clients to a token service, as Docker Hub does.
#[derive(Clone)]
struct Hub {
    host: String,
    tokens: Arc<AtomicUsize>,
}

async fn token(State(hub): State<Hub>, request: Request) -> Response {
    hub.tokens.fetch_add(1, Ordering::SeqCst);
    let query = request.uri().query().unwrap_or_default().to_owned();
    let basic = request.headers().get("authorization").is_some_and(|value| value == "Basic Z2FsbGV5OnB3");
    let scoped = query.contains("service=hub") && query.contains("repository");
    if basic && scoped {
        r#"{"access_token":"T1"}"#.into_response()
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

async fn manifest(State(hub): State<Hub>, request: Request) -> Response {
    if request.headers().get("authorization").is_some_and(|value| value == "Bearer T1") {
        let headers = [("content-type", media_type::MANIFEST)];
        let config = galley_oci::Digest::of(b"{}");
        let text =
            format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{config}","size":2}}}}"#);
        return (headers, text).into_response();
    }
    let challenge =
        format!(r#"Bearer realm="http://{}/token",service="hub",scope="repository:a:pull""#, hub.host);
    (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let hub = Hub { host: host.clone(), tokens: Arc::default() };
    let router = Router::new()
        .route("/token", get(token))
        .route("/v2/a/manifests/{tag}", get(manifest))
        .with_state(hub.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let reference: Reference = format!("{host}/a:1").parse().unwrap();
    let config = ClientConfig { credentials: credentials(&host, "pw"), ..ClientConfig::default() };
    let known = client(config);
    let first = known.resolve(&reference).await.unwrap();
    assert_eq!(known.resolve(&reference).await.unwrap(), first);
    assert_eq!(hub.tokens.load(Ordering::SeqCst), 1, "the token is kept");
    let error = client(ClientConfig::default()).resolve(&reference).await.unwrap_err();
    assert_eq!(error.problem().code, "G0804");
}
