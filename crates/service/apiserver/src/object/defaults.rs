//! The defaults of Kubernetes' own kinds: what clients and controllers rely on finding.

use serde_json::{Map, Value, json};

use super::{CUSTOM_CLEANUP, metadata_mut, text};
use crate::kinds::ResourceDef;

/// A field's value if it is absent or null.
fn or(fields: &mut Map<String, Value>, key: &str, default: impl Into<Value>) {
    let slot = fields.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = default.into();
    }
}

fn object_at<'v>(object: &'v mut Value, key: &str) -> Option<&'v mut Map<String, Value>> {
    object.get_mut(key).and_then(Value::as_object_mut)
}

fn list_at<'v>(
    fields: &'v mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'v mut Map<String, Value>> + use<'v> {
    fields.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Fills in the defaults of a kind; idempotent.
pub(super) fn fill(def: &ResourceDef, object: &mut Value) {
    match (def.group.as_str(), def.plural.as_str()) {
        ("", "pods") => {
            if let Some(spec) = object_at(object, "spec") {
                or(spec, "serviceAccountName", "default");
                pod_spec(spec);
            }
        }
        ("", "services") => service(object),
        ("", "secrets") => secret(object),
        ("", "namespaces") => namespace(object),
        ("", "persistentvolumeclaims") => {
            if let Some(spec) = object_at(object, "spec") {
                or(spec, "volumeMode", "Filesystem");
            }
        }
        ("apps", _) | ("batch", _) => workload(def, object),
        ("discovery.k8s.io", "endpointslices") => {
            if let Some(fields) = object.as_object_mut() {
                list_at(fields, "ports").for_each(|port| or(port, "protocol", "TCP"));
            }
        }
        ("storage.k8s.io", "storageclasses") => {
            if let Some(fields) = object.as_object_mut() {
                or(fields, "reclaimPolicy", "Delete");
                or(fields, "volumeBindingMode", "Immediate");
            }
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => custom_definition(object),
        _ => {}
    }
}

/// Fills in what only a new object gets.
pub(super) fn fill_new(def: &ResourceDef, object: &mut Value) {
    let phase = |object: &mut Value, phase: &str| object["status"] = json!({"phase": phase});
    match (def.group.as_str(), def.plural.as_str()) {
        ("", "namespaces") => {
            object["spec"]["finalizers"] = json!(["kubernetes"]);
            phase(object, "Active");
        }
        ("", "pods" | "persistentvolumeclaims") => phase(object, "Pending"),
        ("batch", "jobs") => job_labels(object),
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            let names = object.pointer("/spec/names").cloned().unwrap_or_default();
            let now = object.pointer("/metadata/creationTimestamp").cloned().unwrap_or_default();
            let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
            object["status"] = json!({
                "acceptedNames": names,
                "conditions": [
                    condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                    condition("Established", "InitialNamesAccepted", "the initial names have been accepted")],
                "storedVersions": [],
            });
        }
        _ => {}
    }
}

/// Keeps what the server gave to the old object if the new one does not say otherwise.
pub(super) fn carry(def: &ResourceDef, old: &Value, new: &mut Value) {
    if def.is("", "services") && text(new, "/spec/type") != "ExternalName" {
        for field in ["clusterIP", "clusterIPs"] {
            let given = old.pointer(&format!("/spec/{field}")).cloned();
            if let (Some(value), Some(spec)) = (given, object_at(new, "spec")) {
                let unset = spec.get(field).is_none_or(|now| now.is_null() || now == "");
                if unset {
                    spec.insert(field.into(), value);
                }
            }
        }
    }
    if def.is("batch", "jobs") {
        let given = old.pointer("/spec/selector").cloned();
        if let (Some(value), Some(spec)) = (given, object_at(new, "spec")) {
            or(spec, "selector", value);
        }
        let given = old.pointer("/spec/template/metadata/labels").and_then(Value::as_object).cloned();
        let template = new.pointer_mut("/spec/template");
        if let (Some(given), Some(template)) = (given, template) {
            let metadata = metadata_mut(template);
            or(metadata, "labels", json!({}));
            if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
                for (key, value) in given.into_iter().filter(|(key, _)| is_job_label(key)) {
                    labels.entry(key).or_insert(value);
                }
            }
        }
    }
}

