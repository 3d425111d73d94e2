//! Packing, inner loops, and the walk through a plan. The one place with `unsafe` code.
//!
//! Why it is sound:
//! - A [`Program`] is made from a [`Plan`] alone, which fixes every size; [`Program::new`] checks with assertions, once,
//!   that weights, buffers and scratch are as long as the loops below read and write.
//! - Each step is cut into chunks that write disjoint parts of its buffer. A chunk is claimed by one thread (an atomic
//!   bit) and the next step begins for nobody before all chunks of the one before are done, so what is written is
//!   never read or written by another thread at the same time.
//! - Functions for an instruction set are reached only through an [`Isa`] that this processor has.

#![allow(unsafe_code)]
#![allow(
    clippy::needless_range_loop,
    reason = "fixed bounds over small arrays keep the sums in registers; the loops read like the formulas"
)]

mod depthwise;
mod gemm;
mod isa;
mod job;
mod memory;
mod program;
mod vector;

pub use isa::Isa;
pub(crate) use job::Job;
pub(crate) use program::Program;
