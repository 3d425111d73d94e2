//! One picture on its way through a program, by one thread or several.
//!
//! Every step is cut into chunks; who claims a chunk (a bit in an atomic number) does it. A thread goes on to the next step when all chunks of this
//! one are done, whoever did them. A thread that comes late finds nothing left and walks through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::crew::Work;
use crate::fold::Window;

use super::depthwise::Row;
use super::gemm::{Band, Tiles};
use super::isa::Kernels;
use super::memory::Buffer;
use super::program::{Kind, Packed, Panel, Program, band_input_rows};

/// Chunks of a step for each thread, when there are several.
const CHUNKS: usize = 2;
/// Bits of a claim.
const MAX_CHUNKS: usize = 64;
/// Turns of waiting before the processor is given away.
const PATIENCE: usize = 2000;

/// A picture and the memory it goes through.
pub(crate) struct Job {
    program: Arc<Program>,
    planes: Buffer,
    buffers: Vec<Buffer>,
    scratch: Vec<Buffer>,
    threads: usize,
    members: AtomicUsize,
    claims: Vec<Claims>,
    broken: AtomicBool,
}

/// Chunks of one step.
#[derive(Default)]
#[repr(align(128))]
struct Claims {
    /// One bit for each chunk that was begun.
    begun: AtomicU64,
    done: AtomicUsize,
}

impl Claims {
    /// A chunk that nobody has begun. Each thread starts with its own share, which is the same part of the picture in
    /// every step and so still in its cache, and then helps the others.
    fn next(&self, member: usize, threads: usize, chunks: usize) -> Option<usize> {
        let own = chunks * member / threads;
        (own..chunks).chain(0..own).find(|chunk| {
            let bit = 1 << chunk;
            self.begun.load(Ordering::Relaxed) & bit == 0
                && self.begun.fetch_or(bit, Ordering::Relaxed) & bit == 0
        })
    }
}

impl Job {
    pub(crate) fn new(program: Arc<Program>) -> Job {
        Job {
            planes: Buffer::zeros(program.planes),
            buffers: program.buffers.iter().map(|length| Buffer::zeros(*length)).collect(),
            scratch: Vec::new(),
            threads: 1,
            members: AtomicUsize::new(0),
            claims: program.steps.iter().map(|_| Claims::default()).collect(),
            broken: AtomicBool::new(false),
            program,
        }
    }

    /// Takes a picture in: channels, then height, then width.
    pub(crate) fn prepare(&mut self, picture: &[f32], threads: usize) {
        assert_eq!(picture.len(), self.program.input_len());
        self.threads = threads;
        while self.scratch.len() < threads {
            self.scratch.push(Buffer::zeros(self.program.scratch));
        }
        *self.members.get_mut() = 0;
        *self.broken.get_mut() = false;
        for claims in &mut self.claims {
            *claims = Claims::default();
        }
        let input = self.program.input;
        let window = self.program.steps.iter().find_map(|step| match &step.kind {
            Kind::Dense { window, .. } => Some(*window),
            _ => None,
        });
        let Some(window) = window else { return };
        let (height, width) = window.padded(input);
        let [top, left, ..] = window.pads;
        let planes = self.planes.slice_mut();
        for (row, values) in picture.chunks_exact(input.width).enumerate() {
            let (channel, y) = (row / input.height, row % input.height);
            let at = (channel * height + y + top) * width + left;
            planes[at..at + input.width].copy_from_slice(values);
        }
    }

    /// Appends the answer, channels first; `false` if a thread broke off.
    pub(crate) fn finish(&self, output: &mut Vec<f32>) -> bool {
        let Some((last, claims)) = self.program.steps.last().zip(self.claims.last()) else { return false };
        let chunks = self.chunks(units(last, self.kernels()));
        if self.broken.load(Ordering::Acquire) || claims.done.load(Ordering::Acquire) != chunks {
            return false;
        }
        // SAFETY: all chunks of the last step are done, so nobody writes any more.
        let values = unsafe { self.buffers[last.to].slice() };
        let (pixels, stride) = (last.output.pixels(), last.output.stride());
        for channel in 0..last.output.channels {
            output.extend((0..pixels).map(|pixel| values[pixel * stride + channel]));
        }
        true
    }