fn is_job_label(key: &str) -> bool {
    matches!(key, "controller-uid" | "job-name") || key.starts_with("batch.kubernetes.io/")
}

/// A job's pods are found by labels with the job's uid, so that two jobs never share a pod.
fn job_labels(job: &mut Value) {
    if job.pointer("/spec/manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let (uid, name) = (text(job, "/metadata/uid").to_owned(), text(job, "/metadata/name").to_owned());
    let Some(spec) = object_at(job, "spec") else { return };
    or(spec, "selector", json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    let Some(template) = spec.get_mut("template") else { return };
    let metadata = metadata_mut(template);
    or(metadata, "labels", json!({}));
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        for (key, value) in [("controller-uid", &uid), ("job-name", &name)] {
            labels.insert(format!("batch.kubernetes.io/{key}"), value.as_str().into());
            labels.insert(key.to_owned(), value.as_str().into());
        }
    }
}

fn workload(def: &ResourceDef, object: &mut Value) {
    let Some(spec) = object_at(object, "spec") else { return };
    let rolling =
        |unavailable: Value, surge: Value| json!({"maxUnavailable": unavailable, "maxSurge": surge});
    match def.plural.as_str() {
        "deployments" => {
            or(spec, "replicas", 1);
            or(spec, "revisionHistoryLimit", 10);
            or(spec, "progressDeadlineSeconds", 600);
            or(spec, "strategy", json!({}));
            if let Some(strategy) = spec.get_mut("strategy").and_then(Value::as_object_mut) {
                or(strategy, "type", "RollingUpdate");
                if strategy["type"] == "RollingUpdate" {
                    or(strategy, "rollingUpdate", json!({}));
                    if let Some(rolling) = strategy.get_mut("rollingUpdate").and_then(Value::as_object_mut) {
                        or(rolling, "maxUnavailable", "25%");
                        or(rolling, "maxSurge", "25%");
                    }
                }
            }
        }
        "replicasets" => or(spec, "replicas", 1),
        "statefulsets" => {
            or(spec, "replicas", 1);
            or(spec, "revisionHistoryLimit", 10);
            or(spec, "podManagementPolicy", "OrderedReady");
            or(spec, "updateStrategy", json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
        }
        "daemonsets" => {
            or(spec, "revisionHistoryLimit", 10);
            or(
                spec,
                "updateStrategy",
                json!({"type": "RollingUpdate", "rollingUpdate": rolling(1.into(), 0.into())}),
            );
        }
        "jobs" => return job_spec(spec),
        "cronjobs" => {
            or(spec, "concurrencyPolicy", "Allow");
            or(spec, "suspend", false);
            or(spec, "successfulJobsHistoryLimit", 3);
            or(spec, "failedJobsHistoryLimit", 1);
            let inner = spec.get_mut("jobTemplate").and_then(|template| object_at(template, "spec"));
            if let Some(inner) =
                inner.and_then(|inner| inner.get_mut("template")).and_then(|t| object_at(t, "spec"))
            {
                pod_spec(inner);
            }
            return;
        }
        _ => return,
    }
    if let Some(pod) = spec.get_mut("template").and_then(|template| object_at(template, "spec")) {
        pod_spec(pod);
    }
}

fn job_spec(spec: &mut Map<String, Value>) {
    let absent = |spec: &Map<String, Value>, field: &str| spec.get(field).is_none_or(Value::is_null);
    if absent(spec, "completions") && absent(spec, "parallelism") {
        or(spec, "completions", 1);
    }
    or(spec, "parallelism", 1);
    or(spec, "backoffLimit", 6);
    or(spec, "completionMode", "NonIndexed");
    or(spec, "suspend", false);
    if let Some(pod) = spec.get_mut("template").and_then(|template| object_at(template, "spec")) {
        pod_spec(pod);
    }
}

fn pod_spec(spec: &mut Map<String, Value>) {
    or(spec, "restartPolicy", "Always");
    or(spec, "terminationGracePeriodSeconds", 30);
    or(spec, "dnsPolicy", "ClusterFirst");
    or(spec, "schedulerName", "default-scheduler");
    or(spec, "securityContext", json!({}));
    for field in ["initContainers", "containers"] {
        list_at(spec, field).for_each(container);
    }
    for volume in list_at(spec, "volumes") {
        for source in ["secret", "configMap", "projected", "downwardAPI"] {
            if let Some(source) = volume.get_mut(source).and_then(Value::as_object_mut) {
                or(source, "defaultMode", 420);
            }
        }
    }
}

fn container(container: &mut Map<String, Value>) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && last.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest");
    or(container, "imagePullPolicy", if latest { "Always" } else { "IfNotPresent" });
    or(container, "terminationMessagePath", "/dev/termination-log");
    or(container, "terminationMessagePolicy", "File");
    or(container, "resources", json!({}));
    list_at(container, "ports").for_each(|port| or(port, "protocol", "TCP"));
    for env in list_at(container, "env") {
        let field = env.get_mut("valueFrom").and_then(|from| object_at(from, "fieldRef"));
        if let Some(field) = field {
            or(field, "apiVersion", "v1");
        }
    }
    if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut)
        && let Some(Value::Object(limits)) = resources.get("limits").cloned()
    {
        or(resources, "requests", json!({}));
        if let Some(requests) = resources.get_mut("requests").and_then(Value::as_object_mut) {
            limits.into_iter().for_each(|(name, amount)| or(requests, &name, amount));
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) {
            for (field, default) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                or(probe, field, default);
            }
            if let Some(get) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
                or(get, "path", "/");
                or(get, "scheme", "HTTP");
            }
        }
    }
}

