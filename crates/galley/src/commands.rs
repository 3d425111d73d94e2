//! What people ask of a running control plane.

pub mod app;
pub mod app_verbs;
pub mod compare;
pub mod image;
pub mod objects;
pub mod pipeline;
pub mod release;
pub mod render;
pub mod state;
pub mod workflow;
