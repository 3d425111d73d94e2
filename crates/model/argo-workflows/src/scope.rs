//! The names that tags may use, at each place of a workflow.

use std::collections::BTreeSet;

use galley_expr::tags_of;
use serde::Serialize;
use serde_json::Value;

use crate::objects::{Meta, WorkflowSpec};
use crate::template::{Step, Template};

/// Names known at some place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    names: BTreeSet<String>,
    any_item: bool,
    any_parameter: bool,
}

/// Beginnings of tags that are references; every other tag passes as text.
const PREFIXES: [&str; 7] = ["item.", "steps.", "inputs.", "outputs.", "pod.", "workflow.", "tasks."];
/// References that are filled in late and are always allowed.
const LATE: [&str; 8] = [
    "outputs.",
    "workflow.creationTimestamp",
    "workflow.scheduledTime",
    "workflow.duration",
    "tasks.name",
    "steps.name",
    "node.name",
    "workflow.status",
];

impl Scope {
    pub(crate) fn add(&mut self, name: impl Into<String>) {
        self.names.insert(name.into());
    }

    /// Templates may read parameters that only a run of them has.
    pub(crate) fn allow_any_parameter(&mut self) {
        self.any_parameter = true;
    }

    /// The first tag of a value that refers to something unknown.
    pub(crate) fn unknown_in(&self, value: &impl Serialize) -> Option<String> {
        self.unknown_in_but(value, &|_| false)
    }

    /// The first tag of a value that refers to something unknown, also to `also`.
    pub(crate) fn unknown_in_but(
        &self,
        value: &impl Serialize,
        also: &dyn Fn(&str) -> bool,
    ) -> Option<String> {
        let value = serde_json::to_value(value).ok()?;
        let mut found = None;
        each_text(&value, &mut |text| {
            if found.is_none() {
                found =
                    tags_of(text).into_iter().find(|tag| !self.knows(tag) && !also(tag)).map(str::to_owned);
            }
        });
        found
    }

    pub(crate) fn knows(&self, tag: &str) -> bool {
        let name = tag.trim();
        if tag.starts_with('=')
            || !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || name.contains("{{")
        {
            return true;
        }
        self.names.contains(name)
            || LATE.iter().any(|prefix| name.starts_with(prefix))
            || (self.any_item && name.starts_with("item."))
            || (self.any_parameter && name.starts_with("workflow.parameters."))
    }

    /// What the whole workflow knows.
    pub(crate) fn of_workflow(meta: &Meta, spec: &WorkflowSpec) -> Scope {
        let mut scope = Scope::default();
        for name in [
            "name",
            "namespace",
            "mainEntrypoint",
            "serviceAccountName",
            "uid",
            "parameters",
            "parameters.json",
            "annotations",
            "annotations.json",
            "labels",
            "labels.json",
        ] {
            scope.add(format!("workflow.{name}"));
        }
        if spec.priority.is_some() {
            scope.add("workflow.priority");
        }
        if spec.on_exit.is_some() || spec.hooks.contains_key("exit") {
            scope.add("workflow.failures");
        }
        for parameter in &spec.arguments.parameters {
            scope.add(format!("workflow.parameters.{}", parameter.name));
        }
        for name in meta.labels.keys() {
            scope.add(format!("workflow.labels.{name}"));
        }
        for name in meta.annotations.keys() {
            scope.add(format!("workflow.annotations.{name}"));
        }
        if let Some(own) = &spec.workflow_metadata {
            own.labels
                .keys()
                .chain(own.labels_from.keys())
                .for_each(|name| scope.add(format!("workflow.labels.{name}")));
            own.annotations.keys().for_each(|name| scope.add(format!("workflow.annotations.{name}")));
        }
        for template in &spec.templates {
            scope.add_globals(template);
        }
        scope
    }

    /// Global names that a template's outputs make.
    pub(crate) fn add_globals(&mut self, template: &Template) {
        for parameter in &template.outputs.parameters {
            if let Some(name) = &parameter.global_name {
                self.add(format!("workflow.outputs.parameters.{name}"));
            }
        }
        for artifact in &template.outputs.artifacts {
            if let Some(name) = &artifact.global_name {
                self.add(format!("workflow.outputs.artifacts.{name}"));
            }
        }
    }

    /// What a template knows of itself.
    pub(crate) fn add_own(&mut self, template: &Template) {
        if !template.inputs.parameters.is_empty() {
            self.add("inputs.parameters");
        }
        for parameter in &template.inputs.parameters {
            self.add(format!("inputs.parameters.{}", parameter.name));
        }
        for artifact in &template.inputs.artifacts {
            self.add(format!("inputs.artifacts.{}", artifact.name));
            if template.is_leaf() {
                self.add(format!("inputs.artifacts.{}.path", artifact.name));
            }
        }
        if template.is_pod() {
            self.add("pod.name");
        }
    }

    /// What others know of a step or task (`prefix` is `steps.NAME` or `tasks.NAME`).
    pub(crate) fn add_outputs(&mut self, prefix: &str, template: Option<&Template>, fans_out: bool) {
        for name in ["id", "startedAt", "finishedAt", "hostNodeName"] {
            self.add(format!("{prefix}.{name}"));
        }
        let Some(template) = template else { return };
        if template.daemon == Some(true) {
            self.add(format!("{prefix}.ip"));
        }
        if template.container.is_some()
            || template.container_set.is_some()
            || template.script.is_some()
            || template.data.is_some()
            || template.http.is_some()
            || template.plugin.is_some()
        {
            self.add(format!("{prefix}.outputs.result"));
            self.add(format!("{prefix}.exitCode"));
        }
        for parameter in &template.outputs.parameters {
            self.add(format!("{prefix}.outputs.parameters.{}", parameter.name));
        }
        for artifact in &template.outputs.artifacts {
            self.add(format!("{prefix}.outputs.artifacts.{}", artifact.name));
        }
        if fans_out {
            self.add(format!("{prefix}.outputs.parameters"));
        }
        self.add_globals(template);
    }

    /// What a step that expands knows of its items.
    pub(crate) fn add_items(&mut self, step: &Step) {
        for item in &step.with_items {
            if let Value::Object(map) = item {
                map.keys().for_each(|key| self.add(format!("item.{key}")));
            }
        }
        self.any_item |= step.with_param.is_some();
    }
}

/// Calls `each` with every string of a value, keys included.
pub(crate) fn each_text(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, each)),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            each(key);
            each_text(value, each);
        }),
        _ => {}
    }
}
