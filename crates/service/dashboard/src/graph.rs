//! Where the nodes of a workflow are drawn: layers from left to right, few crossings, smooth lines.
//!
//! The layout is the usual one in small: the layer of a node is its longest way from the start; within a layer nodes
//! are ordered by the mean place of their neighbours, swept a few times in both directions; each node then takes the
//! nearest free row to its neighbours. Groups of steps are points that lines pass through.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};

use crate::view::Tone;

/// Most nodes that are drawn.
const MAX_NODES: usize = 300;
/// Sweeps that order the layers.
const SWEEPS: usize = 6;
const BOX_WIDTH: i64 = 176;
const BOX_HEIGHT: i64 = 40;
const POINT: i64 = 12;
const GAP_X: i64 = 44;
const GAP_Y: i64 = 20;
const MARGIN: i64 = 16;
/// Letters that fit into a box.
const LETTERS: usize = 20;

/// A node where it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) x: i64,
    pub(crate) y: i64,
    pub(crate) width: i64,
    pub(crate) height: i64,
    /// A box with a name, or a point.
    pub(crate) is_box: bool,
    pub(crate) label: String,
    /// The whole name with its phase, for the tooltip.
    pub(crate) title: String,
    pub(crate) tone: Tone,
    pub(crate) kind: String,
}

impl Node {
    /// Left edge of the name.
    pub(crate) fn text_x(&self) -> i64 {
        self.x + 30
    }

    /// Base line of the name.
    pub(crate) fn text_y(&self) -> i64 {
        self.y + self.height / 2 + 5
    }

    /// Centre of the sign.
    pub(crate) fn sign_x(&self) -> i64 {
        self.x + 16
    }

    /// Centre of a point.
    pub(crate) fn centre_x(&self) -> i64 {
        self.x + self.width / 2
    }

    /// Middle.
    pub(crate) fn centre_y(&self) -> i64 {
        self.y + self.height / 2
    }
}

/// A drawn graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drawing {
    pub(crate) width: i64,
    pub(crate) height: i64,
    pub(crate) nodes: Vec<Node>,
    /// Paths of the lines, in SVG's words.
    pub(crate) lines: Vec<String>,
}

/// Draws Argo's `status.nodes`; `None` if there are none, too many, or they form a circle.
pub(crate) fn draw(nodes: &Map<String, Value>) -> Option<Drawing> {
    if nodes.is_empty() || nodes.len() > MAX_NODES {
        return None;
    }
    let ids: Vec<&String> = nodes.keys().collect();
    let index: BTreeMap<&str, usize> = ids.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    let children: Vec<Vec<usize>> = ids
        .iter()
        .map(|id| {
            let named = nodes[*id].get("children").and_then(Value::as_array).into_iter().flatten();
            let mut children: Vec<usize> =
                named.filter_map(Value::as_str).filter_map(|child| index.get(child).copied()).collect();
            children.sort_unstable();
            children.dedup();
            children
        })
        .collect();
    let layers = ordered(layered(&children)?, &children);
    let rows = rows(&layers, &children);
    Some(placed(&ids, nodes, &layers, &rows, &children))
}

/// The nodes of each layer; `None` for a circle.
fn layered(children: &[Vec<usize>]) -> Option<Vec<Vec<usize>>> {
    let mut parents = vec![0usize; children.len()];
    children.iter().flatten().for_each(|child| parents[*child] += 1);
    let mut ready: VecDeque<usize> = (0..children.len()).filter(|node| parents[*node] == 0).collect();
    let mut layer = vec![0usize; children.len()];
    let mut seen = 0;
    while let Some(node) = ready.pop_front() {
        seen += 1;
        for child in &children[node] {
            layer[*child] = layer[*child].max(layer[node] + 1);
            parents[*child] -= 1;
            if parents[*child] == 0 {
                ready.push_back(*child);
            }
        }
    }
    if seen < children.len() {
        return None;
    }
    let mut layers = vec![Vec::new(); layer.iter().max().map_or(0, |last| last + 1)];
    for (node, at) in layer.into_iter().enumerate() {
        layers[at].push(node);
    }
    Some(layers)
}

