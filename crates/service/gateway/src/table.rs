//! What goes where: an immutable table of routes, and how a request is looked up in it.
//!
//! [`build`] makes it from objects alone; it knows no network and no clock. The order of matches is the
//! specification's: exact path, longest prefix, method, number of headers, number of query parameters, oldest route,
//! first by name, first rule.

mod attach;
mod backends;
mod build;
mod hosts;
mod matching;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use galley_gateway_types::{
    Gateway, GatewayAddress, GatewayClass, GatewayClassStatus, GatewayStatus, HttpRoute, ReferenceGrant,
    RouteParentStatus,
};
use http::{HeaderName, HeaderValue, StatusCode};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

pub use build::build;
pub use hosts::Host;
pub(crate) use hosts::host_name;
pub use matching::{Entry, PathTest, Query};

/// Everything that a table is built from.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Classes of gateways, also those of others.
    pub classes: Vec<GatewayClass>,
    /// Gateways, also those of others.
    pub gateways: Vec<Gateway>,
    /// HTTP routes, also those of others.
    pub routes: Vec<HttpRoute>,
    /// Reference grants.
    pub grants: Vec<ReferenceGrant>,
    /// Labels of namespaces.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Services.
    pub services: Vec<Arc<Service>>,
    /// Endpoint slices.
    pub slices: Vec<Arc<EndpointSlice>>,
}

/// What a table depends on beside objects.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of this controller.
    pub controller: String,
    /// Ports with a socket.
    pub bound: BTreeSet<u16>,
    /// The bound port for listeners without a socket of their own.
    pub default_port: Option<u16>,
    /// Whether backends without endpoints are left out of the draw.
    pub skip_empty_backends: bool,
    /// Addresses of all gateways.
    pub addresses: Vec<GatewayAddress>,
}

/// A table, and what to tell the objects' owners.
#[derive(Debug, Default)]
pub struct Plan {
    /// What goes where.
    pub table: Table,
    /// The verdicts.
    pub verdicts: Verdicts,
}

/// The statuses that objects should have. Times of conditions are empty.
#[derive(Debug, Default, PartialEq)]
pub struct Verdicts {
    /// Classes by name.
    pub classes: BTreeMap<String, GatewayClassStatus>,
    /// Gateways by namespace and name.
    pub gateways: BTreeMap<(String, String), GatewayStatus>,
    /// Our part of the status of routes, by namespace and name. Routes that name none of our gateways have an empty one.
    pub routes: BTreeMap<(String, String), Vec<RouteParentStatus>>,
}

/// What goes where. Never changes.
#[derive(Debug, Default)]
pub struct Table {
    /// Listeners by bound port, most specific host first.
    pub(crate) ports: BTreeMap<u16, Vec<ListenerTable>>,
}

/// One listener's matches, in order.
#[derive(Debug)]
pub(crate) struct ListenerTable {
    pub(crate) host: Option<Host>,
    pub(crate) entries: Vec<Entry>,
}

/// What happens to requests that match.
#[derive(Debug, Default)]
pub struct Rule {
    /// The route, `namespace/name`.
    pub route: String,
    /// Changes to the request's headers.
    pub request_headers: HeaderChange,
    /// Changes to the response's headers.
    pub response_headers: HeaderChange,
    /// The client is sent elsewhere.
    pub redirect: Option<galley_gateway_types::Redirect>,
    /// The address is changed.
    pub rewrite: Option<galley_gateway_types::UrlRewrite>,
    /// Where copies go.
    pub mirrors: Vec<Mirror>,
    /// Where requests go.
    pub backends: Vec<Backend>,
    /// Deadline until the response's headers; `Some(None)` for none.
    pub request_timeout: Option<Option<Duration>>,
    /// Deadline of one attempt.
    pub backend_timeout: Option<Duration>,
    /// Whether something in the rule is not supported: such a rule answers 500.
    pub broken: bool,
    skip_empty: bool,
}

/// Changes to headers: removed, then set, then added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderChange {
    /// Removed.
    pub remove: Vec<HeaderName>,
    /// Replaced or added.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Added to what is there.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

