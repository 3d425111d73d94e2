//! An Application: sources in git, and where their objects are to be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ApplicationStatus, Operation};

/// An Argo CD Application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Application {
    /// `argoproj.io/v1alpha1`.
    pub api_version: String,
    /// `Application`.
    pub kind: String,
    /// Name, labels, annotations and the rest.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: ApplicationSpec,
    /// What is known.
    #[serde(skip_serializing_if = "is_default")]
    pub status: ApplicationStatus,
    /// A sync that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
}

impl Application {
    /// The sources, however they are written.
    pub fn sources(&self) -> Vec<&Source> {
        self.spec.sources()
    }

    /// An annotation's value.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.annotations.get(name).map(String::as_str)
    }
}

/// The part of metadata that matters here, and all else as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Namespace; Applications are in `argocd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What must happen before the object goes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
    /// When deletion was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<String>,
    /// Version of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// Version of the specification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What an Application wants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ApplicationSpec {
    /// The AppProject, `default` if empty.
    pub project: String,
    /// Where objects go.
    pub destination: Destination,
    /// Where they come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Where they come from, if from several places; wins over `source`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// When and how to sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_policy: Option<SyncPolicy>,
    /// Differences that do not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_differences: Vec<IgnoreDifference>,
    /// Notes for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub info: Vec<Value>,
    /// Entries of history kept; ten if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<i64>,
}

impl ApplicationSpec {
    /// The sources, however they are written.
    pub fn sources(&self) -> Vec<&Source> {
        if self.sources.is_empty() { self.source.iter().collect() } else { self.sources.iter().collect() }
    }

    /// Whether the sync policy has this option, as in `CreateNamespace=true`.
    pub fn has_option(&self, option: &str) -> bool {
        self.sync_policy.as_ref().is_some_and(|policy| policy.sync_options.iter().any(|o| o == option))
    }

    /// The policy of automatic syncs, unless there is none or it is switched off.
    pub fn automated(&self) -> Option<&Automated> {
        let automated = self.sync_policy.as_ref()?.automated.as_ref()?;
        (automated.enabled != Some(false)).then_some(automated)
    }
}

/// A cluster and a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Destination {
    /// The API server; [`crate::IN_CLUSTER`] is this one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// The cluster by name; `in-cluster` is this one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The namespace of objects that name none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// A place in a repository and how to make objects of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Source {
    /// The repository.
    #[serde(rename = "repoURL")]
    pub repo_url: String,
    /// The folder.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Branch, tag or commit; `HEAD` if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target_revision: String,
    /// A chart of a Helm repository.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub chart: String,
    /// A name by which values files of other sources are found here, as in `$values/x.yaml`.
    #[serde(rename = "ref", skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// A name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How to render a chart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helm: Option<HelmSource>,
    /// How to read a folder of manifests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectorySource>,
    /// Kustomize settings, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kustomize: Option<Value>,
    /// Plugin settings, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Value>,
}

impl Source {
    /// Branch, tag or commit, `HEAD` if none is written.
    pub fn revision(&self) -> &str {
        if self.target_revision.is_empty() { "HEAD" } else { &self.target_revision }
    }
}

/// How to render a Helm chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HelmSource {
    /// Values files, relative to the chart, or `$ref/...`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub value_files: Vec<String>,
    /// Whether absent values files are passed over.
    #[serde(skip_serializing_if = "is_default")]
    pub ignore_missing_value_files: bool,
    /// Single values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<HelmParameter>,
    /// Values from files, as written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub file_parameters: Vec<Value>,
    /// The release's name; the Application's if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub release_name: String,
    /// Values as a block of YAML.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub values: String,
    /// Values as an object; wins over `values`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values_object: Option<Value>,
    /// Leave out the chart's `crds/` folder.
    #[serde(skip_serializing_if = "is_default")]
    pub skip_crds: bool,
    /// Leave out the chart's schema.
    #[serde(skip_serializing_if = "is_default")]
    pub skip_schema_validation: bool,
    /// Leave out the chart's tests.
    #[serde(skip_serializing_if = "is_default")]
    pub skip_tests: bool,
    /// The release's namespace; the destination's if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The Kubernetes version that charts see.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kube_version: String,
    /// The API versions that charts see.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_versions: Vec<String>,
    /// Always `v3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// One `--set` of Helm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HelmParameter {
    /// The path, as in `image.tag`.
    pub name: String,
    /// The value.
    pub value: String,
    /// Whether it is text whatever it looks like.
    #[serde(skip_serializing_if = "is_default")]
    pub force_string: bool,
}

/// How to read a folder of manifests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DirectorySource {
    /// Whether folders below are read too.
    #[serde(skip_serializing_if = "is_default")]
    pub recurse: bool,
    /// A pattern of files to leave out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exclude: String,
    /// A pattern of files to read only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub include: String,
    /// Jsonnet settings, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jsonnet: Option<Value>,
}

/// When and how to sync.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SyncPolicy {
    /// Sync without being asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automated: Option<Automated>,
    /// Options of each sync, as in `CreateNamespace=true`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sync_options: Vec<String>,
    /// How failed syncs are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryStrategy>,
    /// Metadata of a namespace that is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_namespace_metadata: Option<ManagedNamespaceMetadata>,
}

/// Sync without being asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Automated {
    /// Whether objects that are no longer wanted go.
    #[serde(skip_serializing_if = "is_default")]
    pub prune: bool,
    /// Whether changes of live objects are undone.
    #[serde(skip_serializing_if = "is_default")]
    pub self_heal: bool,
    /// Whether everything may be pruned.
    #[serde(skip_serializing_if = "is_default")]
    pub allow_empty: bool,
    /// `false` switches it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// How a failed sync is tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryStrategy {
    /// How often; negative is without end.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: i64,
    /// How long to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// Whether a retry looks for a newer revision.
    #[serde(skip_serializing_if = "is_default")]
    pub refresh: bool,
}

/// Growing pauses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Backoff {
    /// The first pause, `5s` if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub duration: String,
    /// What each next one is multiplied by, 2 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<i64>,
    /// The longest, `3m` if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub max_duration: String,
}

/// Labels and annotations of a namespace that is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagedNamespaceMetadata {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Differences that do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IgnoreDifference {
    /// API group; a pattern.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind; a pattern.
    pub kind: String,
    /// Name, if only of one object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Namespace, if only there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Fields as JSON pointers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub json_pointers: Vec<String>,
    /// Fields as jq paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jq_path_expressions: Vec<String>,
    /// Fields that these managers own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub managed_fields_managers: Vec<String>,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
