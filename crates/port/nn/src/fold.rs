//! A graph as convolutions with everything folded in that can be.
//!
//! Batch norm goes into weights and bias, `Clip` and `Relu` become limits of the layer before, a sum becomes the
//! residual of a pointwise convolution, a `Pad` becomes part of the convolution behind it. A tensor that anybody else
//! reads, too, is not folded away.

use std::collections::HashMap;

use crate::onnx::{Graph, Node, Tensor};
use crate::plan::{LoadError, Shape};

/// Longest side of a picture, and most channels.
const MAX_SIDE: usize = 1 << 14;

/// Where a layer's input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Input,
    Layer(usize),
}

/// How a kernel walks over a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) kernel: (usize, usize),
    pub(crate) stride: (usize, usize),
    /// Top, left, bottom, right.
    pub(crate) pads: [usize; 4],
}

impl Window {
    /// Height and width of the result, if there is one.
    fn output(&self, input: Shape) -> Option<(usize, usize)> {
        let side = |length: usize, before: usize, after: usize, kernel: usize, stride: usize| {
            Some((length + before + after).checked_sub(kernel)? / stride + 1)
        };
        let [top, left, bottom, right] = self.pads;
        Some((
            side(input.height, top, bottom, self.kernel.0, self.stride.0)?,
            side(input.width, left, right, self.kernel.1, self.stride.1)?,
        ))
    }

    /// Height and width with padding.
    pub(crate) fn padded(&self, input: Shape) -> (usize, usize) {
        let [top, left, bottom, right] = self.pads;
        (input.height + top + bottom, input.width + left + right)
    }
}

/// What a layer computes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// A convolution over all channels, of the network's input.
    Dense(Window),
    /// A 1x1 convolution, or a linear layer; weights `[outputs][inputs]`.
    Pointwise,
    /// Each channel on its own, a square kernel; weights `[channels][kernel][kernel]`.
    Depthwise(Window),
    /// The mean of each channel.
    Pool,
}

/// A layer with its weights, as in the file.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) op: Op,
    pub(crate) from: Source,
    pub(crate) residual: Option<usize>,
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) low: f32,
    pub(crate) high: f32,
    pub(crate) output: Shape,
    clipped: bool,
}

/// The layers of a graph, and which of them is the answer.
pub(crate) fn fold(graph: &Graph, input: Shape) -> Result<(Vec<Layer>, usize), LoadError> {
    if input.channels == 0 || input.height.max(input.width).max(input.channels) > MAX_SIDE {
        return Err(LoadError::TooLarge);
    }
    let ([(name, _)], [output]) = (&graph.inputs[..], &graph.outputs[..]) else {
        return Err(unknown("graphs with several inputs or outputs"));
    };
    let mut folder = Folder {
        input,
        uses: uses(graph),
        constants: graph.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect(),
        values: HashMap::from([(name.clone(), Value::plain(Source::Input))]),
        layers: Vec::new(),
    };
    for node in &graph.nodes {
        folder.node(node)?;
    }
    match folder.values.get(output) {
        Some(Value { source: Source::Layer(last), pads: [0, 0, 0, 0] }) => Ok((folder.layers, *last)),
        _ => Err(mismatch("no layer makes the output")),
    }
}

fn uses(graph: &Graph) -> HashMap<String, usize> {
    let mut uses = HashMap::new();
    for name in graph.nodes.iter().flat_map(|node| &node.inputs).chain(&graph.outputs) {
        *uses.entry(name.clone()).or_insert(0) += 1;
    }
    uses
}

/// A picture under way, with a border of zeros that is still to be made.
#[derive(Clone, Copy, Debug)]
struct Value {
    source: Source,
    pads: [usize; 4],
}

impl Value {
    fn plain(source: Source) -> Value {
        Value { source, pads: [0; 4] }
    }
}

struct Folder {
    input: Shape,
    uses: HashMap<String, usize>,
    constants: HashMap<String, Tensor>,
    values: HashMap<String, Value>,
    layers: Vec<Layer>,
}

