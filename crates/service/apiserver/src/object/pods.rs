//! Checks of pods and of everything with a pod template: what a cluster would refuse at the door.

use serde_json::Value;

use crate::{kinds::ResourceDef, names, status::Cause};

/// What is wrong with the pod or the pod template of an object, if it has one.
pub(super) fn check(def: &ResourceDef, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    match (def.group.as_str(), def.plural.as_str()) {
        ("", "pods") => check_spec("spec", object.get("spec"), &mut causes),
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => {
            check_template("spec.template", object.pointer("/spec/template"), &mut causes);
            check_selector(object, &mut causes);
        }
        ("batch", "jobs") => check_job("spec", object.get("spec"), &mut causes),
        ("batch", "cronjobs") => {
            if object.pointer("/spec/schedule").and_then(Value::as_str).unwrap_or_default().is_empty() {
                causes.push(Cause::required("spec.schedule"));
            }
            check_job("spec.jobTemplate.spec", object.pointer("/spec/jobTemplate/spec"), &mut causes);
        }
        ("", "services") => check_service(object, &mut causes),
        _ => {}
    }
    causes
}

fn check_job(path: &str, spec: Option<&Value>, causes: &mut Vec<Cause>) {
    let template = spec.and_then(|spec| spec.get("template"));
    check_template(&format!("{path}.template"), template, causes);
    let policy = template.and_then(|t| t.pointer("/spec/restartPolicy")).and_then(Value::as_str);
    if !matches!(policy, Some("Never" | "OnFailure")) {
        causes.push(Cause {
            field: format!("{path}.template.spec.restartPolicy"),
            reason: "FieldValueNotSupported",
            message: format!(
                "Unsupported value: \"{}\": supported values: \"OnFailure\", \"Never\"",
                policy.unwrap_or_default()
            ),
        });
    }
}

fn check_template(path: &str, template: Option<&Value>, causes: &mut Vec<Cause>) {
    match template {
        Some(template) => check_spec(&format!("{path}.spec"), template.get("spec"), causes),
        None => causes.push(Cause::required(path)),
    }
}

fn check_spec(path: &str, spec: Option<&Value>, causes: &mut Vec<Cause>) {
    let list = |field: &str| -> &[Value] {
        spec.and_then(|spec| spec.get(field)).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    };
    if list("containers").is_empty() {
        causes.push(Cause::required(format!("{path}.containers")));
    }
    let volumes: Vec<&str> = list("volumes").iter().filter_map(|volume| volume["name"].as_str()).collect();
    let mut seen: Vec<&str> = Vec::new();
    for field in ["initContainers", "containers"] {
        for (n, container) in list(field).iter().enumerate() {
            let path = format!("{path}.{field}[{n}]");
            let name = container["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                causes.push(Cause::required(format!("{path}.name")));
            } else if let Some(why) = names::dns_label(name) {
                causes.push(Cause::invalid(format!("{path}.name"), name, why));
            } else if seen.contains(&name) {
                causes.push(duplicate(format!("{path}.name"), name));
            }
            seen.push(name);
            if container["image"].as_str().unwrap_or_default().is_empty() {
                causes.push(Cause::required(format!("{path}.image")));
            }
            check_mounts(&path, container, &volumes, causes);
        }
    }
    for (n, volume) in volumes.iter().enumerate() {
        if volumes[..n].contains(volume) {
            causes.push(duplicate(format!("{path}.volumes[{n}].name"), volume));
        }
    }
}

fn check_mounts(path: &str, container: &Value, volumes: &[&str], causes: &mut Vec<Cause>) {
    for (n, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let name = mount["name"].as_str().unwrap_or_default();
        // Volumes of a StatefulSet may come from its claim templates, under any name.
        if !volumes.contains(&name) && !path.starts_with("spec.template") {
            let field = format!("{path}.volumeMounts[{n}].name");
            causes.push(Cause {
                field,
                reason: "FieldValueNotFound",
                message: format!("Not found: \"{name}\""),
            });
        }
        if mount["mountPath"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("{path}.volumeMounts[{n}].mountPath")));
        }
    }
}

fn duplicate(field: String, value: &str) -> Cause {
    Cause { field, reason: "FieldValueDuplicate", message: format!("Duplicate value: \"{value}\"") }
}

fn check_selector(object: &Value, causes: &mut Vec<Cause>) {
    let selector = object.pointer("/spec/selector");
    let wanted = selector.and_then(|s| s.get("matchLabels")).and_then(Value::as_object);
    let has_expressions = selector
        .and_then(|s| s.get("matchExpressions"))
        .and_then(Value::as_array)
        .is_some_and(|e| !e.is_empty());
    if wanted.is_none_or(serde_json::Map::is_empty) && !has_expressions {
        causes.push(Cause::required("spec.selector"));
        return;
    }
    let labels = object.pointer("/spec/template/metadata/labels");
    let fits = |(key, value): (&String, &Value)| labels.and_then(|labels| labels.get(key)) == Some(value);
    if !wanted.into_iter().flatten().all(fits) {
        let value = labels.map(Value::to_string).unwrap_or_default();
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", &value, why));
    }
}

fn check_service(service: &Value, causes: &mut Vec<Cause>) {
    let spec = &service["spec"];
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let needs_ports = spec["type"] != "ExternalName" && spec["clusterIP"] != "None";
    if ports.is_empty() && needs_ports {
        causes.push(Cause::required("spec.ports"));
    }
    for (n, port) in ports.iter().enumerate() {
        if !port["port"].as_i64().is_some_and(|number| (1..=65535).contains(&number)) {
            let field = format!("spec.ports[{n}].port");
            causes.push(Cause::invalid(
                field,
                &port["port"].to_string(),
                "must be between 1 and 65535, inclusive",
            ));
        }
        if ports.len() > 1 && port["name"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("spec.ports[{n}].name")));
        }
    }
}
