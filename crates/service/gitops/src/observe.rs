//! Desired against live, now.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use galley_argo_cd::{Application, Condition};
use galley_problem::{Kind, Problem};
use galley_sync::{Comparison, Ignore, Key, Refusal, Target, prepare, tracking_of};
use kube::Client;
use serde_json::{Value, json};

use crate::{
    Config, Error, Repositories,
    kinds::{Kinds, Known, Served},
    project,
    source::{self, Cache, Rendered, Wanted},
};

/// Lists asked for at one time.
const LISTS: usize = 8;

/// What every look needs.
pub(crate) struct Eyes {
    pub(crate) config: Config,
    pub(crate) kinds: Kinds,
    pub(crate) repositories: Arc<dyn Repositories>,
    pub(crate) cache: Cache,
}

/// What was seen.
pub(crate) struct Observation {
    pub(crate) rendered: Rendered,
    pub(crate) comparison: Comparison,
    pub(crate) ignore: Ignore,
    /// The kinds of all its objects, wanted and live.
    pub(crate) kinds: Vec<Served>,
    pub(crate) warnings: Vec<Condition>,
    /// The namespace that `CreateNamespace=true` asks for, and whether it is there.
    pub(crate) namespace: Option<(Value, bool)>,
    /// The project's sync windows.
    pub(crate) windows: Vec<Value>,
}

/// Where objects that are not wanted any more are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Among the kinds the Application's status names.
    Known,
    /// Among all kinds.
    All,
}

impl Eyes {
    pub(crate) fn new(client: Client, config: Config, repositories: Arc<dyn Repositories>) -> Self {
        Eyes { config, kinds: Kinds::new(client), repositories, cache: Cache::default() }
    }

    /// Reads git and the cluster. A [`Problem`] is something for the Application's conditions.
    pub(crate) async fn look(
        &self,
        application: &Application,
        wanted: &Wanted,
        reach: Reach,
    ) -> Result<Observation, Error> {
        check_destination(application)?;
        let rules = project::rules(&self.kinds, &self.config.namespace, application).await?;
        rules.check(application)?;
        let ignore = Ignore::new(&application.spec.ignore_differences)
            .map_err(|error| Problem::new("G0414", Kind::Invalid, error.to_string()))?;
        let known = self.kinds.known().await?;
        let config = &self.config;
        let repositories = &*self.repositories;
        let rendered = source::load(repositories, &known, config, &self.cache, application, wanted).await?;
        let (targets, mut kinds) = self.targets(application, &rendered, &rules).await?;
        kinds.extend(former(application, &known, reach));
        let live = self.live(application, &targets, &kinds).await?;
        let present: BTreeSet<(String, String)> =
            live.keys().map(|key| (key.group.clone(), key.kind.clone())).collect();
        let wanted: BTreeSet<String> = targets.iter().map(kind_id).collect();
        let comparison = Comparison::new(targets, live, &ignore);
        let warnings = comparison.repeated.iter().map(repeated).collect();
        let used = |served: &Served| {
            let kind = (served.resource.group.clone(), served.resource.kind.clone());
            wanted.contains(&served.id()) || present.contains(&kind)
        };
        let kinds = unique(kinds).into_iter().filter(used).collect();
        let namespace = self.namespace(application).await?;
        let windows = rules.windows();
        Ok(Observation { rendered, comparison, ignore, kinds, warnings, namespace, windows })
    }

    async fn targets(
        &self,
        application: &Application,
        rendered: &Rendered,
        rules: &project::Rules,
    ) -> Result<(Vec<Target>, Vec<Served>), Error> {
        let (mut targets, mut kinds) = (Vec::new(), Vec::new());
        let destination = &application.spec.destination.namespace;
        for manifest in rendered.manifests.iter() {
            let text = |field: &str| manifest.value.get(field).and_then(Value::as_str).unwrap_or_default();
            let served = self.kinds.find(text("apiVersion"), text("kind")).await?;
            let namespaced = served.as_ref().is_none_or(|served| served.namespaced);
            let name = &application.metadata.name;
            let value = prepare(manifest.value.clone(), name, destination, namespaced);
            let Some(key) = Key::of(&value) else { continue };
            let refused = match &served {
                None => Some(Refusal::UnknownKind(unknown_kind(&key))),
                Some(_) => rules.refuse(&key, namespaced).map(Refusal::NotPermitted),
            };
            kinds.extend(served);
            targets.push(Target { value, place: Some((manifest.file.clone(), manifest.line)), refused });
        }
        Ok((targets, unique(kinds)))
    }

