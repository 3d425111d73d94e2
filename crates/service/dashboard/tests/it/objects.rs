//! Made-up objects: one afternoon at GourmetGram.

use serde_json::{Map, Value, json};

const PIPELINE: &str = "gourmetgram-pipeline";

/// A moment some seconds before now.
#[allow(clippy::disallowed_methods, reason = "the pages show ages")]
fn before(seconds: i64) -> String {
    let now = jiff::Timestamp::now();
    (now - jiff::SignedDuration::from_secs(seconds)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn commit(seed: u8) -> String {
    (0..20u8).map(|n| format!("{:02x}", n.wrapping_mul(31).wrapping_add(seed))).collect()
}

fn digest(seed: u8) -> String {
    (0..32u8).map(|n| format!("{:02x}", n.wrapping_mul(73).wrapping_add(seed))).collect()
}

pub(crate) fn application(place: &str, health: &str, sync: &str, message: &str) -> Value {
    let namespace = format!("gourmetgram-{place}");
    let conditions = if message.is_empty() {
        json!([])
    } else {
        json!([{ "type": "SyncError", "message": message, "lastTransitionTime": before(240) }])
    };
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": { "name": namespace, "namespace": "argocd" },
        "spec": { "project": "default", "destination": { "namespace": namespace, "server": "https://kubernetes.default.svc" },
            "source": { "repoURL": "http://git.gourmetgram-platform.svc.cluster.local/pipeline.git",
                "path": format!("k8s/{place}"), "targetRevision": "main" } },
        "status": {
            "health": { "status": health }, "sync": { "status": sync, "revision": commit(9) },
            "conditions": conditions,
            "operationState": { "phase": "Succeeded", "message": "successfully synced (all tasks run)",
                "startedAt": before(300), "finishedAt": before(296), "operation": {} },
            "resources": [
                { "kind": "Service", "version": "v1", "name": "gourmetgram", "namespace": namespace, "status": "Synced",
                    "health": { "status": "Healthy" } },
                { "group": "apps", "kind": "Deployment", "version": "v1", "name": "gourmetgram", "namespace": namespace,
                    "status": sync, "health": { "status": health } },
                { "group": "batch", "kind": "Job", "version": "v1", "name": "smoke", "namespace": namespace, "status": "Synced",
                    "hook": true, "syncWave": 1 },
            ],
            "history": [{ "id": 0, "revision": commit(2), "deployedAt": before(90_000) },
                { "id": 1, "revision": commit(9), "deployedAt": before(296) }],
        }
    })
}

pub(crate) fn deployment(place: &str, version: &str, ready: i64) -> Value {
    let labels = json!({ "app": "gourmetgram" });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "gourmetgram", "namespace": format!("gourmetgram-{place}"), "labels": { "galley.dev/version": version } },
        "spec": { "replicas": 2, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels },
            "spec": { "containers": [{ "name": "app", "image": format!("registry.gourmetgram-platform.svc.cluster.local:5000/gourmetgram@sha256:{}", digest(5)) }] } } },
        "status": { "replicas": 2, "readyReplicas": ready }
    })
}

fn route() -> Value {
    let backend = |place: &str, weight: i64| json!({ "name": "gourmetgram", "namespace": format!("gourmetgram-{place}"), "port": 80, "weight": weight });
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": { "name": "gourmetgram", "namespace": "gourmetgram-platform" },
        "spec": { "parentRefs": [{ "name": "gateway" }], "rules": [{ "backendRefs": [backend("production", 90), backend("canary", 10)] }] }
    })
}

fn gate(name: &str, verdict: &str, reason: &str, evidence: Value, age: i64) -> Value {
    json!({ "name": name, "verdict": verdict, "reason": reason, "evidence": evidence, "at": before(age) })
}

pub(crate) fn release(name: &str, reason: &str, status: Value) -> Value {
    json!({
        "apiVersion": "galley.dev/v1alpha1", "kind": "Release",
        "metadata": { "name": name, "namespace": PIPELINE },
        "spec": { "commit": commit(1), "trainingDigest": digest(1), "reason": reason },
        "status": status
    })
}

fn current() -> Value {
    release(
        "food11-7c1f",
        "train: label smoothing 0.1, forty epochs",
        json!({
            "phase": "Canary", "message": "10 % of the gateway's traffic, 38 of 60 requests judged.",
            "workflow": "train-model-7c1f", "runId": "193addf574ce40db8cd742b9dc6bd207", "version": "7",
            "image": format!("registry.gourmetgram-platform.svc.cluster.local:5000/gourmetgram@sha256:{}", digest(5)),
            "startedAt": before(312),
            "gates": [
                gate("evaluation", "pass", "Accuracy 0.874 is above 0.75 and not worse than production's 0.861 (McNemar p = 0.31).",
                    json!({ "accuracy": 0.874_123, "minClassRecall": 0.71, "calibrationError": 0.043, "p95Ms": 11.2, "photos": 1100, "mcnemarP": 0.3125 }), 250),
                gate("staging-contract", "pass", "All 11 classes are served and the version is reported.", json!({ "checks": 9 }), 190),
                gate("staging-load", "pass", "100 of 100 requests answered, 95th percentile 84 ms.",
                    json!({ "requests": 100, "failed": 0, "p95Ms": 84.4 }), 150),
                gate("canary", "inconclusive", "38 of 60 requests so far; more traffic is needed to decide.",
                    json!({ "requests": 38, "agreement": 0.921, "errors": 0 }), 12),
            ],
            "commits": [{ "environment": "staging", "commit": commit(3), "at": before(210) },
                { "environment": "canary", "commit": commit(9), "at": before(140) }],
        }),
    )
}

