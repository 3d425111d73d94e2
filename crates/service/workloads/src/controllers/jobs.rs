//! Jobs: pods that must end well, so many times, within limits.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, DeleteParams, PostParams};

use super::{create_pod, delete_pod};
use crate::error::{Attempt, Error};
use crate::events::Events;
use crate::objects::{
    Context, is_active, is_controlled_by, list, name_of, namespace_of, phase, uid_of, whole_seconds,
};

const DEFAULT_BACK_OFF_LIMIT: i32 = 6;
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(6);

/// Brings every Job one step further and reports.
pub(crate) async fn reconcile(cx: &Context) -> Result<Option<Duration>, Error> {
    let jobs = list::<Job>(&cx.client).await?;
    let pods = list::<Pod>(&cx.client).await?;
    let mut wake = None;
    let mut failed = None;
    for job in jobs.iter().filter(|job| job.metadata.deletion_timestamp.is_none()) {
        let own: Vec<&Pod> =
            pods.iter().filter(|pod| is_controlled_by(&pod.metadata, uid_of(&job.metadata))).collect();
        let plan = plan(job, &own, cx.clock.now());
        wake = wake.into_iter().chain(plan.wake).min();
        if let Err(error) = carry_out(cx, job, &plan).await {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(wake), Err)
}

/// What must change for one Job.
#[derive(Debug, Default)]
struct Plan<'a> {
    create: i32,
    delete: Vec<&'a Pod>,
    delete_job: bool,
    status: JobStatus,
    wake: Option<Duration>,
}

fn plan<'a>(job: &Job, pods: &[&'a Pod], now: Timestamp) -> Plan<'a> {
    let spec = job.spec.clone().unwrap_or_default();
    let before = job.status.clone().unwrap_or_default();
    if let Some(ended) = ended_at(&before) {
        return after_the_end(job, ended, before, now);
    }
    let count = |wanted: &dyn Fn(&Pod) -> bool| {
        i32::try_from(pods.iter().filter(|pod| wanted(pod)).count()).unwrap_or(i32::MAX)
    };
    let active: Vec<&Pod> = pods.iter().copied().filter(|pod| is_active(pod)).collect();
    // Pods that were deleted after they had ended must go on counting.
    let succeeded = count(&|pod| phase(pod) == "Succeeded").max(before.succeeded.unwrap_or(0));
    let failed = count(&|pod| phase(pod) == "Failed").max(before.failed.unwrap_or(0));
    let ready = count(&|pod| is_active(pod) && crate::objects::ready_since(pod).is_some());
    let suspended = spec.suspend.unwrap_or(false);
    let start = before.start_time.clone().or_else(|| (!suspended).then(|| Time(whole_seconds(now))));
    let mut plan = Plan {
        status: JobStatus {
            active: Some(i32::try_from(active.len()).unwrap_or(i32::MAX)),
            ready: Some(ready),
            succeeded: Some(succeeded),
            failed: Some(failed),
            start_time: start.clone(),
            ..before
        },
        ..Plan::default()
    };
    if suspended {
        plan.delete = active;
        plan.status.start_time = None;
        return plan;
    }
    let completions = spec.completions;
    let parallelism = spec.parallelism.unwrap_or(1).max(0);
    let restarts: i32 = active.iter().map(|pod| restart_count(pod)).sum();
    let deadline = spec.active_deadline_seconds.map(|seconds| {
        start
            .map_or(now, |time| time.0)
            .saturating_add(SignedDuration::from_secs(seconds))
            .unwrap_or(Timestamp::MAX)
    });
    let complete = match completions {
        Some(wanted) => succeeded >= wanted,
        // Without a number of completions, one success and no pod left is the end.
        None => succeeded > 0 && active.is_empty(),
    };
    let limit = spec.backoff_limit.unwrap_or(DEFAULT_BACK_OFF_LIMIT);
    if complete {
        finish(
            &mut plan,
            &["SuccessCriteriaMet", "Complete"],
            "CompletionsReached",
            "Reached expected number of succeeded pods",
            now,
        );
        plan.status.completion_time = Some(Time(whole_seconds(now)));
    } else if failed + restarts > limit {
        plan.delete = active;
        finish(
            &mut plan,
            &["FailureTarget", "Failed"],
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
            now,
        );
    } else if deadline.is_some_and(|deadline| deadline <= now) {
        plan.delete = active;
        finish(
            &mut plan,
            &["FailureTarget", "Failed"],
            "DeadlineExceeded",
            "Job was active longer than specified deadline",
            now,
        );
    } else {
        plan.wake = deadline.map(|deadline| deadline.duration_since(now).unsigned_abs());
        let remaining = match completions {
            Some(wanted) => wanted - succeeded,
            None if succeeded > 0 => 0,
            None => parallelism,
        };
        let running = i32::try_from(active.len()).unwrap_or(i32::MAX);
        let wanted = parallelism.min(remaining);
        if running > wanted {
            plan.delete = active.into_iter().skip(usize::try_from(wanted).unwrap_or(0)).collect();
        } else if running < wanted {
            start_more(&mut plan, pods, wanted - running, failed, now);
        }
    }
    plan
}

