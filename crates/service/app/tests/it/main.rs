//! The application as its clients see it.

mod limits;
mod pages;
mod predict;
mod server;
mod support;
