//! Charts as files: metadata, values, templates, other files and the charts inside.

use std::collections::BTreeMap;

use galley_problem::{Kind, Problem};
use galley_sprig::Value;
use serde::Deserialize;

use crate::ignore::Ignore;
use crate::problems::{self, utf8};
use crate::{Files, Result, values};

/// Deepest nesting of charts in charts.
const MAX_DEPTH: usize = 20;

/// `Chart.yaml`. Fields that Helm does not know are ignored, as Helm does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata {
    pub(crate) api_version: String,
    pub(crate) name: String,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) version: String,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) kube_version: String,
    pub(crate) description: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) keywords: Vec<String>,
    pub(crate) home: String,
    pub(crate) sources: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) maintainers: Vec<Maintainer>,
    pub(crate) icon: String,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) app_version: String,
    pub(crate) deprecated: bool,
    #[serde(deserialize_with = "loose_texts")]
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) condition: String,
    pub(crate) tags: String,
}

/// A chart that another one needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) version: String,
    pub(crate) repository: String,
    pub(crate) condition: String,
    pub(crate) tags: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) import_values: Vec<serde_json::Value>,
    pub(crate) alias: String,
}

/// Somebody who looks after a chart.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Maintainer {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) url: String,
}

/// Reads text; `1.0` and `2` count as text too, since Helm reads them so.
fn loose_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => text,
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    })
}

fn loose_texts<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    let map = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(map.into_iter().map(|(key, value)| (key, text(value))).collect())
}

/// A chart.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) metadata: Metadata,
    /// The defaults of `values.yaml`, a map.
    pub(crate) values: Value,
    /// Path and text.
    pub(crate) templates: Vec<(String, String)>,
    /// Path and text.
    pub(crate) crds: Vec<(String, String)>,
    /// What `.Files` has.
    pub(crate) files: Files,
    pub(crate) charts: Vec<Chart>,
    /// `values.schema.json`
    pub(crate) schema: Option<Vec<u8>>,
    /// Nulls of `values.yaml` reach the templates, as they do with Helm 3; Helm 4.2 takes them out.
    pub(crate) nulls_stay: bool,
    /// Where it lies under the root chart: empty, or `charts/name/`.
    pub(crate) folder: String,
}

impl Chart {
    pub(crate) fn load(files: &Files) -> Result<Chart> {
        let ignore = match files.get(".helmignore") {
            Some(bytes) => Ignore::read(utf8(".helmignore", bytes)?),
            None => Ignore::default(),
        };
        let kept: BTreeMap<&str, &[u8]> = files
            .iter()
            .filter(|(path, _)| !ignore.matches(path) && !path.starts_with("templates/."))
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
            .collect();
        load(&kept, "", 0)
    }

    /// Lets nulls stay, here and in all charts inside.
    pub(crate) fn keep_nulls(&mut self) {
        self.nulls_stay = true;
        self.charts.iter_mut().for_each(Chart::keep_nulls);
    }

    /// The CRDs of the chart and of those in it: where they lie, and their text.
    pub(crate) fn all_crds(&self, path: &str, all: &mut Vec<(String, String)>) {
        all.extend(self.crds.iter().map(|(file, text)| (format!("{path}/{file}"), text.clone())));
        for inner in &self.charts {
            inner.all_crds(&format!("{path}/charts/{}", inner.metadata.name), all);
        }
    }

    pub(crate) fn is_library(&self) -> bool {
        self.metadata.kind == "library"
    }
}

fn load(files: &BTreeMap<&str, &[u8]>, folder: &str, depth: usize) -> Result<Chart> {
    if depth > MAX_DEPTH {
        return Err(problems::chart("Charts are nested too deeply."));
    }
    let metadata = metadata(files, folder)?;
    let mut chart = Chart {
        metadata,
        values: Value::map([]),
        templates: Vec::new(),
        crds: Vec::new(),
        files: Files::new(),
        charts: Vec::new(),
        schema: None,
        nulls_stay: false,
        folder: folder.to_owned(),
    };
    let mut inner: BTreeMap<&str, BTreeMap<&str, &[u8]>> = BTreeMap::new();
    for (path, bytes) in files {
        let place = format!("{folder}{path}");
        match *path {
            "Chart.yaml" | "Chart.lock" => {}
            "values.schema.json" => chart.schema = Some(bytes.to_vec()),
            "requirements.yaml" | "requirements.lock" if chart.metadata.api_version != "v1" => {}
            "values.yaml" => chart.values = values::read_file(&place, utf8(&place, bytes)?)?,
            _ if path.starts_with("templates/") => {
                chart.templates.push(((*path).to_owned(), utf8(&place, bytes)?.to_owned()));
            }
            _ => {
                if let Some(rest) = path.strip_prefix("charts/") {
                    match rest.split_once('/') {
                        Some((name, rest)) if !name.starts_with(['_', '.']) => {
                            inner.entry(name).or_default().insert(rest, bytes);
                        }
                        None if rest.ends_with(".tgz") && !rest.starts_with(['_', '.']) => {
                            let unpacked = crate::archive::unpack(&place, bytes)?;
                            let kept = unpacked.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
                            chart.charts.push(load(&kept.collect(), &format!("{place}/"), depth + 1)?);
                        }
                        _ => {}
                    }
                    continue;
                }
                if path.starts_with("crds/")
                    && [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end))
                {
                    chart.crds.push(((*path).to_owned(), utf8(&place, bytes)?.to_owned()));
                }
                chart.files.insert((*path).to_owned(), bytes.to_vec());
            }
        }
    }
    for (name, files) in inner {
        chart.charts.push(load(&files, &format!("{folder}charts/{name}/"), depth + 1)?);
    }
    Ok(chart)
}

