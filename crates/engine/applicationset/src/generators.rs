//! Generators: from lists, folders and files in git, this cluster, and combinations of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::template::{fill, sanitize, text};
use crate::{Failure, Git, Parameters, Result, Style, wrong};

/// What all generators of a set share.
pub(crate) struct Context<'a> {
    pub(crate) git: &'a Git,
    pub(crate) style: Style,
}

/// Argo CD's word for generators that fail.
const REASON: &str = "ApplicationParamsGenerationError";

fn failed(message: impl Into<String>) -> Failure {
    wrong(REASON, message)
}

/// The parameters of a generator, each with the generator's own template.
pub(crate) fn run(
    context: &Context<'_>,
    generator: &Value,
    outer: Option<&Parameters>,
) -> Result<Vec<(Parameters, Value)>> {
    let filled = match outer {
        Some(outer) => fill(generator, outer, context.style).map_err(failed)?,
        None => generator.clone(),
    };
    let mut all = Vec::new();
    for (kind, body) in filled.as_object().into_iter().flatten() {
        let made = match kind.as_str() {
            "list" => list(context, body)?,
            "git" => git(context, body)?,
            "clusters" => clusters(context, body)?,
            "matrix" => matrix(context, body)?,
            "merge" => merge(context, body)?,
            "selector" => continue,
            other => return Err(failed(format!("the generator `{other}` is not supported here"))),
        };
        let template = body["template"].clone();
        all.extend(made.into_iter().map(|parameters| (parameters, template.clone())));
    }
    let selector = &filled["selector"];
    all.retain(|(parameters, _)| selector.is_null() || selected(selector, parameters));
    Ok(all)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list(context: &Context<'_>, body: &Value) -> Result<Vec<Parameters>> {
    let mut elements: Vec<Value> = body["elements"].as_array().cloned().unwrap_or_default();
    if let Some(yaml) = body["elementsYaml"].as_str().filter(|yaml| !yaml.trim().is_empty()) {
        let documents = galley_yaml::parse_documents_leniently("elementsYaml", yaml)
            .map_err(|problem| failed(format!("error unmarshling decoded ElementsYaml {problem}")))?;
        elements
            .extend(documents.into_iter().flat_map(|one| one.value.as_array().cloned().unwrap_or_default()));
    }
    let mut all = Vec::new();
    for element in elements {
        let Value::Object(element) = element else {
            return Err(failed("error unmarshling list element"));
        };
        if context.style.go {
            all.push(element);
            continue;
        }
        let mut parameters = Map::new();
        for (key, value) in element {
            match value {
                Value::Object(inner) if key == "values" => {
                    parameters.extend(
                        inner
                            .into_iter()
                            .map(|(name, value)| (format!("values.{name}"), json!(plain(&value)))),
                    );
                }
                Value::String(text) => drop(parameters.insert(key, json!(text))),
                _ => return Err(failed("error parsing value as string %!w(<nil>)")),
            }
        }
        all.push(parameters);
    }
    Ok(all)
}

/// This cluster, unless a selector leaves it out: it has no labels.
fn clusters(context: &Context<'_>, body: &Value) -> Result<Vec<Parameters>> {
    let wants_labels = body["selector"].as_object().is_some_and(|selector| !selector.is_empty());
    if wants_labels {
        return Ok(Vec::new());
    }
    let server = "https://kubernetes.default.svc";
    let mut parameters = Map::new();
    for (key, value) in
        [("name", "in-cluster"), ("nameNormalized", "in-cluster"), ("server", server), ("project", "")]
    {
        parameters.insert(key.to_owned(), json!(value));
    }
    add_values(context, &mut parameters, &body["values"])?;
    Ok(vec![parameters])
}

/// The generator's `values`, which may use its other parameters.
fn add_values(context: &Context<'_>, parameters: &mut Parameters, values: &Value) -> Result<()> {
    let Some(values) = values.as_object().filter(|values| !values.is_empty()) else { return Ok(()) };
    let mut filled = Map::new();
    for (key, value) in values {
        let done = text(&plain(value), parameters, context.style)
            .map_err(|why| failed(format!("failed to append templated values: {why}")))?;
        filled.insert(key.clone(), json!(done));
    }
    if context.style.go {
        parameters.insert("values".to_owned(), Value::Object(filled));
    } else {
        parameters.extend(filled.into_iter().map(|(key, value)| (format!("values.{key}"), value)));
    }
    Ok(())
}

fn git(context: &Context<'_>, body: &Value) -> Result<Vec<Parameters>> {
    let of = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    let key = (of("repoURL"), of("revision"));
    let Some(files) = context.git.0.get(&key) else {
        return Err(Failure::Needs { repository: key.0, revision: key.1 });
    };
    let prefix = of("pathParamPrefix");
    let mut all = Vec::new();
    if let Some(folders) = body["directories"].as_array().filter(|list| !list.is_empty()) {
        for folder in chosen(&folders_of(files), folders) {
            let mut parameters = Map::new();
            place(context, &mut parameters, &prefix, &folder, None);
            add_values(context, &mut parameters, &body["values"])?;
            all.push(parameters);
        }
    } else if let Some(wanted) = body["files"].as_array().filter(|list| !list.is_empty()) {
        let names: Vec<String> = files.keys().cloned().collect();
        for file in chosen(&names, wanted) {
            for mut parameters in objects(context, &file, &files[&file])? {
                let folder = file.rsplit_once('/').map_or(".", |(folder, _)| folder).to_owned();
                place(context, &mut parameters, &prefix, &folder, Some(&file));
                add_values(context, &mut parameters, &body["values"])?;
                all.push(parameters);
            }
        }
    } else {
        return Err(failed("found no directories and no files in the git generator"));
    }
    Ok(all)
}

/// All folders that hold something, in order.
fn folders_of(files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut all = BTreeSet::new();
    for path in files.keys() {
        let hidden = path.split('/').rev().skip(1).any(|part| part.starts_with('.'));
        for (at, _) in path.match_indices('/').filter(|_| !hidden) {
            all.insert(path[..at].to_owned());
        }
    }
    all.into_iter().collect()
}

/// What some pattern wants and none excludes.
fn chosen(names: &[String], patterns: &[Value]) -> Vec<String> {
    let fits = |name: &str, exclude: bool| {
        patterns.iter().any(|one| {
            let pattern = one["path"].as_str().unwrap_or_default();
            (one["exclude"] == true) == exclude && matches(pattern, name)
        })
    };
    names.iter().filter(|name| fits(name, false) && !fits(name, true)).cloned().collect()
}

/// A pattern over a path: `*` and `?` within one name, `**` over several.
fn matches(pattern: &str, path: &str) -> bool {
    fn parts(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), _) => (0..=path.len()).any(|skip| parts(rest, &path[skip..])),
            (Some((first, rest)), Some((name, more))) => within(first, name) && parts(rest, more),
            _ => false,
        }
    }
    fn within(pattern: &str, name: &str) -> bool {
        let mut letters = pattern.chars();
        match letters.next() {
            None => name.is_empty(),
            Some('*') => {
                let rest = letters.as_str();
                name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| within(rest, &name[at..]))
            }
            Some(letter) => {
                let mut others = name.chars();
                others.next().is_some_and(|other| letter == '?' || letter == other)
                    && within(letters.as_str(), others.as_str())
            }
        }
    }
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    parts(&pattern, &path)
}

