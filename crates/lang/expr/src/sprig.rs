//! The `sprig.` functions of expressions: those that take and give plain values are here, all others are those of
//! templates (`galley_sprig`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use galley_sprig::value::{IntType, Value as Library};
use galley_sprig::{Context, Param, Time};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::Digest as _;

use crate::builtin::{decode, repeat};
use crate::eval::{int, text};

/// Calls `sprig.name(args)`. `now` is the moment of the evaluation, if it is known.
pub(crate) fn call(name: &str, args: &[Value], now: Option<Timestamp>) -> Result<Value, String> {
    let arg = |at: usize| args.get(at).ok_or_else(|| format!("not enough arguments for sprig.{name}"));
    let string = |at: usize| arg(at).map(text);
    let whole = |at: usize| number(arg(at)?);
    let all = || args.iter().map(number).collect::<Result<Vec<_>, _>>();
    Ok(match name {
        "upper" => string(0)?.to_uppercase().into(),
        "lower" => string(0)?.to_lowercase().into(),
        "title" => title(&string(0)?).into(),
        "trim" => string(0)?.trim().into(),
        "trimAll" => string(1)?.trim_matches(|c| string(0).is_ok_and(|cut| cut.contains(c))).into(),
        "trimPrefix" => {
            let source = string(1)?;
            source.strip_prefix(&string(0)?).unwrap_or(&source).into()
        }
        "trimSuffix" => {
            let source = string(1)?;
            source.strip_suffix(&string(0)?).unwrap_or(&source).into()
        }
        "trunc" => truncate(&string(1)?, whole(0)?).into(),
        "substr" => substring(&string(2)?, whole(0)?, whole(1)?).into(),
        "replace" => string(2)?.replace(&string(0)?, &string(1)?).into(),
        "repeat" => repeat(&string(1)?, whole(0)?)?.into(),
        "nospace" => string(0)?.split_whitespace().collect::<String>().into(),
        "contains" => string(1)?.contains(&string(0)?).into(),
        "hasPrefix" => string(1)?.starts_with(&string(0)?).into(),
        "hasSuffix" => string(1)?.ends_with(&string(0)?).into(),
        "quote" => args.iter().map(|arg| format!("{:?}", text(arg))).collect::<Vec<_>>().join(" ").into(),
        "squote" => args.iter().map(|arg| format!("'{}'", text(arg))).collect::<Vec<_>>().join(" ").into(),
        "indent" => indent(&string(1)?, whole(0)?).into(),
        "nindent" => format!("\n{}", indent(&string(1)?, whole(0)?)).into(),
        "toString" => string(0)?.into(),
        "int" | "int64" | "toInt" | "atoi" => number(arg(0)?).unwrap_or(0).into(),
        "float64" => string(0)?.parse::<f64>().unwrap_or(0.0).into(),
        "add" => all()?.into_iter().fold(0, i64::wrapping_add).into(),
        "add1" => whole(0)?.wrapping_add(1).into(),
        "sub" => whole(0)?.wrapping_sub(whole(1)?).into(),
        "mul" => all()?.into_iter().fold(1, i64::wrapping_mul).into(),
        "div" | "mod" if whole(1)? == 0 => return Err("integer divide by zero".to_owned()),
        "div" => whole(0)?.wrapping_div(whole(1)?).into(),
        "mod" => whole(0)?.wrapping_rem(whole(1)?).into(),
        "max" => all()?.into_iter().max().unwrap_or(0).into(),
        "min" => all()?.into_iter().min().unwrap_or(0).into(),
        "default" => if is_empty(args.get(1).unwrap_or(&Value::Null)) { arg(0)? } else { arg(1)? }.clone(),
        "empty" => is_empty(arg(0)?).into(),
        "coalesce" => args.iter().find(|arg| !is_empty(arg)).cloned().unwrap_or(Value::Null),
        "ternary" => if arg(2)? == &Value::Bool(true) { arg(0)? } else { arg(1)? }.clone(),
        "b64enc" => STANDARD.encode(string(0)?).into(),
        "b64dec" => decode(&string(0)?)?.into(),
        "sha256sum" => hex(&sha2::Sha256::digest(string(0)?)).into(),
        "toJson" => crate::go_json(arg(0)?).into(),
        "fromJson" => serde_json::from_str(&string(0)?).map_err(|error| error.to_string())?,
        "list" => Value::Array(args.to_vec()),
        "dict" => args
            .chunks(2)
            .map(|pair| (text(&pair[0]), pair.get(1).cloned().unwrap_or_else(|| "".into())))
            .collect::<Map<_, _>>()
            .into(),
        "get" => arg(0)?.get(string(1)?).cloned().unwrap_or_else(|| "".into()),
        "hasKey" => arg(0)?.get(string(1)?).is_some().into(),
        "splitList" => string(1)?.split(&string(0)?).map(Value::from).collect(),
        "join" => match arg(1)? {
            Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(&string(0)?).into(),
            other => text(other).into(),
        },
        "first" => arg(0)?.as_array().and_then(|items| items.first()).cloned().unwrap_or(Value::Null),
        "last" => arg(0)?.as_array().and_then(|items| items.last()).cloned().unwrap_or(Value::Null),
        "regexMatch" => pattern(&string(0)?)?.is_match(&string(1)?).into(),
        "regexFind" => pattern(&string(0)?)?.find(&string(1)?).map_or("", |found| found.as_str()).into(),
        "regexReplaceAll" => {
            // Go writes groups as `${1}`; so does the regex crate.
            pattern(&string(0)?)?.replace_all(&string(1)?, string(2)?.as_str()).into_owned().into()
        }
        _ => return library(name, args, now),
    })
}

