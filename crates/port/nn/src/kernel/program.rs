//! A plan with packed weights for one instruction set.
//!
//! Weights of a product lie in panels: for two vectors of output channels (four when there is a single pixel) all
//! inputs one after the other. Weights of a depthwise convolution lie in blocks of one vector of channels.

use crate::fold::{Op, Window};
use crate::plan::{LANES, Plan, Shape, Step};

use super::gemm::Tiles;
use super::isa::{Isa, Kernels};
use super::memory::Buffer;

/// Numbers of input that should stay in the second-level cache while all panels pass: 256 KiB.
const BLOCK: usize = 1 << 16;
/// Scratch of a depthwise convolution, in numbers: 64 KiB.
const SCRATCH: usize = 1 << 14;

/// A network that can be run.
pub(crate) struct Program {
    isa: Isa,
    pub(super) input: Shape,
    pub(super) output: Shape,
    pub(super) steps: Vec<Packed>,
    pub(super) buffers: Vec<usize>,
    /// Numbers of the padded input planes.
    pub(super) planes: usize,
    /// Numbers of scratch for each thread.
    pub(super) scratch: usize,
}

/// One step with its packed weights.
pub(super) struct Packed {
    pub(super) kind: Kind,
    pub(super) weight: Buffer,
    pub(super) bias: Buffer,
    pub(super) input: Shape,
    pub(super) output: Shape,
    pub(super) from: Option<usize>,
    pub(super) residual: Option<usize>,
    pub(super) to: usize,
    pub(super) low: f32,
    pub(super) high: f32,
}

/// What a step does, with what only it needs.
pub(super) enum Kind {
    /// Of the padded input planes; a unit of work is a row of output.
    Dense { window: Window, offsets: Vec<usize>, tiles: Tiles, panels: Vec<Panel> },
    /// Units are blocks of tiles, or panels if `by_panel`.
    Pointwise { tiles: Tiles, block: usize, by_panel: bool, panels: Vec<Panel> },
    /// Units are blocks of channels of bands of `rows` rows of output.
    Depthwise { window: Window, rows: usize },
    /// One unit.
    Pool,
}

/// A few vectors of output channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    /// First channel.
    pub(super) channel: usize,
    /// Vectors.
    pub(super) wide: usize,
}

impl Program {
    /// Packs a plan.
    pub(crate) fn new(plan: Plan, isa: Isa) -> Program {
        let kernels = isa.kernels();
        let (mut planes, mut scratch) = (0, 0);
        for step in &plan.steps {
            match &step.layer.op {
                Op::Dense(window) => planes = planes.max(plane_len(plan.input, window) * plan.input.channels),
                Op::Depthwise(window) => {
                    let rows = band_rows(step.input, step.layer.output, window, kernels);
                    scratch = scratch.max(scratch_len(step.input, window, rows, kernels));
                }
                _ => {}
            }
        }
        let Plan { input, output, steps, buffers } = plan;
        let steps = steps.into_iter().map(|step| pack(step, kernels)).collect();
        let program = Program { isa, input, output, steps, buffers, planes, scratch };
        program.check();
        program
    }

