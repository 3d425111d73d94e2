//! Single pods: what they see, what they hand back, how they end.

use futures::StreamExt;
use galley_sandbox::Mode;
use k8s_openapi::api::core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod, Secret};
use kube::api::{DeleteParams, ListParams, WatchEvent, WatchParams};
use serde_json::json;

use crate::support::{World, in_phase, world};

const COLLECTED: &str = "runtime.galley.dev/collected";

fn collected(pod: &Pod) -> serde_json::Value {
    serde_json::from_str(&pod.metadata.annotations.as_ref().unwrap()[COLLECTED]).unwrap()
}

fn main_state(pod: &Pod) -> k8s_openapi::api::core::v1::ContainerStatus {
    pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_to_its_end_and_hands_back_files() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    let api = world.api::<Pod>();
    let mut watch = api.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let annotations = json!({"metadata": {"annotations": {
        "runtime.galley.dev/collect-files": "[\"/tmp/result.txt\", \"/none\", \"/shared/from-init\"]",
        "runtime.galley.dev/collect-stdout": "true",
    }}, "spec": {
        "initContainers": [{"name": "setup", "image": "testbed:1", "args": ["write", "/shared/from-init", "init"],
            "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}],
        "containers": [{"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}],
        "volumes": [{"name": "shared", "emptyDir": {}}],
    }});
    world
        .pod(
            "step",
            &["print", "hello", ",", "warn", "aside", ",", "write", "/tmp/result.txt", "42"],
            annotations,
        )
        .await;
    let pod = world.phase("step", "Succeeded").await;
    let mut collected = collected(&pod);
    assert_eq!(collected["ended"]["exitCode"], 0);
    collected.as_object_mut().unwrap().remove("ended");
    assert_eq!(
        collected,
        json!({"files": {"/shared/from-init": "init", "/tmp/result.txt": "42"}, "missing": ["/none"], "stdout": "hello\n"})
    );
    let status = main_state(&pod);
    let ended = status.state.unwrap().terminated.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_deref(), status.restart_count), (0, Some("Completed"), 0));
    assert!(status.image_id.starts_with("testbed@sha256:"));
    // Nobody ever saw the pod finished without what it handed back.
    loop {
        let Some(Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod))) = watch.next().await else {
            continue;
        };
        if in_phase(&pod, "Succeeded") {
            assert!(pod.metadata.annotations.unwrap().contains_key(COLLECTED));
            break;
        }
    }
    // The two streams come through two pipes; only the order within each is certain.
    let log = world.log("step").await;
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["aside", "hello"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_and_volumes_come_from_everywhere() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    world
        .create::<ConfigMap>(
            json!({"metadata": {"name": "settings"}, "data": {"key": "value", "file.txt": "text"}}),
        )
        .await;
    world.create::<Secret>(json!({"metadata": {"name": "secret"}, "stringData": {"password": "hush"}})).await;
    let env = json!([
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "password"}}},
        {"name": "ABSENT", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x", "optional": true}}},
        {"name": "BOTH", "value": "$(NAME)-$(PREFIX_key)"},
    ]);
    let args = [
        "env",
        "IP",
        ",",
        "env",
        "PASSWORD",
        ",",
        "env",
        "BOTH",
        ",",
        "print",
        "$(BOTH)",
        ",",
        "env",
        "FROM_IMAGE",
        ",",
        "cat",
        "/etc/settings/renamed",
        ",",
        "cat",
        "/projected/labels",
        ",",
        "ls",
        "/projected",
        ",",
        "cat",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
        ",",
        "env",
        "KUBERNETES_SERVICE_HOST",
    ];
    let more = json!({"spec": {
        "containers": [{"env": env, "envFrom": [{"prefix": "PREFIX_", "configMapRef": {"name": "settings"}}],
            "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings", "readOnly": true}, {"name": "all", "mountPath": "/projected"}]}],
        "volumes": [
            {"name": "settings", "configMap": {"name": "settings", "items": [{"key": "file.txt", "path": "renamed"}]}},
            {"name": "all", "projected": {"sources": [
                {"secret": {"name": "secret"}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ]}},
        ],
    }});
    world.pod("vars", &args, more).await;
    let pod = world.phase("vars", "Succeeded").await;
    let log = world.log("vars").await;
    let ip = pod.status.unwrap().pod_ip.unwrap();
    for line in [
        &format!("IP={ip}"),
        "PASSWORD=hush",
        "BOTH=vars-value",
        "vars-value",
        "FROM_IMAGE=yes",
        "text",
        "app=\"vars\"",
        "labels password",
        "token-of-default-default",
        "KUBERNETES_SERVICE_HOST=10.96.0.1",
    ] {
        assert!(log.lines().any(|one| one == line), "{line} is missing in\n{log}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_waited_for() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    let more = json!({"spec": {"containers": [{"envFrom": [{"configMapRef": {"name": "late"}}]}]}});
    world.pod("waits", &["env", "key"], more).await;
    let waiting = |pod: Option<&Pod>| {
        let state =
            pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.clone());
        state
            .and_then(|state| state.waiting?.reason)
            .is_some_and(|reason| reason == "CreateContainerConfigError")
    };
    world.until::<Pod>("waits", "waiting", waiting).await;
    world.create::<ConfigMap>(json!({"metadata": {"name": "late"}, "data": {"key": "now"}})).await;
    world.phase("waits", "Succeeded").await;
    assert_eq!(world.log("waits").await, "key=now\n");
    world.pod("pulls", &[], json!({"spec": {"containers": [{"image": "missing:1"}]}})).await;
    let pulling = |pod: Option<&Pod>| {
        let state =
            pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.clone());
        state
            .and_then(|state| state.waiting?.reason)
            .is_some_and(|reason| reason == "ErrImagePull" || reason == "ImagePullBackOff")
    };
    world.until::<Pod>("pulls", "pulling", pulling).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_container_is_restarted_with_growing_pauses() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    world
        .pod("crash", &["print", "again", ",", "exit", "3"], json!({"spec": {"restartPolicy": "Always"}}))
        .await;
    let looping = |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref()?.first().cloned()).is_some_and(
            |status| {
                let reason = status.state.and_then(|state| state.waiting?.reason);
                let last = status.last_state.and_then(|state| state.terminated);
                status.restart_count >= 3
                    && reason.as_deref() == Some("CrashLoopBackOff")
                    && last.is_some_and(|last| last.exit_code == 3 && last.reason.as_deref() == Some("Error"))
            },
        )
    };
    let pod = world.until::<Pod>("crash", "in a crash loop", looping).await.unwrap();
    assert!(in_phase(&pod, "Running"));
    let events = world.api::<Event>().list(&ListParams::default()).await.unwrap();
    assert!(events.iter().any(|event| event.reason.as_deref() == Some("BackOff")));
    world.pod("fails", &["exit", "4"], json!({})).await;
    let pod = world.phase("fails", "Failed").await;
    assert_eq!(main_state(&pod).restart_count, 0);
    world.pod("typo", &[], json!({"spec": {"containers": [{"command": ["/no-such-program"]}]}})).await;
    let pod = world.phase("typo", "Failed").await;
    assert_eq!(main_state(&pod).state.unwrap().terminated.unwrap().reason.as_deref(), Some("StartError"));
    world.stop().await;
}

