//! What a workflow must mean to be run: templates that exist, names that are unique, arguments that are given,
//! references that lead somewhere, graphs without circles.
//!
//! The rules and their words are Argo's (its validation runs before anything else and ends a workflow with
//! `invalid spec: ...`); [`Wrong::what`] is that text. Rules that Argo finds only while running are in `files`.

mod graph;

use std::collections::BTreeSet;

use crate::io::{Arguments, Parameter};
use crate::objects::{Workflow, WorkflowSpec, WorkflowTemplate};
use crate::scope::Scope;
use crate::template::{Hook, Step, Template, TemplateRef};

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Wrong {
    /// Argo's words.
    pub what: String,
    /// JSON pointer to the place in the object.
    pub pointer: String,
}

/// Where templates of other objects are found.
pub trait TemplateSource {
    /// The spec of a WorkflowTemplate, or of a ClusterWorkflowTemplate.
    fn spec_of(&self, name: &str, cluster: bool) -> Option<&WorkflowSpec>;

    /// Whether objects may exist that this source does not know (a file on its own).
    fn is_open(&self) -> bool {
        false
    }
}

/// Checks a run. `spec` is the one to execute (merged with its WorkflowTemplate, if it has one).
///
/// # Errors
/// The first broken rule.
pub fn check_workflow(
    workflow: &Workflow,
    spec: &WorkflowSpec,
    source: &dyn TemplateSource,
) -> Result<(), Wrong> {
    let name = &workflow.metadata.name;
    if name.len() > 63 {
        let what = format!(
            "workflow name \"{name}\" must not be more than 63 characters long (currently {})",
            name.len()
        );
        return Err(Wrong { what, pointer: "/metadata/name".to_owned() });
    }
    let checker = Checker {
        spec,
        source,
        globals: Scope::of_workflow(&workflow.metadata, spec),
        pointer_base: "/spec",
    };
    checker.arguments("spec.arguments.", &spec.arguments, "/spec/arguments", false)?;
    let entrypoint = spec.entrypoint.as_deref().unwrap_or_default();
    if entrypoint.is_empty() {
        return Err(wrong("spec.entrypoint is required", "/spec"));
    }
    let entry = checker.local(entrypoint, "/spec/entrypoint")?;
    checker
        .supplied(entry, &spec.arguments, "/spec/entrypoint")
        .map_err(|what| wrong(what, "/spec/entrypoint"))?;
    if let Some(on_exit) = &spec.on_exit {
        checker.local(on_exit, "/spec/onExit")?;
    }
    checker.hooks(spec.hooks.iter(), "hooks", "/spec")?;
    checker.all_templates()
}

/// Checks a WorkflowTemplate or ClusterWorkflowTemplate on its own: arguments may still lack values.
///
/// # Errors
/// The first broken rule.
pub fn check_workflow_template(
    template: &WorkflowTemplate,
    source: &dyn TemplateSource,
) -> Result<(), Wrong> {
    let spec = &template.spec;
    let name = &template.metadata.name;
    if name.len() > 63 {
        let what = format!(
            "workflow template name \"{name}\" must not be more than 63 characters long (currently {})",
            name.len()
        );
        return Err(Wrong { what, pointer: "/metadata/name".to_owned() });
    }
    let mut globals = Scope::of_workflow(&template.metadata, spec);
    globals.add("workflow.failures");
    globals.allow_any_parameter();
    let checker = Checker { spec, source, globals, pointer_base: "/spec" };
    checker.arguments("spec.arguments.", &spec.arguments, "/spec/arguments", true)?;
    if let Some(entrypoint) = spec.entrypoint.as_deref().filter(|name| !name.is_empty()) {
        checker.local(entrypoint, "/spec/entrypoint")?;
    }
    if let Some(on_exit) = &spec.on_exit {
        checker.local(on_exit, "/spec/onExit")?;
    }
    checker.all_templates()
}

fn wrong(what: impl Into<String>, pointer: impl Into<String>) -> Wrong {
    Wrong { what: what.into(), pointer: pointer.into() }
}

struct Checker<'a> {
    spec: &'a WorkflowSpec,
    source: &'a dyn TemplateSource,
    globals: Scope,
    pointer_base: &'static str,
}

/// A template found by a step, or one that lies outside what can be seen.
enum Found<'a> {
    Known(&'a Template),
    Outside,
}