    fn kernels(&self) -> &'static Kernels {
        self.program.isa().kernels()
    }

    fn chunks(&self, units: usize) -> usize {
        if self.threads == 1 { 1 } else { units.min(self.threads * CHUNKS).min(MAX_CHUNKS) }
    }

    fn step(&self, index: usize, member: usize, scratch: &Buffer) -> bool {
        let (step, claims, kernels) = (&self.program.steps[index], &self.claims[index], self.kernels());
        let units = units(step, kernels);
        let chunks = self.chunks(units);
        while let Some(chunk) = claims.next(member, self.threads, chunks) {
            let walk = Walk { job: self, step, kernels, scratch };
            // SAFETY: this chunk was claimed by this thread alone, all steps before are done, and the scratch memory
            // is this thread's.
            unsafe { walk.units(units * chunk / chunks, units * (chunk + 1) / chunks) };
            claims.done.fetch_add(1, Ordering::Release);
        }
        let mut turns = 0;
        while claims.done.load(Ordering::Acquire) < chunks {
            if self.broken.load(Ordering::Relaxed) {
                return false;
            }
            turns += 1;
            if turns < PATIENCE { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        true
    }
}

impl Work for Job {
    fn work(&self) {
        // Tells the others, should a kernel panic: they would wait for ever.
        struct Guard<'a>(&'a AtomicBool);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.store(true, Ordering::Release);
                }
            }
        }
        let member = self.members.fetch_add(1, Ordering::Relaxed);
        let Some(scratch) = self.scratch.get(member).filter(|_| member < self.threads) else { return };
        let _guard = Guard(&self.broken);
        let _all = (0..self.program.steps.len()).all(|index| self.step(index, member, scratch));
    }
}

/// How many parts a step has that can be computed on their own.
fn units(step: &Packed, kernels: &Kernels) -> usize {
    match &step.kind {
        Kind::Dense { .. } => step.output.height,
        Kind::Pointwise { by_panel: true, panels, .. } => panels.len(),
        Kind::Pointwise { tiles, .. } => tiles.count,
        Kind::Depthwise { rows, .. } => {
            step.output.height.div_ceil(*rows) * (step.output.stride() / kernels.lanes)
        }
        Kind::Pool => 1,
    }
}

/// One thread at one step.
struct Walk<'a> {
    job: &'a Job,
    step: &'a Packed,
    kernels: &'a Kernels,
    scratch: &'a Buffer,
}

