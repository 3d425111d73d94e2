//! The sandbox with real processes, in both modes. Where the kernel refuses namespaces, those tests say so and pass.

mod containers;
mod network;
mod support;
