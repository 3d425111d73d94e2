//! Who asks, where clients of an API know no token: the owner of the other end of a loopback connection.
//!
//! Whoever runs Galley may read its admin token from the state folder, so a connection of the same user of this machine
//! needs none; everybody else does. Pages of other sites, which a browser of this user opens, cannot use this: they
//! reach loopback under a name of their own, or send no JSON. Where the kernel does not tell owners (`/proc/net/tcp`,
//! Linux), every request needs a token.

use std::net::{IpAddr, SocketAddr};

use axum::{
    Router,
    extract::{ConnectInfo, Request, connect_info::Connected},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::{self, Next},
    serve::IncomingStream,
};
use galley_units::Secret;
use tokio::net::TcpListener;

/// Both ends of a connection; the server's is unknown if the connection is gone already.
#[derive(Clone, Copy)]
pub struct Ends {
    client: SocketAddr,
    server: Option<SocketAddr>,
}

impl Connected<IncomingStream<'_, TcpListener>> for Ends {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Ends {
        Ends { client: *stream.remote_addr(), server: stream.io().local_addr().ok() }
    }
}

/// Gives requests of this process's own user the admin's token, if they bring none.
pub fn trusted(router: Router, admin: &Secret<String>) -> Router {
    let bearer = HeaderValue::try_from(format!("Bearer {}", admin.expose())).ok().map(|mut value| {
        value.set_sensitive(true);
        value
    });
    router.layer(middleware::from_fn(move |mut request: Request, next: Next| {
        let bearer = bearer.clone();
        async move {
            let ends = request.extensions().get::<ConnectInfo<Ends>>().map(|ends| ends.0);
            if let (Some(ends), Some(bearer)) = (ends, bearer)
                && plain(request.method(), request.headers())
                && tokio::task::spawn_blocking(move || is_mine(ends)).await.unwrap_or(false)
            {
                request.headers_mut().insert(header::AUTHORIZATION, bearer);
            }
            next.run(request).await
        }
    }))
}

/// Whether the request brings no token and is none that a page of another site can send.
fn plain(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = text(header::HOST);
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let loopback = matches!(name, "127.0.0.1" | "localhost" | "[::1]");
    let simple = *method == Method::POST && !text(header::CONTENT_TYPE).starts_with("application/json");
    let tokens = headers.contains_key(header::AUTHORIZATION) || headers.contains_key(header::COOKIE);
    loopback && !simple && !tokens
}

fn is_mine(ends: Ends) -> bool {
    let Some(server) = ends.server.filter(|_| ends.client.ip().is_loopback()) else { return false };
    let tables: String = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .collect();
    let mine = owner(&tables, server, ends.client);
    mine.is_some() && mine == owner(&tables, ends.client, server)
}

/// The user id of the socket from `local` to `remote`, by the kernel's tables of sockets.
fn owner(tables: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let (local, remote) = (spellings(local), spellings(remote));
    tables.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (from, to) = (words.nth(1)?, words.next()?);
        let here = local.iter().any(|one| one == from) && remote.iter().any(|one| one == to);
        here.then(|| words.nth(4)?.parse().ok()).flatten()
    })
}

/// How the kernel writes an address: words of 32 bits as this machine reads them; an IPv4 one in two ways.
fn spellings(address: SocketAddr) -> Vec<String> {
    let words = |bytes: &[u8]| -> String {
        let word = |four: &[u8]| u32::from_ne_bytes([four[0], four[1], four[2], four[3]]);
        bytes.chunks_exact(4).map(|four| format!("{:08X}", word(four))).collect()
    };
    let port = address.port();
    match address.ip() {
        IpAddr::V4(ip) => vec![
            format!("{}:{port:04X}", words(&ip.octets())),
            format!("{}:{port:04X}", words(&ip.to_ipv6_mapped().octets())),
        ],
        IpAddr::V6(ip) => vec![format!("{}:{port:04X}", words(&ip.octets()))],
    }
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    const TABLE: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:22BA 0100007F:C35E 01 00000000:00000000 00:00000000 00000000     7        0 1 1 0
   1: 0100007F:C35E 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     8        0 2 1 0
   2: 0100007F:C35E 0100007F:22BA 01 00000000:00000000 00:00000000 00000000  1000        0 3 1 0
";

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn the_owner_is_that_of_the_client_and_not_of_another_connection_from_its_port() {
        assert_eq!(owner(TABLE, at(50_014), at(8890)), Some(1000));
        assert_eq!(owner(TABLE, at(50_014), at(8080)), Some(8));
        assert_eq!(owner(TABLE, at(50_015), at(8890)), None);
        assert_eq!(owner("", at(50_014), at(8890)), None);
    }

    #[test]
    fn pages_of_other_sites_are_not_plain() {
        let plain = |method: Method, rows: &[(header::HeaderName, &'static str)]| {
            let headers =
                rows.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
            super::plain(&method, &headers)
        };
        let (host, kind) = (header::HOST, header::CONTENT_TYPE);
        assert!(plain(Method::GET, &[(host.clone(), "127.0.0.1:8890")]));
        assert!(plain(Method::POST, &[(host.clone(), "localhost:1"), (kind.clone(), "application/json")]));
        assert!(plain(Method::DELETE, &[(host.clone(), "[::1]:1")]));
        assert!(!plain(Method::POST, &[(host.clone(), "localhost:1"), (kind, "text/plain")]));
        assert!(!plain(Method::GET, &[(host.clone(), "evil.example:8890")]));
        assert!(!plain(Method::GET, &[(host, "localhost:1"), (header::AUTHORIZATION, "Bearer x")]));
        assert!(!plain(Method::GET, &[]));
    }

    #[tokio::test]
    async fn a_connection_of_this_process_is_its_own_users() {
        let listener = TcpListener::bind(at(0)).await.expect("binds");
        let server = listener.local_addr().expect("an address");
        let client = tokio::net::TcpStream::connect(server).await.expect("connects");
        let _accepted = listener.accept().await.expect("accepts");
        let ends = Ends { client: client.local_addr().expect("an address"), server: Some(server) };
        assert_eq!(is_mine(ends), cfg!(target_os = "linux"));
    }
}
