//! The table in `docs/conformance/workflows.md`, made from the cases.
//!
//! `GALLEY_WRITE_TABLES=1 cargo test -p galley-workflow table` writes it; with upstream's examples at hand (see
//! `upstream`) both parts, else only the part with our own.

use std::fmt::Write as _;
use std::path::Path;

use crate::play::{Case, Verdict};
use crate::{conformance, upstream};

const OWN: &str = "## Our own cases";
const UPSTREAM: &str = "## Upstream's examples";

fn part(title: &str, cases: &[Case], different: &[(&str, &str)], words: &[(&str, &str)]) -> String {
    let (all, _) = conformance::judge(cases, different, words);
    let equal = all.iter().filter(|(_, verdict)| *verdict == Verdict::Equal).count();
    let mut text = format!("{title}\n\n{equal} of {} equal.\n\n| case | result |\n|---|---|\n", all.len());
    for (stem, verdict) in all {
        let reason = different.iter().chain(words).find(|(known, _)| *known == stem).map(|(_, why)| *why);
        let shown = match (verdict, reason) {
            (Verdict::Equal, _) => "equal".to_owned(),
            (Verdict::OtherWords(_), Some(why)) => format!("equal but for words: {why}"),
            (Verdict::Different(_), Some(why)) => format!("different on purpose: {why}"),
            (other, None) => format!("**{other:?}**").replace('|', "\\|"),
        };
        let _ = writeln!(text, "| {stem} | {shown} |");
    }
    text
}

#[test]
fn the_table_tells_the_truth() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/conformance/workflows.md");
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    let own = part(OWN, &conformance::own_cases(), conformance::DIFFERENT, conformance::OTHER_WORDS);
    if std::env::var_os("GALLEY_WRITE_TABLES").is_none() {
        assert!(stored.contains(&own), "docs/conformance/workflows.md is out of date; see tests/it/table.rs");
        return;
    }
    let theirs = match upstream::cases() {
        Some(cases) => part(UPSTREAM, &cases, upstream::DIFFERENT, &[]),
        None => stored.find(UPSTREAM).map(|at| stored[at..].to_owned()).unwrap_or_default(),
    };
    let head = "# Workflows: the engine against Argo Workflows 4.0.2\n\n\
        Each case is a workflow file that the real controller has run on a real Kubernetes; the engine plays the same\n\
        file and the node trees are compared field by field: names, types, phases, messages, boundaries, children,\n\
        outbound nodes, flags, inputs, outputs, memoization. How a container ended (exit code, files, output) is taken\n\
        from the recording, everything else is the engine's. Made by `crates/engine/workflow/tests/it/table.rs`.\n";
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("{head}\n{own}\n{theirs}")).unwrap();
}
