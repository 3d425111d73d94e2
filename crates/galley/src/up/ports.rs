//! Ports on loopback: the documented ones, or any that are free. A port that was taken once is asked for again, so that
//! addresses stay the same over a restart.

use std::{collections::BTreeMap, net::Ipv4Addr};

use galley_problem::{Kind, Problem};
use tokio::net::TcpListener;

use crate::{cli, state::State};

/// Name and documented port of everything that listens on the machine.
pub const PORTS: [(&str, u16); 8] = [
    ("dashboard", 8870),
    ("api", 6443),
    ("git", 8418),
    ("registry", 5001),
    ("tracking", 5000),
    ("gateway", 8880),
    ("argo", 2746),
    ("argocd", 8890),
];

/// Bound listeners by name.
pub struct Listeners(BTreeMap<&'static str, TcpListener>);

impl Listeners {
    /// Binds every port before anything else is done, so that a taken one is told at once.
    ///
    /// # Errors
    /// G0111 names the port that is in use and what to do.
    pub async fn bind(state: &State, which: cli::Ports) -> Result<Listeners, Problem> {
        let before = remembered(state);
        let mut all = BTreeMap::new();
        for (name, documented) in PORTS {
            let listener = match which {
                cli::Ports::Default => bind(documented).await.map_err(|e| taken(name, documented, &e))?,
                cli::Ports::Auto => any(before.get(name).copied()).await.map_err(|e| taken(name, 0, &e))?,
            };
            all.insert(name, listener);
        }
        let listeners = Listeners(all);
        if let Ok(text) = serde_json::to_vec_pretty(&listeners.ports()) {
            let path = state.path("ports.json");
            std::fs::write(&path, text).map_err(|e| crate::io(&path, "writing", &e))?;
        }
        Ok(listeners)
    }

    /// The port of a listener.
    pub fn port(&self, name: &str) -> u16 {
        self.0.get(name).map_or(0, port_of)
    }

    /// Every port by name.
    pub fn ports(&self) -> BTreeMap<&'static str, u16> {
        self.0.iter().map(|(name, listener)| (*name, port_of(listener))).collect()
    }

    /// Hands a listener to its service.
    ///
    /// # Errors
    /// G0101 if it was handed out before, which would be a fault of Galley.
    pub fn take(&mut self, name: &str) -> Result<TcpListener, Problem> {
        self.0.remove(name).ok_or_else(|| {
            Problem::new("G0101", Kind::Internal, format!("The listener `{name}` was handed out twice."))
        })
    }
}

fn port_of(listener: &TcpListener) -> u16 {
    listener.local_addr().map_or(0, |address| address.port())
}

fn remembered(state: &State) -> BTreeMap<String, u16> {
    let text = std::fs::read(state.path("ports.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

async fn any(before: Option<u16>) -> std::io::Result<TcpListener> {
    if let Some(port) = before
        && let Ok(listener) = bind(port).await
    {
        return Ok(listener);
    }
    bind(0).await
}

async fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

fn taken(name: &str, port: u16, error: &std::io::Error) -> Problem {
    Problem::new("G0111", Kind::Unavailable, format!("Cannot listen on 127.0.0.1:{port} for `{name}`."))
        .because(error)
        .try_this("Stop what uses that port, or let Galley choose free ones: `galley up --ports auto`.")
}