impl Folder {
    fn node(&mut self, node: &Node) -> Result<(), LoadError> {
        let output = node.outputs.first().ok_or_else(|| mismatch("a node has no output"))?.clone();
        if node.operator == "Constant" {
            let tensor = node.constant().ok_or_else(|| unknown("this kind of constant"))?;
            self.constants.insert(output, tensor);
            return Ok(());
        }
        let first = node.inputs.first().ok_or_else(|| mismatch("a node has no input"))?;
        if let Some(tensor) = self.constants.get(first) {
            // Casts of half-precision weights; the reader has widened them already.
            return match node.operator.as_str() {
                "Cast" | "Identity" => {
                    let tensor = tensor.clone();
                    self.constants.insert(output, tensor);
                    Ok(())
                }
                other => Err(unknown(&format!("`{other}` of a constant"))),
            };
        }
        let value = match node.operator.as_str() {
            "Conv" => self.convolution(node)?,
            "BatchNormalization" => self.batch_norm(node)?,
            "Clip" | "Relu" => self.clip(node)?,
            "Add" => self.add(node)?,
            "Pad" => self.pad(node)?,
            "GlobalAveragePool" | "ReduceMean" => self.pool(node)?,
            "Gemm" | "MatMul" => self.linear(node)?,
            "Flatten" | "Reshape" | "Squeeze" => self.flatten(node)?,
            "Identity" | "Dropout" => self.value(first)?,
            other => return Err(unknown(&format!("the operator `{other}`"))),
        };
        self.values.insert(output, value);
        Ok(())
    }

    fn value(&self, name: &str) -> Result<Value, LoadError> {
        self.values.get(name).copied().ok_or_else(|| mismatch(&format!("`{name}` is not computed")))
    }

    /// A value without a pending border, with its shape.
    fn picture(&self, name: &str) -> Result<(Source, Shape), LoadError> {
        let value = self.value(name)?;
        if value.pads != [0; 4] {
            return Err(unknown("padding in front of anything but a convolution"));
        }
        Ok((value.source, self.shape(value.source)))
    }

    fn shape(&self, source: Source) -> Shape {
        match source {
            Source::Input => self.input,
            Source::Layer(layer) => self.layers[layer].output,
        }
    }

    fn floats(&self, node: &Node, index: usize) -> Result<&Tensor, LoadError> {
        let name = node.inputs.get(index).map_or("", String::as_str);
        match self.constants.get(name) {
            Some(tensor) if !tensor.floats.is_empty() => Ok(tensor),
            _ => Err(unknown(&format!("`{}` with weights that are not constant floats", node.operator))),
        }
    }

    fn push(&mut self, layer: Layer) -> Result<Value, LoadError> {
        let Shape { height, width, channels } = layer.output;
        if height.max(width).max(channels) > MAX_SIDE || height * width > (1 << 24) {
            return Err(LoadError::TooLarge);
        }
        if layer.op != Op::Pool && layer.bias.len() != channels {
            return Err(mismatch("a bias has another length than the channels"));
        }
        self.layers.push(layer);
        Ok(Value::plain(Source::Layer(self.layers.len() - 1)))
    }