/// Makes pods, after a pause that doubles with each failure.
fn start_more(plan: &mut Plan<'_>, pods: &[&Pod], count: i32, failed: i32, now: Timestamp) {
    let last_failure =
        pods.iter().filter(|pod| phase(pod) == "Failed").filter_map(|pod| finished_at(pod)).max();
    if let Some(last) = last_failure
        && failed > 0
    {
        let pause = (0..failed.min(10) - 1).fold(FIRST_PAUSE, |pause, _| pause * 2).min(LONGEST_PAUSE);
        let due = last.saturating_add(pause).unwrap_or(Timestamp::MAX);
        if due > now {
            let wait = due.duration_since(now).unsigned_abs();
            plan.wake = plan.wake.into_iter().chain([wait]).min();
            return;
        }
    }
    plan.create = count;
}

fn after_the_end<'a>(job: &Job, ended: Timestamp, status: JobStatus, now: Timestamp) -> Plan<'a> {
    let ttl = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
    let due = ttl
        .map(|ttl| ended.saturating_add(SignedDuration::from_secs(i64::from(ttl))).unwrap_or(Timestamp::MAX));
    Plan {
        status,
        delete_job: due.is_some_and(|due| due <= now),
        wake: due.filter(|due| *due > now).map(|due| due.duration_since(now).unsigned_abs()),
        ..Plan::default()
    }
}

fn finish(plan: &mut Plan<'_>, kinds: &[&str], reason: &str, message: &str, now: Timestamp) {
    let time = Time(whole_seconds(now));
    let conditions = plan.status.conditions.get_or_insert_default();
    conditions.extend(kinds.iter().map(|kind| JobCondition {
        type_: (*kind).to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(time.clone()),
        last_transition_time: Some(time.clone()),
    }));
    plan.status.active = Some(0);
    plan.status.ready = Some(0);
}

fn ended_at(status: &JobStatus) -> Option<Timestamp> {
    let mut conditions = status.conditions.iter().flatten();
    let end = conditions.find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    Some(end.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0))
}

fn restart_count(pod: &Pod) -> i32 {
    let on_failure =
        pod.spec.as_ref().is_some_and(|spec| spec.restart_policy.as_deref() == Some("OnFailure"));
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    if on_failure { statuses.map(|status| status.restart_count).sum() } else { 0 }
}

fn finished_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses
        .iter()
        .filter_map(|status| Some(status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0))
        .max()
}

async fn carry_out(cx: &Context, job: &Job, plan: &Plan<'_>) -> Result<(), Error> {
    let name = name_of(&job.metadata);
    let api = Api::<Job>::namespaced(cx.client.clone(), namespace_of(&job.metadata));
    if plan.delete_job {
        return match api.delete(name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => other.attempt(|| format!("delete the ended Job `{name}`")).map(drop),
        };
    }
    let template = template(job);
    for _ in 0..plan.create {
        create_pod(cx, job, &template).await?;
    }
    for pod in &plan.delete {
        delete_pod(cx, job, pod).await?;
    }
    if job.status.as_ref() == Some(&plan.status) {
        return Ok(());
    }
    let mut reported = job.clone();
    reported.status = Some(plan.status.clone());
    api.replace_status(name, &PostParams::default(), &reported)
        .await
        .attempt(|| format!("report the state of the Job `{name}`"))?;
    if let (None, Some(_)) = (job.status.as_ref().and_then(ended_at), ended_at(&plan.status)) {
        let condition = plan.status.conditions.iter().flatten().next_back();
        let (failed, reason, message) = condition.map_or((false, "", ""), |c| {
            (c.type_ == "Failed", c.reason.as_deref().unwrap_or(""), c.message.as_deref().unwrap_or(""))
        });
        let events = Events::about(job);
        if failed {
            events.warn(cx, reason, message).await;
        } else {
            events.write(cx, "Normal", "Completed", "Job completed").await;
        }
    }
    Ok(())
}

