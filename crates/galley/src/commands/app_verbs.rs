//! `galley app create|set|wait|history|rollback|delete|manifests|tree`.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use galley_argo_cd::Application;
use galley_argocdserver::{Deps, Renderer, Verb, ask};
use galley_git::Repo;
use galley_problem::{Kind, Problem};
use galley_units::Clock;
use serde_json::{Value, json};

use super::{
    app::{client, find},
    objects::text,
    release::defaults,
};
use crate::{
    Answer,
    cli::{App, Format, Global, Output},
    ground::Ground,
    up::{gitops_config, repositories},
    voice,
};

/// Runs a verb.
///
/// # Errors
/// What the verb could not do.
pub async fn run(global: &Global, app: App) -> Result<Answer, Problem> {
    match app {
        App::Create { file, upsert } => create(global, &file, upsert).await,
        App::Set { name, fields } => set(global, &name, &fields).await,
        App::Wait { name, timeout } => wait(global, &name, timeout).await,
        App::History { name, output } => history(global, &name, &output).await,
        App::Rollback { name, id, prune } => {
            done(global, Verb::Rollback(name.clone(), id, prune)).await?;
            wait_for_operation(global, &name).await
        }
        App::Delete { name, orphan } => {
            done(global, Verb::Delete(name.clone(), !orphan)).await?;
            voice::talk(&format!("Application {name} is being deleted."));
            Ok(Answer::Yes)
        }
        App::Manifests { name, revision } => manifests(global, &name, &revision).await,
        App::Tree { name, output } => tree(global, &name, &output).await,
        _ => Err(Problem::new("G0101", Kind::Internal, "The verb was not handled.")),
    }
}

/// Renders for what is validated: with the repositories of this machine.
struct Here(Global);

#[async_trait]
impl Renderer for Here {
    async fn manifests(
        &self,
        application: &Application,
        revision: &str,
    ) -> Result<(Vec<Value>, String), Problem> {
        let ground = Ground::find(&self.0, &defaults()).await?;
        let Some((state, _)) = ground.machine() else {
            return Err(Problem::new(
                "G0124",
                Kind::Usage,
                "Manifests are rendered beside `galley up` only.",
            )
            .try_this("On a cluster: `argocd app manifests NAME`."));
        };
        let own = Repo::init_or_open(state.path("git/pipeline.git")).await?;
        let known = repositories(own, state.path("mirrors"));
        galley_gitops::manifests(ground.kube().await?, gitops_config(), known, application, revision).await
    }
}

async fn done(global: &Global, verb: Verb) -> Result<Value, Problem> {
    let deps = Deps {
        client: client(global).await?,
        renderer: Arc::new(Here(global.clone())),
        authorize: Arc::new(|_| false),
        now: Arc::new(|| galley_units::SystemClock.now()),
        namespace: gitops_config().namespace,
    };
    ask(&deps, verb).await.map_err(|error| {
        let kind = match error.code {
            5 => Kind::NotFound,
            6 | 9 => Kind::Conflict,
            7 => Kind::Denied,
            3 => Kind::Invalid,
            _ => Kind::Unavailable,
        };
        Problem::new("G0415", kind, error.message.clone())
    })
}

async fn create(global: &Global, file: &Path, upsert: bool) -> Result<Answer, Problem> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).map_err(|e| crate::io(file, "reading", &e))?
    } else {
        std::fs::read_to_string(file).map_err(|e| crate::io(file, "reading", &e))?
    };
    for document in galley_yaml::parse_documents(&file.display().to_string(), &text)? {
        let made = done(global, Verb::Create(document.value, upsert)).await?;
        voice::talk(&format!(
            "Application {} is there.",
            made["metadata"]["name"].as_str().unwrap_or_default()
        ));
    }
    Ok(Answer::Yes)
}

async fn set(global: &Global, name: &str, fields: &[String]) -> Result<Answer, Problem> {
    let mut spec = json!({});
    for field in fields {
        let unknown = || {
            Problem::new(
                "G0415",
                Kind::Usage,
                format!("`{field}` is not `revision=`, `path=`, `repo=` or `namespace=`."),
            )
        };
        let (key, value) = field.split_once('=').ok_or_else(unknown)?;
        match key {
            "revision" => spec["source"]["targetRevision"] = json!(value),
            "path" => spec["source"]["path"] = json!(value),
            "repo" => spec["source"]["repoURL"] = json!(value),
            "namespace" => spec["destination"]["namespace"] = json!(value),
            _ => return Err(unknown()),
        }
    }
    done(global, Verb::Patch(name.to_owned(), json!({ "spec": spec }))).await?;
    Ok(Answer::Yes)
}

