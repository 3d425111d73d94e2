//! Working off a kustomization and the ones that it names.

use galley_problem::Problem;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::configuration::Configuration;
use crate::fieldspec::{FieldSpec, merge_one};
use crate::generators::{Kind, generate};
use crate::kustomization::{Kustomization, Replacement, Text, Variable};
use crate::patches::{self, Matcher};
use crate::resource::{Resource, Resources};
use crate::transform::NamespaceOptions;
use crate::{
    FILE_NAMES, Overrides, Result, Tree, names, order, plugins, problem, replacements, transform, variables,
};

/// Deepest nesting of kustomizations.
const MAX_DEPTH: usize = 64;
/// Most kustomizations that are read in all.
const MAX_COUNT: usize = 2_000;
/// Most resources.
const MAX_RESOURCES: usize = 50_000;
/// What keeps an object from being printed.
const LOCAL: &str = "config.kubernetes.io/local-config";

/// What has been gathered so far.
#[derive(Default)]
struct Gathered {
    resources: Resources,
    configuration: Configuration,
    variables: Vec<Variable>,
}

/// The manifests of a kustomization.
pub(crate) fn build(tree: &dyn Tree, folder: &str, overrides: &Overrides) -> Result<Vec<Value>> {
    let mut builder = Builder { tree, open: Vec::new(), count: 0 };
    let folder =
        join("", folder).ok_or_else(|| problem(format!("`{folder}` lies outside of what may be read.")))?;
    let (mut kustomization, file) = builder.load(&folder)?;
    overrides.apply(&mut kustomization);
    let mut all = builder.target(&folder, &kustomization, &file, Gathered::default())?;
    plugins::add_hashes(&mut all.resources);
    names::fix(&mut all.resources, &all.configuration).map_err(|error| placed(error, &file))?;
    variables::resolve(&mut all.resources, &all.variables, &all.configuration)?;
    all.resources.0.retain(|resource| {
        resource.texts("annotations").iter().all(|(key, value)| key != LOCAL || value == "false")
    });
    order::sort(&mut all.resources, kustomization.sort_options.as_ref())?;
    if kustomization.build_metadata.iter().any(|what| what == "managedByLabel") {
        let label = [("app.kubernetes.io/managed-by".to_owned(), Text("kustomize-v5.8.1".to_owned()))].into();
        let field = FieldSpec { path: "metadata/labels".to_owned(), create: true, ..FieldSpec::default() };
        transform::pairs(&mut all.resources, &label, &[field])?;
    }
    Ok(all.resources.0.into_iter().map(finished).collect())
}

/// Annotations are texts; takes out what is empty in the metadata.
fn finished(resource: Resource) -> Value {
    let annotations = resource.texts("annotations");
    let mut value = resource.value;
    if !annotations.is_empty() {
        value["metadata"]["annotations"] =
            annotations.into_iter().map(|(key, text)| (key, Value::from(text))).collect();
    }
    for field in ["annotations", "labels"] {
        let empty = value.pointer(&format!("/metadata/{field}")).is_some_and(|map| map == &json!({}));
        if empty && let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove(field);
        }
    }
    value
}

/// A problem without a place gets one.
fn placed(error: Problem, file: &str) -> Problem {
    if error.place.is_some() { error } else { error.at(file, 0, 0) }
}

