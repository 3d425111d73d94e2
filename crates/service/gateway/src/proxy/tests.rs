//! The proxy between real sockets: splits, retries, mirrors, upgrades, streams, deadlines, shutdown.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use galley_gateway_types::GatewayAddress;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::body::{AnyBody, text};
use super::*;
use crate::dialer::HostDialer;
use crate::table::{Objects, Settings, build};

const PATIENCE: Duration = Duration::from_secs(10);

/// What a backend saw of a request.
#[derive(Debug)]
struct Seen {
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A backend that counts, reports what it sees, and answers by path.
struct Backend {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    seen: mpsc::UnboundedReceiver<Seen>,
    stop: CancellationToken,
}

impl Backend {
    async fn start(name: &'static str) -> Backend {
        Backend::listen(name, TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn listen(name: &'static str, listener: TcpListener) -> Backend {
        let address = listener.local_addr().unwrap();
        let (count, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (to_test, seen) = mpsc::unbounded_channel();
        let (counter, stopped) = (Arc::clone(&count), stop.clone());
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = stopped.cancelled() => return,
                };
                let (counter, to_test, stopped) = (Arc::clone(&counter), to_test.clone(), stopped.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        answer(name, request, Arc::clone(&counter), to_test.clone())
                    });
                    let served = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades();
                    tokio::select! {
                        _ = served => {}
                        () = stopped.cancelled() => {}
                    }
                });
            }
        });
        Backend { address, count, seen, stop }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

async fn answer(
    name: &'static str,
    mut request: Request<hyper::body::Incoming>,
    count: Arc<AtomicUsize>,
    to_test: mpsc::UnboundedSender<Seen>,
) -> Result<Response<AnyBody>, std::io::Error> {
    count.fetch_add(1, Ordering::SeqCst);
    let path = request.uri().to_string();
    if path == "/echo" {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgraded.await.unwrap());
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        });
        let mut response = Response::new(text(""));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", "upgrade".parse().unwrap());
        response.headers_mut().insert("upgrade", "echo".parse().unwrap());
        return Ok(response);
    }
    if path == "/never" {
        std::future::pending::<()>().await;
    }
    let headers = request.headers().clone();
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
    let _ = to_test.send(Seen { path, headers, body });
    Ok(Response::new(text(name)))
}

/// A proxy on a socket of its own, with one route.
struct World {
    proxy: Proxy,
    metrics: Metrics,
    address: SocketAddr,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    client: hyper_util::client::legacy::Client<HttpConnector, AnyBody>,
}

impl World {
    async fn start(config: Config) -> World {
        World::start_with(config, Arc::new(HostDialer)).await
    }

    async fn start_with(config: Config, dialer: Arc<dyn Dialer>) -> World {
        let metrics = Metrics::default();
        let proxy = Proxy::new(config, dialer, metrics.clone(), 42);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (serving, token) = (proxy.clone(), shutdown.clone());
        let served = tokio::spawn(async move { serving.serve(vec![(80, listener)], token).await });
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        World { proxy, metrics, address, shutdown, served, client }
    }

    /// One route with `rule`, whose backends have these endpoints.
    fn route(&self, rule: Value, endpoints: &[(&str, Vec<SocketAddr>)]) {
        self.proxy.set_table(table(rule, endpoints));
    }

