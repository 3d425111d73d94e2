//! `galley workflow run`: workflow files, here and now.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use galley_argo_workflows::{API_VERSION, Externals, check_files};
use galley_problem::{Kind, Problem};
use galley_workflows::SubmitFrom;
use kube::api::ListParams;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::images::{self, RootFilesystems};
use super::live::{Follow, Followed};
use super::objects;
use super::platform::{Folders, Platform};
use super::{describe, ended_well, pairs};
use crate::commands::objects::{refused, workflows};
use crate::{
    Answer,
    cli::{Format, Global, workflow::Run},
    voice,
};

/// How long a run that was interrupted may take to end in order.
const LEAVE: Duration = Duration::from_secs(5);
/// The largest file that is read.
const MAX_FILE: u64 = 64 << 20;
/// The exit code of a run that a person has ended.
const INTERRUPTED: u8 = 130;

/// A run to be made.
struct Planned {
    namespace: String,
    from: SubmitFrom,
    name: Option<String>,
}

/// Everything that the files hold.
#[derive(Default)]
struct Contents {
    others: Vec<Value>,
    runs: Vec<Planned>,
    images: Vec<String>,
}

/// Runs the files to their end.
///
/// # Errors
/// What is wrong with the files, the images or this machine.
pub async fn run(global: &Global, args: Run) -> Result<Answer, Problem> {
    let began = Instant::now();
    let given = parameters(&args)?;
    let contents = if args.continue_ { Contents::default() } else { read(&args)? };
    let folders = match &global.state {
        Some(root) => Folders::lasting(root)?,
        None if args.continue_ => {
            return Err(Problem::new("G0117", Kind::Usage, "There is nothing to go on with.")
                .try_this("Name the state folder of the run: `--state DIR`."));
        }
        None => Folders::passing()?,
    };
    let pull = args.pull.then(|| images::registry(global)).transpose()?;
    let images = Arc::new(RootFilesystems::read(&args.images, pull)?);
    images.check(&contents.images)?;
    let platform = Platform::start(&folders, Arc::clone(&images), args.isolation).await?;
    tracing::info!(millis = began.elapsed().as_millis(), "the platform is up");
    if global.verbose > 0 {
        platform.notices.iter().for_each(|notice| voice::talk(&format!("Notice: {notice}")));
    }
    let (client, failed) = (platform.client(), platform.failed());
    let outcome = tokio::select! {
        outcome = work(global, &args, contents, &given, &client) => outcome,
        problem = failed => Err(problem),
        problem = images.missing() => Err(problem),
    };
    platform.stop().await;
    drop(folders);
    outcome
}

fn parameters(args: &Run) -> Result<BTreeMap<String, String>, Problem> {
    let mut all = BTreeMap::new();
    if let Some(file) = &args.parameter_file {
        let text = read_file(file)?;
        let value = galley_yaml::parse_value(&file.display().to_string(), &text)?;
        let map = value.as_object().ok_or_else(|| {
            Problem::new("G0117", Kind::Invalid, format!("{} holds no parameters.", file.display()))
                .try_this("Write a mapping of name to value.")
        })?;
        for (name, value) in map {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            all.insert(name.clone(), text);
        }
    }
    all.extend(pairs(&args.parameters)?);
    Ok(all)
}

fn read_file(file: &Path) -> Result<String, Problem> {
    let failed = |e: &std::io::Error| crate::io(file, "reading", e);
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().lock().take(MAX_FILE).read_to_string(&mut text).map_err(|e| failed(&e))?;
    } else {
        let opened = std::fs::File::open(file).map_err(|e| failed(&e))?;
        opened.take(MAX_FILE).read_to_string(&mut text).map_err(|e| failed(&e))?;
    }
    Ok(text)
}