/// A function of the library of templates. What would depend on chance is refused: a step that is looked at twice
/// must be the same both times.
fn library(name: &str, args: &[Value], now: Option<Timestamp>) -> Result<Value, String> {
    const NOT_HERE: [&str; 3] = ["env", "expandenv", "getHostByName"];
    let function = galley_sprig::find(name).filter(|_| !NOT_HERE.contains(&name));
    let function = function.ok_or_else(|| format!("unknown function sprig.{name}"))?;
    let params = function.params.iter().chain(function.rest.iter().cycle());
    if args.len() < function.params.len() {
        return Err(format!("not enough arguments for sprig.{name}"));
    }
    let given: Vec<Library> = args
        .iter()
        .zip(params)
        .map(|(arg, param)| param.accept(passed(arg, *param)))
        .collect::<Result<_, _>>()?;
    if given.len() < args.len() {
        return Err(format!("too many arguments for sprig.{name}"));
    }
    let context = now.map_or_else(Context::default, Context::at);
    match (function.run)(&context, &given)? {
        Library::Time(time) => Ok(time.timestamp().to_string().into()),
        other => galley_sprig::to_json_value(&other),
    }
}

/// A value as the library takes it: whole numbers are integers, moments are written in full.
fn passed(value: &Value, param: Param) -> Library {
    match (value, param) {
        (Value::Number(number), Param::Int | Param::Any) if number.is_i64() => {
            Library::Int(number.as_i64().unwrap_or(0), IntType::Int)
        }
        (Value::String(text), Param::Time) => match text.parse::<Timestamp>() {
            Ok(moment) => Library::Time(Time::utc(moment)),
            Err(_) => Library::text(text),
        },
        (Value::Array(items), Param::Texts) => Library::texts(items.iter().map(text)),
        (other, _) => Library::from_json(other),
    }
}

fn number(value: &Value) -> Result<i64, String> {
    match value {
        Value::String(text) => text.parse().map_err(|_| format!("`{text}` is not an integer")),
        Value::Bool(flag) => Ok(i64::from(*flag)),
        other => int(other)
            .or_else(|| other.as_f64().map(|float| float as i64))
            .ok_or_else(|| format!("`{}` is not a number", text(other))),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn title(source: &str) -> String {
    let mut begins = true;
    source
        .chars()
        .map(|c| {
            let shown = if begins { c.to_uppercase().next().unwrap_or(c) } else { c };
            begins = !c.is_alphanumeric();
            shown
        })
        .collect()
}

fn truncate(source: &str, length: i64) -> String {
    let count = source.chars().count() as i64;
    if length >= 0 {
        source.chars().take(length as usize).collect()
    } else {
        source.chars().skip((count + length).max(0) as usize).collect()
    }
}

fn substring(source: &str, from: i64, to: i64) -> String {
    let from = from.max(0) as usize;
    let take = if to < 0 { usize::MAX } else { (to as usize).saturating_sub(from) };
    source.chars().skip(from).take(take).collect()
}

fn indent(source: &str, width: i64) -> String {
    let pad = " ".repeat(usize::try_from(width).unwrap_or(0).min(256));
    source.split('\n').map(|line| format!("{pad}{line}")).collect::<Vec<_>>().join("\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pattern(source: &str) -> Result<regex::Regex, String> {
    regex::Regex::new(source).map_err(|error| error.to_string())
}