    async fn send(&self, request: Request<AnyBody>) -> (StatusCode, HeaderMap, String) {
        let response = tokio::time::timeout(PATIENCE, self.client.request(request)).await.unwrap().unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    fn request(&self, path: &str) -> http::request::Builder {
        Request::builder().uri(format!("http://{}{path}", self.address))
    }

    async fn get(&self, path: &str) -> (StatusCode, HeaderMap, String) {
        self.send(self.request(path).body(text("")).unwrap()).await
    }
}

fn table(rule: Value, endpoints: &[(&str, Vec<SocketAddr>)]) -> Table {
    let read = |value: Value| serde_json::from_value(value).unwrap();
    let mut objects = Objects {
        classes: vec![
            serde_json::from_value(json!({"metadata": {"name": "c"}, "spec": {"controllerName": "c"}}))
                .unwrap(),
        ],
        gateways: vec![
            serde_json::from_value(json!({"metadata": {"name": "g", "namespace": "n"}, "spec": {
                "gatewayClassName": "c", "listeners": [{"name": "l", "port": 80, "protocol": "HTTP"}]}}))
            .unwrap(),
        ],
        routes: vec![
            serde_json::from_value(json!({"metadata": {"name": "r", "namespace": "n"},
                "spec": {"parentRefs": [{"name": "g"}], "rules": [rule]}}))
            .unwrap(),
        ],
        ..Objects::default()
    };
    for (name, addresses) in endpoints {
        let service = json!({"metadata": {"name": name, "namespace": "n"},
            "spec": {"ports": [{"name": "p", "port": 80}]}});
        objects.services.push(Arc::new(serde_json::from_value(service).unwrap()));
        for (index, address) in addresses.iter().enumerate() {
            objects.slices.push(Arc::new(read(json!({
                "metadata": {"name": format!("{name}-{index}"), "namespace": "n",
                    "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4", "ports": [{"name": "p", "port": address.port()}],
                "endpoints": [{"addresses": [address.ip().to_string()]}]}))));
        }
    }
    let settings = Settings {
        controller: "c".into(),
        bound: [80].into(),
        default_port: None,
        skip_empty_backends: true,
        addresses: vec![GatewayAddress::default()],
    };
    build(&objects, &settings).table
}

fn to(name: &str) -> Value {
    json!({"backendRefs": [{"name": name, "port": 80}]})
}

/// An address where nobody listens.
async fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn ninety_to_ten_is_ninety_to_ten() {
    let (stable, canary) = (Backend::start("stable").await, Backend::start("canary").await);
    let world = World::start(Config::default()).await;
    let rule = json!({"backendRefs": [{"name": "stable", "port": 80, "weight": 90},
        {"name": "canary", "port": 80, "weight": 10}]});
    world.route(rule, &[("stable", vec![stable.address]), ("canary", vec![canary.address])]);
    let mut by_header: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..2000 {
        let (status, headers, body) = world.get("/").await;
        assert_eq!(status, 200);
        let backend = headers["x-galley-backend"].to_str().unwrap().to_owned();
        assert_eq!(backend, format!("n/{body}"));
        *by_header.entry(backend).or_default() += 1;
    }
    assert_eq!((stable.count(), canary.count()), (by_header["n/stable"], by_header["n/canary"]));
    // Mean 200, standard deviation 13.4; the seed is fixed, the bound is four deviations.
    assert!((146..=254).contains(&canary.count()), "{}", canary.count());
    assert_eq!(world.metrics.requests("n/r", "n/canary", 200), canary.count() as u64);
    let text = world.metrics.encode();
    assert!(
        text.contains(r#"galley_gateway_requests_total{route="n/r",backend="n/canary",code="200"}"#),
        "{text}"
    );
    assert!(text.contains("galley_gateway_request_duration_seconds_bucket"), "{text}");
}

#[tokio::test]
async fn a_lost_endpoint_costs_no_request() {
    let (one, two) = (Backend::start("a").await, Backend::start("b").await);
    let world = Arc::new(World::start(Config::default()).await);
    world.route(to("web"), &[("web", vec![one.address, two.address])]);
    let lost = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let (world, lost) = (Arc::clone(&world), Arc::clone(&lost));
            tokio::spawn(async move {
                let mut after = 0;
                while after < 50 {
                    // Every other client sends a body, which must arrive whole at the endpoint that answers.
                    let request = if client % 2 == 0 {
                        world.request("/").body(text("")).unwrap()
                    } else {
                        world.request("/").method("PUT").body(text(vec![7; 10_000])).unwrap()
                    };
                    let (status, _, body) = world.send(request).await;
                    if client % 2 == 0 || status != 502 {
                        assert_eq!(status, 200);
                    }
                    if lost.load(Ordering::SeqCst) {
                        after += 1;
                        if after > 20 {
                            assert_eq!((status.as_u16(), body.as_str()), (200, "b"));
                        }
                    }
                }
            })
        })
        .collect();
    tokio::time::timeout(PATIENCE, async {
        while one.count() < 50 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    one.stop.cancel();
    lost.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert!(two.count() > 0);
}

#[tokio::test]
async fn a_backend_that_cannot_be_reached_counts_as_empty() {
    let stable = Backend::start("stable").await;
    let world = World::start(Config::default()).await;
    let rule = json!({"backendRefs": [
        {"name": "stable", "port": 80, "weight": 1},
        {"name": "canary", "port": 80, "weight": 9},
    ]});
    world.route(rule, &[("stable", vec![stable.address]), ("canary", vec![closed().await])]);
    for _ in 0..20 {
        let request = world.request("/").method("POST").body(text(vec![5; 1000])).unwrap();
        let (status, headers, body) = world.send(request).await;
        assert_eq!((status.as_u16(), body.as_str()), (200, "stable"));
        assert_eq!(headers["x-galley-backend"], "n/stable");
    }
}

/// Connects like the default, but never to these addresses: packets to a lost machine are answered by nobody.
struct Silence(BTreeSet<SocketAddr>);

#[async_trait::async_trait]
impl Dialer for Silence {
    async fn connect(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        if self.0.contains(&address) {
            std::future::pending::<()>().await;
        }
        TcpStream::connect(address).await
    }
}

#[tokio::test]
async fn clients_in_a_hurry_do_not_meet_a_lost_machine_twice() {
    let (stable, canary) = (Backend::start("stable").await, closed().await);
    let lost = closed().await;
    let world = World::start_with(Config::default(), Arc::new(Silence([lost, canary].into()))).await;
    let rule = json!({"backendRefs": [
        {"name": "stable", "port": 80, "weight": 50},
        {"name": "canary", "port": 80, "weight": 50},
    ]});
    world.route(rule, &[("stable", vec![lost, stable.address]), ("canary", vec![canary])]);
    let mut late = 0;
    let mut quick = 0;
    while quick < 50 {
        // The client leaves before the gateway's own deadline of two seconds.
        match tokio::time::timeout(Duration::from_millis(700), world.get("/")).await {
            Ok((status, _, body)) => {
                assert_eq!((status.as_u16(), body.as_str()), (200, "stable"));
                quick += 1;
            }
            Err(_) => late += 1,
        }
        assert!(late < 6, "{late} requests were too late, {quick} were not");
    }
}

#[tokio::test]
async fn a_body_reaches_the_next_endpoint_whole_and_attempts_are_bounded() {
    let mut web = Backend::start("web").await;
    let world = World::start(Config { attempts: 2, ..Config::default() }).await;
    // Sorted by address, the live one is neither always first nor always last: try until it was a retry.
    world.route(to("web"), &[("web", vec![closed().await, web.address])]);
    for _ in 0..4 {
        let request = world.request("/up?x=1").method("POST").body(text(vec![5; 100_000])).unwrap();
        let (status, _, body) = world.send(request).await;
        assert_eq!((status.as_u16(), body.as_str()), (200, "web"));
        let seen = web.seen.recv().await.unwrap();
        assert_eq!((seen.path.as_str(), seen.body.len()), ("/up?x=1", 100_000));
    }
    assert!(
        world.metrics.encode().contains(r#"galley_gateway_retries_total{route="n/r",backend="n/web"} 1"#)
    );
    let dead = vec![closed().await, closed().await, closed().await];
    world.route(to("web"), &[("web", dead)]);
    assert_eq!(world.get("/").await.0, 502);
}

#[tokio::test]
async fn headers_say_who_asked_and_filters_change_what_they_should() {
    let mut web = Backend::start("web").await;
    let world = World::start(Config::default()).await;
    let rule = json!({
        "matches": [{"path": {"value": "/api"}}],
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier":
                {"set": [{"name": "x-set", "value": "1"}], "remove": ["x-gone"]}},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "x-out", "value": "2"}]}},
            {"type": "URLRewrite", "urlRewrite": {"hostname": "inner.example",
                "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2"}}}],
        "backendRefs": [{"name": "web", "port": 80}]});
    world.route(rule, &[("web", vec![web.address])]);
    let request = world
        .request("/api/x?y=1")
        .header("host", "outer.example")
        .header("x-gone", "1")
        .header("x-forwarded-for", "9.9.9.9")
        .header("connection", "x-private")
        .header("x-private", "1");
    let (status, headers, _) = world.send(request.body(text("")).unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(headers["x-out"], "2");
    let seen = web.seen.recv().await.unwrap();
    assert_eq!(seen.path, "/v2/x?y=1");
    assert_eq!(seen.headers["host"], "inner.example");
    assert_eq!(seen.headers["x-set"], "1");
    assert_eq!(seen.headers["x-forwarded-for"], "9.9.9.9, 127.0.0.1");
    assert_eq!(seen.headers["x-forwarded-host"], "outer.example");
    assert_eq!(seen.headers["x-forwarded-proto"], "http");
    assert!(seen.headers.contains_key("x-request-id"));
    assert!(!seen.headers.contains_key("x-gone") && !seen.headers.contains_key("x-private"));
    assert_eq!(world.get("/other").await.0, 404);
    assert_eq!(world.metrics.requests("", "", 404), 1);
}

