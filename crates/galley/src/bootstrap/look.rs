//! What a cluster must have before anything is written to it.

use galley_cluster::{Access, Cluster, Controller, ControllerState, Facts};
use galley_problem::{Kind, Problem};
use galley_release_types::{APPLICATIONS_NAMESPACE, PIPELINE_NAMESPACE, PLATFORM_NAMESPACE};

use super::desired::Desired;
use crate::voice;

/// Oldest Kubernetes whose objects the charts are written for: 1.MINOR.
const OLDEST_MINOR: u32 = 29;

/// Looks around and tells what is there.
///
/// # Errors
/// G1104 to G1108 if the cluster cannot be asked; G1108 with every right that is missing.
pub async fn look(cluster: &Cluster) -> Result<Facts, Problem> {
    let facts = cluster.facts().await?;
    let ready = facts.nodes.iter().filter(|node| node.ready).count();
    let class = facts.default_storage_class().map_or("none", |class| class.name.as_str());
    voice::talk(&format!(
        "Kubernetes {} at {}, {ready} of {} nodes ready, default storage class: {class}.",
        facts.version.git_version,
        facts.server,
        facts.nodes.len()
    ));
    voice::talk(&format!("Argo CD: {}.", describe(&facts.argo_cd)));
    voice::talk(&format!("Argo Workflows: {}.", describe(&facts.argo_workflows)));
    let denied = cluster.may(&rights()).await?;
    if let Some(first) = denied.first() {
        let mut problem = Problem::new("G1108", Kind::Denied, format!("{} {first}.", facts.user))
            .try_this("Use a kubeconfig of somebody who administers the cluster.");
        problem.causes = denied.iter().skip(1).map(|denied| format!("{} {denied}", facts.user)).collect();
        return Err(problem);
    }
    Ok(facts)
}

fn describe(controller: &Controller) -> String {
    let version = controller.version.as_deref().map_or_else(String::new, |version| format!(" {version}"));
    match &controller.state {
        ControllerState::Absent => "not there".to_owned(),
        ControllerState::KindsOnly => "its kinds are there; nothing shows yet that it runs".to_owned(),
        ControllerState::Inside { namespace, ready } => {
            format!("{namespace}{version}{}", if *ready { "" } else { ", not ready" })
        }
        ControllerState::Outside { evidence } => format!("runs outside the cluster ({evidence})"),
    }
}

/// What bootstrap itself does.
fn rights() -> Vec<Access> {
    let mut all = vec![
        Access::to("create", "", "namespaces"),
        Access::to("create", "apiextensions.k8s.io", "customresourcedefinitions"),
        Access::to("create", "rbac.authorization.k8s.io", "clusterroles"),
        Access::to("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
        Access::to("create", "argoproj.io", "applications").within(APPLICATIONS_NAMESPACE),
        Access::to("create", "argoproj.io", "appprojects").within(APPLICATIONS_NAMESPACE),
        Access::to("create", "", "secrets").within(APPLICATIONS_NAMESPACE),
        Access::to("create", "", "pods/portforward").within(PLATFORM_NAMESPACE),
    ];
    for (group, resource) in
        [("apps", "deployments"), ("", "services"), ("", "persistentvolumeclaims"), ("", "pods")]
    {
        all.push(Access::to("create", group, resource).within(PLATFORM_NAMESPACE));
    }
    for (group, resource) in [("rbac.authorization.k8s.io", "roles"), ("", "secrets"), ("", "configmaps")] {
        all.push(Access::to("create", group, resource).within(PIPELINE_NAMESPACE));
    }
    all
}

/// Refuses a cluster that lacks something, with all that it lacks.
///
/// # Errors
/// G1120.
pub fn check(facts: &Facts, desired: &Desired) -> Result<(), Problem> {
    let mut lacks = Vec::new();
    if (facts.version.major, facts.version.minor) < (1, OLDEST_MINOR) {
        lacks.push(format!("Kubernetes 1.{OLDEST_MINOR} or newer: it is {}.", facts.version.git_version));
    }
    if !facts.nodes.is_empty() && !facts.nodes.iter().any(|node| node.ready) {
        lacks.push("A ready node: `kubectl get nodes` shows why none is.".to_owned());
    }
    if !facts.has("argoproj.io", "applications") {
        lacks.push(
            "Argo CD: `kubectl create namespace argocd`, then `kubectl apply -n argocd --server-side -f install.yaml` of a \
             release of argoproj/argo-cd, or its Helm chart."
                .to_owned(),
        );
    } else if let Some(namespace) = facts.argo_cd.settings.as_deref().filter(|n| *n != APPLICATIONS_NAMESPACE)
    {
        lacks.push(format!(
            "Argo CD in the namespace `{APPLICATIONS_NAMESPACE}`: it looks for Applications in `{namespace}`."
        ));
    }
    if !facts.has("argoproj.io", "workflowtemplates") {
        lacks.push(
            "Argo Workflows: `kubectl create namespace argo`, then `kubectl apply -n argo --server-side -f install.yaml` of a \
             release of argoproj/argo-workflows, or its Helm chart."
                .to_owned(),
        );
    }
    if facts.gateway.is_none() {
        lacks.push(
            "The Gateway API's definitions: `kubectl apply --server-side -f standard-install.yaml` of a release of \
             kubernetes-sigs/gateway-api, or the same file with `--gateway-api`."
                .to_owned(),
        );
    }
    if desired.wants_default_class && facts.default_storage_class().is_none() {
        let classes: Vec<_> = facts.storage_classes.iter().map(|class| class.name.as_str()).collect();
        lacks.push(if classes.is_empty() {
            "A storage class: install a provisioner, such as rancher/local-path-provisioner.".to_owned()
        } else {
            format!(
                "A default storage class, or `storageClassName` in `--values`; there are: {}.",
                classes.join(", ")
            )
        });
    }
    if lacks.is_empty() {
        return Ok(());
    }
    let mut problem = Problem::new(
        "G1120",
        Kind::Config,
        format!("{} lacks something that the pipeline needs.", facts.server),
    )
    .try_this("Install what is missing and run the same command again; nothing was written.");
    problem.causes = lacks;
    Err(problem)
}
