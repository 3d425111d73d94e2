//! Pictures of workflows: the templates before a run as a Mermaid graph, the nodes of a run as an outline.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use galley_argo_workflows::{Step, Template, WorkflowSpec, WorkflowStatus, dependencies_of};

/// The most boxes of a picture; recursion and very wide graphs end here.
const MOST: usize = 2000;
/// The deepest nesting of a picture.
const DEEPEST: usize = 8;

/// Draws what a workflow will run as a Mermaid flowchart: one box a step or task, one frame a steps or DAG template.
/// Templates of other objects are boxes without inside.
pub fn mermaid(spec: &WorkflowSpec) -> String {
    let mut drawing = Drawing { spec, text: "flowchart TD\n".to_owned(), boxes: 0 };
    let entry = spec.entrypoint.as_deref().unwrap_or_default();
    if let Some(template) = drawing.template(entry) {
        drawing.inside("w", template, 1);
    }
    drawing.text
}

struct Drawing<'a> {
    spec: &'a WorkflowSpec,
    text: String,
    boxes: usize,
}

/// Where arrows into and out of something begin and end.
type Ends = (Vec<String>, Vec<String>);

impl<'a> Drawing<'a> {
    fn template(&self, name: &str) -> Option<&'a Template> {
        self.spec.templates.iter().find(|template| template.name == name)
    }

    fn line(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.text, "{}{text}", "  ".repeat(depth));
    }

    fn inside(&mut self, id: &str, template: &'a Template, depth: usize) -> Ends {
        if let Some(groups) = &template.steps {
            let mut first = Vec::new();
            let mut last: Vec<String> = Vec::new();
            for (at, group) in groups.iter().enumerate() {
                let mut ends = Vec::new();
                for step in &group.0 {
                    let (begin, end) = self.one(&format!("{id}_{at}_{}", plain(&step.name)), step, depth);
                    self.arrows(&last, &begin, depth);
                    if at == 0 {
                        first.extend(begin);
                    }
                    ends.extend(end);
                }
                last = ends;
            }
            return (first, last);
        }
        let Some(dag) = &template.dag else { return Default::default() };
        let own = |name: &str| format!("{id}_{}", plain(name));
        let mut ends: std::collections::BTreeMap<String, Ends> = std::collections::BTreeMap::new();
        for task in &dag.tasks {
            let drawn = self.one(&own(&task.step.name), &task.step, depth);
            ends.insert(task.step.name.clone(), drawn);
        }
        let mut followed = HashSet::new();
        let mut first = Vec::new();
        for task in &dag.tasks {
            let waits = dependencies_of(task);
            let begin = ends.get(&task.step.name).map(|ends| ends.0.clone()).unwrap_or_default();
            if waits.is_empty() {
                first.extend(begin.clone());
            }
            for before in waits.into_keys() {
                if let Some((_, from)) = ends.get(&before).cloned() {
                    self.arrows(&from, &begin, depth);
                }
                followed.insert(before);
            }
        }
        let last =
            ends.iter().filter(|(name, _)| !followed.contains(*name)).flat_map(|(_, ends)| ends.1.clone());
        (first, last.collect())
    }

    fn arrows(&mut self, from: &[String], to: &[String], depth: usize) {
        for a in from {
            for b in to {
                self.line(depth, &format!("{a} --> {b}"));
            }
        }
    }

    fn one(&mut self, id: &str, step: &'a Step, depth: usize) -> Ends {
        self.boxes += 1;
        let mut label = step.name.clone();
        if step.expands() {
            label.push_str(" × items");
        }
        if let Some(when) = step.when.as_deref().filter(|when| !when.is_empty()) {
            label = format!("{label}<br/>when {}", when.replace('"', "'"));
        }
        let target =
            step.inline.as_deref().or_else(|| self.template(step.template.as_deref().unwrap_or_default()));
        let target = target.filter(|_| step.template_ref.is_none());
        match target.filter(|target| !target.is_leaf() && depth < DEEPEST && self.boxes < MOST) {
            Some(target) => {
                self.line(depth, &format!("subgraph {id}[\"{label}\"]"));
                let ends = self.inside(id, target, depth + 1);
                self.line(depth, "end");
                if ends.0.is_empty() { (vec![id.to_owned()], vec![id.to_owned()]) } else { ends }
            }
            None => {
                if self.boxes < MOST {
                    self.line(depth, &format!("{id}[\"{label}\"]"));
                }
                (vec![id.to_owned()], vec![id.to_owned()])
            }
        }
    }
}

fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The nodes of a run in the order in which people read them, each with its depth: what is in a steps or DAG node
/// stands beneath it, in the order of its beginning. Groups of steps are left out; attempts stand beneath their
/// retry. Ids, not nodes, so that the caller decides what to show.
pub fn outline(status: &WorkflowStatus, root: &str) -> Vec<(usize, String)> {
    let mut rows = Vec::new();
    let mut met = HashSet::new();
    let mut below: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    let by_name: HashMap<&str, &str> =
        status.nodes.values().map(|node| (node.name.as_str(), node.id.as_str())).collect();
    for node in status.nodes.values().filter(|node| node.id != root) {
        let retry = node.node_flag.is_some_and(|flag| flag.retried);
        let parent = match node.name.rfind('(').filter(|_| retry) {
            Some(at) => by_name.get(&node.name[..at]).copied(),
            None => Some(&*node.boundary_id).filter(|id| !id.is_empty()),
        };
        below.entry(parent.unwrap_or("")).or_default().push(&node.id);
    }
    let key = |id: &&str| status.nodes.get(*id).map(|node| (node.started_at, node.name.clone()));
    below.values_mut().for_each(|ids| ids.sort_by_key(key));
    // What has no parent but the run itself (its hooks) comes last.
    let last = below.remove("").unwrap_or_default();
    let mut ahead: Vec<(usize, &str)> = last.into_iter().rev().map(|id| (0, id)).collect();
    ahead.push((0, root));
    while let Some((depth, id)) = ahead.pop() {
        let Some(node) = status.nodes.get(id).filter(|_| met.insert(id)) else { continue };
        let group = node.kind == galley_argo_workflows::NodeType::StepGroup;
        if !group {
            rows.push((depth, node.id.clone()));
        }
        let inner = below.get(id).cloned().unwrap_or_default();
        ahead.extend(inner.into_iter().rev().map(|child| (depth + usize::from(!group), child)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_graph_is_drawn_with_what_is_inside() {
        let spec: WorkflowSpec = serde_json::from_value(json!({"entrypoint": "main", "templates": [
            {"name": "main", "dag": {"tasks": [
                {"name": "a", "template": "run"},
                {"name": "b-1", "template": "inner", "depends": "a", "when": "1 == \"1\""},
                {"name": "c", "template": "run", "depends": "b-1", "withItems": [1]},
            ]}},
            {"name": "inner", "steps": [[{"name": "x", "template": "run"}], [{"name": "y", "template": "main"}]]},
            {"name": "run", "suspend": {}},
        ]}))
        .unwrap();
        let text = mermaid(&spec);
        for line in [
            "  w_a[\"a\"]",
            "  subgraph w_b_1[\"b-1<br/>when 1 == '1'\"]",
            "    w_b_1_0_x[\"x\"]",
            "  w_c[\"c × items\"]",
            "  w_a --> w_b_1_0_x",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} in\n{text}");
        }
    }
}
