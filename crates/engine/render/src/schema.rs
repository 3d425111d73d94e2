//! Values held against the charts' schemas (`values.schema.json`).

use galley_problem::{Kind, Problem};
use galley_sprig::Value;
use galley_sprig::value::Map;

use crate::Result;
use crate::chart::Chart;
use crate::problems;

/// Most complaints that are told of one chart.
const MAX_TOLD: usize = 20;

/// Checks the values of a chart and of all charts in it; all complaints are told at once.
pub(crate) fn check(chart: &Chart, values: &Map) -> Result<()> {
    let mut told = Vec::new();
    check_below(chart, values, &mut told)?;
    if told.is_empty() {
        return Ok(());
    }
    let what = "The values do not meet the schema of the chart.";
    let place = format!("{}values.schema.json", chart.folder);
    let problem = Problem::new("G0313", Kind::Invalid, what).at(place, 0, 0);
    Err(told.into_iter().fold(problem, Problem::because_of))
}

fn check_below(chart: &Chart, values: &Map, told: &mut Vec<String>) -> Result<()> {
    if let Some(schema) = &chart.schema {
        let instance = galley_sprig::to_json_value(&Value::Map(values.clone())).unwrap_or_default();
        for complaint in complaints(chart, schema, &instance)? {
            told.push(format!("{}: {complaint}", chart.metadata.name));
        }
    }
    for inner in &chart.charts {
        if let Some(Value::Map(own)) = values.get(&inner.metadata.name) {
            check_below(inner, &own, told)?;
        }
    }
    Ok(())
}

fn complaints(chart: &Chart, schema: &[u8], instance: &serde_json::Value) -> Result<Vec<String>> {
    let place = format!("{}values.schema.json", chart.folder);
    let text = problems::utf8(&place, schema)?;
    let schema: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        Problem::new("G0313", Kind::Invalid, "The schema is not valid JSON.")
            .at(place.clone(), error.line(), error.column())
            .because(&error)
    })?;
    let validator = jsonschema::options().build(&schema).map_err(|error| {
        Problem::new("G0313", Kind::Invalid, format!("The schema cannot be used: {error}.")).at(place, 0, 0)
    })?;
    let tell = |error: jsonschema::ValidationError<'_>| {
        let at = error.instance_path().to_string();
        format!("at '{at}': {error}")
    };
    Ok(validator.iter_errors(instance).take(MAX_TOLD).map(tell).collect())
}