    fn convolution(&mut self, node: &Node) -> Result<Value, LoadError> {
        let value = self.value(&node.inputs[0])?;
        let input = self.shape(value.source);
        let weight = self.floats(node, 1)?.clone();
        let [outputs, per_group, height, width] = weight.shape[..] else {
            return Err(unknown("convolutions that are not over pictures"));
        };
        let bias = match node.inputs.get(2).filter(|name| !name.is_empty()) {
            Some(_) => self.floats(node, 2)?.floats.clone(),
            None => vec![0.0; outputs],
        };
        if outputs.max(height).max(width) > MAX_SIDE || height * width * outputs == 0 {
            return Err(mismatch("a convolution of no size"));
        }
        let window = window(node, value.pads, (height, width), input)?;
        let group = node.int("group").unwrap_or(1);
        let plain = window.kernel == (1, 1) && window.stride == (1, 1) && window.pads == [0; 4];
        let of_each = group == input.channels as i64 && per_group == 1 && outputs == input.channels;
        let of_all = group == 1 && per_group == input.channels;
        // Of a single channel both are true.
        let op = match value.source {
            Source::Input if of_all => {
                if self.layers.iter().any(|layer| matches!(layer.op, Op::Dense(_))) {
                    return Err(unknown("two convolutions of the network's input"));
                }
                Op::Dense(window)
            }
            Source::Layer(_) if of_all && plain => Op::Pointwise,
            Source::Layer(_) if of_each => {
                let square = height == width && window.stride.0 == window.stride.1;
                if !square || !matches!(height, 3 | 5 | 7) || !matches!(window.stride.0, 1 | 2) {
                    return Err(unknown(&format!(
                        "a {height}x{width} convolution of each channel like this"
                    )));
                }
                Op::Depthwise(window)
            }
            _ if of_all => return Err(unknown(&format!("a {height}x{width} convolution over all channels"))),
            _ if of_each => return Err(unknown("a convolution of each channel of the network's input")),
            _ => return Err(unknown("convolutions in groups")),
        };
        let (height, width) =
            window.output(input).ok_or_else(|| mismatch("a kernel larger than the picture"))?;
        self.push(Layer {
            op,
            from: value.source,
            residual: None,
            weight: weight.floats,
            bias,
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
            output: Shape { height, width, channels: outputs },
            clipped: false,
        })
    }

    /// The layer that made a tensor, if nobody else reads it and nothing was folded behind its sum.
    fn only_reader(&mut self, name: &str) -> Option<(usize, &mut Layer)> {
        let Some(Value { source: Source::Layer(index), pads: [0, 0, 0, 0] }) = self.values.get(name) else {
            return None;
        };
        let layer = self.layers.get_mut(*index)?;
        (self.uses.get(name) == Some(&1) && !layer.clipped).then_some((*index, layer))
    }

    fn batch_norm(&mut self, node: &Node) -> Result<Value, LoadError> {
        let row = |index| self.floats(node, index).map(|tensor| tensor.floats.clone());
        let rows = [row(1)?, row(2)?, row(3)?, row(4)?];
        let epsilon = node.float("epsilon").unwrap_or(1e-5);
        let refused = || unknown("batch norm that does not follow a convolution directly");
        let (index, layer) = self.only_reader(&node.inputs[0]).ok_or_else(refused)?;
        if layer.residual.is_some() || layer.op == Op::Pool {
            return Err(refused());
        }
        let outputs = layer.output.channels;
        if rows.iter().any(|row| row.len() != outputs) {
            return Err(mismatch("a batch norm has another length than the channels"));
        }
        let per_output = layer.weight.len() / outputs;
        let channels = layer.weight.chunks_exact_mut(per_output).zip(&mut layer.bias).enumerate();
        for (channel, (weights, bias)) in channels {
            let [gain, shift, mean, variance] = [0, 1, 2, 3].map(|row: usize| rows[row][channel]);
            let scale = gain / (variance + epsilon).sqrt();
            weights.iter_mut().for_each(|weight| *weight *= scale);
            *bias = (*bias - mean) * scale + shift;
        }
        Ok(Value::plain(Source::Layer(index)))
    }

    fn clip(&mut self, node: &Node) -> Result<Value, LoadError> {
        let limit = |index: usize, attribute: &str| -> Result<Option<f32>, LoadError> {
            match node.inputs.get(index).filter(|name| !name.is_empty()) {
                Some(_) => Ok(self.floats(node, index)?.floats.first().copied()),
                None => Ok(node.float(attribute)),
            }
        };
        let (low, high) = match node.operator.as_str() {
            "Relu" => (0.0, f32::INFINITY),
            _ => (limit(1, "min")?.unwrap_or(f32::NEG_INFINITY), limit(2, "max")?.unwrap_or(f32::INFINITY)),
        };
        let found = self.only_reader(&node.inputs[0]);
        let (index, layer) =
            found.ok_or_else(|| unknown("an activation that does not follow a layer directly"))?;
        if layer.op == Op::Pool {
            return Err(unknown("an activation behind a mean"));
        }
        (layer.low, layer.high, layer.clipped) = (low, high, true);
        Ok(Value::plain(Source::Layer(index)))
    }