fn parents_of(children: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut parents = vec![Vec::new(); children.len()];
    for (node, below) in children.iter().enumerate() {
        below.iter().for_each(|child| parents[*child].push(node));
    }
    parents
}

/// Orders each layer by the mean place of the neighbours, forth and back.
fn ordered(mut layers: Vec<Vec<usize>>, children: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let parents = parents_of(children);
    let mut place = vec![0.0f64; children.len()];
    let note = |layer: &[usize], place: &mut Vec<f64>| {
        layer.iter().enumerate().for_each(|(at, node)| place[*node] = at as f64);
    };
    layers.iter().for_each(|layer| note(layer, &mut place));
    for sweep in 0..SWEEPS {
        let forth = sweep % 2 == 0;
        let neighbours = if forth { &parents } else { children };
        let mut order: Vec<usize> = (0..layers.len()).collect();
        if !forth {
            order.reverse();
        }
        for at in order {
            let keys: BTreeMap<usize, f64> =
                layers[at].iter().map(|node| (*node, mean(&neighbours[*node], &place).unwrap_or(place[*node]))).collect();
            layers[at].sort_by(|a, b| keys[a].total_cmp(&keys[b]));
            let layer = layers[at].clone();
            note(&layer, &mut place);
        }
    }
    layers
}

fn mean(nodes: &[usize], place: &[f64]) -> Option<f64> {
    (!nodes.is_empty()).then(|| nodes.iter().map(|node| place[*node]).sum::<f64>() / nodes.len() as f64)
}

/// The row of each node: near its parents, in the order of its layer, at least one row apart.
fn rows(layers: &[Vec<usize>], children: &[Vec<usize>]) -> Vec<f64> {
    let parents = parents_of(children);
    let mut row = vec![0.0f64; children.len()];
    for layer in layers {
        let wanted: Vec<f64> =
            layer.iter().enumerate().map(|(at, node)| mean(&parents[*node], &row).unwrap_or(at as f64)).collect();
        spread(layer, &wanted, &mut row);
    }
    // Once back, so that a parent sits in the middle of its children.
    for layer in layers.iter().rev() {
        let wanted: Vec<f64> = layer.iter().map(|node| mean(&children[*node], &row).unwrap_or(row[*node])).collect();
        spread(layer, &wanted, &mut row);
    }
    row
}

/// Keeps the order and the distance, and the middle of the layer where it was wanted.
fn spread(layer: &[usize], wanted: &[f64], row: &mut [f64]) {
    let mut last = f64::NEG_INFINITY;
    for (node, wanted) in layer.iter().zip(wanted) {
        last = wanted.max(last + 1.0);
        row[*node] = last;
    }
    let shift = layer.iter().zip(wanted).map(|(node, wanted)| wanted - row[*node]).sum::<f64>() / layer.len().max(1) as f64;
    layer.iter().for_each(|node| row[*node] += shift);
}

fn placed(
    ids: &[&String],
    nodes: &Map<String, Value>,
    layers: &[Vec<usize>],
    rows: &[f64],
    children: &[Vec<usize>],
) -> Drawing {
    let top = rows.iter().copied().fold(f64::INFINITY, f64::min);
    let mut drawn: Vec<Option<Node>> = vec![None; ids.len()];
    let mut x = MARGIN;
    for layer in layers {
        let made: Vec<Node> = layer.iter().map(|node| node_of(&nodes[ids[*node]])).collect();
        let width = made.iter().map(|node| node.width).max().unwrap_or(0);
        for (at, mut node) in layer.iter().copied().zip(made) {
            let middle = MARGIN + BOX_HEIGHT / 2 + ((rows[at] - top) * (BOX_HEIGHT + GAP_Y) as f64).round() as i64;
            node.x = x + (width - node.width) / 2;
            node.y = middle - node.height / 2;
            drawn[at] = Some(node);
        }
        x += width + GAP_X;
    }
    let nodes: Vec<Node> = drawn.into_iter().flatten().collect();
    let lines = children
        .iter()
        .enumerate()
        .flat_map(|(from, below)| below.iter().map(move |to| (from, *to)))
        .map(|(from, to)| line(&nodes[from], &nodes[to]))
        .collect();
    Drawing {
        width: x - GAP_X + MARGIN,
        height: nodes.iter().map(|node| node.y + node.height).max().unwrap_or(0) + MARGIN,
        nodes,
        lines,
    }
}