/// Reads and checks all files together; every problem is told, not only the first.
fn read(args: &Run) -> Result<Contents, Problem> {
    let mut texts = Vec::new();
    for file in &args.files {
        let name =
            if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
        texts.push((name, read_file(file)?));
    }
    let named: Vec<_> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    check_files(&named, Externals::Allowed).map_err(|mut problems| {
        let last = problems.pop();
        problems.iter().for_each(voice::problem);
        last.unwrap_or_else(|| crate::commands::pipeline::no_workflow("the file"))
    })?;
    let mut contents = Contents::default();
    let mut startable = Vec::new();
    for (file, text) in &texts {
        for document in galley_yaml::parse_documents(file, text)? {
            let value = document.value;
            if !value.is_object() {
                continue;
            }
            take(args, value, &mut contents, &mut startable)?;
        }
    }
    if contents.runs.is_empty() {
        contents.runs.extend(startable.pop());
        if !startable.is_empty() {
            return Err(Problem::new(
                "G0507",
                Kind::Invalid,
                "There is no Workflow in the files, and more than one template.",
            )
            .try_this("Add a Workflow with `workflowTemplateRef`, or run one file alone."));
        }
    }
    if contents.runs.is_empty() {
        let files: Vec<String> = texts.into_iter().map(|(name, _)| name).collect();
        return Err(crate::commands::pipeline::no_workflow(&files.join(", ")));
    }
    if contents.runs.len() > 1 && args.name.is_some() {
        return Err(Problem::new(
            "G0117",
            Kind::Usage,
            "Several Workflows cannot all have the name of `--name`.",
        ));
    }
    Ok(contents)
}

fn take(
    args: &Run,
    mut value: Value,
    contents: &mut Contents,
    startable: &mut Vec<Planned>,
) -> Result<(), Problem> {
    images::references(&value["spec"], &mut contents.images);
    let own = value["metadata"]["namespace"].as_str().map(str::to_owned);
    let namespace = args.namespace.clone().or(own).unwrap_or_else(|| "default".to_owned());
    value["metadata"]["namespace"] = json!(namespace);
    let ours = value["apiVersion"] == API_VERSION;
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let planned = |from| Planned { namespace: namespace.clone(), from, name: args.name.clone() };
    match value["kind"].as_str() {
        Some("Workflow") if ours => {
            if let Some(entrypoint) = &args.entrypoint {
                value["spec"]["entrypoint"] = json!(entrypoint);
            }
            if args.name.is_none() && name.is_empty() && value["metadata"]["generateName"].as_str().is_none()
            {
                value["metadata"]["generateName"] = json!("workflow-");
            }
            let text = galley_yaml::to_string(&value);
            contents.runs.push(planned(SubmitFrom::File { name: "the file".to_owned(), text }));
            return Ok(());
        }
        Some("WorkflowTemplate") if ours => startable.push(planned(SubmitFrom::WorkflowTemplate(name))),
        Some("ClusterWorkflowTemplate") if ours => {
            startable.push(planned(SubmitFrom::ClusterWorkflowTemplate(name)));
        }
        Some("CronWorkflow") if ours => {
            // It is run once, now; its schedule is none of this run's business.
            value["spec"]["suspend"] = json!(true);
            startable.push(planned(SubmitFrom::CronWorkflow(name)));
        }
        _ => {}
    }
    contents.others.push(value);
    Ok(())
}

async fn work(
    global: &Global,
    args: &Run,
    contents: Contents,
    given: &BTreeMap<String, String>,
    client: &Client,
) -> Result<Answer, Problem> {
    let names =
        if args.continue_ { unfinished(client).await? } else { submit(client, contents, given).await? };
    let mut all = Vec::new();
    let mut answer = Answer::Yes;
    for (namespace, name) in &names {
        let follow = Follow {
            client,
            namespace,
            name,
            log: args.log,
            resume: args.yes,
            quiet: global.quiet,
            on_stdout: args.output.output == Format::Table || args.output.output == Format::Wide,
        };
        let followed = follow.to_the_end();
        let late = async {
            match args.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            outcome = followed => outcome?,
            () = late => {
                let _ = galley_workflows::terminate(client, namespace, name).await;
                return Err(Problem::new("G0511", Kind::Timeout, format!("Workflow `{name}` has not ended within {}.",
                    galley_units::format_duration(args.timeout.unwrap_or_default()))));
            }
            () = crate::up::interrupted() => {
                leave(client, namespace, name).await;
                return Ok(Answer::Code(INTERRUPTED));
            }
        };
        let Followed { workflow, tails } = outcome;
        if !ended_well(&workflow.data) {
            answer = Answer::No;
        }
        match args.output.output {
            Format::Table | Format::Wide => {
                describe(&workflow);
                outputs(&workflow.data);
            }
            Format::Name => voice::data(&workflow.name_any()),
            Format::Json | Format::Yaml => all.push(workflow),
        }
        tails.iter().for_each(|tail| voice::talk(tail));
    }
    match (args.output.output, all.as_slice()) {
        (Format::Json | Format::Yaml, [one]) => voice::object(args.output.output, one)?,
        (Format::Json | Format::Yaml, many) => voice::object(args.output.output, &many)?,
        _ => {}
    }
    Ok(answer)
}

