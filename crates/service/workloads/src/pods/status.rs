//! The status of a pod, as Kubernetes writes it, from what is known of its containers.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition,
    PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::board::{Doing, Record, Role, State};
use crate::objects::Context;

const OURS: [&str; 5] =
    ["PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"];

/// The status that goes with a state.
pub(crate) fn compute(pod: &Pod, state: &State, cx: &Context) -> PodStatus {
    from_state(pod, state, cx.sandbox.network().gateway(), &cx.now())
}

fn from_state(pod: &Pod, state: &State, host: Ipv4Addr, now: &Time) -> PodStatus {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always");
    let phase = phase(policy, state);
    let statuses = |main: bool| -> Vec<ContainerStatus> {
        state
            .preparation
            .iter()
            .chain(&state.containers)
            .filter(|record| (record.role == Role::Main) == main)
            .map(container_status)
            .collect()
    };
    let init = statuses(false);
    let deleting = pod.metadata.deletion_timestamp.is_some();
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions(pod, state, phase, deleting, now)),
        container_statuses: Some(statuses(true)),
        init_container_statuses: (!init.is_empty()).then_some(init),
        host_ip: Some(host.to_string()),
        host_ips: Some(vec![HostIP { ip: host.to_string() }]),
        pod_ip: state.ip.map(|ip| ip.to_string()),
        pod_ips: state.ip.map(|ip| vec![PodIP { ip: ip.to_string() }]),
        start_time: Some(state.start_time.clone()),
        qos_class: Some("BestEffort".to_owned()),
        reason: state.failure.as_ref().map(|(reason, _)| reason.clone()),
        message: state.failure.as_ref().map(|(_, message)| message.clone()),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

/// The phase; after the kubelet's rules, but final only once the pod is finished.
pub(crate) fn phase(policy: &str, state: &State) -> &'static str {
    if state.finished && state.failure.is_some() {
        return "Failed";
    }
    let failed = |record: &Record| matches!(&record.doing, Doing::Ended(ended) if ended.exit_code != 0);
    let all = || state.preparation.iter().chain(&state.containers);
    let init: Vec<&Record> = all().filter(|record| record.role == Role::Init).collect();
    let main: Vec<&Record> = state.containers.iter().filter(|record| record.role == Role::Main).collect();
    if policy == "Never" && state.finished && init.iter().any(|record| failed(record)) {
        return "Failed";
    }
    let initialized = init.iter().all(|record| matches!(record.doing, Doing::Ended(_)) && !failed(record));
    let fresh = |record: &Record| matches!(record.doing, Doing::Waiting { .. }) && record.last.is_none();
    if !initialized || main.iter().any(|record| fresh(record)) {
        return "Pending";
    }
    let ended = main.iter().all(|record| matches!(record.doing, Doing::Ended(_)));
    if !ended || !state.finished {
        return "Running";
    }
    if main.iter().any(|record| failed(record)) { "Failed" } else { "Succeeded" }
}

fn container_status(record: &Record) -> ContainerStatus {
    let mut state = ContainerState::default();
    match &record.doing {
        Doing::Waiting { reason, message } => {
            state.waiting =
                Some(ContainerStateWaiting { reason: Some(reason.clone()), message: message.clone() });
        }
        Doing::Running { since } => {
            state.running = Some(ContainerStateRunning { started_at: Some(since.clone()) });
        }
        Doing::Ended(ended) => state.terminated = Some(ended.clone()),
    }
    let done = matches!(&record.doing, Doing::Ended(ended) if ended.exit_code == 0);
    ContainerStatus {
        name: record.name.clone(),
        image: record.image.clone(),
        image_id: record.image_id.clone(),
        container_id: record.container_id.clone(),
        ready: if record.role == Role::Init { done } else { record.ready },
        started: Some(record.started),
        restart_count: record.restarts,
        state: Some(state),
        last_state: Some(ContainerState { terminated: record.last.clone(), ..ContainerState::default() }),
        ..ContainerStatus::default()
    }
}

