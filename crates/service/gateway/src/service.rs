//! The service: what it is built from, and how it runs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use galley_gateway_types::GatewayAddress;
use galley_problem::{Kind, Problem};
use galley_units::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::CONTROLLER;
use crate::config::Config;
use crate::controller::Controller;
use crate::dialer::Dialer;
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::table::Settings;

/// What the gateway works with.
pub struct Deps {
    /// Where objects are.
    pub client: kube::Client,
    /// How endpoints are reached.
    pub dialer: Arc<dyn Dialer>,
    /// For the times in statuses.
    pub clock: Arc<dyn Clock>,
    /// Bound sockets, by the port that gateways give their listeners (which need not be the socket's own).
    pub listeners: BTreeMap<u16, TcpListener>,
    /// Where the draws begin; a random number in real life.
    pub seed: u64,
}

/// Why the gateway cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The default port has no socket.
    #[error("`defaultPort` is {0}, but nothing was bound for that port")]
    UnboundDefault(u16),
    /// A limit is zero.
    #[error("`{0}` must be greater than 0")]
    ZeroLimit(&'static str),
}

impl Error {
    /// The error as a person reads it.
    pub fn problem(&self) -> Problem {
        Problem::new("G0840", Kind::Config, "The gateway's configuration is not valid.")
            .because(self)
            .try_this("Correct the value, or remove it to use the default.")
    }
}

/// The gateway.
pub struct Service {
    controller: Controller,
    proxy: Proxy,
    metrics: Metrics,
    listeners: BTreeMap<u16, TcpListener>,
}

impl Service {
    /// Builds the gateway.
    pub fn new(config: Config, deps: Deps) -> Result<Service, Error> {
        for (name, value) in [
            ("connectMilliseconds", config.connect_milliseconds),
            ("requestSeconds", config.request_seconds),
            ("idleSeconds", config.idle_seconds),
        ] {
            if value == 0 {
                return Err(Error::ZeroLimit(name));
            }
        }
        if let Some(port) = config.default_port.filter(|port| !deps.listeners.contains_key(port)) {
            return Err(Error::UnboundDefault(port));
        }
        let settings = Settings {
            controller: CONTROLLER.to_owned(),
            bound: deps.listeners.keys().copied().collect(),
            default_port: config.default_port,
            skip_empty_backends: config.skip_empty_backends,
            addresses: config.addresses.iter().map(|address| gateway_address(address)).collect(),
        };
        let metrics = Metrics::default();
        let proxy = Proxy::new(config, deps.dialer, metrics.clone(), deps.seed);
        let controller = Controller::new(deps.client, deps.clock, settings, proxy.clone());
        Ok(Service { controller, proxy, metrics, listeners: deps.listeners })
    }

    /// What it counts.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// `GET /metrics`, `/healthz` and `/readyz` (once every object was read), to be mounted beside the traffic.
    pub fn router(&self) -> Router {
        let proxy = self.proxy.clone();
        let ready = move || async move { ready(&proxy) };
        Router::new()
            .route("/metrics", get(show))
            .route("/healthz", get(async || "ok"))
            .route("/readyz", get(ready))
            .with_state(self.metrics.clone())
    }

    /// Serves and reconciles until `shutdown`, then lets open requests end.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let listeners = self.listeners.into_iter().collect();
        tokio::join!(self.proxy.serve(listeners, shutdown.clone()), self.controller.run(shutdown));
        Ok(())
    }
}

fn ready(proxy: &Proxy) -> (http::StatusCode, &'static str) {
    if proxy.has_table() {
        (http::StatusCode::OK, "ok")
    } else {
        (http::StatusCode::SERVICE_UNAVAILABLE, "waiting for the first list of routes and endpoints")
    }
}

async fn show(State(metrics): State<Metrics>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(http::header::CONTENT_TYPE, kind)], metrics.encode())
}

fn gateway_address(text: &str) -> GatewayAddress {
    let kind = if text.parse::<IpAddr>().is_ok() { "IPAddress" } else { "Hostname" };
    GatewayAddress { kind: Some(kind.to_owned()), value: text.to_owned() }
}
