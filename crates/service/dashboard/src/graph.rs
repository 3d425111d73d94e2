//! Where the nodes of a workflow are drawn: in layers, with few crossings and smooth lines.
//!
//! The layout is the usual one in small: the layer of a node is its longest way from the start; a line that passes
//! layers gets a bend in each, so that it runs between the boxes and not behind them; within a layer nodes are ordered
//! by the mean place of their neighbours, swept a few times in both directions; each node then takes the nearest free
//! place to its neighbours. Layers run from left to right if that fits the page, else from top to bottom. Groups of
//! steps are points that lines pass through.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};

use crate::view::Tone;

/// Most nodes that are drawn.
const MAX_NODES: usize = 300;
/// Most nodes and bends together.
const MAX_PLACES: usize = 3_000;
/// Sweeps that order the layers.
const SWEEPS: usize = 6;
/// Width of the page; what is wider runs from top to bottom.
const PAGE: i64 = 1_150;
const BOX_WIDTH: i64 = 176;
const BOX_HEIGHT: i64 = 40;
const POINT: i64 = 12;
/// Between layers, from left to right and from top to bottom.
const LAYER_GAPS: (i64, i64) = (44, 30);
/// Between the nodes of a layer.
const ROW_GAP: i64 = 20;
const MARGIN: i64 = 16;
/// Room that a point or a bend takes in its layer, in rows; a box takes one.
const THIN: f64 = 0.35;
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
    /// Layers run from top to bottom.
    pub(crate) is_tall: bool,
    pub(crate) nodes: Vec<Node>,
    /// Paths of the lines, in SVG's words.
    pub(crate) lines: Vec<String>,
}

/// Draws Argo's `status.nodes`; `None` if there are none, too many, or they form a circle.
pub(crate) fn draw(nodes: &Map<String, Value>) -> Option<Drawing> {
    if nodes.is_empty() || nodes.len() > MAX_NODES {
        return None;
    }
    let index: BTreeMap<&str, usize> = nodes.keys().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    let children: Vec<Vec<usize>> = nodes.values().map(|node| children_of(node, &index)).collect();
    let graph = Graph::bent(&children, layered(&children)?)?;
    let made: Vec<Node> = nodes.values().map(node_of).collect();
    let sizes: Vec<f64> = (0..graph.children.len())
        .map(|at| if made.get(at).is_some_and(|it| it.is_box) { 1.0 } else { THIN })
        .collect();
    let layers = ordered(graph.layers.clone(), &graph.children);
    let rows = rows(&layers, &graph.children, &sizes);
    let wide = placed(made.clone(), &graph, &layers, &rows, false);
    if wide.width <= PAGE {
        return Some(wide);
    }
    let tall = placed(made, &graph, &layers, &rows, true);
    Some(if tall.width < wide.width { tall } else { wide })
}

fn children_of(node: &Value, index: &BTreeMap<&str, usize>) -> Vec<usize> {
    let named = node.get("children").and_then(Value::as_array).into_iter().flatten();
    let mut children: Vec<usize> =
        named.filter_map(Value::as_str).filter_map(|child| index.get(child).copied()).collect();
    children.sort_unstable();
    children.dedup();
    children
}

/// The layer of each node; `None` for a circle.
fn layered(children: &[Vec<usize>]) -> Option<Vec<usize>> {
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
    (seen == children.len()).then_some(layer)
}

/// Nodes, and after them the bends of long lines, so that each line leads to the next layer.
struct Graph {
    children: Vec<Vec<usize>>,
    layers: Vec<Vec<usize>>,
    /// The places each line of the drawing passes, from node to node.
    lines: Vec<Vec<usize>>,
}

