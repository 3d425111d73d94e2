//! Which fields transformers change: the defaults, and what `configurations` add.

use serde::Deserialize;

use crate::fieldspec::{FieldSpec, merge_one, row, table};
use crate::id::Gvk;
use crate::{Result, defaults};

/// What is named, and where its name stands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NameReference {
    #[serde(flatten)]
    pub(crate) target: Gvk,
    #[serde(rename = "fieldSpecs")]
    pub(crate) fields: Vec<FieldSpec>,
}

/// All fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Configuration {
    pub(crate) name_prefix: Vec<FieldSpec>,
    pub(crate) name_suffix: Vec<FieldSpec>,
    pub(crate) namespace: Vec<FieldSpec>,
    pub(crate) labels: Vec<FieldSpec>,
    pub(crate) common_labels: Vec<FieldSpec>,
    pub(crate) template_labels: Vec<FieldSpec>,
    pub(crate) common_annotations: Vec<FieldSpec>,
    pub(crate) name_reference: Vec<NameReference>,
    pub(crate) var_reference: Vec<FieldSpec>,
    pub(crate) images: Vec<FieldSpec>,
    pub(crate) replicas: Vec<FieldSpec>,
}

impl Configuration {
    /// What Kustomize comes with.
    pub(crate) fn standard() -> Configuration {
        let name = FieldSpec { path: "metadata/name".to_owned(), ..FieldSpec::default() };
        Configuration {
            name_prefix: vec![name.clone()],
            name_suffix: vec![name],
            namespace: table(defaults::NAMESPACE),
            labels: Vec::new(),
            common_labels: table(defaults::COMMON_LABELS),
            template_labels: table(defaults::TEMPLATE_LABELS),
            common_annotations: table(defaults::COMMON_ANNOTATIONS),
            name_reference: name_references(defaults::NAME_REFERENCES),
            var_reference: table(defaults::VARIABLES),
            images: table(defaults::IMAGES),
            replicas: table(defaults::REPLICAS),
        }
    }

    /// Adds what another one has.
    pub(crate) fn merge(&mut self, other: &Configuration) -> Result<()> {
        let lists = [
            (&mut self.name_prefix, &other.name_prefix),
            (&mut self.name_suffix, &other.name_suffix),
            (&mut self.namespace, &other.namespace),
            (&mut self.labels, &other.labels),
            (&mut self.common_labels, &other.common_labels),
            (&mut self.template_labels, &other.template_labels),
            (&mut self.common_annotations, &other.common_annotations),
            (&mut self.var_reference, &other.var_reference),
            (&mut self.images, &other.images),
            (&mut self.replicas, &other.replicas),
        ];
        for (own, more) in lists {
            more.iter().try_for_each(|spec| merge_one(own, spec.clone()))?;
        }
        for reference in &other.name_reference {
            match self.name_reference.iter_mut().find(|known| known.target == reference.target) {
                Some(known) => {
                    reference
                        .fields
                        .iter()
                        .try_for_each(|spec| merge_one(&mut known.fields, spec.clone()))?;
                }
                None => self.name_reference.push(reference.clone()),
            }
        }
        Ok(())
    }
}

fn name_references(text: &str) -> Vec<NameReference> {
    let mut all: Vec<NameReference> = Vec::new();
    for line in text.lines() {
        if let Some(target) = line.strip_prefix("= ") {
            let words: Vec<&str> =
                target.split(' ').map(|word| if word == "-" { "" } else { word }).collect();
            if let [group, version, kind] = words[..] {
                let target = Gvk { group: group.into(), version: version.into(), kind: kind.into() };
                all.push(NameReference { target, fields: Vec::new() });
            }
        } else if let (Some(last), Some(spec)) = (all.last_mut(), row(line)) {
            last.fields.push(spec);
        }
    }
    all
}
