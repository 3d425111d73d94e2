//! What a person reads: the plan, what happens, and how to reach what came of it.

use galley_cluster::{Action, Cluster, Event, Phase, Plan, Progress};
use galley_problem::Problem;
use galley_release_types::PLATFORM_NAMESPACE;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::{Api, api::ListParams};

use crate::{
    cli::{Global, Output},
    voice,
};

/// Prints a line for each thing that happens.
pub struct Lines;

impl Lines {
    /// One line.
    pub fn say(&self, what: &str, text: &str) {
        voice::talk(&format!("{what:<8} {text}"));
    }
}

impl Progress for Lines {
    fn event(&self, event: Event) {
        let (what, more) = match &event.phase {
            Phase::Applying | Phase::Same => return,
            Phase::Created => ("created", None),
            Phase::Changed => ("changed", None),
            Phase::Waiting(why) => ("wait", Some(why)),
            Phase::Retrying(why) => ("again", Some(why)),
            Phase::Deleting => ("delete", None),
            Phase::Deleted => ("gone", None),
            Phase::Released => ("released", None),
            Phase::Kept(why) => ("kept", Some(why)),
        };
        let more = more.map_or_else(String::new, |more| format!(": {more}"));
        self.say(what, &format!("{}{more}", event.object));
    }
}

/// What differs, a line each.
///
/// # Errors
/// G0101 if it cannot be written.
pub fn plan(plan: &Plan, output: &Output) -> Result<(), Problem> {
    let mut rows = Vec::new();
    for planned in &plan.objects {
        let (action, detail) = match &planned.action {
            Action::Create => ("create", String::new()),
            Action::Same => continue,
            Action::Change { changes, conflicts } => {
                let mut all: Vec<String> = changes.iter().map(changed).collect();
                all.extend(conflicts.iter().map(|c| format!("{} belongs to {}", c.field, c.manager)));
                ("change", all.join("; "))
            }
        };
        rows.push(vec![planned.object.to_string(), action.to_owned(), detail]);
    }
    if rows.is_empty() {
        voice::talk("Nothing is to be changed.");
        if matches!(output.output, crate::cli::Format::Table | crate::cli::Format::Wide) {
            return Ok(());
        }
    }
    voice::list(
        output.output,
        plan,
        voice::Table { columns: vec!["object", "action", "what"], wide: vec![], rows },
    )
}

/// A field, as in `spec.replicas: 1 -> 2`.
fn changed(change: &galley_cluster::Change) -> String {
    let or = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    format!("{}: {} -> {}", change.path, or(&change.old), or(&change.new))
}

/// How much the plan is.
pub fn counts(plan: &Plan) {
    let (create, change, same) = plan.counts();
    voice::talk(&format!("{create} to create, {change} to change, {same} as they should be."));
}

/// How to reach what runs.
///
/// # Errors
/// G0107 if the cluster cannot be asked.
pub async fn addresses(cluster: &Cluster, global: &Global) -> Result<(), Problem> {
    let refused = |e| crate::commands::objects::refused("to show the addresses", &e);
    let services: Api<Service> = Api::namespaced(cluster.client(), PLATFORM_NAMESPACE);
    let gateway = services.get_opt("gateway").await.map_err(refused)?;
    let port = gateway.and_then(|service| service.spec).and_then(|spec| spec.ports);
    let port = port.and_then(|ports| ports.first().and_then(|port| port.node_port));
    let nodes: Api<Node> = Api::all(cluster.client());
    let nodes = nodes.list(&ListParams::default()).await.map_err(refused)?;
    let address = nodes.iter().find_map(|node| {
        let addresses = node.status.as_ref()?.addresses.as_ref()?;
        addresses.iter().find(|address| address.type_ == "InternalIP").map(|address| address.address.clone())
    });
    let lines = Lines;
    if let (Some(address), Some(port)) = (address, port) {
        lines.say("gateway", &format!("http://{address}:{port} (any node)"));
    }
    let file = global
        .kubeconfig
        .as_ref()
        .map_or_else(String::new, |path| format!(" --kubeconfig {}", path.display()));
    lines.say("status", &format!("galley{file} status"));
    lines.say("releases", &format!("galley{file} release list"));
    lines.say(
        "git",
        &format!("kubectl{file} -n {PLATFORM_NAMESPACE} port-forward service/git 8418:80, then http://127.0.0.1:8418/pipeline.git"),
    );
    Ok(())
}
