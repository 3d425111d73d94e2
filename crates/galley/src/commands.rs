//! What people ask of a running control plane.

pub mod app;
pub mod compare;
pub mod hosts;
pub mod image;
pub mod infra;
pub mod objects;
pub mod pipeline;
pub mod release;
pub mod state;
pub mod workflow;
