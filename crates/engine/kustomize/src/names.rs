//! References to names that have changed.

use serde_json::Value;

use crate::configuration::{Configuration, NameReference};
use crate::fieldspec::{FieldSpec, Make, visit};
use crate::id::{Gvk, Id};
use crate::resource::{Resource, Resources};
use crate::{Result, problem};

/// What is known of a resource that others may name.
struct Candidate {
    former: Vec<Id>,
    now: Id,
    first: Id,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

/// Updates all references.
pub(crate) fn fix(resources: &mut Resources, configuration: &Configuration) -> Result<()> {
    let candidates: Vec<Candidate> = resources.0.iter().map(candidate).collect();
    for resource in &mut resources.0 {
        let now = resource.id();
        let near = reachable(resource, &now, &candidates);
        let first = resource.first_id();
        for reference in &configuration.name_reference {
            for spec in reference.fields.iter().filter(|spec| first.gvk.is_selected(&spec.gvk)) {
                update(resource, &now, reference, spec, &near)?;
            }
        }
    }
    Ok(())
}

fn candidate(resource: &Resource) -> Candidate {
    Candidate {
        former: resource.former_ids(),
        now: resource.id(),
        first: resource.first_id(),
        prefixes: resource.prefixes.clone(),
        suffixes: resource.suffixes.clone(),
    }
}

/// What a resource may name: its own namespace and what is in none; role bindings may name accounts elsewhere.
fn reachable<'a>(resource: &Resource, now: &Id, all: &'a [Candidate]) -> Vec<&'a Candidate> {
    if now.is_cluster_scoped() {
        return all.iter().collect();
    }
    let subjects =
        resource.value.get("subjects").and_then(Value::as_array).filter(|_| resource.kind() == "RoleBinding");
    let elsewhere: Vec<&str> = subjects
        .into_iter()
        .flatten()
        .filter(|subject| subject["kind"] == "ServiceAccount")
        .filter_map(|subject| subject["namespace"].as_str())
        .collect();
    all.iter()
        .filter(|other| {
            other.now.is_cluster_scoped()
                || other.now.same_namespace(now)
                || elsewhere.contains(&other.now.namespace.as_str())
        })
        .collect()
}

/// What a search needs to know of who names.
struct Referrer<'a> {
    now: &'a Id,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    role: Option<Gvk>,
}

fn update(
    resource: &mut Resource,
    now: &Id,
    reference: &NameReference,
    spec: &FieldSpec,
    near: &[&Candidate],
) -> Result<()> {
    let role =
        resource.value.get("roleRef").filter(|_| spec.path.ends_with("roleRef/name")).and_then(|role| {
            let text = |field: &str| role.get(field).and_then(Value::as_str).map(str::to_owned);
            Some(Gvk { group: text("apiGroup")?, version: String::new(), kind: text("kind")? })
        });
    let referrer =
        Referrer { now, prefixes: resource.prefixes.clone(), suffixes: resource.suffixes.clone(), role };
    // A patch may have changed the kind since the field was chosen by it.
    let spec = FieldSpec { gvk: resource.gvk(), ..spec.clone() };
    visit(resource, &spec, Make::Nothing, &mut |value| set(value, &referrer, &reference.target, near))
}

fn set(value: &mut Value, referrer: &Referrer<'_>, target: &Gvk, near: &[&Candidate]) -> Result<()> {
    match value {
        Value::Null => Ok(()),
        Value::Array(items) => items.iter_mut().try_for_each(|item| set(item, referrer, target, near)),
        Value::Object(map) => {
            let Some(name) = map.get("name").and_then(Value::as_str).map(str::to_owned) else {
                return Err(problem("path config error; no 'name' field in node"));
            };
            let candidates: Vec<&Candidate> = match map.get("namespace").and_then(Value::as_str) {
                None => near.to_vec(),
                Some(namespace) => {
                    let by = |id: fn(&Candidate) -> &Id| -> Vec<&Candidate> {
                        near.iter().copied().filter(|c| id(c).effective_namespace() == namespace).collect()
                    };
                    let first = by(|candidate| &candidate.first);
                    if first.is_empty() { by(|candidate| &candidate.now) } else { first }
                }
            };
            if let Some(found) = select(&name, &candidates, referrer, target, true)? {
                map.insert("name".to_owned(), Value::from(found.now.name.as_str()));
                if !found.now.namespace.is_empty() {
                    map.insert("namespace".to_owned(), Value::from(found.now.namespace.as_str()));
                }
            }
            Ok(())
        }
        scalar => {
            let Some(name) = scalar.as_str().map(str::to_owned) else { return Ok(()) };
            if let Some(found) = select(&name, near, referrer, target, false)? {
                *scalar = Value::from(found.now.name.as_str());
            }
            Ok(())
        }
    }
}

/// The one that a former name means; nothing if there is none.
fn select<'a>(
    name: &str,
    candidates: &[&'a Candidate],
    referrer: &Referrer<'_>,
    target: &Gvk,
    with_namespace: bool,
) -> Result<Option<&'a Candidate>> {
    let has_name = |candidate: &Candidate| candidate.former.iter().any(|id| id.name == name);
    let has_kind =
        |candidate: &Candidate, gvk: &Gvk| candidate.former.iter().any(|id| id.gvk.is_selected(gvk));
    let is_near = |candidate: &Candidate| {
        referrer.now.is_cluster_scoped()
            || candidate.now.is_cluster_scoped()
            || candidate.now.gvk.kind == "ServiceAccount"
            || candidate.now.same_namespace(referrer.now)
    };
    let mut found: Vec<&Candidate> = candidates
        .iter()
        .copied()
        .filter(|candidate| {
            has_name(candidate)
                && has_kind(candidate, target)
                && referrer.role.as_ref().is_none_or(|role| has_kind(candidate, role))
                && is_near(candidate)
        })
        .collect();
    if let [one] = found[..] {
        return Ok(Some(one));
    }
    found.retain(|candidate| same_affixes(candidate, referrer, true));
    if found.len() > 1 {
        found.retain(|candidate| same_affixes(candidate, referrer, false));
    }
    let Some(first) = found.first().copied() else { return Ok(None) };
    let alike = |other: &&Candidate| {
        other.now.name == first.now.name && (!with_namespace || other.now.namespace == first.now.namespace)
    };
    if found.iter().all(alike) {
        return Ok(Some(first));
    }
    let ids: Vec<String> = found.iter().map(|candidate| candidate.now.to_string()).collect();
    Err(problem(format!("found multiple possible referrals: {}", ids.join(", "))))
}

fn same_affixes(candidate: &Candidate, referrer: &Referrer<'_>, allow_empty: bool) -> bool {
    let same = |a: &[String], b: &[String]| {
        let count = a.len().min(b.len());
        let either_empty = count == 0;
        if either_empty {
            return allow_empty || a.len() == b.len();
        }
        a[a.len() - count..] == b[b.len() - count..]
    };
    same(&candidate.prefixes, &referrer.prefixes) && same(&candidate.suffixes, &referrer.suffixes)
}
