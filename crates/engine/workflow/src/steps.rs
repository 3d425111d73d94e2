//! Steps templates: groups one after another, the steps of a group side by side.

use std::collections::BTreeMap;

use galley_argo_workflows::{NodeFlag, NodePhase, NodeType, Step, Template};
use galley_expr::{Mode, substitute, when};

use crate::items::expand;
use crate::run::{Halt, Holder, Opts, Run};
use crate::scope::Scope;

impl Holder {
    pub(crate) fn of(step: &Step, kind: &'static str) -> Holder {
        Holder {
            template: step.template.clone().unwrap_or_default(),
            template_ref: step.template_ref.clone(),
            inline: step.inline.clone(),
            called: Some((kind, step.name.clone())),
        }
    }
}

impl Run<'_> {
    pub(crate) fn execute_steps(
        &mut self,
        name: &str,
        template: &Template,
        holder: &Holder,
        scope: &str,
        inner: &str,
        opts: &Opts,
    ) -> Result<(), Halt> {
        if self.node(name).is_none() {
            self.init_executable(name, NodeType::Steps, scope, template, holder, opts, NodePhase::Running);
        }
        let result = self.run_groups(name, template, inner, opts);
        if self.is_fulfilled(name) {
            self.end_daemons(&self.id(name));
        }
        result
    }

    fn run_groups(&mut self, name: &str, template: &Template, inner: &str, opts: &Opts) -> Result<(), Halt> {
        let boundary = self.id(name);
        let mut names = Scope::of(template);
        if let Some(outputs) = self.status.outputs.clone() {
            names.add_outputs("workflow", &outputs);
        }
        let groups = template.steps.as_deref().unwrap_or_default();
        for (index, group) in groups.iter().enumerate() {
            let group_name = format!("{name}[{index}]");
            self.begin_group(name, &group_name, index, &boundary, inner);
            if !self.run_group(&group_name, &group.0, &mut names, &boundary, inner, opts)? {
                return Ok(());
            }
            let phase = self.phase(&group_name).unwrap_or_default();
            if phase.is_bad() {
                let message = self.node(&group_name).map(|node| node.message.clone()).unwrap_or_default();
                self.set_outbound(name, groups.len());
                self.mark(name, NodePhase::Failed, Some(&message));
                return Ok(());
            }
            for step in &group.0 {
                self.add_step(&mut names, &group_name, step, &boundary)?;
            }
        }
        self.set_outbound(name, groups.len());
        if let Some(outputs) = self.outputs_from(template, &names)? {
            self.add_global_outputs(&outputs);
            if let Some(node) = self.node_mut(name) {
                node.outputs = Some(outputs);
            }
        }
        self.save_cache(name);
        self.mark(name, NodePhase::Succeeded, None);
        Ok(())
    }

    fn begin_group(&mut self, name: &str, group: &str, index: usize, boundary: &str, inner: &str) {
        if self.node(group).is_none() {
            let opts =
                Opts { boundary: boundary.to_owned(), flag: Some(NodeFlag::default()), ..Opts::default() };
            self.init(group, NodeType::StepGroup, inner, &Holder::default(), &opts, NodePhase::Running, "");
        }
        if index == 0 {
            self.add_child(name, group);
            return;
        }
        let before = format!("{name}[{}]", index - 1);
        let children = self.node(&before).map(|node| node.children.clone()).unwrap_or_default();
        if children.is_empty() {
            self.add_child(&before, group);
        }
        for child in children {
            let ends = self.outbound(&child);
            self.add_child_to(&ends, group);
        }
    }

    fn set_outbound(&mut self, name: &str, groups: usize) {
        let last = (0..groups)
            .rev()
            .map(|index| format!("{name}[{index}]"))
            .find(|group| self.node(group).is_some());
        let children =
            last.and_then(|group| self.node(&group).map(|node| node.children.clone())).unwrap_or_default();
        let ends = children.iter().flat_map(|child| self.outbound(child)).collect();
        if let Some(node) = self.node_mut(name) {
            node.outbound_nodes = ends;
        }
    }

    fn add_step(&self, names: &mut Scope, group: &str, step: &Step, boundary: &str) -> Result<(), Halt> {
        let prefix = format!("steps.{}", step.name);
        let child = format!("{group}.{}", step.name);
        match self.node(&child) {
            Some(node) => self.add_node(names, &prefix, node),
            None => {
                let mut nodes = self.expanded(boundary, &child);
                nodes.retain(|node| node.kind != NodeType::Skipped);
                self.add_expanded(names, &prefix, &nodes)?;
            }
        }
        Ok(())
    }

    /// Carries out a group. True when it has ended.
    fn run_group(
        &mut self,
        group: &str,
        steps: &[Step],
        names: &mut Scope,
        boundary: &str,
        inner: &str,
        opts: &Opts,
    ) -> Result<bool, Halt> {
        if self.is_fulfilled(group) && self.all_fulfilled(&self.id(group)) {
            return Ok(true);
        }
        let mut all: BTreeMap<String, String> = self.globals.clone();
        all.extend(names.names.clone());
        let mut expanded = Vec::new();
        for step in steps {
            let resolved = match self.resolve_step(step, names, &all) {
                Ok(resolved) => resolved,
                Err(why) => {
                    self.mark_error(group, &format!("failed to resolve references: {why}"));
                    return Ok(true);
                }
            };
            let several = match expand(&resolved, &all) {
                Ok(several) => several,
                Err(why) => {
                    self.mark_error(group, &why);
                    return Ok(true);
                }
            };
            let child = format!("{group}.{}", step.name);
            if several.is_empty() && self.node(&child).is_none() {
                let holder = Holder::of(step, "steps");
                self.init_skipped(
                    &child,
                    inner,
                    &holder,
                    boundary,
                    NodePhase::Skipped,
                    "Skipped, empty params",
                );
                self.add_child(group, &child);
            }
            expanded.extend(several);
        }
        let mut begun: BTreeMap<String, Step> = BTreeMap::new();
        let mut held_back = false;
        for one in expanded {
            let child = format!("{group}.{}", one.name);
            let holder = Holder::of(&one.step, "steps");
            match when(one.step.when.as_deref().unwrap_or_default()) {
                Err(why) => {
                    if self.node(&child).is_none() {
                        self.init_skipped(
                            &child,
                            inner,
                            &holder,
                            boundary,
                            NodePhase::Error,
                            &why.to_string(),
                        );
                    }
                    self.add_child(group, &child);
                    self.mark_error(group, &why.to_string());
                    return Ok(true);
                }
                Ok(false) => {
                    if self.node(&child).is_none() {
                        let why = format!(
                            "when '{}' evaluated false",
                            one.step.when.as_deref().unwrap_or_default()
                        );
                        self.init_skipped(&child, inner, &holder, boundary, NodePhase::Skipped, &why);
                        self.add_child(group, &child);
                    }
                    continue;
                }
                Ok(true) => {}
            }
            let child_opts = Opts { boundary: boundary.to_owned(), on_exit: opts.on_exit, ..Opts::default() };
            match self.execute(&child, &holder, inner, &one.step.arguments, &child_opts) {
                Ok(_) => {}
                Err(Halt::Busy) => held_back |= self.node(&child).is_none(),
                Err(Halt::Depth) => {
                    self.add_child(group, &child);
                    self.mark_error(group, "max recursion depth exceeded");
                    return Ok(true);
                }
                Err(Halt::Wrong(why)) => {
                    self.add_child(group, &child);
                    self.mark_error(
                        group,
                        &format!("step group deemed errored due to child {child} error: {why}"),
                    );
                    return Ok(true);
                }
            }
            if self.node(&child).is_some() {
                self.add_child(group, &child);
                begun.insert(child, one.step);
            }
        }
        Ok(self.judge_group(group, &begun, names, boundary, inner, !held_back)? && self.is_fulfilled(group))
    }

    fn judge_group(
        &mut self,
        group: &str,
        begun: &BTreeMap<String, Step>,
        names: &mut Scope,
        boundary: &str,
        inner: &str,
        all_begun: bool,
    ) -> Result<bool, Halt> {
        let children = self.node(group).map(|node| node.children.clone()).unwrap_or_default();
        // A step that a limit holds back is still to come.
        let mut complete = all_begun;
        for id in &children {
            let Some(child) = self.by_id(id).cloned() else { continue };
            let step = begun.get(&child.name).cloned().unwrap_or_default();
            names.add(format!("steps.{}.status", child.display_name), child.phase.as_str());
            let prefix = format!("steps.{}", step.name);
            if !self.run_hooks(&step.hooks, &child.name, &prefix, names, boundary, inner)? {
                complete = false;
                continue;
            }
            if !child.is_fulfilled() {
                complete = false;
                continue;
            }
            let exit = step.exit_hook();
            if child.phase.is_completed() {
                complete &=
                    self.run_exit_hook(exit.as_ref(), &child.name, &prefix, names, boundary, inner)?;
            }
        }
        if !complete {
            return Ok(false);
        }
        for id in &children {
            let Some(child) = self.by_id(id) else { continue };
            let on = begun.get(&child.name).and_then(|step| step.continue_on).unwrap_or_default();
            let passes = (child.phase == NodePhase::Failed && on.failed)
                || (child.phase == NodePhase::Error && on.error);
            if child.phase.is_bad() && !passes {
                self.mark(group, NodePhase::Failed, Some(&format!("child '{id}' failed")));
                return Ok(true);
            }
        }
        self.mark(group, NodePhase::Succeeded, None);
        Ok(true)
    }

    fn resolve_step(
        &mut self,
        step: &Step,
        names: &Scope,
        all: &BTreeMap<String, String>,
    ) -> Result<Step, String> {
        let mut resolved = replace_step(step, all)?;
        let runs = match when(resolved.when.as_deref().unwrap_or_default()) {
            Ok(runs) => runs,
            Err(_) if resolved.expands() => true,
            Err(why) => return Err(why.to_string()),
        };
        if runs {
            resolved.arguments.artifacts = self.resolve_artifacts(&resolved, names)?;
        }
        Ok(resolved)
    }

    /// The artifacts a step hands over, with their locations.
    pub(crate) fn resolve_artifacts(
        &self,
        step: &Step,
        names: &Scope,
    ) -> Result<Vec<galley_argo_workflows::Artifact>, String> {
        let mut found = Vec::new();
        for artifact in &step.arguments.artifacts {
            if artifact.from.is_none() && artifact.from_expression.is_none() {
                found.push(artifact.clone());
                continue;
            }
            match names.artifact(artifact, &self.globals) {
                Ok(resolved) => found.push(resolved),
                Err(_) if artifact.optional => {}
                Err(why) => return Err(format!("unable to resolve references: {why}")),
            }
        }
        Ok(found)
    }
}

/// A step with references to others replaced; its hooks wait until it has ended.
pub(crate) fn replace_step(step: &Step, all: &BTreeMap<String, String>) -> Result<Step, String> {
    let mut bare = step.clone();
    let hooks = std::mem::take(&mut bare.hooks);
    let value = serde_json::to_value(&bare).map_err(|error| error.to_string())?;
    let value = substitute(&value, all, Mode::Outputs).map_err(|error| error.to_string())?;
    let mut resolved: Step = serde_json::from_value(value).map_err(|error| error.to_string())?;
    resolved.hooks = hooks;
    Ok(resolved)
}
