//! Workflows: cards for the first page, and a page with the graph.

use galley_release_types::PIPELINE_NAMESPACE;
use jiff::Timestamp;
use serde_json::Value;

use super::{Badge, Moment, Tone, TreeNode, elapsed, list, name, namespace, plain, text, tree};
use crate::{
    graph::{self, Drawing},
    snapshot::{Kind, Snapshot},
};

/// Most workflows on the first page.
const MAX_CARDS: usize = 12;
/// Most lines of a card's tree.
const CARD_LINES: usize = 60;

/// A workflow on the first page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkflowCard {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) phase: Badge,
    pub(crate) took: String,
    pub(crate) progress: String,
    pub(crate) message: String,
    pub(crate) started: Moment,
    /// Shown with its tree open.
    pub(crate) open: bool,
    pub(crate) nodes: Vec<TreeNode>,
    pub(crate) hidden: usize,
}

/// The page of one workflow.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WorkflowPage {
    pub(crate) card: WorkflowCard,
    pub(crate) template: String,
    /// Name and value.
    pub(crate) parameters: Vec<(String, String)>,
    /// Name and value.
    pub(crate) outputs: Vec<(String, String)>,
    pub(crate) drawing: Option<Drawing>,
}

/// A phase in Argo's words.
pub(crate) fn phase(phase: &str) -> Badge {
    let tone = match phase {
        "Succeeded" => Tone::Good,
        "Failed" | "Error" => Tone::Bad,
        "Running" => Tone::Busy,
        _ => Tone::Idle,
    };
    Badge::new(tone, if phase.is_empty() { "Pending" } else { phase })
}

/// The newest workflows; those at work first.
pub(super) fn cards(snapshot: &Snapshot, now: Timestamp) -> Vec<WorkflowCard> {
    let mut all: Vec<&Value> = snapshot.of(Kind::Workflow).collect();
    let at_work = |object: &Value| matches!(text(object, "/status/phase"), "" | "Pending" | "Running");
    all.sort_by_cached_key(|object| {
        let created = text(object, "/metadata/creationTimestamp").to_owned();
        std::cmp::Reverse((at_work(object), created, name(object).to_owned()))
    });
    all.iter()
        .take(MAX_CARDS)
        .enumerate()
        .map(|(at, object)| {
            let mut card = card(object, now);
            card.open = at == 0 || card.phase.tone == Tone::Busy;
            card.hidden += card.nodes.len().saturating_sub(CARD_LINES);
            card.nodes.truncate(CARD_LINES);
            card
        })
        .collect()
}

/// The page of one workflow, if it exists.
pub(crate) fn workflow(
    snapshot: &Snapshot,
    place: &str,
    wanted: &str,
    now: Timestamp,
) -> Option<WorkflowPage> {
    let object = snapshot.get(Kind::Workflow, place, wanted)?;
    let pairs = |pointer: &str| -> Vec<(String, String)> {
        let pair =
            |it: &Value| (text(it, "/name").to_owned(), it.get("value").map(plain).unwrap_or_default());
        list(object, pointer).iter().map(pair).collect()
    };
    Some(WorkflowPage {
        card: card(object, now),
        template: text(object, "/spec/workflowTemplateRef/name").to_owned(),
        parameters: pairs("/spec/arguments/parameters"),
        outputs: pairs("/status/outputs/parameters"),
        drawing: object.pointer("/status/nodes").and_then(Value::as_object).and_then(graph::draw),
    })
}

fn card(object: &Value, now: Timestamp) -> WorkflowCard {
    let status = object.get("status").unwrap_or(&Value::Null);
    let (nodes, hidden) = tree::tree(status, now);
    let started = text(status, "/startedAt");
    WorkflowCard {
        namespace: namespace(object).to_owned(),
        name: name(object).to_owned(),
        phase: phase(text(status, "/phase")),
        took: elapsed(started, text(status, "/finishedAt"), now),
        progress: text(status, "/progress").to_owned(),
        message: text(status, "/message").to_owned(),
        started: Moment::of(started, now),
        open: false,
        nodes,
        hidden,
    }
}

impl WorkflowCard {
    /// The namespace, where it is not the usual one.
    pub(crate) fn foreign(&self) -> Option<&str> {
        (self.namespace != PIPELINE_NAMESPACE).then_some(self.namespace.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn those_at_work_come_first_and_are_open() {
        let workflow = |name: &str, created: &str, phase: &str| {
            json!({ "kind": "Workflow",
                "metadata": { "name": name, "namespace": "gourmetgram-pipeline", "creationTimestamp": created },
                "spec": { "arguments": { "parameters": [{ "name": "seed", "value": 11 }] } },
                "status": { "phase": phase, "progress": "1/2", "nodes": { name: { "displayName": name } } } })
        };
        let snapshot = Snapshot::made_of(&[
            workflow("done", "2026-01-03T00:00:00Z", "Succeeded"),
            workflow("busy", "2026-01-01T00:00:00Z", "Running"),
            workflow("older", "2026-01-02T00:00:00Z", "Failed"),
        ]);
        let cards = cards(&snapshot, Timestamp::UNIX_EPOCH);
        let seen: Vec<(&str, bool)> = cards.iter().map(|card| (card.name.as_str(), card.open)).collect();
        assert_eq!(seen, [("busy", true), ("done", false), ("older", false)]);
        let page = super::workflow(&snapshot, "gourmetgram-pipeline", "busy", Timestamp::UNIX_EPOCH)
            .expect("exists");
        assert_eq!(page.parameters, [("seed".to_owned(), "11".to_owned())]);
        assert!(page.drawing.is_some());
    }
}