impl Graph {
    /// `None` if there would be too many bends.
    fn bent(direct: &[Vec<usize>], layer: Vec<usize>) -> Option<Self> {
        let mut layers = vec![Vec::new(); layer.iter().max().map_or(0, |last| last + 1)];
        layer.iter().enumerate().for_each(|(node, at)| layers[*at].push(node));
        let mut graph = Graph { children: vec![Vec::new(); direct.len()], layers, lines: Vec::new() };
        for (from, to) in
            direct.iter().enumerate().flat_map(|(from, below)| below.iter().map(move |to| (from, *to)))
        {
            let mut line = vec![from];
            for bends in &mut graph.layers[layer[from] + 1..layer[to]] {
                let bend = graph.children.len();
                graph.children.push(Vec::new());
                bends.push(bend);
                line.push(bend);
            }
            line.push(to);
            line.windows(2).for_each(|pair| graph.children[pair[0]].push(pair[1]));
            graph.lines.push(line);
            if graph.children.len() > MAX_PLACES {
                return None;
            }
        }
        Some(graph)
    }
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
            let keys: BTreeMap<usize, f64> = layers[at]
                .iter()
                .map(|node| (*node, mean(&neighbours[*node], &place).unwrap_or(place[*node])))
                .collect();
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

/// The row of each place: near its parents, in the order of its layer, with room for its size.
fn rows(layers: &[Vec<usize>], children: &[Vec<usize>], sizes: &[f64]) -> Vec<f64> {
    let parents = parents_of(children);
    let mut row = vec![0.0f64; children.len()];
    for layer in layers {
        let wanted: Vec<f64> = layer
            .iter()
            .enumerate()
            .map(|(at, node)| mean(&parents[*node], &row).unwrap_or(at as f64))
            .collect();
        spread(layer, &wanted, sizes, &mut row);
    }
    // Once back, so that a parent sits in the middle of its children.
    for layer in layers.iter().rev() {
        let wanted: Vec<f64> =
            layer.iter().map(|node| mean(&children[*node], &row).unwrap_or(row[*node])).collect();
        spread(layer, &wanted, sizes, &mut row);
    }
    row
}

/// Keeps the order and the distances, and the middle of the layer where it was wanted.
fn spread(layer: &[usize], wanted: &[f64], sizes: &[f64], row: &mut [f64]) {
    let mut free = f64::NEG_INFINITY;
    for (node, wanted) in layer.iter().zip(wanted) {
        row[*node] = wanted.max(free + sizes[*node] / 2.0);
        free = row[*node] + sizes[*node] / 2.0;
    }
    let off = layer.iter().zip(wanted).map(|(node, wanted)| wanted - row[*node]).sum::<f64>();
    let shift = off / layer.len().max(1) as f64;
    layer.iter().for_each(|node| row[*node] += shift);
}

fn placed(
    mut nodes: Vec<Node>,
    graph: &Graph,
    layers: &[Vec<usize>],
    rows: &[f64],
    is_tall: bool,
) -> Drawing {
    let (unit, gap) =
        if is_tall { (BOX_WIDTH + ROW_GAP, LAYER_GAPS.1) } else { (BOX_HEIGHT + ROW_GAP, LAYER_GAPS.0) };
    let first = rows.iter().copied().fold(f64::INFINITY, f64::min);
    let across = |place: usize| MARGIN + unit / 2 + ((rows[place] - first) * unit as f64).round() as i64;
    let mut centres = vec![(0, 0); rows.len()];
    let mut along = MARGIN;
    for layer in layers {
        let extent = |place: &usize| match nodes.get(*place) {
            Some(node) if is_tall => node.height,
            Some(node) => node.width,
            None => 0,
        };
        let depth = layer.iter().map(extent).max().unwrap_or(0);
        for place in layer {
            let (main, cross) = (along + depth / 2, across(*place));
            centres[*place] = if is_tall { (cross, main) } else { (main, cross) };
        }
        along += depth + gap;
    }
    for (node, (x, y)) in nodes.iter_mut().zip(&centres) {
        (node.x, node.y) = (x - node.width / 2, y - node.height / 2);
    }
    let lines = graph.lines.iter().map(|line| path(line, &nodes, &centres, is_tall)).collect();
    let end = |far: fn(&Node) -> i64| nodes.iter().map(far).max().unwrap_or(0) + MARGIN;
    Drawing { width: end(|it| it.x + it.width), height: end(|it| it.y + it.height), is_tall, nodes, lines }
}

/// A smooth line from the end of the first node through the bends to the start of the last one.
fn path(line: &[usize], nodes: &[Node], centres: &[(i64, i64)], is_tall: bool) -> String {
    let last = line.len() - 1;
    let point = |(at, place): (usize, &usize)| {
        let (x, y) = centres[*place];
        let half = nodes.get(*place).map_or(0, |node| if is_tall { node.height } else { node.width } / 2);
        let towards = if at == 0 {
            half
        } else if at == last {
            -half
        } else {
            0
        };
        if is_tall { (x, y + towards) } else { (x + towards, y) }
    };
    let points: Vec<(i64, i64)> = line.iter().enumerate().map(point).collect();
    let mut path = format!("M{} {}", points[0].0, points[0].1);
    for pair in points.windows(2) {
        let ((x1, y1), (x2, y2)) = (pair[0], pair[1]);
        let bend = if is_tall {
            let middle = (y1 + y2) / 2;
            format!(" C{x1} {middle} {x2} {middle} {x2} {y2}")
        } else {
            let middle = (x1 + x2) / 2;
            format!(" C{middle} {y1} {middle} {y2} {x2} {y2}")
        };
        path.push_str(&bend);
    }
    path
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
        assert!((at("b").y - at("c").y).abs() >= BOX_HEIGHT + ROW_GAP);
        assert_eq!(at("a").y, at("d").y, "both sit in the middle");
        assert_eq!(drawing.lines.len(), 4);
        assert_eq!(at("c").title, "c: Failed – exit 1");
        assert!(drawing.nodes.iter().all(|n| n.x >= 0
            && n.y >= 0
            && n.x + n.width <= drawing.width
            && n.y + n.height <= drawing.height));
    }

