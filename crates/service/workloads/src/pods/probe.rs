//! Startup, liveness and readiness probes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use galley_sandbox::{ExecSpec, Sandbox};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// A container that is not up yet is asked more often than its period says, so that a start is not a wait.
const EAGER: Duration = Duration::from_millis(500);
/// The most that is read of an answer.
const MAX_ANSWER: u64 = 10 << 10;

/// What probes need to know of their container.
pub(crate) struct Target<'a> {
    pub sandbox: &'a Sandbox,
    pub ip: Ipv4Addr,
    pub container: &'a Container,
    /// How to run a command in it; the id is completed for each run.
    pub exec: ExecSpec,
}

/// What a probe found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Started,
    Ready(bool),
    /// For an event: a probe has failed.
    Failed {
        probe: &'static str,
        message: String,
    },
}

/// Watches a running container. Ends, with the reason, when it must be restarted; otherwise never.
pub(crate) async fn watch(target: &Target<'_>, found: &(impl Fn(Finding) + Sync)) -> String {
    if let Some(probe) = &target.container.startup_probe
        && let Err(message) = until_started(target, probe, found).await
    {
        return format!(
            "Container {} failed startup probe, will be restarted: {message}",
            target.container.name
        );
    }
    found(Finding::Started);
    let ready = async {
        match &target.container.readiness_probe {
            Some(probe) => readiness(target, probe, found).await,
            None => {
                found(Finding::Ready(true));
                std::future::pending().await
            }
        }
    };
    let alive = async {
        match &target.container.liveness_probe {
            Some(probe) => liveness(target, probe, found).await,
            None => std::future::pending().await,
        }
    };
    let never: String = tokio::select! {
        message = alive => message,
        never = ready => never,
    };
    format!("Container {} failed liveness probe, will be restarted: {never}", target.container.name)
}

/// The timing of a probe, with Kubernetes' defaults.
struct Timing {
    delay: Duration,
    period: Duration,
    successes: u32,
    failures: u32,
}

impl Timing {
    fn of(probe: &Probe) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(value.and_then(|v| u64::try_from(v).ok()).unwrap_or(default))
        };
        let count = |value: Option<i32>, default: u32| {
            value.and_then(|v| u32::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default)
        };
        Timing {
            delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(Duration::from_secs(1)),
            successes: count(probe.success_threshold, 1),
            failures: count(probe.failure_threshold, 3),
        }
    }
}

async fn until_started(target: &Target<'_>, probe: &Probe, found: &impl Fn(Finding)) -> Result<(), String> {
    let timing = Timing::of(probe);
    tokio::time::sleep(timing.delay).await;
    let deadline = Instant::now() + timing.period * timing.failures;
    loop {
        match once(target, probe).await {
            Ok(()) => return Ok(()),
            Err(message) if Instant::now() >= deadline => {
                found(Finding::Failed { probe: "Startup", message: message.clone() });
                return Err(message);
            }
            Err(_) => tokio::time::sleep(EAGER.min(timing.period)).await,
        }
    }
}

async fn readiness(target: &Target<'_>, probe: &Probe, found: &impl Fn(Finding)) -> ! {
    let timing = Timing::of(probe);
    tokio::time::sleep(timing.delay).await;
    let (mut ready, mut row, mut told) = (false, 0, Instant::now());
    loop {
        let result = once(target, probe).await;
        if result.is_ok() == ready {
            row = 0;
        } else {
            row += 1;
        }
        if !ready && row >= timing.successes || ready && row >= timing.failures {
            ready = !ready;
            row = 0;
            found(Finding::Ready(ready));
        }
        if let Err(message) = result
            && told.elapsed() >= timing.period
        {
            told = Instant::now();
            found(Finding::Failed { probe: "Readiness", message });
        }
        let pause = if ready { timing.period } else { EAGER.min(timing.period) };
        tokio::time::sleep(pause).await;
    }
}

async fn liveness(target: &Target<'_>, probe: &Probe, found: &impl Fn(Finding)) -> String {
    let timing = Timing::of(probe);
    tokio::time::sleep(timing.delay).await;
    let mut row = 0;
    loop {
        match once(target, probe).await {
            Ok(()) => row = 0,
            Err(message) => {
                row += 1;
                found(Finding::Failed { probe: "Liveness", message: message.clone() });
                if row >= timing.failures {
                    return message;
                }
            }
        }
        tokio::time::sleep(timing.period).await;
    }
}

