//! The node object: this machine, as the API shows it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, ObjectMeta, PostParams};

use crate::error::{Attempt, Error};
use crate::objects::{Context, merge};

const HEARTBEAT: Duration = Duration::from_secs(60);

/// Registers the node and keeps its condition fresh.
pub(crate) async fn reconcile(cx: &Context) -> Result<Option<Duration>, Error> {
    let api = Api::<Node>::all(cx.client.clone());
    let name = &cx.config.node_name;
    let existing = api.get_opt(name).await.attempt(|| format!("read the node `{name}`"))?;
    if existing.is_none() {
        let labels = [("kubernetes.io/hostname", name.as_str()), ("kubernetes.io/os", "linux")];
        let node = Node {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec::default()),
            status: None,
        };
        api.create(&PostParams::default(), &node).await.attempt(|| format!("register the node `{name}`"))?;
    }
    let since = existing
        .and_then(|node| node.status?.conditions?.into_iter().find(|condition| condition.type_ == "Ready"))
        .and_then(|condition| condition.last_transition_time)
        .unwrap_or_else(|| cx.now());
    let status = NodeStatus {
        capacity: Some(capacity()),
        allocatable: Some(capacity()),
        addresses: Some(vec![NodeAddress {
            type_: "InternalIP".to_owned(),
            address: cx.sandbox.network().gateway().to_string(),
        }]),
        conditions: Some(vec![NodeCondition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: Some("GalleyReady".to_owned()),
            message: Some("Galley runs pods on this machine.".to_owned()),
            last_heartbeat_time: Some(cx.now()),
            last_transition_time: Some(since),
        }]),
        node_info: Some(NodeSystemInfo {
            kubelet_version: format!("v{}-galley", env!("CARGO_PKG_VERSION")),
            container_runtime_version: format!("galley://{}", env!("CARGO_PKG_VERSION")),
            operating_system: "linux".to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    };
    let patch = kube::api::Patch::Merge(serde_json::json!({ "status": status }));
    api.patch_status(name, &kube::api::PatchParams::apply(crate::objects::MANAGER), &patch)
        .await
        .attempt(|| format!("report the state of the node `{name}`"))?;
    Ok(Some(HEARTBEAT))
}

/// Ensures that a namespace exists.
pub(crate) async fn ensure_namespace(cx: &Context, name: &str) -> Result<(), Error> {
    use k8s_openapi::api::core::v1::Namespace;
    let api = Api::<Namespace>::all(cx.client.clone());
    if api.get_opt(name).await.attempt(|| format!("read the namespace `{name}`"))?.is_none() {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        match api.create(&PostParams::default(), &namespace).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => drop(other.attempt(|| format!("make the namespace `{name}`"))?),
        }
    }
    Ok(())
}

fn capacity() -> std::collections::BTreeMap<String, Quantity> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1).map(|kib| format!("{kib}Ki"))
    });
    let all = [("cpu", Some(processors.to_string())), ("memory", memory), ("pods", Some("1000".to_owned()))];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Quantity(value?)))).collect()
}

/// Writes an annotation onto an object; kept here because three kinds need it.
pub(crate) async fn annotate<K>(api: &Api<K>, name: &str, key: &str, value: Option<&str>) -> Result<K, Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    merge(api, name, serde_json::json!({"metadata": {"annotations": {key: value}}})).await
}