    /// The live objects that are wanted or belong to the Application.
    async fn live(
        &self,
        application: &Application,
        targets: &[Target],
        kinds: &[Served],
    ) -> Result<BTreeMap<Key, Value>, Error> {
        let named: BTreeSet<Key> = targets.iter().filter_map(|target| Key::of(&target.value)).collect();
        let name = &application.metadata.name;
        let lists: Vec<Vec<Value>> = stream::iter(unique(kinds.to_vec()))
            .map(|served| async move { self.kinds.list(&served).await })
            .buffer_unordered(LISTS)
            .try_collect()
            .await?;
        let mut live = BTreeMap::new();
        for object in lists.into_iter().flatten() {
            let Some(key) = Key::of(&object) else { continue };
            if named.contains(&key) || tracking_of(&object).is_some_and(|t| t.application == *name) {
                live.insert(key, object);
            }
        }
        Ok(live)
    }

    async fn namespace(&self, application: &Application) -> Result<Option<(Value, bool)>, Error> {
        let name = &application.spec.destination.namespace;
        if name.is_empty() || !application.spec.has_option("CreateNamespace=true") {
            return Ok(None);
        }
        let Some(served) = self.kinds.find("v1", "Namespace").await? else { return Ok(None) };
        let key = Key {
            group: String::new(),
            kind: "Namespace".into(),
            namespace: String::new(),
            name: name.clone(),
        };
        let live = self.kinds.get(&served, &key).await.map_err(Error::api(format!("reading {key}")))?;
        let policy = application.spec.sync_policy.as_ref();
        let managed = policy.and_then(|p| p.managed_namespace_metadata.clone()).unwrap_or_default();
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata":
            {"name": name, "labels": managed.labels, "annotations": managed.annotations}});
        Ok(Some((object, live.is_some())))
    }
}

fn check_destination(application: &Application) -> Result<(), Problem> {
    let destination = &application.spec.destination;
    let here = (destination.server.is_empty() || destination.server == galley_argo_cd::IN_CLUSTER)
        && (destination.name.is_empty() || destination.name == "in-cluster");
    if here {
        return Ok(());
    }
    let server = if destination.server.is_empty() { &destination.name } else { &destination.server };
    Err(Problem::new("G0414", Kind::Invalid, format!("The destination `{server}` is another cluster."))
        .try_this(format!("On one machine, use `{}`.", galley_argo_cd::IN_CLUSTER)))
}

fn unknown_kind(key: &Key) -> String {
    let Key { group, kind, namespace, name } = key;
    format!(
        "The Kubernetes API could not find {group}/{kind} for requested resource {namespace}/{name}. Make sure the \
         {kind:?} CRD is installed on the destination cluster."
    )
}

fn kind_id(target: &Target) -> String {
    let text = |field: &str| target.value.get(field).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}", text("apiVersion"), text("kind"))
}

/// The kinds in which objects that are not wanted any more may be.
fn former(application: &Application, known: &Known, reach: Reach) -> Vec<Served> {
    match reach {
        Reach::All => known.all(),
        Reach::Known => {
            let resources = application.status.resources.iter();
            resources.filter_map(|r| known.find_any(&r.group, &r.kind)).collect()
        }
    }
}

fn unique(kinds: Vec<Served>) -> Vec<Served> {
    // By group and kind: two versions of a kind are the same objects. The first one (what git says) wins.
    let mut seen = BTreeSet::new();
    let fresh = |served: &Served| seen.insert((served.resource.group.clone(), served.resource.kind.clone()));
    kinds.into_iter().filter(fresh).collect()
}

fn repeated((key, count): &(Key, usize)) -> Condition {
    let Key { group, kind, namespace, name } = key;
    let message = format!(
        "Resource {group}/{kind}/{namespace}/{name} appeared {count} times among application resources."
    );
    Condition { kind: "RepeatedResourceWarning".into(), message, last_transition_time: None }
}