pub(crate) struct Nodes(Map<String, Value>);

impl Nodes {
    fn add(
        &mut self,
        id: &str,
        kind: &str,
        phase: &str,
        times: (i64, i64),
        boundary: &str,
        children: &[&str],
    ) -> &mut Value {
        let mut node = json!({ "id": id, "name": id, "displayName": id, "type": kind, "phase": phase, "children": children });
        if !boundary.is_empty() {
            node["boundaryID"] = boundary.into();
        }
        if times.0 > 0 {
            node["startedAt"] = before(times.0).into();
        }
        if times.1 > 0 {
            node["finishedAt"] = before(times.1).into();
        }
        self.0.insert(id.into(), node);
        &mut self.0[id]
    }
}

pub(crate) fn workflow(name: &str, phase: &str) -> Value {
    let mut nodes = Nodes(Map::new());
    let running = phase == "Running";
    nodes.add(name, "DAG", phase, (312, if running { 0 } else { 20 }), "", &["checkout"]);
    nodes.add("checkout", "Pod", "Succeeded", (311, 309), name, &["train", "fetch-reference"]);
    nodes.add("fetch-reference", "Pod", "Succeeded", (308, 300), name, &["evaluate"]);
    nodes.add("train", "Retry", "Succeeded", (308, 262), name, &["train(0)", "train(1)"]);
    nodes.add("train(0)", "Pod", "Failed", (308, 300), name, &[])["message"] =
        "Error (exit code 137): out of memory".into();
    nodes.add("train(1)", "Pod", "Succeeded", (298, 262), name, &["evaluate"]);
    nodes.add("evaluate", "Pod", "Succeeded", (261, 250), name, &["register"]);
    nodes.add("register", "Pod", "Succeeded", (249, 246), name, &["deliver"]);
    nodes.add("deliver", "Steps", phase, (245, 0), name, &["[0]"]);
    nodes.add("[0]", "StepGroup", "Succeeded", (245, 0), "deliver", &["build-image"]);
    nodes.add("build-image", "Pod", "Succeeded", (245, 212), "deliver", &["[1]"]);
    nodes.add(
        "[1]",
        "StepGroup",
        "Succeeded",
        (212, 0),
        "deliver",
        &["staging-contract-test", "staging-load-test"],
    );
    nodes.add("staging-contract-test", "Pod", "Succeeded", (205, 190), "deliver", &["[2]"]);
    nodes.add("staging-load-test", "Pod", "Succeeded", (205, 150), "deliver", &["[2]"]);
    nodes.add("[2]", "StepGroup", phase, (149, 0), "deliver", &["judge-canary"]);
    let last = nodes.add(
        "judge-canary",
        "Pod",
        if running { "Running" } else { phase },
        (139, if running { 0 } else { 30 }),
        "deliver",
        &["promote"],
    );
    if phase == "Failed" {
        last["message"] = "The canary gate failed: agreement 0.52 is below 0.70.".into();
    }
    nodes.add("promote", "Pod", if running { "Pending" } else { "Omitted" }, (0, 0), "deliver", &[]);
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": { "name": name, "namespace": PIPELINE },
        "spec": { "workflowTemplateRef": { "name": "train-model" },
            "arguments": { "parameters": [{ "name": "commit", "value": commit(1) }, { "name": "release", "value": "food11-7c1f" }] } },
        "status": { "phase": phase, "progress": if running { "8/10" } else { "9/10" }, "startedAt": before(312),
            "finishedAt": if running { Value::Null } else { before(20).into() },
            "nodes": nodes.0, "outputs": { "parameters": [{ "name": "version", "value": "7" }] } }
    })
}

/// Everything at once.
pub(crate) fn afternoon() -> Vec<Value> {
    let stopped = json!({ "phase": "Stopped", "message": "Accuracy 0.58 is below 0.75.", "startedAt": before(9_000), "finishedAt": before(8_950),
        "gates": [gate("evaluation", "fail", "Accuracy 0.58 is below 0.75.", json!({ "accuracy": 0.58 }), 8_950)] });
    let promoted = json!({ "phase": "Promoted", "message": "Version 6 serves everybody.", "version": "6", "startedAt": before(90_000), "finishedAt": before(89_520) });
    vec![
        application("staging", "Healthy", "Synced", ""),
        application("canary", "Progressing", "Synced", ""),
        application(
            "production",
            "Healthy",
            "OutOfSync",
            "ComparisonError: the chart's values are 2 commits behind",
        ),
        application("platform", "Healthy", "Synced", ""),
        deployment("staging", "7", 2),
        deployment("canary", "7", 1),
        deployment("production", "7", 2),
        route(),
        release("food11-51aa", "data: two hundred new soups", promoted),
        release("food11-63de", "train: shuffled labels (negative control)", stopped),
        current(),
        workflow("train-model-63de", "Failed"),
        workflow("train-model-7c1f", "Running"),
    ]
}
