//! ConfigMaps and Secrets from literals, files and lists of variables.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::kustomization::{Generated, GeneratorOptions, Text};
use crate::resource::{Behavior, Resource};
use crate::{Result, problem};

/// Longest line of base64.
const LINE: usize = 70;

/// What is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ConfigMap,
    Secret,
}

/// Makes an object; `load` reads files below the kustomization.
pub(crate) fn generate(
    kind: Kind,
    wanted: &Generated,
    global: &GeneratorOptions,
    load: &dyn Fn(&str) -> Result<Vec<u8>>,
) -> Result<Resource> {
    if wanted.name.is_empty() {
        return Err(problem("a configmap must have a name"));
    }
    let data = collect(wanted, load)?;
    let name = if kind == Kind::ConfigMap { "ConfigMap" } else { "Secret" };
    let mut value = json!({"apiVersion": "v1", "kind": name, "metadata": {"name": wanted.name}});
    if !wanted.namespace.is_empty() {
        value["metadata"]["namespace"] = Value::from(wanted.namespace.as_str());
    }
    match kind {
        Kind::ConfigMap => config_map(&mut value, data),
        Kind::Secret => {
            let own = if wanted.kind.is_empty() { "Opaque" } else { &wanted.kind };
            value["type"] = Value::from(own);
            let encoded: Map<String, Value> =
                data.into_iter().map(|(key, bytes)| (key, Value::from(base64(&bytes)))).collect();
            if !encoded.is_empty() {
                value["data"] = Value::Object(encoded);
            }
        }
    }
    let local = wanted.options.clone().unwrap_or_default();
    for (field, own, theirs) in
        [("labels", &local.labels, &global.labels), ("annotations", &local.annotations, &global.annotations)]
    {
        let mut all: BTreeMap<String, Text> = theirs.clone();
        all.extend(own.clone());
        if !all.is_empty() {
            value["metadata"][field] =
                all.into_iter().map(|(key, text)| (key, Value::from(text.0))).collect();
        }
    }
    if local.immutable || global.immutable {
        value["immutable"] = Value::Bool(true);
    }
    let mut resource = Resource::new(value);
    resource.wants_hash = !local.disable_name_suffix_hash && !global.disable_name_suffix_hash;
    resource.behavior = match wanted.behavior.as_str() {
        "replace" => Behavior::Replace,
        "merge" => Behavior::Merge,
        _ => Behavior::Create,
    };
    Ok(resource)
}

fn config_map(value: &mut Value, data: BTreeMap<String, Vec<u8>>) {
    for (key, bytes) in data {
        let (field, text) = match String::from_utf8(bytes) {
            Ok(text) => ("data", text),
            Err(error) => ("binaryData", base64(error.as_bytes())),
        };
        value[field][key] = Value::from(text);
    }
}

/// Base64 in lines, as Kustomize writes it.
fn base64(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    if text.len() / LINE == 0 {
        return text;
    }
    let mut out = String::new();
    for line in text.as_bytes().chunks(LINE) {
        out.extend(line.iter().copied().map(char::from));
        out.push('\n');
    }
    out
}

fn collect(wanted: &Generated, load: &dyn Fn(&str) -> Result<Vec<u8>>) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    let mut add = |key: String, value: Vec<u8>| {
        let valid = !key.is_empty()
            && key.len() <= 253
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !valid {
            return Err(problem(format!("`{key}` is not a valid key of a ConfigMap or Secret.")));
        }
        match all.insert(key.clone(), value) {
            None => Ok(()),
            Some(_) => Err(problem(format!("configmap {} illegally repeats the key `{key}`", wanted.name))),
        }
    };
    let single = Some(&wanted.env).filter(|env| !env.is_empty());
    for file in wanted.envs.iter().chain(single) {
        let bytes = load(file)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| problem("The file has invalid UTF-8 bytes.").at(file.as_str(), 0, 0))?;
        for line in text.strip_prefix('\u{feff}').unwrap_or(&text).lines() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            add(key.to_owned(), value.as_bytes().to_vec())?;
        }
    }
    for literal in &wanted.literals {
        let found = literal.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) =
            found.ok_or_else(|| problem(format!("invalid literal source {literal}, expected key=value")))?;
        add(key.to_owned(), unquoted(value).as_bytes().to_vec())?;
    }
    for file in &wanted.files {
        let (key, path) = match file.split_once('=') {
            None => (file.rsplit('/').next().unwrap_or(file), file.as_str()),
            Some((key, path)) if !key.is_empty() && !path.is_empty() && !path.contains('=') => (key, path),
            Some(_) => return Err(problem(format!("`{file}` is not a file or `key=file`."))),
        };
        add(key.to_owned(), load(path)?)?;
    }
    Ok(all)
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}
