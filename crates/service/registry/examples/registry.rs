//! Serves a registry by hand: `cargo run -p galley-registry --example registry -- FOLDER PORT [TOKEN]`.

use std::sync::Arc;

use galley_oci::{Options, Store};
use galley_registry::{Authorize, Config, Deps, Service};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: registry FOLDER PORT [TOKEN]";
    let (folder, port) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let authorize = arguments.next().map(|token| Arc::new(move |given: &str| given == token) as Authorize);
    let service =
        Service::new(Config::default(), Deps { store: Store::open(folder, Options::default())?, authorize })?;
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    Ok(axum::serve(listener, service.router()).await?)
}
