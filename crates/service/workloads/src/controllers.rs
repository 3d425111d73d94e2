//! The controllers that make pods. Each has a pure plan and a part that carries it out.

pub(crate) mod deployments;
pub(crate) mod jobs;
pub(crate) mod replicasets;
mod rollout;

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::Resource;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};

use crate::error::{Attempt, Error};
use crate::events::Events;
use crate::objects::{Context, controlled_by, name_of, namespace_of};

/// Makes a pod from a template; its name begins with the owner's.
async fn create_pod<K>(cx: &Context, owner: &K, template: &PodTemplateSpec) -> Result<Pod, Error>
where
    K: Resource<DynamicType = ()>,
{
    let meta = template.metadata.clone().unwrap_or_default();
    let name = format!("{}-{}", name_of(owner.meta()), galley_units::random_suffix(5));
    let pod = Pod {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            generate_name: Some(format!("{}-", name_of(owner.meta()))),
            namespace: owner.meta().namespace.clone(),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![controlled_by(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    };
    let api = Api::<Pod>::namespaced(cx.client.clone(), namespace_of(owner.meta()));
    let created = api.create(&PostParams::default(), &pod).await.attempt(|| format!("make the pod `{name}`"));
    let events = Events::about(owner);
    match &created {
        Ok(_) => events.write(cx, "Normal", "SuccessfulCreate", &format!("Created pod: {name}")).await,
        Err(error) => events.warn(cx, "FailedCreate", &format!("Error creating: {error}")).await,
    }
    created
}

/// Deletes a pod, with its own grace.
async fn delete_pod<K>(cx: &Context, owner: &K, pod: &Pod) -> Result<(), Error>
where
    K: Resource<DynamicType = ()>,
{
    let name = name_of(&pod.metadata);
    let api = Api::<Pod>::namespaced(cx.client.clone(), namespace_of(&pod.metadata));
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        other => drop(other.attempt(|| format!("delete the pod `{name}`"))?),
    }
    Events::about(owner).write(cx, "Normal", "SuccessfulDelete", &format!("Deleted pod: {name}")).await;
    Ok(())
}
