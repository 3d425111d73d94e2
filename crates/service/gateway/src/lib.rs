//! A Gateway API controller and reverse proxy: splits traffic between environments.
//!
//! The controller (class controller `galley.dev/gateway`) watches gateways, routes, grants, Services and
//! EndpointSlices, and builds from them, by a pure function, a [`table::Table`] that never changes. The proxy looks
//! each request up in the newest table. Invariants:
//!
//! - a request sees one table from beginning to end;
//! - a table that is being built never delays a request, and an object that cannot be read never breaks a table;
//! - statuses are written only when they say something new, so writing them never wakes the controller for long;
//! - bodies are streamed both ways; memory does not grow with their size;
//! - a backend in another namespace is reached only if a grant there lets it.
//!
//! Choices where the specification leaves some:
//!
//! - **Backends without endpoints** are left out of the draw while others have some
//!   ([`Config::skip_empty_backends`], on by default): a canary that is not there yet costs no request, nor one
//!   none of whose endpoints can be connected to. Turned off, its
//!   share gets 503 (Service without endpoints) or 500 (no Service), as the specification says. A backend that no grant
//!   permits gets its share of 500 either way: a mistake to be seen.
//! - **Timeouts** run until the response's headers; after that, only silence counts ([`Config::idle_seconds`]), so that
//!   event streams live.
//! - **Ports**: a listener whose port nobody bound is served on [`Config::default_port`].
//!
//! Map: `table` (what goes where, and the verdicts for statuses), `proxy` (one request), `controller` (the
//! watches and the statuses), `metrics`.

mod config;
mod controller;
mod dialer;
mod metrics;
pub mod proxy;
mod service;
pub mod table;

pub use config::Config;
pub use dialer::{Dialer, HostDialer};
pub use metrics::Metrics;
pub use service::{Deps, Error, Service};

/// The controller's name, as gateway classes spell it.
pub const CONTROLLER: &str = "galley.dev/gateway";
