//! What stands in a kustomization.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::fieldspec::FieldSpec;
use crate::id::{Gvk, Id};

/// `kustomization.yaml`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Kustomization {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    #[serde(rename = "metadata")]
    _metadata: Value,
    #[serde(rename = "openapi")]
    _openapi: Value,
    pub(crate) name_prefix: String,
    pub(crate) name_suffix: String,
    pub(crate) namespace: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) common_labels: BTreeMap<String, Text>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) labels: Vec<Label>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) common_annotations: BTreeMap<String, Text>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) patches_strategic_merge: Vec<String>,
    #[serde(rename = "patchesJson6902", deserialize_with = "or_default")]
    pub(crate) patches_json_6902: Vec<Patch>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) patches: Vec<Patch>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) images: Vec<Image>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) image_tags: Vec<Image>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) replacements: Vec<Replacement>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) replicas: Vec<Replica>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) vars: Vec<Variable>,
    pub(crate) sort_options: Option<SortOptions>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) resources: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) components: Vec<String>,
    #[serde(rename = "crds")]
    _crds: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) bases: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) config_map_generator: Vec<Generated>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) secret_generator: Vec<Generated>,
    pub(crate) helm_globals: HelmGlobals,
    #[serde(deserialize_with = "or_default")]
    pub(crate) helm_charts: Vec<HelmChart>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) helm_chart_inflation_generator: Vec<Value>,
    pub(crate) generator_options: GeneratorOptions,
    #[serde(deserialize_with = "or_default")]
    pub(crate) configurations: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) generators: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) transformers: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) validators: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) build_metadata: Vec<String>,
}

/// Null is as good as nothing.
pub(crate) fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A text; numbers and booleans are written out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Text(text)),
            Value::Null => Ok(Text(String::new())),
            value @ (Value::Number(_) | Value::Bool(_)) => Ok(Text(value.to_string())),
            _ => Err(serde::de::Error::custom("a text is expected")),
        }
    }
}

/// An entry of `labels`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Label {
    pub(crate) pairs: BTreeMap<String, Text>,
    pub(crate) include_selectors: bool,
    pub(crate) include_templates: bool,
    #[serde(rename = "fields", deserialize_with = "or_default")]
    pub(crate) fields: Vec<FieldSpec>,
}

/// Which objects are meant, by regular expressions and selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Selector {
    #[serde(flatten)]
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) annotation_selector: String,
    pub(crate) label_selector: String,
}

/// An entry of `patches`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Patch {
    pub(crate) path: String,
    pub(crate) patch: String,
    pub(crate) target: Option<Selector>,
    pub(crate) options: PatchOptions,
}

/// What a patch may do beyond the usual.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PatchOptions {
    pub(crate) allow_name_change: bool,
    pub(crate) allow_kind_change: bool,
}

/// An entry of `images`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) new_name: String,
    #[serde(deserialize_with = "text")]
    pub(crate) new_tag: String,
    pub(crate) tag_suffix: String,
    pub(crate) digest: String,
}

fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Text::deserialize(deserializer).map(|text| text.0)
}

/// An entry of `replicas`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) count: i64,
}

/// An entry of `vars`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) objref: ObjectReference,
    pub(crate) fieldref: FieldReference,
}

/// What a variable is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ObjectReference {
    pub(crate) api_version: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

/// Which field a variable has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FieldReference {
    #[serde(alias = "fieldPath")]
    pub(crate) fieldpath: String,
}

/// `sortOptions`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SortOptions {
    pub(crate) order: String,
    pub(crate) legacy_sort_options: Option<LegacyOrder>,
}

/// Which kinds come first and last.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LegacyOrder {
    #[serde(deserialize_with = "or_default")]
    pub(crate) order_first: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) order_last: Vec<String>,
}

/// An entry of `configMapGenerator` or `secretGenerator`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Generated {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) behavior: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) literals: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) files: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) envs: Vec<String>,
    pub(crate) env: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) options: Option<GeneratorOptions>,
}

/// `generatorOptions`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct GeneratorOptions {
    #[serde(deserialize_with = "or_default")]
    pub(crate) labels: BTreeMap<String, Text>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) annotations: BTreeMap<String, Text>,
    pub(crate) disable_name_suffix_hash: bool,
    pub(crate) immutable: bool,
}

/// An entry of `replacements`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Replacement {
    pub(crate) path: String,
    pub(crate) source: Option<Source>,
    pub(crate) source_value: Option<Text>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) targets: Vec<Target>,
}

/// Where a replacement's value comes from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Source {
    #[serde(flatten)]
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) field_path: String,
    pub(crate) options: FieldOptions,
}

impl Source {
    pub(crate) fn id(&self) -> Id {
        Id { gvk: self.gvk.clone(), name: self.name.clone(), namespace: self.namespace.clone() }
    }
}

/// Where a replacement's value goes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) select: Option<Selector>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) reject: Vec<Selector>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) field_paths: Vec<String>,
    pub(crate) options: FieldOptions,
}

/// Which part of a text is meant.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FieldOptions {
    pub(crate) delimiter: String,
    pub(crate) index: i64,
    pub(crate) create: bool,
}

/// `helmGlobals`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HelmGlobals {
    /// Folder of the charts; `charts` if empty.
    pub chart_home: String,
    /// Helm's own configuration, which is not used.
    pub config_home: String,
}

/// An entry of `helmCharts`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HelmChart {
    /// Name of the chart: its folder below the globals' `chartHome`.
    pub name: String,
    /// Version of the chart.
    pub version: String,
    /// Repository that it came from.
    pub repo: String,
    /// Name of the release.
    pub release_name: String,
    /// Namespace of the release.
    pub namespace: String,
    /// A values file in place of the chart's own.
    pub values_file: String,
    /// Further values files.
    pub additional_values_files: Vec<String>,
    /// Values.
    pub values_inline: Value,
    /// How inline values and those of the file meet: `override`, `replace` or `merge`.
    pub values_merge: String,
    /// CRDs, too.
    #[serde(rename = "includeCRDs")]
    pub include_crds: bool,
    /// No hooks.
    pub skip_hooks: bool,
    /// No tests.
    pub skip_tests: bool,
    /// Further API versions.
    pub api_versions: Vec<String>,
    /// Version of Kubernetes.
    pub kube_version: String,
}

/// The charts of a kustomization, those written in the former way too, and what holds for all of them.
pub(crate) fn charts(own: &Kustomization) -> (Vec<HelmChart>, HelmGlobals) {
    let (mut charts, mut globals) = (own.helm_charts.clone(), own.helm_globals.clone());
    for former in &own.helm_chart_inflation_generator {
        let text = |field: &str| former[field].as_str().unwrap_or_default().to_owned();
        if globals.chart_home.is_empty() {
            globals.chart_home = text("chartHome");
        }
        charts.push(HelmChart {
            name: text("chartName"),
            version: text("chartVersion"),
            repo: text("chartRepoUrl"),
            release_name: text("releaseName"),
            namespace: text("releaseNamespace"),
            values_file: text("values"),
            values_inline: former["valuesLocal"].clone(),
            values_merge: text("valuesMerge"),
            ..HelmChart::default()
        });
    }
    (charts, globals)
}
