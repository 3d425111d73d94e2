//! Charts and directories become manifests.
//!
//! [`render_chart`] does what `helm template` does: values are merged, templates run, and their text is read as
//! manifests in Helm's install order. [`render_directory`] reads plain manifests. Both are pure: files come in as
//! bytes, the time and randomness only through [`Surroundings`], and the same input always gives the same output.
//! Every mistake is a [`Problem`] with the chart's own file and line, also where it is in the text that a template
//! printed.

mod archive;
mod chart;
mod defaults;
mod dependencies;
mod directory;
mod functions;
mod ignore;
mod keys;
mod manifests;
mod objects;
mod order;
mod problems;
mod release;
mod schema;
mod set;
mod templates;
mod values;

use std::collections::BTreeMap;

use galley_problem::Problem;
use serde_json::Value;

pub use archive::unpack;
pub use defaults::{HELM_VERSION, KUBE_VERSION, default_capabilities};
pub use directory::render_directory;
pub use keys::{Keys, Wanted};
pub use release::{TextOptions, render_text};
pub use set::files_of;
pub use templates::{Surroundings, render_chart, render_chart_in, render_templates};

/// Files by their path relative to the root of the chart or folder.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What the templates see as `.Release`; the service is always `Helm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseInfo {
    /// The release's name.
    pub name: String,
    /// The namespace it goes to.
    pub namespace: String,
    /// Counts from 1.
    pub revision: u32,
    /// Whether an earlier revision exists.
    pub is_upgrade: bool,
}

/// What the templates see as `.Capabilities`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Such as `v1.34.4`.
    pub kube_version: String,
    /// Such as `v1`, `apps/v1`, `apps/v1/Deployment`.
    pub api_versions: Vec<String>,
    /// Such as `v4.2.3`.
    pub helm_version: String,
}

/// Where values come from, apart from the chart's own `values.yaml`; later sources win.
#[derive(Clone, Debug, Default)]
pub struct ValueSources<'a> {
    /// Values files, relative to the chart.
    pub files: &'a [String],
    /// Values files from elsewhere: name and text.
    pub texts: &'a [(String, String)],
    /// Values given as an object.
    pub inline: Option<Value>,
    /// Single values (`image.tag`, `1.2`) as `--set` reads them: numbers and booleans become such.
    pub set: &'a [(String, String)],
    /// Single values that stay text.
    pub set_string: &'a [(String, String)],
    /// What stands after `--set` and its kind, in the order of kinds that Helm has.
    pub expressions: &'a [(SetKind, String)],
    /// The texts of the files that `--set-file` names, by path.
    pub set_files: BTreeMap<String, String>,
    /// Values are not held against the charts' schemas.
    pub unchecked: bool,
}

/// How an expression such as `image.tag=1.2,port=80` is read. The order is the one in which Helm applies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetKind {
    /// `--set-json`
    Json,
    /// `--set`
    Typed,
    /// `--set-string`
    Text,
    /// `--set-file`
    File,
    /// `--set-literal`
    Literal,
}

/// An object as it should be, and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The object.
    pub value: Value,
    /// Its file, relative to the root.
    pub file: String,
    /// The line of that file where the object begins, from 1.
    pub line: usize,
}

/// Whether the files are a chart rather than plain manifests.
pub fn is_chart(files: &Files) -> bool {
    files.contains_key("Chart.yaml")
}

/// A result whose error names the place.
pub(crate) type Result<T> = std::result::Result<T, Problem>;
