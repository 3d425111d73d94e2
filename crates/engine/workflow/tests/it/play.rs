//! Plays a recorded case on the engine and compares.

use std::collections::BTreeMap;

use galley_argo_workflows::{NodeStatus, Workflow, check_files};
use galley_workflow::{LockSeen, Observations, Templates};
use serde_json::{Map, Value, json};

use crate::kubelet::{Cluster, Deed, Outcome, templates_of};

/// A workflow file and what the real controller made of it.
pub struct Case {
    /// The file's name without ending.
    pub stem: String,
    pub yaml: String,
    pub recorded: Value,
    /// The run's name; it is `W` in the recording.
    pub rename: Option<String>,
    /// Other objects that were there.
    pub beside: Vec<Value>,
}

/// How it compares.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Equal,
    OtherWords(String),
    Different(String),
}

/// Plays a case.
pub fn play(case: &Case) -> Verdict {
    let (yaml, recorded) = (case.yaml.as_str(), &case.recorded);
    let documents = galley_yaml::parse_documents("case", yaml);
    if recorded["create"] == "refused" {
        return match check_files(&[("case", yaml)], galley_argo_workflows::Externals::Refused) {
            Err(_) => Verdict::Equal,
            Ok(_) => Verdict::Different("accepted, but Argo's schema refuses it".to_owned()),
        };
    }
    let mut documents: Vec<Value> = documents.unwrap().into_iter().map(|document| document.value).collect();
    documents.extend(case.beside.iter().cloned());
    let templates = templates_of(&documents);
    let object = documents.iter().find(|document| document["kind"] == "Workflow").unwrap();
    let mut workflow: Workflow = serde_json::from_value(object.clone()).unwrap();
    workflow.metadata.namespace = Some("argo".to_owned());
    workflow.metadata.uid = Some("5a7b0f3c-8a15-4a5e-9d2e-0123456789ab".to_owned());
    if let Some(name) = &case.rename {
        workflow.metadata.name.clone_from(name);
    }
    let seen = config_maps(&documents);
    let (verdict, caches) = run(&workflow, &templates, case, recorded, deeds(yaml), seen.clone());
    if recorded.get("again").is_none() || verdict != Verdict::Equal {
        return verdict;
    }
    run(&workflow, &templates, case, &recorded["again"], Vec::new(), Observations { caches, ..seen }).0
}

/// The ConfigMaps among documents: parameters, and the sizes of semaphores.
fn config_maps(documents: &[Value]) -> Observations {
    let mut seen = Observations {
        abilities: galley_workflow::Abilities {
            artifacts: true,
            container_order: true,
            ..Default::default()
        },
        ..Observations::default()
    };
    for map in documents.iter().filter(|document| document["kind"] == "ConfigMap") {
        let name = map["metadata"]["name"].as_str().unwrap();
        let entries = map["data"].as_object().cloned().unwrap_or_default();
        let data: BTreeMap<String, String> =
            entries.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect();
        for (key, value) in &data {
            if let Ok(limit) = value.parse() {
                let lock = format!("argo/ConfigMap/{name}/{key}");
                seen.locks.insert(lock, LockSeen { limit, ..LockSeen::default() });
            }
        }
        if map["metadata"]["labels"]["workflows.argoproj.io/configmap-type"] == "Parameter" {
            seen.parameters.insert(name.to_owned(), data);
        }
    }
    seen
}

fn deeds(yaml: &str) -> Vec<Deed> {
    let verb = |word: &str| ["resume", "terminate", "stop"].into_iter().find(|known| *known == word).unwrap();
    yaml.lines()
        .filter_map(|line| line.strip_prefix("# do: "))
        .map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            [word, "after", seconds] => Deed::After(seconds.parse().unwrap(), verb(word)),
            [word, "when", node, "is", phase] => Deed::When(node.to_owned(), phase.to_owned(), verb(word)),
            _ => panic!("unknown deed: {line}"),
        })
        .collect()
}

type Caches = BTreeMap<String, BTreeMap<String, String>>;

fn run(
    workflow: &Workflow,
    templates: &Templates,
    case: &Case,
    recorded: &Value,
    deeds: Vec<Deed>,
    seen: Observations,
) -> (Verdict, Caches) {
    let nodes = recorded["nodes"].as_array().cloned().unwrap_or_default();
    let by_name: BTreeMap<String, Value> =
        nodes.iter().map(|node| (node["name"].as_str().unwrap().to_owned(), node.clone())).collect();
    let recorded_name = |node: &str| renamed(&json!(node), case).as_str().unwrap().to_owned();
    let fails = |node: &str| by_name.get(&recorded_name(node)).is_some_and(|node| node["phase"] == "Failed");
    let mut cluster = Cluster::new(|node| outcome(&recorded_name(node), &by_name), fails, deeds);
    cluster.seen = seen;
    let ended = cluster.play(workflow.clone(), templates);
    let ours = tree(&ended, case);
    if let Some(peak) = recorded["peak"].as_u64()
        && case.yaml.contains("semaphore")
        && cluster.peak as u64 > peak
    {
        let why = format!("{} pods at one time instead of {peak}", cluster.peak);
        return (Verdict::Different(why), cluster.seen.caches);
    }
    (compare(&ours, recorded, &by_name), cluster.seen.caches)
}

/// A value with the run's name as the recording has it.
fn renamed(value: &Value, case: &Case) -> Value {
    match &case.rename {
        Some(name) => serde_json::from_str(&value.to_string().replace(name.as_str(), "W")).unwrap(),
        None => value.clone(),
    }
}

