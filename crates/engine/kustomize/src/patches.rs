//! Patches: strategic merge and JSON 6902, by name or by selector.

use galley_problem::Problem;
use regex::Regex;
use serde_json::Value;

use crate::id::Id;
use crate::kustomization::{Patch, Selector};
use crate::merge;
use crate::resource::{Resource, Resources};
use crate::{Result, problem};

/// A selector that is ready to be asked.
pub(crate) struct Matcher {
    group: Option<Regex>,
    version: Option<Regex>,
    kind: Option<Regex>,
    name: Option<Regex>,
    namespace: Option<Regex>,
    labels: Requirements,
    annotations: Requirements,
}

impl Matcher {
    pub(crate) fn new(selector: &Selector) -> Result<Matcher> {
        let anchored = |pattern: &str| -> Result<Option<Regex>> {
            if pattern.is_empty() {
                return Ok(None);
            }
            let regex = Regex::new(&format!("^(?:{pattern})$"));
            regex.map(Some).map_err(|_| problem(format!("`{pattern}` is no regular expression.")))
        };
        Ok(Matcher {
            group: anchored(&selector.gvk.group)?,
            version: anchored(&selector.gvk.version)?,
            kind: anchored(&selector.gvk.kind)?,
            name: anchored(&selector.name)?,
            namespace: anchored(&selector.namespace)?,
            labels: Requirements::read(&selector.label_selector)?,
            annotations: Requirements::read(&selector.annotation_selector)?,
        })
    }

    /// Whether an id has what is asked for, with its own namespace.
    pub(crate) fn fits_id(&self, id: &Id) -> bool {
        self.fits_kind(id) && fits(&self.name, &id.name) && fits(&self.namespace, &id.namespace)
    }

    fn fits_kind(&self, id: &Id) -> bool {
        fits(&self.group, &id.gvk.group)
            && fits(&self.version, &id.gvk.version)
            && fits(&self.kind, &id.gvk.kind)
    }

    /// Whether labels and annotations are as asked.
    pub(crate) fn fits_metadata(&self, resource: &Resource) -> bool {
        self.labels.fit(&resource.texts("labels")) && self.annotations.fit(&resource.texts("annotations"))
    }

    /// Whether a resource is meant, under its first name or its present one.
    pub(crate) fn fits(&self, resource: &Resource) -> bool {
        let (first, now) = (resource.first_id(), resource.id());
        let either = |field: &Option<Regex>, a: &str, b: &str| fits(field, a) || fits(field, b);
        either(&self.namespace, first.effective_namespace(), now.effective_namespace())
            && either(&self.name, &first.name, &now.name)
            && self.fits_kind(&now)
            && self.fits_metadata(resource)
    }
}

fn fits(regex: &Option<Regex>, text: &str) -> bool {
    regex.as_ref().is_none_or(|regex| regex.is_match(text))
}

/// A label selector: `a=b,c!=d,e in (f,g),h,!i`.
struct Requirements(Vec<(String, bool, Option<Vec<String>>)>);

impl Requirements {
    fn read(text: &str) -> Result<Requirements> {
        let mut parts = vec![String::new()];
        let mut depth = 0;
        for letter in text.chars() {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            // There is always a last part.
            let Some(last) = parts.last_mut() else { break };
            if letter == ',' && depth == 0 { parts.push(String::new()) } else { last.push(letter) }
        }
        let one = |part: &str| {
            let values = |list: &str| {
                let inner = list.trim().trim_start_matches('(').trim_end_matches(')');
                inner.split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>()
            };
            let key = |key: &str| key.trim().to_owned();
            if let Some((name, list)) = part.split_once(" notin ") {
                (key(name), false, Some(values(list)))
            } else if let Some((name, list)) = part.split_once(" in ") {
                (key(name), true, Some(values(list)))
            } else if let Some((name, value)) = part.split_once("!=") {
                (key(name), false, Some(values(value)))
            } else if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (key(name), true, Some(values(value)))
            } else if let Some(name) = part.strip_prefix('!') {
                (key(name), false, None)
            } else {
                (key(part), true, None)
            }
        };
        Ok(Requirements(
            parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).map(one).collect(),
        ))
    }

    fn fit(&self, pairs: &[(String, String)]) -> bool {
        self.0.iter().all(|(name, wanted, values)| {
            let found = pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value);
            let is = match (found, values) {
                (Some(found), Some(values)) => values.contains(found),
                (found, None) => found.is_some(),
                (None, Some(_)) => false,
            };
            is == *wanted
        })
    }
}

