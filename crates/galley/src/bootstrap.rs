//! `galley bootstrap`: gives a cluster what the pipeline needs, hands the pipeline repository over to its Argo CD, and
//! waits until everything is Synced and Healthy. With `--remove` it takes away exactly what it brought.
//!
//! Order: look (nothing is written until everything that can be known beforehand is), lease, platform, base image and
//! commits through tunnels, then the one Application from which all others come. From there on Argo CD delivers the
//! platform too, and a later run leaves it alone. Killed at any moment it goes on when it is run again.

mod definitions;
mod desired;
mod fill;
mod look;
mod report;

use std::time::Duration;

use futures::StreamExt;
use galley_cluster::{ApplyOptions, Claim, Cluster, Home, Lock, ObjectRef, PullCheck, RemoveOptions};
use galley_problem::{Kind, Problem};
use galley_release_types::{APPLICATIONS_NAMESPACE, PLATFORM_NAMESPACE};

use crate::{
    Answer,
    cli::{Format, Global, cluster::Bootstrap},
    voice,
};
use desired::Desired;
use report::Lines;

/// How long another bootstrap's lease is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `galley bootstrap`.
///
/// # Errors
/// G11xx for what the cluster lacks or refuses, each with its remedy; G03xx and G04xx for the pipeline repository.
pub async fn run(global: &Global, args: Bootstrap) -> Result<Answer, Problem> {
    let cluster = Cluster::connect(global.kubeconfig.as_deref(), global.context.as_deref()).await?;
    if args.remove {
        return remove(&cluster).await;
    }
    let source = desired::source(&args).await?;
    let mut facts = look::look(&cluster).await?;
    if let Some(file) = args.gateway_api.as_deref().filter(|_| facts.gateway.is_none()) {
        if !definitions::bring(&cluster, file, &args).await? {
            return Ok(Answer::Yes);
        }
        facts = cluster.facts().await?;
    }
    let desired = Desired::of(&cluster, &facts, &source).await?;
    look::check(&facts, &desired)?;
    let options = galley_cluster::PlanOptions { force: args.force_conflicts };
    let plan = cluster.plan(&desired.everything(), &options).await?;
    report::plan(&plan, &args.output)?;
    if args.dry_run {
        return Ok(Answer::Yes);
    }
    if matches!(args.output.output, Format::Table | Format::Wide) {
        report::counts(&plan);
    }

    let lines = Lines;
    let lock = Lock::take(&cluster, &Home::default(), &holder(), PATIENCE).await?;
    if let Some(image) = desired.platform_image() {
        pull_check(&cluster, &image).await?;
    }
    let apply = ApplyOptions::default();
    let first = cluster.plan(&desired.foundation(), &options).await?;
    cluster.apply(&first, &lock, &apply, &lines).await?;
    for workload in desired.workloads()? {
        lines.say("wait", &format!("{workload}"));
        cluster.wait_workload(&workload, args.timeout).await?;
    }
    fill::registry(&cluster, &desired).await?;
    let pushed = fill::repository(&cluster, &desired, &source).await?;
    let last = cluster.plan(&desired.handover(), &options).await?;
    cluster.apply(&last, &lock, &apply, &lines).await?;
    lock.release().await?;
    if !plan.is_empty() || pushed {
        refresh(&cluster, &desired.applications).await?;
    }
    follow(&cluster, &desired.applications, args.timeout, &lines).await?;
    report::addresses(&cluster, global).await?;
    Ok(Answer::Yes)
}

/// Tells the Applications' states until all are Synced and Healthy.
async fn follow(
    cluster: &Cluster,
    names: &[String],
    timeout: Duration,
    lines: &Lines,
) -> Result<(), Problem> {
    let mut states = Box::pin(cluster.wait_applications(APPLICATIONS_NAMESPACE, names, timeout));
    while let Some(state) = states.next().await {
        let state = state?;
        let mut text = format!("Application {}: {}, {}", state.name, state.sync, state.health);
        for reason in state.message.iter().chain(state.reasons.first()) {
            text.push_str(&format!(" ({reason})"));
        }
        lines.say(if state.ready() { "ready" } else { "state" }, &text);
    }
    Ok(())
}

/// Has Argo CD look now; Applications that do not exist yet are looked at when they come.
async fn refresh(cluster: &Cluster, names: &[String]) -> Result<(), Problem> {
    for name in names {
        if cluster.application(APPLICATIONS_NAMESPACE, name).await?.sync != "Missing" {
            cluster.refresh_application(APPLICATIONS_NAMESPACE, name).await?;
        }
    }
    Ok(())
}

/// Proves that nodes can pull and run the image before anything depends on it.
async fn pull_check(cluster: &Cluster, image: &str) -> Result<(), Problem> {
    let results =
        cluster.check_pull(&PullCheck::new(PLATFORM_NAMESPACE, image, &["/galley", "--version"])).await?;
    let failed: Vec<_> = results.iter().filter(|result| !result.ok).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let mut problem = Problem::new(
        "G1121",
        Kind::Unavailable,
        format!("{} of {} nodes cannot run the image {image}.", failed.len(), results.len()),
    )
    .try_this(
        "Bring it where they can pull it: `galley image push HOST/galley:TAG`, and name it in `--values` under `image`; or load \
         it into each node: `galley image save -f galley.tar`, `ctr -n k8s.io images import galley.tar`.",
    );
    for result in failed {
        problem.causes.push(format!(
            "{}: {}",
            result.node,
            result.reason.as_deref().unwrap_or("no reason given")
        ));
    }
    Err(problem)
}

async fn remove(cluster: &Cluster) -> Result<Answer, Problem> {
    let home = Home::default();
    if cluster.removable(&home).await?.is_empty() {
        voice::talk("Nothing of ours is there.");
        return Ok(Answer::Yes);
    }
    let lock = Lock::take(cluster, &home, &holder(), PATIENCE).await?;
    let options = RemoveOptions { claims: claims(), ..RemoveOptions::default() };
    let removed = cluster.remove(lock, &options, &Lines).await?;
    voice::talk(&format!(
        "{} objects removed, {} given back, {} kept.",
        removed.deleted.len(),
        removed.released.len(),
        removed.kept.len()
    ));
    Ok(if removed.kept.is_empty() { Answer::Yes } else { Answer::No })
}

/// What the pipeline itself makes in its namespaces.
fn claims() -> Vec<Claim> {
    [
        ("argoproj.io", "Workflow"),
        ("argoproj.io", "WorkflowTemplate"),
        ("argoproj.io", "CronWorkflow"),
        ("argoproj.io", "WorkflowTaskResult"),
        ("argoproj.io", "WorkflowTaskSet"),
        ("galley.dev", "Release"),
        ("", "ConfigMap"),
    ]
    .map(|(group, kind)| Claim::of(group, kind))
    .into()
}

/// Who holds the lease.
fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("galley on {}, process {}", host.trim(), std::process::id())
}

/// A Deployment by its name, in the platform's namespace.
fn deployment(name: &str) -> Result<ObjectRef, Problem> {
    ObjectRef::of(&serde_json::json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": PLATFORM_NAMESPACE },
    }))
}
