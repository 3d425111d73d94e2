//! `galley release ...`: what people ask of releases.

use galley_problem::{Kind, Problem};
use galley_release_types::{Deployed, Environment};
use galley_releases::{Recorded, Records};

use crate::{
    Answer,
    cli::{Format, Global, Output, Release, steps::Services},
    ground::{Ground, deployed},
    steps::{self, Delivery},
    voice,
};

/// Runs a verb.
///
/// # Errors
/// What the verb could not do.
pub async fn run(global: &Global, release: Release) -> Result<Answer, Problem> {
    match release {
        Release::List(output) => list(global, &output).await,
        Release::Get { name, output } => get(global, &name, &output).await,
        Release::Rollback { environment, reason, timeout } => {
            rollback(global, environment, &reason, timeout).await
        }
        step => steps::release(global, step).await,
    }
}

/// Nothing given: everything from the state folder.
pub fn defaults() -> Services {
    Services { tracking: None, pipeline: None, registry: None, outputs: None }
}

async fn list(global: &Global, output: &Output) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &defaults()).await?;
    let all = Records::new(ground.kube().await?).list().await?;
    let items: Vec<_> = all.iter().map(object).collect();
    let rows = all.iter().map(row).collect();
    let columns = vec!["name", "phase", "version", "started", "message"];
    let table = voice::Table { columns, wide: vec!["commit", "image"], rows };
    voice::list(output.output, &items, table)?;
    Ok(Answer::Yes)
}

fn object(recorded: &Recorded) -> serde_json::Value {
    serde_json::json!({
        "name": recorded.name, "created": recorded.created,
        "spec": recorded.release.spec, "status": recorded.release.status,
    })
}

fn row(recorded: &Recorded) -> Vec<String> {
    let status = &recorded.release.status;
    vec![
        recorded.name.clone(),
        format!("{:?}", status.phase),
        status.version.clone().unwrap_or_else(|| "-".into()),
        status.started_at.clone().unwrap_or_else(|| "-".into()),
        status.message.clone(),
        recorded.release.spec.commit.clone(),
        status.image.clone().unwrap_or_default(),
    ]
}

async fn get(global: &Global, name: &str, output: &Output) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &defaults()).await?;
    let records = Records::new(ground.kube().await?);
    let recorded = match name {
        "@latest" => records
            .list()
            .await?
            .into_iter()
            .next()
            .ok_or_else(|| Problem::new("G1003", Kind::NotFound, "There is no release yet."))?,
        name => records.get(name).await?,
    };
    match output.output {
        Format::Json | Format::Yaml => voice::object(output.output, &object(&recorded))?,
        Format::Name => voice::data(&recorded.name),
        Format::Table | Format::Wide => describe(&recorded),
    }
    Ok(Answer::Yes)
}

fn describe(recorded: &Recorded) {
    let status = &recorded.release.status;
    let line = |key: &str, value: &str| voice::data(&format!("{key:<12}{value}"));
    line("release", &recorded.name);
    line("phase", &format!("{:?}", status.phase));
    line("message", &status.message);
    line("commit", &recorded.release.spec.commit);
    line("reason", &recorded.release.spec.reason);
    for (key, value) in [
        ("workflow", &status.workflow),
        ("run", &status.run_id),
        ("version", &status.version),
        ("image", &status.image),
        ("started", &status.started_at),
        ("finished", &status.finished_at),
    ] {
        if let Some(value) = value {
            line(key, value);
        }
    }
    for gate in &status.gates {
        line("gate", &format!("{} {:?}: {}", gate.name, gate.verdict, gate.reason));
    }
    for commit in &status.commits {
        line("commit", &format!("{} to {} at {}", commit.commit, commit.environment, commit.at));
    }
}

async fn rollback(
    global: &Global,
    environment: Environment,
    reason: &str,
    timeout: std::time::Duration,
) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &defaults()).await?;
    let remote = ground.pipeline()?;
    let snapshot = remote.snapshot("main").await.map_err(Problem::from)?;
    let present = snapshot
        .read(&environment.values_file())
        .and_then(|values| deployed(&String::from_utf8_lossy(values)))
        .ok_or_else(|| Problem::new("G1014", Kind::Conflict, format!("{environment} runs nothing.")))?;
    let former = former(&Records::new(ground.kube().await?).list().await?, environment, &present)
        .ok_or_else(|| {
            Problem::new(
                "G1014",
                Kind::Conflict,
                format!("No version ran in {environment} before {}.", present.version),
            )
            .try_this("`galley release list` shows what was delivered.")
        })?;
    let delivery = Delivery {
        environment,
        wanted: Some(former.clone()),
        only_if: Some(present.version.clone()),
        subject: format!("rollback: {environment} to version {} from {}", former.version, present.version),
        trailers: vec![("Reason".into(), reason.replace('\n', " "))],
    };
    let delivered = steps::deliver(&remote, &delivery).await?;
    let commit = delivered.commit.ok_or_else(|| {
        Problem::new(
            "G1011",
            Kind::Conflict,
            format!("{environment} was changed meanwhile; nothing was done."),
        )
        .try_this("Look again with `galley status`.")
    })?;
    voice::talk(&format!("Commit {commit}: {environment} to version {}.", former.version));
    steps::wait_for(&ground, environment, &former.version, timeout).await?;
    voice::data(&format!("{environment} answers with version {}.", former.version));
    Ok(Answer::Yes)
}

/// What ran in an environment before the version that runs there now.
fn former(releases: &[Recorded], environment: Environment, present: &Deployed) -> Option<Deployed> {
    releases
        .iter()
        .filter(|recorded| recorded.release.status.version.as_ref() == Some(&present.version))
        .flat_map(|recorded| recorded.release.status.commits.iter().rev())
        .find(|commit| commit.environment == environment)
        .and_then(|commit| commit.previous.clone())
}
