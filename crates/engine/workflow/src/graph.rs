//! A DAG under way: its tasks by name, their order, and the phase that their nodes make together.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use galley_argo_workflows::{
    Dag, DagTask, NodePhase, NodeStatus, NodeType, Template, dependencies_of, leaf_tasks,
};

use crate::run::Run;

/// A DAG under way.
pub(crate) struct Graph<'a> {
    pub(crate) name: &'a str,
    pub(crate) boundary: String,
    pub(crate) template: &'a Template,
    pub(crate) dag: &'a Dag,
    /// Where its templates are looked up.
    pub(crate) inner: &'a str,
    pub(crate) on_exit: bool,
    index: HashMap<&'a str, usize>,
}

impl<'a> Graph<'a> {
    pub(crate) fn new(
        name: &'a str,
        boundary: String,
        template: &'a Template,
        dag: &'a Dag,
        inner: &'a str,
        on_exit: bool,
    ) -> Self {
        let mut index = HashMap::with_capacity(dag.tasks.len());
        for (at, task) in dag.tasks.iter().enumerate() {
            index.entry(task.step.name.as_str()).or_insert(at);
        }
        Graph { name, boundary, template, dag, inner, on_exit, index }
    }

    pub(crate) fn node(&self, task: &str) -> String {
        format!("{}.{task}", self.name)
    }

    pub(crate) fn task(&self, name: &str) -> Option<&'a DagTask> {
        self.index.get(name).map(|at| &self.dag.tasks[*at])
    }

    /// All tasks before a task.
    pub(crate) fn ancestors(&self, name: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut met: HashSet<String> = HashSet::from([name.to_owned()]);
        let mut ahead = vec![name.to_owned()];
        while let Some(next) = ahead.pop() {
            for dependency in self.task(&next).into_iter().flat_map(|task| dependencies_of(task).into_keys())
            {
                if met.insert(dependency.clone()) {
                    found.push(dependency.clone());
                    ahead.push(dependency);
                }
            }
        }
        found
    }

    /// The ancestors that a task speaks of. An expression may speak of all of them.
    pub(crate) fn mentioned(&self, task: &DagTask) -> Vec<String> {
        let text = serde_json::to_string(&task.step).unwrap_or_default();
        if !text.contains("tasks") {
            return Vec::new();
        }
        if text.contains("{{=") || text.contains("xpression") || text.contains("tasks[") {
            return self.ancestors(&task.step.name);
        }
        let mut named: Vec<String> = text
            .split("tasks.")
            .skip(1)
            .filter_map(|rest| rest.split(['.', '}', ' ', '"']).next())
            .filter(|name| self.index.contains_key(name) && *name != task.step.name)
            .map(str::to_owned)
            .collect();
        named.sort();
        named.dedup();
        named
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        match self.dag.target.as_deref().filter(|target| !target.is_empty()) {
            Some(target) => target.split(' ').map(str::to_owned).collect(),
            None => leaf_tasks(self.dag),
        }
    }
}

impl Run<'_> {
    /// The tasks below a target that are looked at, each after all that it waits for. What has ended stands for
    /// everything before it. The list replaces a recursion that long chains would make too deep.
    pub(crate) fn order(&self, graph: &Graph, target: &str, visited: &mut HashSet<String>) -> Vec<String> {
        let mut order = Vec::new();
        let mut ahead: Vec<(String, bool)> = vec![(target.to_owned(), false)];
        while let Some((name, opened)) = ahead.pop() {
            if opened {
                order.push(name);
                continue;
            }
            if !visited.insert(name.clone()) {
                continue;
            }
            let ended = self.is_fulfilled(&graph.node(&name));
            let waits = graph.task(&name).filter(|_| !ended).map(dependencies_of).unwrap_or_default();
            ahead.push((name, true));
            ahead.extend(waits.into_keys().rev().map(|name| (name, false)));
        }
        order
    }

    /// The phase of the DAG as a whole. A task that was left out takes the phase of the branch it stands on.
    pub(crate) fn dag_phase(&self, graph: &Graph, targets: &[String], hooks_done: bool) -> NodePhase {
        if self.shutdown().is_some() && !self.may_begin(graph.on_exit) && hooks_done {
            return NodePhase::Failed;
        }
        let mut phases: BTreeMap<String, Option<NodePhase>> =
            targets.iter().map(|target| (self.id(&graph.node(target)), None)).collect();
        let Some(root) = self.by_id(&graph.boundary) else { return NodePhase::Running };
        let mut ahead: VecDeque<(String, NodePhase)> =
            root.children.iter().map(|child| (child.clone(), NodePhase::Succeeded)).collect();
        let mut met: HashSet<(String, NodePhase)> = ahead.iter().cloned().collect();
        while let Some((id, branch)) = ahead.pop_front() {
            let Some(node) = self.by_id(&id) else { return NodePhase::Running };
            if !node.is_fulfilled() {
                return NodePhase::Running;
            }
            let branch = if node.phase.is_completed() { node.phase } else { branch };
            if let Some(known) = phases.get_mut(&id)
                && !known.is_some_and(NodePhase::is_bad)
            {
                *known = Some(branch);
            }
            for child in self.below(node) {
                if met.insert((child.clone(), branch)) {
                    ahead.push_back((child, branch));
                }
            }
        }
        let fail_fast = graph.dag.fail_fast.unwrap_or(true);
        let mut result = NodePhase::Succeeded;
        for target in targets {
            match phases.get(&self.id(&graph.node(target))).copied().flatten() {
                None => {
                    result = NodePhase::Running;
                    if !fail_fast {
                        break;
                    }
                }
                Some(phase) if phase.is_bad() => {
                    let on = graph.task(target).and_then(|task| task.step.continue_on).unwrap_or_default();
                    if (phase == NodePhase::Failed && on.failed) || (phase == NodePhase::Error && on.error) {
                        continue;
                    }
                    result = phase;
                    if fail_fast {
                        break;
                    }
                }
                Some(_) => {}
            }
        }
        result
    }

    /// What comes after a node; of a retry only its last attempt, and its hooks.
    fn below(&self, node: &NodeStatus) -> Vec<String> {
        if node.kind != NodeType::Retry {
            return node.children.clone();
        }
        let is_attempt = |id: &String| {
            self.by_id(id).is_some_and(|child| child.node_flag.is_some_and(|flag| flag.retried))
        };
        let last = node.children.iter().rev().find(|id| is_attempt(id)).cloned();
        last.into_iter().chain(node.children.iter().filter(|id| !is_attempt(id)).cloned()).collect()
    }
}
