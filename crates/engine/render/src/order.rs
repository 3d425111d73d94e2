//! Helm's install order.

use crate::Manifest;

/// Kinds in the order in which they are installed; others come after, by name of the kind.
const ORDER: [&str; 38] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// Where a kind stands.
pub(crate) fn key(kind: &str) -> (usize, String) {
    match ORDER.iter().position(|known| *known == kind) {
        Some(position) => (position, String::new()),
        None => (ORDER.len(), kind.to_owned()),
    }
}

/// Sorts by kind; objects of one kind stay in the order of their files.
pub(crate) fn sort(manifests: &mut [Manifest]) {
    manifests.sort_by_cached_key(|manifest| key(manifest.value["kind"].as_str().unwrap_or_default()));
}
