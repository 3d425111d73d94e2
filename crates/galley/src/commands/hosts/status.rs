//! `galley cluster status`: the nodes, and the pods that do not run, from here.

use galley_cluster::Cluster;
use galley_problem::Problem;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, api::ListParams};
use serde::Serialize;

use super::{play::Site, tunnel::Tunnel};
use crate::{
    Answer,
    cli::{Global, hosts::Reach},
    voice,
};

/// A node.
#[derive(Serialize)]
struct Line {
    name: String,
    ready: bool,
    roles: String,
    version: String,
    address: String,
}

/// Shows the nodes; exit code 1 if one is not Ready.
pub async fn run(global: &Global, reach: &Reach) -> Result<Answer, Problem> {
    if global.kubeconfig.is_some() {
        return show(
            &Cluster::connect(global.kubeconfig.as_deref(), global.context.as_deref()).await?,
            reach,
        )
        .await;
    }
    let site = Site::open(global, reach)?;
    let tunnel = Tunnel::open(global, &site, reach).await?;
    let shown = match Cluster::connect(Some(tunnel.kubeconfig()), None).await {
        Ok(cluster) => show(&cluster, reach).await,
        Err(problem) => Err(problem),
    };
    tunnel.close().await;
    shown
}

async fn show(cluster: &Cluster, reach: &Reach) -> Result<Answer, Problem> {
    let refused = |e| crate::commands::objects::refused("to show the nodes", &e);
    let nodes: Api<Node> = Api::all(cluster.client());
    let nodes = nodes.list(&ListParams::default()).await.map_err(refused)?;
    let lines: Vec<Line> = nodes.iter().map(line).collect();
    let rows = lines.iter().map(|line| {
        let ready = if line.ready { "Ready" } else { "NotReady" };
        vec![
            line.name.clone(),
            ready.to_owned(),
            line.roles.clone(),
            line.version.clone(),
            line.address.clone(),
        ]
    });
    let table = voice::Table {
        columns: vec!["node", "status", "roles", "version", "address"],
        wide: vec![],
        rows: rows.collect(),
    };
    voice::list(reach.output.output, &lines, table)?;
    let pods: Api<Pod> = Api::all(cluster.client());
    let pods = pods.list(&ListParams::default().limit(5000)).await.map_err(refused)?;
    let waiting: Vec<String> = pods.iter().filter_map(waiting).collect();
    if waiting.is_empty() {
        voice::talk(&format!("All {} pods run or have ended well.", pods.items.len()));
    }
    for pod in waiting.iter().take(20) {
        voice::talk(&format!("waits    {pod}"));
    }
    Ok(if lines.iter().all(|line| line.ready) { Answer::Yes } else { Answer::No })
}

fn line(node: &Node) -> Line {
    let status = node.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
    let address = status.addresses.iter().flatten().find(|one| one.type_ == "InternalIP");
    let labels = node.metadata.labels.iter().flatten();
    let roles: Vec<&str> =
        labels.filter_map(|(name, _)| name.strip_prefix("node-role.kubernetes.io/")).collect();
    Line {
        name: node.metadata.name.clone().unwrap_or_default(),
        ready,
        roles: roles.join(","),
        version: status.node_info.as_ref().map_or_else(String::new, |info| info.kubelet_version.clone()),
        address: address.map_or_else(String::new, |one| one.address.clone()),
    }
}

fn waiting(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let phase = status.phase.as_deref().unwrap_or("Unknown");
    let ready = status.conditions.iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
    if phase == "Succeeded" || phase == "Running" && ready {
        return None;
    }
    let mut states = status
        .container_statuses
        .iter()
        .flatten()
        .filter_map(|one| one.state.as_ref()?.waiting.as_ref()?.reason.clone());
    let reason = states.next_back().map_or_else(String::new, |reason| format!(" ({reason})"));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    Some(format!("{}/{name}: {phase}{reason}", pod.metadata.namespace.as_deref().unwrap_or_default()))
}
