//! The resolver of the pods: cluster names from memory, all others from the host's resolvers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use simple_dns::Packet;
use simple_dns::rdata::{A, CNAME, PTR, RData};
use simple_dns::{CLASS, Name, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Network;
use super::names::{Found, Names};

const PORT: u16 = 53;
const TTL: u32 = 5;
const FORWARD_TIMEOUT: Duration = Duration::from_secs(2);
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions that are answered at once; more are dropped, and asked again by their askers.
const MAX_AT_ONCE: usize = 256;
const MAX_MESSAGE: usize = 4096;

/// Answers questions until shutdown. Where the port is refused (plain processes without root) nobody is served.
pub(crate) async fn serve(network: &Arc<Network>, shutdown: &CancellationToken) {
    let cx = network.context();
    let address = SocketAddr::from((cx.sandbox.network().service(10), PORT));
    let resolvers: Arc<[SocketAddr]> =
        cx.config.resolvers.clone().unwrap_or_else(|| host_resolvers(address.ip())).into();
    let bound = (cx.sandbox.udp(address).await, cx.sandbox.listen(address).await);
    let (udp, tcp) = match bound {
        (Ok(udp), Ok(tcp)) => (Arc::new(udp), tcp),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%address, %error, "cluster names cannot be served to pods");
            return shutdown.cancelled().await;
        }
    };
    let tasks = TaskTracker::new();
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            received = udp.recv_from(&mut buffer) => {
                let Ok((length, from)) = received else { continue };
                if tasks.len() >= MAX_AT_ONCE {
                    continue;
                }
                let (question, names) = (buffer[..length].to_vec(), network.names());
                let (resolvers, udp) = (Arc::clone(&resolvers), Arc::clone(&udp));
                tasks.spawn(async move {
                    if let Some(answer) = answer(&question, &names, &resolvers).await {
                        let _ = udp.send_to(&answer, from).await;
                    }
                });
            }
            accepted = tcp_accept(&tcp) => {
                let Some(stream) = accepted else { continue };
                if tasks.len() >= MAX_AT_ONCE {
                    continue;
                }
                let (resolvers, network) = (Arc::clone(&resolvers), Arc::clone(network));
                tasks.spawn(async move {
                    let _ = tokio::time::timeout(TCP_TIMEOUT, serve_tcp(stream, &network, &resolvers)).await;
                });
            }
        }
    }
}

async fn tcp_accept(listener: &TcpListener) -> Option<TcpStream> {
    listener.accept().await.ok().map(|(stream, _)| stream)
}

async fn serve_tcp(
    mut stream: TcpStream,
    network: &Network,
    resolvers: &[SocketAddr],
) -> std::io::Result<()> {
    loop {
        let length = usize::from(stream.read_u16().await?);
        let mut question = vec![0; length.min(MAX_MESSAGE)];
        stream.read_exact(&mut question).await?;
        let Some(answer) = answer(&question, &network.names(), resolvers).await else { return Ok(()) };
        stream.write_u16(u16::try_from(answer.len()).unwrap_or(u16::MAX)).await?;
        stream.write_all(&answer).await?;
    }
}

/// The answer to a message; `None` if it is not a question.
async fn answer(message: &[u8], names: &Names, resolvers: &[SocketAddr]) -> Option<Vec<u8>> {
    let packet = Packet::parse(message).ok()?;
    if packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let question = packet.questions.first()?;
    let name = question.qname.to_string().trim_end_matches('.').to_lowercase();
    let found = names.find(&name);
    if found == Found::Foreign {
        return match forward(message, resolvers).await {
            Some(answer) => Some(answer),
            None => reply(&packet, &[], RCODE::ServerFailure),
        };
    }
    let record =
        |data: RData<'static>| ResourceRecord::new(question.qname.clone().into_owned(), CLASS::IN, TTL, data);
    let (records, code) = match (found, question.qtype) {
        (Found::Nothing | Found::Foreign, _) => (Vec::new(), RCODE::NameError),
        (Found::Addresses(addresses), QTYPE::TYPE(TYPE::A) | QTYPE::ANY) => (
            addresses.into_iter().map(|address| record(RData::A(A::from(address)))).collect(),
            RCODE::NoError,
        ),
        (Found::Addresses(_), _) => (Vec::new(), RCODE::NoError),
        (Found::Alias(alias), kind) => {
            let Ok(target) = Name::new(&alias).map(Name::into_owned) else {
                return reply(&packet, &[], RCODE::ServerFailure);
            };
            let data = match kind {
                QTYPE::TYPE(TYPE::PTR) => RData::PTR(PTR(target)),
                _ => RData::CNAME(CNAME(target)),
            };
            (vec![record(data)], RCODE::NoError)
        }
    };
    reply(&packet, &records, code)
}

fn reply(question: &Packet<'_>, records: &[ResourceRecord<'_>], code: RCODE) -> Option<Vec<u8>> {
    let mut reply = Packet::new_reply(question.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE | PacketFlag::AUTHORITATIVE_ANSWER);
    if question.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    *reply.rcode_mut() = code;
    reply.questions = question.questions.clone();
    reply.answers = records.to_vec();
    reply.build_bytes_vec().ok()
}

async fn forward(message: &[u8], resolvers: &[SocketAddr]) -> Option<Vec<u8>> {
    for resolver in resolvers {
        let asked = tokio::time::timeout(FORWARD_TIMEOUT, ask(message, *resolver)).await;
        if let Ok(Ok(answer)) = asked {
            return Some(answer);
        }
    }
    None
}

async fn ask(message: &[u8], resolver: SocketAddr) -> std::io::Result<Vec<u8>> {
    let any = if resolver.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if length > 2 && buffer[..2] == message[..2] {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// The host's resolvers, without ourselves.
fn host_resolvers(own: IpAddr) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers
        .filter_map(|server| server.trim().parse::<IpAddr>().ok())
        .filter(|server| *server != own)
        .map(|server| SocketAddr::from((server, PORT)))
        .collect()
}

#[cfg(test)]
mod tests {
    use simple_dns::{QCLASS, Question};

    use super::*;

    async fn asked(name: &str, kind: TYPE) -> (RCODE, usize) {
        let mut packet = Packet::new_query(7);
        let question =
            Question::new(Name::new(name).unwrap(), QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false);
        packet.questions.push(question);
        let names = Names::new("cluster.local");
        let answer = answer(&packet.build_bytes_vec().unwrap(), &names, &[]).await.unwrap();
        let packet = Packet::parse(&answer).unwrap();
        assert_eq!(packet.id(), 7);
        (packet.rcode(), packet.answers.len())
    }

    #[tokio::test]
    async fn foreign_names_without_resolvers_fail_at_once() {
        assert_eq!(asked("example.org", TYPE::A).await.0, RCODE::ServerFailure);
        assert_eq!(asked("web.default.svc.cluster.local", TYPE::A).await, (RCODE::NameError, 0));
    }
}
