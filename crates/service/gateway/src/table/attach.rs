//! Which listeners are served, and which routes may attach to them.

use std::collections::BTreeMap;

use galley_gateway_types::{
    Condition, Gateway, HttpRoute, Listener, ListenerStatus, ParentRef, RouteGroupKind, condition,
};

use super::{Host, Settings};

/// A listener of one of our gateways.
pub(super) struct Stand<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) listener: &'a Listener,
    /// The socket's port, if it is served.
    pub(super) port: Option<u16>,
    pub(super) host: Option<Host>,
    /// What stands against it: condition, reason, sentence.
    pub(super) fault: Option<(&'static str, &'static str, String)>,
    pub(super) kinds_fault: bool,
    pub(super) attached: i32,
}

impl<'a> Stand<'a> {
    pub(super) fn new(gateway: &'a Gateway, listener: &'a Listener, settings: &Settings) -> Stand<'a> {
        let port =
            if settings.bound.contains(&listener.port) { Some(listener.port) } else { settings.default_port };
        let kinds =
            listener.allowed_routes.as_ref().map(|allowed| allowed.kinds.as_slice()).unwrap_or_default();
        let mut stand = Stand {
            gateway,
            listener,
            port,
            host: listener.hostname.as_deref().filter(|name| !name.is_empty()).map(Host::parse),
            fault: None,
            kinds_fault: kinds.iter().any(|kind| !is_http_route(kind)),
            attached: 0,
        };
        if listener.protocol != "HTTP" {
            let why = format!("Protocol {} is not supported; HTTP is.", listener.protocol);
            stand.refuse("Accepted", "UnsupportedProtocol", why);
        } else if port.is_none() {
            stand.refuse(
                "Accepted",
                "PortUnavailable",
                format!("Nothing listens on port {}.", listener.port),
            );
        }
        stand
    }

    /// Takes the listener out of service.
    pub(super) fn refuse(&mut self, condition: &'static str, reason: &'static str, why: String) {
        self.port = None;
        self.fault = Some((condition, reason, why));
    }

    fn allows_http_routes(&self) -> bool {
        let kinds =
            self.listener.allowed_routes.as_ref().map(|allowed| allowed.kinds.as_slice()).unwrap_or_default();
        kinds.is_empty() || kinds.iter().any(is_http_route)
    }

    fn allows_namespace(&self, namespace: &str, labels: &BTreeMap<String, BTreeMap<String, String>>) -> bool {
        let allowed = self.listener.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
        match allowed.and_then(|namespaces| namespaces.from.as_deref()).unwrap_or("Same") {
            "All" => true,
            "Same" => namespace == self.gateway.metadata.namespace(),
            "Selector" => {
                let selector = allowed.and_then(|namespaces| namespaces.selector.as_ref());
                let nothing = BTreeMap::new();
                selector.is_some_and(|selector| selector.matches(labels.get(namespace).unwrap_or(&nothing)))
            }
            _ => false,
        }
    }

    /// The hosts that a route has here; nothing if it has none, `[None]` for every host.
    fn hosts(&self, route: &HttpRoute) -> Vec<Option<Host>> {
        if route.spec.hostnames.is_empty() {
            return vec![self.host.clone()];
        }
        let named = route.spec.hostnames.iter().map(|name| Host::parse(name));
        match &self.host {
            None => named.map(Some).collect(),
            Some(own) => named.filter_map(|host| own.intersect(&host)).map(Some).collect(),
        }
    }

    pub(super) fn status(&self) -> ListenerStatus {
        let generation = self.gateway.metadata.generation;
        let fault = |kind: &str| self.fault.as_ref().filter(|(condition, ..)| *condition == kind);
        let mut conditions = Vec::new();
        match fault("Accepted") {
            Some((_, reason, why)) => conditions.push(condition("Accepted", false, reason, why, generation)),
            None => conditions.push(condition("Accepted", true, "Accepted", "", generation)),
        }
        match fault("Conflicted") {
            Some((_, reason, why)) => conditions.push(condition("Conflicted", true, reason, why, generation)),
            None => conditions.push(condition("Conflicted", false, "NoConflicts", "", generation)),
        }
        conditions.push(match self.port {
            Some(port) if port == self.listener.port => {
                condition("Programmed", true, "Programmed", "", generation)
            }
            Some(port) => {
                let message =
                    format!("Served on port {port}: nothing else listens on port {}.", self.listener.port);
                condition("Programmed", true, "Programmed", &message, generation)
            }
            None => condition("Programmed", false, "Invalid", "The listener is not served.", generation),
        });
        conditions.push(if self.kinds_fault {
            let message = "Only routes of kind HTTPRoute are supported.";
            condition("ResolvedRefs", false, "InvalidRouteKinds", message, generation)
        } else {
            condition("ResolvedRefs", true, "ResolvedRefs", "", generation)
        });
        let kind =
            RouteGroupKind { group: Some(galley_gateway_types::GROUP.to_owned()), kind: "HTTPRoute".into() };
        let supported_kinds = if self.allows_http_routes() { vec![kind] } else { Vec::new() };
        ListenerStatus {
            name: self.listener.name.clone(),
            supported_kinds,
            attached_routes: self.attached,
            conditions,
        }
    }
}

fn is_http_route(kind: &RouteGroupKind) -> bool {
    kind.kind == "HTTPRoute" && kind.group.as_deref().is_none_or(|group| group == galley_gateway_types::GROUP)
}

/// A listener (by index) and the hosts that a route has there.
pub(super) type Attached = (usize, Vec<Option<Host>>);

/// Where a route attaches by one of its references: listeners (by index) with hosts, or why it does not.
pub(super) fn attach(
    route: &HttpRoute,
    parent: &ParentRef,
    stands: &[Stand<'_>],
    labels: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<Vec<Attached>, Box<Condition>> {
    let generation = route.metadata.generation;
    let refuse = |reason: &str, message: &str| {
        Err(Box::new(condition("Accepted", false, reason, message, generation)))
    };
    let namespace = parent.namespace.as_deref().unwrap_or(route.metadata.namespace());
    let mut named: Vec<usize> = (0..stands.len())
        .filter(|index| {
            let stand = &stands[*index];
            stand.gateway.metadata.name == parent.name
                && stand.gateway.metadata.namespace() == namespace
                && parent.section_name.as_ref().is_none_or(|section| *section == stand.listener.name)
                && parent.port.is_none_or(|port| port == stand.listener.port)
        })
        .collect();
    if named.is_empty() {
        return refuse("NoMatchingParent", "The gateway has no such listener.");
    }
    named.retain(|index| {
        stands[*index].allows_http_routes()
            && stands[*index].allows_namespace(route.metadata.namespace(), labels)
    });
    if named.is_empty() {
        return refuse("NotAllowedByListeners", "No listener lets routes of this namespace and kind attach.");
    }
    let hosts: Vec<_> = named
        .into_iter()
        .map(|index| (index, stands[index].hosts(route)))
        .filter(|(_, hosts)| !hosts.is_empty())
        .collect();
    if hosts.is_empty() {
        return refuse("NoMatchingListenerHostname", "No listener is for a host name of this route.");
    }
    Ok(hosts)
}
