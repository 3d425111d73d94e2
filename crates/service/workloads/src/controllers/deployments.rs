//! Deployments: carries out what `rollout` plans.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::api::{Api, DeleteParams, PostParams};

use super::rollout::{self, Plan, REVISION};
use crate::error::{Attempt, Error};
use crate::events::Events;
use crate::node::annotate;
use crate::objects::{Context, is_controlled_by, list, merge, name_of, namespace_of, uid_of};

/// Brings every Deployment one step further and reports.
pub(crate) async fn reconcile(cx: &Context) -> Result<Option<Duration>, Error> {
    let deployments = list::<Deployment>(&cx.client).await?;
    let sets = list::<ReplicaSet>(&cx.client).await?;
    let mut wake = None;
    let mut failed = None;
    for deployment in deployments.iter().filter(|one| one.metadata.deletion_timestamp.is_none()) {
        let own: Vec<ReplicaSet> = sets
            .iter()
            .filter(|set| is_controlled_by(&set.metadata, uid_of(&deployment.metadata)))
            .cloned()
            .collect();
        let plan = rollout::plan(deployment, &own, cx.clock.now());
        wake = wake.into_iter().chain(plan.wake).min();
        if let Err(error) = carry_out(cx, deployment, &own, plan).await {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(wake), Err)
}

async fn carry_out(
    cx: &Context,
    deployment: &Deployment,
    sets: &[ReplicaSet],
    plan: Plan,
) -> Result<(), Error> {
    let namespace = namespace_of(&deployment.metadata);
    let api = Api::<ReplicaSet>::namespaced(cx.client.clone(), namespace);
    let events = Events::about(deployment);
    let scaled = |direction: &str, name: &str, from: i32, to: i32| {
        format!("Scaled {direction} replica set {name} from {from} to {to}")
    };
    if let Some(set) = plan.create {
        let name = name_of(&set.metadata).to_owned();
        let replicas = set.spec.replicas.unwrap_or(0);
        match api.create(&PostParams::default(), &set).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => drop(other.attempt(|| format!("make the ReplicaSet `{name}`"))?),
        }
        events.write(cx, "Normal", "ScalingReplicaSet", &scaled("up", &name, 0, replicas)).await;
    }
    for (name, replicas) in plan.scale {
        let from = sets.iter().find(|set| name_of(&set.metadata) == name);
        let from = from.and_then(|set| set.spec.replicas).unwrap_or(0);
        merge(&api, &name, serde_json::json!({"spec": {"replicas": replicas}})).await?;
        let direction = if replicas > from { "up" } else { "down" };
        events.write(cx, "Normal", "ScalingReplicaSet", &scaled(direction, &name, from, replicas)).await;
    }
    for name in plan.delete {
        match api.delete(&name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => drop(other.attempt(|| format!("delete the ReplicaSet `{name}`"))?),
        }
    }
    let deployments = Api::<Deployment>::namespaced(cx.client.clone(), namespace);
    let name = name_of(&deployment.metadata);
    if let Some((set, revision)) = plan.revision {
        let text = revision.to_string();
        if let Some(set) = set
            && sets
                .iter()
                .any(|one| name_of(&one.metadata) == set && rollout::revision(one) != Some(revision))
        {
            annotate(&api, &set, REVISION, Some(&text)).await?;
        }
        if deployment.metadata.annotations.as_ref().and_then(|a| a.get(REVISION)) != Some(&text) {
            annotate(&deployments, name, REVISION, Some(&text)).await?;
        }
    }
    if deployment.status.as_ref() != Some(&plan.status) {
        // A merge patch, because the annotation above has changed the version of the object.
        let patch = kube::api::Patch::Merge(serde_json::json!({ "status": plan.status }));
        let params = kube::api::PatchParams::apply(crate::objects::MANAGER);
        deployments
            .patch_status(name, &params, &patch)
            .await
            .attempt(|| format!("report the state of the Deployment `{name}`"))?;
    }
    Ok(())
}
