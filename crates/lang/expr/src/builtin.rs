//! The functions of expr-lang itself and the four that Argo adds (`asInt`, `asFloat`, `toJson`, `jsonpath`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use crate::ExprError;
use crate::ast::Node;
use crate::eval::{Machine, equal, int, text, type_name};

const PREDICATES: [&str; 15] = [
    "all",
    "any",
    "one",
    "none",
    "map",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "count",
    "sum",
    "groupBy",
    "sortBy",
    "reduce",
];
const PLAIN: [&str; 54] = [
    "len",
    "type",
    "abs",
    "int",
    "float",
    "string",
    "asInt",
    "asFloat",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "upper",
    "lower",
    "split",
    "splitAfter",
    "replace",
    "repeat",
    "join",
    "indexOf",
    "lastIndexOf",
    "hasPrefix",
    "hasSuffix",
    "max",
    "min",
    "mean",
    "median",
    "ceil",
    "floor",
    "round",
    "toJSON",
    "fromJSON",
    "toJson",
    "toBase64",
    "fromBase64",
    "toPairs",
    "fromPairs",
    "keys",
    "values",
    "first",
    "last",
    "get",
    "take",
    "uniq",
    "concat",
    "flatten",
    "sort",
    "reverse",
    "jsonpath",
    "bitand",
    "bitor",
    "bitxor",
    "bitnand",
    "bitshl",
    "bitshr",
];

/// Whether a function of this name exists.
pub(crate) fn is_known(name: &str) -> bool {
    PREDICATES.contains(&name) || PLAIN.contains(&name)
}

/// Calls a function.
pub(crate) fn call(machine: &mut Machine, name: &str, args: &[Node]) -> Result<Value, ExprError> {
    let fail = |what: String| ExprError(format!("{what} (calling `{name}`)"));
    if PREDICATES.contains(&name) && !(name == "sum" || name == "count")
        || args.len() > 1 && PREDICATES.contains(&name)
    {
        return with_predicate(machine, name, args);
    }
    let values = args.iter().map(|arg| machine.run(arg)).collect::<Result<Vec<_>, _>>()?;
    plain(name, &values).map_err(fail)
}

fn with_predicate(machine: &mut Machine, name: &str, args: &[Node]) -> Result<Value, ExprError> {
    let fail = |what: &str| ExprError(format!("{what} (calling `{name}`)"));
    let [list, predicate, rest @ ..] = args else { return Err(fail("not enough arguments")) };
    let Value::Array(items) = machine.run(list)? else {
        return Err(fail("the first argument is not a list"));
    };
    if name == "reduce" {
        return reduce(machine, items, predicate, rest.first());
    }
    let mut results = Vec::with_capacity(items.len());
    for item in &items {
        machine.pointers.push(item.clone());
        let result = machine.run(predicate);
        machine.pointers.pop();
        results.push(result?);
    }
    let hits = |at: usize| results[at] == Value::Bool(true);
    let total = (0..items.len()).filter(|at| hits(*at)).count();
    let found = |at: Option<usize>| at.map_or(Value::Null, |at| items[at].clone());
    let index = |at: Option<usize>| at.map_or(Value::from(-1), Value::from);
    Ok(match name {
        "all" => (total == items.len()).into(),
        "any" => (total > 0).into(),
        "one" => (total == 1).into(),
        "none" => (total == 0).into(),
        "count" => total.into(),
        "map" => Value::Array(results),
        "filter" => (0..items.len()).filter(|at| hits(*at)).map(|at| items[at].clone()).collect(),
        "find" => found((0..items.len()).find(|at| hits(*at))),
        "findLast" => found((0..items.len()).rev().find(|at| hits(*at))),
        "findIndex" => index((0..items.len()).find(|at| hits(*at))),
        "findLastIndex" => index((0..items.len()).rev().find(|at| hits(*at))),
        "sum" => sum(&results).map_err(|what| fail(&what))?,
        "groupBy" => {
            let mut groups = Map::new();
            for (item, key) in items.iter().zip(&results) {
                if let Value::Array(group) =
                    groups.entry(text(key)).or_insert_with(|| Value::Array(Vec::new()))
                {
                    group.push(item.clone());
                }
            }
            Value::Object(groups)
        }
        _ => {
            let descending = match rest.first() {
                Some(order) => machine.run(order)? == "desc",
                None => false,
            };
            let mut order: Vec<usize> = (0..items.len()).collect();
            order.sort_by(|a, b| {
                let by = compare(&results[*a], &results[*b]);
                if descending { by.reverse() } else { by }
            });
            order.into_iter().map(|at| items[at].clone()).collect()
        }
    })
}

