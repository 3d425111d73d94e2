//! What people ask of a running control plane.

pub mod app;
pub mod app_verbs;
pub mod compare;
pub mod cron;
pub mod data;
pub mod hosts;
pub mod image;
pub mod infra;
pub mod model;
pub mod objects;
pub mod pipeline;
pub mod release;
pub mod render;
pub mod serve;
pub mod state;
pub mod workflow;
