//! What people do with workflows.

use std::collections::BTreeMap;
use std::time::Duration;

use galley_problem::Kind;
use galley_workflows::{SubmitFrom, resume, stop, submit, terminate, wait};
use serde_json::json;

use crate::house::{End, House, NAMESPACE, phases, until};

fn slow(pod: &serde_json::Value) -> End {
    let never = pod["spec"]["containers"][0]["command"][0] == "sleep";
    End { never, ..End::default() }
}

fn workflow(name: &str) -> serde_json::Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"entrypoint": "main", "onExit": "ok", "templates": [
            {"name": "main", "steps": [[{"name": "slow", "template": "slow"}], [{"name": "never", "template": "ok"}]]},
            {"name": "slow", "container": {"image": "i", "command": ["sleep", "600"]}},
            {"name": "ok", "container": {"image": "i", "command": ["true"]}},
        ]},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_runs_the_end_and_terminating_does_not() {
    let house = House::new(slow).await;
    for name in ["stopped", "terminated"] {
        house.create(workflow(name)).await;
        until("the slow pod", || async {
            let status = house.status(name).await;
            (phases(&status).get(&format!("{name}[0].slow")).map(String::as_str) == Some("Running"))
                .then_some(())
        })
        .await;
    }
    stop(&house.client, NAMESPACE, "stopped").await.unwrap();
    terminate(&house.client, NAMESPACE, "terminated").await.unwrap();
    let status = house.ended("stopped").await;
    assert_eq!(status["message"], "Stopped with strategy 'Stop'");
    assert_eq!(phases(&status)["stopped.onExit"], "Succeeded");
    assert!(!phases(&status).contains_key("stopped[1].never"));
    let status = house.ended("terminated").await;
    assert_eq!(status["message"], "Stopped with strategy 'Terminate'");
    assert!(!phases(&status).contains_key("terminated.onExit"));
    let again = stop(&house.client, NAMESPACE, "stopped").await.unwrap_err();
    assert_eq!((again.code, again.kind), ("G0512", Kind::Conflict));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_workflow_goes_on_when_told() {
    let house = House::new(slow).await;
    let mut held = workflow("held");
    held["spec"] = json!({"entrypoint": "main", "suspend": true, "templates": [
        {"name": "main", "steps": [[{"name": "ask", "template": "ask"}], [{"name": "go", "template": "ok"}]]},
        {"name": "ask", "suspend": {}},
        {"name": "ok", "container": {"image": "i", "command": ["true"]}},
    ]});
    house.create(held).await;
    until("the first phase", || async { (house.status("held").await["phase"] == "Running").then_some(()) })
        .await;
    assert!(phases(&house.status("held").await).is_empty());
    resume(&house.client, NAMESPACE, "held").await.unwrap();
    until("the question", || async {
        (phases(&house.status("held").await).get("held[0].ask").map(String::as_str) == Some("Running"))
            .then_some(())
    })
    .await;
    let late = wait(&house.client, NAMESPACE, "held", Duration::from_millis(50)).await.unwrap_err();
    assert_eq!((late.code, late.kind), ("G0511", Kind::Timeout));
    resume(&house.client, NAMESPACE, "held").await.unwrap();
    assert_eq!(house.ended("held").await["phase"], "Succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_before_anything_runs() {
    let house = House::new(slow).await;
    house
        .create(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTemplate",
            "metadata": {"name": "train-model", "namespace": NAMESPACE},
            "spec": {"entrypoint": "main", "arguments": {"parameters": [{"name": "release"}]},
                "templates": [{"name": "main", "container": {"image": "i", "command": ["true"]}}]},
        }))
        .await;
    let try_submit = async |from: SubmitFrom, given: &[(&str, &str)]| {
        let given: BTreeMap<String, String> =
            given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        submit(&house.client, NAMESPACE, from, &given).await
    };
    let template = || SubmitFrom::WorkflowTemplate("train-model".to_owned());
    let file = |text: &str| SubmitFrom::File { name: "w.yaml".to_owned(), text: text.to_owned() };
    let error = try_submit(SubmitFrom::WorkflowTemplate("trian-model".to_owned()), &[]).await.unwrap_err();
    assert_eq!((error.code, error.remedy.as_deref()), ("G0510", Some("Did you mean `train-model`?")));
    let error = try_submit(template(), &[("relase", "r")]).await.unwrap_err();
    assert_eq!((error.code, error.remedy.as_deref()), ("G0508", Some("Did you mean `release`?")));
    let error = try_submit(template(), &[]).await.unwrap_err();
    assert_eq!(error.what, "spec.arguments.release.value or spec.arguments.release.valueFrom is required.");
    let error =
        try_submit(file("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"), &[]).await.unwrap_err();
    assert_eq!(error.code, "G0507");
    let text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  generateName: w-\nspec:\n  entrypont: main\n";
    let error = try_submit(file(text), &[]).await.unwrap_err();
    assert_eq!(error.code, "G0501");
    assert_eq!(error.place.unwrap().to_string(), "w.yaml:6:3");
    let name = try_submit(template(), &[("release", "r1")]).await.unwrap();
    assert_eq!(house.ended(&name).await["phase"], "Succeeded");
}
