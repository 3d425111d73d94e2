//! What the watches know at one moment.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Argo CD's Applications.
    Application,
    /// Deployments of the environments.
    Deployment,
    /// Routes, for the share of traffic.
    HttpRoute,
    /// Releases.
    Release,
    /// Argo's Workflows.
    Workflow,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 5] =
        [Kind::Application, Kind::Deployment, Kind::HttpRoute, Kind::Release, Kind::Workflow];

    /// The name in the plural, for people.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Kind::Application => "Applications",
            Kind::Deployment => "Deployments",
            Kind::HttpRoute => "HTTPRoutes",
            Kind::Release => "Releases",
            Kind::Workflow => "Workflows",
        }
    }
}

/// Namespace and name.
pub(crate) type Key = (String, String);
/// Objects of one kind.
pub(crate) type Objects = BTreeMap<Key, Arc<Value>>;

/// All objects at one moment, and what could not be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    objects: BTreeMap<Kind, Objects>,
    /// Kinds that cannot be read at present, and why.
    pub(crate) problems: Vec<(Kind, String)>,
    /// Versions that the running applications report, by environment.
    pub(crate) reported: Vec<(String, String)>,
}

impl Snapshot {
    /// Replaces all objects of one kind.
    pub(crate) fn set(&mut self, kind: Kind, objects: Objects) {
        self.objects.insert(kind, objects);
    }

    /// Objects of one kind, by namespace and name.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &Value> {
        self.objects.get(&kind).into_iter().flat_map(BTreeMap::values).map(Arc::as_ref)
    }

    /// One object.
    pub(crate) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&kind)?.get(&(namespace.to_owned(), name.to_owned())).map(Arc::as_ref)
    }
}

#[cfg(test)]
impl Snapshot {
    /// A snapshot of these objects, for tests.
    pub(crate) fn made_of(objects: &[Value]) -> Self {
        let mut snapshot = Snapshot::default();
        for object in objects {
            let kind = match object["kind"].as_str().expect("a kind") {
                "Application" => Kind::Application,
                "Deployment" => Kind::Deployment,
                "HTTPRoute" => Kind::HttpRoute,
                "Release" => Kind::Release,
                "Workflow" => Kind::Workflow,
                other => panic!("{other} is not watched"),
            };
            let text =
                |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
            let key = (text("/metadata/namespace"), text("/metadata/name"));
            snapshot.objects.entry(kind).or_default().insert(key, Arc::new(object.clone()));
        }
        snapshot
    }
}
