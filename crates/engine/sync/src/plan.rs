//! A plan: every object with what is to be done with it, in order. It can be printed, shown and compared.

use std::{collections::BTreeMap, fmt};

use galley_argo_cd::{HookType, ResourceResult, SyncOperationResource, SyncPhase, names};
use galley_patch::Difference;
use serde::Serialize;
use serde_json::Value;

use crate::{
    Compared, Comparison, DeletePolicy, Hook, Key, Refusal, Target, annotation,
    hook::{delete_policies, wave},
    object::{has_option, track, version_of},
    order::rank,
};

/// What is to be done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It stays as it is.
    Unchanged,
    /// It is deleted.
    Prune,
    /// It should be deleted, but pruning was not asked for.
    PruneSkipped,
    /// It is run and waited for.
    Hook,
}

/// One object of a plan.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What is to be done.
    pub action: Action,
    /// When.
    pub phase: SyncPhase,
    /// In which wave of the phase.
    pub wave: i64,
    /// With which object.
    pub key: Key,
    /// Its API version, without the group.
    pub version: String,
    /// Which sort of hook it is, if one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookType>,
    /// When a hook is deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delete_policies: Vec<DeletePolicy>,
    /// Where it was written, as in `templates/web.yaml:3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Why the cluster cannot take it, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Replaced as a whole instead of patched.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// Deleted and made again when it cannot be changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Applied on the server, with owners of fields.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub server_side: bool,
    /// The object as it is wanted; none when it goes.
    #[serde(skip)]
    pub target: Option<Value>,
    /// The object as it was when the plan was made.
    #[serde(skip)]
    pub live: Option<Value>,
}

impl Step {
    /// Whether a result is this step's.
    pub fn is_result(&self, result: &ResourceResult) -> bool {
        let phase = result.sync_phase.unwrap_or_default();
        (phase, &result.group, &result.kind, &result.namespace, &result.name)
            == (self.phase, &self.key.group, &self.key.kind, &self.key.namespace, &self.key.name)
    }

    /// Whether it deletes.
    pub fn is_prune(&self) -> bool {
        matches!(self.action, Action::Prune | Action::PruneSkipped)
    }
}

/// How a sync is to be done.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The commit, for the plan's title and for generated names.
    pub revision: String,
    /// When the operation began, in seconds, for generated names.
    pub started: i64,
    /// Whether what is no longer wanted goes.
    pub prune: bool,
    /// Options as in `PruneLast=true`.
    pub options: Vec<String>,
    /// Only these objects, if any.
    pub resources: Vec<SyncOperationResource>,
    /// Leave hooks out.
    pub skip_hooks: bool,
    /// The namespace to make before all else (`CreateNamespace=true`), and whether it is there.
    pub namespace: Option<(Value, bool)>,
    /// What the operation has done so far: its steps stay in the plan.
    pub results: Vec<ResourceResult>,
}

impl Options {
    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|o| o == option)
    }

    fn selects(&self, key: &Key) -> bool {
        let names = |entry: &&SyncOperationResource| {
            (entry.group.is_empty() && key.group.is_empty() || entry.group == "*" || entry.group == key.group)
                && (entry.kind == "*" || entry.kind == key.kind)
                && (entry.name == "*" || entry.name == key.name)
                && (entry.namespace.is_empty() || entry.namespace == "*" || entry.namespace == key.namespace)
        };
        let (without, with): (Vec<_>, Vec<_>) = self.resources.iter().partition(|entry| entry.exclude);
        (with.is_empty() || with.iter().any(names)) && !without.iter().any(names)
    }

    fn has_result(&self, step: &Step) -> bool {
        self.results.iter().any(|result| step.is_result(result))
    }
}

/// What a sync of an Application would do, in order.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The Application.
    pub application: String,
    /// The commit.
    pub revision: String,
    /// The steps: by phase, wave, and kind; in one wave what goes before what comes.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Orders what has to be done.
    pub fn new(application: &str, comparison: &Comparison, options: &Options) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        steps.extend(options.namespace.iter().map(|(object, live)| namespace(object, *live)));
        let selected = comparison.objects.iter().filter(|object| options.selects(&object.key));
        steps.extend(selected.filter_map(|object| step(object, options)));
        if !options.skip_hooks {
            for hook in &comparison.hooks {
                steps.extend(hook_steps(hook, application, comparison, options));
            }
        }
        if options.has("ApplyOutOfSyncOnly=true") {
            steps.retain(|step| step.action != Action::Unchanged || options.has_result(step));
        }
        accept_kinds_that_come(&mut steps);
        reverse_prunes(&mut steps, options);
        steps.sort_by(|a, b| order(a).cmp(&order(b)));
        Plan { application: application.to_owned(), revision: options.revision.clone(), steps }
    }

    /// Whether carrying it out would change something (hooks alone do not count).
    pub fn has_changes(&self) -> bool {
        self.steps.iter().any(|s| matches!(s.action, Action::Create | Action::Update | Action::Prune))
    }

    /// How many steps do this.
    pub fn count(&self, action: Action) -> usize {
        self.steps.iter().filter(|step| step.action == action).count()
    }
}

