//! The rolling update, as a pure plan: from a Deployment and its ReplicaSets to what must change, and the status.
//!
//! The rules are those of Kubernetes: never more than `replicas + maxSurge` pods, never fewer than
//! `replicas - maxUnavailable` available ones.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetSpec,
};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::objects::{controlled_by, int_or_percent, name_of, whole_seconds};

pub(crate) const HASH: &str = "pod-template-hash";
pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
const DEFAULT_DEADLINE: i32 = 600;
const DEFAULT_HISTORY: i32 = 10;

/// What must change for one Deployment.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// A ReplicaSet to make.
    pub create: Option<Box<ReplicaSet>>,
    /// ReplicaSets (by name) to scale.
    pub scale: BTreeMap<String, i32>,
    /// Old ReplicaSets to delete.
    pub delete: Vec<String>,
    /// The revision annotation of the current ReplicaSet (by name) and of the Deployment.
    pub revision: Option<(Option<String>, i64)>,
    /// The status to report.
    pub status: DeploymentStatus,
    /// When the status will change by itself.
    pub wake: Option<Duration>,
}

/// Plans one step.
pub(crate) fn plan(deployment: &Deployment, sets: &[ReplicaSet], now: Timestamp) -> Plan {
    let spec = deployment.spec.clone();
    let (current, old): (Vec<&ReplicaSet>, Vec<&ReplicaSet>) =
        sets.iter().partition(|set| template_of(set) == Some(without_hash(&spec.template)));
    // Two sets with the same template can only come from a lost race; the older one stays.
    let new =
        current.iter().min_by_key(|set| set.metadata.creation_timestamp.as_ref().map(|time| time.0)).copied();
    let old: Vec<&ReplicaSet> = old
        .into_iter()
        .chain(
            current
                .into_iter()
                .filter(|set| Some(name_of(&set.metadata)) != new.map(|n| name_of(&n.metadata))),
        )
        .collect();
    let mut plan = Plan::default();
    let paused = spec.paused.unwrap_or(false);
    let limits = Limits::of(deployment);
    let recreate = spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) == Some("Recreate");
    let old_gone = old.iter().all(|set| pods(set) == 0 && replicas(set) == 0);
    let highest = sets.iter().filter_map(revision).max().unwrap_or(0);
    match new {
        None if paused => scale_only(&limits, &old, &mut plan),
        None => {
            let share =
                if recreate { if old_gone { limits.desired } else { 0 } } else { limits.room(&old, 0) };
            let set = new_set(deployment, share, highest + 1);
            plan.revision = Some((None, highest + 1));
            plan.create = Some(Box::new(set));
            if recreate {
                stop_all(&old, &mut plan);
            }
        }
        Some(new) => {
            let number = revision(new).unwrap_or(0);
            let number = if old.iter().any(|set| revision(set).unwrap_or(0) > number) {
                highest + 1
            } else {
                number.max(1)
            };
            plan.revision = Some((Some(name_of(&new.metadata).to_owned()), number));
            if paused {
                scale_only(&limits, &[new], &mut plan);
            } else if recreate {
                stop_all(&old, &mut plan);
                if old_gone {
                    plan.set(new, limits.desired);
                }
            } else {
                roll(&limits, new, &old, &mut plan);
            }
        }
    }
    let history = usize::try_from(spec.revision_history_limit.unwrap_or(DEFAULT_HISTORY)).unwrap_or(0);
    plan.delete = forgotten(&old, history);
    let (status, wake) = status(deployment, new, sets, now);
    plan.status = status;
    plan.wake = wake;
    plan
}

/// The bounds of a rolling update.
#[derive(Debug)]
struct Limits {
    desired: i32,
    surge: i32,
    unavailable: i32,
}

impl Limits {
    fn of(deployment: &Deployment) -> Self {
        let spec = deployment.spec.clone();
        let desired = spec.replicas.unwrap_or(1).max(0);
        let rolling = spec.strategy.and_then(|strategy| strategy.rolling_update).unwrap_or_default();
        let quarter = || IntOrString::String("25%".to_owned());
        let surge = int_or_percent(&rolling.max_surge.unwrap_or_else(quarter), desired, true).max(0);
        let unavailable =
            int_or_percent(&rolling.max_unavailable.unwrap_or_else(quarter), desired, false).max(0);
        // With neither, nothing could ever move.
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Limits { desired, surge, unavailable: unavailable.min(desired) }
    }

    /// How many replicas a set that now has `own` may have beside the others.
    fn room(&self, others: &[&ReplicaSet], own: i32) -> i32 {
        let total: i32 = others.iter().map(|set| replicas(set)).sum::<i32>() + own;
        let free = (self.desired + self.surge - total).max(0);
        own + free.min(self.desired - own).max(0)
    }
}

