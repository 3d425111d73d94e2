//! Every object's state, and with it the Application's.

use std::collections::{BTreeMap, BTreeSet};

use galley_argo_cd::{Health, HealthCode, ResourceStatus, SyncCode, names};
use galley_patch::{Difference, LAST_APPLIED, diff_since, last_applied, three_way_patch};
use serde_json::Value;

use crate::{
    Hook, Ignore, Key, annotation, health,
    hook::wave,
    object::{has_option, version_of},
};

/// Why the cluster cannot take an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The API server does not know its kind.
    UnknownKind(String),
    /// Its project does not permit it.
    NotPermitted(String),
}

impl Refusal {
    /// The reason in words.
    pub fn message(&self) -> &str {
        match self {
            Refusal::UnknownKind(message) | Refusal::NotPermitted(message) => message,
        }
    }
}

/// An object as it is wanted: rendered and [prepared](crate::prepare).
#[derive(Clone, Debug)]
pub struct Target {
    /// The object.
    pub value: Value,
    /// Where it was written: file and line, if known.
    pub place: Option<(String, usize)>,
    /// Why the cluster cannot take it, if so.
    pub refused: Option<Refusal>,
}

impl Target {
    /// An object that was written nowhere in particular.
    pub fn new(value: Value) -> Self {
        Target { value, place: None, refused: None }
    }
}

/// One object: wanted, live, or both.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Which one.
    pub key: Key,
    /// As wanted; absent if it should go.
    pub target: Option<Target>,
    /// As it is; absent if it is missing.
    pub live: Option<Value>,
    /// What its annotations say of hooks.
    pub hook: Hook,
    /// Where live is not as wanted.
    pub differences: Vec<Difference>,
    /// Whether live is as wanted; none for hooks and what is skipped.
    pub sync: Option<SyncCode>,
    /// How well it is; none if its kind has no rule.
    pub health: Option<Health>,
}

impl Compared {
    /// Whether it is live and no longer wanted.
    pub fn requires_pruning(&self) -> bool {
        self.target.is_none() && self.live.is_some()
    }

    fn object(&self) -> Option<&Value> {
        self.target.as_ref().map(|target| &target.value).or(self.live.as_ref())
    }

    fn status(&self) -> ResourceStatus {
        let object = self.object().unwrap_or(&Value::Null);
        ResourceStatus {
            group: self.key.group.clone(),
            version: version_of(object).to_owned(),
            kind: self.key.kind.clone(),
            namespace: self.key.namespace.clone(),
            name: self.key.name.clone(),
            status: self.sync,
            // As in Argo CD 3: the health of single objects is told on request, not kept in the status.
            health: None,
            hook: self.hook.is_hook(),
            requires_pruning: self.requires_pruning(),
            sync_wave: self.target.as_ref().map_or(0, |target| wave(&target.value)),
        }
    }
}

/// All objects of an Application, wanted and live.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// By group, kind, namespace and name. Hooks that are wanted but not live are not among them.
    pub objects: Vec<Compared>,
    /// Hooks as they are wanted.
    pub hooks: Vec<Target>,
    /// Objects that were rendered more than once (the last one counts), with how often.
    pub repeated: Vec<(Key, usize)>,
}

impl Comparison {
    /// Compares what is wanted with the live objects that belong to the Application or are wanted by it.
    pub fn new(targets: Vec<Target>, mut live: BTreeMap<Key, Value>, ignore: &Ignore) -> Self {
        let mut comparison = Comparison::default();
        let mut wanted: BTreeMap<Key, Target> = BTreeMap::new();
        let mut counts: BTreeMap<Key, usize> = BTreeMap::new();
        for target in targets {
            let Some(key) = Key::of(&target.value) else { continue };
            match Hook::of(&target.value) {
                Hook::Never => {}
                hook if hook.is_hook() => comparison.hooks.push(target),
                _ => {
                    *counts.entry(key.clone()).or_default() += 1;
                    wanted.insert(key, target);
                }
            }
        }
        comparison.repeated = counts.into_iter().filter(|(_, count)| *count > 1).collect();
        let keys: BTreeSet<Key> = wanted.keys().chain(live.keys()).cloned().collect();
        for key in keys {
            let (target, live) = (wanted.remove(&key), live.remove(&key));
            comparison.objects.push(compared(key, target, live, ignore));
        }
        comparison
    }

    /// Whether live is as wanted.
    pub fn sync_code(&self) -> SyncCode {
        let counts = |object: &&Compared| {
            let extra = object.requires_pruning()
                && object
                    .live
                    .as_ref()
                    .is_some_and(|live| has_option(live, names::COMPARE_OPTIONS, "IgnoreExtraneous"));
            object.sync.is_some() && !extra
        };
        let differs = self.objects.iter().filter(counts).any(|o| o.sync != Some(SyncCode::Synced));
        if differs { SyncCode::OutOfSync } else { SyncCode::Synced }
    }

