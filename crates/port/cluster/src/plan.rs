//! What would change, computed by the server itself: a server-side apply that is not kept.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use galley_problem::{Kind, Problem};
use kube::{
    api::{DynamicObject, Patch, PatchParams},
    core::Status,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Cluster,
    diff::{self, Change},
    inventory::MARK,
    mapping::Mapped,
    object::{MANAGER, ObjectRef},
    problem::{absent, forbidden, refused},
    retry::retried,
};

/// How many objects are looked at at once.
const AT_ONCE: usize = 8;
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// How a plan is made.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Take fields over that another manager holds; otherwise they are conflicts.
    pub force: bool,
}

/// A field that somebody else manages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Who, as in `kubectl-client-side-apply`.
    pub manager: String,
    /// Which, as in `.spec.replicas`.
    pub field: String,
}

/// What is to be done about one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "action")]
pub enum Action {
    /// It is not there.
    Create,
    /// It is there and differs.
    Change {
        /// In which fields.
        changes: Vec<Change>,
        /// Fields that others manage with another value; with `force` they are taken over.
        conflicts: Vec<Conflict>,
    },
    /// It is there as wanted.
    Same,
}

/// One object of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// The object.
    pub object: ObjectRef,
    /// What is to be done.
    #[serde(flatten)]
    pub action: Action,
    /// The object as wanted. Not printed: it may be a Secret.
    #[serde(skip)]
    pub(crate) desired: Value,
}

/// What [`Cluster::apply`] will do, in the order in which it will do it.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The objects.
    pub objects: Vec<Planned>,
    /// Whether conflicting fields are taken over.
    pub force: bool,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.objects.iter().all(|planned| planned.action == Action::Same)
    }

    /// How many are created, changed and left alone.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |wanted: fn(&Action) -> bool| self.objects.iter().filter(|p| wanted(&p.action)).count();
        (
            count(|action| *action == Action::Create),
            count(|action| matches!(action, Action::Change { .. })),
            count(|action| *action == Action::Same),
        )
    }

    /// Fields that others manage, with their objects.
    pub fn conflicts(&self) -> impl Iterator<Item = (&ObjectRef, &Conflict)> {
        self.objects.iter().flat_map(|planned| {
            let conflicts = match &planned.action {
                Action::Change { conflicts, .. } => conflicts.as_slice(),
                _ => &[],
            };
            conflicts.iter().map(move |conflict| (&planned.object, conflict))
        })
    }
}

impl Cluster {
    /// Compares desired objects with what is there; writes nothing. Objects that exist but would not change are
    /// [`Action::Same`], whoever made them.
    ///
    /// # Errors
    /// G1109 if an object is not one, is named twice or is invalid; G1108 without the rights; G1104 to G1107 if the
    /// cluster does not answer.
    pub async fn plan(&self, desired: &[Value], options: &PlanOptions) -> Result<Plan, Problem> {
        let mut named = Vec::with_capacity(desired.len());
        for object in desired {
            let mut object = object.clone();
            if let Some(fields) = object.as_object_mut() {
                fields.remove("status");
            }
            named.push((ObjectRef::of(&object)?, object));
        }
        named.sort_by_key(|(object, _)| object.wave());
        for (i, (object, _)) in named.iter().enumerate() {
            if named[..i].iter().any(|(other, _)| other.same(object)) {
                return Err(Problem::new("G1109", Kind::Invalid, format!("{object} is wanted twice.")));
            }
        }
        let objects = stream::iter(named)
            .map(|(object, desired)| self.look(object, desired, options.force))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(Plan { objects, force: options.force })
    }

    async fn look(&self, object: ObjectRef, desired: Value, force: bool) -> Result<Planned, Problem> {
        let mut desired = desired;
        let action = match self.mapping.find(&object.api_version, &object.kind).await? {
            None => Action::Create,
            Some(mapped) => self.compare(&mapped, &object, &mut desired, force).await?,
        };
        if action == Action::Create {
            mark(&mut desired);
        }
        Ok(Planned { object, action, desired })
    }