impl Walk<'_> {
    /// Computes units `first..last`.
    ///
    /// # Safety
    /// Nobody else may compute the same units or use the same scratch, and all steps before must be done.
    unsafe fn units(&self, first: usize, last: usize) {
        // SAFETY: the caller's promise, handed on.
        unsafe {
            match &self.step.kind {
                Kind::Dense { window, offsets, tiles, panels } => {
                    for y in first..last {
                        self.dense_row(window, offsets, *tiles, panels, y);
                    }
                }
                Kind::Pointwise { tiles, block, by_panel: false, panels } => {
                    for begin in (first..last).step_by(*block) {
                        self.pointwise(*tiles, panels, begin, last.min(begin + block));
                    }
                }
                Kind::Pointwise { tiles, block, panels, .. } => {
                    for begin in (0..tiles.count).step_by(*block) {
                        self.pointwise(*tiles, &panels[first..last], begin, tiles.count.min(begin + block));
                    }
                }
                Kind::Depthwise { window, rows } => {
                    self.depthwise(window, *rows, first, last);
                }
                Kind::Pool => self.pool(),
            }
        }
    }

    fn input(&self) -> *const f32 {
        match self.step.from {
            Some(from) => self.job.buffers[from].pointer(),
            None => self.job.planes.pointer(),
        }
    }

    fn output(&self) -> *mut f32 {
        self.job.buffers[self.step.to].pointer()
    }

    unsafe fn dense_row(&self, window: &Window, offsets: &[usize], tiles: Tiles, panels: &[Panel], y: usize) {
        let (_, width) = window.padded(self.job.program.input);
        let stride = self.step.output.stride();
        for panel in panels {
            // SAFETY: row `y` of output reads rows of the planes that the window covers, which `Plan` sized; panels end
            // at the stride, which weights and bias reach (`Program::check`).
            unsafe {
                let band = Band {
                    input: self.input().add(y * window.stride.0 * width),
                    input_stride: window.stride.1,
                    offsets: offsets.as_ptr(),
                    depth: offsets.len(),
                    weight: self.step.weight.pointer().add(panel.channel * offsets.len()),
                    bias: self.step.bias.pointer().add(panel.channel),
                    output: self.output().add(y * self.step.output.width * stride + panel.channel),
                    output_stride: stride,
                    residual: std::ptr::null(),
                    low: self.step.low,
                    high: self.step.high,
                };
                (self.kernels.band)(panel.wide, &band, tiles, 0, tiles.count);
            }
        }
    }

    unsafe fn pointwise(&self, tiles: Tiles, panels: &[Panel], first: usize, last: usize) {
        let (depth, stride) = (self.step.input.channels, self.step.output.stride());
        for panel in panels {
            // SAFETY: tiles end at the last pixel, panels at the stride; buffers and weights reach there
            // (`Program::check`).
            unsafe {
                let residual = match self.step.residual {
                    Some(residual) => self.job.buffers[residual].pointer().add(panel.channel).cast_const(),
                    None => std::ptr::null(),
                };
                let band = Band {
                    input: self.input(),
                    input_stride: self.step.input.stride(),
                    offsets: std::ptr::null(),
                    depth,
                    weight: self.step.weight.pointer().add(panel.channel * depth),
                    bias: self.step.bias.pointer().add(panel.channel),
                    output: self.output().add(panel.channel),
                    output_stride: stride,
                    residual,
                    low: self.step.low,
                    high: self.step.high,
                };
                (self.kernels.band)(panel.wide, &band, tiles, first, last);
            }
        }
    }

    unsafe fn depthwise(&self, window: &Window, rows: usize, first: usize, last: usize) {
        let lanes = self.kernels.lanes;
        let blocks = self.step.output.stride() / lanes;
        let (_, width) = window.padded(self.step.input);
        let used = band_input_rows(window, rows) * width * lanes;
        // SAFETY: the scratch is this thread's and at least as long as the largest band (`Program::new`).
        unsafe { self.scratch.pointer().write_bytes(0, used) };
        for unit in first..last {
            let (band, channel) = (unit / blocks, unit % blocks * lanes);
            let begin = band * rows;
            let end = (begin + rows).min(self.step.output.height);
            // SAFETY: as for this function; the unit's rows and channels exist.
            unsafe { self.fill(window, begin, end, channel, width) };
            for y in begin..end {
                let taps = window.kernel.0 * window.kernel.1;
                let at = (y * self.step.output.width) * self.step.output.stride() + channel;
                // SAFETY: the row lies in the scratch that was filled; weights have a block for each vector of
                // channels; the output row exists and is this unit's.
                unsafe {
                    let row = Row {
                        input: self.scratch.pointer().add((y - begin) * window.stride.0 * width * lanes),
                        row_stride: width * lanes,
                        weight: self.step.weight.pointer().add(channel * taps),
                        bias: self.step.bias.pointer().add(channel),
                        output: self.output().add(at),
                        output_stride: self.step.output.stride(),
                        width: self.step.output.width,
                        low: self.step.low,
                        high: self.step.high,
                    };
                    (self.kernels.row)(window.kernel.0, window.stride.0, &row);
                }
            }
        }
    }

    /// Copies the rows that output rows `begin..end` need into scratch. Left and right borders stay zero; rows above and
    /// below the picture are zeroed.
    unsafe fn fill(&self, window: &Window, begin: usize, end: usize, channel: usize, width: usize) {
        let (lanes, input) = (self.kernels.lanes, self.step.input);
        let [top, left, ..] = window.pads;
        for row in 0..band_input_rows(window, end - begin) {
            let to = row * width * lanes;
            let y = begin * window.stride.0 + row;
            // SAFETY: `row` is below the rows of a band and `y - top` below the height where it is copied.
            unsafe {
                let to = self.scratch.pointer().add(to);
                if y < top || y - top >= input.height {
                    to.write_bytes(0, width * lanes);
                } else {
                    let from = self.input().add((y - top) * input.width * input.stride() + channel);
                    (self.kernels.gather)(from, input.stride(), input.width, to.add(left * lanes));
                }
            }
        }
    }

    unsafe fn pool(&self) {
        let (input, stride) = (self.step.input, self.step.input.stride());
        // SAFETY: the input is complete and nobody writes it; the output is this thread's, as there is one unit.
        let (values, output) = unsafe {
            (
                std::slice::from_raw_parts(self.input(), input.pixels() * stride),
                std::slice::from_raw_parts_mut(self.output(), stride),
            )
        };
        output.fill(0.0);
        for pixel in values.chunks_exact(stride) {
            output.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
        }
        output.iter_mut().for_each(|sum| *sum /= input.pixels() as f32);
    }
}
