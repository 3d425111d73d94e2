//! Values copied from fields of one object to fields of others.

use serde_json::{Map, Value};

use crate::fieldspec::split_path;
use crate::hash::go_json;
use crate::kustomization::{FieldOptions, Replacement, Target};
use crate::patches::Matcher;
use crate::resource::Resources;
use crate::transform::scalar;
use crate::{Result, problem};

/// The field that is meant where none is named.
const DEFAULT: &str = "metadata.name";

/// Carries out one replacement.
pub(crate) fn replace(resources: &mut Resources, replacement: &Replacement) -> Result<()> {
    if replacement.targets.is_empty() || (replacement.source.is_none() && replacement.source_value.is_none())
    {
        return Err(problem("replacements must specify a source and at least one target"));
    }
    let value = source(resources, replacement)?;
    for target in &replacement.targets {
        apply(resources, target, &value)?;
    }
    Ok(())
}

fn source(resources: &Resources, replacement: &Replacement) -> Result<Value> {
    let source = match (&replacement.source_value, &replacement.source) {
        (Some(_), Some(_)) => return Err(problem("value and resource selectors are mutually exclusive")),
        (Some(text), None) => return Ok(Value::from(text.0.as_str())),
        (None, Some(source)) => source,
        (None, None) => return Err(problem("replacements must specify a source and at least one target")),
    };
    let wanted = source.id();
    let found: Vec<_> =
        resources.0.iter().filter(|one| one.ids().iter().any(|id| id.is_selected_by(&wanted))).collect();
    let [one] = found[..] else {
        let what = if found.is_empty() { "nothing selected by" } else { "multiple matches for selector" };
        return Err(problem(format!("{what} {wanted}:{}", source.field_path)));
    };
    let path = if source.field_path.is_empty() { DEFAULT } else { &source.field_path };
    let value = lookup(&one.value, &split(path)).filter(|value| match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    });
    let Some(value) = value else {
        return Err(problem(format!("fieldPath `{path}` is missing for replacement source {wanted}")));
    };
    if source.options.delimiter.is_empty() {
        return Ok(value.clone());
    }
    let text = text_of(value)?;
    let index = usize::try_from(source.options.index).ok();
    let part = index.and_then(|index| text.split(&source.options.delimiter).nth(index));
    let part = part.ok_or_else(|| {
        problem(format!("options.index {} is out of bounds for value {text}", source.options.index))
    })?;
    Ok(Value::from(part))
}

fn text_of(value: &Value) -> Result<String> {
    if value.is_object() || value.is_array() {
        return Err(problem("delimiter option can only be used with scalar nodes"));
    }
    Ok(scalar(value))
}

/// Splits `spec.list.[name=a.b].x` at its dots, but not within brackets.
fn split(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut open: Option<String> = None;
    for part in split_path(path, '.') {
        match open.take() {
            Some(before) => {
                let joined = format!("{before}.{part}");
                if part.ends_with(']') { parts.push(joined) } else { open = Some(joined) }
            }
            None if part.starts_with('[') && !part.ends_with(']') => open = Some(part),
            None => parts.push(part),
        }
    }
    parts.extend(open);
    let plain = |part: String| match part.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) if !inner.contains('=') => inner.to_owned(),
        _ => part,
    };
    parts.into_iter().map(plain).collect()
}

fn condition(part: &str) -> Option<(&str, &str)> {
    part.strip_prefix('[')?.strip_suffix(']')?.split_once('=')
}

fn is_it(item: &Value, key: &str, wanted: &str) -> bool {
    if key.is_empty() {
        scalar(item) == wanted
    } else {
        item.get(key).is_some_and(|value| scalar(value) == wanted)
    }
}

fn lookup<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    let Some((part, rest)) = path.split_first() else { return Some(value) };
    let next = match value {
        Value::Object(map) => map.get(part)?,
        Value::Array(items) => match condition(part) {
            Some((key, wanted)) => items.iter().find(|item| is_it(item, key, wanted))?,
            None if part == "-" => items.last()?,
            None => items.get(part.parse::<usize>().ok()?)?,
        },
        _ => return None,
    };
    lookup(next, rest)
}

fn apply(resources: &mut Resources, target: &Target, value: &Value) -> Result<()> {
    let select = target.select.as_ref().ok_or_else(|| problem("target must specify resources to select"))?;
    let select = Matcher::new(select)?;
    let reject = target.reject.iter().map(|one| Ok((one, Matcher::new(one)?))).collect::<Result<Vec<_>>>()?;
    for resource in &mut resources.0 {
        let ids = resource.ids();
        let rejected = reject.iter().any(|(selector, matcher)| {
            let by_id = selector.gvk != Default::default()
                || !selector.name.is_empty()
                || !selector.namespace.is_empty();
            let by_metadata = !selector.label_selector.is_empty() || !selector.annotation_selector.is_empty();
            by_id && ids.iter().any(|id| matcher.fits_id(id))
                || by_metadata && matcher.fits_metadata(resource)
        });
        if rejected || !select.fits_metadata(resource) || !ids.iter().any(|id| select.fits_id(id)) {
            continue;
        }
        let default = [DEFAULT.to_owned()];
        let paths = if target.field_paths.is_empty() { &default[..] } else { &target.field_paths };
        for path in paths {
            copy(&mut resource.value, value, path, &target.options)?;
        }
    }
    Ok(())
}

