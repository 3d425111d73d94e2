//! The dashboard over a real API server in process, read over HTTP as a browser does.

mod cluster;
mod live;
mod objects;
mod pages;
mod shots;