fn reduce(
    machine: &mut Machine,
    items: Vec<Value>,
    body: &Node,
    start: Option<&Node>,
) -> Result<Value, ExprError> {
    let mut items = items.into_iter();
    let mut total = match start {
        Some(start) => machine.run(start)?,
        None => items.next().unwrap_or(Value::Null),
    };
    for item in items {
        machine.pointers.push(item);
        machine.accumulators.push(total);
        let result = machine.run(body);
        machine.pointers.pop();
        machine.accumulators.pop();
        total = result?;
    }
    Ok(total)
}

fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        _ => Some(text(a).cmp(&text(b))),
    }
    .unwrap_or(std::cmp::Ordering::Equal)
}

fn float(value: f64) -> Result<Value, String> {
    Number::from_f64(value).map(Value::Number).ok_or_else(|| "the result is not a finite number".to_owned())
}

fn sum(items: &[Value]) -> Result<Value, String> {
    if let Some(whole) = items.iter().map(Value::as_i64).collect::<Option<Vec<_>>>() {
        return Ok(whole.into_iter().fold(0i64, i64::wrapping_add).into());
    }
    let floats =
        items.iter().map(Value::as_f64).collect::<Option<Vec<_>>>().ok_or("not a list of numbers")?;
    // Numbers out of JSON are floats in Go; a whole sum prints without a fraction either way.
    float(floats.into_iter().sum())
}

