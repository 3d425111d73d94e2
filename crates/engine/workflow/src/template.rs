//! One template: found, given its arguments, and carried out.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use galley_argo_workflows::{Arguments, NodePhase, NodeType, Template, with_defaults};
use galley_expr::{Mode, substitute};

use crate::run::{Halt, Holder, Opts, ParentFacts, Run};

/// A recursion deeper than this is refused, as in Argo.
const MAX_DEPTH: usize = 100;

impl Run<'_> {
    /// Finds the template of a holder and the scope in which its own names are looked up. Templates of other objects
    /// are kept in the status, so that a change in the middle of a run does not reach it.
    pub(crate) fn resolve(
        &mut self,
        holder: &Holder,
        scope: &str,
    ) -> Result<(Arc<Template>, String), String> {
        if let Some(inline) = &holder.inline {
            return Ok((Arc::new(self.complete((**inline).clone())), scope.to_owned()));
        }
        let (inner, name) = match &holder.template_ref {
            Some(reference) => {
                let kind = if reference.cluster_scope { "cluster" } else { "namespaced" };
                (format!("{kind}/{}", reference.name), reference.template.clone())
            }
            None => (scope.to_owned(), holder.template.clone()),
        };
        let key = format!("{inner}/{name}");
        if let Some(known) = self.known.templates.get(&key) {
            return Ok((Arc::clone(known), inner));
        }
        let found = if inner.starts_with("local/") && holder.template_ref.is_none() {
            let found = self.spec.templates.iter().find(|template| template.name == name);
            found.cloned().ok_or_else(|| format!("template {name} not found in workflow"))?
        } else {
            self.stored(&inner, &name)?
        };
        let found = Arc::new(self.complete(found));
        self.known.templates.insert(key, Arc::clone(&found));
        Ok((found, inner))
    }

    fn complete(&self, template: Template) -> Template {
        match &self.spec.template_defaults {
            Some(defaults) => with_defaults(&template, defaults),
            None => template,
        }
    }

    /// Whether a template holds nothing that could be replaced. Big graphs often do not, and replacing is dear.
    fn is_plain(&mut self, template: &Arc<Template>, inner: &str) -> bool {
        if template.is_leaf() || template.name.is_empty() || !template.inputs.is_empty() {
            return false;
        }
        let key = format!("{inner}/{}", template.name);
        if let Some(known) = self.known.plain.get(&key) {
            return *known;
        }
        let plain = serde_json::to_string(&**template).is_ok_and(|text| !text.contains("{{"));
        self.known.plain.insert(key, plain);
        plain
    }

    fn stored(&mut self, scope: &str, name: &str) -> Result<Template, String> {
        let key = format!("{scope}/{name}");
        if let Some(template) = self.status.stored_templates.get(&key) {
            return Ok(template.clone());
        }
        let (kind, object) = scope.split_once('/').unwrap_or(("namespaced", scope));
        let known = if kind == "cluster" { &self.templates.cluster } else { &self.templates.namespaced };
        let template = known
            .get(object)
            .ok_or_else(|| format!("workflow template {object} not found"))?
            .templates
            .iter()
            .find(|template| template.name == name)
            .ok_or_else(|| format!("template {name} not found in workflow template {object}"))?
            .clone();
        self.status.stored_templates.insert(key, template.clone());
        Ok(template)
    }

    /// A template with its inputs filled in and all names that are known by now replaced.
    pub(crate) fn process(
        &self,
        template: &Template,
        given: &Arguments,
        locals: &BTreeMap<String, String>,
    ) -> Result<Template, String> {
        let mut template = template.clone();
        for parameter in &mut template.inputs.parameters {
            if parameter.value.is_none() {
                parameter.value = parameter.default.clone();
            }
            if let Some(argument) = given.parameter(&parameter.name) {
                if argument.value.is_some() {
                    parameter.value = argument.value.clone();
                } else if argument.value_from.is_some() {
                    parameter.value = None;
                    parameter.value_from = argument.value_from.clone();
                }
            }
            let from = parameter.value_from.as_ref();
            if parameter.value.is_none()
                && let Some(reference) = from.and_then(|from| from.config_map_key_ref.as_ref())
            {
                let default = from.and_then(|from| from.default.clone());
                parameter.value = Some(match (self.config_map_value(reference), default) {
                    (Ok(value), _) => value.into(),
                    (Err(_), Some(default)) => default,
                    (Err(why), None) => {
                        return Err(format!(
                            "unable to retrieve inputs.parameters.{} from ConfigMap: {why}",
                            parameter.name
                        ));
                    }
                });
            }
        }
        for artifact in &mut template.inputs.artifacts {
            let argument = given.artifact(&artifact.name);
            if argument.is_none() && !artifact.optional && !artifact.has_location() {
                return Err(format!("inputs.artifacts.{} was not supplied", artifact.name));
            }
            if let Some(argument) = argument {
                let mut filled = argument.clone();
                filled.path = artifact.path.clone();
                filled.optional |= artifact.optional;
                for field in ["mode", "recurseMode"] {
                    filled.rest.remove(field);
                    filled
                        .rest
                        .extend(artifact.rest.get(field).map(|value| (field.to_owned(), value.clone())));
                }
                *artifact = filled;
            }
        }
        self.replace_names(&template, locals)
    }

    /// Replaces names in a template: first those of the workflow, then its inputs, which may have held such names.
    pub(crate) fn replace_names(
        &self,
        template: &Template,
        locals: &BTreeMap<String, String>,
    ) -> Result<Template, String> {
        let mut names = self.globals.clone();
        names.extend(locals.iter().map(|(name, value)| (name.clone(), value.clone())));
        let value = serde_json::to_value(template).map_err(|error| error.to_string())?;
        let once = substitute(&value, &names, Mode::Lenient).map_err(|error| error.to_string())?;
        let half: Template = serde_json::from_value(once.clone()).map_err(|error| error.to_string())?;
        for parameter in &half.inputs.parameters {
            match &parameter.value {
                Some(value) => {
                    names.insert(format!("inputs.parameters.{}", parameter.name), value.as_str().to_owned());
                }
                None if parameter.value_from.is_none() => {
                    return Err(format!("inputs.parameters.{} had no value", parameter.name));
                }
                None => {}
            }
        }
        let all = serde_json::to_value(&half.inputs.parameters).map_err(|error| error.to_string())?;
        names.insert("inputs.parameters".to_owned(), galley_expr::go_json(&all));
        let paths = half.inputs.artifacts.iter().map(|artifact| ("inputs", artifact));
        for (side, artifact) in
            paths.chain(half.outputs.artifacts.iter().map(|artifact| ("outputs", artifact)))
        {
            if let Some(path) = &artifact.path {
                names.insert(format!("{side}.artifacts.{}.path", artifact.name), path.clone());
            }
        }
        for parameter in &half.outputs.parameters {
            if let Some(path) = parameter.value_from.as_ref().and_then(|from| from.path.as_ref()) {
                names.insert(format!("outputs.parameters.{}.path", parameter.name), path.clone());
            }
        }
        let twice = substitute(&once, &names, Mode::Lenient).map_err(|error| error.to_string())?;
        serde_json::from_value(twice).map_err(|error| error.to_string())
    }

    /// Carries out the template of a holder as the node `name`. True when the node exists afterwards.
    pub(crate) fn execute(
        &mut self,
        name: &str,
        holder: &Holder,
        scope: &str,
        given: &Arguments,
        opts: &Opts,
    ) -> Result<bool, Halt> {
        self.depth += 1;
        let result = if self.depth > MAX_DEPTH {
            Err(Halt::Depth)
        } else {
            self.execute_inner(name, holder, scope, given, opts)
        };
        self.depth -= 1;
        result
    }

    fn execute_inner(
        &mut self,
        name: &str,
        holder: &Holder,
        scope: &str,
        given: &Arguments,
        opts: &Opts,
    ) -> Result<bool, Halt> {
        if self.is_fulfilled(name) {
            return Ok(true);
        }
        let (found, inner) = match self.resolve(holder, scope) {
            Ok(found) => found,
            Err(why) => return Err(self.fail_or_init(name, scope, holder, opts, &why)),
        };
        if self.node(name).is_none() {
            self.check_limits(opts)?;
        }
        let retries = found.retry_strategy.is_some() || self.spec.retry_strategy.is_some();
        let mut locals = BTreeMap::from([("node.name".to_owned(), name.to_owned())]);
        if found.is_pod() && !retries {
            locals.insert("pod.name".to_owned(), self.pod_of(name, template_name(holder, &found)));
        }
        if let Some((kind, called)) = &holder.called {
            locals.insert(format!("{kind}.name"), called.clone());
        }
        let processed = if holder.inline.is_none() && self.is_plain(&found, &inner) {
            Ok(Arc::clone(&found))
        } else {
            self.process(&found, given, &locals).map(Arc::new)
        };
        let template = match processed {
            Ok(template) => template,
            Err(why) => return Err(self.fail_or_init(name, scope, holder, opts, &why)),
        };
        if self.node(name).is_some() {
            self.check_fail_fast(name, &template)?;
        }
        if self.is_fulfilled(name) {
            return Ok(true);
        }
        if !self.lock_template(name, &template, holder, scope, opts)? {
            return Ok(true);
        }
        // A node that waited for a lock is made anew; only its beginning stays.
        let id = self.id(name);
        let waited = self.node(name).is_some_and(|node| node.synchronization_status.is_some());
        self.changes += u64::from(waited);
        let before = waited.then(|| self.status.nodes.remove(&id)).flatten();
        let result = if self.check_cache(name, &template, scope, holder, opts)? {
            Ok(true)
        } else if retries {
            self.execute_retried(name, &template, holder, scope, &inner, opts)
        } else {
            self.dispatch(name, &template, holder, scope, &inner, opts)
        };
        if let Some((before, node)) = before.zip(self.node_mut(name)) {
            node.started_at = before.started_at;
        }
        result
    }

    /// Carries out a template whose names are replaced, by its kind.
    pub(crate) fn dispatch(
        &mut self,
        name: &str,
        template: &Template,
        holder: &Holder,
        scope: &str,
        inner: &str,
        opts: &Opts,
    ) -> Result<bool, Halt> {
        let result = if template.container.is_some()
            || template.script.is_some()
            || template.container_set.is_some()
        {
            self.execute_pod(name, template, holder, scope, opts)
        } else if template.steps.is_some() {
            self.execute_steps(name, template, holder, scope, inner, opts)
        } else if template.dag.is_some() {
            self.execute_dag(name, template, holder, scope, inner, opts)
        } else if template.suspend.is_some() {
            self.execute_suspend(name, template, holder, scope, opts)
        } else if template.resource.is_some() {
            self.execute_resource(name, template, holder, scope, opts)
        } else if template.http.is_some() {
            self.execute_http(name, template, holder, scope, opts)
        } else {
            let kind = template.kinds().first().copied().unwrap_or_default();
            let what = match kind {
                "" => format!("Template '{}' missing specification", template.name),
                kind => format!("{kind} templates are not run on one machine"),
            };
            return Err(self.fail_or_init(name, scope, holder, opts, &what));
        };
        match result {
            Ok(()) => Ok(self.node(name).is_some()),
            Err(Halt::Wrong(why)) => {
                self.mark_error(name, &why);
                Err(Halt::Wrong(why))
            }
            Err(halt) => Err(halt),
        }
    }

    /// Whether limits of parallelism allow a new node to begin.
    fn check_limits(&mut self, opts: &Opts) -> Result<(), Halt> {
        if self.spec.parallelism.is_some_and(|limit| self.active_pods("") as i64 >= limit) {
            return Err(Halt::Busy);
        }
        if opts.boundary.is_empty() {
            return Ok(());
        }
        let parent = self.parent_facts(&opts.boundary);
        if parent.fail_fast && self.bad_children(&opts.boundary) > 0 {
            return Err(Halt::Busy);
        }
        let retried = opts.flag.is_some_and(|flag| flag.retried);
        match parent.parallelism {
            // The next attempt of a retry takes the place of the last one.
            Some(limit) if !retried && self.active_children(&opts.boundary) as i64 >= limit => {
                Err(Halt::Busy)
            }
            _ => Ok(()),
        }
    }

    /// Ends templates with `failFast` that have failed children.
    fn check_fail_fast(&mut self, name: &str, template: &Template) -> Result<(), Halt> {
        let id = self.id(name);
        let parent = template.fail_fast == Some(true) && !template.is_leaf();
        if !parent || self.bad_children(&id) == 0 || self.active_pods(&id) > 0 {
            return Ok(());
        }
        let what = "template has failed or errored children and failFast enabled";
        let last =
            (0..template.steps.as_ref().map_or(0, Vec::len)).rev().map(|index| format!("{name}[{index}]"));
        if let Some(group) = last.into_iter().find(|group| self.node(group).is_some()) {
            self.mark(&group, NodePhase::Failed, Some(what));
        }
        self.mark(name, NodePhase::Failed, Some(what));
        Ok(())
    }

    /// What children need to know of the template of a steps or DAG node; looked up once in a step.
    pub(crate) fn parent_facts(&mut self, id: &str) -> Rc<ParentFacts> {
        if let Some(known) = self.parents.get(id) {
            return Rc::clone(known);
        }
        let facts = Rc::new(self.boundary_template(id).map_or_else(ParentFacts::default, |parent| {
            let text = serde_json::to_string(&*parent).unwrap_or_default();
            ParentFacts {
                parallelism: parent.parallelism,
                fail_fast: parent.fail_fast == Some(true),
                results: results_read(&text, if parent.dag.is_some() { "tasks" } else { "steps" }),
            }
        }));
        self.parents.insert(id.to_owned(), Rc::clone(&facts));
        facts
    }

    /// Whether nothing about a node can change before its pod does: a plain pod that was seen, of a template without
    /// times and attempts.
    pub(crate) fn is_quiet(&self, name: &str) -> bool {
        let id = self.id(name);
        let Some(node) = self.by_id(&id) else { return false };
        let waits = node.kind == NodeType::Pod && !node.phase.is_fulfilled();
        if !waits || !self.pods.contains_key(id.as_str()) || self.spec.template_defaults.is_some() {
            return false;
        }
        if node.template_ref.is_some() || !node.template_scope.starts_with("local/") {
            return false;
        }
        let found = self.spec.templates.iter().find(|template| template.name == node.template_name);
        self.spec.retry_strategy.is_none()
            && found.is_some_and(|template| {
                template.timeout.is_none()
                    && template.active_deadline_seconds.is_none()
                    && template.retry_strategy.is_none()
                    && (template.container.is_some() || template.script.is_some())
            })
    }

    /// The template of a steps or DAG node.
    pub(crate) fn boundary_template(&mut self, id: &str) -> Option<Arc<Template>> {
        let node = self.by_id(id)?.clone();
        let holder =
            Holder { template: node.template_name, template_ref: node.template_ref, ..Holder::default() };
        if holder.template.is_empty() && holder.template_ref.is_none() {
            return self.inline_template(id).map(Arc::new);
        }
        self.resolve(&holder, &node.template_scope).ok().map(|(template, _)| template)
    }

    /// The template written in place at the step or task that made a node.
    fn inline_template(&mut self, id: &str) -> Option<Template> {
        let node = self.by_id(id)?.clone();
        let parent = self.boundary_template(&node.boundary_id)?;
        let called = called_name(&node.name);
        let steps = parent.steps.iter().flatten().flat_map(|group| &group.0);
        let tasks = parent.dag.iter().flat_map(|dag| &dag.tasks).map(|task| &task.step);
        steps.chain(tasks).find(|step| step.name == called)?.inline.as_deref().cloned()
    }
}

