//! The rules, as data.

use serde_json::json;

use super::*;

fn check(object: Value, status: HealthCode, message: &str) {
    let health = of(&object).unwrap_or_else(|| panic!("no rule for {object}"));
    assert_eq!((health.status, health.message.as_str()), (Some(status), message), "{object}");
}

fn deployment(spec: Value, status: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "generation": 2},
        "spec": spec, "status": status})
}

#[test]
fn deployments() {
    use HealthCode::{Degraded, Healthy, Progressing, Suspended};
    let wait = "Waiting for rollout to finish: ";
    let status = |observed: i64, replicas: i64, updated: i64, available: i64| {
        json!({"observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated,
            "availableReplicas": available})
    };
    let spec = json!({"replicas": 2});
    check(deployment(spec.clone(), status(2, 2, 2, 2)), Healthy, "");
    check(deployment(json!({"replicas": 0}), json!({"observedGeneration": 2})), Healthy, "");
    let behind = format!("{wait}observed deployment generation less than desired generation");
    check(deployment(spec.clone(), status(1, 2, 2, 2)), Progressing, &behind);
    check(deployment(spec.clone(), json!({})), Progressing, &behind);
    let updating = format!("{wait}1 out of 2 new replicas have been updated...");
    check(deployment(spec.clone(), status(2, 3, 1, 1)), Progressing, &updating);
    let old = format!("{wait}1 old replicas are pending termination...");
    check(deployment(spec.clone(), status(2, 3, 2, 2)), Progressing, &old);
    let starting = format!("{wait}1 of 2 updated replicas are available...");
    check(deployment(spec.clone(), status(2, 2, 2, 1)), Progressing, &starting);
    check(deployment(json!({"paused": true}), json!({})), Suspended, "Deployment is paused");
    let late = json!({"observedGeneration": 2,
        "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]});
    check(deployment(spec, late), Degraded, "Deployment \"web\" exceeded its progress deadline");
}

#[test]
fn pods_and_jobs() {
    use HealthCode::{Degraded, Healthy, Progressing};
    let pod = |restart: &str, status: Value| json!({"apiVersion": "v1", "kind": "Pod", "spec": {"restartPolicy": restart}, "status": status});
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    check(pod("Always", ready.clone()), Healthy, "");
    check(pod("Never", ready), Progressing, "");
    check(pod("Always", json!({"phase": "Pending"})), Progressing, "");
    check(pod("Never", json!({"phase": "Succeeded"})), Healthy, "");
    let failed = json!({"phase": "Failed",
        "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 3}}}]});
    check(pod("Never", failed), Degraded, "container \"c\" failed with exit code 3");
    let pull = json!({"phase": "Pending",
        "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no image"}}}]});
    check(pod("Always", pull), Degraded, "no image");
    let crashed =
        json!({"phase": "Running", "containerStatuses": [{"lastState": {"terminated": {"exitCode": 1}}}]});
    check(pod("Always", crashed), Degraded, "");

    let job = |conditions: Value| json!({"apiVersion": "batch/v1", "kind": "Job", "status": {"conditions": conditions}});
    check(job(json!([])), Progressing, "");
    check(job(json!([{"type": "Complete", "status": "True", "message": "done"}])), Healthy, "done");
    check(job(json!([{"type": "Failed", "status": "True", "message": "limit"}])), Degraded, "limit");
}

#[test]
fn routes_count_only_what_was_seen_of_this_generation() {
    use HealthCode::{Degraded, Healthy, Progressing};
    let route = |parents: Value| {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"generation": 2}, "status": {"parents": parents}})
    };
    let parent = |status: &str, generation: i64| {
        json!([{"parentRef": {"name": "gw"}, "conditions": [
            {"type": "Accepted", "status": status, "observedGeneration": generation, "message": "no listener"}]}])
    };
    check(route(json!([])), Progressing, "Waiting for HTTPRoute status");
    check(route(parent("True", 2)), Healthy, "HTTPRoute is healthy");
    check(route(parent("True", 1)), Progressing, "Waiting for HTTPRoute status");
    check(route(parent("False", 2)), Degraded, "Parent gw: no listener");
}

#[test]
fn other_kinds() {
    use HealthCode::{Degraded, Healthy, Progressing, Suspended, Unknown};
    let object = |version: &str, kind: &str, rest: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind});
        galley_patch::apply_merge_patch(&mut object, &rest);
        object
    };
    check(object("v1", "Service", json!({"spec": {"type": "ClusterIP"}})), Healthy, "");
    check(object("v1", "Service", json!({"spec": {"type": "LoadBalancer"}})), Progressing, "");
    check(object("v1", "PersistentVolumeClaim", json!({"status": {"phase": "Bound"}})), Healthy, "");
    check(object("v1", "PersistentVolumeClaim", json!({})), Unknown, "");
    check(
        object("argoproj.io/v1alpha1", "Workflow", json!({"status": {"phase": "Running"}})),
        Progressing,
        "",
    );
    let failed = json!({"status": {"phase": "Failed", "message": "boom"}});
    check(object("argoproj.io/v1alpha1", "Workflow", failed), Degraded, "boom");
    check(
        object("batch/v1", "CronJob", json!({"spec": {"suspend": true}})),
        Suspended,
        "CronJob is Suspended",
    );
    check(object("batch/v1", "CronJob", json!({"spec": {}})), Healthy, "CronJob has not been scheduled yet");
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    check(object("v1", "ConfigMap", going), Progressing, "Pending deletion");
    assert_eq!(of(&object("v1", "ConfigMap", json!({}))), None);
    // Argo CD gives an Application no health of its own: its parent does not wait for it.
    assert_eq!(of(&object("argoproj.io/v1alpha1", "Application", json!({}))), None);
}
