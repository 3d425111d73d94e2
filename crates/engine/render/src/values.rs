//! Values and how they are merged.
//!
//! Users' values come over the chart's, a parent's over its subcharts'; null takes a default away.

use std::rc::Rc;

use galley_problem::{Kind, Problem};
use galley_sprig::Value;
use galley_sprig::value::{Entries, Map};

use crate::chart::Chart;
use crate::problems::utf8;
use crate::{Files, Result, ValueSources, set};

/// The values of a file; several documents are merged.
pub(crate) fn read_file(file: &str, text: &str) -> Result<Value> {
    let merged = Map::new(Entries::new());
    for document in galley_yaml::parse_documents_leniently(file, text)? {
        if !document.value.is_object() {
            let (line, column) = document.locate("").unwrap_or((1, 1));
            return Err(
                Problem::new("G0313", Kind::Invalid, "Values must be a mapping.").at(file, line, column)
            );
        }
        if let Value::Map(map) = Value::from_json(&document.value) {
            merge(&merged, &map);
        }
    }
    Ok(Value::Map(merged))
}

/// What the user gives, all sources merged.
pub(crate) fn from_user(files: &Files, sources: &ValueSources<'_>) -> Result<Map> {
    let values = Map::new(Entries::new());
    for file in sources.files {
        let name = file.strip_prefix("./").unwrap_or(file);
        let bytes = files.get(name).ok_or_else(|| {
            Problem::new("G0313", Kind::NotFound, format!("The values file `{file}` does not exist."))
                .at(file, 0, 0)
                .try_this("Values files are looked up relative to the chart.")
        })?;
        if let Value::Map(map) = read_file(file, utf8(file, bytes)?)? {
            merge(&values, &map);
        }
    }
    for (file, text) in sources.texts {
        if let Value::Map(map) = read_file(file, text)? {
            merge(&values, &map);
        }
    }
    match &sources.inline {
        None | Some(serde_json::Value::Null) => {}
        Some(inline) => match Value::from_json(inline) {
            Value::Map(map) => merge(&values, &map),
            _ => return Err(Problem::new("G0313", Kind::Invalid, "Inline values must be a mapping.")),
        },
    }
    for (key, value) in sources.set {
        set::apply(&values, key, value, false)?;
    }
    for (key, value) in sources.set_string {
        set::apply(&values, key, value, true)?;
    }
    let mut expressions: Vec<_> = sources.expressions.iter().collect();
    expressions.sort_by_key(|(kind, _)| *kind);
    for (kind, expression) in expressions {
        set::expression(&values, *kind, expression, &sources.set_files)?;
    }
    Ok(values)
}

/// Puts one map over another; nulls stay, since they take defaults away later.
pub(crate) fn merge(target: &Map, over: &Map) {
    for (key, value) in pairs(over) {
        match (target.get(&key), &value) {
            (Some(Value::Map(inner)), Value::Map(value)) => merge(&inner, value),
            _ => target.set(&key, value),
        }
    }
}

pub(crate) fn pairs(map: &Map) -> Vec<(Rc<str>, Value)> {
    map.entries().iter().map(|(key, value)| (Rc::clone(key), value.clone())).collect()
}

/// A copy that shares nothing.
pub(crate) fn copy(value: &Value) -> Value {
    match value {
        Value::Map(map) => Value::Map(copy_map(map)),
        other => other.clone(),
    }
}

pub(crate) fn copy_map(map: &Map) -> Map {
    Map::typed(map.entries().iter().map(|(key, value)| (Rc::clone(key), copy(value))).collect(), map.kind())
}

fn remove(map: &Map, key: &str) {
    let removed = map.entries_mut().remove(key);
    drop(removed);
}

/// The values of a chart and of all charts in it, users' values over defaults.
pub(crate) fn coalesce(chart: &Chart, users: &Map) -> Map {
    let values = copy_map(users);
    coalesce_chart(chart, &values, false);
    values
}

/// The defaults of a chart and of all charts in it, with their nulls.
pub(crate) fn defaults(chart: &Chart) -> Map {
    let values = Map::new(Entries::new());
    coalesce_chart(chart, &values, true);
    values
}

/// With `keep_nulls`, nothing is taken away: the result will be coalesced again.
fn coalesce_chart(chart: &Chart, values: &Map, keep_nulls: bool) {
    coalesce_defaults(chart, values, keep_nulls);
    for inner in &chart.charts {
        let name = &inner.metadata.name;
        if values.get(name).is_none() {
            values.set(name, Value::map([]));
        }
        // Something that is no mapping in a subchart's place: Helm refuses, later, in its own words.
        let Some(Value::Map(own)) = values.get(name) else { continue };
        coalesce_globals(&own, values);
        coalesce_chart(inner, &own, keep_nulls);
    }
}

fn coalesce_defaults(chart: &Chart, values: &Map, keep_nulls: bool) {
    let Value::Map(defaults) = copy(&chart.values) else { return };
    for (key, default) in pairs(&defaults) {
        match (values.get(&key), &default) {
            (Some(Value::Nil), _) if !keep_nulls => remove(values, &key),
            (Some(Value::Map(own)), Value::Map(default)) => {
                let keep_nulls = keep_nulls || chart.charts.iter().any(|inner| *inner.metadata.name == *key);
                if !keep_nulls && !chart.nulls_stay {
                    clean(default);
                }
                coalesce_tables(&own, default, keep_nulls);
            }
            (Some(_), _) => {}
            (None, Value::Nil) if !keep_nulls && !chart.nulls_stay => {}
            (None, default) => {
                if let (Value::Map(default), false) = (default, keep_nulls || chart.nulls_stay) {
                    clean(default);
                }
                values.set(&key, default.clone());
            }
        }
    }
}

/// Puts defaults under values. Unless `keep_nulls`, a null over a default takes it away.
pub(crate) fn coalesce_tables(values: &Map, defaults: &Map, keep_nulls: bool) {
    for (key, default) in pairs(defaults) {
        match (values.get(&key), &default) {
            (Some(Value::Nil), default) if !keep_nulls && !default.is_nil() => remove(values, &key),
            (None, default) => values.set(&key, default.clone()),
            (Some(Value::Map(own)), Value::Map(default)) => coalesce_tables(&own, default, keep_nulls),
            _ => {}
        }
    }
}

/// Gives a subchart the globals of its parent.
fn coalesce_globals(own: &Map, parent: &Map) {
    const GLOBAL: &str = "global";
    let table = |map: &Map| match map.get(GLOBAL) {
        None => Some(Map::new(Entries::new())),
        Some(Value::Map(map)) => Some(map),
        Some(_) => None,
    };
    let (Some(mine), Some(theirs)) = (table(own), table(parent)) else { return };
    for (key, value) in pairs(&theirs) {
        match (mine.get(&key), &value) {
            (None, Value::Map(value)) => mine.set(&key, Value::Map(copy_map(value))),
            (Some(Value::Map(old)), Value::Map(value)) => {
                let merged = copy_map(value);
                coalesce_tables(&merged, &old, true);
                mine.set(&key, Value::Map(merged));
            }
            (Some(_), Value::Map(_)) | (Some(Value::Map(_)), _) => {}
            (_, value) => mine.set(&key, value.clone()),
        }
    }
    own.set(GLOBAL, Value::Map(mine));
}

/// Takes nulls out of defaults.
fn clean(map: &Map) {
    for (key, value) in pairs(map) {
        match value {
            Value::Nil => remove(map, &key),
            Value::Map(inner) => clean(&inner),
            _ => {}
        }
    }
}
