//! The real `kubectl`, if it is there (on the PATH, or named by `KUBECTL`).

use std::{path::PathBuf, process::Stdio, time::Duration};

use serde_json::json;
use tokio::process::Command;

use crate::{https::listen, support::deployment};

struct Kubectl {
    program: PathBuf,
    config: PathBuf,
    home: PathBuf,
}

impl Kubectl {
    /// Runs it; answers its standard output, or everything it said if it failed.
    async fn try_run(&self, args: &str, input: Option<String>) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        command
            .args(args.split(' '))
            .env("KUBECONFIG", &self.config)
            .env("HOME", &self.home)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("starts");
        if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
            use tokio::io::AsyncWriteExt;
            stdin.write_all(text.as_bytes()).await.expect("takes input");
        }
        let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output());
        let output = output.await.expect("in time").expect("ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        if output.status.success() { Ok(out + &err) } else { Err(out + &err) }
    }

    async fn run(&self, args: &str) -> String {
        self.try_run(args, None).await.unwrap_or_else(|said| panic!("kubectl {args}: {said}"))
    }

    async fn feed(&self, args: &str, input: String) -> String {
        self.try_run(args, Some(input)).await.unwrap_or_else(|said| panic!("kubectl {args}: {said}"))
    }
}

/// The program, if there is one.
fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("KUBECTL") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|program| program.is_file())
}

/// Whether the first words of some line are these.
fn has_line(text: &str, words: &[&str]) -> bool {
    text.lines().any(|line| line.split_whitespace().take(words.len()).eq(words.iter().copied()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::disallowed_macros, reason = "a test says when it is skipped")]
async fn kubectl_works() {
    let Some(program) = find() else {
        println!("skipped: there is no kubectl on the PATH, and KUBECTL names none");
        return;
    };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let l = listen().await;
    let home = l.fixture.dir.path().join("home");
    std::fs::create_dir_all(&home).expect("a home");
    let config = home.join("config");
    std::fs::write(&config, l.kubeconfig()).expect("a kubeconfig");
    let kubectl = Kubectl { program, config, home };

    let made = kubectl.feed("apply -f -", deployment("web").to_string()).await;
    assert_eq!(made.trim(), "deployment.apps/web created");
    let again = kubectl.feed("apply -f -", deployment("web").to_string()).await;
    assert_eq!(again.trim(), "deployment.apps/web unchanged");
    let mut changed = deployment("web");
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx:1.28");
    changed["spec"]["template"]["spec"]["containers"][0].as_object_mut().expect("one").remove("ports");
    let configured = kubectl.feed("apply -f -", changed.to_string()).await;
    assert_eq!(configured.trim(), "deployment.apps/web configured");
    let shown = kubectl.run("get deployment web -o jsonpath={.spec.template.spec.containers[0]}").await;
    assert!(shown.contains("nginx:1.28") && !shown.contains("containerPort"), "{shown}");
    let mut typo = deployment("web");
    typo["spec"]["replica"] = json!(1);
    let refused = kubectl.try_run("apply -f -", Some(typo.to_string())).await.expect_err("an unknown field");
    assert!(refused.contains("unknown field \"spec.replica\""), "{refused}");

    kubectl.run("scale deployment web --replicas=3").await;
    let table = kubectl.run("get deployments").await;
    assert!(has_line(&table, &["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]), "{table}");
    assert!(has_line(&table, &["web", "0/3", "0", "0"]), "{table}");
    let all = kubectl.run("get pods,configmaps,namespaces -A").await;
    assert!(has_line(&all, &["default", "configmap/kube-root-ca.crt", "1"]), "{all}");

    kubectl.run("create configmap settings --from-literal=a=1").await;
    kubectl.run("label configmap settings tier=web").await;
    kubectl.run("annotate configmap settings note=hello").await;
    kubectl.run("patch configmap settings --type=merge -p {\"data\":{\"b\":\"2\"}}").await;
    kubectl.run("patch configmap settings --type=json -p [{\"op\":\"remove\",\"path\":\"/data/a\"}]").await;
    let data = kubectl.run("get configmap -l tier=web -o jsonpath={.items[0].data}").await;
    assert_eq!(data, r#"{"b":"2"}"#);
    let described = kubectl.run("describe configmap settings").await;
    assert!(described.contains("note: hello"), "{described}");
    kubectl.run("wait --for=jsonpath={.data.b}=2 configmap/settings --timeout=10s").await;

    let applied =
        kubectl.feed("apply --server-side -f -", crate::support::config_map("owned").to_string()).await;
    assert_eq!(applied.trim(), "configmap/owned serverside-applied");
    let widget = json!({"apiVersion": "test.dev/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"a": [1, 2]}});
    assert_eq!(kubectl.feed("apply -f -", widget.to_string()).await.trim(), "widget.test.dev/w created");
    assert!(has_line(&kubectl.run("get wd").await, &["w"]));
    let resources = kubectl.run("api-resources").await;
    assert!(has_line(&resources, &["deployments", "deploy", "apps/v1", "true", "Deployment"]), "{resources}");
    assert!(kubectl.run("explain deployment").await.contains("KIND:       Deployment"));
    assert!(kubectl.run("explain pod.spec.containers").await.contains("imagePullPolicy"));
    // Typed commands send protobuf.
    kubectl.run("create deployment typed --image=nginx --replicas=0").await;
    assert!(has_line(&kubectl.run("get deployment typed").await, &["typed", "0/0"]));
    kubectl.run("expose deployment typed --port=80").await;
    assert!(has_line(
        &kubectl.run("get service typed").await,
        &["typed", "ClusterIP", "<none>", "<none>", "80/TCP"]
    ));
    kubectl.run("delete deployment/typed service/typed --timeout=20s").await;
    assert_eq!(kubectl.run("auth can-i create pods").await.trim(), "yes");

    kubectl.run("create namespace team").await;
    kubectl.run("-n team create serviceaccount robot").await;
    kubectl.run("delete namespace team --timeout=20s").await;
    let gone = kubectl.try_run("get namespace team", None).await.expect_err("gone");
    assert!(gone.contains("namespaces \"team\" not found"), "{gone}");
    kubectl.run("delete deployment/web configmap/settings widget/w --timeout=20s").await;
    assert!(kubectl.run("get deployments").await.contains("No resources found"));
}
