//! Plays our own workflow files and compares the node trees with what Argo Workflows 4.0.2 made of them.
//!
//! `tests/cases/NNN-name.yaml` is the file, `.json` the recording (form: nodes by name; "varies" matches anything).
//! The outcomes of the pods (exit codes, outputs) come from the recording; everything else is the engine's.

use std::path::Path;

use crate::play::{Case, Verdict, play};

/// Cases whose tree differs, with the reason. A case that is mended must leave this list.
pub const DIFFERENT: &[(&str, &str)] = &[
    (
        "037-skipped-output-used",
        "Argo waits for ever for an output that cannot come; here it is an error that names it",
    ),
    (
        "045-inline-in-inline",
        "Argo cannot find an inline template inside an inline DAG and hangs; here it runs",
    ),
    ("134-memoize-steps", "Argo forgets the outputs of memoized steps templates; here a hit has them"),
];

/// Cases whose tree is equal and whose words differ, with the reason.
pub const OTHER_WORDS: &[(&str, &str)] = &[];

/// Our own cases, in order.
pub fn own_cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut stems: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    stems.sort();
    assert!(stems.len() > 100, "the cases are gone");
    let read = |name: String| std::fs::read_to_string(folder.join(name)).unwrap();
    stems
        .into_iter()
        .map(|stem| Case {
            yaml: read(format!("{stem}.yaml")),
            recorded: serde_json::from_str(&read(format!("{stem}.json"))).unwrap(),
            rename: None,
            beside: Vec::new(),
            stem,
        })
        .collect()
}

/// Plays cases and says which are not as they are listed.
pub fn judge(
    cases: &[Case],
    different: &[(&str, &str)],
    other_words: &[(&str, &str)],
) -> (Vec<(String, Verdict)>, Vec<String>) {
    let mut wrong = Vec::new();
    let mut all = Vec::new();
    for case in cases {
        let verdict = play(case);
        let listed = |list: &[(&str, &str)]| list.iter().any(|(known, _)| *known == case.stem);
        let expected = match &verdict {
            Verdict::Equal => !listed(different) && !listed(other_words),
            Verdict::OtherWords(_) => listed(other_words),
            Verdict::Different(_) => listed(different),
        };
        if !expected {
            wrong.push(format!("{}: {verdict:?}", case.stem));
        }
        all.push((case.stem.clone(), verdict));
    }
    (all, wrong)
}

#[test]
fn node_trees_are_those_of_argo() {
    let (all, wrong) = judge(&own_cases(), DIFFERENT, OTHER_WORDS);
    let equal = all.iter().filter(|(_, verdict)| *verdict == Verdict::Equal).count();
    assert!(wrong.is_empty(), "{equal} of {} equal\nnot as listed:\n{}", all.len(), wrong.join("\n"));
}
