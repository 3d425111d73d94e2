//! Cluster addresses: given once, kept in the Service.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, ObjectMeta, PostParams};

use super::SERVICE_NAME;
use crate::error::{Attempt, Error};
use crate::node::ensure_namespace;
use crate::objects::{Context, merge, name_of, namespace_of};

/// Addresses below this one are for the system.
const FIRST: u16 = 20;
const LAST: u16 = 65_000;
const KUBERNETES: u16 = 1;
const RESOLVER: u16 = 10;

/// The address of a Service, if it has one.
pub(crate) fn cluster_ip(service: &Service) -> Option<Ipv4Addr> {
    service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()
}

/// Whether the Service's name stands for its pods.
pub(crate) fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| spec.cluster_ip.as_deref() == Some("None"))
}

/// Gives every Service that wants one an address; also those whose address belongs to another mode of the sandbox.
pub(crate) async fn allocate(cx: &Context, services: &mut [Service]) -> Result<(), Error> {
    let network = cx.sandbox.network();
    let mut taken: BTreeSet<Ipv4Addr> = services.iter().filter_map(cluster_ip).collect();
    for service in services {
        let external =
            service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("ExternalName"));
        if external || is_headless(service) || cluster_ip(service).is_some_and(|ip| network.is_service(ip)) {
            continue;
        }
        let (namespace, name) =
            (namespace_of(&service.metadata).to_owned(), name_of(&service.metadata).to_owned());
        let address = match (namespace.as_str(), name.as_str()) {
            ("default", "kubernetes") => network.service(KUBERNETES),
            ("kube-system", "kube-dns") => network.service(RESOLVER),
            _ => free(
                &format!("{namespace}/{name}"),
                |n| !taken.contains(&network.service(n)),
                |n| network.service(n),
            ),
        };
        taken.insert(address);
        let api = Api::<Service>::namespaced(cx.client.clone(), &namespace);
        let text = address.to_string();
        let patch = serde_json::json!({"spec": {"clusterIP": text, "clusterIPs": [text]}});
        *service = merge(&api, &name, patch).await?;
    }
    Ok(())
}

/// An address that depends on the name where possible, so that it is the same after a fresh start.
fn free(name: &str, is_free: impl Fn(u16) -> bool, at: impl Fn(u16) -> Ipv4Addr) -> Ipv4Addr {
    let span = u32::from(LAST - FIRST);
    let start = galley_units::fnv1a_32(name) % span;
    let candidates = (0..span).map(|step| FIRST + u16::try_from((start + step) % span).unwrap_or(0));
    // 65,000 Services on one machine: the machine has other problems than a shared address.
    at(candidates.into_iter().find(|n| is_free(*n)).unwrap_or(LAST))
}

/// Makes the Service through which pods reach the API server, and its endpoint on the host.
pub(crate) async fn ensure_kubernetes(cx: &Context) -> Result<(), Error> {
    let server = cx.credentials.api_server();
    let services = Api::<Service>::namespaced(cx.client.clone(), "default");
    if services.get_opt("kubernetes").await.attempt(|| "read the Service `kubernetes`".to_owned())?.is_none()
    {
        ensure_namespace(cx, "default").await?;
        let service = Service {
            metadata: ObjectMeta { name: Some("kubernetes".to_owned()), ..ObjectMeta::default() },
            spec: Some(ServiceSpec {
                ports: Some(vec![ServicePort {
                    name: Some("https".to_owned()),
                    port: 443,
                    protocol: Some("TCP".to_owned()),
                    target_port: Some(IntOrString::Int(i32::from(server.port()))),
                    ..ServicePort::default()
                }]),
                ..ServiceSpec::default()
            }),
            status: None,
        };
        services
            .create(&PostParams::default(), &service)
            .await
            .attempt(|| "make the Service `kubernetes`".to_owned())?;
    }
    let slices = Api::<EndpointSlice>::namespaced(cx.client.clone(), "default");
    let existing =
        slices.get_opt("kubernetes").await.attempt(|| "read the endpoints of the API server".to_owned())?;
    let port = i32::from(server.port());
    let right = existing.as_ref().is_some_and(|slice| {
        slice.ports.iter().flatten().any(|one| one.port == Some(port))
            && slice
                .endpoints
                .iter()
                .flatten()
                .any(|endpoint| endpoint.addresses == [server.ip().to_string()])
    });
    if right {
        return Ok(());
    }
    let slice = EndpointSlice {
        metadata: ObjectMeta {
            name: Some("kubernetes".to_owned()),
            labels: Some([(SERVICE_NAME.to_owned(), "kubernetes".to_owned())].into()),
            resource_version: existing.as_ref().and_then(|slice| slice.metadata.resource_version.clone()),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".to_owned(),
        endpoints: Some(vec![Endpoint {
            addresses: vec![server.ip().to_string()],
            conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
            ..Endpoint::default()
        }]),
        ports: Some(vec![EndpointPort {
            name: Some("https".to_owned()),
            port: Some(port),
            protocol: Some("TCP".to_owned()),
            ..EndpointPort::default()
        }]),
    };
    let written = match existing {
        Some(_) => slices.replace("kubernetes", &PostParams::default(), &slice).await,
        None => slices.create(&PostParams::default(), &slice).await,
    };
    written.attempt(|| "write the endpoints of the API server".to_owned()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_depend_on_the_name_and_step_aside() {
        let at = |n: u16| Ipv4Addr::from(0x0a60_0000 + u32::from(n));
        let first = free("default/web", |_| true, at);
        assert_eq!(first, free("default/web", |_| true, at));
        let second = free("default/web", |n| at(n) != first, at);
        assert_ne!(first, second);
    }
}
