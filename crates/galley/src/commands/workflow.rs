//! `galley workflow ...`: submit, look at and follow workflows.

pub mod argo;
pub mod artifacts;
mod images;
mod live;
mod objects;
mod platform;
mod run;
mod serve;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{AsyncBufReadExt, TryStreamExt};
use galley_argo_workflows::{Externals, Manifest};
use galley_problem::{Kind, Problem};
use galley_units::SystemClock;
use galley_workflow::{NodeSelector, RetryOptions};
use galley_workflows::{NodeChange, SubmitFrom};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, LogParams},
};
use serde_json::Value;

use super::release::defaults;
use crate::commands::objects::{refused, text, workflows};
use crate::{
    Answer,
    cli::{Format, Global, Namespace, Output, Workflow, workflow::Node},
    ground::Ground,
    voice,
};

/// `--wait` gives up after this long; the workflow's own deadlines come first.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Runs a verb.
///
/// # Errors
/// What the verb could not do.
pub async fn run(global: &Global, workflow: Workflow) -> Result<Answer, Problem> {
    let workflow = match workflow {
        Workflow::Lint { files, offline } => return lint(&files, offline),
        Workflow::Graph { file } => return graph(&file),
        Workflow::Serve(args) => return serve::run(global, args).await,
        Workflow::Run(args) => return run::run(global, args).await,
        Workflow::Artifacts(verb) => return artifacts::run(global, verb).await,
        other => other,
    };
    let client = Ground::find(global, &defaults()).await?.kube().await?;
    match workflow {
        Workflow::Submit { file, from, parameters, wait, namespace } => {
            let from = match (file, from) {
                (Some(file), _) => {
                    let text = std::fs::read_to_string(&file).map_err(|e| crate::io(&file, "reading", &e))?;
                    SubmitFrom::File { name: file.display().to_string(), text }
                }
                (None, from) => from_template(&from.unwrap_or_default())?,
            };
            submit(&client, &namespace.namespace, from, &parameters, wait).await
        }
        Workflow::List { all_namespaces, namespace, output } => {
            let namespace = (!all_namespaces).then_some(namespace.namespace.as_str());
            list(&client, namespace, &output).await
        }
        Workflow::Get { name, namespace, output } => get(&client, &namespace, &name, &output).await,
        Workflow::Logs { name, follow, namespace } => logs(&client, &namespace, &name, follow).await,
        Workflow::Resume { name, namespace } => {
            let name = resolve(&client, &namespace.namespace, &name).await?.name_any();
            galley_workflows::resume(&client, &namespace.namespace, &name).await?;
            voice::data(&format!("workflow/{name} resumed"));
            Ok(Answer::Yes)
        }
        Workflow::Stop { name, namespace } => {
            let name = resolve(&client, &namespace.namespace, &name).await?.name_any();
            galley_workflows::stop(&client, &namespace.namespace, &name).await?;
            voice::data(&format!("workflow/{name} stopping"));
            Ok(Answer::Yes)
        }
        Workflow::Terminate { name, namespace } => {
            let name = resolve(&client, &namespace.namespace, &name).await?.name_any();
            galley_workflows::terminate(&client, &namespace.namespace, &name).await?;
            voice::data(&format!("workflow/{name} terminated"));
            Ok(Answer::Yes)
        }
        Workflow::Suspend { name, namespace } => {
            let name = resolve(&client, &namespace.namespace, &name).await?.name_any();
            galley_workflows::suspend(&client, &namespace.namespace, &name).await?;
            voice::data(&format!("workflow/{name} suspended"));
            Ok(Answer::Yes)
        }
        Workflow::Retry { name, parameters, restart_successful, node_field_selector, namespace } => {
            let name = resolve(&client, &namespace.namespace, &name).await?.name_any();
            let nodes = node_field_selector.as_deref().map(NodeSelector::read).transpose();
            let nodes = nodes.map_err(|why| {
                Problem::new("G0117", Kind::Usage, "The node selector cannot be read.").because_of(why)
            })?;
            let options = RetryOptions { parameters: pairs(&parameters)?, restart_successful, nodes };
            galley_workflows::retry(&client, &SystemClock, &namespace.namespace, &name, &options).await?;
            voice::data(&format!("workflow/{name} goes on"));
            Ok(Answer::Yes)
        }
        Workflow::Resubmit { name, memoized, parameters, namespace } => {
            let name = resolve(&client, &namespace.namespace, &name).await?.name_any();
            let given = pairs(&parameters)?;
            let space = &namespace.namespace;
            voice::data(
                &galley_workflows::resubmit(&client, &SystemClock, space, &name, memoized, &given).await?,
            );
            Ok(Answer::Yes)
        }
        Workflow::Delete { name, namespace } => {
            let name = resolve(&client, &namespace.namespace, &name).await?.name_any();
            let api = workflows(&client, Some(&namespace.namespace));
            let deleted = api.delete(&name, &DeleteParams::background()).await;
            deleted.map_err(|e| refused("to delete the workflow", &e))?;
            voice::data(&format!("workflow/{name} deleted"));
            Ok(Answer::Yes)
        }
        Workflow::Watch { name, namespace } => {
            let name = resolve(&client, &namespace.namespace, &name).await?.name_any();
            let follow = live::Follow {
                client: &client,
                namespace: &namespace.namespace,
                name: &name,
                log: false,
                resume: false,
                quiet: global.quiet,
                on_stdout: false,
            };
            let followed = follow.to_the_end().await?;
            describe(&followed.workflow);
            Ok(if ended_well(&followed.workflow.data) { Answer::Yes } else { Answer::No })
        }
        Workflow::Node(node) => set_node(&client, node).await,
        Workflow::Lint { .. }
        | Workflow::Graph { .. }
        | Workflow::Run(_)
        | Workflow::Serve(_)
        | Workflow::Artifacts(_) => Ok(Answer::Yes),
    }
}

