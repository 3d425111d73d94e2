//! What any client may send, answered as the specification says.

use galley_oci::Digest;
use galley_registry::Config;
use reqwest::{Response, StatusCode};

use crate::Registry;

async fn code(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body: serde_json::Value = response.json().await.unwrap();
    (status, body["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Sends a path as it is; clients of the better sort would tidy it up first.
async fn raw(host: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let method = if path.ends_with('/') { "POST" } else { "GET" };
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn begin(registry: &Registry, name: &str) -> String {
    let response = registry.http.post(registry.url(&format!("{name}/blobs/uploads/"))).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    format!("http://{}{}", registry.host, header(&response, "location"))
}

#[tokio::test]
async fn a_blob_comes_in_chunks_and_goes_out_in_ranges() {
    let registry = Registry::open().await;
    let location = begin(&registry, "a/b").await;
    let patch = |range: &str, body: &'static str| {
        let request = registry.http.patch(&location).header("content-range", range).body(body);
        request.send()
    };
    let response = patch("0-4", "hello").await.unwrap();
    assert_eq!((response.status(), header(&response, "range")), (StatusCode::ACCEPTED, "0-4"));
    let response = patch("9-12", "lost").await.unwrap();
    assert_eq!((response.status(), header(&response, "range")), (StatusCode::RANGE_NOT_SATISFIABLE, "0-4"));
    let response = registry.http.get(&location).send().await.unwrap();
    assert_eq!((response.status(), header(&response, "range")), (StatusCode::NO_CONTENT, "0-4"));

    let digest = Digest::of(b"hello world");
    let response =
        registry.http.put(format!("{location}?digest={digest}")).body(" world").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(header(&response, "location"), format!("/v2/a/b/blobs/{digest}"));

    let blob = registry.url(&format!("a/b/blobs/{digest}"));
    let response = registry.http.head(&blob).send().await.unwrap();
    assert_eq!(header(&response, "content-length"), "11");
    assert_eq!(header(&response, "docker-content-digest"), digest.to_string());
    let response = registry.http.get(&blob).header("range", "bytes=6-").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(header(&response, "content-range"), "bytes 6-10/11");
    assert_eq!(response.text().await.unwrap(), "world");
    let response = registry.http.get(registry.url(&format!("other/blobs/{digest}"))).send().await.unwrap();
    assert_eq!(code(response).await, (StatusCode::NOT_FOUND, "BLOB_UNKNOWN".into()), "another repository");

    let mount = registry.url(&format!("other/blobs/uploads/?mount={digest}&from=a/b"));
    assert_eq!(registry.http.post(mount).send().await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(registry.http.delete(&blob).send().await.unwrap().status(), StatusCode::ACCEPTED);
    assert_eq!(registry.http.get(&blob).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let lent = registry.url(&format!("other/blobs/{digest}"));
    assert_eq!(registry.http.get(lent).send().await.unwrap().text().await.unwrap(), "hello world");
}

#[tokio::test]
async fn wrong_requests_get_the_codes_of_the_specification() {
    let registry = Registry::open().await;
    let (http, digest) = (&registry.http, Digest::of(b"x"));
    let location = begin(&registry, "a").await;
    let wrong = http.put(format!("{location}?digest={digest}")).body("y").send().await.unwrap();
    assert_eq!(code(wrong).await, (StatusCode::BAD_REQUEST, "DIGEST_INVALID".into()));
    let gone = http.get(&location).send().await.unwrap();
    assert_eq!(code(gone).await, (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN".into()));
    let cases = [
        ("a/manifests/none", StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
        ("a/tags/list", StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
        ("A/tags/list", StatusCode::BAD_REQUEST, "NAME_INVALID"),
        ("a/blobs/sha256:x", StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
        ("nothing", StatusCode::NOT_FOUND, "UNSUPPORTED"),
    ];
    for (path, status, expected) in cases {
        let response = http.get(registry.url(path)).send().await.unwrap();
        assert_eq!(code(response).await, (status, expected.to_owned()), "{path}");
    }
    for path in ["/v2/a/../b/tags/list", "/v2/a/%2e%2e/tags/list", "/v2/../../etc/blobs/uploads/"] {
        assert!(raw(&registry.host, path).await.contains("NAME_INVALID"), "{path}");
    }
    let put = |body: String| http.put(registry.url("a/manifests/v1")).body(body).send();
    let response = put("{".into()).await.unwrap();
    assert_eq!(code(response).await, (StatusCode::BAD_REQUEST, "MANIFEST_INVALID".into()));
    let missing = serde_json::json!({"schemaVersion": 2, "layers": [],
        "config": {"mediaType": "x", "digest": digest, "size": 1}});
    let response = put(missing.to_string()).await.unwrap();
    assert_eq!(code(response).await, (StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN".into()));
    let response = put("x".repeat(5 << 20)).await.unwrap();
    assert_eq!(code(response).await, (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID".into()));
    let response = http.patch(registry.url("a/manifests/v1")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn uploads_are_limited_in_number_and_size() {
    let config = Config { max_uploads: 2, max_blob_bytes: 10, ..Config::default() };
    let registry = Registry::start(config, None).await;
    let location = begin(&registry, "a").await;
    begin(&registry, "a").await;
    let full = registry.http.post(registry.url("a/blobs/uploads/")).send().await.unwrap();
    assert_eq!(code(full).await, (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS".into()));
    let large = registry.http.patch(&location).body("x".repeat(11)).send().await.unwrap();
    assert_eq!(code(large).await, (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID".into()));
    let cancelled = registry.http.delete(&location).send().await.unwrap();
    assert_eq!(cancelled.status(), StatusCode::NO_CONTENT);
    begin(&registry, "a").await;
}

#[tokio::test]
async fn lists_come_in_pages() {
    let registry = Registry::open().await;
    let http = &registry.http;
    for (name, tag) in [("b", "1"), ("a/c", "1"), ("a", "3"), ("a", "1"), ("a", "2")] {
        let empty = Digest::of(b"{}");
        let url = registry.url(&format!("{name}/blobs/uploads/?digest={empty}"));
        assert_eq!(http.post(url).body("{}").send().await.unwrap().status(), StatusCode::CREATED);
        let manifest = serde_json::json!({"schemaVersion": 2, "layers": [], "annotations": {"tag": tag},
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2}});
        let put = http.put(registry.url(&format!("{name}/manifests/{tag}"))).body(manifest.to_string());
        assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
    }
    let mut url = registry.url("a/tags/list?n=2");
    let mut pages: Vec<serde_json::Value> = Vec::new();
    loop {
        let response = http.get(&url).send().await.unwrap();
        let next = header(&response, "link").to_owned();
        pages.push(response.json::<serde_json::Value>().await.unwrap()["tags"].clone());
        let Some(path) = next.strip_prefix('<').and_then(|link| link.split_once('>')) else { break };
        url = format!("http://{}{}", registry.host, path.0);
    }
    assert_eq!(serde_json::to_string(&pages).unwrap(), r#"[["1","2"],["3"]]"#);
    let catalog: serde_json::Value =
        http.get(registry.url("_catalog")).send().await.unwrap().json().await.unwrap();
    assert_eq!(catalog["repositories"].to_string(), r#"["a","a/c","b"]"#);
}
