//! An MLflow-compatible tracking server.
//!
//! It speaks MLflow's REST API 2.0 as the Python client 3.x uses it: experiments, runs, metrics, parameters, tags,
//! inputs and outputs, logged models, the model registry with aliases, and the artifact proxy
//! (`mlflow-artifacts:`). Metadata lives in the embedded database, artifacts are files below one folder.
//!
//! Invariants: reading is open, writing needs a token if [`Deps::authorize`] is given; a file appears under its name
//! only when it is complete and on disk; no path leaves the artifact folder; every size from outside has a limit.
//!
//! | module | holds |
//! |---|---|
//! | `config`, `service` | what is configured, what is put together |
//! | `access` | who may write |
//! | `input`, `failure` | requests and errors in MLflow's JSON dialect |
//! | `api` | one file per resource: routes and handlers |
//! | `files`, `proxy` | the artifact folder, and its routes |
//! | `page` | a small page for people |

mod access;
mod api;
mod config;
mod failure;
mod files;
mod input;
mod names;
mod page;
mod proxy;
mod service;

pub use config::Config;
pub use service::{Authorize, Deps, Error, Service};

/// The MLflow version whose interface is spoken, as `/version` reports it.
pub const MLFLOW_VERSION: &str = "3.9.0";