/// Whether a workflow has ended, and well.
fn ended_well(data: &Value) -> bool {
    data["status"]["phase"] == "Succeeded"
}

async fn set_node(client: &Client, node: Node) -> Result<Answer, Problem> {
    let Node::Set { name, node_field_selector, output_parameters, message, phase, namespace } = node;
    let name = resolve(client, &namespace.namespace, &name).await?.name_any();
    let nodes = NodeSelector::read(&node_field_selector).map_err(|why| {
        Problem::new("G0117", Kind::Usage, "The node selector cannot be read.").because_of(why)
    })?;
    let phase = argo::phase(phase.as_deref().unwrap_or_default())?;
    let change = NodeChange { outputs: pairs(&output_parameters)?, phase, message };
    for changed in
        galley_workflows::change_nodes(client, &namespace.namespace, &name, &nodes, &change).await?
    {
        voice::data(&format!("{changed} set"));
    }
    Ok(Answer::Yes)
}

/// Checks files together; every problem is told, not only the first.
fn lint(files: &[PathBuf], offline: bool) -> Result<Answer, Problem> {
    let mut texts = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|e| crate::io(file, "reading", &e))?;
        texts.push((file.display().to_string(), text));
    }
    let named: Vec<_> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let externals = if offline { Externals::Refused } else { Externals::Allowed };
    match galley_argo_workflows::check_files(&named, externals) {
        Ok(manifests) => {
            voice::data(&format!("{} objects in {} files: no fault found.", manifests.len(), files.len()));
            Ok(Answer::Yes)
        }
        Err(problems) => {
            problems.iter().for_each(voice::problem);
            voice::talk(&format!("{} faults.", problems.len()));
            Ok(Answer::No)
        }
    }
}

fn graph(file: &Path) -> Result<Answer, Problem> {
    let text = std::fs::read_to_string(file).map_err(|e| crate::io(file, "reading", &e))?;
    let name = file.display().to_string();
    let checked = galley_argo_workflows::check_files(&[(&name, &text)], Externals::Allowed);
    let manifests = checked.map_err(|mut problems| {
        let first = (!problems.is_empty()).then(|| problems.remove(0));
        first.unwrap_or_else(|| crate::commands::pipeline::no_workflow(&name))
    })?;
    let spec = manifests.first().map(|manifest| match manifest {
        Manifest::Workflow(workflow) => &workflow.spec,
        Manifest::WorkflowTemplate(template) => &template.spec,
        Manifest::ClusterWorkflowTemplate(template) => &template.spec,
        Manifest::CronWorkflow(cron) => &cron.spec.workflow_spec,
    });
    let spec = spec.ok_or_else(|| crate::commands::pipeline::no_workflow(&name))?;
    voice::data(galley_workflow::mermaid(spec).trim_end());
    Ok(Answer::Yes)
}

