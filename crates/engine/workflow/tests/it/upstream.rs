//! Upstream's own examples, when a checkout and recordings of them are at hand.
//!
//! `GALLEY_ARGO_EXAMPLES` is the folder `examples` of Argo Workflows 4.0.2, `GALLEY_ARGO_RECORDINGS` a folder with what
//! the real controller made of them (`STEM.json`, STEM the path with `/` and `_` as `-`). Neither is part of this
//! repository; without them nothing is tested here.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::conformance::judge;
use crate::play::Case;

/// Examples whose tree differs, with the reason.
pub const DIFFERENT: &[(&str, &str)] = &[];

/// Recordings cut longer names off.
const LONGEST_STEM: usize = 50;

/// All YAML files below a folder.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            into.push(path);
        }
    }
}

/// The recorded examples; `None` when they are not at hand.
pub fn cases() -> Option<Vec<Case>> {
    let examples = PathBuf::from(std::env::var_os("GALLEY_ARGO_EXAMPLES")?);
    let recordings = PathBuf::from(std::env::var_os("GALLEY_ARGO_RECORDINGS")?);
    let mut paths = Vec::new();
    files(&examples, &mut paths);
    let mut by_stem: BTreeMap<String, String> = BTreeMap::new();
    let mut beside: Vec<Value> = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let short = path.strip_prefix(&examples).unwrap().with_extension("");
        let Ok(documents) = galley_yaml::parse_documents("example", &text) else { continue };
        beside.extend(documents.into_iter().map(|document| document.value).filter(|value| {
            matches!(
                value["kind"].as_str(),
                Some("WorkflowTemplate" | "ClusterWorkflowTemplate" | "ConfigMap")
            )
        }));
        let stem: String =
            short.to_str().unwrap().replace(['/', '_'], "-").chars().take(LONGEST_STEM).collect();
        by_stem.insert(stem, text);
    }
    let mut cases: Vec<Case> = std::fs::read_dir(recordings)
        .unwrap()
        .filter_map(|entry| entry.unwrap().path().file_stem()?.to_str().map(str::to_owned))
        .filter_map(|stem| Some((by_stem.get(&stem)?.clone(), stem)))
        .map(|(yaml, stem)| Case {
            recorded: recording(&stem),
            rename: Some(stem.clone()),
            beside: beside.clone(),
            yaml,
            stem,
        })
        .collect();
    cases.sort_by(|a, b| a.stem.cmp(&b.stem));
    Some(cases)
}

fn recording(stem: &str) -> Value {
    let folder = PathBuf::from(std::env::var_os("GALLEY_ARGO_RECORDINGS").unwrap());
    serde_json::from_str(&std::fs::read_to_string(folder.join(format!("{stem}.json"))).unwrap()).unwrap()
}

#[test]
fn upstream_examples_give_the_same_trees() {
    let Some(cases) = cases() else {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: GALLEY_ARGO_EXAMPLES and GALLEY_ARGO_RECORDINGS are not set"
        );
        return;
    };
    let (all, wrong) = judge(&cases, DIFFERENT, &[]);
    assert!(all.len() > 50, "the recordings are gone");
    assert!(wrong.is_empty(), "{} cases\nnot as listed:\n{}", all.len(), wrong.join("\n"));
}
