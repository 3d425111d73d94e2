//! An ONNX file as a graph of named nodes with constant tensors. Field numbers are those of `onnx.proto`.
//!
//! Only what the folding step needs is kept: floats (single and half precision) and integers. Anything else is kept
//! as unknown and refused only when it is used.

use std::collections::HashMap;

use half::f16;

use crate::wire::{Broken, Field, Fields};

const MAX_NODES: usize = 20_000;
const MAX_DIMENSIONS: usize = 8;

/// A constant tensor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) floats: Vec<f32>,
    pub(crate) ints: Vec<i64>,
}

/// A node; attributes by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) operator: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    attributes: HashMap<String, Attribute>,
}

#[derive(Clone, Debug, Default)]
struct Attribute {
    int: Option<i64>,
    float: Option<f32>,
    ints: Vec<i64>,
    text: Vec<u8>,
    tensor: Option<Tensor>,
}

impl Node {
    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.attributes.get(name)?.int
    }

    pub(crate) fn float(&self, name: &str) -> Option<f32> {
        self.attributes.get(name)?.float
    }

    pub(crate) fn ints(&self, name: &str) -> Option<&[i64]> {
        Some(self.attributes.get(name)?.ints.as_slice())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&[u8]> {
        Some(self.attributes.get(name)?.text.as_slice())
    }

    /// The value of a `Constant` node.
    pub(crate) fn constant(&self) -> Option<Tensor> {
        if let Some(tensor) = self.attributes.get("value").and_then(|value| value.tensor.clone()) {
            return Some(tensor);
        }
        if let Some(value) = self.float("value_float") {
            return Some(Tensor { floats: vec![value], ..Tensor::default() });
        }
        let value = self.int("value_int")?;
        Some(Tensor { ints: vec![value], ..Tensor::default() })
    }
}

/// A graph: one input, one output, nodes in topological order.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) tensors: HashMap<String, Tensor>,
    /// Name and sides; a side that is free is `None`.
    pub(crate) inputs: Vec<(String, Vec<Option<usize>>)>,
    pub(crate) outputs: Vec<String>,
}

/// Reads a model file.
pub(crate) fn read(bytes: &[u8]) -> Result<Graph, Broken> {
    let mut graph = None;
    for field in Fields(bytes) {
        if let (7, value) = field? {
            graph = Some(read_graph(value.bytes()?)?);
        }
    }
    graph.ok_or(Broken)
}

fn read_graph(bytes: &[u8]) -> Result<Graph, Broken> {
    let mut graph = Graph::default();
    for field in Fields(bytes) {
        match field? {
            (1, value) => graph.nodes.push(node(value.bytes()?)?),
            (5, value) => {
                let (name, tensor) = tensor(value.bytes()?)?;
                graph.tensors.insert(name, tensor);
            }
            (11, value) => graph.inputs.push(value_info(value.bytes()?)?),
            (12, value) => graph.outputs.push(value_info(value.bytes()?)?.0),
            _ => {}
        }
        if graph.nodes.len() > MAX_NODES {
            return Err(Broken);
        }
    }
    // Old exporters name the weights among the inputs, too.
    let tensors = &graph.tensors;
    graph.inputs.retain(|(name, _)| !tensors.contains_key(name));
    Ok(graph)
}

fn node(bytes: &[u8]) -> Result<Node, Broken> {
    let mut node = Node::default();
    for field in Fields(bytes) {
        match field? {
            (1, value) => node.inputs.push(value.text()?),
            (2, value) => node.outputs.push(value.text()?),
            (4, value) => node.operator = value.text()?,
            (5, value) => {
                let (name, attribute) = attribute(value.bytes()?)?;
                node.attributes.insert(name, attribute);
            }
            _ => {}
        }
    }
    Ok(node)
}

fn attribute(bytes: &[u8]) -> Result<(String, Attribute), Broken> {
    let (mut name, mut attribute) = (String::new(), Attribute::default());
    for field in Fields(bytes) {
        match field? {
            (1, value) => name = value.text()?,
            (2, Field::Float(value)) => attribute.float = Some(value),
            (3, value) => attribute.int = Some(value.int()?),
            (4, value) => attribute.text = value.bytes()?.to_vec(),
            (5, value) => attribute.tensor = Some(tensor(value.bytes()?)?.1),
            (8, value) => value.ints(&mut attribute.ints)?,
            _ => {}
        }
    }
    Ok((name, attribute))
}

fn tensor(bytes: &[u8]) -> Result<(String, Tensor), Broken> {
    let (mut name, mut shape, mut kind) = (String::new(), Vec::new(), 0);
    let (mut floats, mut ints, mut raw) = (Vec::new(), Vec::new(), None);
    for field in Fields(bytes) {
        match field? {
            (1, value) => value.ints(&mut shape)?,
            (2, value) => kind = value.int()?,
            (4, value) => value.floats(&mut floats)?,
            (5 | 7, value) => value.ints(&mut ints)?,
            (8, value) => name = value.text()?,
            (9, value) => raw = Some(value.bytes()?),
            _ => {}
        }
    }
    if shape.len() > MAX_DIMENSIONS {
        return Err(Broken);
    }
    let shape = shape
        .into_iter()
        .map(|side| usize::try_from(side).map_err(|_| Broken))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(raw) = raw {
        match kind {
            1 => floats = raw.as_chunks::<4>().0.iter().map(|n| f32::from_le_bytes(*n)).collect(),
            7 => ints = raw.as_chunks::<8>().0.iter().map(|n| i64::from_le_bytes(*n)).collect(),
            6 => ints = raw.as_chunks::<4>().0.iter().map(|n| i32::from_le_bytes(*n).into()).collect(),
            10 => floats = raw.as_chunks::<2>().0.iter().map(|n| f16::from_le_bytes(*n).to_f32()).collect(),
            11 => floats = raw.as_chunks::<8>().0.iter().map(|n| f64::from_le_bytes(*n) as f32).collect(),
            _ => {}
        }
    }
    // Other types stay empty; using them is what fails.
    let length = shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side)).ok_or(Broken)?;
    let filled = floats.len().max(ints.len());
    if filled != 0 && filled != length {
        return Err(Broken);
    }
    Ok((name, Tensor { shape, floats, ints }))
}

fn value_info(bytes: &[u8]) -> Result<(String, Vec<Option<usize>>), Broken> {
    let (mut name, mut sides) = (String::new(), Vec::new());
    for field in Fields(bytes) {
        match field? {
            (1, value) => name = value.text()?,
            // type, then tensor type, then shape, then one dimension after the other
            (2, value) => {
                for shape in inner(inner(Some(value.bytes()?), 1)?, 2)?.into_iter().flat_map(Fields) {
                    if let (1, dimension) = shape? {
                        sides.push(side(dimension.bytes()?)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok((name, sides))
}

fn inner(bytes: Option<&[u8]>, wanted: u64) -> Result<Option<&[u8]>, Broken> {
    for field in bytes.into_iter().flat_map(Fields) {
        let (number, value) = field?;
        if number == wanted {
            return value.bytes().map(Some);
        }
    }
    Ok(None)
}

fn side(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    for field in Fields(bytes) {
        if let (1, value) = field? {
            return Ok(usize::try_from(value.int()?).ok().filter(|side| *side > 0));
        }
    }
    Ok(None)
}
