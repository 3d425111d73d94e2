//! Filling templates: every text of a value, in one of two ways.

use std::rc::Rc;

use galley_gotemplate::{Engine, Failure, Functions, Limits, STACK_SIZE, Signature, Templates};
use galley_sprig::{Context, Param, Value as Any};
use serde_json::{Map, Value};

use crate::{Parameters, Style};

/// Longest name of an object.
const MAX_NAME: usize = 253;

/// The value with all texts in it filled, those of keys too.
pub(crate) fn fill(value: &Value, parameters: &Parameters, style: Style) -> Result<Value, String> {
    Ok(match value {
        Value::String(plain) => Value::from(text(plain, parameters, style)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| fill(item, parameters, style)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let mut filled = Map::new();
            for (key, inner) in map {
                filled.insert(text(key, parameters, style)?, fill(inner, parameters, style)?);
            }
            Value::Object(filled)
        }
        other => other.clone(),
    })
}

/// One text, filled.
pub(crate) fn text(plain: &str, parameters: &Parameters, style: Style) -> Result<String, String> {
    if !plain.contains("{{") {
        return Ok(plain.to_owned());
    }
    if !style.go {
        return Ok(words(plain, parameters));
    }
    let (plain, parameters) = (plain.to_owned(), parameters.clone());
    // Templates come from outside and may be deep.
    let run = move || go(&plain, &parameters, style.strict);
    let thread = std::thread::Builder::new().stack_size(STACK_SIZE).spawn(run);
    let thread = thread.map_err(|error| error.to_string())?;
    thread.join().unwrap_or_else(|_| Err("the template could not be run".to_owned()))
}

/// `{{word}}` for its parameter; what is none stays.
fn words(plain: &str, parameters: &Parameters) -> String {
    let mut out = String::new();
    let mut rest = plain;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((word, more)) = after.split_once("}}") else {
            out.push_str("{{");
            rest = after;
            continue;
        };
        match parameters.get(word.trim()).and_then(Value::as_str) {
            Some(found) => out.push_str(found),
            None => out.push_str(&format!("{{{{{word}}}}}")),
        }
        rest = more;
    }
    out.push_str(rest);
    out
}

fn go(plain: &str, parameters: &Parameters, strict: bool) -> Result<String, String> {
    let mut templates = Templates::new(Rc::new(Sprig));
    let told = |verb: &str, error: &galley_gotemplate::Error| {
        format!("failed to {verb} {plain}: {}", words_of(error))
    };
    templates.parse("", plain).map_err(|error| told("parse template", &error))?;
    let data = Any::from_json(&Value::Object(parameters.clone()));
    let limits = Limits { strict, steps: 200_000, bytes: 16 << 20, ..Limits::default() };
    let done = templates.execute("", data, &limits);
    done.map(|rendered| rendered.text).map_err(|error| told("execute go template", &error))
}

/// A failure as Go tells it: columns from 0, in a chain of fields at the second one.
fn words_of(error: &galley_gotemplate::Error) -> String {
    let excerpt = error.excerpt.as_deref().unwrap_or_default();
    let second = excerpt.strip_prefix('.').and_then(|rest| rest.find('.')).map_or(0, |at| at + 1);
    let column = error.column.saturating_sub(1) + second;
    let mut text = format!("template: {}:{}:{column}: ", error.file, error.line);
    if let (Some(template), false) = (&error.template, excerpt.is_empty()) {
        text.push_str(&format!("executing {template:?} at <{excerpt}>: "));
    }
    text + &error.message
}

/// Sprig's functions without those that look around, and those that ApplicationSets add.
struct Sprig;

const TEXT: Signature = Signature { params: &[Param::Text], rest: None };
const SLUG: Signature = Signature { params: &[], rest: Some(Param::Any) };

impl Functions for Sprig {
    fn signature(&self, name: &str) -> Option<Signature> {
        match name {
            "env" | "expandenv" | "getHostByName" => None,
            "normalize" => Some(TEXT),
            "slugify" => Some(SLUG),
            "toYaml" | "fromYaml" | "fromYamlArray" => galley_sprig::find(name)
                .map(|function| Signature { params: function.params, rest: function.rest }),
            name => galley_sprig::find(name)
                .map(|function| Signature { params: function.params, rest: function.rest }),
        }
    }

    fn call(&self, name: &str, arguments: &[Any], _: &mut dyn Engine) -> Result<Any, Failure> {
        let first = || arguments.first().and_then(Any::as_text).unwrap_or_default();
        match name {
            "normalize" => Ok(Any::from(sanitize(first()))),
            "slugify" => {
                let last = arguments.last().and_then(Any::as_text).unwrap_or_default();
                let length = match arguments.first() {
                    Some(Any::Int(length, _)) => usize::try_from(*length).unwrap_or(50),
                    _ => 50,
                };
                Ok(Any::from(slug(last, length)))
            }
            name => match galley_sprig::find(name) {
                Some(function) => (function.run)(&Context::default(), arguments).map_err(Failure::Message),
                None => Err(Failure::Message(format!("function {name:?} not defined"))),
            },
        }
    }
}

/// A text as part of an object's name: small letters, digits, dots and dashes.
pub fn sanitize(name: &str) -> String {
    let plain: String = name
        .to_lowercase()
        .chars()
        .map(
            |letter| if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.') { letter } else { '-' },
        )
        .take(MAX_NAME)
        .collect();
    plain.trim_matches(|letter| matches!(letter, '-' | '.')).to_owned()
}

/// A text as a word of an address, cut at a dash.
fn slug(text: &str, length: usize) -> String {
    let mut out = String::new();
    for letter in text.to_lowercase().chars() {
        if letter.is_ascii_alphanumeric() {
            out.push(letter);
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    let out = out.trim_matches('-');
    if out.len() <= length {
        return out.to_owned();
    }
    let cut = &out[..length];
    cut.rfind('-').map_or(cut, |at| &cut[..at]).to_owned()
}
