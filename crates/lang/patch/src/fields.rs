//! Sets of fields, as `metadata.managedFields[].fieldsV1` writes them.
//!
//! A set is a tree. A step is a field (`f:name`), an item of a keyed list (`k:{"name":"web"}`) or an item of a set
//! (`v:"x"`). Lists that are one value and scalars are leaves.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::schema::{Lists, Place, Schema, distinct, identity};

/// A set of fields of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    owned: bool,
    below: BTreeMap<Step, FieldSet>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A field of an object.
    Field(String),
    /// An item of a keyed list, by the JSON of its keys.
    Key(String),
    /// An item of a set, by its JSON.
    Value(String),
}

pub(crate) type FieldPath = Vec<Step>;

/// Fields of `metadata` that the server alone writes, or that name the object.
const SERVER_METADATA: [&str; 9] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
];

impl FieldSet {
    /// All fields of an object, without those that name it or that only the server writes.
    pub fn of(schema: Schema, object: &Value) -> Self {
        let mut set = Self::of_value(schema.top(), object);
        set.below.remove(&Step::Field("apiVersion".into()));
        set.below.remove(&Step::Field("kind".into()));
        let metadata = Step::Field("metadata".into());
        if let Some(fields) = set.below.get_mut(&metadata) {
            for field in SERVER_METADATA {
                fields.below.remove(&Step::Field(field.into()));
            }
            if fields.below.is_empty() {
                set.below.remove(&metadata);
            }
        }
        set
    }

    fn of_value(place: Place<'_>, value: &Value) -> Self {
        let leaf = || FieldSet { owned: true, below: BTreeMap::new() };
        let below: BTreeMap<Step, FieldSet> = match value {
            Value::Object(fields) if !fields.is_empty() => fields
                .iter()
                .map(|(key, value)| (Step::Field(key.clone()), Self::of_value(place.field(key), value)))
                .collect(),
            Value::Array(items) => match place.lists() {
                Lists::Map(keys) if !items.is_empty() && distinct(items, keys) => items
                    .iter()
                    .map(|item| {
                        let mut set = Self::of_value(place, item);
                        set.owned = true;
                        (Step::Key(key_text(item, keys)), set)
                    })
                    .collect(),
                Lists::Set if !items.is_empty() => {
                    items.iter().map(|item| (Step::Value(item.to_string()), leaf())).collect()
                }
                _ => return leaf(),
            },
            _ => return leaf(),
        };
        FieldSet { owned: false, below }
    }

    /// Reads `fieldsV1`; what it does not understand it leaves out.
    pub fn from_fields_v1(fields: &Value) -> Self {
        let mut set = FieldSet::default();
        let Some(fields) = fields.as_object() else { return set };
        for (key, value) in fields {
            let step = match key.split_once(':') {
                Some(("f", name)) => Step::Field(name.to_owned()),
                Some(("k", keys)) => Step::Key(keys.to_owned()),
                Some(("v", text)) => Step::Value(text.to_owned()),
                _ => {
                    set.owned |= key == ".";
                    continue;
                }
            };
            set.below.insert(step, Self::from_fields_v1(value));
        }
        set.owned |= set.below.is_empty();
        set
    }

    /// Writes `fieldsV1`.
    pub fn to_fields_v1(&self) -> Value {
        let mut fields = Map::new();
        if self.owned && !self.below.is_empty() {
            fields.insert(".".into(), Value::Object(Map::new()));
        }
        for (step, below) in &self.below {
            let key = match step {
                Step::Field(name) => format!("f:{name}"),
                Step::Key(keys) => format!("k:{keys}"),
                Step::Value(text) => format!("v:{text}"),
            };
            fields.insert(key, below.to_fields_v1());
        }
        Value::Object(fields)
    }

    /// Whether no field is in the set.
    pub fn is_empty(&self) -> bool {
        !self.owned && self.below.values().all(FieldSet::is_empty)
    }