/// The template with the labels by which people find a Job's pods.
fn template(job: &Job) -> PodTemplateSpec {
    let mut template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let (name, uid) = (name_of(&job.metadata), uid_of(&job.metadata));
    let own = [
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
        ("controller-uid", uid),
        ("job-name", name),
    ];
    let labels: &mut BTreeMap<_, _> =
        template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    template
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(spec: serde_json::Value) -> Job {
        let mut spec = spec;
        spec["template"] = json!({"spec": {"containers": [], "restartPolicy": "Never"}});
        serde_json::from_value(json!({"metadata": {"name": "j", "uid": "u"}, "spec": spec})).unwrap()
    }

    fn pod(phase: &str, finished: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p"}, "spec": {"containers": []},
            "status": {"phase": phase, "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false,
                "restartCount": 0, "state": {"terminated": {"exitCode": 1, "finishedAt": finished}}}]}
        }))
        .unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const NOON: &str = "2026-01-01T12:00:00Z";

    #[test]
    fn pods_are_made_up_to_the_parallelism() {
        let job = job(json!({"completions": 5, "parallelism": 3}));
        assert_eq!(plan(&job, &[], at(NOON)).create, 3);
        let done =
            [pod("Succeeded", NOON), pod("Succeeded", NOON), pod("Succeeded", NOON), pod("Running", NOON)];
        assert_eq!(plan(&job, &done.iter().collect::<Vec<_>>(), at(NOON)).create, 1);
    }

    #[test]
    fn it_is_complete_after_all_completions() {
        let job = job(json!({"completions": 1}));
        let done = pod("Succeeded", NOON);
        let plan = plan(&job, &[&done], at(NOON));
        let conditions: Vec<_> = plan.status.conditions.unwrap().into_iter().map(|c| c.type_).collect();
        assert_eq!(conditions, ["SuccessCriteriaMet", "Complete"]);
        assert!(plan.status.completion_time.is_some());
    }

    #[test]
    fn failures_are_retried_after_a_pause_and_not_for_ever() {
        let one = job(json!({"completions": 1, "backoffLimit": 1}));
        let failed = pod("Failed", NOON);
        let early = plan(&one, &[&failed], at("2026-01-01T12:00:03Z"));
        assert_eq!((early.create, early.wake), (0, Some(Duration::from_secs(7))));
        assert_eq!(plan(&one, &[&failed], at("2026-01-01T12:00:10Z")).create, 1);
        let again = pod("Failed", NOON);
        let last = plan(&one, &[&failed, &again], at("2026-01-01T12:10:00Z"));
        let reason = last.status.conditions.unwrap().pop().unwrap().reason;
        assert_eq!(reason.as_deref(), Some("BackoffLimitExceeded"));
    }

    #[test]
    fn an_ended_job_is_deleted_after_its_time() {
        let mut done = job(json!({"completions": 1, "ttlSecondsAfterFinished": 60}));
        let pod = pod("Succeeded", NOON);
        done.status = Some(plan(&done, &[&pod], at(NOON)).status);
        assert!(!plan(&done, &[&pod], at("2026-01-01T12:00:59Z")).delete_job);
        assert!(plan(&done, &[&pod], at("2026-01-01T12:01:00Z")).delete_job);
    }

    #[test]
    fn the_deadline_ends_it() {
        let mut slow = job(json!({"completions": 1, "activeDeadlineSeconds": 30}));
        let running = pod("Running", NOON);
        let first = plan(&slow, &[&running], at(NOON));
        assert_eq!(first.wake, Some(Duration::from_secs(30)));
        slow.status = Some(first.status);
        let late = plan(&slow, &[&running], at("2026-01-01T12:00:30Z"));
        assert_eq!(late.delete.len(), 1);
        assert_eq!(late.status.conditions.unwrap()[1].reason.as_deref(), Some("DeadlineExceeded"));
    }
}