#[tokio::test]
async fn mirrors_get_a_copy_and_nobody_waits_for_them() {
    let (mut web, mut shadow) = (Backend::start("web").await, Backend::start("shadow").await);
    let world = World::start(Config { max_mirror_bytes: 1000, ..Config::default() }).await;
    let rule = json!({
        "filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "shadow", "port": 80}}}],
        "backendRefs": [{"name": "web", "port": 80}]});
    world.route(rule.clone(), &[("web", vec![web.address]), ("shadow", vec![shadow.address])]);
    let send = |size: usize| world.request("/p?q=1").method("POST").body(text(vec![1; size])).unwrap();
    for size in [10, 2000, 0, 999] {
        assert_eq!(world.send(send(size)).await.2, "web");
    }
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let copy = tokio::time::timeout(PATIENCE, shadow.seen.recv()).await.unwrap().unwrap();
        assert_eq!(
            (copy.path.as_str(), copy.headers["x-galley-mirror"].to_str().unwrap()),
            ("/p?q=1", "true")
        );
        sizes.push((copy.headers["x-request-id"].to_str().unwrap().to_owned(), copy.body.len()));
    }
    let mut originals = Vec::new();
    for _ in 0..4 {
        let seen = web.seen.recv().await.unwrap();
        assert!(!seen.headers.contains_key("x-galley-mirror"));
        originals.push((seen.headers["x-request-id"].to_str().unwrap().to_owned(), seen.body.len()));
    }
    originals.retain(|(_, size)| *size <= 1000);
    sizes.sort();
    originals.sort();
    assert_eq!(sizes, originals, "copies and originals have one identity; what is too large is not copied");
    // A mirror that cannot be reached costs nothing.
    world.route(rule, &[("web", vec![web.address]), ("shadow", vec![closed().await])]);
    assert_eq!(world.get("/").await.0, 200);
}