    /// Every field in the set, items before what is in them.
    pub(crate) fn paths(&self) -> Vec<FieldPath> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, here: &mut FieldPath, paths: &mut Vec<FieldPath>) {
        if self.owned && !here.is_empty() {
            paths.push(here.clone());
        }
        for (step, below) in &self.below {
            here.push(step.clone());
            below.collect(here, paths);
            here.pop();
        }
    }

    /// Whether exactly this field is in the set.
    pub(crate) fn contains(&self, path: &[Step]) -> bool {
        match path.split_first() {
            None => self.owned,
            Some((step, rest)) => self.below.get(step).is_some_and(|set| set.contains(rest)),
        }
    }

    /// Puts a field into the set.
    pub(crate) fn insert(&mut self, path: &[Step]) {
        match path.split_first() {
            None => self.owned = true,
            Some((step, rest)) => self.below.entry(step.clone()).or_default().insert(rest),
        }
    }

    /// Takes a field out of the set, and branches that become empty with it.
    pub(crate) fn remove(&mut self, path: &[Step]) {
        let Some((step, rest)) = path.split_first() else {
            self.owned = false;
            return;
        };
        if let Some(set) = self.below.get_mut(step) {
            set.remove(rest);
            if set.is_empty() {
                self.below.remove(step);
            }
        }
    }
}

fn key_text(item: &Value, keys: &[&str]) -> String {
    let values = identity(item, keys).unwrap_or_default();
    let fields: Map<String, Value> =
        keys.iter().zip(values).map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Value::Object(fields).to_string()
}

/// The value at a path.
pub(crate) fn value_at<'v>(value: &'v Value, path: &[Step]) -> Option<&'v Value> {
    let Some((step, rest)) = path.split_first() else { return Some(value) };
    value_at(
        match step {
            Step::Field(name) => value.get(name)?,
            Step::Key(_) | Step::Value(_) => {
                let items = value.as_array()?;
                &items[position(items, step)?]
            }
        },
        rest,
    )
}

/// Removes the value at a path, and objects and lists that become empty with it.
pub(crate) fn remove_at(value: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else { return };
    let now_empty = |value: &Value| match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    match (step, value) {
        (Step::Field(name), Value::Object(fields)) => {
            if let Some(inner) = fields.get_mut(name) {
                remove_at(inner, rest);
                if rest.is_empty() || now_empty(inner) {
                    fields.shift_remove(name);
                }
            }
        }
        (Step::Key(_) | Step::Value(_), Value::Array(items)) => {
            if let Some(index) = position(items, step) {
                if rest.is_empty() {
                    items.remove(index);
                } else {
                    remove_at(&mut items[index], rest);
                }
            }
        }
        _ => {}
    }
}

fn position(items: &[Value], step: &Step) -> Option<usize> {
    match step {
        Step::Field(_) => None,
        Step::Value(text) => {
            let wanted: Value = serde_json::from_str(text).ok()?;
            items.iter().position(|item| *item == wanted)
        }
        Step::Key(text) => {
            let wanted: Value = serde_json::from_str(text).ok()?;
            let keys: Vec<&str> = wanted.as_object()?.keys().map(String::as_str).collect();
            let id = identity(&wanted, &keys)?;
            items.iter().position(|item| identity(item, &keys).as_ref() == Some(&id))
        }
    }
}

/// A path for a person: `.spec.containers[name="web"].image`.
pub(crate) fn show(path: &[Step]) -> String {
    path.iter().fold(String::new(), |text, step| match step {
        Step::Field(name) => text + "." + name,
        Step::Value(value) => text + "[=" + value + "]",
        Step::Key(keys) => {
            let keys: Value = serde_json::from_str(keys).unwrap_or_default();
            let pairs: Vec<String> =
                keys.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
            text + "[" + &pairs.join(",") + "]"
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sets_are_written_as_kubernetes_writes_them() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "labels": {"x": "1"}, "finalizers": ["f"]},
            "spec": {"containers": [{"name": "web", "image": "i", "args": ["1"]}]}});
        let set = FieldSet::of(Schema::of(&pod), &pod);
        let written = json!({
            "f:metadata": {"f:finalizers": {"v:\"f\"": {}}, "f:labels": {"f:x": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"web\"}":
                {".": {}, "f:args": {}, "f:image": {}, "f:name": {}}}}});
        assert_eq!(set.to_fields_v1(), written);
        assert_eq!(FieldSet::from_fields_v1(&written), set);
        for path in set.paths() {
            assert!(value_at(&pod, &path).is_some(), "{}", show(&path));
        }
    }
}
