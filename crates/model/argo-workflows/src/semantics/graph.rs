//! The rules of graphs: tasks, what they wait for, and what they may read.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use crate::dag::{Dependency, dependencies_of, unknown_results};
use crate::scope::Scope;
use crate::template::{Dag, DagTask, Template};

use super::{Checker, Wrong, known, names, one_way_to_expand, wrong};

impl<'a> Checker<'a> {
    pub(super) fn dag(
        &self,
        template: &Template,
        dag: &'a Dag,
        scope: &mut Scope,
        pointer: &str,
    ) -> Result<(), Wrong> {
        let name = &template.name;
        let place = |index: usize| format!("{pointer}/dag/tasks/{index}");
        if dag.tasks.is_empty() {
            return Err(wrong(
                format!("templates.{name} must have at least one task"),
                format!("{pointer}/dag"),
            ));
        }
        sorted(dag).map_err(|(what, index)| {
            wrong(format!("templates.{name} sorting failed: {what}"), place(index))
        })?;
        names(dag.tasks.iter().map(|task| task.step.name.as_str()), &format!("{pointer}/dag/tasks"))
            .map_err(|error| error.within(&format!("templates.{name}.tasks")))?;
        let uses_depends = dag.tasks.iter().any(|task| task.depends.is_some());
        let mut targets = Vec::new();
        for (index, task) in dag.tasks.iter().enumerate() {
            let at = |what: String| wrong(what, place(index));
            let full = format!("templates.{name}.tasks.{}", task.step.name);
            if (uses_depends || !task.dependencies.is_empty())
                && task.step.name.starts_with(|c: char| c.is_ascii_digit())
            {
                return Err(at(format!(
                    "{full} name cannot begin with a digit when using either 'depends' or 'dependencies'"
                )));
            }
            if uses_depends && !task.dependencies.is_empty() {
                return Err(at(format!(
                    "templates.{name} cannot use both 'depends' and 'dependencies' in the same DAG template"
                )));
            }
            if uses_depends && task.step.continue_on.is_some() {
                return Err(at(format!(
                    "templates.{name} cannot use 'continueOn' when using 'depends'. Instead use 'dep-task.Failed'/'dep-task.Errored'"
                )));
            }
            let found = self
                .target(&task.step, scope, &place(index))
                .map_err(|error| error.within(&format!("{full} ")))?;
            targets.push(known(&found));
            if let Some((of, result)) = unknown_results(task) {
                return Err(at(format!("{full} task result '{result}' for task '{of}' is invalid")));
            }
            for (dependency, kind) in dependencies_of(task) {
                let expands =
                    || dag.tasks.iter().any(|task| task.step.name == dependency && task.step.expands());
                if kind == Dependency::Items && !expands() {
                    return Err(at(format!(
                        "templates.{name}.tasks.{dependency} dependency '{dependency}' uses an items-based condition such as .AnySucceeded or .AllFailed but does not contain any items"
                    )));
                }
            }
        }
        self.dag_targets(name, dag, scope, pointer)?;
        for (task, target) in dag.tasks.iter().zip(&targets) {
            scope.add_outputs(&format!("tasks.{}", task.step.name), *target, task.step.expands());
        }
        let by_name: HashMap<&str, &DagTask> =
            dag.tasks.iter().map(|task| (task.step.name.as_str(), task)).collect();
        for (index, task) in dag.tasks.iter().enumerate() {
            self.task_references(name, &by_name, task, scope, &place(index))?;
            let full = format!("templates.{name}.tasks.{}", task.step.name);
            self.supply(targets[index], &task.step, &full, &place(index))?;
            self.hooks(task.step.hooks.iter(), &full, &place(index))?;
        }
        Ok(())
    }

    fn dag_targets(&self, name: &str, dag: &Dag, scope: &Scope, pointer: &str) -> Result<(), Wrong> {
        let Some(target) = dag.target.as_deref().filter(|target| !target.is_empty()) else { return Ok(()) };
        let place = format!("{pointer}/dag/target");
        if let Some(tag) = scope.unknown_in(&target) {
            return Err(wrong(format!("templates.{name}.targets failed to resolve {{{{{tag}}}}}"), place));
        }
        for target in target.split(' ').filter(|target| !target.starts_with("{{")) {
            if !dag.tasks.iter().any(|task| task.step.name == target) {
                return Err(wrong(
                    format!("templates.{name}.targets: target '{target}' is not defined"),
                    place,
                ));
            }
        }
        Ok(())
    }

