//! Where the environments can be reached: follows the Services that are published on the machine, and writes their
//! addresses down for the other commands.

use std::collections::BTreeMap;

use futures::StreamExt;
use galley_release_types::ENVIRONMENTS;
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::state::{Running, State};

/// The port that a Service is published on.
const BOUND: &str = "galley.dev/host-port-bound";

/// Follows until told to stop.
pub async fn follow(
    state: State,
    mut running: Running,
    client: Client,
    out: watch::Sender<BTreeMap<String, String>>,
    stop: CancellationToken,
) {
    let services: Api<Service> = Api::all(client);
    let mut changes =
        watcher(services, watcher::Config::default()).default_backoff().applied_objects().boxed();
    loop {
        let service = tokio::select! {
            () = stop.cancelled() => return,
            next = changes.next() => match next { Some(Ok(service)) => service, Some(Err(_)) => continue, None => return },
        };
        let namespace = service.namespace().unwrap_or_default();
        let Some(environment) = ENVIRONMENTS.into_iter().find(|e| e.namespace() == namespace) else {
            continue;
        };
        let Some(port) = service.annotations().get(BOUND) else { continue };
        let address = format!("http://127.0.0.1:{port}");
        if running.endpoints.get(environment.name()) == Some(&address) {
            continue;
        }
        running.endpoints.insert(environment.name().to_owned(), address);
        out.send_replace(running.endpoints.clone());
        if let Err(problem) = state.write(&running) {
            tracing::warn!(%problem, "addresses are not written down");
        }
    }
}
