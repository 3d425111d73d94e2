//! DAG templates: tasks that wait for others.

use std::collections::HashSet;

use galley_argo_workflows::{
    DagTask, NodeFlag, NodePhase, NodeStatus, NodeType, Step, Template, dependencies_of, depends_logic,
};
use galley_expr::{Env, eval_bool, when};
use serde_json::json;

use crate::graph::Graph;
use crate::items::{Expanded, expand};
use crate::run::{Halt, Holder, Opts, Run};
use crate::scope::Scope;
use crate::steps::replace_step;

impl Run<'_> {
    pub(crate) fn execute_dag(
        &mut self,
        name: &str,
        template: &Template,
        holder: &Holder,
        scope: &str,
        inner: &str,
        opts: &Opts,
    ) -> Result<(), Halt> {
        let Some(dag) = &template.dag else { return Ok(()) };
        if self.node(name).is_none() {
            self.init_executable(name, NodeType::Dag, scope, template, holder, opts, NodePhase::Running);
        }
        let graph = Graph::new(name, self.id(name), template, dag, inner, opts.on_exit);
        let result = self.run_dag(&graph);
        if self.is_fulfilled(name) {
            self.end_daemons(&graph.boundary);
        }
        result
    }

    fn run_dag(&mut self, graph: &Graph) -> Result<(), Halt> {
        let targets = graph.targets();
        let mut hooks_done = true;
        let mut visited = HashSet::new();
        for target in &targets {
            for task in self.order(graph, target, &mut visited) {
                self.run_task(graph, &task)?;
            }
            hooks_done &= self.run_target_hooks(graph, target)?;
        }
        let phase = self.dag_phase(graph, &targets, hooks_done);
        if !phase.is_fulfilled() {
            return Ok(());
        }
        let ends: Vec<String> = targets
            .iter()
            .filter_map(|target| self.node(&graph.node(target)).map(|node| node.id.clone()))
            .flat_map(|id| self.outbound(&id))
            .collect();
        if phase.is_bad() {
            self.set_ends(graph.name, ends);
            self.mark(graph.name, phase, None);
            return Ok(());
        }
        let mut names = Scope::of(graph.template);
        for task in &graph.dag.tasks {
            let Some(node) = self.node(&graph.node(&task.step.name)).cloned() else { continue };
            let prefix = format!("tasks.{}", task.step.name);
            if node.kind == NodeType::TaskGroup {
                let nodes = self.expanded(&graph.boundary, &node.name);
                self.add_expanded(&mut names, &prefix, &nodes)?;
            }
            self.add_node(&mut names, &prefix, &node);
            if let Some(outputs) = &node.outputs {
                self.add_global_outputs(outputs);
            }
        }
        if let Some(outputs) = self.outputs_from(graph.template, &names)? {
            self.add_global_outputs(&outputs);
            if let Some(node) = self.node_mut(graph.name) {
                node.outputs = Some(outputs);
            }
        }
        self.save_cache(graph.name);
        self.set_ends(graph.name, ends);
        self.mark(graph.name, NodePhase::Succeeded, None);
        Ok(())
    }

    fn set_ends(&mut self, name: &str, ends: Vec<String>) {
        if let Some(node) = self.node_mut(name) {
            node.outbound_nodes = ends;
        }
    }

    /// Hooks of targets: nobody waits for them but the DAG. False while the last hook of one is under way.
    fn run_target_hooks(&mut self, graph: &Graph, target: &str) -> Result<bool, Halt> {
        let name = graph.node(target);
        let (Some(node), Some(task)) = (self.node(&name).cloned(), graph.task(target)) else {
            return Ok(true);
        };
        let step = &task.step;
        if step.hooks.is_empty() && step.on_exit.is_none() {
            return Ok(true);
        }
        let mut names = self.task_scope(graph, task)?;
        let prefix = format!("tasks.{target}");
        names.add(format!("{prefix}.status"), node.phase.as_str());
        self.run_hooks(&step.hooks, &name, &prefix, &mut names, &graph.boundary, graph.inner)?;
        if !node.phase.is_completed() {
            return Ok(true);
        }
        self.run_exit_hook(
            step.exit_hook().as_ref(),
            &name,
            &prefix,
            &mut names,
            &graph.boundary,
            graph.inner,
        )
    }

    fn task_scope(&self, graph: &Graph, task: &DagTask) -> Result<Scope, Halt> {
        let mut names = Scope::of(graph.template);
        if let Some(outputs) = &self.status.outputs {
            names.add_outputs("workflow", outputs);
        }
        for ancestor in graph.mentioned(task) {
            let node = self.node(&graph.node(&ancestor));
            let node = node.ok_or_else(|| Halt::Wrong(format!("Ancestor task node {ancestor} not found")))?;
            let prefix = format!("tasks.{ancestor}");
            if node.kind == NodeType::TaskGroup {
                let nodes = self.expanded(&graph.boundary, &node.name);
                self.add_expanded(&mut names, &prefix, &nodes)?;
                names.add(format!("{prefix}.status"), node.phase.as_str());
            } else {
                self.add_node(&mut names, &prefix, node);
            }
        }
        Ok(names)
    }

    /// Carries out a task; all that it waits for has been looked at.
    fn run_task(&mut self, graph: &Graph, task_name: &str) -> Result<(), Halt> {
        let Some(task) = graph.task(task_name) else {
            return Err(Halt::Wrong(format!("target {task_name} does not exist")));
        };
        let name = graph.node(task_name);
        let prefix = format!("tasks.{task_name}");
        let hooks = !task.step.hooks.is_empty() || task.step.on_exit.is_some();
        if !hooks && (self.is_fulfilled(&name) || (!task.step.expands() && self.is_quiet(&name))) {
            return Ok(());
        }
        if let Some(node) = self.node(&name).cloned()
            && (node.phase.is_fulfilled() || node.phase == NodePhase::Running)
        {
            let mut names = self.task_scope(graph, task)?;
            names.add(format!("{prefix}.status"), node.phase.as_str());
            let done =
                self.run_hooks(&task.step.hooks, &name, &prefix, &mut names, &graph.boundary, graph.inner);
            match done {
                Ok(true) => {}
                Ok(false) if node.phase.is_fulfilled() => return Ok(()),
                Ok(false) => {}
                Err(Halt::Wrong(why)) => {
                    self.mark_error(&name, &why);
                    return Ok(());
                }
                Err(halt) => return Err(halt),
            }
            if node.phase.is_fulfilled() {
                if node.phase.is_completed() {
                    self.run_exit_hook(
                        task.step.exit_hook().as_ref(),
                        &name,
                        &prefix,
                        &mut names,
                        &graph.boundary,
                        graph.inner,
                    )?;
                }
                return Ok(());
            }
        }
        let dependencies: Vec<String> = dependencies_of(task).into_keys().collect();
        let holder = Holder::of(&task.step, "tasks");
        match self.decide(graph, task, &dependencies) {
            Ok(Some(true)) => {}
            Ok(Some(false)) => {
                self.connect(graph, &dependencies, &name);
                let why = "omitted: depends condition not met";
                self.init_skipped(&name, graph.inner, &holder, &graph.boundary, NodePhase::Omitted, why);
                return Ok(());
            }
            Ok(None) => return Ok(()),
            Err(why) => {
                self.connect(graph, &dependencies, &name);
                self.init_skipped(&name, graph.inner, &holder, &graph.boundary, NodePhase::Error, &why);
                return Ok(());
            }
        }
        let several = match self.resolve_task(graph, task) {
            Ok(several) => several,
            Err(why) => {
                if self.node(&name).is_none() {
                    self.connect(graph, &dependencies, &name);
                    self.init_skipped(&name, graph.inner, &holder, &graph.boundary, NodePhase::Error, &why);
                } else {
                    self.mark_error(&name, &why);
                }
                return Ok(());
            }
        };
        self.begin_task(graph, task, &dependencies, several)
    }

    /// Whether a task runs: yes, no, or not known yet.
    fn decide(&self, graph: &Graph, task: &DagTask, dependencies: &[String]) -> Result<Option<bool>, String> {
        if dependencies.is_empty() || self.node(&graph.node(&task.step.name)).is_some() {
            return Ok(Some(true));
        }
        let mut env = Env::new();
        for dependency in dependencies {
            let Some(node) = self.node(&graph.node(dependency)) else { return Ok(None) };
            if !node.is_fulfilled() || !self.hooks_fulfilled(node) {
                return Ok(None);
            }
            let children: Vec<NodePhase> = match node.kind {
                NodeType::TaskGroup => {
                    node.children.iter().filter_map(|id| self.by_id(id)).map(|child| child.phase).collect()
                }
                _ => Vec::new(),
            };
            env.insert(
                dependency.replace('-', "_"),
                json!({
                    "Succeeded": node.phase == NodePhase::Succeeded,
                    "Failed": node.phase == NodePhase::Failed,
                    "Errored": node.phase == NodePhase::Error,
                    "Skipped": node.phase == NodePhase::Skipped,
                    "Omitted": node.phase == NodePhase::Omitted,
                    "Daemoned": node.daemoned == Some(true) && node.phase != NodePhase::Pending,
                    "AnySucceeded": children.contains(&NodePhase::Succeeded),
                    "AllFailed": !children.is_empty() && children.iter().all(|phase| *phase == NodePhase::Failed),
                }),
            );
        }
        let logic = depends_logic(task, |name| graph.task(name)).replace('-', "_");
        eval_bool(&logic, &env)
            .map(Some)
            .map_err(|error| format!("unable to evaluate expression '{logic}': {error}"))
    }

    fn hooks_fulfilled(&self, node: &NodeStatus) -> bool {
        node.children
            .iter()
            .filter_map(|id| self.by_id(id))
            .filter(|child| child.node_flag.is_some_and(|flag| flag.hooked))
            .all(NodeStatus::is_fulfilled)
    }

    fn resolve_task(&self, graph: &Graph, task: &DagTask) -> Result<Vec<Expanded>, String> {
        let why = |halt: Halt| match halt {
            Halt::Wrong(why) => why,
            other => format!("{other:?}"),
        };
        let names = self.task_scope(graph, task).map_err(why)?;
        let mut all = self.globals.clone();
        all.extend(names.names.clone());
        let mut step = replace_step(&task.step, &all)?;
        let runs = match when(step.when.as_deref().unwrap_or_default()) {
            Ok(runs) => runs,
            Err(_) if step.expands() => true,
            Err(why) => return Err(why.to_string()),
        };
        if runs {
            step.arguments.artifacts = self.resolve_artifacts(&step, &names)?;
        }
        expand(&step, &all)
    }

    /// Attaches a node behind what its task waits for, or to the DAG or group itself.
    fn connect(&mut self, graph: &Graph, dependencies: &[String], name: &str) {
        if dependencies.is_empty() {
            self.add_child(graph.name, name);
            return;
        }
        for dependency in dependencies {
            let ends = self.outbound(&self.id(&graph.node(dependency)));
            self.add_child_to(&ends, name);
        }
    }

    fn begin_task(
        &mut self,
        graph: &Graph,
        task: &DagTask,
        dependencies: &[String],
        several: Vec<Expanded>,
    ) -> Result<(), Halt> {
        let group = graph.node(&task.step.name);
        let holder = Holder::of(&task.step, "tasks");
        let expands = task.step.expands();
        if expands && self.node(&group).is_none() {
            self.connect(graph, dependencies, &group);
            if several.is_empty() {
                self.init_skipped(
                    &group,
                    graph.inner,
                    &holder,
                    &graph.boundary,
                    NodePhase::Skipped,
                    "Skipped, empty params",
                );
                return Ok(());
            }
            let opts =
                Opts { boundary: graph.boundary.clone(), flag: Some(NodeFlag::default()), ..Opts::default() };
            self.init(&group, NodeType::TaskGroup, graph.inner, &holder, &opts, NodePhase::Running, "");
        }
        let mut all_begun = true;
        for one in &several {
            let name = graph.node(&one.name);
            let fresh = self.node(&name).is_none();
            if fresh {
                match when(one.step.when.as_deref().unwrap_or_default()) {
                    Ok(true) => {}
                    decision => {
                        self.attach(graph, dependencies, &group, &name, expands);
                        let (phase, why) = match decision {
                            Ok(_) => (
                                NodePhase::Skipped,
                                format!(
                                    "when '{}' evaluated false",
                                    one.step.when.as_deref().unwrap_or_default()
                                ),
                            ),
                            Err(why) => (NodePhase::Error, why.to_string()),
                        };
                        self.init_skipped(&name, graph.inner, &holder, &graph.boundary, phase, &why);
                        continue;
                    }
                }
            }
            self.carry_out_task(graph, &one.step, &name);
            if self.node(&name).is_none() {
                all_begun = false;
                continue;
            }
            if fresh {
                self.attach(graph, dependencies, &group, &name, expands);
            }
            self.run_own_exit_hook(graph, task, &name)?;
        }
        if expands && all_begun {
            self.judge_task_group(&group, graph, &several);
        }
        Ok(())
    }

    fn attach(&mut self, graph: &Graph, dependencies: &[String], group: &str, name: &str, expands: bool) {
        if expands {
            self.add_child(group, name);
        } else {
            self.connect(graph, dependencies, name);
        }
    }

    fn carry_out_task(&mut self, graph: &Graph, step: &Step, name: &str) {
        let holder = Holder::of(step, "tasks");
        let opts = Opts { boundary: graph.boundary.clone(), on_exit: graph.on_exit, ..Opts::default() };
        match self.execute(name, &holder, graph.inner, &step.arguments, &opts) {
            Ok(_) | Err(Halt::Busy) => {}
            Err(Halt::Depth) => {
                let _ = self.fail_or_init(name, graph.inner, &holder, &opts, "max recursion depth exceeded");
            }
            Err(Halt::Wrong(why)) => self.mark_error(name, &format!("task '{name}' errored: {why}")),
        }
    }

    /// A task may end within the step that began it; its last hook begins at once then.
    fn run_own_exit_hook(&mut self, graph: &Graph, task: &DagTask, name: &str) -> Result<(), Halt> {
        let Some(node) = self.node(name).cloned() else { return Ok(()) };
        if !node.phase.is_completed() || task.step.exit_hook().is_none() {
            return Ok(());
        }
        let mut names = self.task_scope(graph, task)?;
        let prefix = format!("tasks.{}", task.step.name);
        names.add(format!("{prefix}.status"), node.phase.as_str());
        self.run_exit_hook(
            task.step.exit_hook().as_ref(),
            name,
            &prefix,
            &mut names,
            &graph.boundary,
            graph.inner,
        )?;
        Ok(())
    }

    fn judge_task_group(&mut self, group: &str, graph: &Graph, several: &[Expanded]) {
        let mut phase = NodePhase::Succeeded;
        for one in several {
            match self.phase(&graph.node(&one.name)) {
                Some(own) if own.is_bad() => phase = own,
                Some(own) if own.is_fulfilled() => {}
                _ => return,
            }
        }
        self.mark(group, phase, None);
    }
}
