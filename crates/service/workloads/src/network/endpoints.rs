//! EndpointSlices of Services with a selector.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Resource;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};

use super::{SERVICE_NAME, ports, slices_of};
use crate::error::{Attempt, Error};
use crate::objects::{Context, controlled_by, is_finished, name_of, namespace_of, ready_since};

const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// Writes the slices of all Services; returns all slices as they are then.
pub(crate) async fn reconcile(
    cx: &Context,
    services: &[Service],
    pods: &[Pod],
    slices: Vec<EndpointSlice>,
) -> Result<Vec<EndpointSlice>, Error> {
    let (ours, mut result): (Vec<_>, Vec<_>) = slices.into_iter().partition(is_ours);
    let mut wanted = BTreeMap::new();
    for service in services {
        for slice in slices_for(service, pods) {
            wanted.insert(key(&slice), slice);
        }
    }
    for slice in ours {
        let api = Api::<EndpointSlice>::namespaced(cx.client.clone(), namespace_of(&slice.metadata));
        let name = name_of(&slice.metadata).to_owned();
        match wanted.remove(&key(&slice)) {
            Some(want) if same(&want, &slice) => result.push(slice),
            Some(mut want) => {
                want.metadata.resource_version = slice.metadata.resource_version.clone();
                let written = api.replace(&name, &PostParams::default(), &want).await;
                result.push(written.attempt(|| format!("update the endpoints `{name}`"))?);
            }
            None => match api.delete(&name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => drop(other.attempt(|| format!("delete the endpoints `{name}`"))?),
            },
        }
    }
    for (_, slice) in wanted {
        let api = Api::<EndpointSlice>::namespaced(cx.client.clone(), namespace_of(&slice.metadata));
        let name = name_of(&slice.metadata).to_owned();
        match api.create(&PostParams::default(), &slice).await {
            // The Service or its namespace is going away.
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {}
            other => result.push(other.attempt(|| format!("write the endpoints `{name}`"))?),
        }
    }
    Ok(result)
}

fn is_ours(slice: &EndpointSlice) -> bool {
    slice
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(MANAGED_BY))
        .is_some_and(|by| by == CONTROLLER)
}

fn key(slice: &EndpointSlice) -> (String, String) {
    (namespace_of(&slice.metadata).to_owned(), name_of(&slice.metadata).to_owned())
}

fn same(want: &EndpointSlice, have: &EndpointSlice) -> bool {
    let labels = |slice: &EndpointSlice| slice.metadata.labels.clone().unwrap_or_default();
    let endpoints = |slice: &EndpointSlice| slice.endpoints.clone().filter(|all| !all.is_empty());
    let ports = |slice: &EndpointSlice| slice.ports.clone().filter(|all| !all.is_empty());
    endpoints(want) == endpoints(have)
        && ports(want) == ports(have)
        && labels(want).iter().all(|(key, value)| labels(have).get(key) == Some(value))
}

/// The slices of a Service: one for each way in which pods resolve its ports, usually one.
fn slices_for(service: &Service, pods: &[Pod]) -> Vec<EndpointSlice> {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref()).filter(|s| !s.is_empty());
    let Some(selector) = selector else { return Vec::new() };
    let (namespace, name) = (namespace_of(&service.metadata), name_of(&service.metadata));
    let early = service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false);
    let mut groups: BTreeMap<String, (Vec<EndpointPort>, Vec<Endpoint>)> = BTreeMap::new();
    let mut chosen: Vec<&Pod> = pods
        .iter()
        .filter(|pod| namespace_of(&pod.metadata) == namespace && !is_finished(pod))
        .filter(|pod| {
            let labels = pod.metadata.labels.clone().unwrap_or_default();
            selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        })
        .collect();
    chosen.sort_by_key(|pod| name_of(&pod.metadata).to_owned());
    for pod in chosen {
        let Some(endpoint) = endpoint(pod, name, early) else { continue };
        let ports = resolved_ports(service, pod);
        let group = ports.iter().map(|port| format!("{:?}={:?} ", port.name, port.port)).collect::<String>();
        groups.entry(group).or_insert_with(|| (ports, Vec::new())).1.push(endpoint);
    }
    if groups.is_empty() {
        groups.insert(String::new(), (Vec::new(), Vec::new()));
    }
    let groups = groups.into_values().enumerate();
    groups.map(|(number, (ports, endpoints))| slice(service, number, ports, endpoints)).collect()
}

