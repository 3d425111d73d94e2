//! Text becomes manifests, with their places.

use galley_gotemplate::Rendered;
use galley_problem::{Kind, Problem};
use galley_yaml::Document;
use serde_json::Value;

use crate::{Manifest, Result};

/// The manifests of a text that is written by hand.
pub(crate) fn of_text(file: &str, text: &str, all: &mut Vec<Manifest>) -> Result<()> {
    for document in galley_yaml::parse_documents_leniently(file, text)? {
        add(file, document, &|line, column| (line, column), all)?;
    }
    Ok(())
}

/// The manifests of what a template printed; places are those in the template.
pub(crate) fn of_template(file: &str, rendered: &Rendered, all: &mut Vec<Manifest>) -> Result<()> {
    if rendered.text.trim().is_empty() {
        return Ok(());
    }
    let documents = galley_yaml::parse_documents_leniently(file, &rendered.text)
        .map_err(|problem| printed(file, rendered, problem))?;
    for document in documents {
        add(file, document, &|line, column| rendered.origin(line, column), all)?;
    }
    Ok(())
}

/// The pieces of a text between lines that begin with `---`, as Helm cuts it: the line where each begins, and its text
/// without what is blank before it.
pub(crate) fn split(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    // The first line may be a marker behind blanks, all others only at their beginning.
    let (mut start, mut at) = (0, text.len() - text.trim_start().len());
    let mut add = |start: usize, end: usize| {
        let piece = text[start..end].trim_start();
        if !piece.is_empty() {
            let line = text[..end - piece.len()].bytes().filter(|byte| *byte == b'\n').count() + 1;
            pieces.push((line, piece));
        }
    };
    while at < text.len() {
        if text[at..].starts_with("---") {
            add(start, at);
            start = at + 3;
        }
        at = text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1);
    }
    add(start, text.len());
    pieces
}

/// A problem in printed text, placed in the template, with the text around it.
pub(crate) fn printed(file: &str, rendered: &Rendered, problem: Problem) -> Problem {
    let Some(place) = problem.place.clone() else { return problem };
    let (line, column) = rendered.origin(place.line, place.column);
    let shown = rendered.text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    let shown: String = shown.chars().take(120).collect();
    problem.at(file, line, column).because_of(format!(
        "The template printed, on line {}: `{}`.",
        place.line,
        shown.trim_end()
    ))
}

/// Adds a document; a `List` is taken apart.
fn add(
    file: &str,
    document: Document,
    origin: &dyn Fn(usize, usize) -> (usize, usize),
    all: &mut Vec<Manifest>,
) -> Result<()> {
    let at = |pointer: &str| {
        let (line, column) = document.locate(pointer).unwrap_or((document.first_line, 1));
        origin(line, column)
    };
    check(file, &document.value, at(""))?;
    let is_list = document.value["kind"] == "List" && document.value["apiVersion"] == "v1";
    let Some(items) = document.value["items"].as_array().filter(|_| is_list) else {
        let line = at("").0;
        all.push(Manifest { value: document.value, file: file.to_owned(), line });
        return Ok(());
    };
    for (index, item) in items.iter().enumerate() {
        let place = at(&format!("/items/{index}"));
        check(file, item, place)?;
        all.push(Manifest { value: item.clone(), file: file.to_owned(), line: place.0 });
    }
    Ok(())
}

fn check(file: &str, value: &Value, at: (usize, usize)) -> Result<()> {
    let missing = |field: &str| value.get(field).and_then(Value::as_str).is_none_or(str::is_empty);
    let what = if !value.is_object() {
        "This is not a Kubernetes object: it is no mapping.".to_owned()
    } else if missing("apiVersion") {
        "This is not a Kubernetes object: it has no `apiVersion`.".to_owned()
    } else if missing("kind") {
        "This is not a Kubernetes object: it has no `kind`.".to_owned()
    } else {
        return Ok(());
    };
    let problem = Problem::new("G0312", Kind::Invalid, what).at(file, at.0, at.1);
    Err(problem.try_this("Every document needs `apiVersion`, `kind` and `metadata.name`."))
}
