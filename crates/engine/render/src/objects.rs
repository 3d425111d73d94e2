//! What templates see besides values: `.Capabilities`, `.Files`.

use std::rc::Rc;

use galley_sprig::value::{Elem, Entries, List, Map, MapType, Object};
use galley_sprig::{Value, to_json_value};

use crate::ignore::glob;
use crate::{Capabilities, Files};

/// A thing with fields, and a text that it prints as.
#[derive(Debug)]
struct Struct {
    name: &'static str,
    fields: Entries,
    shown: Option<String>,
}

impl Object for Struct {
    fn type_name(&self) -> &str {
        self.name
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields.get(name).cloned()
    }

    fn method(&self, name: &str, _: &[Value]) -> Option<Result<Value, String>> {
        match (name, &self.shown) {
            ("String", Some(shown)) => Some(Ok(Value::text(shown))),
            // The older name of the full version.
            ("GitVersion", Some(_)) => self.field("Version").map(Ok),
            _ => None,
        }
    }

    fn show(&self) -> String {
        let all = || {
            let fields: Vec<String> = self.fields.values().map(galley_sprig::print::show).collect();
            format!("{{{}}}", fields.join(" "))
        };
        self.shown.clone().unwrap_or_else(all)
    }

    fn json(&self) -> serde_json::Value {
        let fields = self.fields.iter();
        let fields = fields.map(|(key, value)| (key.to_string(), to_json_value(value).unwrap_or_default()));
        serde_json::Value::Object(fields.collect())
    }
}

fn object(name: &'static str, shown: Option<String>, fields: Vec<(&str, Value)>) -> Value {
    let fields = fields.into_iter().map(|(key, value)| (Rc::from(key), value)).collect();
    Value::Object(Rc::new(Struct { name, fields, shown }))
}

/// `.Capabilities.APIVersions`: a list with the method `Has`.
#[derive(Debug)]
struct Versions(List);

impl Object for Versions {
    fn type_name(&self) -> &str {
        "common.VersionSet"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let has = |wanted: &str| self.0.items().iter().any(|version| version.as_text() == Some(wanted));
        match (name, arguments) {
            ("Has", [Value::Text(wanted)]) => Some(Ok(Value::Bool(has(wanted)))),
            ("Has", [other]) => {
                Some(Err(format!("wrong type for value; expected string; got {}", other.type_name())))
            }
            ("Has", _) => Some(Err(format!("wrong number of args for Has: want 1 got {}", arguments.len()))),
            _ => None,
        }
    }

    fn plain(&self) -> Option<Value> {
        Some(Value::List(self.0.clone()))
    }

    fn show(&self) -> String {
        galley_sprig::print::show(&Value::List(self.0.clone()))
    }

    fn json(&self) -> serde_json::Value {
        to_json_value(&Value::List(self.0.clone())).unwrap_or_default()
    }
}

/// What templates see as `.Capabilities`.
pub(crate) fn capabilities(capabilities: &Capabilities) -> Value {
    let bare = capabilities.kube_version.trim_start_matches('v');
    let numbers: Vec<&str> = bare
        .split(['.', '-', '+'])
        .map(|part| part.trim_end_matches(|c: char| !c.is_ascii_digit()))
        .take(3)
        .collect();
    let part = |index: usize| Value::text(numbers.get(index).copied().unwrap_or("0"));
    let normal = format!("v{}", numbers.join("."));
    let versions = capabilities.api_versions.iter().map(Value::text).collect();
    object(
        "*common.Capabilities",
        None,
        vec![
            (
                "KubeVersion",
                object(
                    "common.KubeVersion",
                    Some(normal),
                    vec![
                        ("Version", Value::from(format!("v{bare}"))),
                        ("Major", part(0)),
                        ("Minor", part(1)),
                    ],
                ),
            ),
            ("APIVersions", Value::Object(Rc::new(Versions(List::typed(versions, Elem::Text))))),
            (
                "HelmVersion",
                object(
                    "version.BuildInfo",
                    None,
                    vec![
                        ("Version", Value::text(&capabilities.helm_version)),
                        ("GitCommit", Value::text("")),
                        ("GitTreeState", Value::text("")),
                        ("GoVersion", Value::text("")),
                        ("KubeClientVersion", Value::text("")),
                    ],
                ),
            ),
        ],
    )
}