async fn deletes(world: &World, name: &str) {
    let uid = world.api::<Pod>().get(name).await.unwrap().metadata.uid.unwrap();
    world.api::<Pod>().delete(name, &DeleteParams::default()).await.unwrap();
    world.until::<Pod>(name, "gone", |pod| pod.is_none()).await;
    let folder = world.dir.path().join("workloads/pods").join(uid);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while folder.exists() {
        assert!(tokio::time::Instant::now() < deadline, "{folder:?} is still there");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_stops_the_containers() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    world.pod("server", &["http", "0.0.0.0:80", "hi"], json!({"spec": {"restartPolicy": "Always"}})).await;
    world.phase("server", "Running").await;
    let begun = std::time::Instant::now();
    deletes(&world, "server").await;
    assert!(begun.elapsed().as_secs() < 20, "it did not end when asked to");
    world.pod("stubborn", &["sleep", "100000"], json!({"spec": {"terminationGracePeriodSeconds": 1}})).await;
    world.phase("stubborn", "Running").await;
    deletes(&world, "stubborn").await;
    world.pod("done", &["print", "x"], json!({})).await;
    world.phase("done", "Succeeded").await;
    deletes(&world, "done").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_and_refused_volumes_fail_the_pod() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    let more = json!({"spec": {"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 0}});
    world.pod("slow", &["sleep", "100000"], more).await;
    let pod = world.phase("slow", "Failed").await;
    assert_eq!(pod.status.unwrap().reason.as_deref(), Some("DeadlineExceeded"));
    let more = json!({"spec": {"volumes": [{"name": "host", "hostPath": {"path": "/etc"}}]}});
    world.pod("nosy", &["print", "x"], more).await;
    let pod = world.phase("nosy", "Failed").await;
    assert!(pod.status.unwrap().message.unwrap().contains("hostPath is refused"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_keep_what_pods_write() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    world.create::<PersistentVolumeClaim>(claim).await;
    let bound = |claim: Option<&PersistentVolumeClaim>| {
        claim.and_then(|claim| claim.status.as_ref()?.phase.clone()).is_some_and(|phase| phase == "Bound")
    };
    world.until::<PersistentVolumeClaim>("data", "bound", bound).await;
    let more = json!({"spec": {
        "containers": [{"volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": "deep"}]}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    }});
    world.pod("writer", &["write", "/data/x", "kept"], more.clone()).await;
    world.phase("writer", "Succeeded").await;
    world.pod("reader", &["cat", "/data/x"], more).await;
    world.phase("reader", "Succeeded").await;
    assert_eq!(world.log("reader").await, "kept\n");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_decide_on_readiness_and_restarts() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": 1, "failureThreshold": 2});
    let more = json!({"spec": {"restartPolicy": "Always", "terminationGracePeriodSeconds": 1, "containers": [{
        "ports": [{"name": "http", "containerPort": 80}], "livenessProbe": probe("/fail"), "readinessProbe": probe("/"),
        "startupProbe": {"exec": {"command": ["/testbed", "get", "127.0.0.1:80", "/"]}, "periodSeconds": 1, "failureThreshold": 20},
    }]}});
    world.pod("sick", &["http", "0.0.0.0:80", "hi"], more).await;
    let ready = |pod: Option<&Pod>| {
        pod.is_some_and(|pod| {
            pod.status
                .as_ref()
                .and_then(|s| s.container_statuses.as_ref()?.first().cloned())
                .is_some_and(|s| s.ready)
        })
    };
    world.until::<Pod>("sick", "ready", ready).await;
    let restarted = |pod: Option<&Pod>| {
        pod.is_some_and(|pod| {
            pod.status
                .as_ref()
                .and_then(|s| s.container_statuses.as_ref()?.first().cloned())
                .is_some_and(|s| s.restart_count > 0)
        })
    };
    world.until::<Pod>("sick", "restarted", restarted).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sidecars_run_beside_and_end_after() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    let more = json!({"spec": {"initContainers": [{"name": "side", "image": "testbed:1", "restartPolicy": "Always",
        "args": ["http", "0.0.0.0:80", "from the side"],
        "startupProbe": {"httpGet": {"port": 80}, "periodSeconds": 1, "failureThreshold": 20}}]}});
    world.pod("pair", &["get", "127.0.0.1:80", "/"], more).await;
    let pod = world.phase("pair", "Succeeded").await;
    assert_eq!(world.log("pair").await, "from the side\n");
    let side = pod.status.unwrap().init_container_statuses.unwrap().remove(0);
    assert_eq!(side.state.unwrap().terminated.unwrap().exit_code, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_followed_to_their_end() {
    let Some(world) = world(Mode::Auto).await else { return };
    let more = json!({"spec": {"containers": [{"workingDir": "/", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "emptyDir": {}}]}});
    let pod = world
        .pod(
            "talks",
            &["print", "one", ",", "print", "two", ",", "wait-for", "v/go", ",", "print", "three"],
            more,
        )
        .await;
    world.phase("talks", "Running").await;
    let options = galley_workloads::LogOptions { follow: true, tail_lines: Some(1), ..Default::default() };
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !world.log("talks").await.contains("two") {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    let stream = world.handle.logs().logs("default", "talks", options).await.unwrap();
    let mut stream = std::pin::pin!(stream);
    assert_eq!(stream.next().await.unwrap().unwrap(), "two\n");
    let volume = world.dir.path().join("workloads/pods").join(pod.metadata.uid.unwrap()).join("volumes/v");
    std::fs::write(volume.join("go"), "").unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "three\n");
    assert!(stream.next().await.is_none());
    world.stop().await;
}
