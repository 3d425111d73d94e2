//! The tree of nodes during one step, and how it is changed.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use galley_argo_workflows::{
    Meta, NodeFlag, NodePhase, NodeStatus, NodeType, Template, TemplateRef, WorkflowSpec, WorkflowStatus,
};
use jiff::Timestamp;

use crate::action::Action;
use crate::seen::{Observations, PodSeen, Templates};

/// Why a template was not carried out now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// A limit of parallelism is reached; later.
    Busy,
    /// Too deep a recursion.
    Depth,
    /// It cannot be carried out.
    Wrong(String),
}

impl From<String> for Halt {
    fn from(what: String) -> Self {
        Halt::Wrong(what)
    }
}

/// What refers to a template: a step, a task, a hook or the workflow itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holder {
    pub(crate) template: String,
    pub(crate) template_ref: Option<TemplateRef>,
    pub(crate) inline: Option<Box<Template>>,
    /// `steps` or `tasks` and the name, for `{{steps.name}}` and `{{tasks.name}}`.
    pub(crate) called: Option<(&'static str, String)>,
}

/// How a template is carried out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opts {
    pub(crate) boundary: String,
    pub(crate) on_exit: bool,
    pub(crate) flag: Option<NodeFlag>,
    /// The end of all attempts of a retry.
    pub(crate) deadline: Option<Timestamp>,
}

/// What children need to know of the template they are in.
#[derive(Debug, Default)]
pub(crate) struct ParentFacts {
    pub(crate) parallelism: Option<i64>,
    pub(crate) fail_fast: bool,
    /// Steps or tasks whose standard output is read.
    pub(crate) results: HashSet<String>,
}

/// From this many on, the children of a node are looked up in a set.
const MANY: usize = 64;

/// What was found out about templates; good as long as the spec is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Templates by scope and name, defaults filled in.
    pub(crate) templates: HashMap<String, Arc<Template>>,
    /// Whether they hold no tags.
    pub(crate) plain: HashMap<String, bool>,
}

/// One step of the machine.
pub(crate) struct Run<'a> {
    pub(crate) meta: &'a Meta,
    pub(crate) spec: Cow<'a, WorkflowSpec>,
    pub(crate) status: WorkflowStatus,
    pub(crate) globals: BTreeMap<String, String>,
    pub(crate) now: Timestamp,
    pub(crate) seen: &'a Observations,
    pub(crate) pods: HashMap<&'a str, &'a PodSeen>,
    pub(crate) templates: &'a Templates,
    pub(crate) actions: Vec<Action>,
    pub(crate) wake: Option<Timestamp>,
    pub(crate) depth: usize,
    pub(crate) known: Known,
    /// Children of nodes that have many, by node id.
    pub(crate) families: HashMap<String, HashSet<String>>,
    /// How often a node was changed in this step.
    pub(crate) changes: u64,
    /// Counts of nodes, each with the number of changes at which it was right.
    pub(crate) counts: RefCell<HashMap<(String, u8), (u64, usize)>>,
    /// By node id.
    pub(crate) parents: HashMap<String, Rc<ParentFacts>>,
    pub(crate) deadline: Option<Timestamp>,
}

/// The id of a node.
pub fn node_id(workflow: &str, node: &str) -> String {
    if node == workflow {
        workflow.to_owned()
    } else {
        format!("{workflow}-{}", galley_units::fnv1a_32(node))
    }
}