#[tokio::test]
async fn other_protocols_pass_through() {
    let web = Backend::start("web").await;
    let world = World::start(Config::default()).await;
    world.route(to("web"), &[("web", vec![web.address])]);
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream
        .write_all(b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n")
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: echo"), "{head}");
    stream.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
}

#[tokio::test]
async fn bodies_flow_before_they_end() {
    // The endpoint answers with one piece and waits for a word before it sends the next.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (go_on, word) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(format!("{head}6\r\nfirst\n\r\n").as_bytes()).await.unwrap();
        word.await.unwrap();
        stream.write_all(b"7\r\nsecond\n\r\n0\r\n\r\n").await.unwrap();
    });
    let world = World::start(Config::default()).await;
    world.route(to("web"), &[("web", vec![address])]);
    let request = world.request("/events").body(text("")).unwrap();
    let mut response = world.client.request(request).await.unwrap();
    let piece = tokio::time::timeout(PATIENCE, response.frame()).await.unwrap().unwrap().unwrap();
    assert_eq!(piece.into_data().unwrap(), "first\n");
    go_on.send(()).unwrap();
    assert_eq!(response.collect().await.unwrap().to_bytes(), "second\n");
}

#[tokio::test]
async fn deadlines_hold() {
    let web = Backend::start("web").await;
    let world =
        World::start(Config { connect_milliseconds: 200, idle_seconds: 1, ..Config::default() }).await;
    let rule = json!({"timeouts": {"request": "100ms"}, "backendRefs": [{"name": "web", "port": 80}]});
    world.route(rule, &[("web", vec![web.address])]);
    assert_eq!(world.get("/never").await.0, 504);
    assert_eq!(web.count(), 1, "a request that may have been handled is not repeated");

    // A body that stops half way is ended.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
        std::future::pending::<()>().await;
    });
    world.route(to("web"), &[("web", vec![silent])]);
    let response = world.client.request(world.request("/").body(text("")).unwrap()).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, response.collect()).await.unwrap();
    assert!(ended.is_err());
}

