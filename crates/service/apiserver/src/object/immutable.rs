//! What may not change once it is written, as on a cluster.

use serde_json::Value;

use crate::{kinds::ResourceDef, status::Cause};

/// Fields that never change, by kind.
fn fixed(def: &ResourceDef) -> &'static [&'static str] {
    match (def.group.as_str(), def.plural.as_str()) {
        ("apps", "deployments" | "replicasets" | "daemonsets") => &["/spec/selector"],
        ("apps", "statefulsets") => &[
            "/spec/selector",
            "/spec/serviceName",
            "/spec/volumeClaimTemplates",
            "/spec/podManagementPolicy",
        ],
        ("batch", "jobs") => &["/spec/selector", "/spec/template", "/spec/completionMode"],
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => &["/roleRef"],
        ("", "secrets") => &["/type"],
        ("storage.k8s.io", "storageclasses") => &["/provisioner", "/parameters", "/volumeBindingMode"],
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            &["/spec/group", "/spec/names/plural", "/spec/scope"]
        }
        _ => &[],
    }
}

/// Refuses changes of what may not change.
pub(super) fn check(def: &ResourceDef, old: &Value, new: &Value) -> Result<(), Vec<Cause>> {
    let mut causes = Vec::new();
    for pointer in fixed(def) {
        let (before, after) = (old.pointer(pointer), new.pointer(pointer));
        // A suspended job may still get another template.
        let open = *pointer == "/spec/template" && old.pointer("/spec/suspend") == Some(&Value::Bool(true));
        if before != after && !open {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            let value = after.map(Value::to_string).unwrap_or_default();
            causes.push(Cause::invalid(field, &value, "field is immutable"));
        }
    }
    if def.is("", "pods") && old.get("spec") != new.get("spec") && !same_but_for_images(old, new) {
        causes.push(Cause::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`, \
             `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.terminationGracePeriodSeconds`, \
             `spec.tolerations` and `spec.nodeName` while it is empty",
        ));
    }
    if (def.is("", "configmaps") || def.is("", "secrets")) && old["immutable"] == true {
        let changed =
            ["data", "binaryData", "immutable"].into_iter().filter(|field| old.get(field) != new.get(field));
        causes.extend(
            changed.map(|field| Cause::forbidden(field, "field is immutable when `immutable` is set")),
        );
    }
    if causes.is_empty() { Ok(()) } else { Err(causes) }
}

fn same_but_for_images(old: &Value, new: &Value) -> bool {
    let comparable = |pod: &Value| {
        let mut spec = pod.get("spec").cloned().unwrap_or_default();
        for list in ["containers", "initContainers"] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
                container.shift_remove("image");
            }
        }
        if let Some(fields) = spec.as_object_mut() {
            for open in [
                "activeDeadlineSeconds",
                "terminationGracePeriodSeconds",
                "tolerations",
                "schedulingGates",
                "ephemeralContainers",
            ] {
                fields.shift_remove(open);
            }
            let unbound =
                old.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default().is_empty();
            if unbound {
                fields.shift_remove("nodeName");
            }
        }
        spec
    };
    comparable(old) == comparable(new)
}