/// The name of a template for a pod's name.
pub(crate) fn template_name<'a>(holder: &'a Holder, template: &'a Template) -> &'a str {
    match &holder.template_ref {
        Some(reference) => &reference.template,
        None if !holder.template.is_empty() => &holder.template,
        None => &template.name,
    }
}

/// The names of the steps or tasks whose standard output a template's text reads.
fn results_read(text: &str, kind: &str) -> HashSet<String> {
    const WANTED: &str = ".outputs.result";
    let mut found = HashSet::new();
    for (at, _) in text.match_indices(WANTED) {
        let before = &text[..at];
        let name = match before.chars().last() {
            Some(']') => {
                let inside = before.rfind('[').map_or("", |open| &before[open + 1..before.len() - 1]);
                inside.trim_matches(|c| matches!(c, '\'' | '"' | '\\'))
            }
            _ => before.rfind('.').map_or("", |dot| &before[dot + 1..]),
        };
        let start = before.len().saturating_sub(name.len() + kind.len() + 6);
        if before[before.ceil_char_boundary(start)..].contains(kind) {
            found.insert(name.to_owned());
        }
    }
    found
}

/// The step or task that made a node: its name without items, attempts and groups behind it.
pub(crate) fn called_name(node: &str) -> &str {
    let mut rest = node;
    loop {
        let open = match rest.chars().last() {
            Some(')') => '(',
            Some(']') => '[',
            _ => break,
        };
        match rest.rfind(open) {
            Some(at) => rest = &rest[..at],
            None => break,
        }
    }
    rest.rsplit('.').next().unwrap_or(rest)
}

/// A duration as Argo reads it: bare numbers are seconds.
pub(crate) fn duration_of(text: &str) -> Result<std::time::Duration, String> {
    galley_units::parse_duration(text)
        .map_err(|_| format!("unable to parse {text} as a duration: time: invalid duration \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_found_from_names() {
        assert_eq!(called_name("w.fanout1(0:1)(0)[0]"), "fanout1");
        assert_eq!(called_name("w[0].step"), "step");
        assert_eq!(called_name("w.each(0:a.b)"), "each");
    }

    #[test]
    fn read_results_are_found() {
        let text = r#"{{tasks.a-1.outputs.result}} {{=tasks['b'].outputs.result}} {{=tasks[\"c\"].outputs.result}} {{steps.d.outputs.result}}"#;
        let mut found: Vec<String> = results_read(text, "tasks").into_iter().collect();
        found.sort();
        assert_eq!(found, ["a-1", "b", "c"]);
    }
}
