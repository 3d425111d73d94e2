//! Services that ask for a port on the host: `galley.dev/host-port`, answered with `galley.dev/host-port-bound`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;

use super::proxy::Proxy;
use super::{backends, ports};
use crate::error::Error;
use crate::events::Events;
use crate::node::annotate;
use crate::objects::{Context, name_of, namespace_of};

const ASKED: &str = "galley.dev/host-port";
const BOUND: &str = "galley.dev/host-port-bound";

/// Makes the listeners on the host match; returns how many Services must be tried again.
pub(crate) async fn reconcile(
    cx: &Context,
    services: &[Service],
    slices: &[EndpointSlice],
    proxy: &mut Proxy,
) -> usize {
    let mut wanted = BTreeSet::new();
    let mut failures = 0;
    for service in services {
        let Some(asked) = asked(cx, service) else { continue };
        wanted.insert(key(service));
        if let Err(error) = serve(cx, service, asked, slices, proxy).await {
            failures += 1;
            tracing::warn!(service = ?key(service), error = &error as &dyn std::error::Error, "could not serve a host port");
        }
    }
    let gone: Vec<_> = proxy.hosts.keys().filter(|key| !wanted.contains(*key)).cloned().collect();
    for key in gone {
        proxy.close_host(&key);
    }
    failures
}

async fn serve(
    cx: &Context,
    service: &Service,
    asked: u16,
    slices: &[EndpointSlice],
    proxy: &mut Proxy,
) -> Result<(), Error> {
    let key = key(service);
    let port = ports(service).next().and_then(|port| port.name.as_deref());
    let addresses = backends(service, slices, port);
    let bound = match proxy.hosts.get(&key).filter(|listener| listener.asked == asked) {
        Some(listener) => {
            listener.backends.set(addresses);
            listener.bound
        }
        None => {
            proxy.close_host(&key);
            let port = if cx.config.auto_host_ports { 0 } else { asked };
            match proxy.listen_on_host(key.clone(), asked, port, addresses).await {
                Ok(bound) => bound,
                Err(source) => {
                    let message = format!("port {port} of this machine is taken or refused: {source}");
                    Events::about(service).warn(cx, "HostPortUnavailable", &message).await;
                    return Err(Error::File {
                        action: "listen on the host's port",
                        path: port.to_string().into(),
                        source,
                    });
                }
            }
        }
    };
    let text = bound.to_string();
    if annotation(service, BOUND) != Some(&text) {
        let api = Api::<Service>::namespaced(cx.client.clone(), &key.0);
        annotate(&api, &key.1, BOUND, Some(&text)).await?;
    }
    Ok(())
}

fn asked(cx: &Context, service: &Service) -> Option<u16> {
    let (namespace, name) = key(service);
    let annotated = annotation(service, ASKED)?;
    let overridden = cx.config.host_ports.get(&format!("{namespace}/{name}")).copied();
    overridden.or_else(|| annotated.parse().ok())
}

fn annotation<'a>(service: &'a Service, key: &str) -> Option<&'a String> {
    service.metadata.annotations.as_ref()?.get(key)
}

fn key(service: &Service) -> (String, String) {
    (namespace_of(&service.metadata).to_owned(), name_of(&service.metadata).to_owned())
}
