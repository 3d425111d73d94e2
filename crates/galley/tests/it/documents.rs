//! What documents say is held against the code.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "tests" && name != "target") {
                sources(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Codes as they stand in quotes: `"G0123"`.
fn codes(text: &str) -> BTreeSet<String> {
    text.match_indices("\"G")
        .filter_map(|(at, _)| text.get(at + 1..at + 7))
        .filter(|code| code.ends_with('"') && code[1..5].chars().all(|c| c.is_ascii_digit()))
        .map(|code| code[..5].to_owned())
        .collect()
}

#[test]
fn every_error_code_has_a_page_and_every_page_a_code() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    let mut used = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable source");
        let production = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        used.extend(codes(production));
    }
    used.remove("G0001");
    let pages: BTreeSet<String> = fs::read_dir(root().join("docs/errors"))
        .expect("the folder of error pages")
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().strip_suffix(".md").map(str::to_owned))
        .filter(|name| name.starts_with('G'))
        .collect();
    let missing: Vec<_> = used.difference(&pages).collect();
    let idle: Vec<_> = pages.difference(&used).collect();
    assert!(
        missing.is_empty() && idle.is_empty(),
        "codes without a page: {missing:?}; pages without a code: {idle:?}"
    );
}

#[test]
fn the_environments_charts_differ_only_in_their_values() {
    let charts = root().join("pipeline/k8s");
    for template in ["deployment.yaml", "service.yaml"] {
        let read = |environment: &str| {
            fs::read_to_string(charts.join(environment).join("templates").join(template)).expect("a template")
        };
        let staging = read("staging");
        assert_eq!(staging, read("canary"), "{template}");
        assert_eq!(staging, read("production"), "{template}");
    }
}
