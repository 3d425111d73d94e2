//! Jobs with real pods.

use galley_sandbox::Mode;
use k8s_openapi::api::batch::v1::Job;
use serde_json::json;

use crate::support::world;

fn condition(job: Option<&Job>, kind: &str) -> bool {
    let conditions = job.and_then(|job| job.status.as_ref()?.conditions.clone()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_complete_and_fail() {
    let Some(world) = world(Mode::Auto).await else { return };
    let job = |name: &str, args: &[&str], more: serde_json::Value| {
        let mut spec = json!({"template": {"spec": {"restartPolicy": "Never",
            "containers": [{"name": "main", "image": "testbed:1", "args": args}]}}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"metadata": {"name": name}, "spec": spec})
    };
    world.create::<Job>(job("works", &["print", "x"], json!({"completions": 3, "parallelism": 2}))).await;
    let done = world.until::<Job>("works", "complete", |job| condition(job, "Complete")).await.unwrap();
    assert_eq!(done.status.unwrap().succeeded, Some(3));
    world.create::<Job>(job("breaks", &["exit", "1"], json!({"backoffLimit": 0}))).await;
    let failed = world.until::<Job>("breaks", "failed", |job| condition(job, "Failed")).await.unwrap();
    let reason = failed.status.unwrap().conditions.unwrap().pop().unwrap().reason;
    assert_eq!(reason.as_deref(), Some("BackoffLimitExceeded"));
    world.stop().await;
}
