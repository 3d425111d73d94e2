//! Workflows from start to end.

use std::collections::BTreeMap;

use galley_workflows::{SubmitFrom, submit};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::house::{End, House, NAMESPACE, phases, until};

const BAKERY: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: bakery, namespace: pipe}
spec:
  entrypoint: main
  onExit: bye
  arguments:
    parameters:
      - {name: loaf}
      - {name: oven, value: hot}
  templates:
    - name: main
      inputs: {parameters: [{name: loaf}]}
      steps:
        - - {name: knead, template: say, arguments: {parameters: [{name: text, value: "{{inputs.parameters.loaf}}"}]}}
        - - name: bake
            template: say
            when: "{{steps.knead.outputs.result}} == rye"
            arguments: {parameters: [{name: text, value: "{{steps.knead.outputs.result}} {{workflow.parameters.oven}}"}]}
          - {name: burn, template: say, when: "{{steps.knead.outputs.result}} == spelt", arguments: {parameters: [{name: text, value: x}]}}
    - name: say
      inputs: {parameters: [{name: text}]}
      retryStrategy: {limit: "1"}
      container: {image: i, command: [echo, "{{inputs.parameters.text}}"]}
    - name: bye
      container: {image: i, command: [echo, "{{workflow.status}}"]}
"#;

