//! An Application's sources: files of a commit, rendered to manifests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use galley_argo_cd::{Application, HelmSource, Source};
use galley_git::Repo;
use galley_problem::{Kind, Problem};
use galley_render::{Capabilities, Files, Manifest, ReleaseInfo, ValueSources};
use serde_json::Value;

use crate::{Config, Repositories, kinds::Known, pattern::matches};

/// What the sources of an Application amount to.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    /// The sources, in order.
    pub(crate) sources: Vec<Source>,
    /// Their commits.
    pub(crate) revisions: Vec<String>,
    /// `Helm`, `Directory`, or nothing for a source that is only referred to.
    pub(crate) types: Vec<String>,
    /// The manifests, with the place in the repository of each.
    pub(crate) manifests: Arc<Vec<Manifest>>,
}

/// Kept results: the last two of each Application.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<String, Vec<(String, Rendered)>>>);

const KEPT: usize = 2;

impl Cache {
    fn get(&self, application: &str, key: &str) -> Option<Rendered> {
        let kept = self.0.lock().unwrap_or_else(|p| p.into_inner());
        kept.get(application)?.iter().find(|(known, _)| known == key).map(|(_, rendered)| rendered.clone())
    }

    fn put(&self, application: &str, key: String, rendered: Rendered) {
        let mut kept = self.0.lock().unwrap_or_else(|p| p.into_inner());
        let own = kept.entry(application.to_owned()).or_default();
        own.insert(0, (key, rendered));
        own.truncate(KEPT);
    }

    /// Forgets what is known of an Application.
    pub(crate) fn forget(&self, application: &str) {
        self.0.lock().unwrap_or_else(|p| p.into_inner()).remove(application);
    }
}

/// One source with its repository and commit.
struct Opened {
    source: Source,
    repo: Repo,
    commit: String,
}

/// Which sources, at which revisions; the Application's own where nothing else is said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) sources: Vec<Source>,
    pub(crate) revisions: Vec<String>,
}

/// Reads and renders the sources.
pub(crate) async fn load(
    repositories: &dyn Repositories,
    known: &Known,
    config: &Config,
    cache: &Cache,
    application: &Application,
    wanted: &Wanted,
) -> Result<Rendered, Problem> {
    let own: Vec<Source> = application.sources().into_iter().cloned().collect();
    let sources = if wanted.sources.is_empty() { own } else { wanted.sources.clone() };
    if sources.is_empty() {
        return Err(Problem::new("G0414", Kind::Invalid, "The Application has no source."));
    }
    let mut opened = Vec::new();
    for (n, source) in sources.iter().enumerate() {
        let revision = wanted.revisions.get(n).map(String::as_str).filter(|r| !r.is_empty());
        opened.push(open(repositories, source, revision.unwrap_or(source.revision())).await?);
    }
    let name = &application.metadata.name;
    let revisions: Vec<String> = opened.iter().map(|o| o.commit.clone()).collect();
    let destination = &application.spec.destination.namespace;
    let key = serde_json::json!([sources, revisions, destination, known.version]).to_string();
    if let Some(rendered) = cache.get(name, &key) {
        return Ok(rendered);
    }
    let (mut types, mut manifests) = (Vec::new(), Vec::new());
    for one in &opened {
        let (kind, rendered) = render(one, &opened, known, config, application).await?;
        types.push(kind);
        manifests.extend(rendered);
    }
    let rendered = Rendered { sources, revisions, types, manifests: Arc::new(flatten(manifests)) };
    cache.put(name, key, rendered.clone());
    Ok(rendered)
}

async fn open(repositories: &dyn Repositories, source: &Source, revision: &str) -> Result<Opened, Problem> {
    for (given, what) in [
        (!source.chart.is_empty(), "charts from Helm repositories (`chart`)"),
        (source.plugin.is_some(), "plugins"),
    ] {
        if given {
            return Err(unsupported(what));
        }
    }
    let repo = repositories.open(&source.repo_url).await?;
    let commit = repo.resolve(revision).await?.ok_or_else(|| {
        let what = format!("unable to resolve '{revision}' to a commit SHA in {}.", source.repo_url);
        Problem::new("G0404", Kind::NotFound, what).try_this("Push the branch, or correct `targetRevision`.")
    })?;
    Ok(Opened { source: source.clone(), repo, commit })
}

fn unsupported(what: &str) -> Problem {
    Problem::new("G0411", Kind::Invalid, format!("On one machine, Galley does not support {what}.")).try_this(
        "Put the rendered chart or manifests into the pipeline repository, or run this one on a cluster.",
    )
}