/// What the text of a patch is.
enum Content {
    Strategic(Vec<Value>),
    Json(Value),
}

fn read(text: &str, place: &str) -> Result<Content> {
    // A block of text at the very end keeps its last line end.
    let documents =
        galley_yaml::parse_documents_of_1_2(place, &format!("{}\n", text.trim_end_matches('\n')))?;
    let values: Vec<Value> = documents.into_iter().map(|document| document.value).collect();
    match values.as_slice() {
        [operations @ Value::Array(_)] => Ok(Content::Json(operations.clone())),
        _ if values.iter().all(Value::is_object) => Ok(Content::Strategic(values)),
        _ => Err(problem("unable to parse SM or JSON patch").at(place, 1, 1)),
    }
}

/// Applies an entry of `patches`; `text` is its patch, `place` where that stands.
pub(crate) fn apply(resources: &mut Resources, patch: &Patch, text: &str, place: &str) -> Result<()> {
    let matcher = patch.target.as_ref().map(Matcher::new).transpose()?;
    match read(text.trim(), place)? {
        Content::Json(operations) => {
            let matcher =
                matcher.ok_or_else(|| problem("must specify a target for JSON patch").at(place, 1, 1))?;
            json(resources, &matcher, &operations, place, true)
        }
        Content::Strategic(patches) => {
            if matcher.is_some() && patches.len() > 1 {
                let what = "Multiple Strategic-Merge Patches in one `patches` entry is not allowed to set `patches.target` field";
                return Err(problem(what).at(place, 1, 1));
            }
            for one in patches {
                let mut one = Resource::new(one);
                one.may_change_name = patch.options.allow_name_change;
                one.may_change_kind = patch.options.allow_kind_change;
                match &matcher {
                    Some(matcher) => {
                        for resource in resources.0.iter_mut().filter(|resource| matcher.fits(resource)) {
                            let mut own = one.clone();
                            own.value["apiVersion"] = resource.value["apiVersion"].clone();
                            strategic(resource, &own);
                        }
                        resources.drop_empty();
                    }
                    None => by_id(resources, &one, place)?,
                }
            }
            Ok(())
        }
    }
}

/// Applies a JSON patch to all that fit.
pub(crate) fn json(
    resources: &mut Resources,
    matcher: &Matcher,
    operations: &Value,
    place: &str,
    remember: bool,
) -> Result<()> {
    for resource in resources.0.iter_mut().filter(|resource| matcher.fits(resource)) {
        if remember {
            resource.remember_id();
        }
        galley_patch::apply_json_patch(&mut resource.value, operations).map_err(|error| {
            problem(format!("The JSON patch does not fit {}.", resource.id())).at(place, 1, 1).because(&error)
        })?;
    }
    Ok(())
}

/// Applies a strategic merge patch to the one resource that it names.
pub(crate) fn by_id(resources: &mut Resources, patch: &Resource, place: &str) -> Result<(), Problem> {
    let id = patch.id();
    let found = resources.by_any_id(|known| known.same(&id));
    let [index] = found[..] else {
        let how = if found.is_empty() { "no matches" } else { "multiple matches" };
        let what = format!(
            "no resource matches strategic merge patch \"{id}\": {how} for Id {id}; failed to find unique target for patch {id}"
        );
        return Err(problem(what).at(place, 1, 1));
    };
    strategic(&mut resources.0[index], patch);
    resources.drop_empty();
    Ok(())
}

fn strategic(resource: &mut Resource, patch: &Resource) {
    let (name, namespace, kind) =
        (resource.name().to_owned(), resource.namespace().to_owned(), resource.kind().to_owned());
    if patch.may_change_name || patch.may_change_kind {
        resource.remember_id();
    }
    let old = std::mem::take(&mut resource.value);
    let Some(merged) = merge::merge(old, patch.value.clone()) else { return };
    resource.value = merged;
    if !patch.may_change_kind {
        resource.value["kind"] = Value::from(kind);
    }
    if !patch.may_change_name {
        resource.set_name(&name);
    }
    resource.set_namespace(&namespace);
}

/// The operations of an entry of `patchesJson6902`.
pub(crate) fn operations(text: &str, place: &str) -> Result<Value> {
    match read(text, place)? {
        Content::Json(operations) => Ok(operations),
        Content::Strategic(_) => Err(problem("This is no list of operations.").at(place, 1, 1)),
    }
}
