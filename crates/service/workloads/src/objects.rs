//! Small things that every controller needs of Kubernetes objects.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use galley_sandbox::Sandbox;
use galley_units::Clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::error::{Attempt, Error};
use crate::images::{Artifacts, Credentials, Images};

/// The name under which this room writes fields.
pub(crate) const MANAGER: &str = "galley-workloads";

/// Pauses before a write that met another one is sent again, in milliseconds.
pub(crate) const RETRIES: [u64; 7] = [5, 10, 20, 40, 80, 160, 320];

/// What every part of the room works with.
pub(crate) struct Context {
    pub config: Config,
    pub client: Client,
    pub sandbox: Sandbox,
    pub images: Arc<dyn Images>,
    pub credentials: Arc<dyn Credentials>,
    pub artifacts: Option<Arc<dyn Artifacts>>,
    pub clock: Arc<dyn Clock>,
}

impl Context {
    pub(crate) fn now(&self) -> Time {
        Time(whole_seconds(self.clock.now()))
    }
}

/// Kubernetes keeps whole seconds.
pub(crate) fn whole_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

/// Lists every object of a kind.
pub(crate) async fn list<K>(client: &Client) -> Result<Vec<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let listed = Api::<K>::all(client.clone()).list(&ListParams::default()).await;
    Ok(listed.attempt(|| format!("list {}", K::plural(&())))?.items)
}

/// Applies a merge patch to an object. One without a version has no conflict with anybody, so it is sent again when
/// another write has come between.
pub(crate) async fn merge<K>(api: &Api<K>, name: &str, patch: serde_json::Value) -> Result<K, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let (params, patch) = (PatchParams::apply(MANAGER), Patch::Merge(patch));
    let mut pauses = RETRIES.iter();
    loop {
        match api.patch(name, &params, &patch).await {
            Err(kube::Error::Api(status)) if status.code == 409 => match pauses.next() {
                Some(pause) => tokio::time::sleep(Duration::from_millis(*pause)).await,
                None => return Err(kube::Error::Api(status)).attempt(|| format!("change `{name}`")),
            },
            other => return other.attempt(|| format!("change the {} `{name}`", K::kind(&()))),
        }
    }
}

pub(crate) fn name_of(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

pub(crate) fn namespace_of(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

pub(crate) fn uid_of(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// A reference that makes `owner` the controller of another object.
pub(crate) fn controlled_by<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: name_of(owner.meta()).to_owned(),
        uid: uid_of(owner.meta()).to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Whether the object's controller is the one with this uid.
pub(crate) fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    meta.owner_references.iter().flatten().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

/// A number, or a part of `whole` in per cent.
pub(crate) fn int_or_percent(value: &IntOrString, whole: i32, round_up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = i64::from(whole) * percent;
            let rounded = if round_up {
                product.div_euclid(100) + i64::from(product % 100 != 0)
            } else {
                product / 100
            };
            i32::try_from(rounded).unwrap_or(i32::MAX)
        }
    }
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

/// Whether the pod has ended for good.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod counts: neither ended nor being deleted.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Since when the pod is ready, if it is.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let ready =
        conditions.iter().find(|condition| condition.type_ == "Ready" && condition.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_round_as_kubernetes_rounds() {
        let percent = |text: &str| IntOrString::String(text.to_owned());
        assert_eq!(int_or_percent(&percent("25%"), 3, true), 1);
        assert_eq!(int_or_percent(&percent("25%"), 3, false), 0);
        assert_eq!(int_or_percent(&percent("100%"), 4, false), 4);
        assert_eq!(int_or_percent(&IntOrString::Int(2), 10, true), 2);
    }
}