impl<'a> Checker<'a> {
    fn local(&self, name: &str, pointer: &str) -> Result<&'a Template, Wrong> {
        self.spec
            .templates
            .iter()
            .find(|template| template.name == name)
            .ok_or_else(|| wrong(format!("template name '{name}' undefined"), pointer))
    }

    fn all_templates(&self) -> Result<(), Wrong> {
        let mut seen = BTreeSet::new();
        for (index, template) in self.spec.templates.iter().enumerate() {
            let pointer = format!("{}/templates/{index}", self.pointer_base);
            if template.name.is_empty() {
                return Err(wrong(format!("spec.templates[{index}].name is required"), pointer));
            }
            if !seen.insert(&template.name) {
                return Err(wrong(
                    format!("spec.templates[{index}].name '{}' is not unique", template.name),
                    format!("{pointer}/name"),
                ));
            }
            self.template(template, &self.globals, &pointer)?;
        }
        Ok(())
    }

    fn template(&self, template: &Template, outer: &Scope, pointer: &str) -> Result<(), Wrong> {
        let name = &template.name;
        let kinds = template.kinds();
        let choose = "choose one of: container, containerSet, steps, script, resource, dag, suspend, template, template ref";
        match kinds.len() {
            0 => return Err(wrong(format!("templates.{name} template type unspecified. {choose}"), pointer)),
            1 => {}
            _ => {
                return Err(wrong(
                    format!("templates.{name} multiple template types specified. {choose}"),
                    pointer,
                ));
            }
        }
        self.inputs(template, pointer)?;
        let mut scope = outer.clone();
        scope.add_own(template);
        if let Some(groups) = &template.steps {
            self.not_for_parents(template, pointer)?;
            for (index, group) in groups.iter().enumerate() {
                for (at, step) in group.0.iter().enumerate() {
                    let unique = |other: &&Step| other.name == step.name;
                    let before = groups[..index].iter().flat_map(|group| &group.0).chain(&group.0[..at]);
                    let taken = before.filter(unique).count() > 0;
                    self.step(
                        template,
                        index,
                        step,
                        taken,
                        &mut scope,
                        &format!("{pointer}/steps/{index}/{at}"),
                    )?;
                }
            }
        } else if let Some(dag) = &template.dag {
            self.not_for_parents(template, pointer)?;
            self.dag(template, dag, &mut scope, pointer)?;
        } else {
            self.leaf(template, &scope, pointer)?;
        }
        self.outputs(template, &scope, pointer)
    }

    fn inputs(&self, template: &Template, pointer: &str) -> Result<(), Wrong> {
        let at = |list: &str| format!("{pointer}/inputs/{list}");
        let name = &template.name;
        names(template.inputs.parameters.iter().map(|item| item.name.as_str()), &at("parameters"))
            .map_err(|error| error.within(&format!("templates.{name}.inputs.parameters")))?;
        names(template.inputs.artifacts.iter().map(|item| item.name.as_str()), &at("artifacts"))
            .map_err(|error| error.within(&format!("templates.{name}.inputs.artifacts")))?;
        for (index, artifact) in template.inputs.artifacts.iter().enumerate() {
            let place = format!("{}/{index}", at("artifacts"));
            if !template.is_leaf() && artifact.path.is_some() {
                let what = format!(
                    "templates.{name}.inputs.artifacts.{}.path only valid in container/script templates",
                    artifact.name
                );
                return Err(wrong(what, place));
            }
            if artifact.from.is_some() {
                return Err(wrong(
                    format!("templates.{name}.inputs.artifacts.{}.from not valid in inputs", artifact.name),
                    place,
                ));
            }
        }
        Ok(())
    }

    fn not_for_parents(&self, template: &Template, pointer: &str) -> Result<(), Wrong> {
        if template.active_deadline_seconds.is_some() {
            let what =
                format!("templates.{}.activeDeadlineSeconds is only valid for leaf templates", template.name);
            return Err(wrong(what, format!("{pointer}/activeDeadlineSeconds")));
        }
        Ok(())
    }

    fn leaf(&self, template: &Template, scope: &Scope, pointer: &str) -> Result<(), Wrong> {
        let name = &template.name;
        if let Some(tag) = scope.unknown_in(template) {
            return Err(wrong(format!("templates.{name}: failed to resolve {{{{{tag}}}}}"), pointer));
        }
        if let Some(container) = &template.container {
            let mut mounted: Vec<(String, String)> = Vec::new();
            for mount in
                container.get("volumeMounts").and_then(|value| value.as_array()).into_iter().flatten()
            {
                let path = mount["mountPath"].as_str().unwrap_or_default().to_owned();
                mounted.push((path, "container.volumeMounts".to_owned()));
            }
            for (index, artifact) in template.inputs.artifacts.iter().enumerate() {
                let Some(path) = &artifact.path else { continue };
                if let Some((_, by)) = mounted.iter().find(|(known, _)| known == path) {
                    let what = format!(
                        "templates.{name}.inputs.artifacts[{index}].path '{path}' already mounted in {by}"
                    );
                    return Err(wrong(what, format!("{pointer}/inputs/artifacts/{index}/path")));
                }
                mounted.push((path.clone(), format!("inputs.artifacts.{}", artifact.name)));
            }
        }
        for (kind, container) in [
            ("container", template.container.as_ref()),
            ("script", template.script.as_ref().map(|script| &script.container)),
        ] {
            if let Some(container) = container
                && container.get("image").and_then(|image| image.as_str()).unwrap_or_default().is_empty()
            {
                return Err(wrong(
                    format!("templates.{name}.{kind}.image may not be empty"),
                    format!("{pointer}/{kind}"),
                ));
            }
        }
        if template.parallelism.is_some() {
            return Err(wrong(
                format!("templates.{name}.parallelism is only valid for steps and dag templates"),
                format!("{pointer}/parallelism"),
            ));
        }
        Ok(())
    }

    fn step(
        &self,
        parent: &Template,
        group: usize,
        step: &Step,
        taken: bool,
        scope: &mut Scope,
        pointer: &str,
    ) -> Result<(), Wrong> {
        let at = format!("templates.{}.steps[{group}]", parent.name);
        if step.name.is_empty() {
            return Err(wrong(format!("{at}.name is required"), pointer));
        }
        if taken {
            return Err(wrong(format!("{at}.name '{}' is not unique", step.name), format!("{pointer}/name")));
        }
        let full = format!("{at}.{}", step.name);
        let prefix = format!("steps.{}", step.name);
        scope.add(format!("{prefix}.status"));
        one_way_to_expand(step).map_err(|what| wrong(format!("{full} {what}"), pointer))?;
        scope.add_items(step);
        self.arguments(
            &format!("{full}.arguments."),
            &step.arguments,
            &format!("{pointer}/arguments"),
            false,
        )?;
        let found = self.target(step, scope, pointer).map_err(|error| error.within(&format!("{full} ")))?;
        let template = known(&found);
        self.hooks(step.hooks.iter(), &full, pointer)?;
        let mut inner = scope.clone();
        if step.exit_hook().is_some() {
            inner.add_outputs(&prefix, template, false);
        }
        if let Some(inline) = &step.inline {
            inner.add_own(inline);
        }
        if let Some(tag) = inner.unknown_in(step) {
            return Err(wrong(
                format!("templates.{}.steps failed to resolve {{{{{tag}}}}}", parent.name),
                pointer,
            ));
        }
        scope.add_outputs(&prefix, template, step.expands());
        self.supply(template, step, &full, pointer)
    }

    fn supply(
        &self,
        template: Option<&Template>,
        step: &Step,
        full: &str,
        pointer: &str,
    ) -> Result<(), Wrong> {
        match template {
            Some(template) => self
                .supplied(template, &step.arguments, pointer)
                .map_err(|what| wrong(format!("{full} {what}"), pointer)),
            None => Ok(()),
        }
    }

    /// Whether all that a template needs is given; the error is Argo's text.
    fn supplied(&self, template: &Template, given: &Arguments, _pointer: &str) -> Result<(), String> {
        let name = &template.name;
        for artifact in &template.inputs.artifacts {
            if !artifact.optional && !artifact.has_location() && given.artifact(&artifact.name).is_none() {
                return Err(format!("templates.{name} inputs.artifacts.{} was not supplied", artifact.name));
            }
        }
        for parameter in &template.inputs.parameters {
            let has = |parameter: &Parameter| parameter.value.is_some() || parameter.value_from.is_some();
            let own = has(parameter) || parameter.default.is_some();
            if !own && !given.parameter(&parameter.name).is_some_and(has) {
                return Err(format!("templates.{name} inputs.parameters.{} had no value", parameter.name));
            }
        }
        Ok(())
    }

    fn target(&self, step: &'a Step, scope: &Scope, pointer: &str) -> Result<Found<'a>, Wrong> {
        if let Some(inline) = &step.inline {
            self.template(inline, scope, &format!("{pointer}/inline"))?;
            return Ok(Found::Known(inline));
        }
        self.find(step.template.as_deref(), step.template_ref.as_ref(), pointer)
    }

    fn find(
        &self,
        name: Option<&str>,
        reference: Option<&TemplateRef>,
        pointer: &str,
    ) -> Result<Found<'a>, Wrong> {
        let Some(reference) = reference else {
            return match name.filter(|name| !name.is_empty()) {
                Some(name) => self.local(name, &format!("{pointer}/template")).map(Found::Known),
                None => Err(wrong("template name is required", pointer)),
            };
        };
        if name.is_some_and(|name| !name.is_empty()) {
            return Err(wrong("template name cannot be specified with templateRef.", pointer));
        }
        let pointer = format!("{pointer}/templateRef");
        if reference.name.is_empty() {
            return Err(wrong("resource name is required", pointer));
        }
        if reference.template.is_empty() {
            return Err(wrong("template name is required", pointer));
        }
        let missing = || {
            wrong(
                format!("template reference {}.{} not found", reference.name, reference.template),
                pointer.clone(),
            )
        };
        match self.source.spec_of(&reference.name, reference.cluster_scope) {
            Some(spec) => spec
                .templates
                .iter()
                .find(|template| template.name == reference.template)
                .map(Found::Known)
                .ok_or_else(missing),
            None if self.source.is_open() || reference.name.contains("{{") => Ok(Found::Outside),
            None => Err(missing()),
        }
    }

    fn hooks<'h>(
        &self,
        hooks: impl Iterator<Item = (&'h String, &'h Hook)>,
        base: &str,
        pointer: &str,
    ) -> Result<(), Wrong> {
        for (name, hook) in hooks {
            let place = format!("{pointer}/hooks/{name}");
            if name != "exit" && hook.expression.is_none() {
                return Err(wrong(format!("{base}.{name} Expression required"), place));
            }
            self.find(hook.template.as_deref(), hook.template_ref.as_ref(), &place)?;
        }
        Ok(())
    }

    fn arguments(
        &self,
        prefix: &str,
        arguments: &Arguments,
        pointer: &str,
        may_lack: bool,
    ) -> Result<(), Wrong> {
        names(arguments.parameters.iter().map(|item| item.name.as_str()), &format!("{pointer}/parameters"))
            .map_err(|error| error.within(&format!("{prefix}parameters")))?;
        names(arguments.artifacts.iter().map(|item| item.name.as_str()), &format!("{pointer}/artifacts"))
            .map_err(|error| error.within(&format!("{prefix}artifacts")))?;
        for (index, parameter) in arguments.parameters.iter().enumerate() {
            argument_value(prefix, parameter, may_lack)
                .map_err(|what| wrong(what, format!("{pointer}/parameters/{index}")))?;
        }
        for (index, artifact) in arguments.artifacts.iter().enumerate() {
            let place = format!("{pointer}/artifacts/{index}");
            if artifact.from.is_none() && artifact.from_expression.is_none() && !artifact.has_location() {
                return Err(wrong(
                    format!("{prefix}{}.from, artifact location, or key is required", artifact.name),
                    place,
                ));
            }
            if artifact.from.is_some() && artifact.from_expression.is_some() {
                return Err(wrong(
                    format!(
                        "{prefix}{} shouldn't have both `from` and `fromExpression` in Artifact",
                        artifact.name
                    ),
                    place,
                ));
            }
        }
        Ok(())
    }

    fn outputs(&self, template: &Template, scope: &Scope, pointer: &str) -> Result<(), Wrong> {
        let name = &template.name;
        let outputs = &template.outputs;
        names(
            outputs.parameters.iter().map(|item| item.name.as_str()),
            &format!("{pointer}/outputs/parameters"),
        )
        .map_err(|error| error.within(&format!("templates.{name}.outputs.parameters ")))?;
        names(
            outputs.artifacts.iter().map(|item| item.name.as_str()),
            &format!("{pointer}/outputs/artifacts"),
        )
        .map_err(|error| error.within(&format!("templates.{name}.outputs.artifacts ")))?;
        if let Some(tag) = scope.unknown_in(outputs) {
            return Err(wrong(
                format!("templates.{name}.outputs failed to resolve {{{{{tag}}}}}"),
                format!("{pointer}/outputs"),
            ));
        }
        for (index, parameter) in outputs.parameters.iter().enumerate() {
            let place = format!("{pointer}/outputs/parameters/{index}");
            let full = format!("templates.{name}.outputs.parameters.{}", parameter.name);
            let Some(from) = &parameter.value_from else {
                if parameter.value.is_none() {
                    return Err(wrong(format!("{full} does not have valueFrom or value specified"), place));
                }
                continue;
            };
            if parameter.value.is_some() {
                return Err(wrong(
                    format!("{full} has both valueFrom and value specified. Choose one."),
                    place,
                ));
            }
            if (template.container.is_some() || template.script.is_some()) && from.path.is_none() {
                let kind = if template.container.is_some() { "Container" } else { "Script" };
                return Err(wrong(format!("{full}.path must be specified for {kind} templates"), place));
            }
            if !template.is_leaf() && from.parameter.is_none() && from.expression.is_none() {
                let kind = if template.dag.is_some() { "DAG" } else { "Steps" };
                return Err(wrong(
                    format!("{full}.parameter or expression must be specified for {kind} templates"),
                    place,
                ));
            }
        }
        Ok(())
    }
}

