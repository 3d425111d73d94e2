//! What needs nodes that run pods: skipped where the cluster has none, or without `GALLEY_TEST_IMAGE` (an image whose
//! nodes can pull and that has `/bin/busybox`).

use std::{io::Write as _, time::Duration};

use galley_cluster::{ObjectRef, PullCheck, RemoveOptions};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{PATIENCE, Site, real};

async fn ground() -> Option<(Site, String)> {
    let site = real().await?;
    let image = std::env::var_os("GALLEY_TEST_IMAGE").and_then(|image| image.into_string().ok());
    let ready = site.cluster.facts().await.expect("facts").nodes.iter().any(|node| node.ready);
    match image.filter(|_| ready) {
        Some(image) => Some((site, image)),
        None => {
            let _ = writeln!(std::io::stderr(), "skipped: no ready nodes, or no GALLEY_TEST_IMAGE");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_say_whether_they_can_pull() {
    let Some((site, image)) = ground().await else { return };
    let mut check = PullCheck::new("default", &image, &["/bin/busybox", "true"]);
    let good = site.cluster.check_pull(&check).await.expect("checked");
    assert!(!good.is_empty() && good.iter().all(|node| node.ok), "{good:?}");
    check.command = vec!["/bin/busybox".into(), "false".into()];
    let bad = site.cluster.check_pull(&check).await.expect("checked");
    assert!(bad.iter().all(|node| node.reason.as_ref().is_some_and(|why| why.contains("code 1"))), "{bad:?}");
    check.image = format!("{image}-not-there");
    let bad = site.cluster.check_pull(&check).await.expect("checked");
    assert!(bad.iter().all(|node| node.reason.as_ref().is_some_and(|why| why.contains("Pull"))), "{bad:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_finds_another_pod() {
    let Some((site, image)) = ground().await else { return };
    let namespace = site.name("ours");
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo", "namespace": namespace},
            "spec": {"selector": {"app": "echo"}, "ports": [{"name": "web", "port": 80, "targetPort": "inside"}]}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "echo", "namespace": namespace},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "echo"}},
                "template": {"metadata": {"labels": {"app": "echo"}}, "spec": {"terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "c", "image": image,
                        "command": ["/bin/busybox", "httpd", "-f", "-p", "8080"],
                        "ports": [{"name": "inside", "containerPort": 8080}]}]}}}}),
    ];
    site.bring(&objects, false).await.expect("brought");
    let workload = ObjectRef {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: Some(namespace.clone()),
        name: "echo".into(),
    };
    site.cluster.wait_workload(&workload, PATIENCE).await.expect("rolled out");
    let tunnel = site.cluster.tunnel(&namespace, "echo", 80).await.expect("a way");
    assert_eq!(site.cluster.tunnel(&namespace, "echo", 81).await.expect_err("no such port").code, "G1118");
    asked(tunnel.local_addr()).await;
    // One pod goes; its replacement and the other serve on.
    let pods = site.api("v1", "Pod", "pods", Some(&namespace));
    let one =
        pods.list(&Default::default()).await.expect("pods").items.remove(0).metadata.name.expect("a name");
    pods.delete(&one, &Default::default()).await.expect("deleted");
    site.cluster.wait_workload(&workload, PATIENCE).await.expect("healed");
    for _ in 0..4 {
        asked(tunnel.local_addr()).await;
    }
    let address = tunnel.local_addr();
    drop(tunnel);
    crate::support::until("the port is closed", || async {
        tokio::net::TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    site.remove(&RemoveOptions::default()).await.expect("removed");
}

async fn asked(address: std::net::SocketAddr) {
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("sent");
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await.expect("answered");
        assert_eq!(&answer, b"HTTP/1.");
    };
    tokio::time::timeout(Duration::from_secs(20), exchange).await.expect("in time");
}