/// Ends a run that a person does not want any more; a second signal ends it at once.
async fn leave(client: &Client, namespace: &str, name: &str) {
    voice::talk("Ending; once more to leave at once.");
    let ending = async {
        let _ = galley_workflows::terminate(client, namespace, name).await;
        let _ = galley_workflows::wait(client, namespace, name, LEAVE).await;
    };
    tokio::select! {
        () = ending => {}
        () = crate::up::interrupted() => {}
    }
}

async fn unfinished(client: &Client) -> Result<Vec<(String, String)>, Problem> {
    let all = workflows(client, None).list(&ListParams::default()).await;
    let all = all.map_err(|e| refused("to list workflows", &e))?;
    let open = all.items.into_iter().filter(|one| {
        !matches!(one.data["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Error"))
    });
    let names: Vec<_> = open.map(|one| (one.namespace().unwrap_or_default(), one.name_any())).collect();
    if names.is_empty() {
        return Err(Problem::new("G0512", Kind::NotFound, "Every run in this state folder has ended."));
    }
    Ok(names)
}

async fn submit(
    client: &Client,
    contents: Contents,
    given: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, Problem> {
    let mut namespaces: Vec<&str> = contents
        .others
        .iter()
        .filter_map(|value| value["metadata"]["namespace"].as_str())
        .chain(contents.runs.iter().map(|run| run.namespace.as_str()))
        .collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in namespaces.iter().filter(|name| **name != "default") {
        objects::ensure_namespace(client, namespace).await?;
    }
    for object in &contents.others {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        objects::put(client, &namespace, object.clone()).await?;
    }
    let mut names = Vec::new();
    for run in contents.runs {
        replace_ended(client, &run).await?;
        let name =
            galley_workflows::submit_as(client, &run.namespace, run.from, given, run.name.as_deref()).await?;
        names.push((run.namespace, name));
    }
    Ok(names)
}

/// A lasting state folder may hold a run of the same name; one that has ended makes room.
async fn replace_ended(client: &Client, run: &Planned) -> Result<(), Problem> {
    let SubmitFrom::File { text, .. } = &run.from else { return Ok(()) };
    let value = galley_yaml::parse_value("the file", text)?;
    let Some(name) = run.name.as_deref().or(value["metadata"]["name"].as_str()) else { return Ok(()) };
    let api = workflows(client, Some(&run.namespace));
    let Some(old) = api.get_opt(name).await.map_err(|e| refused("to show the workflow", &e))? else {
        return Ok(());
    };
    if !old.data["status"]["finishedAt"].is_string() {
        return Err(Problem::new(
            "G0512",
            Kind::Conflict,
            format!("A run `{name}` in this state folder has not ended."),
        )
        .try_this("`galley workflow run --continue --state DIR` goes on with it."));
    }
    let gone = api.delete(name, &kube::api::DeleteParams::foreground()).await;
    gone.map_err(|e| refused("to delete the workflow", &e))?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while api.get_opt(name).await.map_err(|e| refused("to show the workflow", &e))?.is_some() {
        if Instant::now() > deadline {
            return Err(Problem::new(
                "G0512",
                Kind::Timeout,
                format!("The former run `{name}` is not gone yet."),
            )
            .try_this("Try again."));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The outputs of the whole workflow.
fn outputs(workflow: &Value) {
    let outputs = &workflow["status"]["outputs"];
    let parameters = outputs["parameters"].as_array().into_iter().flatten();
    for parameter in parameters {
        let value = parameter["value"].as_str().unwrap_or_default();
        voice::data(&format!("output      {} = {value}", parameter["name"].as_str().unwrap_or_default()));
    }
}
