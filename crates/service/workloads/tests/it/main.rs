//! The room with the real API server, the real sandbox and real processes.
//!
//! Where the kernel refuses namespaces, the tests that need them say so and pass; the others run plain processes.

mod artifacts;
mod deployments;
mod jobs;
mod pods;
mod restart;
mod support;