fn metadata(files: &BTreeMap<&str, &[u8]>, folder: &str) -> Result<Metadata> {
    let place = format!("{folder}Chart.yaml");
    let bytes = files.get("Chart.yaml").ok_or_else(|| {
        Problem::new("G0311", Kind::NotFound, "The folder has no Chart.yaml.").at(place.clone(), 0, 0)
    })?;
    let text = utf8(&place, bytes)?;
    let mut metadata: Metadata = galley_yaml::from_str_leniently(&place, text)?;
    if metadata.api_version.is_empty() {
        metadata.api_version = "v1".to_owned();
    }
    if let Some(bytes) = files.get("requirements.yaml") {
        // The former place of dependencies.
        let place = format!("{folder}requirements.yaml");
        let former: Metadata = galley_yaml::from_str_leniently(&place, utf8(&place, bytes)?)?;
        if !former.dependencies.is_empty() {
            metadata.dependencies = former.dependencies;
        }
    }
    for (field, value) in [("name", &metadata.name), ("version", &metadata.version)] {
        if value.is_empty() {
            let problem = Problem::new("G0311", Kind::Invalid, format!("Chart.yaml has no `{field}`."));
            return Err(problem.at(place, 1, 1).try_this(format!("Add `{field}:` to it.")));
        }
    }
    if metadata.name.contains(['/', '\\']) {
        let at = galley_yaml::locate(text, "/name").unwrap_or((1, 1));
        return Err(Problem::new("G0311", Kind::Invalid, "A chart's name must not hold slashes.")
            .at(place, at.0, at.1));
    }
    Ok(metadata)
}

impl Metadata {
    /// What templates see as `.Chart`.
    pub(crate) fn value(&self, is_root: bool) -> Value {
        use galley_sprig::value::{Entries, List, Map, MapType};
        let text = |text: &str| Value::text(text);
        let list = |texts: &[String]| Value::List(List::new(texts.iter().map(Value::text).collect()));
        let maintainers = self.maintainers.iter().map(|maintainer| {
            Value::map([
                ("Name", text(&maintainer.name)),
                ("Email", text(&maintainer.email)),
                ("URL", text(&maintainer.url)),
            ])
        });
        let dependencies = self.dependencies.iter().map(|dependency| {
            Value::map([
                ("Name", text(&dependency.name)),
                ("Version", text(&dependency.version)),
                ("Repository", text(&dependency.repository)),
                ("Condition", text(&dependency.condition)),
                ("Tags", list(&dependency.tags)),
                ("Enabled", Value::Bool(dependency.enabled)),
                (
                    "ImportValues",
                    Value::List(List::new(dependency.import_values.iter().map(Value::from_json).collect())),
                ),
                ("Alias", text(&dependency.alias)),
            ])
        });
        let annotations: Entries =
            self.annotations.iter().map(|(key, value)| (key.as_str().into(), Value::text(value))).collect();
        Value::map([
            ("Name", text(&self.name)),
            ("Home", text(&self.home)),
            ("Sources", list(&self.sources)),
            ("Version", text(&self.version)),
            ("Description", text(&self.description)),
            ("Keywords", list(&self.keywords)),
            ("Maintainers", Value::List(List::new(maintainers.collect()))),
            ("Icon", text(&self.icon)),
            ("APIVersion", text(&self.api_version)),
            ("Condition", text(&self.condition)),
            ("Tags", text(&self.tags)),
            ("AppVersion", text(&self.app_version)),
            ("Deprecated", Value::Bool(self.deprecated)),
            ("Annotations", Value::Map(Map::typed(annotations, MapType::Text))),
            ("KubeVersion", text(&self.kube_version)),
            ("Dependencies", Value::List(List::new(dependencies.collect()))),
            ("Type", text(&self.kind)),
            ("IsRoot", Value::Bool(is_root)),
        ])
    }
}
