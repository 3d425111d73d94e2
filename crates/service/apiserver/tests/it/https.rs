//! The door for everybody else: TLS, tokens, logs, reviews.

use std::{io, net::Ipv4Addr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use galley_apiserver::{CertificateAuthority, LogError, LogQuery, LogSource, TokenAuthority, kubeconfig};
use galley_units::SystemClock;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::{
    Api, Client,
    api::{ListParams, LogParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Fixture, PATIENCE, config_map, start, typed};

/// A server that also listens; with its address, its authority and its tokens.
pub struct Listening {
    pub fixture: Fixture,
    pub url: String,
    pub authority: CertificateAuthority,
    pub tokens: TokenAuthority,
    pub shutdown: CancellationToken,
    pub served: tokio::task::JoinHandle<Result<(), galley_apiserver::Error>>,
}

pub async fn listen() -> Listening {
    let fixture = start();
    let (dir, clock) = (fixture.dir.path().join("identity"), Arc::new(SystemClock));
    let authority = CertificateAuthority::load_or_create(&dir, clock.clone()).expect("an authority");
    let tokens = TokenAuthority::load_or_create(&dir, clock).expect("tokens");
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let tls = authority.server_tls(&["localhost", "kubernetes.default.svc"], &[Ipv4Addr::LOCALHOST.into()]);
    let shutdown = CancellationToken::new();
    let serving =
        fixture.server.clone().serve_tls(listener, tls.expect("tls"), tokens.clone(), shutdown.clone());
    let served = tokio::spawn(serving);
    Listening { fixture, url: format!("https://127.0.0.1:{port}"), authority, tokens, shutdown, served }
}

impl Listening {
    pub fn kubeconfig(&self) -> String {
        kubeconfig(&self.url, self.authority.ca_pem(), &self.tokens.admin_token(), "default")
    }

    async fn client(&self) -> Client {
        let config = Kubeconfig::from_yaml(&self.kubeconfig()).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
        Client::try_from(config.expect("a config")).expect("a client")
    }

    fn browser(&self) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.authority.ca_pem().as_bytes()).expect("a certificate");
        reqwest::Client::builder().tls_certs_only([root]).timeout(PATIENCE).build().expect("a client")
    }
}

