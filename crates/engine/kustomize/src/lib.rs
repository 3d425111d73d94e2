//! Kustomizations become manifests, as `kustomize build` makes them.
//!
//! [`build`] reads a kustomization and what it names through a [`Tree`], so nothing here knows a disk. Resources are
//! JSON values that remember their former names ([`resource`]); a kustomization is worked off in the order of
//! Kustomize: resources, generators, components, then patches, namespace, prefix, suffix, labels, annotations,
//! JSON patches, replicas, images, replacements, and at the very end hashes and the references to changed names.

mod accumulate;
mod configuration;
mod defaults;
mod fieldspec;
mod generators;
mod hash;
mod id;
mod kustomization;
mod merge;
mod names;
mod order;
mod overrides;
mod patches;
mod plugins;
mod replacements;
mod resource;
mod transform;
mod variables;

use galley_problem::Problem;
use serde_json::Value;

pub use kustomization::{HelmChart, HelmGlobals};
pub use overrides::Overrides;

/// Names under which a kustomization may stand in its folder.
pub const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Where files come from. Paths are relative to the root of the tree, without `.` and `..`.
pub trait Tree {
    /// The content of a file; nothing if there is none.
    ///
    /// # Errors
    /// What keeps it from being read.
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, Problem>;

    /// Whether there is a folder.
    fn is_folder(&self, path: &str) -> bool;

    /// Renders a chart for `helmCharts`; a tree that cannot says so.
    ///
    /// # Errors
    /// What is wrong with the chart.
    fn chart(&self, _folder: &str, _globals: &HelmGlobals, chart: &HelmChart) -> Result<Vec<Value>, Problem> {
        Err(problem(format!("The chart `{}` cannot be rendered here.", chart.name)))
    }
}

/// The manifests of the kustomization in a folder of the tree, in order.
///
/// # Errors
/// `G0319` what is wrong with the kustomization, with its file; `G0301`..`G0305` files that are no YAML.
pub fn build(tree: &dyn Tree, folder: &str) -> Result<Vec<Value>, Problem> {
    accumulate::build(tree, folder, &Overrides::default())
}

/// As [`build`], with changes to the kustomization of the folder itself.
///
/// # Errors
/// As [`build`].
pub fn build_with(tree: &dyn Tree, folder: &str, overrides: &Overrides) -> Result<Vec<Value>, Problem> {
    accumulate::build(tree, folder, overrides)
}

/// Manifests as the text that `kustomize build` prints.
pub fn to_text(manifests: &[Value]) -> String {
    manifests.iter().map(galley_yaml::to_string).collect::<Vec<_>>().join("---\n")
}

/// A mistake in a kustomization.
pub(crate) fn problem(what: impl Into<String>) -> Problem {
    Problem::new("G0319", galley_problem::Kind::Invalid, what)
}

pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;