impl Run<'_> {
    /// The id of a node, made or not. In a run of a hundred thousand nodes two names may have the same hash; the one
    /// that comes second gets another id, where Argo would take it for the first.
    pub(crate) fn id(&self, name: &str) -> String {
        let mut id = node_id(&self.meta.name, name);
        let first = id.len();
        let mut tries = 0;
        while self.status.nodes.get(&id).is_some_and(|node| node.name != name) {
            tries += 1;
            id.truncate(first);
            id.push_str(&format!("-{tries}"));
        }
        id
    }

    pub(crate) fn node(&self, name: &str) -> Option<&NodeStatus> {
        self.status.nodes.get(&self.id(name))
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<&NodeStatus> {
        self.status.nodes.get(id)
    }

    pub(crate) fn node_mut(&mut self, name: &str) -> Option<&mut NodeStatus> {
        let id = self.id(name);
        self.changes += 1;
        self.status.nodes.get_mut(&id)
    }

    pub(crate) fn phase(&self, name: &str) -> Option<NodePhase> {
        self.node(name).map(|node| node.phase)
    }

    pub(crate) fn is_fulfilled(&self, name: &str) -> bool {
        self.phase(name).is_some_and(NodePhase::is_fulfilled)
    }

    /// The local scope, in which the workflow's own templates are found.
    pub(crate) fn local_scope(&self) -> String {
        format!("local/{}", self.meta.name)
    }

    /// Makes a node.
    #[allow(clippy::too_many_arguments, reason = "the facts of a node")]
    pub(crate) fn init(
        &mut self,
        name: &str,
        kind: NodeType,
        scope: &str,
        holder: &Holder,
        opts: &Opts,
        phase: NodePhase,
        message: &str,
    ) {
        let display_name = match self.by_id(&opts.boundary) {
            Some(boundary) => {
                display_name(name.strip_prefix(boundary.name.as_str()).unwrap_or(name)).to_owned()
            }
            None => name.to_owned(),
        };
        let node = NodeStatus {
            id: self.id(name),
            name: name.to_owned(),
            display_name,
            kind,
            template_name: holder.template.clone(),
            template_ref: holder.template_ref.clone(),
            template_scope: scope.to_owned(),
            phase,
            boundary_id: opts.boundary.clone(),
            message: message.to_owned(),
            started_at: Some(self.now),
            finished_at: phase.is_fulfilled().then_some(self.now),
            node_flag: opts.flag,
            ..NodeStatus::default()
        };
        self.changes += 1;
        self.status.nodes.insert(node.id.clone(), node);
    }

    /// Makes a node of a template, with the template's inputs.
    #[allow(clippy::too_many_arguments, reason = "the facts of a node")]
    pub(crate) fn init_executable(
        &mut self,
        name: &str,
        kind: NodeType,
        scope: &str,
        template: &Template,
        holder: &Holder,
        opts: &Opts,
        phase: NodePhase,
    ) {
        self.init(name, kind, scope, holder, opts, phase, "");
        if let Some(node) = self.node_mut(name)
            && !template.inputs.is_empty()
        {
            node.inputs = Some(template.inputs.clone());
        }
    }

    /// Makes a node that did not run.
    pub(crate) fn init_skipped(
        &mut self,
        name: &str,
        scope: &str,
        holder: &Holder,
        boundary: &str,
        phase: NodePhase,
        message: &str,
    ) {
        let opts = Opts { boundary: boundary.to_owned(), flag: Some(NodeFlag::default()), ..Opts::default() };
        self.init(name, NodeType::Skipped, scope, holder, &opts, phase, message);
    }

    pub(crate) fn mark(&mut self, name: &str, phase: NodePhase, message: Option<&str>) {
        let now = self.now;
        if let Some(node) = self.node_mut(name) {
            node.phase = phase;
            if let Some(message) = message {
                node.message = message.to_owned();
            }
            if phase.is_fulfilled() && node.finished_at.is_none() {
                node.finished_at = Some(now);
            }
        }
    }

    pub(crate) fn mark_error(&mut self, name: &str, message: &str) {
        self.mark(name, NodePhase::Error, Some(message));
    }

    /// Marks a node as an error, making it if need be.
    pub(crate) fn fail_or_init(
        &mut self,
        name: &str,
        scope: &str,
        holder: &Holder,
        opts: &Opts,
        message: &str,
    ) -> Halt {
        if self.node(name).is_some() {
            self.mark_error(name, message);
        } else {
            self.init(name, NodeType::Skipped, scope, holder, opts, NodePhase::Error, message);
        }
        Halt::Wrong(message.to_owned())
    }

    pub(crate) fn add_child(&mut self, parent: &str, child: &str) {
        let id = self.id(child);
        let parent = self.id(parent);
        self.attach_child(&parent, id);
    }

    /// Long lists of children are looked up in a set.
    fn attach_child(&mut self, parent: &str, child: String) {
        self.changes += 1;
        let Some(node) = self.status.nodes.get_mut(parent) else { return };
        if node.children.len() < MANY {
            if !node.children.contains(&child) {
                node.children.push(child);
            }
            return;
        }
        let set = match self.families.get_mut(parent) {
            Some(set) if set.len() == node.children.len() => set,
            _ => {
                let set = node.children.iter().cloned().collect();
                self.families.insert(parent.to_owned(), set);
                let Some(set) = self.families.get_mut(parent) else { return };
                set
            }
        };
        if set.insert(child.clone()) {
            node.children.push(child);
        }
    }

    /// Adds `child` to each of these nodes.
    pub(crate) fn add_child_to(&mut self, parents: &[String], child: &str) {
        let id = self.id(child);
        for parent in parents {
            self.attach_child(parent, id.clone());
        }
    }

    /// The nodes at the end of a node: where what comes after it is attached.
    pub(crate) fn outbound(&self, id: &str) -> Vec<String> {
        let Some(node) = self.by_id(id) else { return Vec::new() };
        let through = |ids: &[String]| ids.iter().flat_map(|id| self.outbound(id)).collect::<Vec<_>>();
        match node.kind {
            NodeType::Skipped | NodeType::Suspend | NodeType::Http | NodeType::Plugin => {
                vec![node.id.clone()]
            }
            NodeType::Pod | NodeType::Container => {
                // Containers of a set come after their pod and after each other.
                let set = if node.kind == NodeType::Pod { &node.id } else { &node.boundary_id };
                let inside = node.children.iter().filter(|child| {
                    self.by_id(child)
                        .is_some_and(|child| child.kind == NodeType::Container && child.boundary_id == *set)
                });
                let inside: Vec<String> = inside.cloned().collect();
                if inside.is_empty() { vec![node.id.clone()] } else { through(&inside) }
            }
            NodeType::TaskGroup if node.children.is_empty() => vec![node.id.clone()],
            NodeType::TaskGroup => through(&node.children),
            NodeType::Retry => node.children.last().cloned().into_iter().collect(),
            NodeType::Steps | NodeType::Dag
                if node.memoization_status.as_ref().is_some_and(|status| status.hit) =>
            {
                vec![node.id.clone()]
            }
            _ => through(&node.outbound_nodes),
        }
    }

    /// Whether a node and all below it have ended.
    pub(crate) fn all_fulfilled(&self, id: &str) -> bool {
        let mut seen = std::collections::HashSet::new();
        let mut ahead = vec![id];
        while let Some(id) = ahead.pop() {
            let Some(node) = self.by_id(id) else { continue };
            if !seen.insert(id) {
                continue;
            }
            if node.children.is_empty() {
                if !node.is_fulfilled() {
                    return false;
                }
            } else {
                ahead.extend(node.children.iter().map(String::as_str));
            }
        }
        true
    }

    /// Whether a node is (part of) a hook that runs at an end.
    pub(crate) fn in_exit_handler(&self, node: &NodeStatus) -> bool {
        let mut at = Some(node);
        while let Some(node) = at {
            if node.node_flag.is_some_and(|flag| flag.hooked) || node.name.ends_with(".onExit") {
                return true;
            }
            at = if node.boundary_id.is_empty() { None } else { self.by_id(&node.boundary_id) };
        }
        false
    }

    /// The shutdown that was asked for: `Terminate` or `Stop`.
    pub(crate) fn shutdown(&self) -> Option<&str> {
        self.spec.shutdown.as_deref().filter(|text| !text.is_empty())
    }

    /// Whether something may still begin: hooks at ends do under `Stop`, nothing under `Terminate`.
    pub(crate) fn may_begin(&self, on_exit: bool) -> bool {
        match self.shutdown() {
            None => true,
            Some("Stop") => on_exit,
            Some(_) => false,
        }
    }

    pub(crate) fn is_past_deadline(&self) -> bool {
        self.deadline.is_some_and(|deadline| self.now >= deadline)
    }

    /// Asks to be woken no later than this.
    pub(crate) fn wake_at(&mut self, moment: Timestamp) {
        self.wake = Some(self.wake.map_or(moment, |known| known.min(moment)));
    }

    /// Counts nodes; a count is taken again only when a node has changed since.
    fn count(&self, boundary: &str, what: u8, is: impl Fn(&NodeStatus) -> bool) -> usize {
        let key = (boundary.to_owned(), what);
        if let Some((at, known)) = self.counts.borrow().get(&key)
            && *at == self.changes
        {
            return *known;
        }
        let counted = self
            .status
            .nodes
            .values()
            .filter(|node| boundary.is_empty() || node.boundary_id == boundary)
            .filter(|node| is(node))
            .count();
        self.counts.borrow_mut().insert(key, (self.changes, counted));
        counted
    }

    /// Pods under way, of a boundary or of the whole workflow.
    pub(crate) fn active_pods(&self, boundary: &str) -> usize {
        self.count(boundary, 0, |node| node.kind == NodeType::Pod && !node.phase.is_fulfilled())
    }

    pub(crate) fn active_children(&self, boundary: &str) -> usize {
        self.count(boundary, 1, |node| counts(node) && !node.phase.is_fulfilled())
    }

    pub(crate) fn bad_children(&self, boundary: &str) -> usize {
        self.count(boundary, 2, |node| counts(node) && node.phase.is_bad())
    }
}

fn counts(node: &NodeStatus) -> bool {
    matches!(node.kind, NodeType::Pod | NodeType::Steps | NodeType::Dag)
}

/// The name within a parent: without the step group or the dot in front.
fn display_name(rest: &str) -> &str {
    if let Some(name) = rest.strip_prefix('.') {
        return name;
    }
    match rest.strip_prefix('[').and_then(|inner| inner.split_once("].")) {
        Some((digits, name)) if digits.chars().all(|c| c.is_ascii_digit()) => name,
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_those_of_argo() {
        assert_eq!(node_id("w", "w"), "w");
        assert_eq!(node_id("step-variables", "step-variables[0].one"), "step-variables-3239149473");
        assert_eq!(display_name("[0].one"), "one");
        assert_eq!(display_name(".a"), "a");
        assert_eq!(display_name("[0]"), "[0]");
        assert_eq!(display_name("(0)"), "(0)");
    }
}
