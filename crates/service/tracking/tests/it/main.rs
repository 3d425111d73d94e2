//! The whole tracking server over real HTTP: raw requests, our own client, and the real MLflow client where there is
//! one.

mod access;
mod artifacts;
mod client;
mod mlflow_client;
mod registry;
mod runs;
mod server;
