//! From references to endpoints: grants, Services, EndpointSlices.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use galley_gateway_types::{BackendRef, ReferenceGrant};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::{Backend, Fault, Objects};

/// The label by which a slice names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Services, slices and grants, found by name.
pub(super) struct Directory<'a> {
    services: BTreeMap<(&'a str, &'a str), &'a Service>,
    slices: BTreeMap<(&'a str, &'a str), Vec<&'a EndpointSlice>>,
    grants: BTreeMap<&'a str, Vec<&'a ReferenceGrant>>,
}

impl<'a> Directory<'a> {
    pub(super) fn new(objects: &'a Objects) -> Directory<'a> {
        let mut directory =
            Directory { services: BTreeMap::new(), slices: BTreeMap::new(), grants: BTreeMap::new() };
        for service in &objects.services {
            let namespace = service.metadata.namespace.as_deref().unwrap_or("default");
            let name = service.metadata.name.as_deref().unwrap_or_default();
            directory.services.insert((namespace, name), service);
        }
        for slice in &objects.slices {
            let namespace = slice.metadata.namespace.as_deref().unwrap_or("default");
            if let Some(name) = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL)) {
                directory.slices.entry((namespace, name)).or_default().push(slice);
            }
        }
        for grant in &objects.grants {
            directory.grants.entry(grant.metadata.namespace()).or_default().push(grant);
        }
        directory
    }

    /// Looks a reference of a route in `namespace` up. A fault comes with a sentence.
    pub(super) fn resolve(&self, namespace: &str, reference: &BackendRef) -> (Backend, Option<String>) {
        let to = reference.namespace.as_deref().unwrap_or(namespace);
        let name = format!("{to}/{}", reference.name);
        let weight = u64::from(reference.weight.unwrap_or(1));
        let fail = |fault, why: String| {
            (Backend { name: name.clone(), weight, fault: Some(fault), ..Backend::default() }, Some(why))
        };
        if !reference.is_service() {
            return fail(Fault::InvalidKind, format!("Backend {name} is not a Service."));
        }
        if to != namespace && !self.is_granted(namespace, to, &reference.name) {
            let why = format!(
                "No ReferenceGrant in {to} lets routes of {namespace} reach Service {}.",
                reference.name
            );
            return fail(Fault::NotPermitted, why);
        }
        let Some(service) = self.services.get(&(to, reference.name.as_str())) else {
            return fail(Fault::NotFound, format!("Service {name} does not exist."));
        };
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let port = match reference.port {
            Some(number) => ports.clone().find(|port| port.port == i32::from(number)),
            None => None,
        };
        let Some(port) = port else {
            let asked = reference.port.map_or_else(|| "given".to_owned(), |port| port.to_string());
            return fail(Fault::NotFound, format!("Service {name} has no port {asked}."));
        };
        let endpoints = self.endpoints(to, &reference.name, port.name.as_deref().unwrap_or_default());
        (Backend { name, weight, endpoints, ..Backend::default() }, None)
    }

    fn is_granted(&self, from: &str, to: &str, name: &str) -> bool {
        self.grants
            .get(to)
            .is_some_and(|grants| grants.iter().any(|grant| grant.lets_routes_reach(from, name)))
    }

    /// Ready addresses of a Service's port, each once, in order.
    fn endpoints(&self, namespace: &str, service: &str, port: &str) -> Vec<SocketAddr> {
        let mut found = BTreeSet::new();
        for slice in self.slices.get(&(namespace, service)).into_iter().flatten() {
            let ports = slice.ports.as_deref().unwrap_or_default();
            let named = ports.iter().find(|candidate| candidate.name.as_deref().unwrap_or_default() == port);
            // A slice written by hand with one port may leave its name out.
            let number =
                named.or(if ports.len() == 1 { ports.first() } else { None }).and_then(|port| port.port);
            let Some(number) = number.and_then(|number| u16::try_from(number).ok()) else { continue };
            for endpoint in slice.endpoints.iter().flatten() {
                let state = endpoint.conditions.as_ref();
                let ready = state.and_then(|state| state.ready).unwrap_or(true);
                let terminating = state.and_then(|state| state.terminating).unwrap_or(false);
                if !ready || terminating {
                    continue;
                }
                let addresses =
                    endpoint.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok());
                found.extend(addresses.map(|address| SocketAddr::new(address, number)));
            }
        }
        found.into_iter().collect()
    }
}
