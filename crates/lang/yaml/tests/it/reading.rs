//! Reading values and types.

use std::collections::BTreeMap;

use galley_yaml::{from_str, parse_documents, parse_value};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Settings {
    name: String,
    #[serde(default)]
    replicas: u32,
    #[serde(default = "default_labels")]
    labels: BTreeMap<String, String>,
    mode: Option<Mode>,
}

fn default_labels() -> BTreeMap<String, String> {
    BTreeMap::from([("made".to_owned(), "up".to_owned())])
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Mode {
    Fast,
    Steps(Vec<u8>),
}

fn complaint(text: &str) -> String {
    let problem = from_str::<Settings>("s.yaml", text).expect_err("a mistake is told");
    let remedy = problem.remedy.as_deref().unwrap_or("-");
    format!("{} {problem} [{remedy}]", problem.code)
}

#[test]
fn types_are_read() {
    let settings: Settings =
        from_str("s.yaml", "name: a\nreplicas: 2.0\nmode: fast\nlabels: {x: 'y'}\n").unwrap();
    assert_eq!((settings.replicas, settings.mode), (2, Some(Mode::Fast)));
    let settings: Settings =
        from_str("s.yaml", "name: a\nmode:\n  steps: [1, 2]\nlabels: null\nreplicas:\n").unwrap();
    assert_eq!((settings.replicas, settings.mode), (0, Some(Mode::Steps(vec![1, 2]))));
    assert_eq!(settings.labels, default_labels());
}

#[test]
fn mistakes_are_placed() {
    assert_eq!(
        complaint("name: a\nreplcas: 2\n"),
        "G0303 s.yaml:2:1: There is no field `replcas` here. [Did you mean `replicas`?]"
    );
    assert_eq!(
        complaint("name: a\nlabels:\n  tier: 5\n"),
        "G0304 s.yaml:3:9: This is the number `5`, but a string is expected here. [Put it in quotes to make it text.]"
    );
    assert_eq!(complaint("replicas: 1\n"), "G0304 s.yaml:1:1: The field `name` is missing. [-]");
    assert_eq!(
        complaint("name: a\nmode: fest\n"),
        "G0304 s.yaml:2:7: `fest` is not one of the values allowed here. [Did you mean `fast`?]"
    );
    assert_eq!(
        complaint("name: a\nname: b\n"),
        "G0302 s.yaml:2:1: The key `name` is there twice. [Keep one of the two.]"
    );
    assert_eq!(
        complaint("name: [a\n"),
        "G0301 s.yaml:1:7: This is not valid YAML: unclosed bracket '['. [-]"
    );
    assert!(complaint("name: {{ .Values.x }}\n").starts_with("G0301 s.yaml:1:8: A key must be"));
}

#[test]
fn documents_are_told_apart() {
    let text =
        "# head\n---\n# about a\na: 1\n---\n---\n# only a comment\n--- {b: 2}\n...\n---\nc: |\n  x\n\n\n";
    let documents = parse_documents("f", text).unwrap();
    let shape: Vec<_> = documents.iter().map(|d| (d.value.clone(), d.first_line, d.text.as_str())).collect();
    assert_eq!(
        shape,
        [
            (json!({"a": 1}), 3, "# about a\na: 1\n"),
            (json!({"b": 2}), 8, "--- {b: 2}\n"),
            (json!({"c": "x\n"}), 11, "c: |\n  x\n\n\n"),
        ]
    );
    assert_eq!(documents[2].locate("/c"), Some((11, 4)));
    for document in &documents {
        assert_eq!(parse_value("f", &document.text).unwrap(), document.value);
    }
    assert_eq!(parse_value("f", "# nothing\n").unwrap(), Value::Null);
    assert_eq!(parse_documents("f", "").unwrap(), []);
}

#[test]
fn aliases_and_merges() {
    let text = "base: &base {a: 1, b: 2}\none:\n  <<: *base\n  b: 3\ntwo:\n  <<: [*base, {c: 4}]\n";
    assert_eq!(
        parse_value("f", text).unwrap(),
        json!({"base": {"a": 1, "b": 2}, "one": {"b": 3, "a": 1}, "two": {"a": 1, "b": 2, "c": 4}})
    );
    let bomb = (1..40)
        .fold("a0: &a0 [x, x]\n".to_owned(), |text, i| format!("{text}a{i}: &a{i} [*a{0}, *a{0}]\n", i - 1));
    assert_eq!(parse_value("f", &bomb).unwrap_err().code, "G0305");
    let deep = "[".repeat(100_000);
    assert!(parse_value("f", &deep).is_err());
    let chain =
        (1..2000).fold("a0: &a0 [x]\n".to_owned(), |text, i| format!("{text}a{i}: &a{i} [*a{}]\n", i - 1));
    assert_eq!(parse_value("f", &chain).unwrap_err().code, "G0305");
    assert!(parse_value("f", "a: &a [*a]\n").is_err());
}

#[test]
fn keys_and_tags() {
    let text = "1: a\ntrue: b\n1.5: c\n\"null\": d\n";
    assert_eq!(parse_value("f", text).unwrap(), json!({"1": "a", "true": "b", "1.5": "c", "null": "d"}));
    assert_eq!(
        parse_value("f", "a: !!str 5\nb: !!float 1\nc: !own x\n").unwrap(),
        json!({"a": "5", "b": 1, "c": "x"})
    );
    assert!(parse_value("f", "a: !!int x\n").is_err());
    assert_eq!(parse_value("f", "a: .inf\n").unwrap_err().code, "G0304");
}
