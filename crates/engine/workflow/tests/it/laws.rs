//! Laws that hold for every workflow.

use std::collections::BTreeMap;

use galley_argo_workflows::{NodePhase, Workflow, WorkflowPhase};
use galley_workflow::{
    Action, Engine, Observations, PodSeen, RetryOptions, Templates, node_id, outline, pod_name, retry,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::kubelet::{Cluster, Outcome};

fn workflow(spec: Value) -> Workflow {
    let meta = json!({"name": "w", "namespace": "n", "uid": "u"});
    serde_json::from_value(
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": meta, "spec": spec}),
    )
    .unwrap()
}

fn ok(_: &str) -> Outcome {
    Outcome::default()
}

fn play(spec: Value, outcome: impl Fn(&str) -> Outcome) -> (Workflow, usize) {
    let mut cluster = Cluster::new(outcome, |_| false, Vec::new());
    let ended = cluster.play(workflow(spec), &Templates::default());
    (ended, cluster.peak)
}

fn start() -> Timestamp {
    "2026-11-05T10:00:00Z".parse().unwrap()
}

/// The manifest of the first pod of a spec.
fn first_pod(spec: Value) -> Value {
    let mut engine = Engine::new(workflow(spec), Templates::default());
    let actions = engine.step(start(), &Observations::default());
    let pod = actions.into_iter().find_map(|action| match action {
        Action::CreatePod { manifest, .. } => Some(manifest),
        _ => None,
    });
    pod.unwrap_or_else(|| panic!("no pod: {:?}", engine.status()))
}

#[test]
fn limits_of_parallelism_are_kept_and_nothing_is_lost() {
    let nap = json!({"name": "nap", "container": {"image": "i", "command": ["sleep", "2"]}});
    let items: Vec<u32> = (0..6).collect();
    let steps = json!([[{"name": "each", "template": "nap", "withItems": items}, {"name": "other", "template": "nap"}]]);
    for spec in [
        json!({"entrypoint": "main", "parallelism": 2, "templates": [{"name": "main", "steps": steps}, nap]}),
        json!({"entrypoint": "main", "templates": [{"name": "main", "parallelism": 2, "steps": steps}, nap]}),
        json!({"entrypoint": "main", "parallelism": 2, "templates": [
            {"name": "main", "dag": {"tasks": [{"name": "each", "template": "nap", "withItems": items}, {"name": "other", "template": "nap"}]}}, nap]}),
    ] {
        let (ended, peak) = play(spec, ok);
        let status = ended.status.unwrap();
        assert_eq!((status.phase, status.progress.as_str(), peak), (WorkflowPhase::Succeeded, "7/7", 2));
    }
}

#[test]
fn attempts_keep_their_distance() {
    let spec = json!({"entrypoint": "main", "templates": [{
        "name": "main", "container": {"image": "i", "command": ["false"]},
        "retryStrategy": {"limit": 3, "backoff": {"duration": "10s", "factor": 2, "cap": "15s"}},
    }]});
    let (ended, _) = play(spec, |_| Outcome { exit_code: 1, ..Outcome::default() });
    let status = ended.status.unwrap();
    assert_eq!(status.message, "No more retries left");
    let attempt = |number: usize| status.nodes[&node_id("w", &format!("w({number})"))].clone();
    let gaps: Vec<i64> = (1..4)
        .map(|number| {
            attempt(number)
                .started_at
                .unwrap()
                .duration_since(attempt(number - 1).finished_at.unwrap())
                .as_secs()
        })
        .collect();
    assert_eq!(gaps, [10, 15, 15]);
}

#[test]
fn the_time_of_all_attempts_is_limited() {
    let spec = json!({"entrypoint": "main", "templates": [{
        "name": "main", "container": {"image": "i", "command": ["false"]},
        "retryStrategy": {"limit": 30, "backoff": {"duration": "10s", "factor": 2, "maxDuration": "1m"}},
    }]});
    let (ended, _) = play(spec, |_| Outcome { exit_code: 1, ..Outcome::default() });
    let status = ended.status.unwrap();
    assert_eq!(status.message, "Backoff would exceed max duration limit");
    assert_eq!(status.nodes.len(), 1 + 3);
}

/// A runtime that does not end a pod at its deadline: the engine does.
#[test]
fn deadlines_hold_without_help() {
    let container = json!({"image": "i", "command": ["hang"]});
    for (spec, seconds) in [
        (
            json!({"entrypoint": "m", "activeDeadlineSeconds": 60, "templates": [{"name": "m", "container": container}]}),
            60,
        ),
        (
            json!({"entrypoint": "m", "templates": [{"name": "m", "activeDeadlineSeconds": 30, "container": container}]}),
            30,
        ),
        (
            json!({"entrypoint": "m", "templates": [{"name": "m", "timeout": "20s", "container": container}]}),
            20,
        ),
    ] {
        let mut engine = Engine::new(workflow(spec), Templates::default());
        let mut now = start();
        let mut pod = None;
        let mut deleted = false;
        for _ in 0..10 {
            let running = |manifest: &Value| {
                let mut object = manifest.clone();
                object["status"] = json!({"phase": "Running", "containerStatuses": [{"name": "main", "state": {"running": {}}}]});
                PodSeen::from_pod(&object)
            };
            let seen = Observations {
                pods: pod.as_ref().and_then(running).into_iter().collect(),
                ..Observations::default()
            };
            let mut wake = None;
            for action in engine.step(now, &seen) {
                match action {
                    Action::CreatePod { manifest, .. } => pod = Some(manifest),
                    Action::WakeAt(moment) => wake = Some(moment),
                    Action::DeletePod { .. } => deleted = true,
                    _ => {}
                }
            }
            if engine.status().phase.is_done() {
                break;
            }
            now = wake.unwrap_or(now);
        }
        let status = engine.status();
        assert_eq!(pod.unwrap()["spec"]["activeDeadlineSeconds"], seconds);
        assert_eq!(status.phase, WorkflowPhase::Failed);
        assert_eq!(status.message, "Pod was active on the node longer than the specified deadline");
        assert!(deleted);
        assert!(now <= start() + SignedDuration::from_secs(seconds + 6), "{now}");
    }
}

#[test]
fn pods_carry_what_was_asked() {
    let pod = first_pod(json!({
        "entrypoint": "main", "serviceAccountName": "pipeline", "nodeSelector": {"disk": "{{workflow.name}}"},
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "unused", "emptyDir": {}}],
        "podMetadata": {"labels": {"all": "{{workflow.name}}"}},
        "podSpecPatch": "{\"terminationGracePeriodSeconds\": 7}",
        "templates": [
            {"name": "main", "steps": [[{"name": "a", "template": "a"}], [{"name": "b", "template": "a", "when": "{{steps.a.outputs.result}} == 1"}]]},
            {"name": "a", "metadata": {"annotations": {"own": "x"}},
             "outputs": {"parameters": [{"name": "n", "valueFrom": {"path": "/tmp/n"}}]},
             "sidecars": [{"name": "side", "image": "s", "mirrorVolumeMounts": true}],
             "podSpecPatch": "containers:\n- name: main\n  env: [{name: E, value: patched}]\n",
             "script": {"image": "i", "command": ["sh"], "source": "echo {{workflow.name}}", "env": [{"name": "E", "value": "own"}],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}]}},
        ],
    }));
    let meta = &pod["metadata"];
    assert_eq!(meta["name"], pod_name("w", "w[0].a", "a"));
    assert_eq!(
        meta["labels"],
        json!({"all": "w", "workflows.argoproj.io/workflow": "w", "workflows.argoproj.io/completed": "false"})
    );
    let annotation = |name: &str| meta["annotations"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(annotation("workflows.argoproj.io/node-name"), "w[0].a");
    assert_eq!(annotation("workflows.argoproj.io/node-id"), node_id("w", "w[0].a"));
    assert_eq!(annotation("runtime.galley.dev/collect-files"), "[\"/tmp/n\"]");
    assert_eq!(annotation("runtime.galley.dev/collect-stdout"), "true");
    assert_eq!(annotation("workflows.galley.dev/script"), "echo w");
    assert_eq!(annotation("own"), "x");
    assert_eq!(
        (&meta["ownerReferences"][0]["kind"], &meta["ownerReferences"][0]["uid"]),
        (&json!("Workflow"), &json!("u"))
    );
    let spec = &pod["spec"];
    assert_eq!((&spec["restartPolicy"], &spec["serviceAccountName"]), (&json!("Never"), &json!("pipeline")));
    assert_eq!(
        (&spec["nodeSelector"]["disk"], &spec["terminationGracePeriodSeconds"]),
        (&json!("w"), &json!(7))
    );
    let main = &spec["containers"][0];
    assert_eq!(
        (&main["name"], &main["args"], &main["env"][0]["value"]),
        (&json!("main"), &json!(["/argo/staging/script"]), &json!("patched"))
    );
    assert!(main.get("source").is_none());
    let names = |list: &Value| {
        list.as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&main["volumeMounts"]), ["data", "argo-staging"]);
    assert_eq!(names(&spec["containers"][1]["volumeMounts"]), ["data"]);
    assert_eq!(names(&spec["volumes"]), ["data", "argo-staging"]);
}

