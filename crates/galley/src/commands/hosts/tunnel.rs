//! A way to the API of a cluster that is open to nobody outside: ssh to a control plane, to the load balancer there.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use galley_problem::{Kind, Problem};
use serde_json::Value;

use super::play::Site;
use crate::cli::{Global, hosts::Reach};

/// How long ssh may take to open.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open tunnel; it closes with this.
pub struct Tunnel {
    child: tokio::process::Child,
    kubeconfig: PathBuf,
}

impl Tunnel {
    /// Opens a tunnel through the first control plane that lets us in.
    pub async fn open(global: &Global, site: &Site, reach: &Reach) -> Result<Tunnel, Problem> {
        let text = std::fs::read_to_string(&site.kubeconfig).map_err(|error| {
            Problem::new("G1223", Kind::NotFound, "There is no kubeconfig for this cluster yet.")
                .because(&error)
                .try_this("`galley cluster install` writes it.")
        })?;
        let tree = site.inventory(global, reach).await?;
        let mut problem = unreachable("the inventory has no control plane");
        for host in control_planes(&tree) {
            match through(site, &text, &host, global).await {
                Ok(tunnel) => return Ok(tunnel),
                Err(other) => problem = other,
            }
        }
        Err(problem)
    }

    /// A kubeconfig that goes through it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Closes it.
    pub async fn close(mut self) {
        let _ = self.child.kill().await;
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

/// A machine and how ssh reaches it.
struct Host {
    address: String,
    user: Option<String>,
    port: Option<u64>,
    key: Option<String>,
    options: Vec<String>,
    api_port: u64,
}

fn control_planes(tree: &Value) -> Vec<Host> {
    let names =
        tree["kube_control_plane"]["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str);
    names
        .map(|name| {
            let vars = &tree["_meta"]["hostvars"][name];
            let text = |field: &str| vars[field].as_str().map(str::to_owned);
            Host {
                address: text("ansible_host").unwrap_or_else(|| name.to_owned()),
                user: text("ansible_user"),
                port: vars["ansible_port"].as_u64().or_else(|| vars["ansible_port"].as_str()?.parse().ok()),
                key: text("ansible_ssh_private_key_file"),
                options: text("ansible_ssh_common_args").map(|line| words(&line)).unwrap_or_default(),
                api_port: vars["cluster_api_port"].as_u64().unwrap_or(8443),
            }
        })
        .collect()
}

/// The cluster's name, where the inventory gives it one.
pub fn cluster_name(tree: &Value) -> Option<String> {
    let hosts = tree["_meta"]["hostvars"].as_object()?;
    hosts.values().find_map(|vars| vars["galley_cluster"].as_str()).map(str::to_owned)
}

async fn through(site: &Site, kubeconfig: &str, host: &Host, global: &Global) -> Result<Tunnel, Problem> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let port = free.map_err(|error| crate::internal("looking for a free port", &error))?.port();
    let mut command = tokio::process::Command::new("ssh");
    command.args(["-N", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "ConnectTimeout=10"]);
    command.args(&host.options);
    if let Some(port) = host.port {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(key) = &host.key {
        command.args(["-i", key]);
    }
    command.args(["-L", &format!("127.0.0.1:{port}:127.0.0.1:{}", host.api_port)]);
    let target =
        host.user.as_ref().map_or_else(|| host.address.clone(), |user| format!("{user}@{}", host.address));
    command
        .arg(&target)
        .kill_on_drop(true)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::piped());
    if global.verbose > 0 {
        crate::voice::talk(&format!("+ ssh -N -L 127.0.0.1:{port}:127.0.0.1:{} {target}", host.api_port));
    }
    let mut child = command.spawn().map_err(|error| unreachable(&error.to_string()))?;
    let begun = Instant::now();
    while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
        if let Ok(Some(_)) = child.try_wait() {
            let said = child.wait_with_output().await.map(|output| output.stderr).unwrap_or_default();
            return Err(unreachable(String::from_utf8_lossy(&said).trim()));
        }
        if begun.elapsed() > PATIENCE {
            return Err(unreachable(&format!("{target} did not answer in {} s", PATIENCE.as_secs())));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let path = site.home.join(format!("tunnel-{port}.kubeconfig"));
    let text = with_server(kubeconfig, &format!("https://127.0.0.1:{port}"));
    galley_iac::private(&path, text.as_bytes())?;
    Ok(Tunnel { child, kubeconfig: path })
}

/// The same kubeconfig for another address.
fn with_server(kubeconfig: &str, server: &str) -> String {
    let line = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        if line.trim_start().starts_with("server:") {
            format!("{}server: {server}", &line[..indent])
        } else {
            line.to_owned()
        }
    };
    kubeconfig.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// Words of a shell's line: quotes and backslashes, nothing else.
fn words(line: &str) -> Vec<String> {
    let (mut all, mut word, mut quote, mut inside) = (Vec::new(), String::new(), None, false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\\', None) | ('\\', Some('"')) => word.extend(letters.next()),
            (c, Some(_)) => word.push(c),
            ('\'' | '"', None) => {
                quote = Some(letter);
                inside = true;
            }
            (c, None) if c.is_whitespace() => {
                if inside || !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
                inside = false;
            }
            (c, None) => word.push(c),
        }
    }
    if inside || !word.is_empty() {
        all.push(word);
    }
    all
}

fn unreachable(why: &str) -> Problem {
    Problem::new("G1222", Kind::Unavailable, "No tunnel to the cluster's API could be opened.")
        .because_of(why)
        .try_this("Look whether a control plane answers: `ansible all -m ping` in infra/ansible.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        let line = "-o UserKnownHostsFile=/a -o 'ProxyCommand=ssh -W %h:%p '\"'\"'cc@1'\"'\"'' \"a b\"";
        let wanted = ["-o", "UserKnownHostsFile=/a", "-o", "ProxyCommand=ssh -W %h:%p 'cc@1'", "a b"];
        assert_eq!(words(line), wanted);
    }

    #[test]
    fn only_the_server_of_a_kubeconfig_changes() {
        let text =
            "clusters:\n  - cluster:\n      server: https://127.0.0.1:6443\n      tls-server-name: a\n";
        let wanted = "clusters:\n  - cluster:\n      server: https://127.0.0.1:9\n      tls-server-name: a\n";
        assert_eq!(with_server(text, "https://127.0.0.1:9"), wanted);
    }
}
