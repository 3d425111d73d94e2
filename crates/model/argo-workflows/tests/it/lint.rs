//! Our checks against what `argo lint` 4.0.2 said of the same files.
//!
//! `tests/lint.json` holds its words by case ("" where it found nothing); the files are those of the engine's tests.
//! Where both find something the words must agree; where only we do, the case is listed with the reason.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use galley_argo_workflows::{Externals, check_files};

/// Files in which we find what `argo lint` does not.
const ONLY_OURS: &[(&str, &str)] = &[
    ("212-wrong-when", "the condition cannot be read: Argo says so only when it runs"),
    ("217-wrong-workflow-name", "the API server refuses the name"),
    ("228-wrong-depends-syntax", "the expression cannot be read: Argo says so only when it runs"),
    ("234-wrong-item-outside", "the tag stays in the text: never what was meant"),
    ("237-wrong-sequence-bounds", "no number: Argo says so only when it runs"),
    ("240-wrong-retry-expression", "the expression cannot be read: Argo says so only when it runs"),
    ("241-wrong-suspend-duration", "no duration: Argo says so only when it runs"),
    ("258-wrong-parallelism", "the API server refuses it"),
    ("263-wrong-argument-default-only", "refused when submitted and when run"),
    ("025-yaml-value-types", "the API server refuses it"),
    ("135-memoize-no-age", "the API server refuses it"),
];

/// Files in which both find the same and say it in other words: ours name the place.
const OTHER_WORDS: &[&str] = &[
    "211-wrong-enum-empty",
    "214-wrong-step-name",
    "219-wrong-unknown-field",
    "222-wrong-steps-shape",
    "253-wrong-resource-action",
];

/// Examples of upstream in which we find something, with the reason.
const FAULTY: &[(&str, &str)] = &[("k8s-patch-json-workflow.yaml", "the key `annotations` is in it twice")];

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../engine/workflow/tests/cases")
}

#[test]
fn agrees_with_argo_lint() {
    let Ok(words) = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint.json"))
    else {
        panic!("tests/lint.json is gone")
    };
    let recorded: BTreeMap<String, String> = serde_json::from_str(&words).unwrap();
    let mut wrong = Vec::new();
    for (stem, theirs) in &recorded {
        let text = std::fs::read_to_string(cases().join(format!("{stem}.yaml"))).unwrap();
        let found = check_files(&[(stem, &text)], Externals::Refused).err().unwrap_or_default();
        let ours: Vec<String> = found.iter().map(|problem| problem.what.clone()).collect();
        let listed = ONLY_OURS.iter().any(|(known, _)| known == stem);
        let agrees = match (theirs.is_empty(), ours.is_empty()) {
            (true, true) => !listed,
            (true, false) => listed,
            (false, true) => false,
            (false, false) => {
                let same = ours.iter().any(|what| what.trim_end_matches('.') == theirs.trim_end_matches('.'));
                same != OTHER_WORDS.contains(&stem.as_str())
            }
        };
        if !agrees {
            wrong.push(format!("{stem}: argo: {theirs:?} ours: {ours:?}"));
        }
        for problem in &found {
            assert!(problem.place.is_some(), "{stem}: {problem}");
        }
    }
    assert!(recorded.len() > 100);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Upstream's examples must pass as a set; see the engine's tests for `GALLEY_ARGO_EXAMPLES`.
#[test]
fn upstream_examples_are_good() {
    let Some(folder) = std::env::var_os("GALLEY_ARGO_EXAMPLES").map(PathBuf::from) else {
        let _ = writeln!(std::io::stderr(), "skipped: GALLEY_ARGO_EXAMPLES is not set");
        return;
    };
    let mut files = Vec::new();
    collect(&folder, &mut files);
    let borrowed: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let problems = check_files(&borrowed, Externals::Refused).err().unwrap_or_default();
    let unexpected: Vec<String> = problems
        .iter()
        .filter(|problem| problem.code != "G0506")
        .filter(|problem| {
            let file = problem.place.as_ref().map(|place| place.file.clone()).unwrap_or_default();
            !FAULTY.iter().any(|(known, _)| file.ends_with(known))
        })
        .map(|problem| format!("{problem}"))
        .collect();
    assert!(files.len() > 150);
    assert!(unexpected.is_empty(), "{} files\n{}", files.len(), unexpected.join("\n"));
}

fn collect(folder: &Path, into: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            into.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}