#[test]
fn a_running_daemon_lets_others_begin_and_ends_with_its_parent() {
    let spec = json!({"entrypoint": "main", "templates": [
        {"name": "main", "steps": [[{"name": "serve", "template": "serve"}], [{"name": "use", "template": "use", "arguments": {"parameters": [{"name": "ip", "value": "{{steps.serve.ip}}"}]}}]]},
        {"name": "serve", "daemon": true, "container": {"image": "i", "command": ["sleep", "1000"]}},
        {"name": "use", "inputs": {"parameters": [{"name": "ip"}]}, "container": {"image": "i", "command": ["true"]}},
    ]});
    let (ended, _) = play(spec, ok);
    let status = ended.status.unwrap();
    let node = |name: &str| status.nodes[&node_id("w", name)].clone();
    assert_eq!(status.phase, WorkflowPhase::Succeeded, "{}", status.message);
    assert_eq!(node("w[0].serve").phase, NodePhase::Succeeded);
    assert_eq!(node("w[1].use").inputs.unwrap().parameters[0].value.as_ref().unwrap().as_str(), "10.88.0.9");
    assert!(node("w[1].use").finished_at.unwrap() < start() + SignedDuration::from_secs(60));
}

#[test]
fn claims_are_made_mounted_and_removed() {
    let spec = json!({"entrypoint": "main",
        "volumeClaimTemplates": [{"metadata": {"name": "work"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
        "templates": [{"name": "main", "container": {"image": "i", "command": ["true"], "volumeMounts": [{"name": "work", "mountPath": "/work"}]}}]});
    let mut engine = Engine::new(workflow(spec.clone()), Templates::default());
    let actions = engine.step(start(), &Observations::default());
    let claim = actions.iter().find_map(|action| match action {
        Action::CreateClaim { manifest } => Some(manifest.clone()),
        _ => None,
    });
    assert_eq!(claim.unwrap()["metadata"]["name"], "w-work");
    assert_eq!(first_pod(spec.clone())["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "w-work");
    let (ended, _) = play(spec, ok);
    assert!(ended.status.unwrap().persistent_volume_claims.is_empty());
}

/// What waits for a lock says so in the status, and begins when the lock is free.
#[test]
fn a_mutex_lets_one_in_and_the_others_wait() {
    let spec = json!({"entrypoint": "main", "templates": [
        {"name": "main", "steps": [[{"name": "in", "template": "in", "withItems": [1, 2, 3]}]]},
        {"name": "in", "synchronization": {"mutexes": [{"name": "oven"}]}, "container": {"image": "i", "command": ["sleep", "2"]}},
    ]});
    let mut engine = Engine::new(workflow(spec.clone()), Templates::default());
    engine.step(start(), &Observations::default());
    let locks = engine.status().synchronization.clone().unwrap();
    assert_eq!(
        locks.all_held(),
        [("n/Mutex/oven", format!("n/w/{}", node_id("w", "w[0].in(0:1)")).as_str())]
    );
    assert_eq!(locks.all_waiting(), ["n/Mutex/oven"]);
    let waiting = &engine.status().nodes[&node_id("w", "w[0].in(2:3)")];
    assert_eq!(waiting.message, "Waiting for n/Mutex/oven lock. Lock status: 0/1");
    let (ended, peak) = play(spec, ok);
    let status = ended.status.unwrap();
    assert_eq!((status.phase, peak), (WorkflowPhase::Succeeded, 1));
    assert_eq!(status.synchronization, None);
    assert!(status.nodes.values().all(|node| node.synchronization_status.is_none()));
}

/// Two names with the same hash are two nodes with two pods: nothing is lost.
#[test]
fn names_with_the_same_hash_are_told_apart() {
    let mut by_hash: BTreeMap<String, String> = BTreeMap::new();
    let (one, other) = (0..u32::MAX)
        .find_map(|at| {
            let task = format!("t{at}");
            let id = node_id("w", &format!("w.{task}"));
            by_hash.insert(id, task.clone()).map(|before| (before, task))
        })
        .unwrap();
    let spec = json!({"entrypoint": "main", "templates": [
        {"name": "main", "dag": {"tasks": [
            {"name": one, "template": "run"}, {"name": other, "template": "run"},
            {"name": "last", "template": "run", "depends": format!("{one} && {other}")},
        ]}},
        {"name": "run", "container": {"image": "i", "command": ["run"]}},
    ]});
    let ran = std::cell::RefCell::new(Vec::new());
    let (ended, _) = play(spec, |node| {
        ran.borrow_mut().push(node.to_owned());
        Outcome::default()
    });
    let status = ended.status.unwrap();
    assert_eq!((status.phase, status.nodes.len()), (WorkflowPhase::Succeeded, 4));
    let mut ran = ran.into_inner();
    ran.sort();
    let mut expected = vec!["w.last".to_owned(), format!("w.{one}"), format!("w.{other}")];
    expected.sort();
    assert_eq!(ran, expected);
}

/// A chain is as long as it likes: nothing in the engine goes as deep as a graph.
#[test]
fn long_chains_do_not_exhaust_the_stack() {
    let tasks: Vec<Value> = (0..5000)
        .map(|at| {
            let mut task = json!({"name": format!("t{at}"), "template": "run"});
            if at > 0 {
                task["depends"] = format!("t{}.Succeeded", at - 1).into();
            }
            task
        })
        .collect();
    let spec = json!({"entrypoint": "main", "templates": [
        {"name": "main", "dag": {"tasks": tasks}}, {"name": "run", "container": {"image": "i", "command": ["run"]}}]});
    let (ended, _) = play(spec, |_| Outcome { exit_code: 1, ..Outcome::default() });
    let status = ended.status.unwrap();
    assert_eq!((status.phase, status.nodes.len()), (WorkflowPhase::Failed, 5001));
    let omitted = status.nodes.values().filter(|node| node.phase == NodePhase::Omitted).count();
    assert_eq!(omitted, 4999);
}

/// What a retry leaves is run, and nothing else; the result is as if nothing had failed.
#[test]
fn a_retry_ends_as_if_nothing_had_failed() {
    let spec = json!({"entrypoint": "main", "templates": [
        {"name": "main", "dag": {"failFast": false, "tasks": [
            {"name": "a", "template": "run"},
            {"name": "each", "template": "inner", "depends": "a", "withItems": [1, 2]},
            {"name": "last", "template": "run", "depends": "each"},
        ]}},
        {"name": "inner", "steps": [[{"name": "x", "template": "tries"}], [{"name": "y", "template": "run"}]]},
        {"name": "tries", "retryStrategy": {"limit": 1}, "container": {"image": "i", "command": ["run"]}},
        {"name": "run", "container": {"image": "i", "command": ["run"]}},
    ]});
    let bad =
        |node: &str| Outcome { exit_code: i64::from(node.contains("(1:2)[0].x")), ..Outcome::default() };
    let (failed, _) = play(spec.clone(), bad);
    assert_eq!(failed.status.as_ref().unwrap().phase, WorkflowPhase::Failed);
    let again = retry(&failed, &RetryOptions::default(), start()).unwrap();
    assert_eq!(again.pods.len(), 2, "both attempts: {:?}", again.pods);
    let ran = std::cell::RefCell::new(Vec::new());
    let outcome = |node: &str| {
        ran.borrow_mut().push(node.to_owned());
        Outcome::default()
    };
    let mut cluster = Cluster::new(outcome, |_| false, Vec::new());
    let ended = cluster.play(again.workflow, &Templates::default());
    assert_eq!(*ran.borrow(), ["w.each(1:2)[0].x(0)", "w.each(1:2)[1].y", "w.last"]);
    let shape = |workflow: &Workflow| -> BTreeMap<String, (NodePhase, Vec<String>, Vec<String>)> {
        let nodes = workflow.status.clone().unwrap().nodes.into_values();
        nodes
            .map(|mut node| {
                node.children.sort();
                node.outbound_nodes.sort();
                (node.name, (node.phase, node.children, node.outbound_nodes))
            })
            .collect()
    };
    let (straight, _) = play(spec, ok);
    assert_eq!(shape(&ended), shape(&straight));
    assert!(retry(&ended, &RetryOptions::default(), start()).is_err());
}

#[test]
fn a_run_is_outlined_as_people_read_it() {
    let spec = json!({"entrypoint": "main", "onExit": "run", "templates": [
        {"name": "main", "steps": [[{"name": "a", "template": "tries"}], [{"name": "b", "template": "inner"}]]},
        {"name": "inner", "dag": {"tasks": [{"name": "x", "template": "run"}, {"name": "y", "template": "run", "depends": "x"}]}},
        {"name": "tries", "retryStrategy": {"limit": 1}, "container": {"image": "i", "command": ["run"]}},
        {"name": "run", "container": {"image": "i", "command": ["run"]}},
    ]});
    let (ended, _) = play(spec, ok);
    let status = ended.status.unwrap();
    let shown: Vec<String> = outline(&status, "w")
        .into_iter()
        .map(|(depth, id)| format!("{}{}", " ".repeat(depth), status.nodes[&id].display_name))
        .collect();
    assert_eq!(shown, ["w", " a", "  a(0)", " b", "  x", "  y", "w.onExit"]);
}

/// A graph in which task `n` may wait for tasks before it.
fn graph() -> impl Strategy<Value = (Vec<Vec<usize>>, Vec<u8>, bool)> {
    (1usize..9).prop_flat_map(|count| {
        let edges = (0..count).map(|task| {
            prop::collection::vec(0..task.max(1), 0..3).prop_map(move |mut on| {
                on.retain(|other| *other < task);
                on.sort_unstable();
                on.dedup();
                on
            })
        });
        (edges.collect::<Vec<_>>(), prop::collection::vec(0u8..4, count), any::<bool>())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever fails: the workflow ends, no task begins before what it waits for has ended, each pod is made once,
    /// and the same run gives the same tree.
    #[test]
    fn every_graph_ends((edges, fates, fail_fast) in graph()) {
        let tasks: Vec<Value> = edges.iter().enumerate().map(|(task, on)| {
            let states = ["Succeeded", "Failed", "Succeeded", "Omitted"];
            let depends = on.iter().map(|other| format!("t{other}.{}", states[(task + other) % 4])).collect::<Vec<_>>();
            let mut value = json!({"name": format!("t{task}"), "template": "run"});
            if !depends.is_empty() {
                value["depends"] = depends.join(if task % 2 == 0 { " || " } else { " && " }).into();
            }
            value
        }).collect();
        let spec = json!({"entrypoint": "main", "templates": [
            {"name": "main", "dag": {"failFast": fail_fast, "tasks": tasks}},
            {"name": "run", "container": {"image": "i", "command": ["run"]}},
        ]});
        let outcome = |node: &str| {
            let task: usize = node.trim_start_matches("w.t").parse().unwrap();
            Outcome { exit_code: i64::from(fates[task] == 0), ..Outcome::default() }
        };
        let (ended, _) = play(spec.clone(), outcome);
        let status = ended.status.clone().unwrap();
        prop_assert!(status.phase.is_done(), "{status:?}");
        let by_name: BTreeMap<&str, _> = status.nodes.values().map(|node| (node.name.as_str(), node)).collect();
        for (task, on) in edges.iter().enumerate() {
            let Some(node) = by_name.get(format!("w.t{task}").as_str()) else { continue };
            prop_assert!(node.phase.is_fulfilled());
            for other in on {
                let before = by_name[format!("w.t{other}").as_str()];
                prop_assert!(before.finished_at.unwrap() <= node.started_at.unwrap());
            }
        }
        prop_assert_eq!(play(spec, outcome).0.status, ended.status);
    }
}