async fn render(
    one: &Opened,
    all: &[Opened],
    known: &Known,
    config: &Config,
    application: &Application,
) -> Result<(String, Vec<Manifest>), Problem> {
    let source = &one.source;
    if !source.reference.is_empty() && source.path.is_empty() {
        return Ok((String::new(), Vec::new()));
    }
    let files = one.repo.read_tree(&one.commit, &source.path).await?;
    if files.is_empty() {
        let what = format!("{}: app path does not exist", source.path);
        return Err(
            Problem::new("G0404", Kind::NotFound, what).try_this("Correct `path`, or push the folder.")
        );
    }
    let explicit = source.helm.is_some() || source.directory.is_some();
    let kustomized = galley_kustomize::FILE_NAMES.iter().any(|name| files.contains_key(*name));
    let is_chart =
        source.helm.is_some() || !explicit && source.kustomize.is_none() && galley_render::is_chart(&files);
    if source.kustomize.is_some() || !explicit && !is_chart && kustomized {
        return Ok(("Kustomize".into(), kustomization(one).await?));
    }
    let (kind, rendered) = if is_chart {
        ("Helm", chart(one, all, files, known, config, application).await)
    } else {
        ("Directory", directory(source, files).await)
    };
    let path = source.path.trim_matches('/');
    let path = path.strip_prefix("./").unwrap_or(path);
    match rendered {
        Ok(manifests) => Ok((kind.into(), placed(manifests, path))),
        Err(problem) => Err(placed_problem(problem, path)),
    }
}

/// A kustomization may name folders beside its own, so the whole commit is read.
async fn kustomization(one: &Opened) -> Result<Vec<Manifest>, Problem> {
    let files = one.repo.read_tree(&one.commit, "").await?;
    let path = one.source.path.trim_matches('/').to_owned();
    let overrides = match &one.source.kustomize {
        None => galley_kustomize::Overrides::default(),
        Some(given) => serde_json::from_value(given.clone()).map_err(|error| {
            Problem::new("G0414", Kind::Invalid, format!("`source.kustomize` cannot be read: {error}"))
        })?,
    };
    blocking(move || {
        let values = galley_kustomize::build_with(&galley_sources::FileTree(&files), &path, &overrides)?;
        let file = if path.is_empty() {
            "kustomization.yaml".to_owned()
        } else {
            format!("{path}/kustomization.yaml")
        };
        Ok(values.into_iter().map(|value| Manifest { value, file: file.clone(), line: 1 }).collect())
    })
    .await
}

async fn directory(source: &Source, files: Files) -> Result<Vec<Manifest>, Problem> {
    let directory = source.directory.clone().unwrap_or_default();
    if directory.jsonnet.is_some() {
        return Err(unsupported("Jsonnet"));
    }
    let files = selected(files, &directory.include, &directory.exclude);
    blocking(move || galley_render::render_directory(&files, directory.recurse)).await
}

async fn chart(
    one: &Opened,
    all: &[Opened],
    mut files: Files,
    known: &Known,
    config: &Config,
    application: &Application,
) -> Result<Vec<Manifest>, Problem> {
    let helm = one.source.helm.clone().unwrap_or_default();
    if !helm.file_parameters.is_empty() {
        return Err(unsupported("`helm.fileParameters`"));
    }
    let values = values_files(&helm, one, all, &mut files).await?;
    if helm.skip_crds {
        files.retain(|path, _| !format!("/{path}").contains("/crds/"));
    }
    let inline = inline_values(&helm)?;
    let (mut set, mut set_string) = (Vec::new(), Vec::new());
    for parameter in &helm.parameters {
        let list = if parameter.force_string { &mut set_string } else { &mut set };
        list.push((parameter.name.clone(), parameter.value.clone()));
    }
    let or = |first: &str, second: &str| (if first.is_empty() { second } else { first }).to_owned();
    let release = ReleaseInfo {
        name: or(&helm.release_name, &application.metadata.name),
        namespace: or(&helm.namespace, &application.spec.destination.namespace),
        // Argo CD renders every revision as the first one.
        revision: 1,
        is_upgrade: false,
    };
    let capabilities = Capabilities {
        kube_version: or(&helm.kube_version, &known.version),
        api_versions: if helm.api_versions.is_empty() {
            [known.api_versions(), config.extra_api_versions.clone()].concat()
        } else {
            helm.api_versions.clone()
        },
        helm_version: config.helm_version.clone(),
    };
    let seed = format!("{} {} {}", application.metadata.name, one.source.repo_url, one.source.path);
    blocking(move || {
        let sources = ValueSources {
            files: &values,
            inline,
            set: &set,
            set_string: &set_string,
            ..ValueSources::default()
        };
        galley_render::render_chart_in(&files, &sources, &release, &capabilities, surroundings(&seed))
    })
    .await
}

