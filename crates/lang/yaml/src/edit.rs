//! Changes scalars in place, and nothing else.
//!
//! The new text is read again before it is handed out: exactly the named values must have changed.

use std::ops::Range;
use std::rc::Rc;

use galley_problem::{Kind as ProblemKind, Problem};
use serde_json::Value;
use serde_saphyr::granit_parser::ScalarStyle;

use crate::tree::{self, Kind, Node};
use crate::{resolve, value};

/// Sets scalars of the first document to new strings; comments and everything else stay byte for byte.
///
/// Quotes stay as they are, and are added where the new text would otherwise be read as something else.
///
/// # Errors
/// `G0306` if a pointer names nothing, a list or mapping, or a value shared through an alias.
pub fn set_scalars(file: &str, text: &str, changes: &[(&str, &str)]) -> Result<String, Problem> {
    let trees = tree::load(file, text, true)?;
    let root = trees.first().map(|tree| &tree.root);
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for (pointer, new) in changes {
        let node =
            root.map_or_else(|| Err(not_there(file, pointer, (1, 1))), |root| find(file, root, pointer))?;
        edits.push(edit(text, node, new));
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut result = String::with_capacity(text.len() + 64);
    let mut done = 0;
    for (range, new) in edits {
        if range.start < done {
            return Err(Problem::new("G0306", ProblemKind::Invalid, "One value is to be changed twice.")
                .at(file, 0, 0));
        }
        result.push_str(&text[done..range.start]);
        result.push_str(&new);
        done = range.end;
    }
    result.push_str(&text[done..]);
    check(file, text, &result, changes)?;
    Ok(result)
}

fn find<'a>(file: &str, root: &'a Rc<Node>, pointer: &str) -> Result<&'a Rc<Node>, Problem> {
    let mut node = root;
    for token in value::tokens(pointer) {
        let (child, at, shared) = node.child(&token).ok_or_else(|| not_there(file, pointer, node.at))?;
        if shared {
            return Err(Problem::new(
                "G0306",
                ProblemKind::Invalid,
                format!("`{pointer}` comes from an alias and cannot be changed alone."),
            )
            .at(file, at.0, at.1));
        }
        node = child;
    }
    match node.kind {
        Kind::Scalar { .. } => Ok(node),
        _ => Err(Problem::new(
            "G0306",
            ProblemKind::Invalid,
            format!("`{pointer}` is a list or a mapping, not a single value."),
        )
        .at(file, node.at.0, node.at.1)),
    }
}

fn not_there(file: &str, pointer: &str, at: (usize, usize)) -> Problem {
    Problem::new("G0306", ProblemKind::NotFound, format!("There is no value at `{pointer}` to change."))
        .at(file, at.0, at.1)
        .try_this("Add it to the file once, with any value.")
}

/// The bytes to replace and what to put there.
fn edit(text: &str, node: &Node, new: &str) -> (Range<usize>, String) {
    let Kind::Scalar { style, .. } = &node.kind else { return (node.range.clone(), String::new()) };
    let source = &text[node.range.clone()];
    let (range, style) = match style {
        ScalarStyle::Literal | ScalarStyle::Folded => {
            let end = node.range.start + source.trim_end_matches(['\n', '\r', ' ']).len();
            (node.range.start..end, ScalarStyle::Plain)
        }
        style => (node.range.start..node.range.start + source.trim_end().len(), *style),
    };
    let safe_plain = new.chars().all(|c| c.is_ascii_alphanumeric() || "-._/@:+~".contains(c))
        && resolve::is_text(new)
        && !new.starts_with(['-', '@', ':', '~', '.'])
        && !new.ends_with(':');
    let written = match style {
        ScalarStyle::SingleQuoted if new.chars().all(|c| matches!(c, ' '..='~')) => {
            format!("'{}'", new.replace('\'', "''"))
        }
        ScalarStyle::Plain if safe_plain => new.to_owned(),
        _ => quoted(new),
    };
    // An empty value stands right after its colon.
    let before = text[..range.start].chars().next_back();
    let gap = if range.is_empty() && before.is_some_and(|c| c != ' ' && c != '\n') { " " } else { "" };
    (range, format!("{gap}{written}"))
}

/// A double-quoted scalar on one line; JSON's escapes are YAML's too.
fn quoted(text: &str) -> String {
    Value::from(text)
        .to_string()
        .replace('\u{85}', "\\N")
        .replace('\u{2028}', "\\L")
        .replace('\u{2029}', "\\P")
}

/// The new text must say what the old one said, apart from the changes.
fn check(file: &str, old: &str, new: &str, changes: &[(&str, &str)]) -> Result<(), Problem> {
    let mut expected = crate::parse_value(file, old)?;
    for (pointer, text) in changes {
        if let Some(place) = expected.pointer_mut(pointer) {
            *place = Value::from(*text);
        }
    }
    if crate::parse_value(file, new).is_ok_and(|found| found == expected) {
        return Ok(());
    }
    Err(Problem::new(
        "G0306",
        ProblemKind::Invalid,
        "The value cannot be changed without touching other parts of the file.",
    )
    .at(file, 0, 0)
    .try_this("Write the value on one line of its own, without anchors."))
}
