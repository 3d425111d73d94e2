//! What an Application says over its kustomization.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::kustomization::{Image, Kustomization, Label, Patch, Replica, Text, or_default};

/// The field `kustomize` of an Application's source. Fields that are not known here change nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Overrides {
    name_prefix: String,
    name_suffix: String,
    namespace: String,
    #[serde(deserialize_with = "or_default")]
    images: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    common_labels: BTreeMap<String, Text>,
    label_without_selector: bool,
    label_include_templates: bool,
    #[serde(deserialize_with = "or_default")]
    common_annotations: BTreeMap<String, Text>,
    #[serde(deserialize_with = "or_default")]
    replicas: Vec<Count>,
    #[serde(deserialize_with = "or_default")]
    patches: Vec<Patch>,
    #[serde(deserialize_with = "or_default")]
    components: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Count {
    name: String,
    count: Text,
}

impl Overrides {
    /// Changes a kustomization as `kustomize edit` would.
    pub(crate) fn apply(&self, own: &mut Kustomization) {
        for (field, given) in [
            (&mut own.name_prefix, &self.name_prefix),
            (&mut own.name_suffix, &self.name_suffix),
            (&mut own.namespace, &self.namespace),
        ] {
            if !given.is_empty() {
                field.clone_from(given);
            }
        }
        for text in &self.images {
            let image = image(text);
            own.images.retain(|known| known.name != image.name);
            own.images.push(image);
        }
        if self.label_without_selector && !self.common_labels.is_empty() {
            own.labels.push(Label {
                pairs: self.common_labels.clone(),
                include_templates: self.label_include_templates,
                ..Label::default()
            });
        } else {
            own.common_labels.extend(self.common_labels.clone());
        }
        own.common_annotations.extend(self.common_annotations.clone());
        for Count { name, count } in &self.replicas {
            own.replicas.retain(|known| known.name != *name);
            own.replicas.push(Replica { name: name.clone(), count: count.0.parse().unwrap_or_default() });
        }
        own.patches.extend(self.patches.iter().cloned());
        own.components.extend(self.components.iter().cloned());
    }
}

/// `name:tag`, `name@digest`, `old=new:tag` and the like.
fn image(text: &str) -> Image {
    let (old, rest) = text.split_once('=').map_or((None, text), |(old, rest)| (Some(old), rest));
    let (rest, digest) = rest.split_once('@').unwrap_or((rest, ""));
    let start = rest.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match rest[start..].find(':') {
        Some(at) => (&rest[..start + at], &rest[start + at + 1..]),
        None => (rest, ""),
    };
    Image {
        name: old.unwrap_or(name).to_owned(),
        new_name: old.map(|_| name.to_owned()).unwrap_or_default(),
        new_tag: tag.to_owned(),
        digest: digest.to_owned(),
        ..Image::default()
    }
}