impl Plan {
    fn set(&mut self, set: &ReplicaSet, to: i32) {
        if replicas(set) != to {
            self.scale.insert(name_of(&set.metadata).to_owned(), to);
        }
    }
}

fn scale_only(limits: &Limits, sets: &[&ReplicaSet], plan: &mut Plan) {
    if let [only] = sets.iter().copied().filter(|set| replicas(set) > 0).collect::<Vec<_>>().as_slice() {
        plan.set(only, limits.desired);
    }
}

fn stop_all(sets: &[&ReplicaSet], plan: &mut Plan) {
    for set in sets {
        plan.set(set, 0);
    }
}

fn roll(limits: &Limits, new: &ReplicaSet, old: &[&ReplicaSet], plan: &mut Plan) {
    let own = replicas(new);
    if own > limits.desired {
        plan.set(new, limits.desired);
    } else if own < limits.desired {
        plan.set(new, limits.room(old, own));
        if replicas(new) != limits.room(old, own) {
            // As in Kubernetes: grow first, look again, then shrink.
            return;
        }
    }
    let total: i32 = old.iter().map(|set| replicas(set)).sum::<i32>() + own;
    let minimum = limits.desired - limits.unavailable;
    let unavailable_new = own - available(new);
    let mut spare = total - minimum - unavailable_new;
    if spare <= 0 {
        return;
    }
    let mut sets: Vec<&ReplicaSet> = old.iter().copied().filter(|set| replicas(set) > 0).collect();
    sets.sort_by_key(|set| set.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let mut left: BTreeMap<&str, i32> =
        sets.iter().map(|set| (name_of(&set.metadata), replicas(set))).collect();
    // Old pods that are not available are no loss to anybody.
    for set in &sets {
        let broken = (replicas(set) - available(set)).min(spare).max(0);
        spare -= broken;
        left.entry(name_of(&set.metadata)).and_modify(|count| *count -= broken);
    }
    let mut removable = old.iter().map(|set| available(set)).sum::<i32>() + available(new) - minimum;
    for set in &sets {
        let count = left.entry(name_of(&set.metadata)).or_default();
        let down = (*count).min(removable).max(0);
        removable -= down;
        *count -= down;
    }
    for set in &sets {
        plan.set(set, left[name_of(&set.metadata)]);
    }
}

fn forgotten(old: &[&ReplicaSet], keep: usize) -> Vec<String> {
    let mut empty: Vec<&ReplicaSet> = old
        .iter()
        .copied()
        .filter(|set| replicas(set) == 0 && pods(set) == 0 && set.metadata.deletion_timestamp.is_none())
        .collect();
    empty.sort_by_key(|set| revision(set));
    let excess = empty.len().saturating_sub(keep);
    empty.into_iter().take(excess).map(|set| name_of(&set.metadata).to_owned()).collect()
}

fn new_set(deployment: &Deployment, replicas: i32, revision: i64) -> ReplicaSet {
    let spec = deployment.spec.clone();
    let hash = template_hash(&spec.template);
    let mut template = spec.template;
    let meta = template.metadata.get_or_insert_default();
    meta.labels.get_or_insert_default().insert(HASH.to_owned(), hash.clone());
    let mut selector = spec.selector;
    selector.match_labels.get_or_insert_default().insert(HASH.to_owned(), hash.clone());
    let mut annotations = deployment.metadata.annotations.clone().unwrap_or_default();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    annotations.insert(REVISION.to_owned(), revision.to_string());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", name_of(&deployment.metadata))),
            namespace: deployment.metadata.namespace.clone(),
            labels: template.metadata.as_ref().and_then(|meta| meta.labels.clone()),
            annotations: Some(annotations),
            owner_references: Some(vec![controlled_by(deployment)]),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        },
        status: None,
    }
}

/// A short hash of a template, in letters that are safe in names.
fn template_hash(template: &PodTemplateSpec) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let text = serde_json::to_string(&without_hash(template)).unwrap_or_default();
    let decimal = galley_units::fnv1a_32(&text).to_string();
    decimal.bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(meta) = &mut template.metadata {
        meta.creation_timestamp = None;
        if let Some(labels) = &mut meta.labels {
            labels.remove(HASH);
        }
    }
    template
}

fn template_of(set: &ReplicaSet) -> Option<PodTemplateSpec> {
    set.spec.template.as_ref().map(without_hash)
}

pub(crate) fn revision(set: &ReplicaSet) -> Option<i64> {
    set.metadata.annotations.as_ref()?.get(REVISION)?.parse().ok()
}

fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