fn copy(object: &mut Value, value: &Value, path: &str, options: &FieldOptions) -> Result<()> {
    let parts = split(path);
    if structured(object, value, &parts, options) {
        return Ok(());
    }
    let mut count = 0;
    let make = options
        .create
        .then(|| if value.is_object() || value.is_array() { value.clone() } else { Value::Null });
    visit(object, &parts, make.as_ref(), &mut |field| {
        count += 1;
        set(field, value, options)
    })?;
    if count == 0 {
        let how = if options.create { "find or create" } else { "find" };
        return Err(problem(format!("unable to {how} field \"{path}\" in replacement target")));
    }
    Ok(())
}

/// Calls `set` with all fields that a path means; with `make`, what is absent is made.
fn visit(
    value: &mut Value,
    path: &[String],
    make: Option<&Value>,
    set: &mut dyn FnMut(&mut Value) -> Result<()>,
) -> Result<()> {
    let Some((part, rest)) = path.split_first() else { return set(value) };
    if value.is_null() && make.is_some() {
        let is_list = condition(part).is_some() || part.parse::<usize>().is_ok();
        *value = if is_list { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
    }
    match value {
        Value::Object(map) if part == "*" => {
            map.values_mut().try_for_each(|inner| visit(inner, rest, make, set))
        }
        Value::Object(map) => {
            if !map.contains_key(part) && make.is_some() {
                map.insert(part.clone(), Value::Null);
            }
            match map.get_mut(part) {
                Some(inner) => visit(inner, rest, make, set),
                None => Ok(()),
            }
        }
        Value::Array(items) if part == "*" => {
            items.iter_mut().try_for_each(|inner| visit(inner, rest, make, set))
        }
        Value::Array(items) => {
            if let Some((key, wanted)) = condition(part) {
                if make.is_some() && !items.iter().any(|item| is_it(item, key, wanted)) {
                    items.push(serde_json::json!({ key: wanted }));
                }
                let found = items.iter_mut().filter(|item| is_it(item, key, wanted));
                return found.into_iter().try_for_each(|item| visit(item, rest, make, set));
            }
            if part == "-" && make.is_some() {
                items.push(Value::Null);
            }
            let index = if part == "-" { items.len().checked_sub(1) } else { part.parse().ok() };
            if make.is_some() && index == Some(items.len()) {
                items.push(Value::Null);
            }
            match index.and_then(|index| items.get_mut(index)) {
                Some(inner) => visit(inner, rest, make, set),
                // Without an index, the path goes through every item.
                None if index.is_none() => {
                    items.iter_mut().try_for_each(|inner| visit(inner, path, make, set))
                }
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn set(field: &mut Value, value: &Value, options: &FieldOptions) -> Result<()> {
    let mut value = value.clone();
    if !options.delimiter.is_empty() {
        let old = text_of(field)?;
        let new = scalar(&value);
        let mut parts: Vec<&str> = old.split(&options.delimiter).collect();
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, &new),
            Ok(index) if index >= parts.len() => parts.push(&new),
            Ok(index) => parts[index] = &new,
        }
        value = Value::from(parts.join(&options.delimiter));
    }
    put(field, value);
    Ok(())
}

/// A scalar keeps the type of the field; anything else replaces it.
fn put(field: &mut Value, value: Value) {
    if value.is_object() || value.is_array() || field.is_object() || field.is_array() {
        *field = value;
        return;
    }
    let text = scalar(&value);
    *field = match field {
        Value::String(_) => Value::from(text),
        _ => plain(&text),
    };
}

/// A text without quotes, as YAML reads it.
fn plain(text: &str) -> Value {
    let documents = galley_yaml::parse_documents_of_1_2("", text).unwrap_or_default();
    match documents.into_iter().next().map(|document| document.value) {
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::from(text),
    }
}

/// Sets a field within a text that is itself JSON or YAML; whether there was one.
fn structured(object: &mut Value, value: &Value, path: &[String], options: &FieldOptions) -> bool {
    for cut in 1..path.len() {
        let Some(Value::String(text)) = lookup(object, &path[..cut]) else { continue };
        let text = text.clone();
        let Ok(documents) = galley_yaml::parse_documents_of_1_2("", &text) else { return false };
        let Some(mut inner) = documents.into_iter().next().map(|document| document.value) else {
            return false;
        };
        let make = options.create.then_some(&Value::Null);
        let mut count = 0;
        let done = visit(&mut inner, &path[cut..], make, &mut |field| {
            count += 1;
            put(field, value.clone());
            Ok(())
        });
        if done.is_err() || count == 0 {
            return false;
        }
        let is_json = text.trim_start().starts_with(['{', '[']);
        let written = if is_json && text.contains('\n') && text.contains("  ") {
            serde_json::to_string_pretty(&serde_json::from_str::<Value>(&go_json(&inner)).unwrap_or(inner))
                .unwrap_or_default()
        } else if is_json {
            go_json(&inner)
        } else {
            galley_yaml::to_string(&inner).trim().to_owned()
        };
        let _ = visit(object, &path[..cut], None, &mut |field| {
            *field = Value::from(written.as_str());
            Ok(())
        });
        return true;
    }
    false
}