impl Wrong {
    fn within(mut self, prefix: &str) -> Self {
        self.what.insert_str(0, prefix);
        self
    }
}

fn known<'a>(found: &Found<'a>) -> Option<&'a Template> {
    match found {
        Found::Known(template) => Some(template),
        Found::Outside => None,
    }
}

fn one_way_to_expand(step: &Step) -> Result<(), &'static str> {
    let ways = usize::from(!step.with_items.is_empty())
        + usize::from(step.with_param.is_some())
        + usize::from(step.with_sequence.is_some());
    if ways > 1 {
        return Err("only one of withItems, withParam, withSequence can be specified");
    }
    match &step.with_sequence {
        Some(sequence) if sequence.count.is_some() && sequence.end.is_some() => {
            Err("only one of count or end can be defined in withSequence")
        }
        _ => Ok(()),
    }
}

fn argument_value(prefix: &str, parameter: &Parameter, may_lack: bool) -> Result<(), String> {
    let name = format!("{prefix}{}", parameter.name);
    if parameter.value.is_none() && parameter.value_from.is_none() && !may_lack {
        return Err(format!("{name}.value or {name}.valueFrom is required"));
    }
    if let Some(from) = &parameter.value_from {
        let allowed = from.config_map_key_ref.is_some() || from.event.is_some() || from.supplied.is_some();
        let others = from.path.is_some()
            || from.json_path.is_some()
            || from.parameter.is_some()
            || from.expression.is_some();
        if !allowed || others {
            return Err(format!("{name}.valueFrom only allows: default, configMapKeyRef and supplied"));
        }
    }
    if let Some(allowed) = &parameter.allowed {
        match &parameter.value {
            _ if allowed.is_empty() => return Err(format!("{name}.enum should contain at least one value")),
            None if may_lack => {}
            None => return Err(format!("{name}.value is required")),
            Some(value) if !allowed.contains(value) => {
                return Err(format!("{name}.value should be present in {name}.enum list"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Names must be there, well formed and unique; the error begins with `[index]`.
fn names<'n>(items: impl Iterator<Item = &'n str>, pointer: &str) -> Result<(), Wrong> {
    let mut seen = BTreeSet::new();
    for (index, name) in items.enumerate() {
        let place = format!("{pointer}/{index}/name");
        if name.is_empty() {
            return Err(wrong(format!("[{index}].name is required"), place));
        }
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.') {
            return Err(wrong(
                format!("[{index}].name: '{name}' is invalid: it may hold letters, digits, '-' and '_' only"),
                place,
            ));
        }
        if !seen.insert(name) {
            return Err(wrong(format!("[{index}].name '{name}' is not unique"), place));
        }
    }
    Ok(())
}
