//! Label and field selectors, and the short `facts` text of each object by which they are decided.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Fields that can be selected by, with where they are; an absent one is empty.
const FIELDS: [(&str, &str); 17] = [
    ("metadata.name", "/metadata/name"),
    ("metadata.namespace", "/metadata/namespace"),
    ("status.phase", "/status/phase"),
    ("status.podIP", "/status/podIP"),
    ("spec.nodeName", "/spec/nodeName"),
    ("spec.restartPolicy", "/spec/restartPolicy"),
    ("spec.schedulerName", "/spec/schedulerName"),
    ("spec.serviceAccountName", "/spec/serviceAccountName"),
    ("involvedObject.kind", "/involvedObject/kind"),
    ("involvedObject.namespace", "/involvedObject/namespace"),
    ("involvedObject.name", "/involvedObject/name"),
    ("involvedObject.uid", "/involvedObject/uid"),
    ("involvedObject.apiVersion", "/involvedObject/apiVersion"),
    ("involvedObject.fieldPath", "/involvedObject/fieldPath"),
    ("reason", "/reason"),
    ("type", "/type"),
    ("source", "/source/component"),
];

/// The facts of an object: its labels and selectable fields.
pub(crate) fn facts_of(object: &Value) -> String {
    let mut fields = Map::new();
    for (name, path) in FIELDS {
        if let Some(value) = object.pointer(path).and_then(Value::as_str) {
            fields.insert(name.into(), value.into());
        }
    }
    let labels = object.pointer("/metadata/labels").filter(|labels| labels.is_object());
    let mut facts = json!({"l": labels.unwrap_or(&Value::Object(Map::new())), "f": fields});
    if crate::object::is_deleting(object) {
        facts["d"] = Value::Bool(true);
    }
    facts.to_string()
}

/// Whether the facts are those of an object on its way out.
pub(crate) fn says_deleting(facts: &str) -> bool {
    // Written last, and nothing else in the facts can end so: labels and fields are objects.
    facts.ends_with(r#","d":true}"#)
}

#[derive(Deserialize)]
struct Facts<'a> {
    #[serde(borrow)]
    l: BTreeMap<Cow<'a, str>, Value>,
    #[serde(borrow)]
    f: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

/// What a list or a watch is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl Selector {
    /// Reads both selectors; empty texts select everything. The error is a sentence.
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Self, String> {
        Ok(Selector { labels: parse_labels(labels)?, fields: parse_fields(fields)? })
    }

    /// Whether an object with these facts is selected.
    pub(crate) fn matches(&self, facts: &str) -> bool {
        if self.is_everything() {
            return true;
        }
        let Ok(facts) = serde_json::from_str::<Facts<'_>>(facts) else { return false };
        let label = |key: &str| facts.l.get(key).map(|value| value.as_str().unwrap_or_default());
        self.labels.iter().all(|requirement| requirement.holds(label(&requirement.key)))
            && self.fields.iter().all(|(field, equal, wanted)| {
                let value = facts.f.get(field.as_str()).map_or("", |value| value.as_ref());
                (value == wanted) == *equal
            })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one name that is asked for, if it is.
    pub(crate) fn name(&self) -> Option<&str> {
        let named = |(field, equal, value): &'_ (String, bool, String)| {
            (field == "metadata.name" && *equal && !value.is_empty()).then_some(())
        };
        self.fields.iter().find(|field| named(field).is_some()).map(|(_, _, name)| name.as_str())
    }
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|text| text.parse::<i64>().ok());
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
            Test::NotIn(values) => !value.is_some_and(|value| values.iter().any(|v| v == value)),
            Test::Greater(bound) => number().is_some_and(|number| number > *bound),
            Test::Less(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

fn parse_fields(text: &str) -> Result<Vec<(String, bool, String)>, String> {
    let mut fields = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
            (field, false, value)
        } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (field, true, value)
        } else {
            return Err(format!("invalid field selector: '{part}'; can't understand it"));
        };
        let field = field.trim();
        if !FIELDS.iter().any(|(known, _)| *known == field) {
            return Err(format!("field label not supported: {field}"));
        }
        fields.push((field.to_owned(), equal, value.trim().to_owned()));
    }
    Ok(fields)
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, String> {
    let mut requirements = Vec::new();
    for part in split_outside_parentheses(text) {
        let part = part.trim();
        if part.is_empty() {
            continue;
        }
        requirements
            .push(parse_requirement(part).ok_or_else(|| format!("unable to parse requirement: '{part}'"))?);
    }
    Ok(requirements)
}

fn parse_requirement(part: &str) -> Option<Requirement> {
    let (key, test) = if let Some(inner) = part.strip_suffix(')') {
        let (head, values) = inner.split_once('(')?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = head.split_whitespace();
        let key = words.next()?;
        match (words.next()?, words.next()) {
            ("in", None) => (key, Test::In(values)),
            ("notin", None) => (key, Test::NotIn(values)),
            _ => return None,
        }
    } else if let Some(key) = part.strip_prefix('!') {
        (key, Test::Absent)
    } else if let Some((key, value)) = part.split_once("!=") {
        (key, Test::NotIn(vec![value.trim().to_owned()]))
    } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (key, Test::In(vec![value.trim().to_owned()]))
    } else if let Some((key, value)) = part.split_once('>') {
        (key, Test::Greater(value.trim().parse().ok()?))
    } else if let Some((key, value)) = part.split_once('<') {
        (key, Test::Less(value.trim().parse().ok()?))
    } else {
        (part, Test::Exists)
    };
    let key = key.trim();
    let valid = !key.is_empty() && !key.contains(|c: char| c.is_whitespace() || "()!=<>,".contains(c));
    valid.then(|| Requirement { key: key.to_owned(), test })
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0u32, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(labels: &str, fields: &str, expected: bool) {
        let pod = json!({"metadata": {"name": "a", "labels": {"app": "web", "n": "5"}}, "status": {"phase": "Running"}});
        let selector = Selector::parse(labels, fields).expect("parses");
        assert_eq!(selector.matches(&facts_of(&pod)), expected, "{labels} {fields}");
    }

    #[test]
    fn label_selectors() {
        check("app=web", "", true);
        check("app==web,n", "", true);
        check("app!=web", "", false);
        check("other!=web", "", true);
        check("app in (db, web)", "", true);
        check("app notin (db, web),n=5", "", false);
        check("!app", "", false);
        check("!other", "", true);
        check("n>4,n<6", "", true);
        check("n>5", "", false);
        for bad in ["app in web", "a b", "in (x)", "app>x", "=x"] {
            assert!(Selector::parse(bad, "").is_err(), "{bad}");
        }
    }

    #[test]
    fn field_selectors() {
        check("", "metadata.name=a,status.phase!=Failed", true);
        check("", "status.phase=Failed", false);
        check("", "spec.nodeName=", true);
        assert!(Selector::parse("", "spec.unknown=x").is_err());
        assert_eq!(Selector::parse("", "metadata.name=a").expect("parses").name(), Some("a"));
    }
}
