//! Server-side apply: each manager owns the fields that it applied.
//!
//! Applying sets the fields of the configuration, removes those that this manager applied before and nobody else
//! owns, and refuses to change a field that another manager owns unless forced. Objects that were never applied
//! have no managers; from the first apply on, ordinary writes are recorded too ([`record_update`]).

use serde_json::{Map, Value, json};

use crate::{
    Error,
    fields::{FieldSet, remove_at, show, value_at},
    schema::{Lists, Place, Schema, distinct, identity},
};

/// How a manager wrote its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By create, update or any other patch.
    Update,
}

/// One entry of `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// The name it gives itself (`fieldManager`).
    pub name: String,
    /// How it wrote.
    pub operation: Operation,
    /// The version it wrote in.
    pub api_version: String,
    /// The subresource it wrote through; empty for the object itself.
    pub subresource: String,
    /// When it wrote last, RFC 3339.
    pub time: String,
    /// What it owns.
    pub fields: FieldSet,
}

/// All managers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managers(pub Vec<Manager>);

/// A field that another manager owns with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: String,
    /// The field.
    pub field: String,
}

/// What came of an apply.
#[derive(Clone, Debug, PartialEq)]
pub enum Applied {
    /// The new object, with its managers written into it.
    Object(Value),
    /// Nothing was changed: others own these fields.
    Conflicts(Vec<Conflict>),
}

impl Managers {
    /// The managers written in an object.
    pub fn of(object: &Value) -> Self {
        let entries = object.get("metadata").and_then(|m| m.get("managedFields")).and_then(Value::as_array);
        let text = |entry: &Value, field: &str| {
            entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let read = |entry: &Value| Manager {
            name: text(entry, "manager"),
            operation: if text(entry, "operation") == "Apply" { Operation::Apply } else { Operation::Update },
            api_version: text(entry, "apiVersion"),
            subresource: text(entry, "subresource"),
            time: text(entry, "time"),
            fields: FieldSet::from_fields_v1(entry.get("fieldsV1").unwrap_or(&Value::Null)),
        };
        Managers(entries.into_iter().flatten().map(read).filter(|m| !m.fields.is_empty()).collect())
    }

    /// Writes the managers into an object; those that own nothing are left out.
    pub fn write(&self, object: &mut Value) {
        let entries: Vec<Value> =
            self.0.iter().filter(|m| !m.fields.is_empty()).map(Manager::to_json).collect();
        let Some(Value::Object(metadata)) = object.get_mut("metadata") else { return };
        if entries.is_empty() {
            metadata.shift_remove("managedFields");
        } else {
            metadata.insert("managedFields".into(), Value::Array(entries));
        }
    }
}

impl Manager {
    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.name,
            "operation": if self.operation == Operation::Apply { "Apply" } else { "Update" },
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_fields_v1(),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = Value::from(self.subresource.as_str());
        }
        entry
    }

    fn same_writer(&self, other: &Manager) -> bool {
        self.name == other.name && self.operation == other.operation && self.subresource == other.subresource
    }
}

/// Applies `config` over `live` (`None` if there is no object yet) for `manager`, whose `fields` are ignored.
///
/// # Errors
/// [`Error::NotAnObject`].
pub fn server_side_apply(
    live: Option<&Value>,
    config: &Value,
    mut manager: Manager,
    force: bool,
) -> Result<Applied, Error> {
    if !config.is_object() {
        return Err(Error::NotAnObject("the applied configuration"));
    }
    let schema = Schema::of(config);
    manager.fields = FieldSet::of(schema, config);
    let empty = json!({});
    let live = live.unwrap_or(&empty);
    let mut managers = Managers::of(live);
    let before =
        managers.0.iter().position(|m| m.same_writer(&manager)).map(|index| managers.0.remove(index));

    let conflicts = take_over(&mut managers, &manager, live, config, force);
    if !conflicts.is_empty() {
        return Ok(Applied::Conflicts(conflicts));
    }
    let mut merged = live.clone();
    overlay(schema.top(), &mut merged, config);
    let mut released = before.map(|m| m.fields.paths()).unwrap_or_default();
    released.retain(|path| {
        !manager.fields.contains(path) && !managers.0.iter().any(|other| other.fields.contains(path))
    });
    // Items come before the fields in them, so that their keys are still there to find them by.
    for path in &released {
        remove_at(&mut merged, path);
    }
    managers.0.push(manager);
    managers.write(&mut merged);
    Ok(Applied::Object(merged))
}

/// Finds fields that others own with another value; when forced, takes them from their owners.
fn take_over(
    managers: &mut Managers,
    manager: &Manager,
    live: &Value,
    config: &Value,
    force: bool,
) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    for path in manager.fields.paths() {
        let wanted = value_at(config, &path);
        // An item of a keyed list may have many owners; what is in it is looked at field by field.
        if wanted == value_at(live, &path) || matches!(path.last(), Some(crate::fields::Step::Key(_))) {
            continue;
        }
        for other in managers.0.iter_mut().filter(|other| other.fields.contains(&path)) {
            if force {
                other.fields.remove(&path);
            } else {
                conflicts.push(Conflict { manager: other.name.clone(), field: show(&path) });
            }
        }
    }
    conflicts
}

/// Sets everything that `config` says; keeps everything else.
fn overlay(place: Place<'_>, target: &mut Value, config: &Value) {
    match config {
        Value::Object(fields) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let Value::Object(target) = target else { return };
            for (key, value) in fields {
                if value.is_null() {
                    target.shift_remove(key);
                } else {
                    overlay(place.field(key), target.entry(key.as_str()).or_insert(Value::Null), value);
                }
            }
        }
        Value::Array(items) => overlay_list(place, target, items),
        scalar => *target = scalar.clone(),
    }
}

