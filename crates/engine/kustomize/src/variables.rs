//! Variables: `$(NAME)` in fields that may hold them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::configuration::Configuration;
use crate::fieldspec::{Make, visit};
use crate::id::{Gvk, Id};
use crate::kustomization::Variable;
use crate::resource::Resources;
use crate::{Result, problem};

/// Adds variables; the same name may not stand for two things.
pub(crate) fn merge(all: &mut Vec<Variable>, more: &[Variable]) -> Result<()> {
    for variable in more {
        match all.iter().find(|known| known.name == variable.name) {
            Some(_) => return Err(problem(format!("var '{}' already encountered", variable.name))),
            None => all.push(variable.clone()),
        }
    }
    Ok(())
}

/// Ties variables to what they are about, while their names are still the ones that are written there.
pub(crate) fn bind(resources: &mut Resources, variables: &[Variable]) -> Result<()> {
    for variable in variables {
        let wanted = wanted(variable);
        let found = resources.by_any_id(|id| id.is_selected_by(&wanted));
        if let [index] = found[..] {
            resources.0[index].variables.push(variable.name.clone());
        } else if found.len() > 1 {
            let what = format!("found {} resId matches for var {} {wanted}", found.len(), variable.name);
            return Err(problem(what));
        }
    }
    Ok(())
}

/// Puts the values in.
pub(crate) fn resolve(
    resources: &mut Resources,
    variables: &[Variable],
    configuration: &Configuration,
) -> Result<()> {
    if variables.is_empty() {
        return Ok(());
    }
    let mut values = BTreeMap::new();
    for variable in variables {
        if let Some(value) = value(resources, variable)? {
            values.insert(variable.name.clone(), value);
        }
    }
    for resource in &mut resources.0 {
        for spec in &configuration.var_reference {
            visit(resource, spec, Make::Nothing, &mut |field| {
                replace(field, &values);
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn wanted(variable: &Variable) -> Id {
    let reference = &variable.objref;
    let (group, version) = match reference.api_version.split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None if reference.api_version.is_empty() => (reference.group.clone(), reference.version.clone()),
        None => (String::new(), reference.api_version.clone()),
    };
    Id {
        gvk: Gvk { group, version, kind: reference.kind.clone() },
        name: reference.name.clone(),
        namespace: reference.namespace.clone(),
    }
}

/// The value; nothing if the variable is about nothing that is there.
fn value(resources: &Resources, variable: &Variable) -> Result<Option<Value>> {
    let found = resources.0.iter().find(|resource| resource.variables.contains(&variable.name));
    let Some(resource) = found else { return Ok(None) };
    let path = match variable.fieldref.fieldpath.as_str() {
        "" => "metadata.name",
        path => path,
    };
    let pointer: String = path
        .replace("[", ".")
        .replace(']', "")
        .split('.')
        .fold(String::new(), |all, part| format!("{all}/{}", part.replace('~', "~0").replace('/', "~1")));
    let missing =
        || problem(format!("field specified in var '{}' not found in corresponding resource", variable.name));
    resource.value.pointer(&pointer).cloned().map(Some).ok_or_else(missing)
}

fn replace(field: &mut Value, values: &BTreeMap<String, Value>) {
    match field {
        Value::String(text) => *field = expand(text, values),
        Value::Array(items) => {
            items.iter_mut().filter(|item| item.is_string()).for_each(|item| replace(item, values))
        }
        Value::Object(map) => {
            map.values_mut().filter(|value| value.is_string()).for_each(|value| replace(value, values));
        }
        _ => {}
    }
}

fn expand(text: &str, values: &BTreeMap<String, Value>) -> Value {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(more) = after.strip_prefix('$') {
            out.push('$');
            rest = more;
        } else if let Some((name, more)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match values.get(name) {
                Some(value) if out.is_empty() && more.is_empty() && text.starts_with("$(") => {
                    return value.clone();
                }
                Some(value) => out.push_str(&crate::transform::scalar(value)),
                None => out.push_str(&format!("$({name})")),
            }
            rest = more;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Value::from(out)
}