async fn wait(global: &Global, name: &str, timeout: Duration) -> Result<Answer, Problem> {
    let client = client(global).await?;
    let deadline = Instant::now() + timeout;
    loop {
        let now = find(&client, name).await?;
        let status = &now.data["status"];
        let (sync, health) = (text(status, &["sync", "status"]), text(status, &["health", "status"]));
        let busy = now.data.get("operation").is_some_and(|operation| !operation.is_null())
            || text(status, &["operationState", "phase"]) == "Running";
        if sync == "Synced" && health == "Healthy" && !busy {
            voice::data(&format!("{name} {sync} {health}"));
            return Ok(Answer::Yes);
        }
        if Instant::now() > deadline {
            let what = format!("`{name}` is {sync} and {health}.");
            return Err(Problem::new("G0120", Kind::Timeout, what)
                .try_this(format!("`galley app get {name}` shows what is missing.")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn wait_for_operation(global: &Global, name: &str) -> Result<Answer, Problem> {
    let client = client(global).await?;
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let now = find(&client, name).await?;
        let phase = text(&now.data["status"], &["operationState", "phase"]);
        let asked = now.data.get("operation").is_some_and(|operation| !operation.is_null());
        if !asked && matches!(phase.as_str(), "Succeeded" | "Failed" | "Error") {
            let message = text(&now.data["status"], &["operationState", "message"]);
            voice::data(&format!("{name} {phase}: {message}"));
            return Ok(if phase == "Succeeded" { Answer::Yes } else { Answer::No });
        }
        if Instant::now() > deadline {
            return Err(Problem::new("G0120", Kind::Timeout, format!("`{name}` is still being synced.")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn history(global: &Global, name: &str, output: &Output) -> Result<Answer, Problem> {
    let application = find(&client(global).await?, name).await?;
    let entries = application.data["status"]["history"].as_array().cloned().unwrap_or_default();
    let rows = entries
        .iter()
        .map(|entry| {
            let revisions = match entry["revisions"].as_array() {
                Some(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
                None => text(entry, &["revision"]),
            };
            vec![entry["id"].to_string(), text(entry, &["deployedAt"]), revisions]
        })
        .collect();
    let columns = vec!["id", "date", "revision"];
    voice::list(output.output, &entries, voice::Table { columns, wide: vec![], rows })?;
    Ok(Answer::Yes)
}

async fn manifests(global: &Global, name: &str, revision: &str) -> Result<Answer, Problem> {
    let object = find(&client(global).await?, name).await?;
    let application: Application = serde_json::to_value(&object)
        .and_then(serde_json::from_value)
        .map_err(|e| crate::internal("reading an Application", &e))?;
    let (manifests, _) = Here(global.clone()).manifests(&application, revision).await?;
    for manifest in &manifests {
        voice::data("---");
        voice::data(galley_yaml::to_string(manifest).trim_end());
    }
    Ok(Answer::Yes)
}

async fn tree(global: &Global, name: &str, output: &Output) -> Result<Answer, Problem> {
    let tree = done(global, Verb::Tree(name.to_owned())).await?;
    let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
    if !matches!(output.output, Format::Table | Format::Wide) {
        voice::object(output.output, &nodes)?;
        return Ok(Answer::Yes);
    }
    let mut rows = Vec::new();
    for node in nodes.iter().filter(|node| node["parentRefs"].is_null()) {
        branch(node, &nodes, 0, &mut rows);
    }
    let columns = vec!["object", "namespace", "health", "message"];
    voice::list(Format::Table, &nodes, voice::Table { columns, wide: vec![], rows })?;
    Ok(Answer::Yes)
}

fn branch(node: &Value, all: &[Value], depth: usize, rows: &mut Vec<Vec<String>>) {
    rows.push(vec![
        format!("{}{}/{}", "  ".repeat(depth), text(node, &["kind"]), text(node, &["name"])),
        text(node, &["namespace"]),
        text(node, &["health", "status"]),
        text(node, &["health", "message"]),
    ]);
    let owned = |other: &&Value| {
        let parents = other["parentRefs"].as_array();
        parents.is_some_and(|parents| parents.iter().any(|parent| parent["uid"] == node["uid"]))
    };
    if depth < 8 {
        all.iter().filter(owned).for_each(|other| branch(other, all, depth + 1, rows));
    }
}
