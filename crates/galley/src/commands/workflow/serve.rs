//! `galley workflow serve`: workflows alone, for kubectl, the argo command and SDKs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use galley_problem::{Kind, Problem};
use galley_sandbox::Mode;
use serde_json::json;

use super::images::{self, RootFilesystems};
use super::platform::{Folders, Platform};
use super::{argo, objects};
use crate::{
    Answer,
    cli::{Format, Global, workflow::Serve},
    state::{Running, State, write_private},
    voice,
};

/// Serves until told to stop.
///
/// # Errors
/// What keeps it from starting.
pub async fn run(global: &Global, args: Serve) -> Result<Answer, Problem> {
    let state = State::of(global, Path::new("."));
    state.create()?;
    let lock = state.lock()?;
    let root = std::fs::canonicalize(state.root()).map_err(|e| crate::io(state.root(), "finding", &e))?;
    let pull = args.pull.then(|| images::registry(global)).transpose()?;
    let images = Arc::new(RootFilesystems::read(&args.images, pull)?);
    let bound = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, args.argo_port)).await;
    let listener = bound.map_err(|e| {
        let what = format!("Cannot listen on 127.0.0.1:{} for `argo`.", args.argo_port);
        Problem::new("G0111", Kind::Unavailable, what)
            .because(&e)
            .try_this("Stop what uses that port, or give another one: `--argo-port 0` takes a free one.")
    })?;
    let port = listener.local_addr().map_or(args.argo_port, |address| address.port());
    let folders = Folders::locked(&root, args.api_port);
    let mut platform = Platform::start(&folders, images, args.isolation).await?;
    let router = argo::router(&platform.client(), &platform.tokens, &root, platform.shutdown.clone());
    platform.serve("argo", listener, router);
    for namespace in &args.namespaces {
        objects::ensure_namespace(&platform.client(), namespace).await?;
    }
    let running = write(&state, &platform, port)?;
    show(&state, &running, args.output.output)?;
    let failed = platform.failed();
    let outcome = tokio::select! {
        () = crate::up::interrupted() => Ok(Answer::Yes),
        problem = failed => Err(problem),
    };
    platform.stop().await;
    drop(lock);
    outcome
}

/// Writes down how it is reached: kubeconfig, token, addresses.
fn write(state: &State, platform: &Platform, port: u16) -> Result<Running, Problem> {
    let token = platform.tokens.admin_token();
    let api = format!("https://{}", platform.api);
    let kubeconfig = galley_apiserver::kubeconfig(&api, &platform.ca_pem, &token, "default");
    for (path, text) in [
        (state.kubeconfig(), kubeconfig.as_str()),
        (state.path("token"), token.expose().as_str()),
        (state.path("ca.crt"), platform.ca_pem.as_str()),
    ] {
        write_private(&path, text.as_bytes()).map_err(|e| crate::io(&path, "writing", &e))?;
    }
    let endpoints = [("api".to_owned(), api), ("argo".to_owned(), format!("http://127.0.0.1:{port}"))];
    let plain = platform.isolation == Mode::Plain;
    let running = Running {
        pid: std::process::id(),
        endpoints: BTreeMap::from(endpoints),
        isolation: if plain { "plain processes" } else { "namespaces of their own" }.to_owned(),
        notices: platform.notices.clone(),
        ..Running::default()
    };
    state.write(&running)?;
    Ok(running)
}

fn show(state: &State, running: &Running, format: Format) -> Result<(), Problem> {
    if matches!(format, Format::Json | Format::Yaml) {
        let all = json!({
            "endpoints": running.endpoints, "kubeconfig": state.kubeconfig(), "token": state.path("token"),
            "isolation": running.isolation, "notices": running.notices,
        });
        return voice::object(format, &all);
    }
    let address = |name: &str| running.endpoints.get(name).cloned().unwrap_or_default();
    voice::data(&format!("api         {}", address("api")));
    voice::data(&format!("argo        {}", address("argo")));
    voice::data(&format!("kubeconfig  {}", state.kubeconfig().display()));
    voice::data(&format!("token       {}", state.path("token").display()));
    Ok(())
}