/// A path from a folder, without `.` and `..`; nothing if it leads out of the tree.
fn join(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    if path.starts_with('/') {
        parts.clear();
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

struct Builder<'a> {
    tree: &'a dyn Tree,
    /// The folders on the way here.
    open: Vec<String>,
    count: usize,
}

impl Builder<'_> {
    /// Reads the kustomization of a folder.
    fn load(&mut self, folder: &str) -> Result<(Kustomization, String)> {
        let at = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let mut found = Vec::new();
        for name in FILE_NAMES {
            if let Some(bytes) = self.tree.file(&at(name))? {
                found.push((at(name), bytes));
            }
        }
        if found.len() > 1 {
            return Err(
                problem(format!("Found multiple kustomization files under: {folder}")).at(folder, 0, 0)
            );
        }
        let Some((file, bytes)) = found.pop() else {
            let what = format!(
                "unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{folder}'"
            );
            return Err(problem(what).at(folder, 0, 0));
        };
        self.count += 1;
        if self.count > MAX_COUNT {
            return Err(problem("There are too many kustomizations.").at(file, 0, 0));
        }
        let text = text(&file, bytes)?;
        let mut kustomization = read(&file, &text)?;
        let component = kustomization.kind == "Component";
        let wanted =
            if component { "kustomize.config.k8s.io/v1alpha1" } else { "kustomize.config.k8s.io/v1beta1" };
        if !matches!(kustomization.kind.as_str(), "" | "Kustomization" | "Component") {
            return Err(problem("kind should be Kustomization or Component").at(file, 1, 1));
        }
        if !kustomization.api_version.is_empty() && kustomization.api_version != wanted {
            let kind = if component { "Component" } else { "Kustomization" };
            return Err(problem(format!("apiVersion for {kind} should be {wanted}")).at(file, 1, 1));
        }
        let bases = std::mem::take(&mut kustomization.bases);
        kustomization.resources.extend(bases);
        let tags = std::mem::take(&mut kustomization.image_tags);
        kustomization.images.extend(tags);
        Ok((kustomization, file))
    }

    /// Works off a kustomization over what is there already (for components) or over nothing.
    fn target(
        &mut self,
        folder: &str,
        kustomization: &Kustomization,
        file: &str,
        mut all: Gathered,
    ) -> Result<Gathered> {
        if self.open.len() >= MAX_DEPTH || self.open.iter().any(|open| open == folder) {
            return Err(problem("The kustomization names itself, or is nested too deeply.").at(file, 0, 0));
        }
        self.open.push(folder.to_owned());
        let done = self.steps(folder, kustomization, file, &mut all).map_err(|error| placed(error, file));
        self.open.pop();
        done.map(|()| all)
    }

    fn steps(&mut self, folder: &str, own: &Kustomization, file: &str, all: &mut Gathered) -> Result<()> {
        self.resources(folder, &own.resources, all)?;
        all.configuration.merge(&self.configuration(folder, own)?)?;
        self.generate(folder, own, all)?;
        for path in &own.components {
            let inner = self.folder(folder, path)?;
            let (component, component_file) = self.load(&inner)?;
            if component.kind != "Component" {
                let what = format!("expected kind 'Component' for path '{inner}' but got 'Kustomization'");
                return Err(problem(what).at(component_file, 1, 1));
            }
            let before = std::mem::take(all);
            *all = self.target(&inner, &component, &component_file, before)?;
        }
        self.transform(folder, own, file, all)?;
        variables::merge(&mut all.variables, &own.vars)?;
        variables::bind(&mut all.resources, &own.vars)
    }

    /// The folder that a path means.
    fn folder(&self, folder: &str, path: &str) -> Result<String> {
        if path.contains("://") || path.starts_with("git@") || path.starts_with("github.com/") {
            return Err(problem(format!("`{path}` lies on the web; nothing is fetched while rendering."))
                .try_this("Put it into the repository, as a folder or a submodule."));
        }
        let outside = || problem(format!("`{path}` lies outside of what may be read."));
        let found = join(folder, path).ok_or_else(outside)?;
        if !self.tree.is_folder(&found) {
            return Err(problem(format!("`{path}` is neither a file nor a folder.")));
        }
        Ok(found)
    }

    /// A file at or below the folder of a kustomization.
    fn file(&self, folder: &str, path: &str) -> Result<Option<Vec<u8>>> {
        let outside = || problem(format!("security; file '{path}' is not in or below '{folder}'"));
        let found = join(folder, path).ok_or_else(outside)?;
        let Some(bytes) = self.tree.file(&found)? else { return Ok(None) };
        let below = folder.is_empty() || found.starts_with(&format!("{folder}/"));
        if below { Ok(Some(bytes)) } else { Err(outside()) }
    }

    fn must(&self, folder: &str, path: &str) -> Result<Vec<u8>> {
        self.file(folder, path)?.ok_or_else(|| problem(format!("There is no file `{path}`.")))
    }

    fn must_text(&self, folder: &str, path: &str) -> Result<String> {
        text(path, self.must(folder, path)?)
    }

    fn resources(&mut self, folder: &str, paths: &[String], all: &mut Gathered) -> Result<()> {
        for path in paths {
            if !path.contains("://")
                && let Some(bytes) = self.file(folder, path)?
            {
                let place = join(folder, path).unwrap_or_default();
                for value in manifests(&place, &text(&place, bytes)?)? {
                    all.resources.add(Resource::new(value)).map_err(|error| placed(error, &place))?;
                }
                continue;
            }
            let inner = self.folder(folder, path)?;
            let (kustomization, file) = self.load(&inner)?;
            if kustomization.kind == "Component" {
                return Err(
                    problem(format!("expected kind != 'Component' for path '{inner}'")).at(file, 1, 1)
                );
            }
            let gathered = self.target(&inner, &kustomization, &file, Gathered::default())?;
            all.resources.add_all(gathered.resources)?;
            all.configuration.merge(&gathered.configuration)?;
            variables::merge(&mut all.variables, &gathered.variables)?;
            if all.resources.0.len() > MAX_RESOURCES {
                return Err(problem("There are too many resources."));
            }
        }
        Ok(())
    }

    fn configuration(&self, folder: &str, own: &Kustomization) -> Result<Configuration> {
        // What is said here comes first: a default that it covers does not hold any more.
        let mut configuration = Configuration::default();
        for path in &own.configurations {
            let more: Configuration = galley_yaml::from_str(path, &self.must_text(folder, path)?)?;
            configuration.merge(&more)?;
        }
        configuration.merge(&Configuration::standard())?;
        Ok(configuration)
    }

    fn generate(&mut self, folder: &str, own: &Kustomization, all: &mut Gathered) -> Result<()> {
        let load = |path: &str| self.must(folder, path);
        let kinds = [(Kind::ConfigMap, &own.config_map_generator), (Kind::Secret, &own.secret_generator)];
        for (kind, list) in kinds {
            for wanted in list {
                all.resources.absorb(generate(kind, wanted, &own.generator_options, &load)?)?;
            }
        }
        let (charts, globals) = crate::kustomization::charts(own);
        for chart in &charts {
            let mut chart = chart.clone();
            if chart.namespace.is_empty() {
                chart.namespace.clone_from(&own.namespace);
            }
            for value in self.tree.chart(folder, &globals, &chart)? {
                let mut resource = Resource::new(value);
                resource.from_chart = !resource.namespace().is_empty();
                all.resources.absorb(resource)?;
            }
        }
        for plugin in self.plugins(folder, &own.generators)? {
            let load = |path: &str| self.must(folder, path);
            all.resources.absorb(plugins::run_generator(&plugin.value, &load)?)?;
        }
        Ok(())
    }

    /// Plug-ins: written in place, in files, or made by kustomizations.
    fn plugins(&mut self, folder: &str, entries: &[String]) -> Result<Vec<Resource>> {
        let mut all = Gathered::default();
        for entry in entries {
            if entry.contains('\n') {
                for value in manifests("plug-in", entry)? {
                    all.resources.add(Resource::new(value))?;
                }
            } else {
                self.resources(folder, std::slice::from_ref(entry), &mut all)?;
            }
        }
        Ok(all.resources.0)
    }

    fn transform(&mut self, folder: &str, own: &Kustomization, file: &str, all: &mut Gathered) -> Result<()> {
        self.patches(folder, own, file, all)?;
        let Gathered { resources, configuration, .. } = all;
        if !own.namespace.is_empty() {
            let options = NamespaceOptions::default();
            transform::namespace(resources, &own.namespace, &configuration.namespace, options)?;
        }
        if !own.name_prefix.is_empty() {
            transform::rename(resources, &own.name_prefix, "", &configuration.name_prefix)?;
        }
        if !own.name_suffix.is_empty() {
            transform::rename(resources, "", &own.name_suffix, &configuration.name_suffix)?;
        }
        for label in &own.labels {
            let mut fields = label.fields.clone();
            let add = |fields: &mut Vec<FieldSpec>, more: &[FieldSpec]| {
                more.iter().try_for_each(|spec| merge_one(fields, spec.clone()))
            };
            add(&mut fields, &configuration.labels)?;
            if label.include_selectors {
                add(&mut fields, &configuration.common_labels)?;
            } else {
                if label.include_templates {
                    add(&mut fields, &configuration.template_labels)?;
                }
                let plain =
                    FieldSpec { path: "metadata/labels".to_owned(), create: true, ..FieldSpec::default() };
                add(&mut fields, &[plain])?;
            }
            transform::pairs(resources, &label.pairs, &fields)?;
        }
        transform::pairs(resources, &own.common_labels, &configuration.common_labels)?;
        transform::pairs(resources, &own.common_annotations, &configuration.common_annotations)?;
        for patch in &own.patches_json_6902 {
            let (text, place) = self.patch_text(folder, &patch.path, &patch.patch, file)?;
            let matcher = Matcher::new(&patch.target.clone().unwrap_or_default())?;
            let operations = patches::operations(&text, &place)?;
            patches::json(resources, &matcher, &operations, &place, false)?;
        }
        for replica in &own.replicas {
            transform::replicas(resources, replica, &configuration.replicas)?;
        }
        for image in &own.images {
            transform::image(resources, image, &configuration.images)?;
        }
        for replacement in self.replacements(folder, &own.replacements)? {
            replacements::replace(resources, &replacement)?;
        }
        for plugin in self.plugins(folder, &own.transformers)? {
            let load = |path: &str| self.must(folder, path);
            plugins::run_transformer(&mut all.resources, &plugin.value, &load)?;
            all.resources.drop_empty();
        }
        if !own.validators.is_empty() {
            return Err(problem("`validators` are not supported: no programs are run while rendering."));
        }
        Ok(())
    }

    fn patches(&self, folder: &str, own: &Kustomization, file: &str, all: &mut Gathered) -> Result<()> {
        for entry in &own.patches_strategic_merge {
            let (text, place) = match self.file(folder, entry) {
                Ok(Some(bytes)) => (text(entry, bytes)?, join(folder, entry).unwrap_or_default()),
                _ if entry.contains('\n') || entry.contains(':') => (entry.clone(), file.to_owned()),
                Ok(None) => return Err(problem(format!("There is no file `{entry}`."))),
                Err(error) => return Err(error),
            };
            for value in manifests(&place, &text)? {
                patches::by_id(&mut all.resources, &Resource::new(value), &place)?;
            }
        }
        for patch in &own.patches {
            let (text, place) = self.patch_text(folder, &patch.path, &patch.patch, file)?;
            patches::apply(&mut all.resources, patch, &text, &place)?;
        }
        Ok(())
    }

    fn patch_text(&self, folder: &str, path: &str, patch: &str, file: &str) -> Result<(String, String)> {
        match (path.is_empty(), patch.trim().is_empty()) {
            (true, true) => Err(problem("must specify one of patch and path")),
            (false, false) => Err(problem("patch and path can't be set at the same time")),
            (true, false) => Ok((patch.to_owned(), file.to_owned())),
            (false, true) => Ok((self.must_text(folder, path)?, join(folder, path).unwrap_or_default())),
        }
    }

    /// Replacements, with those in files of their own: one or a list.
    fn replacements(&self, folder: &str, entries: &[Replacement]) -> Result<Vec<Replacement>> {
        let mut all = Vec::new();
        for entry in entries {
            if entry.path.is_empty() {
                all.push(entry.clone());
                continue;
            }
            for document in galley_yaml::parse_documents(&entry.path, &self.must_text(folder, &entry.path)?)?
            {
                let list = match document.value {
                    Value::Array(list) => list,
                    one => vec![one],
                };
                for one in list {
                    let read = Replacement::deserialize(one);
                    all.push(read.map_err(|error| problem(error.to_string()).at(entry.path.as_str(), 1, 1))?);
                }
            }
        }
        Ok(all)
    }
}