    /// The sum becomes part of the later one of its two layers.
    fn add(&mut self, node: &Node) -> Result<Value, LoadError> {
        let [a, b] = &node.inputs[..] else { return Err(mismatch("a sum of one")) };
        if let Some(tensor) = self.constants.get(b).cloned() {
            return self.add_bias(a, &tensor);
        }
        let ((Source::Layer(first), shape), (Source::Layer(second), other)) =
            (self.picture(a)?, self.picture(b)?)
        else {
            return Err(unknown("a sum with the network's input"));
        };
        if shape != other {
            return Err(unknown("a sum of pictures of different shapes"));
        }
        let (name, source) = if first > second { (a, second) } else { (b, first) };
        let refused = || unknown("a sum that does not follow a 1x1 convolution directly");
        let (index, layer) = self.only_reader(name).ok_or_else(refused)?;
        if layer.op != Op::Pointwise || layer.residual.is_some() || source >= index {
            return Err(refused());
        }
        layer.residual = Some(source);
        Ok(Value::plain(Source::Layer(index)))
    }

    /// `MatMul` and a bias behind it.
    fn add_bias(&mut self, name: &str, bias: &Tensor) -> Result<Value, LoadError> {
        let refused = || unknown("a sum with a constant that is no bias");
        let (index, layer) = self.only_reader(name).ok_or_else(refused)?;
        let linear = layer.op == Op::Pointwise && layer.output.pixels() == 1 && layer.residual.is_none();
        if !linear || bias.floats.len() != layer.bias.len() {
            return Err(refused());
        }
        layer.bias.iter_mut().zip(&bias.floats).for_each(|(own, more)| *own += more);
        Ok(Value::plain(Source::Layer(index)))
    }

    fn pad(&mut self, node: &Node) -> Result<Value, LoadError> {
        let value = self.value(&node.inputs[0])?;
        let amounts = match node.inputs.get(1).and_then(|name| self.constants.get(name)) {
            Some(tensor) => tensor.ints.clone(),
            None => node.ints("pads").unwrap_or_default().to_vec(),
        };
        let zeros = match node.inputs.get(2).filter(|name| !name.is_empty()) {
            Some(name) => self.constants.get(name).is_some_and(|value| value.floats == [0.0]),
            None => node.float("value").unwrap_or(0.0) == 0.0,
        };
        let constant = node.text("mode").is_none_or(|mode| mode == b"constant");
        let [0, 0, top, left, 0, 0, bottom, right] = amounts[..] else {
            return Err(unknown("padding of this kind"));
        };
        if !zeros || !constant || value.pads != [0; 4] {
            return Err(unknown("padding with anything but zeros"));
        }
        Ok(Value { source: value.source, pads: sides(&[top, left, bottom, right])? })
    }

    fn pool(&mut self, node: &Node) -> Result<Value, LoadError> {
        let (from, shape) = self.picture(&node.inputs[0])?;
        if node.operator == "ReduceMean" {
            let axes = match node.inputs.get(1).and_then(|name| self.constants.get(name)) {
                Some(tensor) => tensor.ints.clone(),
                None => node.ints("axes").unwrap_or_default().to_vec(),
            };
            if !matches!(axes[..], [2, 3] | [-2, -1] | [-1, -2] | [3, 2]) {
                return Err(unknown("means over anything but a picture"));
            }
        }
        if from == Source::Input {
            return Err(unknown("a mean of the network's input"));
        }
        self.push(Layer {
            op: Op::Pool,
            from,
            residual: None,
            weight: Vec::new(),
            bias: Vec::new(),
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
            output: Shape { height: 1, width: 1, channels: shape.channels },
            clipped: false,
        })
    }

