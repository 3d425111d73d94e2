//! Which subcharts take part: aliases, conditions and tags.

use galley_problem::Problem;
use galley_sprig::Value;
use galley_sprig::value::Map;

use crate::chart::{Chart, Dependency};
use crate::{Result, problems, values};

/// Renames and removes the charts in a chart as its dependencies say.
pub(crate) fn choose(chart: &mut Chart, users: &Map) {
    choose_below(chart, users, "");
    import(chart);
}

/// Gives charts the values that they import from the charts in them, under their own.
fn import(chart: &mut Chart) {
    chart.charts.iter_mut().for_each(import);
    if chart.metadata.dependencies.is_empty() {
        return;
    }
    let merged = values::defaults(chart);
    let imported = Map::new(Default::default());
    for dependency in &chart.metadata.dependencies {
        for wanted in &dependency.import_values {
            let name = |field: &str| wanted[field].as_str().unwrap_or_default();
            let (from, to) = match wanted.as_str() {
                Some(key) => (format!("exports.{key}"), "."),
                None => (name("child").to_owned(), name("parent")),
            };
            let Some(Value::Map(table)) = find(&merged, &format!("{}.{from}", dependency.name)) else {
                continue;
            };
            let parts = to.split('.').filter(|part| !part.is_empty()).rev();
            let table =
                parts.fold(Value::Map(values::copy_map(&table)), |value, key| Value::map([(key, value)]));
            if let Value::Map(table) = table {
                values::coalesce_tables(&imported, &table, true);
            }
        }
    }
    let merged = values::copy_map(&merged);
    values::coalesce_tables(&merged, &imported, true);
    chart.values = Value::Map(merged);
}

fn choose_below(chart: &mut Chart, users: &Map, path: &str) {
    // Without a list of dependencies Helm looks no further, not even into the charts inside.
    if chart.metadata.dependencies.is_empty() {
        return;
    }
    apply_aliases(chart);
    let merged = values::coalesce(chart, users);
    for dependency in &mut chart.metadata.dependencies {
        dependency.enabled = enabled(dependency, &merged, path);
    }
    let dependencies = std::mem::take(&mut chart.metadata.dependencies);
    let off =
        |name: &str| dependencies.iter().any(|dependency| dependency.name == name && !dependency.enabled);
    chart.charts.retain(|inner| !off(&inner.metadata.name));
    for inner in &mut chart.charts {
        let below = format!("{path}{}.", inner.metadata.name);
        choose_below(inner, &merged, &below);
    }
    chart.metadata.dependencies = dependencies.into_iter().filter(|dependency| dependency.enabled).collect();
}

/// Charts under the names that the dependencies give them; a chart may be there several times.
fn apply_aliases(chart: &mut Chart) {
    let listed = |inner: &Chart| chart.metadata.dependencies.iter().any(|dependency| fits(dependency, inner));
    let mut charts: Vec<Chart> = chart.charts.iter().filter(|inner| !listed(inner)).cloned().collect();
    for dependency in &chart.metadata.dependencies {
        let Some(found) = chart.charts.iter().find(|inner| fits(dependency, inner)) else { continue };
        let mut found = found.clone();
        if !dependency.alias.is_empty() {
            found.metadata.name.clone_from(&dependency.alias);
        }
        charts.push(found);
    }
    for dependency in &mut chart.metadata.dependencies {
        if !dependency.alias.is_empty() {
            dependency.name.clone_from(&dependency.alias);
        }
    }
    chart.charts = charts;
}

/// Whether every dependency of the chart is there, in whatever version.
pub(crate) fn check(chart: &Chart) -> Result<()> {
    let there =
        |dependency: &&Dependency| !chart.charts.iter().any(|inner| inner.metadata.name == dependency.name);
    let absent: Vec<&Dependency> = chart.metadata.dependencies.iter().filter(there).collect();
    match absent.first() {
        None => Ok(()),
        Some(first) => Err(missing(first)),
    }
}

fn fits(dependency: &Dependency, chart: &Chart) -> bool {
    let compatible = || {
        let arguments = [Value::text(&dependency.version), Value::text(&chart.metadata.version)];
        let compare = galley_sprig::find("semverCompare");
        compare.is_none_or(|compare| {
            matches!((compare.run)(&galley_sprig::Context::default(), &arguments), Ok(Value::Bool(true)))
        })
    };
    dependency.name == chart.metadata.name && (dependency.version.is_empty() || compatible())
}

fn missing(dependency: &Dependency) -> Problem {
    let Dependency { name, version, .. } = dependency;
    problems::chart(format!("The chart needs `{name}` in version `{version}`, but it is not under charts/."))
        .try_this("Run `helm dependency update`, unpack what it fetched, and commit the charts/ folder.")
}

/// Conditions decide before tags; without either, a dependency is on.
fn enabled(dependency: &Dependency, values: &Map, path: &str) -> bool {
    let conditions = dependency.condition.split(',').map(str::trim).filter(|condition| !condition.is_empty());
    let by_condition =
        conditions.into_iter().find_map(|condition| match find(values, &format!("{path}{condition}")) {
            Some(Value::Bool(on)) => Some(on),
            _ => None,
        });
    if let Some(on) = by_condition {
        return on;
    }
    let Some(Value::Map(tags)) = values.get("tags") else { return true };
    let mut verdicts = dependency.tags.iter().filter_map(|tag| match tags.get(tag) {
        Some(Value::Bool(on)) => Some(on),
        _ => None,
    });
    match verdicts.next() {
        None => true,
        Some(first) => first || verdicts.any(|on| on),
    }
}

fn find(values: &Map, path: &str) -> Option<Value> {
    path.split('.').try_fold(Value::Map(values.clone()), |value, key| match value {
        Value::Map(map) => map.get(key),
        _ => None,
    })
}
