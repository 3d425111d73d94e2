//! The pipeline's charts are Helm's: the real `helm` lints them, and renders what Galley renders.
//!
//! `tests/peers.sh` fetches the program; without it these tests say so and pass.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use galley_render::{Capabilities, Files, ReleaseInfo, ValueSources};
use serde_json::Value;

const KUBERNETES: &str = "v1.34.0";
const DIGEST: &str = "image.digest=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Charts, with the settings that they are rendered under beside their defaults.
pub const CHARTS: [(&str, &[&[&str]]); 4] = [
    ("platform", &[&["traffic.production=50", "traffic.canary=50"]]),
    ("staging", &[&[DIGEST, "image.version=v3"], &[DIGEST, "image.version=v3", "gateway.enabled=true"]]),
    ("canary", &[&[DIGEST, "image.version=v3"]]),
    ("production", &[&[DIGEST, "image.version=v3", "replicaCount=3"]]),
];

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn helm() -> Option<Command> {
    let program = root().join("target/peers/bin/helm");
    if !program.exists() {
        println!("skipped: no real helm here; `tests/peers.sh` fetches it");
        return None;
    }
    let mut command = Command::new(program);
    let home = std::env::temp_dir();
    command.env_clear().env("HOME", &home).env("XDG_CACHE_HOME", &home).current_dir(root());
    Some(command)
}

fn chart(name: &str) -> PathBuf {
    root().join("pipeline/k8s").join(name)
}

pub fn files(folder: &Path, prefix: &str, all: &mut Files) {
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files(&entry.path(), &format!("{name}/"), all);
        } else {
            all.insert(name, fs::read(entry.path()).expect("a readable file"));
        }
    }
}

pub fn key(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{} {} {}", text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

pub fn ours(name: &str, set: &[&str], api_versions: &[&str]) -> BTreeMap<String, Value> {
    let mut all = Files::new();
    files(&chart(name), "", &mut all);
    let set: Vec<(String, String)> = set
        .iter()
        .map(|pair| pair.split_once('=').expect("a pair"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let release = ReleaseInfo {
        name: name.to_owned(),
        namespace: format!("gourmetgram-{name}"),
        revision: 1,
        is_upgrade: false,
    };
    let capabilities = Capabilities {
        kube_version: KUBERNETES.to_owned(),
        api_versions: api_versions.iter().map(|&version| version.to_owned()).collect(),
        helm_version: "v4.1.4".to_owned(),
    };
    let values = ValueSources { set: &set, ..ValueSources::default() };
    let manifests = galley_render::render_chart(&all, &values, &release, &capabilities)
        .unwrap_or_else(|problem| panic!("{name}: {problem}"));
    manifests.into_iter().map(|manifest| (key(&manifest.value), manifest.value)).collect()
}

fn theirs(mut helm: Command, name: &str, set: &[&str], api_versions: &[&str]) -> BTreeMap<String, Value> {
    helm.arg("template").arg(name).arg(chart(name));
    helm.args(["--namespace", &format!("gourmetgram-{name}"), "--kube-version", KUBERNETES]);
    helm.args(set.iter().flat_map(|pair| ["--set", pair]));
    helm.args(api_versions.iter().flat_map(|version| ["--api-versions", version]));
    let output = helm.output().expect("helm runs");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let documents = galley_yaml::parse_documents(name, &text).expect("manifests");
    documents.into_iter().map(|document| (key(&document.value), document.value)).collect()
}

#[test]
fn the_real_helm_finds_nothing_wrong_with_the_charts() {
    for (name, _) in CHARTS {
        let Some(mut helm) = helm() else { return };
        let output = helm.args(["lint", "--strict"]).arg(chart(name)).output().expect("helm runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn the_real_helm_renders_what_galley_renders() {
    for (name, settings) in CHARTS {
        for set in [&[] as &[&str]].iter().chain(settings) {
            for api_versions in [&[] as &[&str], &["embedded.galley.dev/v1"]] {
                let Some(helm) = helm() else { return };
                let theirs = theirs(helm, name, set, api_versions);
                assert!(!theirs.is_empty());
                similar(&theirs, &ours(name, set, api_versions), &format!("{name} with {set:?}"));
            }
        }
    }
}

fn similar(theirs: &BTreeMap<String, Value>, ours: &BTreeMap<String, Value>, what: &str) {
    let keys = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(theirs), keys(ours), "{what}");
    for (key, theirs) in theirs {
        assert_eq!(theirs, &ours[key], "{what}: {key}");
    }
}

#[test]
fn the_real_argo_finds_nothing_wrong_with_the_workflows() {
    let program = root().join("target/peers/bin/argo");
    if !program.exists() {
        println!("skipped: no real argo in target/peers/bin");
        return;
    }
    let output = Command::new(program)
        .args(["lint", "--offline"])
        .arg(root().join("pipeline/workflows"))
        .output()
        .expect("argo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