/// Where something lies, as parameters.
fn place(context: &Context<'_>, parameters: &mut Parameters, prefix: &str, folder: &str, file: Option<&str>) {
    let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let mut facts = vec![("basename", last(folder)), ("basenameNormalized", sanitize(&last(folder)))];
    if let Some(file) = file {
        facts.push(("filename", last(file)));
        facts.push(("filenameNormalized", sanitize(&last(file))));
    }
    let segments: Vec<&str> = folder.split('/').collect();
    if context.style.go {
        let mut path = Map::new();
        path.insert("path".to_owned(), json!(folder));
        path.extend(facts.into_iter().map(|(key, value)| (key.to_owned(), json!(value))));
        path.insert("segments".to_owned(), json!(segments));
        if prefix.is_empty() {
            parameters.insert("path".to_owned(), Value::Object(path));
        } else {
            parameters.insert(prefix.to_owned(), json!({"path": path}));
        }
        return;
    }
    let name = if prefix.is_empty() { "path".to_owned() } else { format!("{prefix}.path") };
    parameters.insert(name.clone(), json!(folder));
    parameters.extend(facts.into_iter().map(|(key, value)| (format!("{name}.{key}"), json!(value))));
    for (index, segment) in segments.iter().enumerate().filter(|(_, segment)| !segment.is_empty()) {
        parameters.insert(format!("{name}[{index}]"), json!(segment));
    }
}

/// The objects of a file: one, or a list of them.
fn objects(context: &Context<'_>, file: &str, bytes: &[u8]) -> Result<Vec<Parameters>> {
    let text = String::from_utf8_lossy(bytes);
    let documents = galley_yaml::parse_documents_leniently(file, &text).map_err(|problem| {
        failed(format!("unable to process file '{file}': unable to parse file: {problem}"))
    })?;
    let value = documents.into_iter().next().map_or(json!({}), |document| document.value);
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    let mut all = Vec::new();
    for one in list {
        let Value::Object(map) = one else {
            return Err(failed(format!(
                "unable to process file '{file}': unable to parse file: not an object"
            )));
        };
        if context.style.go {
            all.push(map);
        } else {
            let mut flat = Map::new();
            flatten("", &Value::Object(map), &mut flat);
            all.push(flat);
        }
    }
    Ok(all)
}

