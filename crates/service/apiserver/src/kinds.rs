//! The kinds of resources that are served.
//!
//! A [`ResourceDef`] says all the server knows of a kind: its names, whether it lives in namespaces, its
//! subresources and its printed columns. Kinds come from the program that opens the server and, while it runs,
//! from CustomResourceDefinitions.

mod builtin;
mod cells;
mod jsonpath;
mod registry;

use std::sync::Arc;

use galley_store::objects::KindKey;
use jiff::Timestamp;
use serde_json::Value;

pub use builtin::kubernetes_kinds;
pub(crate) use cells::age;
pub(crate) use registry::{Kinds, from_crd};

/// One kind of resource in one version.
#[derive(Clone, Debug)]
pub struct ResourceDef {
    /// The API group; empty for core.
    pub group: String,
    /// The version, `v1`.
    pub version: String,
    /// The kind, `Pod`.
    pub kind: String,
    /// The plural name in paths, `pods`.
    pub plural: String,
    /// The singular name, `pod`.
    pub singular: String,
    /// Short names, `po`.
    pub short_names: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Categories, `all`.
    pub categories: Vec<String>,
    /// Printed columns after NAME; with none, AGE is printed.
    pub columns: Vec<Column>,
    /// Whether `status` is a subresource of its own (as it is for nearly every kind).
    pub status: bool,
    /// Where a `scale` subresource finds its values, if the kind has one.
    pub scale: Option<ScalePaths>,
    /// The OpenAPI v3 schema that `kubectl explain` shows, if known.
    pub schema: Option<Arc<Value>>,
}

/// Where the `scale` subresource of a kind finds its values: paths such as `.spec.replicas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// The wanted number of replicas.
    pub spec_replicas: String,
    /// The present number of replicas.
    pub status_replicas: String,
    /// The label selector, as a string or a `LabelSelector`; empty if there is none.
    pub selector: String,
}

impl ScalePaths {
    /// Where Deployments and their kin have them.
    pub fn usual() -> Self {
        ScalePaths {
            spec_replicas: ".spec.replicas".into(),
            status_replicas: ".status.replicas".into(),
            selector: ".spec.selector".into(),
        }
    }
}

/// Computes a cell from the object and the present moment.
pub type Cell = fn(&Value, Timestamp) -> Value;

/// A printed column.
#[derive(Clone, Debug)]
pub struct Column {
    /// The heading, `Status`.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`; a date is printed as an age.
    pub kind: String,
    /// Where the value is: `.status.phase`, `.spec.hosts[0]`, `.status.conditions[?(@.type=="Ready")].status`.
    pub path: String,
    /// Computes the cell instead of reading `path`.
    pub cell: Option<Cell>,
    /// Whether it is only printed with `-o wide`.
    pub wide: bool,
}

impl Column {
    /// A column that shows the value at a path.
    pub fn path(name: &str, kind: &str, path: &str) -> Self {
        Column { name: name.into(), kind: kind.into(), path: path.into(), cell: None, wide: false }
    }

    /// A column whose cells are computed.
    pub fn computed(name: &str, cell: Cell) -> Self {
        Column {
            name: name.into(),
            kind: "string".into(),
            path: String::new(),
            cell: Some(cell),
            wide: false,
        }
    }

    /// The usual last column: the time since creation.
    pub fn age() -> Self {
        Column::path("Age", "date", ".metadata.creationTimestamp")
    }

    /// The same column, printed only with `-o wide`.
    #[must_use]
    pub fn only_wide(mut self) -> Self {
        self.wide = true;
        self
    }

    /// The cell of an object.
    pub(crate) fn cell_of(&self, object: &Value, now: Timestamp) -> Value {
        if let Some(cell) = self.cell {
            return cell(object, now);
        }
        match jsonpath::find(object, &self.path) {
            Some(value) if self.kind == "date" => Value::from(cells::age(value.as_str(), now)),
            Some(value) if self.kind == "string" && !value.is_string() => match value {
                Value::Null => Value::Null,
                other => Value::from(other.to_string()),
            },
            Some(value) => value,
            None if self.kind == "date" => Value::from("<unknown>"),
            None => Value::Null,
        }
    }
}

impl Default for ResourceDef {
    /// A namespaced kind with a status subresource and no names.
    fn default() -> Self {
        ResourceDef {
            group: String::new(),
            version: String::new(),
            kind: String::new(),
            plural: String::new(),
            singular: String::new(),
            short_names: Vec::new(),
            namespaced: true,
            categories: Vec::new(),
            columns: Vec::new(),
            status: true,
            scale: None,
            schema: None,
        }
    }
}

impl ResourceDef {
    /// A namespaced kind with a status subresource; `plural` is its name in paths.
    pub fn new(group: &str, version: &str, kind: &str, plural: &str) -> Self {
        ResourceDef {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            ..ResourceDef::default()
        }
    }

    /// The same kind with short names.
    #[must_use]
    pub fn short(mut self, names: &[&str]) -> Self {
        self.short_names = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// The same kind, outside of namespaces.
    #[must_use]
    pub fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    /// The same kind in categories.
    #[must_use]
    pub fn in_categories(mut self, names: &[&str]) -> Self {
        self.categories = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// The same kind with printed columns.
    #[must_use]
    pub fn with_columns(mut self, columns: Vec<Column>) -> Self {
        self.columns = columns;
        self
    }

    /// The same kind with a `scale` subresource in the usual places.
    #[must_use]
    pub fn scalable(mut self) -> Self {
        self.scale = Some(ScalePaths::usual());
        self
    }

    /// The same kind without a status subresource: `status` is written like any other field.
    #[must_use]
    pub fn without_status(mut self) -> Self {
        self.status = false;
        self
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods` or `deployments.apps`, as messages name a resource.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub(crate) fn key(&self) -> KindKey {
        KindKey { group: self.group.clone(), plural: self.plural.clone() }
    }

    /// Whether this is the kind `plural` of `group`, in any version.
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }
}

pub(crate) use jsonpath::{find as find_path, set as set_path};
