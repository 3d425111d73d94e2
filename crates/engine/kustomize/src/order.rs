//! The order in which manifests are printed.

use std::cmp::Ordering;

use crate::id::{Gvk, Id};
use crate::kustomization::SortOptions;
use crate::resource::Resources;
use crate::{Result, problem};

const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Sorts as `sortOptions` say; without them, by kind.
pub(crate) fn sort(resources: &mut Resources, options: Option<&SortOptions>) -> Result<()> {
    let (first, last) = match options {
        None => (FIRST.map(str::to_owned).to_vec(), LAST.map(str::to_owned).to_vec()),
        Some(options) => match (options.order.as_str(), &options.legacy_sort_options) {
            ("fifo", None) => return Ok(()),
            ("legacy", None) => (FIRST.map(str::to_owned).to_vec(), LAST.map(str::to_owned).to_vec()),
            ("legacy", Some(own)) => (own.order_first.clone(), own.order_last.clone()),
            ("fifo", Some(_)) => {
                return Err(problem("`sortOptions.legacySortOptions` needs `order: legacy`."));
            }
            _ => return Err(problem("the field 'sortOptions.order' must be one of [fifo, legacy]")),
        },
    };
    let place = |kind: &str| -> i64 {
        let at = |list: &[String]| list.iter().rposition(|known| known == kind).map(|at| at as i64);
        match (at(&last), at(&first)) {
            (Some(at), _) => 1 + at,
            (None, Some(at)) => at - first.len() as i64,
            (None, None) => 0,
        }
    };
    resources.0.sort_by(|a, b| compare(&a.id(), &b.id(), &place));
    Ok(())
}

fn compare(a: &Id, b: &Id, place: &dyn Fn(&str) -> i64) -> Ordering {
    if a.gvk == b.gvk {
        let key = |id: &Id| format!("{}|{}", or(&id.namespace, "~X"), or(&id.name, "~N"));
        return key(a).cmp(&key(b));
    }
    let by_place = place(&a.gvk.kind).cmp(&place(&b.gvk.kind));
    let by_name = text(&a.gvk).cmp(&text(&b.gvk));
    let namespaces = a.gvk.kind == "Namespace" && b.gvk.kind == "Namespace";
    let by_name = if namespaces && (a.gvk.group.is_empty() || b.gvk.group.is_empty()) {
        by_name.reverse()
    } else {
        by_name
    };
    by_place.then(by_name)
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

fn text(gvk: &Gvk) -> String {
    [or(&gvk.group, "~G"), or(&gvk.version, "~V"), or(&gvk.kind, "~K")].join("_")
}