/// Where a copy goes, and how often.
#[derive(Debug)]
pub struct Mirror {
    /// The backend.
    pub backend: Backend,
    /// Copies per `out_of` requests.
    pub share: u64,
    /// See `share`.
    pub out_of: u64,
}

/// A Service's port as a destination.
#[derive(Debug, Default)]
pub struct Backend {
    /// `namespace/service`.
    pub name: String,
    /// Its share in the draw.
    pub weight: u64,
    /// Ready endpoints.
    pub endpoints: Vec<SocketAddr>,
    /// Why it cannot be used at all.
    pub fault: Option<Fault>,
    /// Changes to the request's headers.
    pub request_headers: HeaderChange,
    /// Changes to the response's headers.
    pub response_headers: HeaderChange,
    next: AtomicUsize,
}

/// Why a backend cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such Service, or it has no such port.
    NotFound,
    /// No grant lets the route refer to it.
    NotPermitted,
    /// It is not a Service.
    InvalidKind,
}

impl Backend {
    /// The endpoints, beginning with the one whose turn it is.
    pub fn in_turn(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let count = self.endpoints.len();
        let start = if count == 0 { 0 } else { self.next.fetch_add(1, Ordering::Relaxed) % count };
        (0..count).map(move |step| self.endpoints[(start + step) % count])
    }

    fn is_usable(&self) -> bool {
        self.fault.is_none() && !self.endpoints.is_empty()
    }

    /// Whether leaving it out of the draw hides no mistake.
    fn is_skippable(&self) -> bool {
        match self.fault {
            None => self.endpoints.is_empty(),
            Some(fault) => fault == Fault::NotFound,
        }
    }
}

impl Rule {
    /// Draws a backend by weight; `roll(n)` gives a number below `n`. The error is the status to answer.
    pub fn draw(&self, roll: impl FnOnce(u64) -> u64) -> Result<&Backend, StatusCode> {
        if self.broken {
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let mut candidates: Vec<&Backend> = self.weighted().collect();
        if self.skip_empty && candidates.iter().any(|backend| backend.is_usable()) {
            candidates.retain(|backend| !backend.is_skippable());
        }
        let total: u64 = candidates.iter().map(|backend| backend.weight).sum();
        if total == 0 {
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let mut ticket = roll(total) % total;
        for backend in candidates {
            if ticket >= backend.weight {
                ticket -= backend.weight;
                continue;
            }
            return match (backend.fault, backend.endpoints.is_empty()) {
                (Some(_), _) => Err(StatusCode::INTERNAL_SERVER_ERROR),
                (None, true) => Err(StatusCode::SERVICE_UNAVAILABLE),
                (None, false) => Ok(backend),
            };
        }
        Err(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The heaviest usable backend beside `lost`, none of whose endpoints could be reached: to the client it has none,
    /// although the table does not know yet.
    pub fn instead_of(&self, lost: &Backend) -> Option<&Backend> {
        let others = self.weighted().filter(|other| other.is_usable() && other.name != lost.name);
        others.max_by_key(|other| other.weight).filter(|_| self.skip_empty)
    }

    fn weighted(&self) -> impl Iterator<Item = &Backend> {
        self.backends.iter().filter(|backend| backend.weight > 0)
    }
}

impl Table {
    /// The first match for a request that came in by `port`.
    pub fn lookup(&self, port: u16, request: &Query<'_>) -> Option<&Entry> {
        let listener = self
            .ports
            .get(&port)?
            .iter()
            .find(|listener| listener.host.as_ref().is_none_or(|host| host.matches(request.host)))?;
        listener.entries.iter().find(|entry| entry.matches(request))
    }

    /// Every address that the table may send requests to.
    pub fn endpoints(&self) -> BTreeSet<SocketAddr> {
        self.groups().flatten().copied().collect()
    }

    /// The endpoints of each backend.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[SocketAddr]> {
        let entries = self.ports.values().flatten().flat_map(|listener| &listener.entries);
        entries.flat_map(|entry| {
            let mirrors = entry.rule.mirrors.iter().map(|mirror| &mirror.backend);
            entry.rule.backends.iter().chain(mirrors).map(|backend| backend.endpoints.as_slice())
        })
    }
}

#[cfg(test)]
mod tests;
