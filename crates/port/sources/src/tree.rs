//! This disk as a tree for kustomizations.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use galley_kustomize::{HelmChart, HelmGlobals, Tree};
use galley_problem::{Kind, Problem};
use galley_render::{Files, ReleaseInfo, Surroundings, TextOptions, ValueSources};

use crate::folder::{Limits, failed, read_folder};

/// Most bytes that all files of a rendering have together.
const MAX_ALL: u64 = 200 << 20;

/// A folder of this disk; nothing outside of it is read.
pub struct DiskTree {
    root: PathBuf,
    read: RefCell<u64>,
}

impl DiskTree {
    /// The tree below a folder.
    ///
    /// # Errors
    /// G0318 if there is no such folder.
    pub fn new(root: &Path) -> Result<DiskTree, Problem> {
        let root = root.canonicalize().map_err(|error| failed(root, &error))?;
        Ok(DiskTree { root, read: RefCell::new(0) })
    }

    /// The real path, if it lies inside.
    fn real(&self, path: &str) -> Option<PathBuf> {
        self.root.join(path).canonicalize().ok().filter(|real| real.starts_with(&self.root))
    }
}

impl Tree for DiskTree {
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, Problem> {
        let Some(real) = self.real(path).filter(|real| real.is_file()) else { return Ok(None) };
        let length = real.metadata().map_err(|error| failed(&real, &error))?.len();
        *self.read.borrow_mut() += length;
        if length > Limits::default().file || *self.read.borrow() > MAX_ALL {
            let what = format!(
                "The file is larger than {} MiB, or all files together are.",
                Limits::default().file >> 20
            );
            return Err(Problem::new("G0317", Kind::Invalid, what).at(path, 0, 0));
        }
        std::fs::read(&real).map(Some).map_err(|error| failed(&real, &error))
    }

    fn is_folder(&self, path: &str) -> bool {
        self.real(path).is_some_and(|real| real.is_dir())
    }

    fn chart(
        &self,
        folder: &str,
        globals: &HelmGlobals,
        chart: &HelmChart,
    ) -> Result<Vec<serde_json::Value>, Problem> {
        let home = if globals.chart_home.is_empty() { "charts" } else { &globals.chart_home };
        let at = |name: &str| format!("{folder}/{name}");
        let candidates = [
            format!("{home}/{}", chart.name),
            format!("{home}/{}-{}/{}", chart.name, chart.version, chart.name),
        ];
        let found = candidates.iter().find_map(|path| self.real(&at(path)).filter(|real| real.is_dir()));
        let Some(path) = found else {
            let what = format!("The chart `{}` is not under `{}`.", chart.name, at(home));
            return Err(Problem::new("G0311", Kind::NotFound, what)
                .try_this("Put the chart into the folder: nothing is fetched while rendering."));
        };
        let files = read_folder(&path, &Limits::default())?;
        let text = |name: &str| -> Result<(String, String), Problem> {
            let bytes = self.file(at(name).trim_start_matches('/'))?.unwrap_or_default();
            Ok((name.to_owned(), String::from_utf8_lossy(&bytes).into_owned()))
        };
        let mut texts = Vec::new();
        if !chart.values_file.is_empty() {
            texts.push(text(&chart.values_file)?);
        }
        for name in &chart.additional_values_files {
            texts.push(text(name)?);
        }
        manifests_of_chart(&files, chart, &texts)
    }
}

/// The manifests of a chart within a kustomization.
pub(crate) fn manifests_of_chart(
    files: &Files,
    chart: &HelmChart,
    texts: &[(String, String)],
) -> Result<Vec<serde_json::Value>, Problem> {
    let inline = chart.values_inline.is_object().then(|| chart.values_inline.clone());
    // Values of files come over inline ones only when asked so.
    let texts = if chart.values_merge == "replace" && inline.is_some() { &[] } else { texts };
    let sources = ValueSources { texts, inline, ..ValueSources::default() };
    let or = |given: &str, default: &str| (if given.is_empty() { default } else { given }).to_owned();
    let release = ReleaseInfo {
        name: or(&chart.release_name, "release-name"),
        namespace: or(&chart.namespace, "default"),
        revision: 1,
        is_upgrade: false,
    };
    let version = Some(chart.kube_version.as_str()).filter(|version| !version.is_empty());
    let capabilities = galley_render::default_capabilities(version, &chart.api_versions);
    let options = TextOptions {
        include_crds: chart.include_crds,
        no_hooks: chart.skip_hooks,
        skip_tests: chart.skip_tests,
        only: Vec::new(),
    };
    let text = galley_render::render_text(
        files,
        &sources,
        &release,
        &capabilities,
        Surroundings::default(),
        &options,
    )?;
    let documents = galley_yaml::parse_documents_leniently(&chart.name, &text)?;
    Ok(documents.into_iter().map(|document| document.value).collect())
}

/// Files in memory as a tree for kustomizations: a commit.
pub struct FileTree<'a>(pub &'a BTreeMap<String, Vec<u8>>);

impl Tree for FileTree<'_> {
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, Problem> {
        Ok(self.0.get(path).cloned())
    }

    fn is_folder(&self, path: &str) -> bool {
        let below = format!("{path}/");
        path.is_empty()
            || self.0.range(below.clone()..).next().is_some_and(|(file, _)| file.starts_with(&below))
    }

    fn chart(
        &self,
        folder: &str,
        globals: &HelmGlobals,
        chart: &HelmChart,
    ) -> Result<Vec<serde_json::Value>, Problem> {
        let home = if globals.chart_home.is_empty() { "charts" } else { &globals.chart_home };
        let at = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let below = format!("{}/", at(&format!("{home}/{}", chart.name)));
        let files: Files = self
            .0
            .range(below.clone()..)
            .take_while(|(path, _)| path.starts_with(&below))
            .map(|(path, bytes)| (path[below.len()..].to_owned(), bytes.clone()))
            .collect();
        if files.is_empty() {
            let what = format!("The chart `{}` is not under `{}`.", chart.name, at(home));
            return Err(Problem::new("G0311", Kind::NotFound, what)
                .try_this("Put the chart into the folder: nothing is fetched while rendering."));
        }
        let text = |name: &String| {
            let bytes = self.0.get(&at(name)).cloned().unwrap_or_default();
            (name.clone(), String::from_utf8_lossy(&bytes).into_owned())
        };
        let names = Some(&chart.values_file).filter(|name| !name.is_empty());
        let texts: Vec<_> = names.into_iter().chain(&chart.additional_values_files).map(text).collect();
        manifests_of_chart(&files, chart, &texts)
    }
}