fn order(step: &Step) -> impl Ord + '_ {
    let key = &step.key;
    (
        (step.phase, step.wave, !step.is_prune(), rank(&key.kind)),
        // A custom resource goes after the kinds that everybody has; its own definition is among those.
        (step.hook.is_none(), &key.kind, &key.namespace, &key.name),
    )
}

fn base(key: Key, object: &Value, phase: SyncPhase) -> Step {
    Step {
        action: Action::Unchanged,
        phase,
        wave: wave(object),
        key,
        version: version_of(object).to_owned(),
        hook: None,
        delete_policies: Vec::new(),
        place: None,
        reasons: Vec::new(),
        refused: None,
        replace: false,
        force: false,
        server_side: false,
        target: None,
        live: None,
    }
}

fn namespace(object: &Value, live: bool) -> Step {
    let key = Key::of(object).unwrap_or(Key {
        group: String::new(),
        kind: "Namespace".into(),
        namespace: String::new(),
        name: String::new(),
    });
    let mut step = base(key, object, SyncPhase::PreSync);
    step.wave = i64::MIN;
    step.action = if live { Action::Unchanged } else { Action::Create };
    step.reasons = vec!["CreateNamespace=true".into()];
    step.target = Some(object.clone());
    step
}

fn step(object: &Compared, options: &Options) -> Option<Step> {
    match (&object.target, &object.live) {
        // Hooks of former syncs, and objects that are skipped, are left alone.
        _ if object.hook != Hook::None => None,
        (Some(target), live) => Some(wanted(object, target, live.as_ref(), options)),
        (None, Some(live)) => Some(unwanted(object, live, options)),
        (None, None) => None,
    }
}

fn wanted(object: &Compared, target: &Target, live: Option<&Value>, options: &Options) -> Step {
    let mut step = base(object.key.clone(), &target.value, SyncPhase::Sync);
    let option = |name: &str| options.has(name) || has_option(&target.value, names::SYNC_OPTIONS, name);
    step.action = match live {
        None => Action::Create,
        Some(_) if !object.differences.is_empty() => Action::Update,
        Some(_) => Action::Unchanged,
    };
    step.reasons = match step.action {
        Action::Create => vec!["is not there".into()],
        _ => object.differences.iter().map(Difference::to_string).collect(),
    };
    step.place = place(target);
    step.refused = refusal(target);
    step.replace = option("Replace=true");
    step.force = option("Force=true");
    step.server_side = option("ServerSideApply=true");
    step.target = Some(target.value.clone());
    step.live = live.cloned();
    step
}

fn refusal(target: &Target) -> Option<String> {
    let late = has_option(&target.value, names::SYNC_OPTIONS, "SkipDryRunOnMissingResource=true");
    match target.refused.as_ref()? {
        Refusal::UnknownKind(_) if late => None,
        refusal => Some(refusal.message().to_owned()),
    }
}

fn place(target: &Target) -> Option<String> {
    target.place.as_ref().map(|(file, line)| if *line > 0 { format!("{file}:{line}") } else { file.clone() })
}

fn unwanted(object: &Compared, live: &Value, options: &Options) -> Step {
    let mut step = base(object.key.clone(), live, SyncPhase::Sync);
    let kept = has_option(live, names::SYNC_OPTIONS, "Prune=false")
        || annotation(live, names::HELM_RESOURCE_POLICY).is_some_and(|policy| policy.trim() == "keep");
    step.action = if options.prune && !kept { Action::Prune } else { Action::PruneSkipped };
    step.reasons = vec![match (kept, options.prune) {
        (true, _) => "is not in git any more; its annotations keep it".into(),
        (false, true) => "is not in git any more".into(),
        (false, false) => "is not in git any more; pruning was not asked for".into(),
    }];
    step.live = Some(live.clone());
    step
}

fn hook_steps(target: &Target, application: &str, comparison: &Comparison, options: &Options) -> Vec<Step> {
    let phases = Hook::of(&target.value).phases();
    phases
        .into_iter()
        .filter_map(|(hook, phase)| {
            let value = named(&target.value, application, phase, options);
            let key = Key::of(&value)?;
            let mut step = base(key.clone(), &value, phase);
            step.action = Action::Hook;
            step.hook = Some(hook);
            step.delete_policies = delete_policies(&value);
            step.place = place(target);
            step.refused = refusal(target);
            step.live = comparison.objects.iter().find(|o| o.key == key).and_then(|o| o.live.clone());
            step.reasons = vec![format!("runs as a {phase} hook")];
            step.target = Some(value);
            Some(step)
        })
        .collect()
}

