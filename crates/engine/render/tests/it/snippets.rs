//! Snippets of templates: what Helm prints, we print; where Helm fails, we fail.

use galley_render::{Files, ValueSources, render_templates};

use crate::support::{capabilities, cases, files, recording, release};

/// Cases in which we differ from Helm on purpose, with the reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("toYaml next line", "Helm turns the character U+0085 into a space; we keep it"),
    ("chart as a map", "without annotations, `.Chart.Annotations` is an empty map for us and null for Helm"),
];

fn chart(template: &str) -> Files {
    let folder = cases().join("snippets");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("the shared file is there");
    files(&[
        ("Chart.yaml", "apiVersion: v2\nname: demo\nversion: 1.2.3\nappVersion: 4.5.6\n"),
        ("values.yaml", &read("values.yaml")),
        ("data.txt", "one\ntwo\n"),
        ("conf/a.txt", "alpha\n"),
        ("conf/b.ini", "[b]\nx=1"),
        ("templates/_helpers.tpl", &read("_helpers.tpl")),
        ("templates/case.txt", template),
    ])
}

/// What we print, or our error.
fn ours(template: &str) -> Result<String, String> {
    let texts = render_templates(&chart(template), &ValueSources::default(), &release(), &capabilities());
    texts.map(|texts| texts["demo/templates/case.txt"].clone()).map_err(|problem| problem.to_string())
}

#[test]
#[allow(clippy::disallowed_macros, reason = "the count belongs into the output of the tests")]
fn snippets_print_what_helm_prints() {
    let mut names: Vec<_> = std::fs::read_dir(cases().join("snippets"))
        .expect("the cases are there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "tpl") && !path.ends_with("_helpers.tpl"))
        .collect();
    names.sort();
    let (mut total, mut passed, mut report) = (0, 0, String::new());
    let mut failures = 0;
    for path in names {
        let recorded = recording(&path.with_extension("json"));
        let text = std::fs::read_to_string(&path).expect("the cases can be read");
        let cases = text.split("=== ").skip(1).filter_map(|case| case.split_once('\n'));
        for (title, template) in cases {
            total += 1;
            let theirs = &recorded[title];
            let expected = theirs["text"].as_str();
            let found = ours(template.strip_suffix('\n').unwrap_or(template));
            let same = match (&found, expected) {
                (Ok(found), Some(expected)) => found == expected,
                (Err(_), None) => true,
                _ => false,
            };
            let known = DIFFERENT.iter().find(|(known, _)| *known == title);
            match (same, known) {
                (true, None) => passed += 1,
                (false, Some((_, reason))) => report += &format!("  differs: {title}: {reason}\n"),
                (true, Some(_)) => {
                    failures += 1;
                    report += &format!("  {title}: is listed as different but is the same\n");
                }
                (false, None) => {
                    failures += 1;
                    report += &format!("  {title}\n    helm: {theirs}\n    ours: {found:?}\n");
                }
            }
        }
    }
    println!("{passed} of {total} snippets print what Helm prints\n{report}");
    assert_eq!(failures, 0, "{report}");
}
