//! Every way in which a kubeconfig can be wrong has its own answer.

use std::path::{Path, PathBuf};

use galley_cluster::Cluster;
use galley_problem::Problem;
use kube::config::Kubeconfig;

use crate::support::kubeconfig;

async fn refusal(path: &Path, context: Option<&str>) -> Problem {
    Cluster::connect(Some(path), context).await.err().expect("refused")
}

fn written(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

fn config(server: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: a, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: u, user: {user}}}]\ncontexts: [{{name: main, context: {{cluster: a, user: u}}}}]\ncurrent-context: main\n"
    )
}

#[tokio::test]
async fn each_fault_of_a_kubeconfig_is_told_apart() {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let dir = dir.path();
    assert_eq!(refusal(&dir.join("none"), None).await.code, "G1101");
    for (name, text) in [("noise", "\u{0}: ["), ("other", "kind: Pod\n"), ("empty", "")] {
        assert_eq!(refusal(&written(dir, name, text), None).await.code, "G1102", "{name}");
    }
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let closed = written(dir, "closed", &config(&format!("http://{free}"), "{}"));
    let problem = refusal(&closed, Some("man")).await;
    assert_eq!((problem.code, problem.remedy.as_deref()), ("G1103", Some("Did you mean `main`?")));
    let problem = refusal(&closed, None).await;
    assert_eq!(problem.code, "G1104");
    assert!(problem.what.contains(&free.to_string()), "{problem}");
    let files = written(
        dir,
        "files",
        &config(&format!("https://{free}"), "{client-certificate: /nowhere.crt, client-key: /nowhere.key}"),
    );
    assert_eq!(refusal(&files, None).await.code, "G1102");
}

#[tokio::test]
async fn a_server_tells_bad_credentials_from_bad_certificates() {
    let Some(path) = kubeconfig() else { return };
    let dir = tempfile::tempdir().expect("a scratch folder");
    let good = Kubeconfig::read_from(&path).expect("a kubeconfig");
    let server = good.clusters[0].cluster.as_ref().and_then(|c| c.server.clone()).expect("a server");
    let authority = good.clusters[0]
        .cluster
        .as_ref()
        .and_then(|c| c.certificate_authority_data.clone())
        .expect("an authority");
    let with = |authority: &str, user: &str| {
        config(&server, user).replace(
            "cluster: {server:",
            &format!("cluster: {{certificate-authority-data: {authority}, server:"),
        )
    };
    let problem = refusal(&written(dir.path(), "token", &with(&authority, "{token: wrong}")), None).await;
    assert_eq!(problem.code, "G1105", "{problem}");
    let problem = refusal(&written(dir.path(), "nobody", &with(&authority, "{}")), None).await;
    assert_eq!(problem.code, "G1105", "{problem}");

    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["x".to_owned()]).expect("params");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let certificate = params.self_signed(&key).expect("signed").pem();
    let base64 = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(text)
    };
    let other = with(&base64(&certificate), "{token: wrong}");
    let problem = refusal(&written(dir.path(), "authority", &other), None).await;
    assert_eq!(problem.code, "G1106", "{problem}");
    let user = format!(
        "{{client-certificate-data: {}, client-key-data: {}}}",
        base64(&certificate),
        base64(&key.serialize_pem())
    );
    let problem = refusal(&written(dir.path(), "expired", &with(&authority, &user)), None).await;
    assert_eq!(problem.code, "G1106", "{problem}");
    assert!(problem.causes[0].contains("2021-01-01"), "{problem}");
}