fn pods(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

fn ready(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
}

fn status(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    sets: &[ReplicaSet],
    now: Timestamp,
) -> (DeploymentStatus, Option<Duration>) {
    let limits = Limits::of(deployment);
    let before = deployment.status.clone().unwrap_or_default();
    let total: i32 = sets.iter().map(pods).sum();
    let all_available: i32 = sets.iter().map(available).sum();
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: Some(total),
        updated_replicas: Some(new.map_or(0, pods)),
        ready_replicas: Some(sets.iter().map(ready).sum()),
        available_replicas: Some(all_available),
        unavailable_replicas: Some(
            (sets.iter().map(replicas).sum::<i32>().max(limits.desired) - all_available).max(0),
        ),
        conditions: before.conditions.clone(),
        collision_count: before.collision_count,
        ..DeploymentStatus::default()
    };
    let enough = all_available >= limits.desired - limits.unavailable;
    set_condition(
        &mut status,
        "Available",
        enough,
        if enough { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" },
        if enough {
            "Deployment has minimum availability."
        } else {
            "Deployment does not have minimum availability."
        },
        now,
        false,
    );
    let wake = report_progress(deployment, new, &before, &mut status, now);
    (status, wake)
}

fn report_progress(
    deployment: &Deployment,
    new: Option<&ReplicaSet>,
    before: &DeploymentStatus,
    status: &mut DeploymentStatus,
    now: Timestamp,
) -> Option<Duration> {
    let spec = deployment.spec.clone();
    let desired = spec.replicas.unwrap_or(1);
    let complete = status.updated_replicas == Some(desired)
        && status.replicas == Some(desired)
        && status.available_replicas == Some(desired);
    let name = new.map_or("", |set| name_of(&set.metadata));
    let condition = |status: &DeploymentStatus| {
        status.conditions.iter().flatten().find(|one| one.type_.as_deref() == Some("Progressing")).cloned()
    };
    if complete {
        let text = format!("ReplicaSet \"{name}\" has successfully progressed.");
        set_condition(status, "Progressing", true, "NewReplicaSetAvailable", &text, now, false);
        return None;
    }
    let sum = |status: &DeploymentStatus| {
        (status.updated_replicas, status.ready_replicas, status.available_replicas, status.replicas)
    };
    let fresh_spec = before.observed_generation != deployment.metadata.generation;
    let existing = condition(status);
    let was_complete =
        existing.as_ref().is_some_and(|c| c.reason.as_deref() == Some("NewReplicaSetAvailable"));
    let moved = fresh_spec || sum(before) != sum(status) || existing.is_none() || was_complete;
    if moved {
        let (reason, text) = match new {
            None => (
                "NewReplicaSetCreated",
                format!("Created new replica set for \"{}\"", name_of(&deployment.metadata)),
            ),
            Some(_) => ("ReplicaSetUpdated", format!("ReplicaSet \"{name}\" is progressing.")),
        };
        set_condition(status, "Progressing", true, reason, &text, now, true);
    }
    let deadline =
        SignedDuration::from_secs(i64::from(spec.progress_deadline_seconds.unwrap_or(DEFAULT_DEADLINE)));
    let since = condition(status).and_then(|c| c.last_update_time).map_or(now, |time| time.0);
    let due = since.saturating_add(deadline).unwrap_or(Timestamp::MAX);
    if due > now {
        return Some(due.duration_since(now).unsigned_abs());
    }
    let text = format!("ReplicaSet \"{name}\" has timed out progressing.");
    set_condition(status, "Progressing", false, "ProgressDeadlineExceeded", &text, now, false);
    None
}

fn set_condition(
    status: &mut DeploymentStatus,
    kind: &str,
    truth: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
    touch: bool,
) {
    let now = Time(whole_seconds(now));
    let truth = if truth { "True" } else { "False" };
    let all = status.conditions.get_or_insert_default();
    let existing = all.iter().position(|condition| condition.type_.as_deref() == Some(kind));
    let mut condition = existing.map_or_else(DeploymentCondition::default, |at| all[at].clone());
    let same = condition.status.as_deref() == Some(truth)
        && condition.reason.as_deref() == Some(reason)
        && condition.message.as_deref() == Some(message);
    if same && !touch {
        return;
    }
    if condition.status.as_deref() != Some(truth) {
        condition.last_transition_time = Some(now.clone());
    }
    condition.type_ = Some(kind.to_owned());
    condition.status = Some(truth.to_owned());
    condition.reason = Some(reason.to_owned());
    condition.message = Some(message.to_owned());
    condition.last_update_time = Some(now);
    match existing {
        Some(at) => all[at] = condition,
        None => all.push(condition),
    }
}

#[cfg(test)]
mod tests;
