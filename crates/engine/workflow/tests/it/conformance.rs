//! Plays our own workflow files and compares the node trees with what Argo Workflows 4.0.2 made of them.
//!
//! `tests/cases/NNN-name.yaml` is the file, `.json` the recording (form: nodes by name; "varies" matches anything).
//! The outcomes of the pods (exit codes, outputs) come from the recording; everything else is the engine's.

use std::collections::BTreeMap;
use std::path::Path;

use galley_argo_workflows::{NodeStatus, Workflow, check_files};
use galley_workflow::{Observations, Templates};
use serde_json::{Map, Value, json};

use crate::kubelet::{Cluster, Deed, Outcome, templates_of};

/// Cases whose tree differs, with the reason. A case that is mended must leave this list.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "037-skipped-output-used",
        "Argo waits for ever for an output that cannot come; here it is an error that names it",
    ),
    (
        "045-inline-in-inline",
        "Argo cannot find an inline template inside an inline DAG and hangs; here it runs",
    ),
    ("091-artifact-archives", "no artifact store on one machine"),
    ("092-artifact-through-dags", "no artifact store on one machine"),
    ("096-artifact-subpath", "no artifact store on one machine"),
    ("098-artifact-keys", "no artifact store on one machine"),
    ("100-artifact-of-failed", "no artifact store on one machine"),
    ("129-semaphore", "semaphores are not supported"),
    ("131-mutex-of-workflow", "locks of whole workflows are not supported"),
    ("134-memoize-steps", "Argo forgets the outputs of memoized steps templates; here a hit has them"),
    ("137-container-set-failure", "containerSet is not supported"),
    ("159-inputs-whole", "no artifact store on one machine"),
];

/// Cases whose tree is equal and whose words differ, with the reason.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("099-artifact-input-missing-key", "no artifact store on one machine: an error all the same"),
    ("130-semaphore-missing", "semaphores are not supported: an error all the same"),
];

#[derive(Debug, PartialEq)]
enum Verdict {
    Equal,
    OtherWords(String),
    Different(String),
}

#[test]
fn node_trees_are_those_of_argo() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut stems: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    stems.sort();
    assert!(stems.len() > 100, "the cases are gone");
    let mut wrong = Vec::new();
    let (mut equal, mut words) = (0, 0);
    for stem in &stems {
        let yaml = std::fs::read_to_string(folder.join(format!("{stem}.yaml"))).unwrap();
        let recorded = std::fs::read_to_string(folder.join(format!("{stem}.json"))).unwrap();
        let verdict = play(&yaml, &serde_json::from_str(&recorded).unwrap());
        let listed = |list: &[(&str, &str)]| list.iter().any(|(known, _)| known == stem);
        match &verdict {
            Verdict::Equal => equal += 1,
            Verdict::OtherWords(_) => words += 1,
            Verdict::Different(_) => {}
        }
        let expected = match &verdict {
            Verdict::Equal => !listed(DIFFERENT) && !listed(OTHER_WORDS),
            Verdict::OtherWords(_) => listed(OTHER_WORDS),
            Verdict::Different(_) => listed(DIFFERENT),
        };
        if !expected {
            wrong.push(format!("{stem}: {verdict:?}"));
        }
    }
    let all = stems.len();
    let summary =
        format!("{all} cases: {equal} equal, {words} equal but for words, {} different", all - equal - words);
    assert!(wrong.is_empty(), "{summary}\nnot as listed:\n{}", wrong.join("\n"));
}

fn play(yaml: &str, recorded: &Value) -> Verdict {
    let documents = galley_yaml::parse_documents("case", yaml);
    if recorded["create"] == "refused" {
        return match check_files(&[("case", yaml)], galley_argo_workflows::Externals::Refused) {
            Err(_) => Verdict::Equal,
            Ok(_) => Verdict::Different("accepted, but Argo's schema refuses it".to_owned()),
        };
    }
    let documents: Vec<Value> = documents.unwrap().into_iter().map(|document| document.value).collect();
    let templates = templates_of(&documents);
    let object = documents.iter().find(|document| document["kind"] == "Workflow").unwrap();
    let mut workflow: Workflow = serde_json::from_value(object.clone()).unwrap();
    workflow.metadata.namespace = Some("argo".to_owned());
    workflow.metadata.uid = Some("5a7b0f3c-8a15-4a5e-9d2e-0123456789ab".to_owned());
    let (verdict, caches) = run(&workflow, &templates, recorded, deeds(yaml), BTreeMap::new());
    if recorded.get("again").is_none() || verdict != Verdict::Equal {
        return verdict;
    }
    run(&workflow, &templates, &recorded["again"], Vec::new(), caches).0
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
    recorded: &Value,
    deeds: Vec<Deed>,
    caches: Caches,
) -> (Verdict, Caches) {
    let nodes = recorded["nodes"].as_array().cloned().unwrap_or_default();
    let by_name: BTreeMap<String, Value> =
        nodes.iter().map(|node| (node["name"].as_str().unwrap().to_owned(), node.clone())).collect();
    let fails = |node: &str| by_name.get(node).is_some_and(|node| node["phase"] == "Failed");
    let mut cluster = Cluster::new(|node| outcome(by_name.get(node)), fails, deeds);
    cluster.seen = Observations { caches, ..Observations::default() };
    let ended = cluster.play(workflow.clone(), templates);
    (compare(&ended, recorded, &by_name), cluster.seen.caches)
}

/// How the recorded pod ended.
fn outcome(node: Option<&Value>) -> Outcome {
    let Some(node) = node else {
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

fn compare(ended: &Workflow, recorded: &Value, by_name: &BTreeMap<String, Value>) -> Verdict {
    let status = ended.status.clone().unwrap_or_default();
    let names: BTreeMap<String, String> =
        status.nodes.iter().map(|(id, node)| (id.clone(), node.name.clone())).collect();
    let ours: BTreeMap<String, Map<String, Value>> =
        status.nodes.values().map(|node| (node.name.clone(), row(node, &names))).collect();
    let mut words = Vec::new();
    if recorded["phase"] != status.phase.as_str() {
        return Verdict::Different(format!(
            "phase {} instead of {}: {}",
            status.phase.as_str(),
            recorded["phase"],
            status.message
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
    let outputs = json!(status.outputs);
    if !same(&outputs, &recorded["outputs"]) {
        return Verdict::Different(format!("outputs: {outputs} instead of {}", recorded["outputs"]));
    }
    for (field, ours) in [("message", &status.message), ("progress", &status.progress)] {
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