fn install_crypto() {
    // Other tests of this binary may have done it before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_token_is_let_in() {
    install_crypto();
    let l = listen().await;
    let browser = l.browser();
    for open in ["healthz", "livez", "readyz", "version"] {
        let answer = browser.get(format!("{}/{open}", l.url)).send().await.expect("answers");
        assert_eq!(answer.status(), 200, "{open}");
    }
    for (path, token) in [("/api", None), ("/api/v1/secrets", Some("wrong")), ("/openapi/v3", None)] {
        let mut request = browser.get(format!("{}{path}", l.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.expect("answers");
        assert_eq!(answer.status(), 401, "{path}");
        let status: Value = answer.json().await.expect("a Status");
        assert_eq!((&status["kind"], &status["reason"]), (&json!("Status"), &json!("Unauthorized")));
    }
    let client = l.client().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.create(&PostParams::default(), &typed(config_map("over-tls"))).await.expect("created");
    let inside: Api<ConfigMap> = Api::default_namespaced(l.fixture.client.clone());
    inside.get("over-tls").await.expect("both doors lead to one room");
    let version = client.apiserver_version().await.expect("a version");
    assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "34"));

    let again =
        CertificateAuthority::load_or_create(&l.fixture.dir.path().join("identity"), Arc::new(SystemClock));
    assert_eq!(again.expect("loads").ca_pem(), l.authority.ca_pem(), "the authority outlives a restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_trusted_by_those_who_trusted_the_first() {
    install_crypto();
    let l = listen().await;
    let again =
        CertificateAuthority::load_or_create(&l.fixture.dir.path().join("identity"), Arc::new(SystemClock))
            .expect("loads");
    let tls = again.server_tls(&["localhost"], &[Ipv4Addr::LOCALHOST.into()]).expect("tls");
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let url = format!("https://127.0.0.1:{}/healthz", listener.local_addr().expect("an address").port());
    let shutdown = CancellationToken::new();
    tokio::spawn(l.fixture.server.clone().serve_tls(listener, tls, l.tokens.clone(), shutdown.clone()));
    assert_eq!(l.browser().get(url).send().await.expect("trusted").status(), 200);
    shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_accounts_get_tokens_that_say_who_they_are() {
    install_crypto();
    let l = listen().await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(l.client().await);
    let request = typed(json!({"spec": {"audiences": [], "expirationSeconds": 900}}));
    let answer =
        accounts.create_token_request("default", &PostParams::default(), &request).await.expect("a token");
    let token = answer.status.and_then(|status| status.token).expect("a token");
    let who: Value = l
        .browser()
        .post(format!("{}/apis/authentication.k8s.io/v1/selfsubjectreviews", l.url))
        .bearer_auth(&token)
        .json(&json!({}))
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("json");
    assert_eq!(who["status"]["userInfo"]["username"], "system:serviceaccount:default:default");
    let may: Value = l
        .browser()
        .post(format!("{}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", l.url))
        .bearer_auth(&token)
        .json(&json!({"spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}}))
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("json");
    assert_eq!(may["status"]["allowed"], true);
    assert!(accounts.create_token_request("nobody", &PostParams::default(), &request).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_too_long_or_of_no_known_kind_are_refused() {
    install_crypto();
    let l = listen().await;
    let token = l.tokens.admin_token();
    let post = |media: &str, body: Vec<u8>| {
        l.browser()
            .post(format!("{}/api/v1/namespaces/default/configmaps", l.url))
            .bearer_auth(token.expose())
            .header("content-type", media)
            .body(body)
            .send()
    };
    let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-yaml}\ndata: {a: '1'}\n".to_vec();
    assert_eq!(post("application/yaml", yaml).await.expect("answers").status(), 201);
    assert_eq!(post("application/json", b"{".to_vec()).await.expect("answers").status(), 400);
    assert_eq!(post("application/vnd.kubernetes.protobuf", vec![0]).await.expect("answers").status(), 415);
    assert_eq!(post("application/json", vec![b' '; 9 << 20]).await.expect("answers").status(), 413);
}

struct Lines;

#[async_trait]
impl LogSource for Lines {
    async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<Bytes, io::Error>>, LogError> {
        if query.previous {
            return Err(LogError::NotFound { pod: pod.into(), container: query.container });
        }
        let lines =
            [format!("{namespace}/{pod}/{}\n", query.container), format!("tail {:?}\n", query.tail_lines)];
        let lines = stream::iter(lines.map(|line| Ok(Bytes::from(line))));
        // A followed log stays open until its container ends: here, never.
        Ok(if query.follow { lines.chain(stream::pending()).boxed() } else { lines.boxed() })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_come_from_their_source_and_end_with_the_server() {
    install_crypto();
    let l = listen().await;
    let client = l.client().await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod: Pod = typed(json!({"metadata": {"name": "a"}, "spec": {
        "containers": [{"name": "c", "image": "i"}], "initContainers": [{"name": "init", "image": "i"}]}}));
    pods.create(&PostParams::default(), &pod).await.expect("created");
    assert!(pods.logs("a", &LogParams::default()).await.is_err(), "nobody keeps logs yet");
    l.fixture.server.set_log_source(Arc::new(Lines));
    let params = LogParams { tail_lines: Some(3), ..LogParams::default() };
    assert_eq!(pods.logs("a", &params).await.expect("a log"), "default/a/c\ntail Some(3)\n");
    let params = LogParams { container: Some("init".into()), ..LogParams::default() };
    assert!(pods.logs("a", &params).await.expect("a log").starts_with("default/a/init"));
    let params = LogParams { container: Some("none".into()), ..LogParams::default() };
    assert!(pods.logs("a", &params).await.is_err());
    let params = LogParams { previous: true, ..LogParams::default() };
    assert!(pods.logs("a", &params).await.is_err());

    // A followed log and a watch are open; closing the door ends both at once, not after a deadline.
    let follow = l
        .browser()
        .get(format!("{}/api/v1/namespaces/default/pods/a/log?follow=true", l.url))
        .bearer_auth(l.tokens.admin_token().expose())
        .send()
        .await
        .expect("follows");
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let revision =
        maps.list(&ListParams::default()).await.expect("lists").metadata.resource_version.expect("one");
    let mut watch = maps.watch(&Default::default(), &revision).await.expect("watches").boxed();
    l.shutdown.cancel();
    let text = follow.text().await.expect("ends well");
    assert!(text.starts_with("default/a/c"));
    let ended = tokio::time::timeout(PATIENCE, watch.next()).await.expect("in time");
    assert!(!matches!(ended, Some(Ok(_))), "the watch ends");
    tokio::time::timeout(PATIENCE, l.served).await.expect("in time").expect("no panic").expect("no error");
}
