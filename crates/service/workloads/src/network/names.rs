//! What the resolver knows: the names of Services and pods.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::addresses::{cluster_ip, is_headless};
use super::endpoints::ready_addresses;
use crate::objects::{Context, is_finished, name_of, namespace_of};

/// The answer to a question about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Addresses; may be none, for a Service without ready pods.
    Addresses(Vec<Ipv4Addr>),
    /// Another name, of an `ExternalName` Service.
    Alias(String),
    /// A name of the cluster that nothing has.
    Nothing,
    /// Not a name of the cluster.
    Foreign,
}

/// Names of the cluster, as of one reconciliation.
#[derive(Debug, Default)]
pub(crate) struct Names {
    suffix: String,
    addresses: BTreeMap<String, Vec<Ipv4Addr>>,
    aliases: BTreeMap<String, String>,
    pointers: BTreeMap<Ipv4Addr, String>,
    /// Names that have others below them; they exist without an address of their own.
    branches: BTreeSet<String>,
}

impl Names {
    pub(super) fn new(domain: &str) -> Self {
        Names { suffix: format!(".{domain}"), ..Names::default() }
    }

    /// Looks a name up; it must be in lower case and without the last dot.
    pub(crate) fn find(&self, name: &str) -> Found {
        if let Some(reverse) = name.strip_suffix(".in-addr.arpa") {
            let address: Option<Ipv4Addr> =
                reverse.split('.').rev().collect::<Vec<_>>().join(".").parse().ok();
            return match address.and_then(|address| self.pointers.get(&address)) {
                Some(pointer) => Found::Alias(pointer.clone()),
                None => Found::Foreign,
            };
        }
        let Some(inside) = name.strip_suffix(&self.suffix) else { return Found::Foreign };
        if let Some(addresses) = self.addresses.get(inside) {
            return Found::Addresses(addresses.clone());
        }
        if let Some(alias) = self.aliases.get(inside) {
            return Found::Alias(alias.clone());
        }
        if let Some(address) = dashed(inside) {
            return Found::Addresses(vec![address]);
        }
        if self.branches.contains(inside) { Found::Addresses(Vec::new()) } else { Found::Nothing }
    }

    /// Service names as lines of a hosts file.
    pub(super) fn hosts(&self) -> String {
        let lines = self.addresses.iter().flat_map(|(name, addresses)| {
            let short = name.strip_suffix(".svc").unwrap_or(name);
            addresses
                .iter()
                .map(move |address| format!("{address}\t{name}{}\t{name}\t{short}\n", self.suffix))
        });
        lines.collect()
    }

    fn add(&mut self, name: String, addresses: Vec<Ipv4Addr>) {
        let mut rest = name.as_str();
        while let Some((_, parent)) = rest.split_once('.') {
            self.branches.insert(parent.to_owned());
            rest = parent;
        }
        self.addresses.insert(name, addresses);
    }
}

/// `10-88-0-5.namespace.pod` means that address.
fn dashed(inside: &str) -> Option<Ipv4Addr> {
    let labels: Vec<&str> = inside.split('.').collect();
    match labels.as_slice() {
        [address, _, "pod"] => address.replace('-', ".").parse().ok(),
        _ => None,
    }
}

/// Collects the names of everything.
pub(crate) fn collect(cx: &Context, services: &[Service], slices: &[EndpointSlice], pods: &[Pod]) -> Names {
    let mut names = Names::new(&cx.config.cluster_domain);
    for service in services {
        let inside = format!("{}.{}.svc", name_of(&service.metadata), namespace_of(&service.metadata));
        let spec = service.spec.clone().unwrap_or_default();
        if let Some(alias) = spec.external_name.filter(|_| spec.type_.as_deref() == Some("ExternalName")) {
            names.aliases.insert(inside, alias.trim_end_matches('.').to_lowercase());
            continue;
        }
        if let Some(address) = cluster_ip(service) {
            names.pointers.insert(address, format!("{inside}{}", names.suffix));
            names.add(inside, vec![address]);
        } else if is_headless(service) {
            let mut all = Vec::new();
            for (address, hostname) in ready_addresses(service, slices) {
                let Ok(address) = address.parse() else { continue };
                all.push(address);
                if let Some(hostname) = hostname {
                    names.add(format!("{hostname}.{inside}"), vec![address]);
                }
            }
            names.add(inside, all);
        }
    }
    for pod in pods.iter().filter(|pod| !is_finished(pod)) {
        names.branches.insert(format!("{}.pod", namespace_of(&pod.metadata)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        let mut names = Names::new("cluster.local");
        let address = Ipv4Addr::new(10, 96, 1, 1);
        names.add("web.default.svc".to_owned(), vec![address]);
        names.pointers.insert(address, "web.default.svc.cluster.local".to_owned());
        let check = |name: &str, found: Found| assert_eq!(names.find(name), found, "{name}");
        check("web.default.svc.cluster.local", Found::Addresses(vec![address]));
        check("default.svc.cluster.local", Found::Addresses(vec![]));
        check("none.default.svc.cluster.local", Found::Nothing);
        check("web.default.svc.cluster.local.default.svc.cluster.local", Found::Nothing);
        check("10-88-0-5.default.pod.cluster.local", Found::Addresses(vec![Ipv4Addr::new(10, 88, 0, 5)]));
        check("1.1.96.10.in-addr.arpa", Found::Alias("web.default.svc.cluster.local".to_owned()));
        check("example.org", Found::Foreign);
        assert_eq!(names.hosts(), "10.96.1.1\tweb.default.svc.cluster.local\tweb.default.svc\tweb.default\n");
    }
}
