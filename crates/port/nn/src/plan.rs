//! A network as a list of steps over numbered buffers.
//!
//! [`Plan::of`] takes folded layers and decides where each result lies: a buffer is used again as soon as nobody reads
//! what is in it. Everything a kernel relies on (sizes, channel counts, which buffer is read and which is written) is
//! decided here, once, and checked against limits.

use crate::fold::{Layer, Op, Source};
use crate::wire::Broken;

/// Channels are padded to a multiple of this many numbers in memory.
pub(crate) const LANES: usize = 16;
/// Most numbers in all buffers together: 256 MiB.
const MAX_FLOATS: usize = 1 << 26;

/// Why a graph is not run by this engine.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not an ONNX file.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// An ONNX graph with something that this engine does not know.
    #[error("this engine does not know {what}")]
    Unknown {
        /// What it met, with the node's place.
        what: String,
    },
    /// Something does not fit together.
    #[error("the graph does not fit together: {what}")]
    Mismatch {
        /// What does not fit.
        what: String,
    },
    /// Larger than is run here.
    #[error("the graph needs more memory than the {} MiB allowed", MAX_FLOATS >> 18)]
    TooLarge,
}

/// Height, width and channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

impl Shape {
    pub(crate) fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Channels with padding.
    pub(crate) fn stride(self) -> usize {
        self.channels.next_multiple_of(LANES)
    }
}

/// A layer and where its data lies.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) layer: Layer,
    pub(crate) input: Shape,
    /// `None`: the network's input.
    pub(crate) from: Option<usize>,
    pub(crate) residual: Option<usize>,
    pub(crate) to: usize,
}

/// All steps, in order.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) steps: Vec<Step>,
    /// Numbers in each buffer.
    pub(crate) buffers: Vec<usize>,
}

impl Plan {
    /// Places the layers; `last` is the one whose result is the answer.
    pub(crate) fn of(input: Shape, mut layers: Vec<Layer>, last: usize) -> Result<Plan, LoadError> {
        layers.truncate(last + 1);
        let mut last_use: Vec<usize> = (0..layers.len()).collect();
        for (index, layer) in layers.iter().enumerate() {
            for source in [Some(layer.from), layer.residual.map(Source::Layer)].into_iter().flatten() {
                if let Source::Layer(source) = source {
                    last_use[source] = index;
                }
            }
        }
        if let Some(last_use) = last_use.last_mut() {
            *last_use = usize::MAX;
        }
        let shapes: Vec<Shape> = layers.iter().map(|layer| layer.output).collect();
        let mut plan = Plan { input, output: shapes[last], steps: Vec::new(), buffers: Vec::new() };
        let mut place: Vec<usize> = Vec::with_capacity(layers.len());
        let mut busy_until: Vec<usize> = Vec::new();
        for (index, layer) in layers.into_iter().enumerate() {
            let length = shapes[index].pixels() * shapes[index].stride();
            let to = match busy_until.iter().position(|until| *until < index) {
                Some(free) => free,
                None => {
                    busy_until.push(0);
                    plan.buffers.push(0);
                    plan.buffers.len() - 1
                }
            };
            busy_until[to] = last_use[index];
            plan.buffers[to] = plan.buffers[to].max(length);
            let (from, input) = match layer.from {
                Source::Input => (None, input),
                Source::Layer(source) => (Some(place[source]), shapes[source]),
            };
            let residual = layer.residual.map(|source| place[source]);
            place.push(to);
            plan.steps.push(Step { layer, input, from, residual, to });
        }
        match plan.floats() {
            Some(floats) if floats <= MAX_FLOATS => Ok(plan),
            _ => Err(LoadError::TooLarge),
        }
    }

    fn floats(&self) -> Option<usize> {
        let planes = self.steps.iter().filter_map(|step| match &step.layer.op {
            Op::Dense(window) => Some(window.padded(self.input)),
            _ => None,
        });
        let planes =
            planes.map(|(height, width)| height.checked_mul(width)?.checked_mul(self.input.channels));
        let buffers = self.buffers.iter().map(|length| Some(*length));
        buffers.chain(planes).try_fold(0usize, |sum, length| sum.checked_add(length?))
    }
}
