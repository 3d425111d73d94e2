//! Generators and transformers that stand in files of their own (`apiVersion: builtin`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::fieldspec::FieldSpec;
use crate::generators::{Kind, generate};
use crate::kustomization::{
    Generated, GeneratorOptions, Image, Patch, Replacement, Replica, Selector, SortOptions, Text, or_default,
};
use crate::patches::Matcher;
use crate::resource::{Resource, Resources};
use crate::transform::NamespaceOptions;
use crate::{Result, hash, order, patches, problem, replacements, transform};

/// What stands in such a file; every kind reads the fields it knows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Plugin {
    prefix: String,
    suffix: String,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, Text>,
    #[serde(deserialize_with = "or_default")]
    annotations: BTreeMap<String, Text>,
    image_tag: Image,
    replica: Replica,
    #[serde(deserialize_with = "or_default")]
    field_specs: Vec<FieldSpec>,
    unset_only: bool,
    set_role_binding_subjects: String,
    path: String,
    patch: String,
    json_op: String,
    target: Option<Selector>,
    options: Value,
    #[serde(deserialize_with = "or_default")]
    paths: Vec<String>,
    patches: String,
    #[serde(deserialize_with = "or_default")]
    replacements: Vec<Replacement>,
    sort_options: Option<SortOptions>,
}

/// What a generator's file may say.
const GENERATED: [&str; 9] =
    ["name", "namespace", "behavior", "literals", "files", "envs", "env", "type", "options"];

/// Runs a generator.
pub(crate) fn run_generator(value: &Value, load: &dyn Fn(&str) -> Result<Vec<u8>>) -> Result<Resource> {
    let kind = match value["kind"].as_str() {
        Some("ConfigMapGenerator") => Kind::ConfigMap,
        Some("SecretGenerator") => Kind::Secret,
        other => return Err(unknown(other)),
    };
    let mut map = value.as_object().cloned().unwrap_or_default();
    let metadata = map.shift_remove("metadata").unwrap_or_default();
    map.shift_remove("apiVersion");
    map.shift_remove("kind");
    map.retain(|key, _| GENERATED.contains(&key.as_str()));
    let mut wanted: Generated =
        serde_json::from_value(Value::Object(map)).map_err(|error| problem(error.to_string()))?;
    let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
    if wanted.name.is_empty() {
        wanted.name = text("name");
    }
    if wanted.namespace.is_empty() {
        wanted.namespace = text("namespace");
    }
    generate(kind, &wanted, &GeneratorOptions::default(), load)
}

fn unknown(kind: Option<&str>) -> galley_problem::Problem {
    problem(format!("The plug-in `{}` is not one of Kustomize's own.", kind.unwrap_or_default()))
        .try_this("Only built-in plug-ins are run; programs and containers are not.")
}

/// Runs a transformer.
pub(crate) fn run_transformer(
    resources: &mut Resources,
    value: &Value,
    load: &dyn Fn(&str) -> Result<Vec<u8>>,
) -> Result<()> {
    let plugin: Plugin = serde_json::from_value(value.clone()).map_err(|error| problem(error.to_string()))?;
    let read = |path: &str| -> Result<String> {
        String::from_utf8(load(path)?).map_err(|_| problem("The file is not UTF-8 text.").at(path, 0, 0))
    };
    let fields = &plugin.field_specs;
    match value["kind"].as_str() {
        Some("PrefixTransformer") => transform::rename(resources, &plugin.prefix, "", fields),
        Some("SuffixTransformer") => transform::rename(resources, "", &plugin.suffix, fields),
        Some("PrefixSuffixTransformer") => {
            transform::rename(resources, &plugin.prefix, &plugin.suffix, fields)
        }
        Some("NamespaceTransformer") => {
            let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default();
            let options = NamespaceOptions {
                unset_only: plugin.unset_only,
                all_subjects: plugin.set_role_binding_subjects == "allServiceAccounts",
                no_subjects: plugin.set_role_binding_subjects == "none",
            };
            if namespace.is_empty() {
                Ok(())
            } else {
                transform::namespace(resources, namespace, fields, options)
            }
        }
        Some("LabelTransformer") => transform::pairs(resources, &plugin.labels, fields),
        Some("AnnotationsTransformer") => transform::pairs(resources, &plugin.annotations, fields),
        Some("ImageTagTransformer") => transform::image(resources, &plugin.image_tag, fields),
        Some("ReplicaCountTransformer") => transform::replicas(resources, &plugin.replica, fields),
        Some("PatchTransformer") => {
            let options = serde_json::from_value(plugin.options).unwrap_or_default();
            let text = if plugin.path.is_empty() { plugin.patch.clone() } else { read(&plugin.path)? };
            let patch = Patch { path: plugin.path, patch: plugin.patch, target: plugin.target, options };
            patches::apply(resources, &patch, &text, &patch.path)
        }
        Some("PatchJson6902Transformer") => {
            let text = if plugin.path.is_empty() { plugin.json_op } else { read(&plugin.path)? };
            let matcher = Matcher::new(&plugin.target.unwrap_or_default())?;
            let operations = patches::operations(&text, &plugin.path)?;
            patches::json(resources, &matcher, &operations, &plugin.path, false)
        }
        Some("PatchStrategicMergeTransformer") => {
            let mut texts = plugin.paths.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
            texts.push(plugin.patches);
            for text in texts {
                for document in galley_yaml::parse_documents_of_1_2("patch", &text)? {
                    patches::by_id(resources, &Resource::new(document.value), "patch")?;
                }
            }
            Ok(())
        }
        Some("ReplacementTransformer") => {
            plugin.replacements.iter().try_for_each(|one| replacements::replace(resources, one))
        }
        Some("SortOrderTransformer") => order::sort(resources, plugin.sort_options.as_ref()),
        Some("HashTransformer") => {
            add_hashes(resources);
            Ok(())
        }
        other => Err(unknown(other)),
    }
}

/// Adds hashes to the names that want them.
pub(crate) fn add_hashes(resources: &mut Resources) {
    for resource in resources.0.iter_mut().filter(|resource| resource.wants_hash) {
        let name = format!("{}-{}", resource.name(), hash::hash(&resource.value));
        resource.remember_id();
        resource.set_name(&name);
    }
}
