//! Pods with addresses of their own, and Galley's reach into their network.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use galley_sandbox::{Mode, PodHandle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Bed, bed};

async fn get(bed: &Bed, address: SocketAddr) -> String {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let mut stream = loop {
        match bed.sandbox.connect(address).await {
            Ok(stream) => break stream,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{address}: {error}"),
        }
        tokio::task::yield_now().await;
    };
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn at(pod: &PodHandle, port: u16) -> SocketAddr {
    (IpAddr::from(pod.ip), port).into()
}

async fn two_pods_share_a_port(mode: Mode) {
    let Some(bed) = bed(mode).await else { return };
    let (one, two) = (bed.pod("one").await, bed.pod("two").await);
    assert_ne!(one.ip, two.ip);
    let port = if mode == Mode::Plain { 18_080 } else { 80 };
    let _first = bed.start(&one, &["http", &at(&one, port).to_string(), "first"]).await;
    let _second = bed.start(&two, &["http", &at(&two, port).to_string(), "second"]).await;
    assert_eq!(get(&bed, at(&one, port)).await, "first");
    assert_eq!(get(&bed, at(&two, port)).await, "second");
    // A pod reaches the other pod, and a service address on which Galley listens.
    let service = SocketAddr::from((bed.sandbox.network().service(77), port));
    let listener = bed.sandbox.listen(service).await.unwrap();
    let answer = tokio::spawn(async move {
        let (mut stream, from) = listener.accept().await.unwrap();
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await.unwrap();
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfrom galley").await.unwrap();
        from
    });
    let spec = bed.spec(&["get", &at(&two, port).to_string(), "/", ",", "get", &service.to_string(), "/"]);
    let (exit, said) = bed.finish(&one, spec).await;
    assert_eq!(exit.code, 0, "{said}");
    assert_eq!(said, "second\nfrom galley\n");
    let from = answer.await.unwrap();
    if mode == Mode::Namespaces {
        assert_eq!(from.ip(), IpAddr::from(one.ip));
    }
}

#[tokio::test]
async fn two_pods_share_a_port_in_namespaces() {
    two_pods_share_a_port(Mode::Namespaces).await;
}

#[tokio::test]
async fn two_pods_share_a_port_as_plain_processes() {
    two_pods_share_a_port(Mode::Plain).await;
}

#[tokio::test]
async fn nobody_listening_is_told_at_once() {
    let Some(bed) = bed(Mode::Namespaces).await else { return };
    let pod = bed.pod("quiet").await;
    let error = bed.sandbox.connect(at(&pod, 80)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn datagrams_come_from_the_address_that_was_asked() {
    let Some(bed) = bed(Mode::Namespaces).await else { return };
    let address = SocketAddr::from((bed.sandbox.network().service(10), 53));
    let server = bed.sandbox.udp(address).await.unwrap();
    let client = bed.sandbox.udp(SocketAddr::from(([0, 0, 0, 0], 0))).await.unwrap();
    client.connect(address).await.unwrap();
    client.send(b"ping").await.unwrap();
    let mut buffer = [0; 16];
    let (_, from) = server.recv_from(&mut buffer).await.unwrap();
    server.send_to(b"pong", from).await.unwrap();
    let read = client.recv(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..read], b"pong");
}