fn conditions(pod: &Pod, state: &State, phase: &str, deleting: bool, now: &Time) -> Vec<PodCondition> {
    let before = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let names = |wanted: &dyn Fn(&Record) -> bool| {
        let names = state.containers.iter().filter(|record| wanted(record));
        names.map(|record| record.name.as_str()).collect::<Vec<_>>().join(" ")
    };
    let uninitialized = names(&|record| match record.role {
        Role::Init => !matches!(&record.doing, Doing::Ended(ended) if ended.exit_code == 0),
        Role::Sidecar => !record.started && !matches!(record.doing, Doing::Ended(_)),
        Role::Main => false,
    });
    let unready = names(&|record| record.role != Role::Init && !record.ready);
    let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let open = gates.into_iter().all(|gate| {
        before.iter().any(|condition| condition.type_ == gate.condition_type && condition.status == "True")
    });
    let not_ready = |ready: bool| -> Option<(&'static str, String)> {
        match phase {
            _ if ready => None,
            "Succeeded" => Some(("PodCompleted", String::new())),
            "Failed" => Some(("PodFailed", String::new())),
            _ if unready.is_empty() => {
                Some(("ReadinessGatesNotReady", "a readiness gate is not open".to_owned()))
            }
            _ => Some(("ContainersNotReady", format!("containers with unready status: [{unready}]"))),
        }
    };
    let initialized = uninitialized.is_empty();
    let containers_ready = initialized && unready.is_empty() && !matches!(phase, "Succeeded" | "Failed");
    let ready = containers_ready && open && !(deleting && state.finished);
    let why = (!initialized).then(|| {
        ("ContainersNotInitialized", format!("containers with incomplete status: [{uninitialized}]"))
    });
    let all = [
        ("PodScheduled", true, None),
        ("PodReadyToStartContainers", state.ip.is_some(), None),
        ("Initialized", initialized, why),
        ("ContainersReady", containers_ready, not_ready(containers_ready)),
        ("Ready", ready, not_ready(ready)),
    ];
    let mut conditions: Vec<PodCondition> = all
        .into_iter()
        .map(|(kind, truth, why)| {
            let truth = if truth { "True" } else { "False" };
            let old = before.iter().find(|condition| condition.type_ == kind && condition.status == truth);
            let since = old.and_then(|condition| condition.last_transition_time.clone());
            let (reason, message) = why.map_or((None, None), |(reason, message)| {
                (Some(reason.to_owned()), (!message.is_empty()).then_some(message))
            });
            PodCondition {
                type_: kind.to_owned(),
                status: truth.to_owned(),
                reason,
                message,
                last_transition_time: Some(since.unwrap_or_else(|| now.clone())),
                observed_generation: pod.metadata.generation,
                ..PodCondition::default()
            }
        })
        .collect();
    conditions.extend(before.into_iter().filter(|condition| !OURS.contains(&condition.type_.as_str())));
    conditions
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ContainerStateTerminated;
    use serde_json::json;

    use super::super::board::Board;
    use super::*;

    fn now() -> Time {
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap()
    }

    fn pod(policy: &str, init: bool) -> Pod {
        let init: Vec<_> = init.then(|| json!({"name": "setup", "image": "x"})).into_iter().collect();
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {
            "restartPolicy": policy, "initContainers": init, "containers": [{"name": "main", "image": "x"}]
        }}))
        .unwrap()
    }

    fn ended(code: i32) -> Doing {
        Doing::Ended(ContainerStateTerminated { exit_code: code, ..ContainerStateTerminated::default() })
    }

    fn check(policy: &str, init: Option<Doing>, main: Doing, finished: bool, expected: &str) {
        let pod = pod(policy, init.is_some());
        let mut state = Board::resume(&pod, now()).read();
        state.finished = finished;
        let count = state.containers.len();
        if let Some(doing) = init {
            state.containers[0].doing = doing;
        }
        state.containers[count - 1].doing = main.clone();
        assert_eq!(phase(policy, &state), expected, "{policy} {main:?} {finished}");
    }

    #[test]
    fn phases_are_the_kubelets() {
        let waiting = || Doing::Waiting { reason: "ContainerCreating".to_owned(), message: None };
        let running = || Doing::Running { since: now() };
        check("Always", None, waiting(), false, "Pending");
        check("Always", None, running(), false, "Running");
        check("Never", None, ended(0), false, "Running");
        check("Never", None, ended(0), true, "Succeeded");
        check("Never", None, ended(3), true, "Failed");
        check("Always", None, ended(3), false, "Running");
        check("Never", Some(running()), waiting(), false, "Pending");
        check("Never", Some(ended(0)), running(), false, "Running");
        check("Never", Some(ended(1)), waiting(), false, "Pending");
        check("Never", Some(ended(1)), waiting(), true, "Failed");
    }

    #[test]
    fn readiness_names_what_is_missing_and_keeps_its_time() {
        let mut pod = pod("Always", false);
        let mut state = Board::resume(&pod, now()).read();
        let host = Ipv4Addr::new(10, 88, 0, 1);
        pod.status = Some(from_state(&pod, &state, host, &now()));
        let find = |pod: &Pod, kind: &str| {
            let conditions = pod.status.clone().unwrap().conditions.unwrap();
            conditions.into_iter().find(|condition| condition.type_ == kind).unwrap()
        };
        assert_eq!(find(&pod, "Ready").message.as_deref(), Some("containers with unready status: [main]"));
        state.containers[0].ready = true;
        state.containers[0].doing = Doing::Running { since: now() };
        let later: Time = serde_json::from_value(json!("2026-01-01T00:00:09Z")).unwrap();
        pod.status = Some(from_state(&pod, &state, host, &later));
        assert_eq!(find(&pod, "Ready").status, "True");
        assert_eq!(find(&pod, "Ready").last_transition_time, Some(later));
        assert_eq!(find(&pod, "Initialized").last_transition_time, Some(now()));
    }

    #[test]
    fn a_container_that_ran_when_galley_stopped_is_interrupted() {
        let mut pod = pod("Never", true);
        let mut state = Board::resume(&pod, now()).read();
        state.containers[0].doing = ended(0);
        state.containers[1].doing = Doing::Running { since: now() };
        pod.status = Some(from_state(&pod, &state, Ipv4Addr::new(10, 88, 0, 1), &now()));
        let resumed = Board::resume(&pod, now()).read();
        assert!(matches!(resumed.containers[0].doing, Doing::Ended(_)) && !resumed.containers[0].interrupted);
        assert!(resumed.containers[1].interrupted);
        assert_eq!(resumed.containers[1].last.as_ref().unwrap().reason.as_deref(), Some("GalleyStopped"));
    }
}