    /// What the kernels rely on.
    fn check(&self) {
        for step in &self.steps {
            let lines = step.output.stride();
            assert!(self.buffers[step.to] >= step.output.pixels() * lines, "a buffer is too short");
            if let Some(from) = step.from {
                assert!(self.buffers[from] >= step.input.pixels() * step.input.stride());
                assert_ne!(from, step.to, "a step must not write what it reads");
            }
            if let Some(residual) = step.residual {
                assert!(self.buffers[residual] >= step.output.pixels() * lines);
                assert_ne!(residual, step.to);
            }
            let weights = match &step.kind {
                Kind::Dense { offsets, .. } => offsets.len() * lines,
                Kind::Pointwise { .. } => step.input.channels * lines,
                Kind::Depthwise { window, .. } => window.kernel.0 * window.kernel.1 * lines,
                Kind::Pool => 0,
            };
            assert!(step.weight.len() >= weights, "weights are too short");
            assert!(step.bias.len() >= if weights > 0 { lines } else { 0 });
        }
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    pub(crate) fn input_len(&self) -> usize {
        self.input.pixels() * self.input.channels
    }

    pub(crate) fn output_len(&self) -> usize {
        self.output.pixels() * self.output.channels
    }
}

/// Numbers of one padded plane of the input.
fn plane_len(input: Shape, window: &Window) -> usize {
    let (height, width) = window.padded(input);
    height * width
}

/// Rows of output in a band, so that the scratch memory stays small.
fn band_rows(input: Shape, output: Shape, window: &Window, kernels: &Kernels) -> usize {
    let (_, width) = window.padded(input);
    let fitting = SCRATCH / (width * kernels.lanes);
    let rows = fitting.saturating_sub(window.kernel.0) / window.stride.0 + 1;
    let height = output.height;
    // Bands as even as can be.
    height.div_ceil(height.div_ceil(rows.max(1)))
}

pub(super) fn band_input_rows(window: &Window, rows: usize) -> usize {
    (rows - 1) * window.stride.0 + window.kernel.0
}

fn scratch_len(input: Shape, window: &Window, rows: usize, kernels: &Kernels) -> usize {
    let (_, width) = window.padded(input);
    band_input_rows(window, rows) * width * kernels.lanes
}

fn pack(step: Step, kernels: &Kernels) -> Packed {
    let Step { layer, input, from, residual, to } = step;
    let output = layer.output;
    let mut bias = layer.bias.clone();
    bias.resize(output.stride(), 0.0);
    let (kind, weight) = match layer.op {
        Op::Dense(window) => {
            let depth = layer.weight.len() / output.channels;
            let panels = panels(output.stride(), 2, kernels);
            let weight = in_panels(&layer.weight, depth, output.channels, &panels, kernels);
            // Offsets take registers, too.
            let tiles = Tiles::of(output.width, kernels.rows.min(8));
            (Kind::Dense { offsets: offsets(input, &window), window, tiles, panels }, weight)
        }
        Op::Pointwise => {
            let widest = if output.pixels() == 1 { 4 } else { 2 };
            let panels = panels(output.stride(), widest, kernels);
            let weight = in_panels(&layer.weight, input.channels, output.channels, &panels, kernels);
            let tiles = Tiles::of(output.pixels(), kernels.rows);
            let block = (BLOCK / input.stride() / kernels.rows).max(1);
            // With more weights than pixels each thread should see a part of the weights, not of the pixels.
            let by_panel = output.stride() > output.pixels() && panels.len() > 1;
            (Kind::Pointwise { tiles, block, by_panel, panels }, weight)
        }
        Op::Depthwise(window) => {
            let rows = band_rows(input, output, &window, kernels);
            (Kind::Depthwise { window, rows }, in_blocks(&layer.weight, output, kernels.lanes))
        }
        Op::Pool => (Kind::Pool, Vec::new()),
    };
    Packed {
        kind,
        weight: Buffer::of(&weight),
        bias: Buffer::of(&bias),
        input,
        output,
        from,
        residual,
        to,
        low: layer.low,
        high: layer.high,
    }
}

/// Where the inputs of an output pixel lie in the padded planes, in the order of the weights.
fn offsets(input: Shape, window: &Window) -> Vec<usize> {
    let (height, width) = window.padded(input);
    let mut offsets = Vec::new();
    for channel in 0..input.channels {
        for y in 0..window.kernel.0 {
            for x in 0..window.kernel.1 {
                offsets.push((channel * height + y) * width + x);
            }
        }
    }
    offsets
}

fn panels(channels: usize, widest: usize, kernels: &Kernels) -> Vec<Panel> {
    let mut panels = Vec::new();
    let mut channel = 0;
    while channel < channels {
        let mut wide = widest;
        while wide * kernels.lanes > channels - channel {
            wide /= 2;
        }
        panels.push(Panel { channel, wide });
        channel += wide * kernels.lanes;
    }
    panels
}

fn in_panels(weight: &[f32], depth: usize, outputs: usize, panels: &[Panel], kernels: &Kernels) -> Vec<f32> {
    let mut packed = Vec::with_capacity(depth * outputs.next_multiple_of(LANES));
    for panel in panels {
        for k in 0..depth {
            for output in panel.channel..panel.channel + panel.wide * kernels.lanes {
                packed.push(if output < outputs { weight[output * depth + k] } else { 0.0 });
            }
        }
    }
    packed
}

fn in_blocks(weight: &[f32], output: Shape, lanes: usize) -> Vec<f32> {
    let taps = weight.len() / output.channels;
    let mut packed = Vec::with_capacity(taps * output.stride());
    for block in (0..output.stride()).step_by(lanes) {
        for tap in 0..taps {
            for channel in block..block + lanes {
                packed.push(if channel < output.channels { weight[channel * taps + tap] } else { 0.0 });
            }
        }
    }
    packed
}