fn slice(
    service: &Service,
    number: usize,
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
) -> EndpointSlice {
    let name = name_of(&service.metadata);
    let suffix =
        galley_units::fnv1a_32(&format!("{}/{number}", service.meta().uid.as_deref().unwrap_or_default()));
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.to_owned(), name.to_owned());
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{:05x}", suffix & 0xf_ffff)),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![controlled_by(service)]),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".to_owned(),
        endpoints: Some(endpoints),
        ports: Some(ports),
    }
}

fn endpoint(pod: &Pod, service: &str, publish_not_ready: bool) -> Option<Endpoint> {
    let address = pod.status.as_ref()?.pod_ip.clone()?;
    let serving = publish_not_ready || ready_since(pod).is_some();
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let spec = pod.spec.as_ref()?;
    Some(Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(serving && !terminating),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: spec.hostname.clone().filter(|_| spec.subdomain.as_deref() == Some(service)),
        node_name: spec.node_name.clone(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    })
}

fn resolved_ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let named = |name: &str| {
        let all = containers.iter().flat_map(|container| container.ports.iter().flatten());
        all.into_iter().find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
    };
    let resolve = |port: &k8s_openapi::api::core::v1::ServicePort| match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => name.parse().ok().or_else(|| named(name)),
    };
    ports(service)
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(resolve(port)?),
                protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect()
}

/// Ready addresses of a Service's pods, with the names that they asked for.
pub(crate) fn ready_addresses(service: &Service, slices: &[EndpointSlice]) -> Vec<(String, Option<String>)> {
    let endpoints = slices_of(service, slices).flat_map(|slice| slice.endpoints.iter().flatten());
    endpoints
        .filter(|endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true))
        .flat_map(|endpoint| {
            endpoint.addresses.iter().map(|address| (address.clone(), endpoint.hostname.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service() -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "n", "uid": "u"},
            "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
        }))
        .unwrap()
    }

    fn pod(name: &str, port: i32, ready: bool, deleting: bool) -> Pod {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "n", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "ports": [{"name": "http", "containerPort": port}]}]},
            "status": {"phase": "Running", "podIP": format!("10.88.0.{}", name.len()),
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}
        }))
        .unwrap();
        pod.metadata.deletion_timestamp =
            deleting.then(|| serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        pod
    }

    #[test]
    fn ready_pods_are_endpoints_and_leaving_ones_are_not() {
        let pods = [pod("a", 8080, true, false), pod("bb", 8080, false, false), pod("ccc", 8080, true, true)];
        let slices = slices_for(&service(), &pods);
        assert_eq!(slices.len(), 1);
        let backends = super::super::backends(&service(), &slices, Some("http"));
        assert_eq!(backends, ["10.88.0.1:8080".parse().unwrap()]);
        let leaving = &slices[0].endpoints.as_ref().unwrap()[2].conditions.clone().unwrap();
        assert_eq!(
            (leaving.ready, leaving.serving, leaving.terminating),
            (Some(false), Some(true), Some(true))
        );
    }

    #[test]
    fn pods_with_other_ports_get_a_slice_of_their_own() {
        let pods = [pod("a", 8080, true, false), pod("bb", 9090, true, false)];
        let slices = slices_for(&service(), &pods);
        assert_eq!(slices.len(), 2);
        let backends = super::super::backends(&service(), &slices, Some("http"));
        assert_eq!(backends, ["10.88.0.1:8080".parse().unwrap(), "10.88.0.2:9090".parse().unwrap()]);
    }
}
