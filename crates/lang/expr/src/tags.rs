//! `{{name}}` and `{{=expression}}` inside texts.
//!
//! The first `}}` ends a tag. What is not known stays as it was written: a later pass may know it, and a text may
//! simply hold braces. Argo works on the JSON text of a whole template; this works on each string of the value, which
//! gives the same result without escapes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::eval::{Env, env_from, eval};
use crate::names::names_of;
use crate::{ExprError, go_json};

/// What may stay unresolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Unknown names stay as they are.
    Lenient,
    /// Names that begin with `steps.` or `tasks.` must be known (artifacts aside: they are resolved elsewhere).
    Outputs,
    /// Every name must be known.
    Strict,
}

/// A tag that could not be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A name that must be known is not.
    #[error("failed to resolve {{{{{0}}}}}")]
    Unresolved(String),
    /// An expression that must be known by now reads something that is missing.
    #[error("failed to evaluate expression: {0} is missing")]
    Missing(String),
    /// An expression that cannot be read or computed.
    #[error("failed to evaluate expression: {0}")]
    Expression(ExprError),
    /// An expression whose result is nil.
    #[error("failed to evaluate expression \"{0}\"")]
    Nil(String),
}

/// The names known to a pass, with their expression tree.
struct Names<'a> {
    flat: &'a BTreeMap<String, String>,
    tree: Option<Env>,
}

/// Replaces the tags in every string of a value, keys of maps included.
///
/// # Errors
/// The first tag that must be known and is not, or whose expression fails.
pub fn substitute(value: &Value, names: &BTreeMap<String, String>, mode: Mode) -> Result<Value, TagError> {
    walk(value, &mut Names { flat: names, tree: None }, mode)
}

/// Replaces the tags in one text.
///
/// # Errors
/// As [`substitute`].
pub fn substitute_text(text: &str, names: &BTreeMap<String, String>, mode: Mode) -> Result<String, TagError> {
    replace(text, &mut Names { flat: names, tree: None }, mode)
}

/// The insides of all tags of a text, in order; expressions keep their leading `=`.
pub fn tags_of(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((tag, after)) = next_tag(rest).map(|(_, tag, after)| (tag, after)) {
        found.push(tag);
        rest = after;
    }
    found
}

fn next_tag(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find("{{")?;
    let end = text[start + 2..].find("}}")? + start + 2;
    Some((&text[..start], &text[start + 2..end], &text[end + 2..]))
}

fn walk(value: &Value, names: &mut Names, mode: Mode) -> Result<Value, TagError> {
    Ok(match value {
        Value::String(text) if text.contains("{{") => Value::String(replace(text, names, mode)?),
        Value::Array(items) => items.iter().map(|item| walk(item, names, mode)).collect::<Result<_, _>>()?,
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                let key = if key.contains("{{") { replace(key, names, mode)? } else { key.clone() };
                Ok((key, walk(value, names, mode)?))
            })
            .collect::<Result<_, _>>()?,
        other => other.clone(),
    })
}