fn word(pod: &serde_json::Value) -> String {
    pod["spec"]["containers"][0]["command"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_runs_to_its_end() {
    let house = House::new(|pod| End { stdout: format!("{}\n", word(pod)), ..End::default() }).await;
    house.apply_yaml(BAKERY).await;
    let given = BTreeMap::from([("loaf".to_owned(), "rye".to_owned())]);
    let from = SubmitFrom::WorkflowTemplate("bakery".to_owned());
    let name = submit(&house.client, NAMESPACE, from, &given).await.unwrap();
    assert!(name.starts_with("bakery-"), "{name}");
    let status = house.ended(&name).await;
    assert_eq!(status["phase"], "Succeeded", "{status:#}");
    assert_eq!(status["progress"], "3/3");
    let phases = phases(&status);
    assert_eq!(phases[&format!("{name}[1].burn")], "Skipped");
    assert_eq!(phases[&format!("{name}[1].bake")], "Succeeded");
    assert_eq!(phases[&format!("{name}.onExit")], "Succeeded");
    let nodes = status["nodes"].as_object().unwrap();
    let bake = nodes.values().find(|node| node["name"] == format!("{name}[1].bake(0)")).unwrap();
    assert_eq!(bake["inputs"]["parameters"][0]["value"], "rye hot");
    let workflow = until("the labels", || async {
        let workflow = house.api("Workflow").get(&name).await.unwrap();
        (workflow.labels().get("workflows.argoproj.io/completed").map(String::as_str) == Some("true"))
            .then_some(workflow)
    })
    .await;
    assert_eq!(workflow.labels()["workflows.argoproj.io/phase"], "Succeeded");
    assert_eq!(workflow.labels()["workflows.argoproj.io/workflow-template"], "bakery");
    // All pods say that nobody waits for them any more.
    until("the pods' labels", || async {
        let pods = house
            .api("Pod")
            .list(&ListParams::default().labels("workflows.argoproj.io/completed=true"))
            .await
            .unwrap();
        (pods.items.len() == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_any_two_pods_repeats_nothing() {
    let mut house = House::new(|_| End::default()).await;
    let steps: Vec<_> = (0..8).map(|n| json!([{"name": format!("s{n}"), "template": "ok"}])).collect();
    house
        .create(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {"name": "long", "namespace": NAMESPACE},
            "spec": {"entrypoint": "main", "templates": [
                {"name": "main", "steps": steps},
                {"name": "ok", "container": {"image": "i", "command": ["true"]}},
            ]},
        }))
        .await;
    for wanted in 1..8 {
        until("another pod", || async { (house.pods_run().len() >= wanted).then_some(()) }).await;
        house.stop().await;
        house.start();
    }
    let status = house.ended("long").await;
    assert_eq!(status["phase"], "Succeeded");
    let mut ran = house.pods_run();
    assert_eq!(ran.len(), 8, "{ran:?}");
    ran.sort();
    ran.dedup();
    assert_eq!(ran.len(), 8, "a pod ran twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_tried_again_and_then_told() {
    let house = House::new(|_| End { code: 3, ..End::default() }).await;
    house
        .create(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {"name": "bad", "namespace": NAMESPACE},
            "spec": {"entrypoint": "main", "templates": [
                {"name": "main", "retryStrategy": {"limit": 1}, "container": {"image": "i", "command": ["false"]}},
            ]},
        }))
        .await;
    let status = house.ended("bad").await;
    assert_eq!(
        (status["phase"].as_str(), status["message"].as_str()),
        (Some("Failed"), Some("No more retries left"))
    );
    assert_eq!(house.pods_run().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_told_without_a_pod() {
    let house = House::new(|_| End::default()).await;
    let workflow = |name: &str, spec: serde_json::Value| json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec});
    house
        .create(workflow(
            "no-template",
            json!({"entrypoint": "nowhere", "templates": [{"name": "main", "suspend": {}}]}),
        ))
        .await;
    house
        .create(workflow(
            "misspelt",
            json!({"entrypoint": "main", "templates": [{"name": "main", "containr": {}}]}),
        ))
        .await;
    house.create(workflow("no-object", json!({"workflowTemplateRef": {"name": "ghost"}}))).await;
    for (name, message) in [
        ("no-template", "invalid spec: template name 'nowhere' undefined"),
        ("misspelt", "invalid spec: spec.templates.0.containr: There is no field `containr` here."),
        ("no-object", "invalid spec: workflowtemplates.argoproj.io \"ghost\" not found"),
    ] {
        let status = house.ended(name).await;
        assert_eq!((status["phase"].as_str(), status["message"].as_str()), (Some("Failed"), Some(message)));
    }
    assert!(house.pods_run().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_made_awaited_and_read() {
    let house = House::new(|_| End::default()).await;
    let inner = "{apiVersion: argoproj.io/v1alpha1, kind: Workflow, metadata: {generateName: inner-}, spec: {entrypoint: m, templates: [{name: m, container: {image: i, command: [\"true\"]}}]}}";
    let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: made}, data: {loaf: rye}}";
    house
        .create(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {"name": "outer", "namespace": NAMESPACE},
            "spec": {"entrypoint": "main", "templates": [
                {"name": "main", "steps": [
                    [{"name": "map", "template": "map"}, {"name": "run", "template": "run"}],
                    [{"name": "get", "template": "get"}],
                ], "outputs": {"parameters": [{"name": "loaf", "valueFrom": {"parameter": "{{steps.get.outputs.parameters.loaf}}"}}]}},
                {"name": "map", "resource": {"action": "create", "manifest": map}},
                {"name": "run", "resource": {"action": "create", "setOwnerReference": true, "manifest": inner,
                    "successCondition": "status.phase == Succeeded", "failureCondition": "status.phase in (Failed, Error)"}},
                {"name": "get", "resource": {"action": "get", "manifest": map},
                    "outputs": {"parameters": [{"name": "loaf", "valueFrom": {"jsonPath": "{.data.loaf}"}}]}},
            ]},
        }))
        .await;
    let status = house.ended("outer").await;
    assert_eq!(status["phase"], "Succeeded", "{status:#}");
    assert_eq!(status["nodes"]["outer"]["outputs"]["parameters"][0]["value"], "rye");
    let all = house.api("Workflow").list(&ListParams::default()).await.unwrap();
    let inner: Vec<_> = all.iter().filter(|object| object.name_any().starts_with("inner-")).collect();
    assert_eq!(inner.len(), 1);
    assert_eq!(inner[0].owner_references()[0].name, "outer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_deleted_when_its_time_is_over() {
    let house = House::new(|_| End::default()).await;
    house
        .create(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {"name": "brief", "namespace": NAMESPACE},
            "spec": {"entrypoint": "main", "ttlStrategy": {"secondsAfterSuccess": 1}, "podGC": {"strategy": "OnPodCompletion"},
                "templates": [{"name": "main", "container": {"image": "i", "command": ["true"]}}]},
        }))
        .await;
    until("the pod's end", || async {
        let pods = house.api("Pod").list(&ListParams::default()).await.unwrap();
        (house.pods_run().len() == 1 && pods.items.is_empty()).then_some(())
    })
    .await;
    until("the workflow's end", || async {
        house.api("Workflow").get_opt("brief").await.unwrap().is_none().then_some(())
    })
    .await;
}