/// Reads a kustomization. Names of fields may be written with other capitals, as Kustomize allows.
fn read(file: &str, text: &str) -> Result<Kustomization> {
    galley_yaml::from_str_leniently(file, text).or_else(|error| {
        let documents = galley_yaml::parse_documents_leniently(file, text)?;
        let Some(Value::Object(map)) = documents.into_iter().next().map(|document| document.value) else {
            return Err(error);
        };
        let known = |name: &str| Some(*FIELDS.iter().find(|known| known.eq_ignore_ascii_case(name))?);
        let renamed = map.into_iter().map(|(key, value)| (known(&key).map_or(key, str::to_owned), value));
        serde_json::from_value(Value::Object(renamed.collect())).map_err(|_| error)
    })
}

/// Fields of a kustomization that have capitals.
const FIELDS: [&str; 24] = [
    "apiVersion",
    "namePrefix",
    "nameSuffix",
    "commonLabels",
    "commonAnnotations",
    "patchesStrategicMerge",
    "patchesJson6902",
    "imageTags",
    "sortOptions",
    "configMapGenerator",
    "secretGenerator",
    "helmGlobals",
    "helmCharts",
    "helmChartInflationGenerator",
    "generatorOptions",
    "buildMetadata",
    "namespace",
    "resources",
    "patches",
    "images",
    "replicas",
    "replacements",
    "components",
    "labels",
];

fn text(file: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| problem("The file is not UTF-8 text.").at(file, 0, 0))
}

/// The objects of a file; lists are taken apart.
fn manifests(file: &str, text: &str) -> Result<Vec<Value>> {
    // A block of text at the very end keeps its last line end even if the file has none.
    let text = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
    let mut pending: std::collections::VecDeque<Value> = galley_yaml::parse_documents_of_1_2(file, &text)?
        .into_iter()
        .map(|document| document.value)
        .collect();
    let mut all = Vec::new();
    while let Some(value) = pending.pop_front() {
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
        if kind.ends_with("List")
            && let Some(items) = value.get("items")
        {
            pending.extend(items.as_array().cloned().unwrap_or_default());
            continue;
        }
        let named =
            value.pointer("/metadata/name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
        if kind.is_empty() || !(named || kind.ends_with("List")) {
            let what = if kind.is_empty() {
                "missing Resource metadata: kind"
            } else {
                "missing metadata.name in object"
            };
            return Err(problem(what).at(file, 1, 1));
        }
        all.push(value);
    }
    Ok(all)
}
