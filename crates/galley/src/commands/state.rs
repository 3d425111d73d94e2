//! Commands about the control plane itself: status, down, kubectl, git's questions.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use galley_problem::{Kind, Problem};
use galley_release_types::ENVIRONMENTS;
use galley_releases::Records;
use serde_json::{Value, json};

use super::objects::{applications, text};
use crate::{
    Answer,
    cli::{Down, Format, GitCredential, Global, Kubectl, Output, steps::Services},
    ground::{Ground, TOKEN_USER},
    state::State,
    steps, voice,
};

/// `galley status`: the shape of `-o json` is documented in `docs/status.md` and stable.
///
/// # Errors
/// G0106 if nothing runs here.
pub async fn status(global: &Global, output: &Output) -> Result<Answer, Problem> {
    let services = Services { tracking: None, pipeline: None, registry: None, outputs: None };
    let ground = Ground::find(global, &services).await?;
    let client = ground.kube().await?;
    let http = ground.http()?;
    let on_machine = ground.machine().is_some();
    let mut environments = serde_json::Map::new();
    let mut rows = Vec::new();
    for environment in ENVIRONMENTS {
        let application = applications(&client).get_opt(&environment.application()).await.ok().flatten();
        let status = application.map_or(Value::Null, |application| application.data["status"].clone());
        let version = steps::answered_version(&http, &ground, environment).await;
        let url = ground.endpoints().and_then(|all| all.get(environment.name()).cloned());
        let (sync, health) = (text(&status, &["sync", "status"]), text(&status, &["health", "status"]));
        rows.push(vec![
            environment.name().to_owned(),
            version.clone().unwrap_or_else(|| "-".into()),
            sync.clone(),
            health.clone(),
            url.clone().filter(|_| on_machine).unwrap_or_default(),
        ]);
        environments.insert(
            environment.name().into(),
            json!({
                "version": version, "sync": sync, "health": health, "url": url.filter(|_| on_machine),
            }),
        );
    }
    let release = Records::new(client).list().await?.into_iter().next();
    let release = release.map(|recorded| {
        json!({ "name": recorded.name, "created": recorded.created, "spec": recorded.release.spec, "status": recorded.release.status })
    });
    let mut whole = place(&ground, global);
    whole["environments"] = environments.into();
    whole["release"] = release.into();
    if matches!(output.output, Format::Json | Format::Yaml) {
        voice::object(output.output, &whole)?;
        return Ok(Answer::Yes);
    }
    let table =
        voice::Table { columns: vec!["environment", "version", "sync", "health", "url"], wide: vec![], rows };
    voice::list(output.output, &whole, table)?;
    if output.output != Format::Name {
        describe(&whole);
    }
    Ok(Answer::Yes)
}

/// What is known of where everything runs. A cluster's services have no lasting addresses here: the tunnels to them end
/// with the command.
fn place(ground: &Ground, global: &Global) -> Value {
    if let Some((state, running)) = ground.machine() {
        return json!({
            "ready": true,
            "where": "machine",
            "pid": running.pid,
            "pipeline": running.pipeline,
            "state": state.root(),
            "kubeconfig": state.kubeconfig(),
            "isolation": running.isolation,
            "notices": running.notices,
            "endpoints": running.endpoints,
        });
    }
    let server = ground.cluster().map(|cluster| cluster.server().to_owned());
    json!({
        "ready": true,
        "where": "cluster",
        "kubeconfig": global.kubeconfig,
        "notices": [],
        "endpoints": { "api": server },
    })
}

fn describe(whole: &Value) {
    voice::data("");
    if let Some(release) = whole["release"].as_object() {
        let status = &release["status"];
        voice::data(&format!(
            "release    {} {}: {}",
            release["name"].as_str().unwrap_or_default(),
            text(status, &["phase"]),
            text(status, &["message"])
        ));
        for gate in status["gates"].as_array().into_iter().flatten() {
            voice::data(&format!(
                "  gate     {} {}: {}",
                text(gate, &["name"]),
                text(gate, &["verdict"]),
                text(gate, &["reason"])
            ));
        }
    }
    for (name, url) in whole["endpoints"].as_object().into_iter().flatten() {
        voice::data(&format!("{name:<10} {}", url.as_str().unwrap_or_default()));
    }
    voice::data(&format!("{:<10} {}", "kubeconfig", whole["kubeconfig"].as_str().unwrap_or_default()));
}

/// `galley down`
///
/// # Errors
/// G0106 if nothing runs here, G0115 if it does not end in time.
pub async fn down(global: &Global, args: &Down) -> Result<Answer, Problem> {
    let state = State::find(global);
    let running = state.running()?;
    signal(running.pid)?;
    let deadline = Instant::now() + args.deadline;
    while state.running().is_ok() {
        if Instant::now() > deadline {
            return Err(Problem::new(
                "G0115",
                Kind::Timeout,
                format!("Galley (process {}) has not ended yet.", running.pid),
            )
            .try_this(format!("`kill -9 {}` is safe: nothing is lost.", running.pid)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    voice::talk("Stopped; everything is kept.");
    Ok(Answer::Yes)
}

fn signal(pid: u32) -> Result<(), Problem> {
    let failed = |error: &std::io::Error| {
        Problem::new("G0115", Kind::Denied, format!("Cannot stop the process {pid}.")).because(error)
    };
    let status = std::process::Command::new("kill")
        .arg("-TERM")
        .arg(pid.to_string())
        .status()
        .map_err(|e| failed(&e))?;
    if status.success() { Ok(()) } else { Err(failed(&std::io::Error::other("`kill` refused"))) }
}

/// `galley kubectl ...`
///
/// # Errors
/// G0106 if nothing runs here, G0116 without kubectl.
pub async fn kubectl(global: &Global, args: &Kubectl) -> Result<Answer, Problem> {
    let state = State::find(global);
    state.running()?;
    if args.print_kubeconfig {
        voice::data(&state.kubeconfig().display().to_string());
        return Ok(Answer::Yes);
    }
    let status = tokio::process::Command::new("kubectl")
        .env("KUBECONFIG", state.kubeconfig())
        .args(&args.args)
        .stdin(Stdio::inherit())
        .status()
        .await
        .map_err(|error| {
            Problem::new("G0116", Kind::Unavailable, "`kubectl` cannot be run.").because(&error).try_this(
                format!(
                    "Install it, or use another client with KUBECONFIG={}.",
                    state.kubeconfig().display()
                ),
            )
        })?;
    Ok(Answer::Code(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// `galley git-credential get`: git asks on standard input and reads the answer on standard output.
///
/// # Errors
/// G0106 if nothing runs here.
pub fn git_credential(global: &Global, args: &GitCredential) -> Result<Answer, Problem> {
    if args.operation != "get" {
        return Ok(Answer::Yes);
    }
    let state = State::find(global);
    let path = state.path("token");
    let token = std::fs::read_to_string(&path).map_err(|e| crate::io(&path, "reading", &e))?;
    voice::data(&format!("username={TOKEN_USER}\npassword={}", token.trim()));
    Ok(Answer::Yes)
}
