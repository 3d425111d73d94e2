//! Resources that remember what they were called.

use serde_json::{Map, Value};

use crate::id::{Gvk, Id};
use crate::{Result, problem};

/// What a generated object does to one that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behavior {
    #[default]
    Create,
    Replace,
    Merge,
}

/// An object on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resource {
    /// The object; null once a patch has deleted it.
    pub(crate) value: Value,
    /// Former names, oldest first: namespace, name, kind.
    former: Vec<(String, String, String)>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    pub(crate) behavior: Behavior,
    pub(crate) wants_hash: bool,
    pub(crate) may_change_name: bool,
    pub(crate) may_change_kind: bool,
    /// Variables that are about this object.
    pub(crate) variables: Vec<String>,
    /// Comes from a chart: it has its namespace already.
    pub(crate) from_chart: bool,
}

impl Resource {
    pub(crate) fn new(value: Value) -> Resource {
        Resource { value, ..Resource::default() }
    }

    pub(crate) fn metadata(&self, field: &str) -> &str {
        self.value
            .pointer("/metadata")
            .and_then(|all| all.get(field))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.metadata("name")
    }

    pub(crate) fn namespace(&self) -> &str {
        self.metadata("namespace")
    }

    pub(crate) fn kind(&self) -> &str {
        self.value.get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn gvk(&self) -> Gvk {
        Gvk::of(&self.value)
    }

    /// What it is called now.
    pub(crate) fn id(&self) -> Id {
        Id { gvk: self.gvk(), name: self.name().to_owned(), namespace: self.namespace().to_owned() }
    }

    /// All former ids, oldest first.
    pub(crate) fn former_ids(&self) -> Vec<Id> {
        let gvk = self.gvk();
        let id = |(namespace, name, kind): &(String, String, String)| Id {
            gvk: Gvk { kind: kind.clone(), ..gvk.clone() },
            name: name.clone(),
            namespace: namespace.clone(),
        };
        self.former.iter().map(id).collect()
    }

    /// All ids, the present one last.
    pub(crate) fn ids(&self) -> Vec<Id> {
        let mut ids = self.former_ids();
        ids.push(self.id());
        ids
    }

    /// What it was called at first.
    pub(crate) fn first_id(&self) -> Id {
        self.former_ids().into_iter().next().unwrap_or_else(|| self.id())
    }

    pub(crate) fn remember_id(&mut self) {
        let id = self.id();
        let namespace = match id.effective_namespace() {
            "_cluster_" => "_cluster_".to_owned(),
            other => other.to_owned(),
        };
        self.former.push((namespace, id.name, id.gvk.kind));
    }

    /// `metadata`, made if it is absent.
    pub(crate) fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        if !self.value.is_object() {
            self.value = Value::Object(Map::new());
        }
        child(object(&mut self.value), "metadata")
    }

    pub(crate) fn set_name(&mut self, name: &str) {
        self.metadata_mut().insert("name".to_owned(), Value::from(name));
    }

    pub(crate) fn set_namespace(&mut self, namespace: &str) {
        if namespace.is_empty() {
            self.metadata_mut().shift_remove("namespace");
        } else {
            self.metadata_mut().insert("namespace".to_owned(), Value::from(namespace));
        }
    }

    /// A map of texts below `metadata`.
    pub(crate) fn texts(&self, field: &str) -> Vec<(String, String)> {
        let all = self.value.pointer("/metadata").and_then(|all| all.get(field)).and_then(Value::as_object);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        all.into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
    }

    /// Takes over what an object that this one replaces has in its metadata.
    pub(crate) fn take_metadata_of(&mut self, old: &Resource) {
        for field in ["labels", "annotations"] {
            let mut merged: Map<String, Value> = Map::new();
            for (key, value) in old.texts(field).into_iter().chain(self.texts(field)) {
                merged.insert(key, Value::from(value));
            }
            if merged.is_empty() {
                continue;
            }
            self.metadata_mut().insert(field.to_owned(), Value::Object(merged));
        }
        self.set_name(old.name());
        self.set_namespace(old.namespace());
        self.former.clone_from(&old.former);
        self.prefixes.clone_from(&old.prefixes);
        self.suffixes.clone_from(&old.suffixes);
        self.wants_hash = self.wants_hash && old.wants_hash;
        self.behavior = old.behavior;
    }

    /// Takes over keys of `data` and `binaryData` that this one does not have.
    pub(crate) fn merge_data_of(&mut self, old: &Resource) {
        for field in ["data", "binaryData"] {
            let theirs = old.value.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
            let own = self.value.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
            let mut merged = theirs;
            merged.extend(own);
            if !merged.is_empty() {
                object(&mut self.value).insert(field.to_owned(), Value::Object(merged));
            }
        }
    }
}

/// A value as an object; it becomes one if it is none.
pub(crate) fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

/// The object under a key, made if it is absent.
pub(crate) fn child<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    object(map.entry(key.to_owned()).or_insert_with(|| Value::Object(Map::new())))
}

/// Resources in their order; no two have the same id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resources(pub(crate) Vec<Resource>);

impl Resources {
    pub(crate) fn add(&mut self, resource: Resource) -> Result<()> {
        let id = resource.id();
        if self.0.iter().any(|known| known.id().same(&id)) {
            return Err(problem(format!("may not add resource with an already registered id: {id}")));
        }
        self.0.push(resource);
        Ok(())
    }

    pub(crate) fn add_all(&mut self, others: Resources) -> Result<()> {
        others.0.into_iter().try_for_each(|resource| self.add(resource))
    }

    /// Adds what a generator made: new, over an old one, or merged with it.
    pub(crate) fn absorb(&mut self, mut resource: Resource) -> Result<()> {
        let id = resource.id();
        let found = self.by_any_id(|known| known.same(&id));
        match (found.as_slice(), resource.behavior) {
            ([], Behavior::Create) => self.add(resource),
            ([], _) => Err(problem(format!("id {id} does not exist; cannot merge or replace"))),
            ([_], Behavior::Create) => {
                Err(problem(format!("id {id} exists; behavior must be merge or replace")))
            }
            ([index], behavior) => {
                let old = &self.0[*index];
                resource.take_metadata_of(old);
                if behavior == Behavior::Merge {
                    resource.merge_data_of(old);
                }
                self.0[*index] = resource;
                Ok(())
            }
            _ => Err(problem(format!("found multiple objects that could accept merge of {id}"))),
        }
    }

    /// The places of those of which some id fits.
    pub(crate) fn by_any_id(&self, fits: impl Fn(&Id) -> bool) -> Vec<usize> {
        let found = |resource: &Resource| !resource.value.is_null() && resource.ids().iter().any(&fits);
        (0..self.0.len()).filter(|index| found(&self.0[*index])).collect()
    }

    /// Takes out what patches deleted.
    pub(crate) fn drop_empty(&mut self) {
        self.0.retain(|resource| resource.value.as_object().is_some_and(|map| !map.is_empty()));
    }
}
