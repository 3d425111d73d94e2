//! The application as its clients see it.

mod feedback;
mod hostile;
mod limits;
mod pages;
mod predict;
mod programs;
mod server;
mod support;