/// A hook that only has a beginning of a name gets one that is the same as long as the operation runs.
fn named(object: &Value, application: &str, phase: SyncPhase, options: &Options) -> Value {
    let mut object = object.clone();
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return object };
    let has_name = metadata.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    let Some(prefix) = metadata.get("generateName").and_then(Value::as_str).map(str::to_owned) else {
        return object;
    };
    if has_name {
        return object;
    }
    let revision = options.revision.get(..7).unwrap_or(&options.revision);
    let phase = phase.to_string().to_lowercase();
    metadata.insert("name".into(), format!("{prefix}{revision}-{phase}-{}", options.started).into());
    metadata.shift_remove("generateName");
    let namespace = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
    track(&mut object, application, &namespace);
    object
}

/// An unknown kind whose definition is part of the same plan is not unknown for long.
fn accept_kinds_that_come(steps: &mut [Step]) {
    let defined: Vec<(String, String)> = steps
        .iter()
        .filter(|step| step.key.kind == "CustomResourceDefinition")
        .filter_map(|step| {
            let text = |p: &str| step.target.as_ref()?.pointer(p)?.as_str().map(str::to_owned);
            Some((text("/spec/group")?, text("/spec/names/kind")?))
        })
        .collect();
    for step in steps {
        if defined.iter().any(|(group, kind)| *group == step.key.group && *kind == step.key.kind) {
            step.refused = None;
        }
    }
}

/// Deletion goes against the order of creation: the waves of what goes are mirrored among themselves. `PruneLast` puts
/// it after everything.
fn reverse_prunes(steps: &mut [Step], options: &Options) {
    let mut waves: Vec<i64> = steps.iter().filter(|s| s.is_prune()).map(|s| s.wave).collect();
    waves.sort_unstable();
    waves.dedup();
    let mirrored: BTreeMap<i64, i64> = waves.iter().copied().zip(waves.iter().rev().copied()).collect();
    for step in steps.iter_mut().filter(|step| step.is_prune()) {
        step.wave = mirrored.get(&step.wave).copied().unwrap_or(step.wave);
    }
    let last =
        steps.iter().filter(|s| s.phase == SyncPhase::Sync).map(|s| s.wave).max().unwrap_or(0).max(0) + 1;
    for step in steps.iter_mut().filter(|step| step.is_prune()) {
        let own =
            step.live.as_ref().is_some_and(|live| has_option(live, names::SYNC_OPTIONS, "PruneLast=true"));
        if own || options.has("PruneLast=true") {
            step.wave = last;
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = self.revision.get(..10).unwrap_or(&self.revision);
        write!(f, "{}", self.application)?;
        if !revision.is_empty() {
            write!(f, " at {revision}")?;
        }
        let counts = [
            (Action::Create, "to create"),
            (Action::Update, "to change"),
            (Action::Prune, "to delete"),
            (Action::PruneSkipped, "no longer in git"),
            (Action::Hook, "to run"),
            (Action::Unchanged, "unchanged"),
        ];
        let words: Vec<String> = counts
            .into_iter()
            .map(|(action, words)| (self.count(action), words))
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{count} {words}"))
            .collect();
        writeln!(f, ": {}", if words.is_empty() { "nothing to do".into() } else { words.join(", ") })?;
        let mut at = None;
        for step in self.steps.iter().filter(|step| step.action != Action::Unchanged) {
            if at != Some((step.phase, step.wave)) {
                at = Some((step.phase, step.wave));
                match step.wave {
                    0 | i64::MIN => writeln!(f, "  {}", step.phase)?,
                    wave => writeln!(f, "  {}, wave {wave}", step.phase)?,
                }
            }
            write_step(f, step)?;
        }
        Ok(())
    }
}

fn write_step(f: &mut fmt::Formatter<'_>, step: &Step) -> fmt::Result {
    let sign = match step.action {
        Action::Create => "+",
        Action::Update => "~",
        Action::Prune => "-",
        Action::PruneSkipped => "?",
        Action::Hook => ">",
        Action::Unchanged => " ",
    };
    write!(f, "    {sign} {}", step.key)?;
    if let Some(place) = &step.place {
        write!(f, "  ({place})")?;
    }
    writeln!(f)?;
    if let Some(refused) = &step.refused {
        writeln!(f, "        cannot be applied: {refused}")?;
    }
    if matches!(step.action, Action::Update | Action::PruneSkipped) {
        for reason in &step.reasons {
            writeln!(f, "        {reason}")?;
        }
    }
    Ok(())
}