/// `name=value` each.
fn pairs(parameters: &[String]) -> Result<BTreeMap<String, String>, Problem> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Problem::new("G0117", Kind::Usage, format!("`{text}` is no parameter."))
            .try_this("Write `-p name=value`.")),
    };
    parameters.iter().map(pair).collect()
}

fn from_template(from: &str) -> Result<SubmitFrom, Problem> {
    match from.split_once('/') {
        Some(("workflowtemplate" | "wftmpl", name)) => Ok(SubmitFrom::WorkflowTemplate(name.to_owned())),
        Some(("cronworkflow" | "cronwf" | "cwf", name)) => Ok(SubmitFrom::CronWorkflow(name.to_owned())),
        _ => {
            Err(Problem::new("G0117", Kind::Usage, format!("`{from}` names nothing that can be submitted."))
                .try_this("Write `--from workflowtemplate/NAME` or `--from cronwf/NAME`."))
        }
    }
}

async fn submit(
    client: &Client,
    namespace: &str,
    from: SubmitFrom,
    parameters: &[String],
    wait: bool,
) -> Result<Answer, Problem> {
    let given = pairs(parameters)?;
    let name = galley_workflows::submit(client, namespace, from, &given).await?;
    voice::data(&name);
    if !wait {
        return Ok(Answer::Yes);
    }
    let phase = galley_workflows::wait(client, namespace, &name, LONGEST).await?;
    voice::talk(&format!("workflow/{name} {phase}"));
    Ok(if phase == "Succeeded" { Answer::Yes } else { Answer::No })
}

async fn list(client: &Client, namespace: Option<&str>, output: &Output) -> Result<Answer, Problem> {
    let all = workflows(client, namespace)
        .list(&ListParams::default())
        .await
        .map_err(|e| refused("to list workflows", &e))?;
    let mut items = all.items;
    items.sort_by_key(|item| std::cmp::Reverse(item.creation_timestamp().map(|time| time.0)));
    let rows = items
        .iter()
        .map(|item| {
            let status = &item.data["status"];
            vec![
                item.name_any(),
                text(status, &["phase"]),
                text(status, &["progress"]),
                text(status, &["startedAt"]),
                text(status, &["message"]),
                item.namespace().unwrap_or_default(),
                text(status, &["finishedAt"]),
            ]
        })
        .collect();
    let columns = vec!["name", "status", "progress", "started", "message"];
    voice::list(output.output, &items, voice::Table { columns, wide: vec!["namespace", "finished"], rows })?;
    Ok(Answer::Yes)
}

async fn resolve(client: &Client, namespace: &str, name: &str) -> Result<DynamicObject, Problem> {
    let api = workflows(client, Some(namespace));
    let missing = || {
        Problem::new("G0118", Kind::NotFound, format!("There is no workflow `{name}` in {namespace}."))
            .try_this(format!("`galley workflow list -n {namespace}` shows the ones there are."))
    };
    if name != "@latest" {
        return api.get_opt(name).await.map_err(|e| refused("to show the workflow", &e))?.ok_or_else(missing);
    }
    let all = api.list(&ListParams::default()).await.map_err(|e| refused("to list workflows", &e))?;
    all.items.into_iter().max_by_key(|item| item.creation_timestamp().map(|time| time.0)).ok_or_else(missing)
}

async fn get(client: &Client, namespace: &Namespace, name: &str, output: &Output) -> Result<Answer, Problem> {
    let workflow = resolve(client, &namespace.namespace, name).await?;
    match output.output {
        Format::Json | Format::Yaml => voice::object(output.output, &workflow)?,
        Format::Name => voice::data(&workflow.name_any()),
        Format::Table | Format::Wide => describe(&workflow),
    }
    Ok(Answer::Yes)
}