/// Names joined by dots, values as texts.
fn flatten(name: &str, value: &Value, flat: &mut Parameters) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| flatten(&below(key), value, flat))
        }
        Value::Array(items) if !items.is_empty() => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| flatten(&below(&index.to_string()), value, flat));
        }
        Value::Null => drop(flat.insert(name.to_owned(), json!("<nil>"))),
        other => drop(flat.insert(name.to_owned(), json!(plain(other)))),
    }
}

fn two<'a>(body: &'a Value, what: &str) -> Result<&'a [Value]> {
    match body["generators"].as_array().map(Vec::as_slice) {
        Some(list) if list.len() >= 2 => Ok(list),
        _ => Err(failed(format!("found less than two generators, {what} requires two or more"))),
    }
}

fn only(made: Vec<(Parameters, Value)>) -> Vec<Parameters> {
    made.into_iter().map(|(parameters, _)| parameters).collect()
}

/// Everything of the first with everything of the second, which may use the first one's parameters.
fn matrix(context: &Context<'_>, body: &Value) -> Result<Vec<Parameters>> {
    let generators = two(body, "Matrix")?;
    let [first, second] = generators else {
        return Err(failed("found more than two generators, Matrix support only two"));
    };
    let mut all = Vec::new();
    for a in only(run(context, first, None)?) {
        for b in only(run(context, second, Some(&a))?) {
            all.push(combine(context, &a, b)?);
        }
    }
    Ok(all)
}

fn combine(context: &Context<'_>, a: &Parameters, b: Parameters) -> Result<Parameters> {
    let mut merged = b;
    for (key, value) in a {
        match merged.get_mut(key) {
            Some(there) if context.style.go => over(there, value),
            Some(there) if there != value => {
                let what = format!(
                    "found duplicate key {key} with different value, a: {} ,b: {}",
                    plain(value),
                    plain(there)
                );
                return Err(failed(format!(
                    "failed to combine string maps with merging params for the matrix generator: {what}"
                )));
            }
            _ => drop(merged.insert(key.clone(), value.clone())),
        }
    }
    Ok(merged)
}

/// Puts a value over another, maps key by key.
fn over(target: &mut Value, value: &Value) {
    match (target, value) {
        (Value::Object(target), Value::Object(value)) => {
            for (key, inner) in value {
                over(target.entry(key.clone()).or_insert(Value::Null), inner);
            }
        }
        (target, value) => *target = value.clone(),
    }
}

/// The first generator's parameters, with those of the others that have the same keys over them.
fn merge(context: &Context<'_>, body: &Value) -> Result<Vec<Parameters>> {
    let generators = two(body, "Merge")?;
    let keys: Vec<&str> =
        body["mergeKeys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if keys.is_empty() {
        return Err(failed("no merge keys were specified, Merge requires at least one"));
    }
    let by_key = |list: Vec<Parameters>| -> Result<Vec<(String, Parameters)>> {
        let mut all: Vec<(String, Parameters)> = Vec::new();
        for parameters in list {
            let values: BTreeMap<&str, &Value> =
                keys.iter().map(|key| (*key, parameters.get(*key).unwrap_or(&Value::Null))).collect();
            let key = json!(values).to_string();
            if all.iter().any(|(known, _)| *known == key) {
                let what = "the parameters from a generator were not unique by the given mergeKeys, Merge requires all param sets to be unique";
                return Err(failed(format!(
                    "error getting param sets by merge key: {what}. Duplicate key was {key}"
                )));
            }
            all.push((key, parameters));
        }
        Ok(all)
    };
    let mut base = by_key(only(run(context, &generators[0], None)?))?;
    for generator in &generators[1..] {
        for (key, parameters) in by_key(only(run(context, generator, None)?))? {
            if let Some((_, target)) = base.iter_mut().find(|(known, _)| *known == key) {
                for (name, value) in parameters {
                    match target.get_mut(&name) {
                        Some(there) if context.style.go => over(there, &value),
                        _ => drop(target.insert(name, value)),
                    }
                }
            }
        }
    }
    Ok(base.into_iter().map(|(_, parameters)| parameters).collect())
}

/// A label selector over parameters; those of maps by their dotted names.
fn selected(selector: &Value, parameters: &Parameters) -> bool {
    let mut flat = Map::new();
    flatten("", &Value::Object(parameters.clone()), &mut flat);
    let labels = selector["matchLabels"].as_object();
    let by_labels =
        labels.is_none_or(|labels| labels.iter().all(|(key, value)| flat.get(key) == Some(value)));
    let by_expression = |one: &Value| {
        let found = one["key"].as_str().and_then(|key| flat.get(key));
        let listed =
            || one["values"].as_array().is_some_and(|values| found.is_some_and(|f| values.contains(f)));
        match one["operator"].as_str() {
            Some("In") => listed(),
            Some("NotIn") => !listed(),
            Some("Exists") => found.is_some(),
            Some("DoesNotExist") => found.is_none(),
            _ => false,
        }
    };
    by_labels && selector["matchExpressions"].as_array().is_none_or(|all| all.iter().all(by_expression))
}
