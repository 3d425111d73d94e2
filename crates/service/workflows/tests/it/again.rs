//! Runs done again, locks between runs, requests, nodes changed by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use galley_argo_workflows::NodePhase;
use galley_units::SystemClock;
use galley_workflow::{NodeSelector, RetryOptions};
use galley_workflows::{NodeChange, change_nodes, resubmit, resume, retry, suspend};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{End, House, NAMESPACE, phases, until};

fn workflow(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
}

/// Three steps, the second of which fails while the switch is off.
fn three_steps() -> Value {
    json!({"entrypoint": "main", "onExit": "ok", "templates": [
        {"name": "main", "steps": [[{"name": "a", "template": "ok"}], [{"name": "b", "template": "may"}], [{"name": "c", "template": "ok"}]]},
        {"name": "ok", "container": {"image": "i", "command": ["true"]}},
        {"name": "may", "retryStrategy": {"limit": 1}, "container": {"image": "i", "command": ["may"]}},
    ]})
}

async fn house_with_switch() -> (House, Arc<AtomicBool>) {
    let good = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&good);
    let house = House::new(move |pod| {
        let may = pod["spec"]["containers"][0]["command"][0] == "may";
        End { code: i64::from(may && !switch.load(Ordering::SeqCst)), ..End::default() }
    })
    .await;
    (house, good)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_repeats_only_what_failed() {
    let (house, good) = house_with_switch().await;
    house.create(workflow("w", three_steps())).await;
    let status = house.ended("w").await;
    assert_eq!(status["phase"], "Failed");
    assert!(phases(&status).contains_key("w.onExit"));
    let before = house.pods_run();
    assert_eq!(before.len(), 4, "{before:?}");
    good.store(true, Ordering::SeqCst);
    retry(&house.client, &SystemClock, NAMESPACE, "w", &RetryOptions::default()).await.unwrap();
    until("the good end", || async { (house.status("w").await["phase"] == "Succeeded").then_some(()) }).await;
    let status = house.status("w").await;
    assert_eq!(phases(&status)["w[1].b(0)"], "Succeeded");
    assert!(!phases(&status).contains_key("w[1].b(1)"));
    assert_eq!(status["progress"], "4/4");
    let again: Vec<String> = house.pods_run().split_off(before.len());
    assert_eq!(again.len(), 3, "b, c and the end: {again:?}");
    assert!(!again.contains(&before[0]), "a ran twice");
    let refused =
        retry(&house.client, &SystemClock, NAMESPACE, "w", &RetryOptions::default()).await.unwrap_err();
    assert_eq!(refused.code, "G0512");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_step_is_done_again() {
    let (house, good) = house_with_switch().await;
    good.store(true, Ordering::SeqCst);
    house.create(workflow("w", three_steps())).await;
    assert_eq!(house.ended("w").await["phase"], "Succeeded");
    let before = house.pods_run().len();
    let options = RetryOptions {
        restart_successful: true,
        nodes: Some(NodeSelector::read("displayName=c").unwrap()),
        ..RetryOptions::default()
    };
    retry(&house.client, &SystemClock, NAMESPACE, "w", &options).await.unwrap();
    until("two pods more", || async { (house.pods_run().len() == before + 2).then_some(()) }).await;
    until("the end", || async { (house.status("w").await["phase"] == "Succeeded").then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_submitted_again() {
    let (house, good) = house_with_switch().await;
    house.create(workflow("w", three_steps())).await;
    assert_eq!(house.ended("w").await["phase"], "Failed");
    good.store(true, Ordering::SeqCst);
    let none = BTreeMap::new();
    let before = house.pods_run().len();
    let fresh = resubmit(&house.client, &SystemClock, NAMESPACE, "w", false, &none).await.unwrap();
    assert_eq!(house.ended(&fresh).await["phase"], "Succeeded");
    assert_eq!(house.pods_run().len(), before + 4);
    let kept = resubmit(&house.client, &SystemClock, NAMESPACE, "w", true, &none).await.unwrap();
    let status = house.ended(&kept).await;
    assert_eq!(status["phase"], "Succeeded", "{status:#}");
    assert_eq!(phases(&status)[&format!("{kept}[0].a")], "Skipped");
    assert_eq!(house.pods_run().len(), before + 4 + 3);
    let wrong = BTreeMap::from([("no".to_owned(), "x".to_owned())]);
    assert!(resubmit(&house.client, &SystemClock, NAMESPACE, "w", false, &wrong).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutex_is_held_by_one_run_at_a_time() {
    let house = House::new(|pod| End {
        never: pod["spec"]["containers"][0]["command"][0] == "hold",
        ..End::default()
    })
    .await;
    let run = |command: &str| {
        json!({"entrypoint": "main", "templates": [
            {"name": "main", "steps": [[{"name": "in", "template": "in"}]]},
            {"name": "in", "synchronization": {"mutexes": [{"name": "oven"}]}, "container": {"image": "i", "command": [command]}},
        ]})
    };
    house.create(workflow("first", run("hold"))).await;
    until("the first pod", || async { (house.pods_run().len() == 1).then_some(()) }).await;
    house.create(workflow("second", run("true"))).await;
    let message = until("the wait", || async {
        let status = house.status("second").await;
        let nodes = status["nodes"].as_object().cloned().unwrap_or_default();
        nodes.values().find_map(|node| node["message"].as_str().map(str::to_owned))
    })
    .await;
    assert_eq!(message, "Waiting for pipe/Mutex/oven lock. Lock status: 0/1");
    let status = house.status("first").await;
    assert_eq!(status["synchronization"]["mutex"]["holding"][0]["mutex"], "pipe/Mutex/oven");
    assert_eq!(house.pods_run().len(), 1);
    galley_workflows::terminate(&house.client, NAMESPACE, "first").await.unwrap();
    assert_eq!(house.ended("second").await["phase"], "Succeeded");
    assert_eq!(house.ended("first").await["phase"], "Failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_outlives_the_service() {
    let mut house = House::new(|pod| End {
        never: pod["spec"]["containers"][0]["command"][0] == "hold",
        ..End::default()
    })
    .await;
    let run = |command: &str| {
        json!({"entrypoint": "in", "synchronization": {"mutex": {"name": "oven"}}, "templates": [
            {"name": "in", "container": {"image": "i", "command": [command]}},
        ]})
    };
    house.create(workflow("first", run("hold"))).await;
    until("the first pod", || async { (house.pods_run().len() == 1).then_some(()) }).await;
    house.stop().await;
    house.start();
    house.create(workflow("second", run("true"))).await;
    until("the wait", || async { (house.status("second").await["phase"] == "Pending").then_some(()) }).await;
    assert_eq!(house.pods_run().len(), 1);
    galley_workflows::terminate(&house.client, NAMESPACE, "first").await.unwrap();
    assert_eq!(house.ended("second").await["phase"], "Succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_sent_and_judged() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = vec![0; 4096];
            let count = stream.read(&mut read).await.unwrap_or(0);
            let good = String::from_utf8_lossy(&read[..count]).contains("/rye");
            let (code, body) = if good { ("200 OK", "baked") } else { ("404 Not Found", "no") };
            let text = format!(
                "HTTP/1.1 {code}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    let house = House::new(|_| End::default()).await;
    let spec = json!({"entrypoint": "main", "templates": [
        {"name": "main", "dag": {"failFast": false, "tasks": [
            {"name": "good", "template": "get", "arguments": {"parameters": [{"name": "what", "value": "rye"}]}},
            {"name": "bad", "template": "get", "arguments": {"parameters": [{"name": "what", "value": "stone"}]}},
        ]}},
        {"name": "get", "inputs": {"parameters": [{"name": "what"}]},
            "http": {"url": format!("http://{address}/{{{{inputs.parameters.what}}}}"), "timeoutSeconds": 20}},
    ]});
    house.create(workflow("w", spec)).await;
    let status = house.ended("w").await;
    assert_eq!(status["phase"], "Failed");
    let nodes = status["nodes"].as_object().unwrap();
    let node = |name: &str| nodes.values().find(|node| node["name"] == name).unwrap().clone();
    assert_eq!(
        (node("w.good")["type"].clone(), node("w.good")["phase"].clone()),
        (json!("HTTP"), json!("Succeeded"))
    );
    assert_eq!(node("w.good")["outputs"]["result"], "baked");
    assert_eq!(node("w.bad")["message"], "received non-2xx response code: 404");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_given_its_value_by_hand() {
    let house = House::new(|_| End::default()).await;
    let spec = json!({"entrypoint": "main", "templates": [
        {"name": "main", "steps": [[{"name": "ask", "template": "ask"}],
            [{"name": "use", "template": "use", "arguments": {"parameters": [{"name": "v", "value": "{{steps.ask.outputs.parameters.v}}"}]}}]]},
        {"name": "ask", "suspend": {}, "outputs": {"parameters": [{"name": "v", "valueFrom": {"supplied": {}}}]}},
        {"name": "use", "inputs": {"parameters": [{"name": "v"}]}, "container": {"image": "i", "command": ["true"]}},
    ]});
    house.create(workflow("w", spec)).await;
    until("the question", || async {
        (phases(&house.status("w").await).get("w[0].ask").map(String::as_str) == Some("Running"))
            .then_some(())
    })
    .await;
    let ask = NodeSelector::read("displayName=ask").unwrap();
    let end = NodeChange { phase: Some(NodePhase::Succeeded), ..NodeChange::default() };
    let refused = change_nodes(&house.client, NAMESPACE, "w", &ask, &end).await.unwrap_err();
    assert_eq!(refused.what, "`ask` waits for the value of `v`.");
    let given = NodeChange { outputs: BTreeMap::from([("v".to_owned(), "rye".to_owned())]), ..end };
    assert_eq!(change_nodes(&house.client, NAMESPACE, "w", &ask, &given).await.unwrap(), ["w[0].ask"]);
    let status = house.ended("w").await;
    assert_eq!(status["phase"], "Succeeded", "{status:#}");
    let nodes = status["nodes"].as_object().unwrap();
    let used = nodes.values().find(|node| node["displayName"] == "use").unwrap();
    assert_eq!(used["inputs"]["parameters"][0]["value"], "rye");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resting_run_begins_nothing() {
    let (house, good) = house_with_switch().await;
    good.store(true, Ordering::SeqCst);
    let mut spec = three_steps();
    spec["templates"][0]["steps"][0][0]["template"] = "ask".into();
    spec["templates"].as_array_mut().unwrap().push(json!({"name": "ask", "suspend": {}}));
    house.create(workflow("w", spec)).await;
    until("the wait", || async {
        (phases(&house.status("w").await).get("w[0].a").map(String::as_str) == Some("Running")).then_some(())
    })
    .await;
    suspend(&house.client, NAMESPACE, "w").await.unwrap();
    assert!(house.pods_run().is_empty());
    resume(&house.client, NAMESPACE, "w").await.unwrap();
    assert_eq!(house.ended("w").await["phase"], "Succeeded");
    assert!(suspend(&house.client, NAMESPACE, "w").await.is_err());
}
