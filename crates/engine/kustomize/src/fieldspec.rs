//! Fields by kind and path, and walking to them.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::id::Gvk;
use crate::resource::Resource;
use crate::{Result, problem};

/// A field of some kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct FieldSpec {
    #[serde(flatten)]
    pub(crate) gvk: Gvk,
    pub(crate) path: String,
    /// The field is made where it is absent.
    pub(crate) create: bool,
}

/// What is made where a field is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Nothing,
    Scalar,
    Map,
}

/// Reads a table of the defaults.
pub(crate) fn table(text: &str) -> Vec<FieldSpec> {
    text.lines().filter_map(row).collect()
}

/// One line of a table.
pub(crate) fn row(line: &str) -> Option<FieldSpec> {
    let mut words = line.splitn(5, ' ');
    let mut word = || words.next().map(|word| if word == "-" { String::new() } else { word.to_owned() });
    let gvk = Gvk { group: word()?, version: word()?, kind: word()? };
    Some(FieldSpec { gvk, create: word()? == "+", path: word()? })
}

/// Adds a field unless one that means the same is there.
pub(crate) fn merge_one(all: &mut Vec<FieldSpec>, more: FieldSpec) -> Result<()> {
    match all.iter().find(|known| known.gvk.is_selected(&more.gvk) && known.path == more.path) {
        Some(known) if known.create != more.create => Err(problem("conflicting fieldspecs")),
        Some(_) => Ok(()),
        None => {
            all.push(more);
            Ok(())
        }
    }
}

/// Splits a path at its delimiter; `\` before one keeps it.
pub(crate) fn split_path(path: &str, delimiter: char) -> Vec<String> {
    let path = path.strip_prefix(delimiter).unwrap_or(path);
    let mut parts = vec![String::new()];
    let mut letters = path.chars().peekable();
    while let Some(letter) = letters.next() {
        // There is always a last part.
        let Some(last) = parts.last_mut() else { break };
        match letter {
            '\\' if letters.peek() == Some(&delimiter) => {
                letters.next();
                last.push(delimiter);
            }
            letter if letter == delimiter => parts.push(String::new()),
            letter => last.push(letter),
        }
    }
    parts
}

/// Calls `set` with every value at the field of an object. With `make`, what is absent is made if the field says so.
pub(crate) fn visit(
    resource: &mut Resource,
    spec: &FieldSpec,
    make: Make,
    set: &mut dyn FnMut(&mut Value) -> Result<()>,
) -> Result<()> {
    if !resource.gvk().is_selected(&spec.gvk) {
        return Ok(());
    }
    let path = split_path(&spec.path, '/');
    let make = if spec.create { make } else { Make::Nothing };
    let id = resource.id();
    walk(&mut resource.value, &path, make, set).map_err(|mut error| {
        error.what = format!("considering field '{}' of object {id}: {}", spec.path, error.what);
        error
    })
}

fn walk(
    value: &mut Value,
    path: &[String],
    make: Make,
    set: &mut dyn FnMut(&mut Value) -> Result<()>,
) -> Result<()> {
    let Some((first, rest)) = path.split_first() else { return set(value) };
    match value {
        Value::Null => Ok(()),
        Value::Array(items) => items.iter_mut().try_for_each(|item| walk(item, path, make, set)),
        Value::Object(map) => {
            let (name, is_list) =
                first.strip_suffix("[]").map_or((first.as_str(), false), |name| (name, true));
            let fresh = || match make {
                _ if is_list => None,
                Make::Nothing => None,
                Make::Scalar if rest.is_empty() => Some(Value::from("")),
                Make::Map | Make::Scalar => Some(Value::Object(Map::new())),
            };
            if map.get(name).is_none_or(Value::is_null) {
                match fresh() {
                    Some(fresh) => drop(map.insert(name.to_owned(), fresh)),
                    None => return Ok(()),
                }
            }
            match map.get_mut(name) {
                Some(inner) => walk(inner, rest, make, set),
                None => Ok(()),
            }
        }
        _ => Err(problem("expected sequence or mapping node")),
    }
}