    fn task_references(
        &self,
        name: &str,
        tasks: &HashMap<&str, &DagTask>,
        task: &DagTask,
        scope: &Scope,
        pointer: &str,
    ) -> Result<(), Wrong> {
        let full = format!("templates.{name}.tasks.{}", task.step.name);
        let at = |what: String| wrong(format!("{full} {what}"), pointer);
        let direct = dependencies_of(task);
        let all: OnceCell<HashSet<String>> = OnceCell::new();
        let is_ancestor = |other: &str| {
            direct.contains_key(other)
                || all.get_or_init(|| ancestors(tasks, &task.step.name)).contains(other)
        };
        let mut inner = Scope::default();
        inner.add(format!("tasks.{}.status", task.step.name));
        inner.add_items(&task.step);
        if let Some(inline) = &task.step.inline {
            inner.add_own(inline);
        }
        one_way_to_expand(&task.step).map_err(|what| at(what.to_owned()))?;
        let is_status = |tag: &str| {
            let other = tag.strip_prefix("tasks.").and_then(|rest| rest.strip_suffix(".status"));
            other.is_some_and(is_ancestor)
        };
        if let Some(tag) = scope.unknown_in_but(task, &|tag| inner.knows(tag) || is_status(tag.trim())) {
            return Err(at(format!("failed to resolve {{{{{tag}}}}}")));
        }
        self.arguments(
            &format!("{full}.arguments."),
            &task.step.arguments,
            &format!("{pointer}/arguments"),
            false,
        )?;
        let missing = |text: &str| {
            let rest = text.strip_prefix("{{tasks.")?;
            let other = rest.split('.').next()?;
            (!is_ancestor(other)).then(|| other.to_owned())
        };
        for parameter in &task.step.arguments.parameters {
            if let Some(other) = parameter.value.as_ref().and_then(|value| missing(value.as_str())) {
                return Err(at(format!("missing dependency '{other}' for parameter '{}'", parameter.name)));
            }
        }
        for artifact in &task.step.arguments.artifacts {
            if let Some(other) = artifact.from.as_deref().and_then(missing) {
                return Err(at(format!("missing dependency '{other}' for artifact '{}'", artifact.name)));
            }
        }
        Ok(())
    }
}

/// The order of tasks must exist: no name twice, no unknown name, no circle.
fn sorted(dag: &Dag) -> Result<(), (String, usize)> {
    let mut position: HashMap<&str, usize> = HashMap::with_capacity(dag.tasks.len());
    for (index, task) in dag.tasks.iter().enumerate() {
        if position.insert(&task.step.name, index).is_some() {
            return Err((format!("duplicated nodeName {}", task.step.name), index));
        }
    }
    let mut waits: Vec<usize> = Vec::with_capacity(dag.tasks.len());
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); dag.tasks.len()];
    for (index, task) in dag.tasks.iter().enumerate() {
        let dependencies = dependencies_of(task);
        for name in dependencies.keys() {
            match position.get(name.as_str()) {
                Some(at) => after[*at].push(index),
                None => return Err((format!("invalid dependency {name}"), index)),
            }
        }
        waits.push(dependencies.len());
    }
    let mut ready: Vec<usize> = (0..dag.tasks.len()).filter(|at| waits[*at] == 0).collect();
    let mut done = 0;
    while let Some(at) = ready.pop() {
        done += 1;
        for index in &after[at] {
            waits[*index] -= 1;
            if waits[*index] == 0 {
                ready.push(*index);
            }
        }
    }
    match waits.iter().position(|count| *count > 0) {
        Some(index) if done < dag.tasks.len() => Err(("graph with cycle".to_owned(), index)),
        _ => Ok(()),
    }
}

/// All tasks before a task, nearest last.
fn ancestors(tasks: &HashMap<&str, &DagTask>, name: &str) -> HashSet<String> {
    let mut found: HashSet<String> = HashSet::new();
    let mut ahead = vec![name.to_owned()];
    while let Some(name) = ahead.pop() {
        let Some(task) = tasks.get(name.as_str()) else { continue };
        for dependency in dependencies_of(task).into_keys() {
            if found.insert(dependency.clone()) {
                ahead.push(dependency);
            }
        }
    }
    found
}