fn service(object: &mut Value) {
    let Some(spec) = object_at(object, "spec") else { return };
    or(spec, "type", "ClusterIP");
    or(spec, "sessionAffinity", "None");
    if spec["type"] != "ExternalName" {
        or(spec, "internalTrafficPolicy", "Cluster");
    }
    for port in list_at(spec, "ports") {
        or(port, "protocol", "TCP");
        let number = port.get("port").cloned().unwrap_or_default();
        or(port, "targetPort", number);
    }
}

fn secret(object: &mut Value) {
    let Some(fields) = object.as_object_mut() else { return };
    or(fields, "type", "Opaque");
    let Some(Value::Object(plain)) = fields.shift_remove("stringData") else { return };
    or(fields, "data", json!({}));
    if let Some(data) = fields.get_mut("data").and_then(Value::as_object_mut) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        for (key, value) in plain {
            data.insert(key, STANDARD.encode(value.as_str().unwrap_or_default()).into());
        }
    }
}

fn namespace(object: &mut Value) {
    let name = text(object, "/metadata/name").to_owned();
    let metadata = metadata_mut(object);
    or(metadata, "labels", json!({}));
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.insert("kubernetes.io/metadata.name".into(), name.into());
    }
    if let Some(fields) = object.as_object_mut() {
        or(fields, "spec", json!({}));
    }
}

fn custom_definition(object: &mut Value) {
    let metadata = metadata_mut(object);
    if metadata.get("deletionTimestamp").is_none() {
        or(metadata, "finalizers", json!([]));
        if let Some(Value::Array(list)) = metadata.get_mut("finalizers")
            && !list.iter().any(|finalizer| finalizer == CUSTOM_CLEANUP)
        {
            list.push(CUSTOM_CLEANUP.into());
        }
    }
    let Some(spec) = object_at(object, "spec") else { return };
    or(spec, "conversion", json!({"strategy": "None"}));
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        or(names, "singular", kind.to_lowercase());
        or(names, "listKind", format!("{kind}List"));
    }
}