    async fn compare(
        &self,
        mapped: &Mapped,
        object: &ObjectRef,
        desired: &mut Value,
        force: bool,
    ) -> Result<Action, Problem> {
        let api = self.mapping.open(mapped, object)?;
        let doing = format!("read {object}");
        let live = retried(&doing, DEADLINE, |_| {}, || api.get_opt(&object.name)).await?;
        let Some(live) = live else {
            self.rehearse(&api, object, desired).await?;
            return Ok(Action::Create);
        };
        // What we created keeps its mark; what was there before us gets none.
        if live.metadata.annotations.as_ref().is_some_and(|map| map.contains_key(MARK)) {
            mark(desired);
        }
        let desired = &*desired;
        let mut params = PatchParams::apply(MANAGER).dry_run();
        let mut conflicts = Vec::new();
        if !force {
            match api.patch(&object.name, &params, &Patch::Apply(desired)).await {
                Ok(result) => return Ok(action(&live, &result, conflicts)),
                Err(kube::Error::Api(status)) if is_manager_conflict(&status) => {
                    conflicts = conflicts_of(&status)
                }
                // Others are met again below, with more patience.
                Err(_) => {}
            }
        }
        params = params.force();
        let doing = format!("compare {object} with what is wanted");
        let patch = Patch::Apply(desired);
        let result = retried(&doing, DEADLINE, |_| {}, || api.patch(&object.name, &params, &patch)).await?;
        Ok(action(&live, &result, conflicts))
    }

    /// Tries a creation without keeping it, so that what the server refuses is known before anything is written. What
    /// depends on objects that are planned too (its namespace, a webhook's own server) cannot be tried.
    async fn rehearse(
        &self,
        api: &kube::Api<DynamicObject>,
        object: &ObjectRef,
        desired: &Value,
    ) -> Result<(), Problem> {
        let params = PatchParams::apply(MANAGER).dry_run();
        match api.patch(&object.name, &params, &Patch::Apply(desired)).await {
            Err(error @ kube::Error::Api(_)) => {
                let invalid = matches!(&error, kube::Error::Api(status) if status.code == 422);
                // Rights to grant rights come with roles that are planned too; namespaces are made first.
                if invalid || (forbidden(&error) && object.wave() == crate::object::Wave::Namespaces) {
                    return Err(refused(format!("create {object}"), &error));
                }
                tracing::debug!(%object, %error, missing = absent(&error), "cannot be rehearsed");
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Marks an object as brought by us.
fn mark(desired: &mut Value) {
    let annotations = &mut desired["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = Value::Object(Default::default());
    }
    annotations[MARK] = Value::from(MANAGER);
}

fn action(live: &DynamicObject, result: &DynamicObject, conflicts: Vec<Conflict>) -> Action {
    let value = |object: &DynamicObject| serde_json::to_value(object).unwrap_or_default();
    let changes = diff::changes(&value(live), &value(result));
    if changes.is_empty() { Action::Same } else { Action::Change { changes, conflicts } }
}

/// Whether a refusal is about fields that another manager holds.
pub(crate) fn is_manager_conflict(status: &Status) -> bool {
    status.code == 409 && !conflicts_of(status).is_empty()
}

pub(crate) fn conflicts_of(status: &Status) -> Vec<Conflict> {
    let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
    causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| Conflict {
            // The message reads: conflict with "manager" using apps/v1 at 2026-01-01T00:00:00Z.
            manager: cause.message.split('"').nth(1).unwrap_or("somebody else").to_owned(),
            field: cause.field.clone(),
        })
        .collect()
}

/// All conflicts as one problem.
pub(crate) fn in_conflict<'a>(
    conflicts: impl Iterator<Item = (&'a ObjectRef, &'a Conflict)>,
) -> Option<Problem> {
    let mut lines: Vec<String> = conflicts
        .map(|(object, conflict)| {
            format!("{object}: `{}` belongs to `{}`.", conflict.field, conflict.manager)
        })
        .collect();
    if lines.is_empty() {
        return None;
    }
    let more = lines.len().saturating_sub(20);
    lines.truncate(20);
    if more > 0 {
        lines.push(format!("And {more} more."));
    }
    let mut problem =
        Problem::new("G1110", Kind::Conflict, "Fields that Galley would set are managed by others.")
            .try_this("Settle it with whoever manages them, or take them over with `--force-conflicts`.");
    problem.causes = lines;
    Some(problem)
}