/// `.Files`: a map from paths to bytes, with methods.
#[derive(Debug)]
struct ChartFiles(Map);

/// What templates see as `.Files`.
pub(crate) fn files(files: &Files) -> Value {
    let entries =
        files.iter().map(|(path, bytes)| (Rc::from(path.as_str()), Value::Bytes(Rc::from(bytes.as_slice()))));
    Value::Object(Rc::new(ChartFiles(Map::new(entries.collect()))))
}

impl ChartFiles {
    fn bytes(&self, path: &str) -> Rc<[u8]> {
        match self.0.get(path) {
            Some(Value::Bytes(bytes)) => bytes,
            _ => Rc::from([]),
        }
    }

    fn text(&self, path: &str) -> String {
        galley_sprig::raw::text_of(&self.bytes(path))
    }

    /// All files under their last name, as YAML.
    fn as_yaml(&self, encode: impl Fn(&str) -> Value) -> Value {
        let entries: Entries = self
            .0
            .entries()
            .keys()
            .map(|path| (Rc::from(path.rsplit('/').next().unwrap_or(path)), encode(path)))
            .collect();
        let map = Value::Map(Map::typed(entries, MapType::Text));
        let text = galley_yaml::to_string(&to_json_value(&map).unwrap_or_default());
        Value::text(text.strip_suffix('\n').unwrap_or(&text))
    }

    fn glob(&self, pattern: &str) -> Value {
        let found = self.0.entries();
        let found =
            found.iter().filter(|(path, _)| glob_path(pattern, path)).map(|(k, v)| (k.clone(), v.clone()));
        Value::Object(Rc::new(ChartFiles(Map::new(found.collect()))))
    }
}

impl Object for ChartFiles {
    fn type_name(&self) -> &str {
        "engine.files"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let argument = || match arguments {
            [Value::Text(text)] => Ok(text.clone()),
            [other] => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
            _ => Err(format!("wrong number of args for {name}: want 1 got {}", arguments.len())),
        };
        Some(match name {
            "Get" => argument().map(|path| Value::from(self.text(&path))),
            "GetBytes" => argument().map(|path| Value::Bytes(self.bytes(&path))),
            "Glob" => argument().map(|pattern| self.glob(&pattern)),
            "Lines" => argument().map(|path| {
                let text = self.text(&path);
                if text.is_empty() {
                    return Value::texts(Vec::<&str>::new());
                }
                Value::texts(text.strip_suffix('\n').unwrap_or(&text).split('\n'))
            }),
            "AsConfig" => Ok(self.as_yaml(|path| Value::from(self.text(path)))),
            "AsSecrets" => Ok(self.as_yaml(|path| {
                let encode = galley_sprig::find("b64enc");
                let encoded = encode.map(|encode| {
                    (encode.run)(&galley_sprig::Context::default(), &[Value::from(self.text(path))])
                });
                encoded.and_then(Result::ok).unwrap_or_default()
            })),
            _ => return None,
        })
    }

    fn plain(&self) -> Option<Value> {
        Some(Value::Map(self.0.clone()))
    }

    fn show(&self) -> String {
        galley_sprig::print::show(&Value::Map(self.0.clone()))
    }

    fn json(&self) -> serde_json::Value {
        to_json_value(&Value::Map(self.0.clone())).unwrap_or_default()
    }
}

/// A pattern over paths: `**` crosses folders, `{a,b}` are alternatives, the rest is as in names.
fn glob_path(pattern: &str, path: &str) -> bool {
    if let Some((before, rest)) = pattern.split_once('{')
        && let Some((choices, after)) = rest.split_once('}')
    {
        return choices.split(',').any(|choice| glob_path(&format!("{before}{choice}{after}"), path));
    }
    match pattern.split_once("**") {
        None => glob(pattern, path),
        Some((before, after)) => {
            let cuts = path.char_indices().map(|(at, _)| at).chain([path.len()]);
            cuts.into_iter().filter(|cut| glob(before, &path[..*cut])).any(|cut| {
                let rest = &path[cut..];
                let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
                ends.into_iter().any(|end| glob_path(after, &rest[end..]))
            })
        }
    }
}