fn replace(text: &str, names: &mut Names, mode: Mode) -> Result<String, TagError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, tag, after)) = next_tag(rest) {
        out.push_str(before);
        rest = after;
        match tag.strip_prefix('=') {
            Some(expression) => out.push_str(&computed(expression, names, mode)?),
            None => out.push_str(&simple(tag, names, mode)?),
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn simple(tag: &str, names: &Names, mode: Mode) -> Result<String, TagError> {
    let name = tag.trim();
    if let Some(value) = names.flat.get(name) {
        return Ok(value.clone());
    }
    // `{{a.{{b}}}}`: the inner tag first; the outer one is left for the next pass.
    if let Some(at) = tag.rfind("{{")
        && let Some(value) = names.flat.get(&tag[at + 2..])
    {
        return Ok(format!("{{{{{}{value}", &tag[..at]));
    }
    let must = match mode {
        Mode::Lenient => false,
        Mode::Outputs => is_output(name) && !name.contains(".outputs.artifacts."),
        Mode::Strict => true,
    };
    if must { Err(TagError::Unresolved(tag.to_owned())) } else { Ok(format!("{{{{{tag}}}}}")) }
}

fn is_output(name: &str) -> bool {
    matches!(name.split('.').next(), Some("steps" | "tasks"))
}

fn computed(expression: &str, names: &mut Names, mode: Mode) -> Result<String, TagError> {
    let read = names_of(expression).map_err(TagError::Expression)?;
    let tree = names.tree.get_or_insert_with(|| env_from(names.flat));
    let missing: Vec<&String> = read.iter().filter(|path| !knows(tree, path)).collect();
    if let Some(path) = missing.iter().find(|path| match mode {
        Mode::Lenient => false,
        Mode::Outputs => is_output(path),
        Mode::Strict => true,
    }) {
        return Err(TagError::Missing((*path).clone()));
    }
    if !missing.is_empty() {
        return match eval(expression, tree) {
            Ok(value) if !value.is_null() && !waits(&missing) => Ok(shown(&value)),
            _ => Ok(format!("{{{{={expression}}}}}")),
        };
    }
    match eval(expression, tree).map_err(TagError::Expression)? {
        Value::Null => Err(TagError::Nil(expression.to_owned())),
        value => Ok(shown(&value)),
    }
}

/// Names that only a later pass knows; an expression that reads one is not decided before.
fn waits(missing: &[&String]) -> bool {
    missing.iter().any(|path| {
        ["item", "retries", "lastRetry", "workflow.status", "workflow.failures"]
            .iter()
            .any(|late| path == late || path.starts_with(&format!("{late}.")))
    })
}

fn knows(tree: &Env, path: &str) -> bool {
    let mut parts = path.split('.');
    let Some(mut at) = parts.next().and_then(|first| tree.get(first)) else {
        return path == "sprig" || path.starts_with("sprig.");
    };
    for part in parts {
        match at.get(part) {
            Some(next) => at = next,
            None => return false,
        }
    }
    true
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => go_json(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names() -> BTreeMap<String, String> {
        [
            ("workflow.name", "w"),
            ("inputs.parameters.n", "5"),
            ("which", "n"),
            ("item", "x"),
            ("steps.a-b.status", "Failed"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(substitute_text(text, &names(), Mode::Lenient), Ok(expected.to_owned()));
    }

    #[test]
    fn known_names_are_replaced_and_others_stay() {
        check("{{workflow.name}}-{{ workflow.name }} {{not.known}} {{ '{' }}", "w-w {{not.known}} {{ '{' }}");
        check("{{inputs.parameters.{{which}}}}", "{{inputs.parameters.n}}");
        check("{{open", "{{open");
    }

    #[test]
    fn expressions_are_computed_when_all_they_read_is_known() {
        check("{{=asInt(inputs.parameters.n) * 2}} {{=inputs.parameters['n']}}", "10 5");
        check("{{=steps['a-b'].status == 'Failed' ? 1.0 : 2}}", "1");
        check("{{=retries == '1'}}", "{{=retries == '1'}}");
        check("{{=unknown(1)}}", "{{=unknown(1)}}");
        let broken = substitute_text("{{=1 +}}", &names(), Mode::Lenient).unwrap_err();
        assert_eq!(
            broken.to_string(),
            "failed to evaluate expression: unexpected token EOF (1:3)\n | 1 +\n | ..^"
        );
    }

    #[test]
    fn outputs_must_be_known_when_asked() {
        let error = substitute_text("{{steps.x.outputs.result}}", &names(), Mode::Outputs).unwrap_err();
        assert_eq!(error.to_string(), "failed to resolve {{steps.x.outputs.result}}");
        assert!(
            substitute_text("{{steps.x.outputs.artifacts.a}} {{other}}", &names(), Mode::Outputs).is_ok()
        );
        assert!(substitute_text("{{other}}", &names(), Mode::Strict).is_err());
    }

    #[test]
    fn whole_values_with_keys() {
        let value = json!({"{{item}}": ["a{{item}}", 1, true]});
        assert_eq!(substitute(&value, &names(), Mode::Lenient).unwrap(), json!({"x": ["ax", 1, true]}));
        assert_eq!(tags_of("{{a}} b {{=c + 1}}"), ["a", "=c + 1"]);
    }
}