    #[test]
    fn no_two_boxes_overlap_in_a_wide_graph() {
        let mut nodes = Map::new();
        for layer in 0..5 {
            for at in 0..8 {
                let children: Vec<String> =
                    (0..3).map(|n| format!("n{}-{}", layer + 1, (at * 3 + n) % 8)).collect();
                nodes.insert(
                    format!("n{layer}-{at}"),
                    json!({ "displayName": "x", "type": "Pod", "children": children }),
                );
            }
        }
        let drawing = draw(&nodes).expect("a drawing");
        for (at, a) in drawing.nodes.iter().enumerate() {
            for b in &drawing.nodes[at + 1..] {
                let apart = a.x + a.width <= b.x
                    || b.x + b.width <= a.x
                    || a.y + a.height <= b.y
                    || b.y + b.height <= a.y;
                assert!(apart, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_long_line_passes_between_the_boxes() {
        let pod = |name: &str, children: &[&str]| json!({ "displayName": name, "type": "Pod", "children": children });
        let drawing = drawing(json!({ "a": pod("a", &["b", "d"]), "b": pod("b", &["c"]), "c": pod("c", &["d"]), "d": pod("d", &[]) }))
            .expect("a drawing");
        let b = drawing.nodes.iter().find(|node| node.label == "b").expect("drawn");
        let long =
            drawing.lines.iter().find(|line| line.matches('C').count() == 3).expect("a line with two bends");
        let bend = long.split(' ').nth(7).and_then(|y| y.parse::<i64>().ok()).expect("a bend");
        assert!(bend <= b.y || bend >= b.y + b.height, "{long} passes through {b:?}");
    }

    #[test]
    fn a_long_chain_runs_down_the_page() {
        let mut nodes = Map::new();
        for at in 0..12 {
            nodes.insert(
                at.to_string(),
                json!({ "type": "Pod", "displayName": "x", "children": [(at + 1).to_string()] }),
            );
        }
        let drawing = draw(&nodes).expect("a drawing");
        assert!(drawing.is_tall && drawing.width < 300 && drawing.height > 700, "{drawing:?}");
    }

    #[test]
    fn circles_and_crowds_are_not_drawn() {
        assert_eq!(drawing(json!({ "a": { "children": ["b"] }, "b": { "children": ["a"] } })), None);
        assert_eq!(drawing(json!({})), None);
        let crowd: Map<String, Value> = (0..301).map(|n| (n.to_string(), json!({}))).collect();
        assert_eq!(draw(&crowd), None);
    }
}