    /// The worst health of the objects that count: not hooks, not those told to be left out, and of the missing ones
    /// only kinds that have a rule.
    pub fn health(&self) -> HealthCode {
        let counts = |object: &&Compared| {
            let ignored =
                object.object().and_then(|o| annotation(o, names::IGNORE_HEALTHCHECK)) == Some("true");
            let missing = object.live.is_none() && !health::has_rule(&object.key.group, &object.key.kind);
            !ignored && !missing && object.sync.is_some()
        };
        let codes = self.objects.iter().filter(counts).filter_map(|o| o.health.as_ref()?.status);
        codes.max().unwrap_or(HealthCode::Healthy)
    }

    /// The list in the Application's status.
    pub fn resources(&self) -> Vec<ResourceStatus> {
        self.objects.iter().map(Compared::status).collect()
    }

    /// The images of all live objects, sorted.
    pub fn images(&self) -> Vec<String> {
        // Images run in pods; what has none shows none.
        let runs = |live: &&Value| live.pointer("/spec/replicas").and_then(Value::as_i64) != Some(0);
        let found: BTreeSet<String> =
            self.objects.iter().filter_map(|o| o.live.as_ref()).filter(runs).flat_map(images).collect();
        found.into_iter().collect()
    }
}

fn compared(key: Key, target: Option<Target>, live: Option<Value>, ignore: &Ignore) -> Compared {
    let object = target.as_ref().map(|t| &t.value).or(live.as_ref());
    let hook = object.map_or(Hook::None, Hook::of);
    let differences = match (&target, &live) {
        (Some(target), Some(live)) => differences(&key, &target.value, live, ignore),
        _ => Vec::new(),
    };
    let sync = match (&target, &live) {
        _ if hook != Hook::None => None,
        (Some(Target { refused: Some(Refusal::NotPermitted(_)), .. }), _) => Some(SyncCode::Unknown),
        (Some(_), Some(_)) if differences.is_empty() => Some(SyncCode::Synced),
        _ => Some(SyncCode::OutOfSync),
    };
    let health = match &live {
        Some(live) => health::of(live),
        None => Some(Health::new(HealthCode::Missing, "")),
    };
    Compared { key, target, live, hook, differences, sync, health }
}

fn differences(key: &Key, target: &Value, live: &Value, ignore: &Ignore) -> Vec<Difference> {
    let mut parts = [target.clone(), live.clone(), last_applied(live).unwrap_or(Value::Null)];
    for part in &mut parts {
        ignore.strip(key, part);
    }
    let [target, live, last] = parts;
    let mut found = diff_since(Some(&last).filter(|last| last.is_object()), &target, &live);
    if key.group.is_empty() && key.kind == "Secret" {
        for difference in found.iter_mut().filter(|d| !d.path.starts_with("metadata.labels")) {
            for value in [&mut difference.desired, &mut difference.live].into_iter().flatten() {
                *value = Value::from("(secret)");
            }
        }
    }
    found
}

/// The merge patch that makes `live` as `target` wants it, with what was applied remembered in the usual annotation.
/// An empty object if there is nothing to do.
///
/// # Errors
/// If one of them is no object.
pub fn merge_patch(target: &Value, live: &Value) -> Result<Value, galley_patch::Error> {
    three_way_patch(last_applied(live).as_ref(), &applied(target), live)
}

/// Annotations of an object may have 256 KiB together; a larger object is not remembered.
const REMEMBERED: usize = 200 << 10;

/// The object with itself in the annotation that remembers what was applied.
pub fn applied(target: &Value) -> Value {
    let mut object = target.clone();
    let text = target.to_string();
    if text.len() > REMEMBERED {
        return object;
    }
    if let Some(annotations) =
        object.get_mut("metadata").and_then(|m| m.get_mut("annotations")).and_then(Value::as_object_mut)
    {
        annotations.insert(LAST_APPLIED.into(), text.into());
    }
    object
}

/// The images of an object's containers, wherever its pod template is.
pub fn images(object: &Value) -> Vec<String> {
    const TEMPLATES: [&str; 3] = ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
    let mut found = Vec::new();
    for template in TEMPLATES {
        let Some(spec) = object.pointer(template) else { continue };
        for list in ["initContainers", "containers"] {
            let containers = spec.get(list).and_then(Value::as_array).into_iter().flatten();
            found.extend(containers.filter_map(|c| c.get("image")?.as_str().map(str::to_owned)));
        }
    }
    found
}