fn plain(name: &str, args: &[Value]) -> Result<Value, String> {
    let arg = |at: usize| args.get(at).ok_or_else(|| "not enough arguments".to_owned());
    let string = |at: usize| match arg(at)? {
        Value::String(text) => Ok(text.as_str()),
        other => Err(format!("cannot use {} as string", type_name(other))),
    };
    let list = |at: usize| match arg(at)? {
        Value::Array(items) => Ok(items),
        other => Err(format!("cannot use {} as a list", type_name(other))),
    };
    let whole = |at: usize| int(arg(at)?).ok_or_else(|| "not an integer".to_owned());
    Ok(match name {
        "len" => match arg(0)? {
            Value::String(text) => text.chars().count().into(),
            Value::Array(items) => items.len().into(),
            Value::Object(map) => map.len().into(),
            other => return Err(format!("invalid argument for len (type {})", type_name(other))),
        },
        "type" => match arg(0)? {
            Value::Array(_) => "array",
            Value::Object(_) => "map",
            Value::Number(number) if number.is_f64() => "float",
            other => type_name(other),
        }
        .into(),
        "int" | "asInt" => to_int(arg(0)?)?,
        "float" | "asFloat" => to_float(arg(0)?)?,
        "string" => text(arg(0)?).into(),
        "abs" | "ceil" | "floor" | "round" => rounding(name, arg(0)?)?,
        "trim" => match args.get(1) {
            Some(Value::String(cut)) => string(0)?.trim_matches(|c| cut.contains(c)).into(),
            _ => string(0)?.trim().into(),
        },
        "trimPrefix" => string(0)?.strip_prefix(string(1)?).unwrap_or(string(0)?).into(),
        "trimSuffix" => string(0)?.strip_suffix(string(1)?).unwrap_or(string(0)?).into(),
        "upper" => string(0)?.to_uppercase().into(),
        "lower" => string(0)?.to_lowercase().into(),
        "split" => split(string(0)?, string(1)?, args.get(2).and_then(int)),
        "splitAfter" => string(0)?.split_inclusive(string(1)?).map(Value::from).collect(),
        "replace" => string(0)?.replace(string(1)?, string(2)?).into(),
        "repeat" => repeat(string(0)?, whole(1)?)?.into(),
        "join" => {
            let glue = if args.len() > 1 { string(1)? } else { "" };
            list(0)?.iter().map(text).collect::<Vec<_>>().join(glue).into()
        }
        "indexOf" => string(0)?.find(string(1)?).map_or(Value::from(-1), Value::from),
        "lastIndexOf" => string(0)?.rfind(string(1)?).map_or(Value::from(-1), Value::from),
        "hasPrefix" => string(0)?.starts_with(string(1)?).into(),
        "hasSuffix" => string(0)?.ends_with(string(1)?).into(),
        "max" | "min" | "mean" | "median" => statistic(name, args)?,
        "count" => list(0)?.iter().filter(|item| **item == Value::Bool(true)).count().into(),
        "sum" => sum(list(0)?)?,
        "toJSON" => serde_json::to_string_pretty(&sorted(arg(0)?)).map_err(|error| error.to_string())?.into(),
        "toJson" => crate::go_json(arg(0)?).into(),
        "fromJSON" => serde_json::from_str(string(0)?).map_err(|error| error.to_string())?,
        "toBase64" => STANDARD.encode(string(0)?).into(),
        "fromBase64" => decode(string(0)?)?.into(),
        "jsonpath" => {
            let document: Value = serde_json::from_str(string(0)?).map_err(|error| error.to_string())?;
            crate::json_path(&document, string(1)?)?
        }
        "first" => list(0)?.first().cloned().unwrap_or(Value::Null),
        "last" => list(0)?.last().cloned().unwrap_or(Value::Null),
        "take" => list(0)?.iter().take(usize::try_from(whole(1)?).unwrap_or(0)).cloned().collect(),
        "reverse" => list(0)?.iter().rev().cloned().collect(),
        "sort" => {
            let mut items = list(0)?.clone();
            items.sort_by(compare);
            if args.get(1) == Some(&Value::from("desc")) {
                items.reverse();
            }
            items.into()
        }
        "uniq" => {
            let mut items: Vec<Value> = Vec::new();
            for item in list(0)? {
                if !items.iter().any(|known| equal(known, item)) {
                    items.push(item.clone());
                }
            }
            items.into()
        }
        "concat" => {
            (0..args.len()).map(list).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().cloned().collect()
        }
        "flatten" => flatten(list(0)?),
        "keys" | "values" | "toPairs" => pairs(name, arg(0)?)?,
        "fromPairs" => from_pairs(list(0)?)?,
        "get" => match (arg(0)?, arg(1)?) {
            (Value::Object(map), Value::String(key)) => map.get(key).cloned().unwrap_or(Value::Null),
            (Value::Array(items), key) => int(key)
                .and_then(|at| usize::try_from(at).ok())
                .and_then(|at| items.get(at))
                .cloned()
                .unwrap_or(Value::Null),
            _ => Value::Null,
        },
        "bitand" => (whole(0)? & whole(1)?).into(),
        "bitor" => (whole(0)? | whole(1)?).into(),
        "bitxor" => (whole(0)? ^ whole(1)?).into(),
        "bitnand" => (whole(0)? & !whole(1)?).into(),
        "bitshl" => whole(0)?.wrapping_shl(whole(1)? as u32).into(),
        "bitshr" => whole(0)?.wrapping_shr(whole(1)? as u32).into(),
        _ => return Err(format!("unknown function `{name}`")),
    })
}

fn to_int(value: &Value) -> Result<Value, String> {
    match value {
        Value::Number(number) => {
            Ok(number.as_i64().unwrap_or_else(|| number.as_f64().unwrap_or(0.0) as i64).into())
        }
        Value::String(text) => {
            text.parse::<i64>().map(Value::from).map_err(|_| format!("invalid operation: int({text})"))
        }
        other => Err(format!("invalid operation: int({})", text(other))),
    }
}