fn node_of(node: &Value) -> Node {
    let text = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or("");
    let name = if text("displayName").is_empty() { text("name") } else { text("displayName") };
    let is_box = !matches!(text("type"), "StepGroup" | "TaskGroup");
    let phase = crate::view::phase_badge(text("phase"));
    let (width, height) = if is_box { (BOX_WIDTH, BOX_HEIGHT) } else { (POINT, POINT) };
    let mut title = format!("{name}: {}", phase.text);
    if !text("message").is_empty() {
        title.push_str(&format!(" – {}", text("message")));
    }
    Node {
        x: 0,
        y: 0,
        width,
        height,
        is_box,
        label: shortened(name),
        title,
        tone: phase.tone,
        kind: text("type").to_owned(),
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LETTERS {
        return name.to_owned();
    }
    let start: String = name.chars().take(LETTERS - 1).collect();
    format!("{start}…")
}

fn line(from: &Node, to: &Node) -> String {
    let (x1, y1) = (from.x + from.width, from.centre_y());
    let (x2, y2) = (to.x, to.centre_y());
    let middle = (x1 + x2) / 2;
    format!("M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn drawing(nodes: Value) -> Option<Drawing> {
        draw(nodes.as_object().expect("an object"))
    }

    #[test]
    fn a_diamond_has_three_layers_and_no_overlap() {
        let drawing = drawing(json!({
            "a": { "displayName": "a", "type": "Pod", "phase": "Succeeded", "children": ["b", "c"] },
            "b": { "displayName": "b", "type": "Pod", "phase": "Running", "children": ["d"] },
            "c": { "displayName": "c", "type": "Pod", "phase": "Failed", "message": "exit 1", "children": ["d"] },
            "d": { "displayName": "d", "type": "Pod" },
        }))
        .expect("a drawing");
        let at = |name: &str| drawing.nodes.iter().find(|node| node.label == name).expect("drawn");
        assert!(at("a").x < at("b").x && at("b").x == at("c").x && at("c").x < at("d").x);
        assert!((at("b").y - at("c").y).abs() >= BOX_HEIGHT + GAP_Y);
        assert_eq!(at("a").y, at("d").y, "both sit in the middle");
        assert_eq!(drawing.lines.len(), 4);
        assert_eq!(at("c").title, "c: Failed – exit 1");
        assert!(drawing.nodes.iter().all(|n| n.x >= 0 && n.y >= 0 && n.x + n.width <= drawing.width && n.y + n.height <= drawing.height));
    }

    #[test]
    fn no_two_boxes_overlap_in_a_wide_graph() {
        let mut nodes = Map::new();
        for layer in 0..5 {
            for at in 0..8 {
                let children: Vec<String> = (0..3).map(|n| format!("n{}-{}", layer + 1, (at * 3 + n) % 8)).collect();
                nodes.insert(format!("n{layer}-{at}"), json!({ "displayName": "x", "type": "Pod", "children": children }));
            }
        }
        let drawing = draw(&nodes).expect("a drawing");
        for (at, a) in drawing.nodes.iter().enumerate() {
            for b in &drawing.nodes[at + 1..] {
                let apart = a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
                assert!(apart, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn circles_and_crowds_are_not_drawn() {
        assert_eq!(drawing(json!({ "a": { "children": ["b"] }, "b": { "children": ["a"] } })), None);
        assert_eq!(drawing(json!({})), None);
        let crowd: Map<String, Value> = (0..301).map(|n| (n.to_string(), json!({}))).collect();
        assert_eq!(draw(&crowd), None);
    }
}