fn overlay_list(place: Place<'_>, target: &mut Value, items: &[Value]) {
    let mut current = match target.take() {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    *target = Value::Array(match place.lists() {
        Lists::Set => {
            for item in items {
                if !current.contains(item) {
                    current.push(item.clone());
                }
            }
            current
        }
        Lists::Map(keys) if distinct(items, keys) && distinct(&current, keys) => {
            for item in items {
                let id = identity(item, keys);
                match current.iter_mut().find(|old| identity(old, keys) == id) {
                    Some(old) => overlay(place, old, item),
                    None => current.push(item.clone()),
                }
            }
            current
        }
        Lists::Map(_) | Lists::Atomic => items.to_vec(),
    });
}

/// Records an ordinary write of `manager` (its `fields` are ignored) that made `new` out of `old`, in `new`'s
/// managers. Does nothing to an object that was never applied.
pub fn record_update(old: &Value, new: &mut Value, mut manager: Manager) {
    let mut managers = Managers::of(old);
    if managers.0.is_empty() {
        if let Some(Value::Object(metadata)) = new.get_mut("metadata") {
            metadata.shift_remove("managedFields");
        }
        return;
    }
    let schema = Schema::of(new);
    let (before, after) = (FieldSet::of(schema, old), FieldSet::of(schema, new));
    manager.fields = FieldSet::default();
    for path in after.paths() {
        let is_item = matches!(path.last(), Some(crate::fields::Step::Key(_)));
        let changed = !before.contains(&path) || !is_item && value_at(old, &path) != value_at(new, &path);
        if changed {
            managers.0.iter_mut().for_each(|other| other.fields.remove(&path));
            manager.fields.insert(&path);
        }
    }
    for path in before.paths().iter().filter(|path| !after.contains(path)) {
        managers.0.iter_mut().for_each(|other| other.fields.remove(path));
    }
    if !manager.fields.is_empty() {
        match managers.0.iter_mut().find(|m| m.same_writer(&manager)) {
            Some(entry) => {
                manager.fields.paths().iter().for_each(|path| entry.fields.insert(path));
                entry.time = manager.time;
            }
            None => managers.0.push(manager),
        }
    }
    managers.write(new);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(name: &str, operation: Operation) -> Manager {
        Manager {
            name: name.into(),
            operation,
            api_version: "v1".into(),
            subresource: String::new(),
            time: "2026-01-01T00:00:00Z".into(),
            fields: FieldSet::default(),
        }
    }

    fn apply(live: Option<&Value>, config: &Value, name: &str, force: bool) -> Applied {
        server_side_apply(live, config, manager(name, Operation::Apply), force).expect("an object")
    }

    fn object(applied: Applied) -> Value {
        match applied {
            Applied::Object(object) => object,
            Applied::Conflicts(conflicts) => panic!("conflicts: {conflicts:?}"),
        }
    }

    fn map(data: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
    }

    #[test]
    fn managers_share_an_object_and_give_up_what_they_no_longer_apply() {
        let one = object(apply(None, &map(json!({"a": "1", "b": "2"})), "one", false));
        let both = object(apply(Some(&one), &map(json!({"b": "2", "c": "3"})), "two", false));
        let less = object(apply(Some(&both), &map(json!({"x": "9"})), "one", false));
        assert_eq!(
            less["data"],
            json!({"b": "2", "c": "3", "x": "9"}),
            "`b` has another owner, `a` has none"
        );
        assert_eq!(object(apply(Some(&less), &map(json!({"x": "9"})), "one", false)), less, "idempotent");
    }

    #[test]
    fn another_owners_value_is_a_conflict_unless_forced() {
        let one = object(apply(None, &map(json!({"a": "1"})), "one", false));
        let Applied::Conflicts(conflicts) = apply(Some(&one), &map(json!({"a": "2"})), "two", false) else {
            panic!("no conflict")
        };
        assert_eq!(conflicts, [Conflict { manager: "one".into(), field: ".data.a".into() }]);
        let forced = object(apply(Some(&one), &map(json!({"a": "2"})), "two", true));
        assert_eq!(forced["data"], json!({"a": "2"}));
        assert_eq!(Managers::of(&forced).0.len(), 1, "one owns nothing any more");
    }

    #[test]
    fn containers_are_merged_and_removed_by_name() {
        let pod = |containers: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": containers}});
        let live = object(apply(
            None,
            &pod(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}])),
            "m",
            false,
        ));
        let next = object(apply(Some(&live), &pod(json!([{"name": "b", "image": "2"}])), "m", false));
        assert_eq!(next["spec"]["containers"], json!([{"name": "b", "image": "2"}]));
    }

    #[test]
    fn ordinary_writes_take_the_fields_they_change() {
        let one = object(apply(None, &map(json!({"a": "1", "b": "1"})), "one", false));
        let mut edited = one.clone();
        edited["data"]["a"] = json!("2");
        record_update(&one, &mut edited, manager("editor", Operation::Update));
        let Applied::Conflicts(conflicts) =
            apply(Some(&edited), &map(json!({"a": "1", "b": "1"})), "one", false)
        else {
            panic!("no conflict")
        };
        assert_eq!(conflicts[0].manager, "editor");
        let mut never = map(json!({}));
        record_update(&map(json!({"a": "1"})), &mut never, manager("editor", Operation::Update));
        assert!(never["metadata"].get("managedFields").is_none());
    }
}
