//! The kinds served at one moment: those given at the start and those of CustomResourceDefinitions.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{Column, ResourceDef, ScalePaths};

/// All kinds, by group, version and plural. A snapshot: a changed set is a new value.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    defs: Vec<Arc<ResourceDef>>,
    by_path: BTreeMap<(String, String, String), usize>,
}

impl Kinds {
    /// The kinds of a list; of two with the same group, version and plural the first counts.
    pub(crate) fn new(defs: impl IntoIterator<Item = Arc<ResourceDef>>) -> Self {
        let mut kinds = Kinds::default();
        for def in defs {
            let path = (def.group.clone(), def.version.clone(), def.plural.clone());
            if let std::collections::btree_map::Entry::Vacant(entry) = kinds.by_path.entry(path) {
                entry.insert(kinds.defs.len());
                kinds.defs.push(def);
            }
        }
        kinds
    }

    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<ResourceDef>> {
        let path = (group.to_owned(), version.to_owned(), plural.to_owned());
        self.by_path.get(&path).map(|index| &self.defs[*index])
    }

    /// A kind in the version that was registered first.
    pub(crate) fn any_version(&self, group: &str, plural: &str) -> Option<&Arc<ResourceDef>> {
        self.defs.iter().find(|def| def.is(group, plural))
    }

    pub(crate) fn all(&self) -> &[Arc<ResourceDef>] {
        &self.defs
    }

    /// The groups with their versions, core first, in order of registration.
    pub(crate) fn groups(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for def in &self.defs {
            let versions = match groups.iter_mut().find(|(group, _)| *group == def.group) {
                Some((_, versions)) => versions,
                None => {
                    groups.push((&def.group, Vec::new()));
                    let last = groups.len() - 1;
                    &mut groups[last].1
                }
            };
            if !versions.contains(&def.version.as_str()) {
                versions.push(&def.version);
            }
        }
        groups
    }

    pub(crate) fn in_group_version<'a>(
        &'a self,
        group: &'a str,
        version: &'a str,
    ) -> impl Iterator<Item = &'a Arc<ResourceDef>> {
        self.defs.iter().filter(move |def| def.group == group && def.version == version)
    }
}

/// The kinds that a CustomResourceDefinition defines, one for each served version; the storage version first.
pub(crate) fn from_crd(crd: &Value) -> Vec<Arc<ResourceDef>> {
    let text = |path: &str| crd.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |path: &str| -> Vec<String> {
        let items = crd.pointer(path).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    let mut served: Vec<&Value> =
        versions.into_iter().flatten().filter(|version| version["served"] == true).collect();
    served.sort_by_key(|version| version["storage"] != true);
    let define = |version: &Value| {
        let kind = text("/spec/names/kind");
        let singular = match text("/spec/names/singular") {
            singular if singular.is_empty() => kind.to_lowercase(),
            singular => singular,
        };
        Arc::new(ResourceDef {
            group: text("/spec/group"),
            version: version["name"].as_str().unwrap_or_default().to_owned(),
            kind,
            plural: text("/spec/names/plural"),
            singular,
            short_names: list("/spec/names/shortNames"),
            namespaced: text("/spec/scope") != "Cluster",
            categories: list("/spec/names/categories"),
            columns: columns(version),
            status: version.pointer("/subresources/status").is_some(),
            scale: version.pointer("/subresources/scale").map(scale),
            schema: version.pointer("/schema/openAPIV3Schema").cloned().map(Arc::new),
        })
    };
    served.into_iter().map(define).collect()
}

fn columns(version: &Value) -> Vec<Column> {
    let given = version["additionalPrinterColumns"].as_array();
    let column = |value: &Value| Column {
        name: value["name"].as_str().unwrap_or_default().to_owned(),
        kind: value["type"].as_str().unwrap_or("string").to_owned(),
        path: value["jsonPath"].as_str().unwrap_or_default().to_owned(),
        cell: None,
        wide: value["priority"].as_i64().unwrap_or(0) > 0,
    };
    given.into_iter().flatten().map(column).collect()
}

fn scale(value: &Value) -> ScalePaths {
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    ScalePaths {
        spec_replicas: text("specReplicasPath"),
        status_replicas: text("statusReplicasPath"),
        selector: text("labelSelectorPath"),
    }
}
