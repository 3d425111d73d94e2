//! Fields whose differences do not count: `ignoreDifferences`.

use galley_argo_cd::IgnoreDifference;
use serde_json::Value;

use crate::Key;

/// A path that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoreError(
    /// The path as written.
    pub String,
);

impl std::fmt::Display for IgnoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ignoreDifferences: `{}` is not a plain path such as `.spec.replicas` or `.a[].b`", self.0)
    }
}

impl std::error::Error for IgnoreError {}

/// The rules of one Application.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    rules: Vec<(IgnoreDifference, Vec<Vec<Part>>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Field(String),
    Index(usize),
    All,
}

impl Ignore {
    /// Reads the rules: JSON pointers, and jq expressions that are plain paths.
    ///
    /// # Errors
    /// The first path that is neither.
    pub fn new(rules: &[IgnoreDifference]) -> Result<Self, IgnoreError> {
        let read = |rule: &IgnoreDifference| {
            let pointers = rule.json_pointers.iter().map(|p| pointer(p));
            let paths = rule.jq_path_expressions.iter().map(|p| jq(p));
            Ok((rule.clone(), pointers.chain(paths).collect::<Result<Vec<_>, _>>()?))
        };
        Ok(Ignore { rules: rules.iter().map(read).collect::<Result<_, IgnoreError>>()? })
    }

    fn paths(&self, key: &Key) -> impl Iterator<Item = &Vec<Part>> {
        let any = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        let key = key.clone();
        self.rules
            .iter()
            .filter(move |(rule, _)| {
                any(&rule.group, &key.group)
                    && any(&rule.kind, &key.kind)
                    && (rule.name.is_empty() || rule.name == key.name)
                    && (rule.namespace.is_empty() || rule.namespace == key.namespace)
            })
            .flat_map(|(_, paths)| paths)
    }

    /// Takes the fields that do not count out of an object.
    pub(crate) fn strip(&self, key: &Key, object: &mut Value) {
        for path in self.paths(key) {
            remove(object, path);
        }
    }

    /// Gives `target` the live values of the fields that do not count, so that applying it leaves them alone.
    pub fn respect(&self, key: &Key, target: &mut Value, live: &Value) {
        for path in self.paths(key) {
            copy(target, Some(live), path);
        }
    }
}

fn pointer(text: &str) -> Result<Vec<Part>, IgnoreError> {
    let rest = text.strip_prefix('/').ok_or_else(|| IgnoreError(text.to_owned()))?;
    let part = |part: &str| {
        let name = part.replace("~1", "/").replace("~0", "~");
        name.parse().map_or(Part::Field(name), Part::Index)
    };
    Ok(rest.split('/').map(part).collect())
}

fn jq(text: &str) -> Result<Vec<Part>, IgnoreError> {
    let bad = || IgnoreError(text.to_owned());
    let mut rest = text.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix(".[").or_else(|| rest.strip_prefix('[')) {
            let (inside, after) = inner.split_once(']').ok_or_else(bad)?;
            let quoted = inside.strip_prefix('"').and_then(|i| i.strip_suffix('"'));
            parts.push(match (inside, quoted) {
                ("", _) => Part::All,
                (_, Some(name)) => Part::Field(name.to_owned()),
                (number, None) => Part::Index(number.parse().map_err(|_| bad())?),
            });
            rest = after;
        } else {
            let inner = rest.strip_prefix('.').ok_or_else(bad)?;
            let end = inner.find(['.', '[', '?']).unwrap_or(inner.len());
            let name = &inner[..end];
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                return Err(bad());
            }
            parts.push(Part::Field(name.to_owned()));
            rest = &inner[end..];
        }
        rest = rest.strip_prefix('?').unwrap_or(rest);
    }
    if parts.is_empty() { Err(bad()) } else { Ok(parts) }
}

fn step<'a>(value: &'a mut Value, part: &Part) -> Vec<&'a mut Value> {
    match (part, value) {
        (Part::Field(name), Value::Object(fields)) => fields.get_mut(name).into_iter().collect(),
        // A pointer's number may be the name of a field.
        (Part::Index(n), Value::Object(fields)) => fields.get_mut(&n.to_string()).into_iter().collect(),
        (Part::Index(n), Value::Array(items)) => items.get_mut(*n).into_iter().collect(),
        (Part::All, Value::Array(items)) => items.iter_mut().collect(),
        (Part::All, Value::Object(fields)) => fields.values_mut().collect(),
        _ => Vec::new(),
    }
}

