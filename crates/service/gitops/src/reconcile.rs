//! One look at one Application: compare, and act on one wave.

use std::collections::{BTreeMap, BTreeSet};

use galley_problem::{Kind, Problem};
use galley_render::{Capabilities, Files, Manifest, ReleaseInfo, ValueSources};
use galley_sync::{Action, Desired, HealthStatus, Item, Key, Live, Owner, Plan, TRACKING, desired, health};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::{Repositories, objects::Objects};

/// The finalizer by which an Application takes its objects with it.
pub(crate) const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";
/// Namespace of Applications.
pub(crate) const NAMESPACE: &str = "argocd";
/// What charts are told of the cluster.
const KUBE_VERSION: &str = "v1.34.4";
const HELM_VERSION: &str = "v3.20.2";

/// What git says at a revision.
pub(crate) struct Source {
    pub revision: String,
    pub kind: &'static str,
    pub desired: Vec<Desired>,
}

/// What git and the cluster say.
pub(crate) struct Compared {
    pub source: Source,
    pub live: Live,
    pub plan: Plan,
}

/// What a sync did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Everything is as git says.
    Done,
    /// A wave was applied; the next waits until it is healthy.
    Waiting(String),
}

/// The plan of an Application, from the newest state of everything.
///
/// # Errors
/// G0432 if there is no such Application, G03xx and G04xx if its source cannot be rendered.
pub async fn plan(client: Client, repositories: &dyn Repositories, application: &str) -> Result<Plan, Problem> {
    let objects = Objects::new(client);
    let found = objects.get("argoproj.io/v1alpha1", &application_key(application)).await?;
    let found = found.ok_or_else(|| {
        Problem::new("G0432", Kind::NotFound, format!("There is no Application `{application}`."))
            .try_this("`galley app list` shows the ones there are.")
    })?;
    Ok(compare(&objects, repositories, application, &found).await?.plan)
}

pub(crate) fn application_key(name: &str) -> Key {
    Key { group: "argoproj.io".into(), kind: "Application".into(), namespace: NAMESPACE.into(), name: name.into() }
}

