//! Whole charts: every template prints what Helm prints.

use galley_render::{ValueSources, render_templates};

use crate::support::{capabilities, cases, read_folder, recording, release};

fn check(name: &str) {
    let folder = cases().join("charts").join(name);
    let given = folder.join("given.json");
    let inline = given.exists().then(|| recording(&given)["values"].clone());
    let sources = ValueSources { inline, ..ValueSources::default() };
    let ours = render_templates(&read_folder(&folder.join("chart")), &sources, &release(), &capabilities());
    let recorded = recording(&folder.join("recorded.json"));
    let Some(theirs) = recorded.get("texts").and_then(|texts| texts.as_object()) else {
        assert!(ours.is_err(), "Helm says {recorded:?}");
        return;
    };
    let ours = ours.unwrap_or_else(|problem| panic!("{name}: {problem}"));
    for (file, text) in theirs {
        assert_eq!(ours.get(file).map(String::as_str), text.as_str(), "{file}");
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
}

#[test]
fn an_environment() {
    check("environment");
}

#[test]
fn charts_in_a_chart() {
    check("umbrella");
}

#[test]
fn imported_values() {
    check("imports");
}

#[test]
fn shapes_of_values() {
    check("values");
}

#[test]
fn a_failing_chart() {
    check("failing");
}
