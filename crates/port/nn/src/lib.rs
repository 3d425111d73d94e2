//! Inference for small convolutional networks: MobileNetV2, EfficientNet-Lite and their like.
//!
//! [`Engine::load`] reads an ONNX graph, folds what can be folded (batch norm, activations, residual sums) and
//! packs the weights for this processor; [`Engine::run`] answers on one thread or several. A graph with anything else in
//! it is refused with a [`LoadError`] that names what is not known, so that the caller can take a general runtime.
//!
//! - `wire`, `onnx`: the file, read within limits. `plan`, `fold`: the graph as a list of [`plan::Step`]s.
//! - `kernel`: packing, the inner loops for AVX-512, AVX2, NEON and plain Rust, and the walk through a plan. The one
//!   place with `unsafe` code.
//! - `crew`: threads that wait for work.
//!
//! Invariants: a file from outside never makes it panic or take more memory than its limits; the answer does not
//! depend on the number of threads; activations lie as height, width, channel, with channels padded to sixteen.

mod crew;
mod engine;
mod fold;
mod kernel;
mod onnx;
mod plan;
mod wire;

pub use engine::{Engine, Options, RunError};
pub use kernel::Isa;
pub use plan::LoadError;