    fn linear(&mut self, node: &Node) -> Result<Value, LoadError> {
        let (from, shape) = self.picture(&node.inputs[0])?;
        let weight = self.floats(node, 1)?;
        let [rows, columns] = weight.shape[..] else { return Err(unknown("products of this shape")) };
        let plain = |name: &str| node.float(name).is_none_or(|value| value == 1.0);
        if shape.pixels() != 1 || from == Source::Input || node.int("transA").unwrap_or(0) != 0 {
            return Err(unknown("a linear layer that does not follow a mean"));
        }
        if !plain("alpha") || !plain("beta") {
            return Err(unknown("a linear layer with factors"));
        }
        let transposed = node.int("transB").unwrap_or(0) == 1;
        let (outputs, inputs) = if transposed { (rows, columns) } else { (columns, rows) };
        if inputs != shape.channels || weight.floats.len() != inputs * outputs {
            return Err(mismatch("a linear layer has another width than its input"));
        }
        let weights = if transposed {
            weight.floats.clone()
        } else {
            (0..outputs * inputs).map(|i| weight.floats[i % inputs * outputs + i / inputs]).collect()
        };
        let bias = match node.inputs.get(2).filter(|name| !name.is_empty()) {
            Some(_) => self.floats(node, 2)?.floats.clone(),
            None => vec![0.0; outputs],
        };
        self.push(Layer {
            op: Op::Pointwise,
            from,
            residual: None,
            weight: weights,
            bias,
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
            output: Shape { height: 1, width: 1, channels: outputs },
            clipped: false,
        })
    }

    /// Only what leaves numbers where they are: `[N, C, 1, 1]` to `[N, C]`.
    fn flatten(&mut self, node: &Node) -> Result<Value, LoadError> {
        let (source, shape) = self.picture(&node.inputs[0])?;
        if shape.pixels() != 1 || node.int("axis").unwrap_or(1) != 1 {
            return Err(unknown(&format!("`{}` of a picture", node.operator)));
        }
        if node.operator == "Reshape" {
            let wanted = node.inputs.get(1).and_then(|name| self.constants.get(name));
            let ints = wanted.map(|tensor| tensor.ints.clone()).unwrap_or_default();
            let channels = shape.channels as i64;
            if !matches!(ints[..], [-1..=1, c] if c == channels || (c == -1 && ints[0] != -1)) {
                return Err(unknown("a `Reshape` like this"));
            }
        }
        Ok(Value::plain(source))
    }
}

fn window(
    node: &Node,
    border: [usize; 4],
    kernel: (usize, usize),
    input: Shape,
) -> Result<Window, LoadError> {
    let pair = |name: &str| -> Result<(usize, usize), LoadError> {
        match node.ints(name) {
            None | Some([]) => Ok((1, 1)),
            Some(&[a, b]) if (1..=64).contains(&a) && (1..=64).contains(&b) => Ok((a as usize, b as usize)),
            Some(_) => Err(unknown(&format!("`{name}` of this kind"))),
        }
    };
    let stride = pair("strides")?;
    if pair("dilations")? != (1, 1) {
        return Err(unknown("dilated convolutions"));
    }
    let mut pads = match node.ints("pads") {
        None | Some([]) => [0; 4],
        Some(pads) => sides(pads)?,
    };
    match node.text("auto_pad") {
        None | Some(b"NOTSET" | b"") => {}
        Some(b"VALID") => pads = [0; 4],
        Some(b"SAME_UPPER") if border == [0; 4] => {
            let around = |length: usize, kernel: usize, stride: usize| {
                let total = ((length.div_ceil(stride) - 1) * stride + kernel).saturating_sub(length);
                (total / 2, total - total / 2)
            };
            let (top, bottom) = around(input.height, kernel.0, stride.0);
            let (left, right) = around(input.width, kernel.1, stride.1);
            pads = [top, left, bottom, right];
        }
        Some(_) => return Err(unknown("automatic padding of this kind")),
    }
    for (own, more) in pads.iter_mut().zip(border) {
        *own += more;
    }
    Ok(Window { kernel, stride, pads })
}

fn sides(pads: &[i64]) -> Result<[usize; 4], LoadError> {
    let &[top, left, bottom, right] = pads else { return Err(unknown("padding of this kind")) };
    let side = |pad: i64| match pad {
        0..=64 => Ok(pad as usize),
        _ => Err(unknown("padding of this size")),
    };
    Ok([side(top)?, side(left)?, side(bottom)?, side(right)?])
}

fn unknown(what: &str) -> LoadError {
    LoadError::Unknown { what: what.to_owned() }
}

fn mismatch(what: &str) -> LoadError {
    LoadError::Mismatch { what: what.to_owned() }
}
