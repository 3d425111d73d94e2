//! A workflow's nodes as a tree: what runs inside what.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::{Badge, elapsed, list, text, workflows};

/// Most nodes of one tree.
const MAX_NODES: usize = 500;
/// Deepest nesting that is followed.
const MAX_DEPTH: usize = 24;

/// One line of the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreeNode {
    pub(crate) depth: usize,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) phase: Badge,
    pub(crate) took: String,
    pub(crate) message: String,
}

/// The tree in the order of its lines, and how many nodes were left out.
///
/// A node lies in its `boundaryID`; the attempts of a retry lie in the retry. Groups of steps are only arrows in Argo's
/// graph and are left out.
pub(super) fn tree(status: &Value, now: Timestamp) -> (Vec<TreeNode>, usize) {
    let Some(nodes) = status.get("nodes").and_then(Value::as_object) else { return (Vec::new(), 0) };
    let shown = |node: &Value| !matches!(text(node, "/type"), "StepGroup" | "TaskGroup");
    let mut attempts: BTreeMap<&str, &str> = BTreeMap::new();
    for (id, node) in nodes.iter().filter(|(_, node)| text(node, "/type") == "Retry") {
        for child in list(node, "/children").iter().filter_map(Value::as_str) {
            // A retry's last attempt also leads on to the next step, which is not an attempt.
            let is_attempt = nodes.get(child).is_some_and(|it| {
                text(it, "/displayName").starts_with(&format!("{}(", text(node, "/displayName")))
            });
            if is_attempt {
                attempts.insert(child, id);
            }
        }
    }
    let mut inside: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, node) in nodes.iter().filter(|(_, node)| shown(node)) {
        let boundary = Some(text(node, "/boundaryID"))
            .filter(|boundary| nodes.contains_key(*boundary) && boundary != id);
        let parent = attempts.get(id.as_str()).copied().or(boundary).unwrap_or("");
        inside.entry(parent).or_default().push(id);
    }
    for children in inside.values_mut() {
        children.sort_by_cached_key(|id| order(&nodes[*id]));
    }
    let mut lines = Vec::new();
    let mut walk = Walk { nodes, inside: &inside, seen: BTreeSet::new(), now, lines: &mut lines };
    walk.below("", 0);
    let total = nodes.values().filter(|node| shown(node)).count();
    let hidden = total.saturating_sub(lines.len());
    (lines, hidden)
}

/// By start; nodes that have not started come last.
fn order(node: &Value) -> (bool, String, String) {
    let started = text(node, "/startedAt");
    (started.is_empty(), started.to_owned(), text(node, "/name").to_owned())
}

struct Walk<'v> {
    nodes: &'v serde_json::Map<String, Value>,
    inside: &'v BTreeMap<&'v str, Vec<&'v str>>,
    seen: BTreeSet<&'v str>,
    now: Timestamp,
    lines: &'v mut Vec<TreeNode>,
}

impl<'v> Walk<'v> {
    fn below(&mut self, parent: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let inside = self.inside;
        for id in inside.get(parent).into_iter().flatten().copied() {
            if self.lines.len() >= MAX_NODES || !self.seen.insert(id) {
                continue;
            }
            self.lines.push(line(&self.nodes[id], depth, self.now));
            self.below(id, depth + 1);
        }
    }
}

fn line(node: &Value, depth: usize, now: Timestamp) -> TreeNode {
    let shown = text(node, "/displayName");
    TreeNode {
        depth,
        name: if shown.is_empty() { text(node, "/name") } else { shown }.to_owned(),
        kind: text(node, "/type").to_owned(),
        phase: workflows::phase(text(node, "/phase")),
        took: elapsed(text(node, "/startedAt"), text(node, "/finishedAt"), now),
        message: text(node, "/message").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(nodes: Value) -> Vec<(usize, String)> {
        let (lines, hidden) = tree(&json!({ "nodes": nodes }), Timestamp::UNIX_EPOCH);
        assert_eq!(hidden, 0);
        lines.into_iter().map(|line| (line.depth, line.name)).collect()
    }

    #[test]
    fn steps_lie_in_their_template_and_attempts_in_their_retry() {
        let nodes = json!({
            "w": { "displayName": "w", "type": "Steps", "startedAt": "2026-01-01T00:00:00Z", "children": ["g"] },
            "g": { "displayName": "[0]", "type": "StepGroup", "boundaryID": "w", "children": ["t"] },
            "t": { "displayName": "train", "type": "Retry", "boundaryID": "w", "startedAt": "2026-01-01T00:00:01Z",
                "children": ["t1", "t2", "next"] },
            "t2": { "displayName": "train(1)", "type": "Pod", "boundaryID": "w", "startedAt": "2026-01-01T00:00:05Z" },
            "t1": { "displayName": "train(0)", "type": "Pod", "boundaryID": "w", "startedAt": "2026-01-01T00:00:02Z" },
            "next": { "displayName": "build", "type": "Pod", "boundaryID": "w", "startedAt": "2026-01-01T00:00:09Z" },
        });
        let expected = [(0, "w"), (1, "train"), (2, "train(0)"), (2, "train(1)"), (1, "build")];
        assert_eq!(shape(nodes), expected.map(|(depth, name)| (depth, name.to_owned())));
    }

    #[test]
    fn a_circle_or_a_lost_boundary_does_no_harm() {
        let nodes = json!({ "a": { "displayName": "a", "boundaryID": "a" }, "b": { "displayName": "b", "boundaryID": "gone" } });
        assert_eq!(shape(nodes), [(0, "a".to_owned()), (0, "b".to_owned())]);
        let nodes = json!({ "a": { "displayName": "a", "boundaryID": "b" }, "b": { "displayName": "b", "boundaryID": "a" } });
        let (lines, hidden) = tree(&json!({ "nodes": nodes }), Timestamp::UNIX_EPOCH);
        assert_eq!((lines.len(), hidden), (0, 2), "nodes in a circle are counted as left out");
    }
}