#[tokio::test]
async fn heads_have_a_limit() {
    let web = Backend::start("web").await;
    let world = World::start(Config { max_head_bytes: 8192, ..Config::default() }).await;
    world.route(to("web"), &[("web", vec![web.address])]);
    let request = world.request("/").header("x-large", "x".repeat(10_000)).body(text("")).unwrap();
    let (status, ..) = world.send(request).await;
    assert_eq!(status, 431);
    assert_eq!(web.count(), 0);
}

#[tokio::test]
async fn shutdown_lets_open_requests_end_and_takes_no_new_ones() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (arrived, here) = tokio::sync::oneshot::channel::<()>();
    let (go_on, word) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        arrived.send(()).unwrap();
        word.await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await.unwrap();
        std::future::pending::<()>().await;
    });
    let world = World::start(Config::default()).await;
    world.route(to("web"), &[("web", vec![address])]);
    let open = tokio::spawn(world.client.request(world.request("/").body(text("")).unwrap()));
    here.await.unwrap();
    world.shutdown.cancel();
    tokio::time::timeout(PATIENCE, async {
        while TcpStream::connect(world.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("no new connection is taken");
    go_on.send(()).unwrap();
    let response = open.await.unwrap().unwrap();
    assert_eq!(response.collect().await.unwrap().to_bytes(), "late");
    tokio::time::timeout(PATIENCE, world.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn http2_without_tls_comes_in_too() {
    let mut web = Backend::start("web").await;
    let world = World::start(Config::default()).await;
    world.route(to("web"), &[("web", vec![web.address])]);
    let client: hyper_util::client::legacy::Client<_, AnyBody> =
        hyper_util::client::legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = world.request("/two").method("POST").body(text("body")).unwrap();
    let response = tokio::time::timeout(PATIENCE, client.request(request)).await.unwrap().unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::OK, http::Version::HTTP_2));
    let seen = web.seen.recv().await.unwrap();
    assert_eq!((seen.path.as_str(), seen.body.as_slice()), ("/two", b"body".as_slice()));
    assert_eq!(seen.headers["host"], world.address.to_string());
}