/// What charts draw by chance is the same for an Application every time, so that comparing again finds no difference.
/// Keys and certificates cannot be made so; what a commit was rendered to is kept.
fn surroundings(seed: &str) -> galley_render::Surroundings {
    use sha2::{Digest as _, Sha256};
    let seed = seed.to_owned();
    let mut count = 0u64;
    let random = move |bytes: &mut [u8]| {
        for chunk in bytes.chunks_mut(32) {
            count += 1;
            let block = Sha256::digest(format!("{seed} {count}").as_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    };
    let now = galley_units::Clock::now(&galley_units::SystemClock);
    galley_render::Surroundings {
        known: Some((now, Box::new(random))),
        keys: Some(Box::new(galley_sources::OwnKeys { now })),
    }
}

/// Rendering is work for the processor, not for the threads that serve others.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let failed = || Problem::new("G0413", Kind::Internal, "Rendering ended unexpectedly.");
    tokio::task::spawn_blocking(work).await.map_err(|_| failed())?
}

fn selected(files: Files, include: &str, exclude: &str) -> Files {
    let wanted = |path: &str| {
        (include.is_empty() || matches(include, path)) && (exclude.is_empty() || !matches(exclude, path))
    };
    files.into_iter().filter(|(path, _)| wanted(path)).collect()
}

/// Places from the root of the repository, as a person looks for them.
fn placed(manifests: Vec<Manifest>, path: &str) -> Vec<Manifest> {
    let at =
        |file: &str| if path.is_empty() || path == "." { file.to_owned() } else { format!("{path}/{file}") };
    manifests.into_iter().map(|m| Manifest { file: at(&m.file), ..m }).collect()
}

/// A problem with its place from the root of the repository.
fn placed_problem(mut problem: Problem, path: &str) -> Problem {
    if let Some(place) = &mut problem.place
        && !path.is_empty()
        && path != "."
        && !place.file.starts_with(['$', '/'])
    {
        place.file = format!("{path}/{}", place.file);
    }
    problem
}

/// The names of the values files, in order. Those from outside of the chart are put among its files under the name the
/// Application gives them.
async fn values_files(
    helm: &HelmSource,
    one: &Opened,
    all: &[Opened],
    files: &mut Files,
) -> Result<Vec<String>, Problem> {
    let mut names = Vec::new();
    for name in &helm.value_files {
        if name.contains("://") {
            return Err(unsupported("values files from the web"));
        }
        if files.contains_key(name.strip_prefix("./").unwrap_or(name)) {
            names.push(name.clone());
            continue;
        }
        let (from, path) = match name.strip_prefix('$').and_then(|rest| rest.split_once('/')) {
            Some((reference, path)) => {
                let found = all.iter().find(|o| o.source.reference == reference);
                let missing = || {
                    let what =
                        format!("source referenced {reference:?} by `{name}`, but no source has this `ref`");
                    Problem::new("G0414", Kind::Invalid, what)
                };
                (found.ok_or_else(missing)?, path.to_owned())
            }
            None if name.starts_with('/') => (one, name.trim_start_matches('/').to_owned()),
            None => (one, format!("{}/{name}", one.source.path.trim_end_matches('/'))),
        };
        match from.repo.read_file(&from.commit, &path).await? {
            Some(bytes) => {
                files.insert(name.clone(), bytes);
                names.push(name.clone());
            }
            None if helm.ignore_missing_value_files => {}
            None => {
                let what = format!("The values file `{name}` does not exist.");
                return Err(Problem::new("G0404", Kind::NotFound, what)
                    .because_of(format!(
                        "`spec.source.helm.valueFiles` of the Application names it; there is no `{path}`."
                    ))
                    .try_this("Commit the file, or take it out of `valueFiles`."));
            }
        }
    }
    Ok(names)
}

fn inline_values(helm: &HelmSource) -> Result<Option<Value>, Problem> {
    match &helm.values_object {
        Some(object) => Ok(Some(object.clone())),
        None if helm.values.trim().is_empty() => Ok(None),
        None => galley_yaml::from_str("spec.source.helm.values", &helm.values).map(Some),
    }
}

/// Lists of objects (`kind: List`, `kind: ConfigMapList`) as their objects.
fn flatten(manifests: Vec<Manifest>) -> Vec<Manifest> {
    let mut flat = Vec::new();
    for manifest in manifests {
        let is_list =
            manifest.value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
        match manifest.value.get("items").and_then(Value::as_array) {
            Some(items) if is_list => {
                let one = |value: &Value| Manifest {
                    value: value.clone(),
                    file: manifest.file.clone(),
                    line: manifest.line,
                };
                flat.extend(items.iter().map(one));
            }
            _ => flat.push(manifest),
        }
    }
    flat
}