pub(crate) async fn compare(
    objects: &Objects,
    repositories: &dyn Repositories,
    name: &str,
    application: &Value,
) -> Result<Compared, Problem> {
    let source = read_source(objects, repositories, name, application).await?;
    let live = read_live(objects, name, application, &source.desired).await?;
    let plan = galley_sync::plan(&source.desired, &live);
    Ok(Compared { source, live, plan })
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn destination(application: &Value) -> String {
    text(application, "/spec/destination/namespace")
}

async fn read_source(
    objects: &Objects,
    repositories: &dyn Repositories,
    name: &str,
    application: &Value,
) -> Result<Source, Problem> {
    let url = text(application, "/spec/source/repoURL");
    if url.is_empty() {
        return Err(Problem::new("G0433", Kind::Invalid, format!("The Application `{name}` names no git source."))
            .try_this("Set `spec.source.repoURL` and `spec.source.path`."));
    }
    let wanted = match text(application, "/spec/source/targetRevision").as_str() {
        "" | "HEAD" => "HEAD".to_owned(),
        revision => revision.to_owned(),
    };
    let repository = repositories.open(&url).await?;
    let revision = repository.resolve(&wanted).await?.ok_or_else(|| {
        Problem::new("G0434", Kind::NotFound, format!("{url} has no revision `{wanted}`."))
            .try_this("Push it, or correct `spec.source.targetRevision`.")
    })?;
    let path = text(application, "/spec/source/path");
    let files: Files = repository.read_tree(&revision, path.trim_matches('/')).await?;
    if files.is_empty() {
        return Err(Problem::new("G0435", Kind::NotFound, format!("{url} has no folder `{path}` at {revision}."))
            .try_this("Correct `spec.source.path`."));
    }
    let (kind, manifests) = render(objects, name, application, &files).await?;
    let namespace = destination(application);
    let owner = Owner { application: name, namespace: &namespace };
    let mut all = Vec::new();
    for manifest in manifests {
        let api_version = text(&manifest.value, "/apiVersion");
        let file = format!("{path}/{}", manifest.file);
        let namespaced = objects
            .resource(&api_version, &text(&manifest.value, "/kind"))
            .await
            .map_err(|problem| problem.at(file.clone(), manifest.line, 0))?
            .1;
        all.push(desired(&owner, manifest.value, namespaced, &file, manifest.line)?);
    }
    Ok(Source { revision, kind, desired: all })
}

async fn render(
    objects: &Objects,
    name: &str,
    application: &Value,
    files: &Files,
) -> Result<(&'static str, Vec<Manifest>), Problem> {
    let source = &application["spec"]["source"];
    if !galley_render::is_chart(files) {
        let recurse = source["directory"]["recurse"].as_bool().unwrap_or(false);
        return Ok(("Directory", galley_render::render_directory(files, recurse)?));
    }
    let helm = &source["helm"];
    let list = |field: &str| -> Vec<String> {
        let entries = helm[field].as_array().into_iter().flatten();
        entries.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let parameters = |forced: bool| -> Vec<(String, String)> {
        let entries = helm["parameters"].as_array().into_iter().flatten();
        entries
            .filter(|parameter| parameter["forceString"].as_bool().unwrap_or(false) == forced)
            .map(|parameter| (text(parameter, "/name"), text(parameter, "/value")))
            .collect()
    };
    let inline = match (&helm["valuesObject"], helm["values"].as_str()) {
        (Value::Object(object), _) => Some(Value::Object(object.clone())),
        (_, Some(values)) => Some(galley_yaml::parse_value("spec.source.helm.values", values)?),
        _ => None,
    };
    let (value_files, set, set_string) = (list("valueFiles"), parameters(false), parameters(true));
    let values = ValueSources { files: &value_files, inline, set: &set, set_string: &set_string };
    let release = ReleaseInfo {
        name: helm["releaseName"].as_str().unwrap_or(name).to_owned(),
        namespace: destination(application),
        revision: 1,
        is_upgrade: false,
    };
    let capabilities = Capabilities {
        kube_version: KUBE_VERSION.into(),
        api_versions: api_versions(objects).await?,
        helm_version: HELM_VERSION.into(),
    };
    Ok(("Helm", galley_render::render_chart(files, &values, &release, &capabilities)?))
}

/// Every group version that the cluster serves, and every kind in it.
async fn api_versions(objects: &Objects) -> Result<Vec<String>, Problem> {
    let groups = objects.client().list_api_groups().await;
    let groups = groups.map_err(|e| crate::api_problem("to list its API groups", &e))?;
    let versions = groups.groups.into_iter().flat_map(|group| group.versions).map(|version| version.group_version);
    Ok(std::iter::once("v1".to_owned()).chain(versions).collect())
}

/// What is there of what git names, and of what was delivered before.
async fn read_live(
    objects: &Objects,
    name: &str,
    application: &Value,
    desired: &[Desired],
) -> Result<Live, Problem> {
    let mut live = BTreeMap::new();
    for wanted in desired {
        if let Some(object) = objects.get(&wanted.api_version, &wanted.key).await? {
            live.insert(wanted.key.clone(), object);
        }
    }
    let mut kinds: BTreeSet<(String, String)> =
        desired.iter().map(|wanted| (wanted.api_version.clone(), wanted.key.kind.clone())).collect();
    for resource in application["status"]["resources"].as_array().into_iter().flatten() {
        let (group, version) = (text(resource, "/group"), text(resource, "/version"));
        let api_version = if group.is_empty() { version } else { format!("{group}/{version}") };
        kinds.insert((api_version, text(resource, "/kind")));
    }
    let prefix = format!("{name}:");
    for (api_version, kind) in kinds {
        let mine = objects
            .list(&api_version, &kind, |object| {
                object.annotations().get(TRACKING).is_some_and(|tracking| tracking.starts_with(&prefix))
            })
            .await;
        let Ok(mine) = mine else { continue };
        for object in mine {
            let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
            let key = Key {
                group,
                kind: kind.clone(),
                namespace: text(&object, "/metadata/namespace"),
                name: text(&object, "/metadata/name"),
            };
            // A copy of the annotation on another object does not make it ours.
            if object["metadata"]["annotations"][TRACKING] == json!(galley_sync::tracking_id(name, &key)) {
                live.entry(key).or_insert(object);
            }
        }
    }
    Ok(live)
}

/// Acts on the first wave that is not done.
pub(crate) async fn act(
    objects: &Objects,
    application: &Value,
    compared: &Compared,
    prune: bool,
) -> Result<Progress, Problem> {
    let options = application["spec"]["syncPolicy"]["syncOptions"].as_array();
    if options.is_some_and(|options| options.iter().any(|option| option == "CreateNamespace=true")) {
        objects.ensure_namespace(&destination(application)).await?;
    }
    let waves: BTreeSet<i64> = compared
        .plan
        .items
        .iter()
        .filter(|item| item.action != Action::Prune)
        .map(|item| item.wave)
        .collect();
    for wave in waves {
        let items = compared.plan.items.iter().filter(|item| item.wave == wave && item.action != Action::Prune);
        let mut waiting = None;
        let mut changed = false;
        for item in items {
            changed |= apply(objects, item, compared.live.get(&item.key)).await?;
            if waiting.is_none() {
                waiting = unwell(item, compared.live.get(&item.key));
            }
        }
        let last = compared.plan.items.iter().all(|item| item.wave <= wave || item.action == Action::Prune);
        if last {
            break;
        }
        if changed {
            return Ok(Progress::Waiting(format!("wave {wave} was applied")));
        }
        if let Some(waiting) = waiting {
            return Ok(Progress::Waiting(waiting));
        }
    }
    if prune {
        for item in compared.plan.items.iter().filter(|item| item.action == Action::Prune) {
            objects.delete(&item.api_version, &item.key).await?;
        }
    }
    Ok(Progress::Done)
}

/// Creates or changes one object; whether anything was done.
async fn apply(objects: &Objects, item: &Item, live: Option<&Value>) -> Result<bool, Problem> {
    let Some(wanted) = &item.desired else { return Ok(false) };
    let bad = |error: &(dyn std::error::Error + 'static)| {
        Problem::new("G0420", Kind::Invalid, format!("{} cannot be applied.", item.key)).because(error)
    };
    match &item.action {
        Action::Create => {
            let object = galley_sync::applied(wanted, None).map_err(|e| bad(&e))?;
            objects.create(&item.api_version, &item.key, &object).await?;
            Ok(true)
        }
        Action::Update(_) => {
            let patch = galley_sync::applied(wanted, live).map_err(|e| bad(&e))?;
            objects.merge(&item.api_version, &item.key, &patch).await?;
            Ok(true)
        }
        Action::Prune | Action::Hook | Action::Keep => Ok(false),
    }
}

fn unwell(item: &Item, live: Option<&Value>) -> Option<String> {
    // As Argo CD has it, Applications do not hold up the wave after them.
    if item.key.kind == "Application" {
        return None;
    }
    let judged = health(live?)?;
    (judged.status != HealthStatus::Healthy).then(|| format!("waiting for healthy state of {}: {}", item.key, judged.message))
}