/// Asks once; the error is a sentence for people.
async fn once(target: &Target<'_>, probe: &Probe) -> Result<(), String> {
    let timeout = probe.timeout_seconds.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0).unwrap_or(1);
    let asked = tokio::time::timeout(Duration::from_secs(timeout), ask(target, probe));
    asked.await.unwrap_or_else(|_| Err(format!("no answer within {timeout} s")))
}

async fn ask(target: &Target<'_>, probe: &Probe) -> Result<(), String> {
    if let Some(http) = &probe.http_get {
        return http_get(target, http).await;
    }
    if let Some(tcp) = &probe.tcp_socket {
        let address = address(target, tcp.host.as_deref(), &tcp.port)?;
        return target
            .sandbox
            .connect(address)
            .await
            .map(drop)
            .map_err(|error| format!("dial tcp {address}: {error}"));
    }
    if let Some(exec) = &probe.exec {
        return run(target, exec.command.clone().unwrap_or_default()).await;
    }
    Err("probes of this kind are not supported on this machine; use httpGet, tcpSocket or exec".to_owned())
}

/// Runs a command in the container; anything but exit code 0 is a failure.
pub(crate) async fn run(target: &Target<'_>, args: Vec<String>) -> Result<(), String> {
    let id = format!("{}-x{}", target.exec.id, galley_units::random_suffix(6));
    let spec = ExecSpec { id: id.clone(), args, ..target.exec.clone() };
    let process = target.sandbox.exec(spec).await.map_err(|error| error.to_string())?;
    let cleanup = Removed { sandbox: target.sandbox.clone(), id };
    let (exit, output) = process.output().await;
    drop(cleanup);
    match exit.code {
        0 => Ok(()),
        code => Err(format!("command exited with {code}: {}", String::from_utf8_lossy(&output).trim())),
    }
}

/// Removes a process from the sandbox when dropped, also when the probe has timed out.
struct Removed {
    sandbox: Sandbox,
    id: String,
}

impl Drop for Removed {
    fn drop(&mut self) {
        let (sandbox, id) = (self.sandbox.clone(), std::mem::take(&mut self.id));
        tokio::spawn(async move { sandbox.forget(&id).await });
    }
}

/// Sends a request; used by probes and hooks.
pub(crate) async fn http_get(target: &Target<'_>, http: &HTTPGetAction) -> Result<(), String> {
    let address = address(target, http.host.as_deref(), &http.port)?;
    let mut stream = target
        .sandbox
        .connect(address)
        .await
        .map_err(|error| format!("Get \"http://{address}\": {error}"))?;
    if http.scheme.as_deref() == Some("HTTPS") {
        // There is no certificate to check in a probe; that somebody listens is what can be asked.
        return Ok(());
    }
    let path = http.path.as_deref().unwrap_or("/");
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nUser-Agent: kube-probe/galley\r\nAccept: */*\r\nConnection: close\r\n"
    );
    let named_host =
        http.http_headers.iter().flatten().any(|header| header.name.eq_ignore_ascii_case("host"));
    if !named_host {
        request.push_str(&format!("Host: {address}\r\n"));
    }
    for header in http.http_headers.iter().flatten() {
        if !header.name.contains(['\r', '\n']) && !header.value.contains(['\r', '\n']) {
            request.push_str(&format!("{}: {}\r\n", header.name, header.value));
        }
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    let mut limited = stream.take(MAX_ANSWER);
    while status_code(&answer).is_none() {
        match limited.read_buf(&mut answer).await {
            Ok(0) => return Err("the answer is not HTTP".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    match status_code(&answer) {
        Some(200..=399) => Ok(()),
        code => Err(format!("HTTP probe failed with statuscode: {}", code.unwrap_or(0))),
    }
}

fn status_code(answer: &[u8]) -> Option<u16> {
    let line = answer.get(..12)?;
    let text = std::str::from_utf8(line).ok()?;
    text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok())
}

fn address(target: &Target<'_>, host: Option<&str>, port: &IntOrString) -> Result<SocketAddr, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => name.parse().ok().or_else(|| {
            let mut ports = target.container.ports.iter().flatten();
            ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
        }),
    };
    let number = number.and_then(|number| u16::try_from(number).ok());
    let number = number.ok_or_else(|| format!("the container has no port {port:?}"))?;
    let ip = match host {
        None | Some("" | "localhost" | "127.0.0.1") => target.ip,
        Some(host) => host.parse().map_err(|_| format!("the probe's host `{host}` is not an address"))?,
    };
    Ok(SocketAddr::from((ip, number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_are_read() {
        assert_eq!(status_code(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status_code(b"HTTP/1.1 20"), None);
        assert_eq!(status_code(b"SSH-2.0-OpenSSH_9"), None);
    }
}