fn remove(value: &mut Value, path: &[Part]) {
    let Some((first, rest)) = path.split_first() else { return };
    if !rest.is_empty() {
        for below in step(value, first) {
            remove(below, rest);
        }
        return;
    }
    match (first, value) {
        (Part::Field(name), Value::Object(fields)) => {
            fields.shift_remove(name);
        }
        (Part::Index(n), Value::Object(fields)) => {
            fields.shift_remove(&n.to_string());
        }
        // Removing would move the others; emptied, the item compares equal.
        (Part::Index(n), Value::Array(items)) => {
            if let Some(item) = items.get_mut(*n) {
                *item = Value::Null;
            }
        }
        (Part::All, Value::Array(items)) => items.clear(),
        (Part::All, Value::Object(fields)) => fields.clear(),
        _ => {}
    }
}

fn copy(target: &mut Value, live: Option<&Value>, path: &[Part]) {
    let Some((first, rest)) = path.split_first() else { return };
    let name = match first {
        Part::Field(name) => name.clone(),
        Part::Index(n) => n.to_string(),
        Part::All => String::new(),
    };
    match (first, target) {
        (Part::All | Part::Index(_), Value::Array(items)) => {
            let live = live.and_then(Value::as_array);
            for (n, item) in items.iter_mut().enumerate() {
                if matches!(first, Part::Index(wanted) if *wanted != n) {
                    continue;
                }
                let same = live.and_then(|live| live.get(n));
                if rest.is_empty() {
                    if let Some(same) = same {
                        *item = same.clone();
                    }
                } else {
                    copy(item, same, rest);
                }
            }
        }
        (_, Value::Object(fields)) => {
            let live = live.and_then(|live| live.get(&name));
            if !rest.is_empty() {
                if let Some(below) = fields.get_mut(&name) {
                    copy(below, live, rest);
                }
            } else if let Some(live) = live {
                fields.insert(name, live.clone());
            } else {
                fields.shift_remove(&name);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(pointers: &[&str], paths: &[&str]) -> Result<Ignore, IgnoreError> {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Ignore::new(&[IgnoreDifference {
            group: "*".into(),
            kind: "X".into(),
            json_pointers: own(pointers),
            jq_path_expressions: own(paths),
            ..IgnoreDifference::default()
        }])
    }

    fn key(kind: &str) -> Key {
        Key { group: "g".into(), kind: kind.into(), namespace: String::new(), name: "n".into() }
    }

    #[test]
    fn pointers_and_plain_paths_take_fields_out() {
        let ignore = rules(&["/spec/replicas", "/a~1b"], &[".c[].image", ".d[\"e.f\"]"]).expect("reads");
        let object =
            json!({"spec": {"replicas": 3, "x": 1}, "a/b": 1, "c": [{"image": 1, "n": 1}], "d": {"e.f": 1}});
        let mut stripped = object.clone();
        ignore.strip(&key("X"), &mut stripped);
        assert_eq!(stripped, json!({"spec": {"x": 1}, "c": [{"n": 1}], "d": {}}));
        let mut other = object.clone();
        ignore.strip(&key("Y"), &mut other);
        assert_eq!(other, object);
    }

    #[test]
    fn respected_fields_come_from_live() {
        let ignore = rules(&["/spec/replicas"], &[".c[].image"]).expect("reads");
        let mut target = json!({"spec": {"replicas": 1}, "c": [{"image": "new"}]});
        ignore.respect(&key("X"), &mut target, &json!({"spec": {"replicas": 5}, "c": [{"image": "old"}]}));
        assert_eq!(target, json!({"spec": {"replicas": 5}, "c": [{"image": "old"}]}));
    }

    #[test]
    fn what_is_no_plain_path_is_refused() {
        for bad in [".a[] | select(.b)", "", "a", ".a[b]"] {
            assert!(rules(&[], &[bad]).is_err(), "{bad}");
        }
    }
}