/// How the recorded pod ended.
fn outcome(name: &str, by_name: &BTreeMap<String, Value>) -> Outcome {
    let Some(node) = by_name.get(name) else {
        return Outcome { stdout: Some("unrecorded\n".to_owned()), ..Outcome::default() };
    };
    let message = node["message"].as_str().unwrap_or_default();
    let code = node["outputs"]["exitCode"].as_str().and_then(|code| code.parse().ok());
    let mut outcome = Outcome {
        exit_code: code.unwrap_or(i64::from(node["phase"] == "Failed")),
        reason: if node["phase"] == "Failed" { "Error" } else { "Completed" }.to_owned(),
        // What nobody reads must not be kept: a wrong answer shows.
        stdout: Some(node["outputs"]["result"].as_str().unwrap_or("nobody reads this").to_owned() + "\n"),
        ..Outcome::default()
    };
    if let Some(reason) = message.strip_prefix("main: ").and_then(|rest| rest.split(" (exit").next()) {
        outcome.reason = reason.to_owned();
    }
    for (container, ended) in
        by_name.iter().filter(|(_, other)| other["type"] == "Container" && other["boundary"] == name)
    {
        let code = ended["message"]
            .as_str()
            .and_then(|text| text.split("exit code ").nth(1)?.split(')').next()?.parse().ok());
        outcome.containers.insert(container[name.len() + 1..].to_owned(), code.unwrap_or(0));
    }
    for artifact in node["outputs"]["artifacts"].as_array().into_iter().flatten() {
        outcome.artifacts.push(artifact["name"].as_str().unwrap().to_owned());
    }
    for parameter in node["outputs"]["parameters"].as_array().into_iter().flatten() {
        let from = &parameter["valueFrom"];
        if let (Some(path), Some(value)) = (from["path"].as_str(), parameter["value"].as_str())
            && from["default"].as_str() != Some(value)
        {
            outcome.files.insert(path.to_owned(), format!("{value}\n"));
        }
    }
    outcome
}

/// The fields of a node that must be equal, in the recording's form.
fn row(node: &NodeStatus, names: &BTreeMap<String, String>) -> Map<String, Value> {
    let mut value = serde_json::to_value(node).unwrap();
    let fields = value.as_object_mut().unwrap();
    for field in
        ["id", "startedAt", "finishedAt", "progress", "hostNodeName", "podIP", "daemoned", "templateScope"]
    {
        fields.remove(field);
    }
    for field in ["children", "outboundNodes"] {
        if let Some(Value::Array(ids)) = fields.get_mut(field) {
            let mut sorted: Vec<String> = ids.iter().map(|id| names[id.as_str().unwrap()].clone()).collect();
            sorted.sort();
            *ids = sorted.into_iter().map(Value::from).collect();
        }
    }
    if let Some(boundary) = fields.remove("boundaryID") {
        fields.insert("boundary".to_owned(), names[boundary.as_str().unwrap()].clone().into());
    }
    fields.clone()
}

/// What is compared of a run, in the recording's form.
fn tree(ended: &Workflow, case: &Case) -> Value {
    let status = ended.status.clone().unwrap_or_default();
    let names: BTreeMap<String, String> =
        status.nodes.iter().map(|(id, node)| (id.clone(), node.name.clone())).collect();
    let nodes: Vec<Value> = status.nodes.values().map(|node| Value::Object(row(node, &names))).collect();
    let whole = json!({"phase": status.phase.as_str(), "message": status.message, "progress": status.progress,
        "outputs": status.outputs, "nodes": nodes});
    renamed(&whole, case)
}

fn compare(whole: &Value, recorded: &Value, by_name: &BTreeMap<String, Value>) -> Verdict {
    let ours: BTreeMap<String, Map<String, Value>> = whole["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["name"].as_str().unwrap().to_owned(), node.as_object().unwrap().clone()))
        .collect();
    let mut words = Vec::new();
    if recorded["phase"] != whole["phase"] {
        return Verdict::Different(format!(
            "phase {} instead of {}: {}",
            whole["phase"], recorded["phase"], whole["message"]
        ));
    }
    if let Some(name) = by_name.keys().find(|name| !ours.contains_key(*name)) {
        return Verdict::Different(format!("node {name} is missing"));
    }
    for (name, node) in &ours {
        let Some(theirs) = by_name.get(name) else {
            return Verdict::Different(format!("node {name} is too much"));
        };
        let fields: std::collections::BTreeSet<&String> =
            node.keys().chain(theirs.as_object().unwrap().keys()).collect();
        for field in fields {
            let (a, b) = (node.get(field).unwrap_or(&Value::Null), &theirs[field]);
            if same(a, b) {
                continue;
            }
            let difference = format!("{name}.{field}: {a} instead of {b}");
            if field == "message" {
                words.push(difference);
            } else {
                return Verdict::Different(difference);
            }
        }
    }
    let outputs = &whole["outputs"];
    if !same(outputs, &recorded["outputs"]) {
        return Verdict::Different(format!("outputs: {outputs} instead of {}", recorded["outputs"]));
    }
    for field in ["message", "progress"] {
        let ours = whole[field].as_str().unwrap_or_default();
        if recorded[field].as_str().unwrap_or_default() != ours && recorded[field] != "varies" {
            words.push(format!("{field}: {ours:?} instead of {}", recorded[field]));
        }
    }
    if words.is_empty() { Verdict::Equal } else { Verdict::OtherWords(words.join("; ")) }
}

/// Equal, where "varies" and texts with replaced parts (`<time>`, `<host>`) match anything.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (_, Value::String(text)) if text == "varies" => true,
        (Value::String(_), Value::String(text)) if text.starts_with('<') && text.ends_with('>') => true,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => ours == theirs,
    }
}
