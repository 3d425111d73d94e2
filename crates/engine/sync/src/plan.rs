//! Comparison and order of action.

use std::collections::BTreeMap;

use galley_patch::{Difference, LAST_APPLIED, diff_since, last_applied, three_way_patch};
use serde_json::{Value, json};

use crate::desired::{Desired, Hook, Key};

/// Kinds in the order in which Argo CD applies them; others follow, by name.
const ORDER: [&str; 26] = [
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicaSet",
    "Deployment",
    "StatefulSet",
    "Job",
    "CronJob",
    "Ingress",
];

/// Live objects by name: those that git names, and those that carry the Application's tracking annotation.
pub type Live = BTreeMap<Key, Value>;

/// What to do with one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It is not there.
    Create,
    /// It differs.
    Update(Vec<Difference>),
    /// It is there, and git does not name it any more.
    Prune,
    /// A hook to run.
    Hook,
    /// Nothing.
    Keep,
}

/// One object of the plan.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name.
    pub key: Key,
    /// API version.
    pub api_version: String,
    /// What to do.
    pub action: Action,
    /// When.
    pub wave: i64,
    /// Set for hooks.
    pub hook: Option<Hook>,
    /// What git says; nothing for what is pruned.
    pub desired: Option<Value>,
}

/// What a sync would do, in order.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Objects in the order of action; those to be pruned come last.
    pub items: Vec<Item>,
}

impl Plan {
    /// Nothing would change.
    pub fn is_empty(&self) -> bool {
        self.items.iter().all(|item| matches!(item.action, Action::Keep | Action::Hook))
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_empty() {
            return f.write_str("  nothing would change");
        }
        let mut lines = Vec::new();
        for item in &self.items {
            match &item.action {
                Action::Create => lines.push(format!("  + create {}", item.key)),
                Action::Prune => lines.push(format!("  - prune  {}", item.key)),
                Action::Update(differences) => {
                    lines.push(format!("  ~ update {}", item.key));
                    lines.extend(differences.iter().map(|difference| format!("      {difference}")));
                }
                Action::Hook | Action::Keep => {}
            }
        }
        f.write_str(&lines.join("\n"))
    }
}

/// Compares and orders.
pub fn plan(desired: &[Desired], live: &Live) -> Plan {
    let mut items: Vec<Item> = desired.iter().map(|desired| item(desired, live)).collect();
    let rank = |kind: &str| ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len());
    items.sort_by(|a, b| {
        let of = |item: &Item| (item.wave, rank(&item.key.kind));
        of(a).cmp(&of(b)).then_with(|| a.key.cmp(&b.key))
    });
    let named = |key: &Key| desired.iter().any(|desired| desired.key == *key);
    let mut pruned: Vec<Item> = live
        .iter()
        .filter(|(key, _)| !named(key))
        .map(|(key, object)| Item {
            key: key.clone(),
            api_version: object["apiVersion"].as_str().unwrap_or_default().to_owned(),
            action: Action::Prune,
            wave: i64::MAX,
            hook: None,
            desired: None,
        })
        .collect();
    pruned.sort_by_key(|item| std::cmp::Reverse((rank(&item.key.kind), item.key.clone())));
    items.extend(pruned);
    Plan { items }
}

fn item(desired: &Desired, live: &Live) -> Item {
    let action = match (&desired.hook, live.get(&desired.key)) {
        (Some(_), _) => Action::Hook,
        (None, None) => Action::Create,
        (None, Some(live)) => {
            let differences = diff_since(last_applied(live).as_ref(), &desired.object, live);
            if differences.is_empty() { Action::Keep } else { Action::Update(differences) }
        }
    };
    Item {
        key: desired.key.clone(),
        api_version: desired.api_version.clone(),
        action,
        wave: desired.wave,
        hook: desired.hook,
        desired: Some(desired.object.clone()),
    }
}

/// The object to create, or the merge patch to send, so that live becomes what git says. What git said before and does
/// not say any more is removed; what others have set stays.
///
/// # Errors
/// What the patch room says of objects that are none.
pub fn applied(desired: &Value, live: Option<&Value>) -> Result<Value, galley_patch::Error> {
    let mut wanted = desired.clone();
    wanted["metadata"]["annotations"][LAST_APPLIED] = json!(desired.to_string());
    match live {
        None => Ok(wanted),
        Some(live) => three_way_patch(last_applied(live).as_ref(), &wanted, live),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Owner, desired};

    fn map(name: &str, value: &str) -> Desired {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "a": value },
        });
        desired(&Owner { application: "app", namespace: "ns" }, object, true, "a.yaml", 1).expect("a manifest")
    }

    #[test]
    fn a_plan_after_its_own_execution_is_empty() {
        let one = map("one", "1");
        let mut live = Live::new();
        let first = plan(std::slice::from_ref(&one), &live);
        assert_eq!(first.items[0].action, Action::Create);
        live.insert(one.key.clone(), applied(&one.object, None).expect("an object"));
        assert!(plan(std::slice::from_ref(&one), &live).is_empty());

        let changed = map("one", "2");
        let second = plan(std::slice::from_ref(&changed), &live);
        assert!(matches!(second.items[0].action, Action::Update(_)), "{second}");
        let object = live.get_mut(&one.key).expect("it is there");
        let patch = applied(&changed.object, Some(object)).expect("a patch");
        galley_patch::apply_merge_patch(object, &patch);
        assert!(plan(std::slice::from_ref(&changed), &live).is_empty());
    }

    #[test]
    fn what_git_does_not_name_is_pruned_last_and_namespaces_come_first() {
        let mut live = Live::new();
        let gone = map("gone", "1");
        live.insert(gone.key.clone(), gone.object.clone());
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "z" } });
        let owner = Owner { application: "app", namespace: "ns" };
        let wanted = [map("a", "1"), desired(&owner, namespace, false, "b.yaml", 1).expect("a manifest")];
        let order: Vec<_> = plan(&wanted, &live).items.into_iter().map(|item| (item.key.name, item.action)).collect();
        assert_eq!(
            order,
            [("z".into(), Action::Create), ("a".into(), Action::Create), ("gone".into(), Action::Prune)]
        );
    }
}
