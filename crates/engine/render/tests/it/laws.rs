//! What holds for any chart: rendering ends, with manifests or with a problem, never with a panic.

use galley_problem::Kind;
use galley_render::{ValueSources, render_chart, render_directory, render_templates};
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{capabilities, files, release};

/// The names of all functions, and the words of the language.
fn words() -> Vec<String> {
    let mut words: Vec<String> = galley_sprig::names().into_iter().map(str::to_owned).collect();
    for word in [
        ".",
        ".Values",
        ".Values.list",
        ".Values.map",
        ".Values.name",
        ".Values.missing",
        ".Values.number",
        "$",
        "$x",
        "1",
        "-3",
        "0",
        "2.5",
        "1e9",
        "99999999",
        "-9223372036854775808",
        "\"\"",
        "\"a\"",
        "\"é😀\"",
        "\"(\"",
        "\"%v %d %5.2f\"",
        "`[a-z]+`",
        "'x'",
        "true",
        "nil",
        "(list 1 \"a\" nil)",
        "(dict \"a\" 1)",
        "(list)",
        "|",
        "eq",
        "index",
        "len",
        "printf",
        "print",
        "and",
        "or",
        "not",
        "lt",
        "slice",
        "html",
        "call",
        "include",
        "\"t\"",
        "tpl",
        "required",
        "lookup",
        "now",
        "(until 3)",
        "(semver \"1.2.3\")",
        ".Files",
        ".Capabilities",
        "(toDate \"2006\" \"2024\")",
        ".Chart",
        "(splitList \",\" \"a,b\")",
        ".Release.Revision",
    ] {
        words.push(word.to_owned());
    }
    words
}

fn actions() -> impl Strategy<Value = String> {
    prop::collection::vec(select(words()), 1..6).prop_map(|words| format!("{{{{ {} }}}}", words.join(" ")))
}

fn templates() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => actions(),
        1 => "[ -~\n]{0,8}",
        1 => select(vec![
            "{{ if .Values.name }}", "{{ else }}", "{{ end }}", "{{ range $i, $x := .Values.list }}", "{{ with .Values }}",
            "{{- ", " -}}", "{{ $x := 1 }}", "{{ define \"t\" }}", "{{/* c */}}", "{{", "}}", "{{ break }}", "---\n", "a: ",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn chart(template: &str) -> galley_render::Files {
    files(&[
        ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
        ("values.yaml", "name: n\nnumber: 3\nlist: [1, two, null]\nmap: {a: 1, b: {c: d}}\n"),
        ("templates/_t.tpl", "{{ define \"t\" }}[{{ . }}]{{ end }}"),
        ("templates/x.yaml", template),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn one_call_of_any_function(action in actions()) {
        let result = render_templates(&chart(&action), &ValueSources::default(), &release(), &capabilities());
        if let Err(problem) = result {
            prop_assert_ne!(problem.kind, Kind::Internal, "{}", action);
        }
    }

    #[test]
    fn any_template(template in templates()) {
        if let Err(problem) = render_chart(&chart(&template), &ValueSources::default(), &release(), &capabilities()) {
            prop_assert_ne!(problem.kind, Kind::Internal, "{}", template);
        }
    }

    #[test]
    fn any_file(text in "[ -~\n\t]{0,60}") {
        let _ = render_directory(&files(&[("a.yaml", &text)]), true);
        let _ = render_chart(&files(&[("Chart.yaml", &text)]), &ValueSources::default(), &release(), &capabilities());
    }

    #[test]
    fn any_set(path in "[a-c.\\[\\]0-9\\\\]{0,12}", value in "[a-z0-9{},\\\\.]{0,12}") {
        let set = [(path, value)];
        let sources = ValueSources { set: &set, ..ValueSources::default() };
        if let Err(problem) = render_templates(&chart("{{ toJson .Values }}"), &sources, &release(), &capabilities()) {
            prop_assert_ne!(problem.kind, Kind::Internal);
        }
    }
}