fn describe(workflow: &DynamicObject) {
    let status = &workflow.data["status"];
    voice::data(&format!("name        {}", workflow.name_any()));
    for key in ["phase", "progress", "startedAt", "finishedAt", "message"] {
        let value = text(status, &[key]);
        if !value.is_empty() {
            voice::data(&format!("{key:<12}{value}"));
        }
    }
    let empty = serde_json::Map::new();
    let nodes = status["nodes"].as_object().unwrap_or(&empty);
    let root = nodes.values().find(|node| text(node, &["name"]) == workflow.name_any());
    if let Some(root) = root {
        voice::data("");
        tree(nodes, root, 0, &mut BTreeSet::new());
    }
}

/// One letter for a phase.
fn mark(phase: &str) -> &'static str {
    match phase {
        "Succeeded" => "✔",
        "Failed" | "Error" => "✖",
        "Running" => "●",
        "Skipped" | "Omitted" => "○",
        _ => "◷",
    }
}

/// Prints a node and what follows it, indented by the template it belongs to. Groups of steps are only brackets and are
/// left out; a node that several lead to is printed once.
fn tree(nodes: &serde_json::Map<String, Value>, node: &Value, depth: usize, seen: &mut BTreeSet<String>) {
    if !seen.insert(text(node, &["id"])) {
        return;
    }
    let kind = text(node, &["type"]);
    if kind != "StepGroup" {
        let phase = text(node, &["phase"]);
        let mark = mark(&phase);
        let line = format!("{}{mark} {} ({kind}, {phase})", "  ".repeat(depth), text(node, &["displayName"]));
        match text(node, &["message"]).as_str() {
            "" => voice::data(&line),
            message => voice::data(&format!("{line}: {message}")),
        }
    }
    for child in node["children"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let Some(child) = nodes.get(child) else { continue };
        // Below stands what the node is the boundary of, and a retry's attempts; all else follows it at its own depth.
        let inside = text(child, &["boundaryID"]) == text(node, &["id"]);
        let attempt = kind == "Retry"
            && text(child, &["type"]) != "StepGroup"
            && text(child, &["displayName"]).ends_with(')');
        let depth = if inside || attempt { depth + 1 } else { boundary_depth(nodes, child) };
        tree(nodes, child, depth, seen);
    }
}

/// How many templates a node lies in.
fn boundary_depth(nodes: &serde_json::Map<String, Value>, node: &Value) -> usize {
    let mut depth = 0;
    let mut boundary = text(node, &["boundaryID"]);
    // Bounded by the number of nodes, whatever a damaged status says.
    while let Some(outer) = nodes.get(&boundary).filter(|_| depth < nodes.len()) {
        depth += 1;
        boundary = text(outer, &["boundaryID"]);
    }
    depth
}

async fn logs(client: &Client, namespace: &Namespace, name: &str, follow: bool) -> Result<Answer, Problem> {
    let workflow = resolve(client, &namespace.namespace, name).await?.name_any();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace.namespace);
    let selector = ListParams::default().labels(&format!("workflows.argoproj.io/workflow={workflow}"));
    let mut printed = BTreeSet::new();
    loop {
        let mut all = pods.list(&selector).await.map_err(|e| refused("to list pods", &e))?.items;
        all.sort_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
        for pod in all {
            let pod_name = pod.name_any();
            let started = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref())
                .is_some_and(|phase| phase != "Pending");
            if !started || !printed.insert(pod_name.clone()) {
                continue;
            }
            print_log(&pods, &pod_name, follow).await?;
        }
        let phase = text(&resolve(client, &namespace.namespace, &workflow).await?.data, &["status", "phase"]);
        if !follow || matches!(phase.as_str(), "Succeeded" | "Failed" | "Error") {
            return Ok(Answer::Yes);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn print_log(pods: &Api<Pod>, pod: &str, follow: bool) -> Result<(), Problem> {
    let params = LogParams { container: Some("main".into()), follow, ..LogParams::default() };
    let stream = pods.log_stream(pod, &params).await.map_err(|e| refused("to show a log", &e))?;
    let mut lines = stream.lines();
    while let Ok(Some(line)) = lines.try_next().await {
        voice::data(&format!("{pod}: {line}"));
    }
    Ok(())
}
