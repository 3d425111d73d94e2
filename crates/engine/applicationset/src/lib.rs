//! ApplicationSets become Applications: generators make parameters, and a template is filled with each.
//!
//! Pure: what lies in git comes through [`Git`]. Where a commit has not been read yet, [`generate`] answers
//! [`Failure::Needs`]; the caller reads it and asks again. Generators: list, git (folders and files), cluster (this
//! one only), matrix and merge; both ways of templates. Words of failures are Argo CD's.

mod generators;
mod template;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use template::sanitize;

/// Parameters of one Application.
pub(crate) type Parameters = Map<String, Value>;

/// Most Applications that one set makes.
const MAX: usize = 5_000;
/// The finalizer that takes an Application's objects along.
const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";

/// The files of commits, by repository and revision.
#[derive(Clone, Debug, Default)]
pub struct Git(pub BTreeMap<(String, String), BTreeMap<String, Vec<u8>>>);

/// Why there are no Applications.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// This repository has to be read first, at this revision.
    Needs {
        /// Its URL.
        repository: String,
        /// The revision.
        revision: String,
    },
    /// Something is wrong, as the set's conditions tell it.
    Wrong {
        /// Argo CD's word for the kind of mistake.
        reason: &'static str,
        /// What is wrong.
        message: String,
    },
}

pub(crate) fn wrong(reason: &'static str, message: impl Into<String>) -> Failure {
    Failure::Wrong { reason, message: message.into() }
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// How templates are filled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// Go templates rather than plain words in braces.
    pub(crate) go: bool,
    /// A missing key is a mistake.
    pub(crate) strict: bool,
}

/// The Applications of a set, as they should be: name, labels, annotations, finalizers and specification.
///
/// # Errors
/// What has to be read first, or what is wrong.
pub fn generate(set: &Value, git: &Git) -> Result<Vec<Value>> {
    let spec = &set["spec"];
    let options = spec["goTemplateOptions"].as_array();
    let style = Style {
        go: spec["goTemplate"] == true,
        strict: options.is_some_and(|all| all.iter().any(|option| option == "missingkey=error")),
    };
    let context = generators::Context { git, style };
    let mut all = Vec::new();
    for generator in spec["generators"].as_array().into_iter().flatten() {
        for (parameters, own) in generators::run(&context, generator, None)? {
            let mut filled = template::fill(&merged(&spec["template"], &own), &parameters, style)
                .map_err(|message| wrong("RenderTemplateParamsError", message))?;
            if let Some(patch) = spec["templatePatch"].as_str() {
                let text = template::text(patch, &parameters, style)
                    .map_err(|message| wrong("RenderTemplateParamsError", message))?;
                patched(&mut filled, &text)?;
            }
            all.push(application(set, filled));
            if all.len() > MAX {
                return Err(wrong(
                    "ApplicationGenerationFromParamsError",
                    "the set makes too many applications",
                ));
            }
        }
    }
    unique(&all)?;
    Ok(all)
}

/// A generator's own template over the set's.
fn merged(base: &Value, own: &Value) -> Value {
    match (base, own) {
        (base, Value::Null) => base.clone(),
        (Value::Object(base), Value::Object(own)) => {
            let mut all = base.clone();
            for (key, value) in own {
                let inner = merged(base.get(key).unwrap_or(&Value::Null), value);
                all.insert(key.clone(), inner);
            }
            Value::Object(all)
        }
        (_, own) => own.clone(),
    }
}

fn patched(application: &mut Value, text: &str) -> Result<()> {
    let documents = galley_yaml::parse_documents_leniently("templatePatch", text);
    let documents = documents.map_err(|problem| {
        wrong(
            "ApplicationGenerationFromParamsError",
            format!("error replacing values in templatePatch: {problem}"),
        )
    })?;
    for document in documents {
        merge_patch(application, &document.value);
    }
    Ok(())
}

fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(map) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            map.shift_remove(key);
        } else {
            merge_patch(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn application(set: &Value, filled: Value) -> Value {
    let metadata = &filled["metadata"];
    let keep = set["spec"]["syncPolicy"]["preserveResourcesOnDeletion"] == true;
    let own = metadata["finalizers"].as_array().filter(|list| !list.is_empty());
    let finalizers = match own {
        Some(own) => json!(own),
        None if keep => json!([]),
        None => json!([FINALIZER]),
    };
    let mut made = json!({"name": metadata["name"], "namespace": set["metadata"]["namespace"], "finalizers": finalizers});
    for field in ["labels", "annotations"] {
        if metadata[field].as_object().is_some_and(|map| !map.is_empty()) {
            made[field] = metadata[field].clone();
        }
    }
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": made, "spec": filled["spec"]})
}

fn unique(all: &[Value]) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    for application in all {
        let name = application["metadata"]["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            return Err(wrong("ApplicationValidationError", "an application has no name"));
        }
        if !names.insert(name) {
            let what = format!("ApplicationSet {} contains applications with duplicate name: {name}", "");
            return Err(wrong("ApplicationValidationError", what.replace("  ", " ")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
