//! `galley app ...`: Applications, and serving GourmetGram.

use std::time::{Duration, Instant};

use galley_problem::{Kind, Problem};
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::json;

use super::{
    objects::{applications, refused, text},
    release::defaults,
};
use crate::{
    Answer,
    cli::{App, Format, Global, Output},
    ground::Ground,
    voice,
};

/// Runs a verb.
///
/// # Errors
/// What the verb could not do.
pub async fn run(global: &Global, app: App) -> Result<Answer, Problem> {
    match app {
        App::Serve { model, listen } => serve(&model, listen).await,
        App::List(output) => list(&client(global).await?, &output).await,
        App::Get { name, output } => get(&client(global).await?, &name, &output).await,
        App::Sync { name, timeout } => sync(&client(global).await?, &name, timeout).await,
        App::Diff { name } => diff(global, &name).await,
        other => super::app_verbs::run(global, other).await,
    }
}

pub async fn client(global: &Global) -> Result<kube::Client, Problem> {
    Ground::find(global, &defaults()).await?.kube().await
}

async fn serve(model: &std::path::Path, listen: std::net::SocketAddr) -> Result<Answer, Problem> {
    let config = galley_app::Config { model_dir: model.to_owned(), ..Default::default() };
    super::serve::listen(config, listen).await
}

async fn list(client: &kube::Client, output: &Output) -> Result<Answer, Problem> {
    let all = applications(client)
        .list(&ListParams::default())
        .await
        .map_err(|e| refused("to list Applications", &e))?;
    let rows = all
        .items
        .iter()
        .map(|item| {
            let (spec, status) = (&item.data["spec"], &item.data["status"]);
            vec![
                item.name_any(),
                text(status, &["sync", "status"]),
                text(status, &["health", "status"]),
                text(status, &["sync", "revision"]).chars().take(10).collect(),
                text(spec, &["source", "path"]),
                text(spec, &["destination", "namespace"]),
            ]
        })
        .collect();
    let columns = vec!["name", "sync", "health", "revision", "path"];
    voice::list(output.output, &all.items, voice::Table { columns, wide: vec!["namespace"], rows })?;
    Ok(Answer::Yes)
}

pub async fn find(client: &kube::Client, name: &str) -> Result<DynamicObject, Problem> {
    applications(client).get_opt(name).await.map_err(|e| refused("to show the Application", &e))?.ok_or_else(
        || {
            Problem::new("G0119", Kind::NotFound, format!("There is no Application `{name}`."))
                .try_this("`galley app list` shows the ones there are.")
        },
    )
}

async fn get(client: &kube::Client, name: &str, output: &Output) -> Result<Answer, Problem> {
    let application = find(client, name).await?;
    match output.output {
        Format::Json | Format::Yaml => voice::object(output.output, &application)?,
        Format::Name => voice::data(name),
        Format::Table | Format::Wide => describe(&application)?,
    }
    Ok(Answer::Yes)
}

fn describe(application: &DynamicObject) -> Result<(), Problem> {
    let (spec, status) = (&application.data["spec"], &application.data["status"]);
    for (key, value) in [
        ("name", application.name_any()),
        ("source", format!("{} {}", text(spec, &["source", "repoURL"]), text(spec, &["source", "path"]))),
        ("sync", text(status, &["sync", "status"])),
        ("health", text(status, &["health", "status"])),
        ("revision", text(status, &["sync", "revision"])),
        ("operation", text(status, &["operationState", "phase"])),
        ("message", text(status, &["operationState", "message"])),
    ] {
        voice::data(&format!("{key:<10} {value}"));
    }
    for condition in status["conditions"].as_array().into_iter().flatten() {
        voice::data(&format!(
            "{:<10} {}: {}",
            "condition",
            text(condition, &["type"]),
            text(condition, &["message"])
        ));
    }
    voice::data("");
    let resources = status["resources"].as_array().cloned().unwrap_or_default();
    let rows = resources
        .iter()
        .map(|resource| {
            vec![
                format!("{}/{}", text(resource, &["kind"]), text(resource, &["name"])),
                text(resource, &["namespace"]),
                text(resource, &["status"]),
                text(resource, &["health", "status"]),
                text(resource, &["health", "message"]),
            ]
        })
        .collect();
    let columns = vec!["resource", "namespace", "sync", "health", "message"];
    voice::list(Format::Table, &resources, voice::Table { columns, wide: vec![], rows })
}

async fn sync(client: &kube::Client, name: &str, timeout: Duration) -> Result<Answer, Problem> {
    let before = find(client, name).await?;
    let started = text(&before.data, &["status", "operationState", "startedAt"]);
    let asked = json!({ "operation": { "initiatedBy": { "username": "galley" }, "sync": {} } });
    applications(client)
        .patch(name, &PatchParams::default(), &Patch::Merge(&asked))
        .await
        .map_err(|e| refused("to sync the Application", &e))?;
    let deadline = Instant::now() + timeout;
    loop {
        let now = find(client, name).await?;
        let state = &now.data["status"]["operationState"];
        let phase = text(state, &["phase"]);
        let finished = now.data.get("operation").is_none_or(serde_json::Value::is_null);
        let renewed = text(state, &["startedAt"]) != started || finished;
        if finished && renewed && matches!(phase.as_str(), "Succeeded" | "Failed" | "Error") {
            voice::data(&format!("{name} {phase}: {}", text(state, &["message"])));
            return Ok(if phase == "Succeeded" { Answer::Yes } else { Answer::No });
        }
        if Instant::now() > deadline {
            return Err(Problem::new("G0120", Kind::Timeout, format!("`{name}` is still being synced."))
                .try_this(format!("`galley app get {name}` shows how far it is.")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Prints what differs; the plan is the one that a sync would carry out.
async fn diff(global: &Global, name: &str) -> Result<Answer, Problem> {
    let plan = super::pipeline::plan_of(global, name).await?;
    voice::data(&plan.to_string());
    Ok(if plan.has_changes() { Answer::No } else { Answer::Yes })
}
