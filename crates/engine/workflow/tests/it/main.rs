//! The engine against recordings of Argo Workflows 4.0.2, and laws it must keep.

mod conformance;
mod kubelet;
mod laws;
mod play;
mod table;
mod upstream;
