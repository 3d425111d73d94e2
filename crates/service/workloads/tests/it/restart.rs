//! Galley stops, orderly or not, and comes back.

use galley_sandbox::Mode;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::{World, world};

async fn comes_back(crash: bool) {
    let Some(world) = world(Mode::Auto).await else { return };
    let annotations = json!({"metadata": {"annotations": {"runtime.galley.dev/collect-stdout": "true"}}, "spec": {
        "containers": [{"volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }});
    // The first attempt waits for ever; the second finds what the first has left.
    world
        .pod(
            "step",
            &[
                "append",
                "data/runs",
                "x",
                ",",
                "print",
                "begun",
                ",",
                "wait-for",
                "data/go",
                ",",
                "cat",
                "data/runs",
            ],
            {
                let mut more = annotations.clone();
                more["spec"]["containers"][0]["workingDir"] = json!("/");
                more
            },
        )
        .await;
    world.pod("done", &["print", "once"], json!({})).await;
    world.phase("done", "Succeeded").await;
    let begun = world.phase("step", "Running").await;
    wait_for_log(&world, "step", "begun").await;
    let world = if crash { world.crash().await } else { world.restart().await };
    let holds = |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref()?.first().cloned()).is_some_and(
            |status| status.restart_count == 1 && status.state.is_some_and(|state| state.running.is_some()),
        )
    };
    let again = world.until::<Pod>("step", "running again", holds).await.unwrap();
    assert_eq!(again.metadata.uid, begun.metadata.uid);
    let volume =
        world.dir.path().join("workloads/pods").join(again.metadata.uid.unwrap()).join("volumes/data");
    std::fs::write(volume.join("go"), "").unwrap();
    let pod = world.phase("step", "Succeeded").await;
    let collected = &pod.metadata.annotations.unwrap()["runtime.galley.dev/collected"];
    let collected: serde_json::Value = serde_json::from_str(collected).unwrap();
    assert_eq!(collected["stdout"], "begun\nxx\n");
    let done = world.api::<Pod>().get("done").await.unwrap();
    assert_eq!(done.status.unwrap().container_statuses.unwrap()[0].restart_count, 0);
    world.stop().await;
}

async fn wait_for_log(world: &World, pod: &str, text: &str) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !world.log(pod).await.contains(text) {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_pod_is_started_again_after_a_crash() {
    comes_back(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_pod_is_started_again_after_a_shutdown() {
    comes_back(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_deleted_while_nobody_looked_goes_away() {
    let Some(world) = world(Mode::Auto).await else { return };
    world.pod("left", &["sleep", "100000"], json!({})).await;
    world.phase("left", "Running").await;
    world.api::<Pod>().delete("left", &DeleteParams::default().grace_period(60)).await.unwrap();
    let world = world.crash().await;
    world.until::<Pod>("left", "gone", |pod| pod.is_none()).await;
    world.stop().await;
}
