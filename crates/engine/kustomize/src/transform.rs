//! What a kustomization does to every resource: names, namespaces, labels, annotations, replicas, images.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use crate::fieldspec::{FieldSpec, Make, visit};
use crate::id::Gvk;
use crate::kustomization::{Image, Replica, Text};
use crate::resource::{Resource, Resources, object};
use crate::{Result, problem};

/// Kinds whose names stay.
const FIXED_NAMES: [(&str, &str); 3] =
    [("", "CustomResourceDefinition"), ("apiregistration.k8s.io", "APIService"), ("", "Namespace")];

/// Adds a prefix and a suffix to names.
pub(crate) fn rename(
    resources: &mut Resources,
    prefix: &str,
    suffix: &str,
    fields: &[FieldSpec],
) -> Result<()> {
    for resource in &mut resources.0 {
        let gvk = resource.first_id().gvk;
        let fixed = |(group, kind): &(&str, &str)| {
            gvk.is_selected(&Gvk { group: (*group).into(), kind: (*kind).into(), ..Gvk::default() })
        };
        if FIXED_NAMES.iter().any(fixed) {
            continue;
        }
        for spec in fields.iter().filter(|spec| gvk.is_selected(&spec.gvk)) {
            if spec.path == "metadata/name" {
                if !prefix.is_empty() {
                    resource.prefixes.push(prefix.to_owned());
                }
                if !suffix.is_empty() {
                    resource.suffixes.push(suffix.to_owned());
                }
                resource.remember_id();
            }
            visit(resource, spec, Make::Scalar, &mut |value| {
                let text = scalar(value);
                *value = Value::from(format!("{prefix}{text}{suffix}"));
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// A scalar as text.
pub(crate) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// How a namespace is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamespaceOptions {
    /// Only where there is none.
    pub(crate) unset_only: bool,
    /// In all service accounts of bindings rather than those named `default`; never, if false for both.
    pub(crate) all_subjects: bool,
    pub(crate) no_subjects: bool,
}

/// Sets the namespace.
pub(crate) fn namespace(
    resources: &mut Resources,
    namespace: &str,
    fields: &[FieldSpec],
    options: NamespaceOptions,
) -> Result<()> {
    let set = |value: &mut Value| {
        if !options.unset_only || scalar(value).is_empty() {
            *value = Value::from(namespace);
        }
        Ok(())
    };
    for index in 0..resources.0.len() {
        let resource = &mut resources.0[index];
        if resource.from_chart {
            continue;
        }
        resource.remember_id();
        if !resource.gvk().is_cluster_scoped() {
            let own =
                FieldSpec { path: "metadata/namespace".to_owned(), create: true, ..FieldSpec::default() };
            visit(resource, &own, Make::Scalar, &mut { set })?;
        }
        let is_binding = matches!(resource.kind(), "RoleBinding" | "ClusterRoleBinding");
        if is_binding && !options.no_subjects {
            subjects(resource, namespace, options);
        }
        let is_core = resource.value["apiVersion"] == "v1";
        for spec in fields {
            let own_name = spec.path == "metadata/name" && !is_core;
            let own_subjects = is_binding && spec.path == "subjects/namespace";
            if spec.path != "metadata/namespace" && !own_name && !own_subjects {
                visit(resource, spec, Make::Scalar, &mut { set })?;
            }
        }
        let id = resources.0[index].id();
        if resources.0.iter().filter(|other| other.id().same(&id)).count() != 1 {
            return Err(problem(format!("namespace transformation produces ID conflict: {id}")));
        }
    }
    Ok(())
}

fn subjects(resource: &mut Resource, namespace: &str, options: NamespaceOptions) {
    let Some(subjects) = resource.value.get_mut("subjects").and_then(Value::as_array_mut) else { return };
    for subject in subjects.iter_mut().filter(|subject| subject.is_object()) {
        let wanted = if options.all_subjects {
            subject["kind"] == "ServiceAccount"
        } else {
            subject["name"] == "default"
        };
        let is_set = subject.get("namespace").and_then(Value::as_str).is_some_and(|own| !own.is_empty());
        if wanted && !(options.unset_only && is_set) {
            subject["namespace"] = Value::from(namespace);
        }
    }
}

/// Adds labels or annotations.
pub(crate) fn pairs(
    resources: &mut Resources,
    pairs: &BTreeMap<String, Text>,
    fields: &[FieldSpec],
) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    for resource in &mut resources.0 {
        for spec in fields {
            visit(resource, spec, Make::Map, &mut |value| {
                let map = object(value);
                for (key, text) in pairs {
                    map.insert(key.clone(), Value::from(text.0.as_str()));
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Sets a number of replicas.
pub(crate) fn replicas(resources: &mut Resources, replica: &Replica, fields: &[FieldSpec]) -> Result<()> {
    let mut found = false;
    for spec in fields {
        for index in resources.by_any_id(|id| id.name == replica.name && id.gvk.is_selected(&spec.gvk)) {
            found = true;
            visit(&mut resources.0[index], spec, Make::Scalar, &mut |value| {
                *value = Value::from(replica.count);
                Ok(())
            })?;
        }
    }
    if found {
        return Ok(());
    }
    let kinds: Vec<String> = fields.iter().map(|spec| spec.gvk.to_string()).collect();
    Err(problem(format!(
        "resource with name {} does not match a config with the following GVK [{}]",
        replica.name,
        kinds.join(" ")
    )))
}

/// Changes an image wherever it stands.
pub(crate) fn image(resources: &mut Resources, image: &Image, fields: &[FieldSpec]) -> Result<()> {
    let pattern = format!("^{}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$", image.name);
    let regex =
        Regex::new(&pattern).map_err(|_| problem(format!("`{}` is no name of an image.", image.name)))?;
    let update = |value: &mut Value| {
        if let Some(text) = value.as_str().filter(|text| regex.is_match(text)) {
            *value = Value::from(changed(text, image));
        }
        Ok(())
    };
    for resource in resources.0.iter_mut().filter(|resource| resource.kind() != "CustomResourceDefinition") {
        containers(&mut resource.value, &mut { update })?;
        for spec in fields {
            visit(resource, spec, Make::Nothing, &mut { update })?;
        }
    }
    Ok(())
}

/// Calls `set` with the images of all containers, however deep they are.
fn containers(value: &mut Value, set: &mut dyn FnMut(&mut Value) -> Result<()>) -> Result<()> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| containers(item, set)),
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                containers(inner, set)?;
                if matches!(key.as_str(), "containers" | "initContainers") {
                    let images = inner.as_array_mut().into_iter().flatten();
                    for image in images.filter_map(|item| item.get_mut("image")) {
                        set(image)?;
                    }
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The image with its new name, tag and digest.
fn changed(text: &str, image: &Image) -> String {
    let (name, mut tag, mut digest) = split(text);
    let mut name = if image.new_name.is_empty() { name.to_owned() } else { image.new_name.clone() };
    let joined;
    match (image.new_tag.as_str(), image.digest.as_str(), image.tag_suffix.as_str()) {
        ("", "", "") => {}
        ("", "", suffix) => {
            joined = format!("{tag}{suffix}");
            (tag, digest) = (&joined, "");
        }
        ("", new, _) => (tag, digest) = ("", new),
        (new, new_digest, _) => (tag, digest) = (new, new_digest),
    }
    if !tag.is_empty() {
        name = format!("{name}:{tag}");
    }
    if !digest.is_empty() {
        name = format!("{name}@{digest}");
    }
    name
}

/// Name, tag and digest.
fn split(image: &str) -> (&str, &str, &str) {
    let start = image.find('/').unwrap_or(0);
    let (rest, digest) = match image[start..].find('@') {
        Some(at) => (&image[..start + at], &image[start + at + 1..]),
        None => (image, ""),
    };
    match rest[start..].find(':') {
        Some(at) => (&rest[..start + at], &rest[start + at + 1..], digest),
        None => (rest, "", digest),
    }
}