fn to_float(value: &Value) -> Result<Value, String> {
    match value {
        Value::Number(number) => float(number.as_f64().unwrap_or(0.0)),
        Value::String(text) => float(text.parse().map_err(|_| format!("invalid operation: float({text})"))?),
        other => Err(format!("invalid operation: float({})", text(other))),
    }
}

fn rounding(name: &str, value: &Value) -> Result<Value, String> {
    let number = value.as_number().ok_or_else(|| format!("cannot use {} as a number", type_name(value)))?;
    match (name, number.as_i64()) {
        ("abs", Some(number)) => Ok(number.wrapping_abs().into()),
        _ => {
            let number = number.as_f64().unwrap_or(0.0);
            float(match name {
                "abs" => number.abs(),
                "ceil" => number.ceil(),
                "floor" => number.floor(),
                _ => number.round(),
            })
        }
    }
}

fn statistic(name: &str, args: &[Value]) -> Result<Value, String> {
    let mut numbers: Vec<Value> = Vec::new();
    for arg in args {
        match arg {
            Value::Array(items) => numbers.extend(items.iter().cloned()),
            other => numbers.push(other.clone()),
        }
    }
    if numbers.is_empty() || numbers.iter().any(|number| !number.is_number()) {
        return Err(format!("invalid arguments for {name}"));
    }
    numbers.sort_by(compare);
    let at = |at: usize| numbers[at].as_f64().unwrap_or(0.0);
    let length = numbers.len();
    match name {
        "max" => Ok(numbers[length - 1].clone()),
        "min" => Ok(numbers[0].clone()),
        "mean" => float((0..length).map(at).sum::<f64>() / length as f64),
        _ if length % 2 == 1 => float(at(length / 2)),
        _ => float((at(length / 2 - 1) + at(length / 2)) / 2.0),
    }
}

fn split(source: &str, by: &str, at_most: Option<i64>) -> Value {
    if by.is_empty() {
        return source.chars().map(|c| Value::from(c.to_string())).collect();
    }
    match at_most.and_then(|limit| usize::try_from(limit).ok()) {
        Some(limit) => source.splitn(limit.max(1), by).map(Value::from).collect(),
        None => source.split(by).map(Value::from).collect(),
    }
}

pub(crate) fn repeat(source: &str, times: i64) -> Result<String, String> {
    let times = usize::try_from(times).map_err(|_| "cannot repeat a negative number of times".to_owned())?;
    if source.len().saturating_mul(times) > 1_000_000 {
        return Err("memory budget exceeded".to_owned());
    }
    Ok(source.repeat(times))
}

/// Reads base64 (standard alphabet, padded).
///
/// # Errors
/// Why it cannot be read.
pub fn decode_base64(source: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(source).map_err(|error| error.to_string())
}

pub(crate) fn decode(source: &str) -> Result<String, String> {
    let bytes = decode_base64(source)?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

fn flatten(items: &[Value]) -> Value {
    let mut flat = Vec::new();
    for item in items {
        match item {
            Value::Array(inner) => match flatten(inner) {
                Value::Array(inner) => flat.extend(inner),
                other => flat.push(other),
            },
            other => flat.push(other.clone()),
        }
    }
    Value::Array(flat)
}

fn pairs(name: &str, value: &Value) -> Result<Value, String> {
    let Value::Object(map) = sorted(value) else {
        return Err(format!("cannot use {} as a map", type_name(value)));
    };
    Ok(match name {
        "keys" => map.keys().cloned().map(Value::from).collect(),
        "values" => map.into_iter().map(|(_, value)| value).collect(),
        _ => map.into_iter().map(|(key, value)| Value::Array(vec![key.into(), value])).collect(),
    })
}

fn from_pairs(items: &[Value]) -> Result<Value, String> {
    let mut map = Map::new();
    for item in items {
        let Some([key, value]) = item.as_array().map(Vec::as_slice) else {
            return Err("not a list of pairs".to_owned());
        };
        map.insert(text(key), value.clone());
    }
    Ok(Value::Object(map))
}

/// The same value with the keys of its maps in order, so that results do not depend on how a map was written.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
