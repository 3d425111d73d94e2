//! What people do with workflows: submit, resume, stop, terminate, wait.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use galley_argo_workflows::{
    API_VERSION, Arguments, Externals, LABEL_CRON, LABEL_TEMPLATE, Manifest, NodePhase, NodeType, Parameter,
    Workflow, WorkflowPhase, WorkflowSpec, WorkflowTemplateRef, check_files, check_workflow, execution_spec,
};
use galley_problem::{Kind, Problem, did_you_mean};
use galley_workflow::Templates;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::Error;
use crate::api::{self, argo, as_cron, as_workflow, typed, within};
use crate::error::code_of;

/// How often a write is repeated when somebody else was faster.
pub(crate) const TRIES: usize = 20;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitFrom {
    /// A WorkflowTemplate of the namespace, by name.
    WorkflowTemplate(String),
    /// A ClusterWorkflowTemplate, by name.
    ClusterWorkflowTemplate(String),
    /// A CronWorkflow of the namespace, by name: a run of its own, now.
    CronWorkflow(String),
    /// A file with one Workflow in it.
    File {
        /// The file's name, for messages.
        name: String,
        /// Its text.
        text: String,
    },
}

/// Begins a run with these parameters and gives its name.
///
/// # Errors
/// A problem that says what is wrong with the file, the template or the parameters.
pub async fn submit(
    client: &Client,
    namespace: &str,
    from: SubmitFrom,
    parameters: &BTreeMap<String, String>,
) -> Result<String, Problem> {
    submit_as(client, namespace, from, parameters, None).await
}

/// Like [`submit`], with a name of one's own; the API server refuses one that is taken.
///
/// # Errors
/// As [`submit`].
pub async fn submit_as(
    client: &Client,
    namespace: &str,
    from: SubmitFrom,
    parameters: &BTreeMap<String, String>,
    name: Option<&str>,
) -> Result<String, Problem> {
    let templates = api::templates(client, namespace).await?;
    let mut workflow = prepare(client, namespace, from, &templates).await?;
    workflow.api_version = API_VERSION.to_owned();
    workflow.kind = "Workflow".to_owned();
    workflow.metadata.namespace = Some(namespace.to_owned());
    if let Some(name) = name {
        workflow.metadata.name = name.to_owned();
        workflow.metadata.generate_name = None;
    }
    let beneath =
        workflow.spec.workflow_template_ref.as_ref().and_then(|reference| spec_of(&templates, reference));
    give(&mut workflow.spec.arguments, beneath, parameters)?;
    let spec =
        beneath.map_or_else(|| workflow.spec.clone(), |beneath| execution_spec(&workflow.spec, beneath));
    check_workflow(&workflow, &spec, &templates).map_err(|wrong| {
        Problem::new("G0503", Kind::Invalid, format!("{}.", wrong.what.trim_end_matches('.')))
            .try_this(remedy(&wrong.what))
    })?;
    let object: DynamicObject = serde_json::to_value(&workflow)
        .and_then(serde_json::from_value)
        .map_err(|source| Error::Form { what: "the workflow".to_owned(), source })?;
    let made = within(client, namespace, &argo("Workflow"))
        .create(&PostParams::default(), &object)
        .await
        .map_err(Error::api("submitting the workflow"))?;
    Ok(made.name_any())
}

fn remedy(what: &str) -> String {
    if what.contains(".value or ") {
        "Give the missing parameter: `-p name=value`.".to_owned()
    } else {
        "Correct the file and submit it again; `galley pipeline check` finds such mistakes beforehand."
            .to_owned()
    }
}

fn spec_of<'a>(templates: &'a Templates, reference: &WorkflowTemplateRef) -> Option<&'a WorkflowSpec> {
    let all = if reference.cluster_scope { &templates.cluster } else { &templates.namespaced };
    all.get(&reference.name)
}

async fn prepare(
    client: &Client,
    namespace: &str,
    from: SubmitFrom,
    templates: &Templates,
) -> Result<Workflow, Problem> {
    match from {
        SubmitFrom::WorkflowTemplate(name) => referring(name, false, templates),
        SubmitFrom::ClusterWorkflowTemplate(name) => referring(name, true, templates),
        SubmitFrom::CronWorkflow(name) => {
            let crons = within(client, namespace, &argo("CronWorkflow"));
            let found =
                crons.get_opt(&name).await.map_err(Error::api(format!("reading CronWorkflow {name}")))?;
            let found = found.ok_or_else(|| missing("CronWorkflow", &name, std::iter::empty()))?;
            let cron = as_cron(&found)?;
            let mut workflow = Workflow { spec: cron.spec.workflow_spec, ..Workflow::default() };
            workflow.metadata.generate_name = Some(format!("{name}-"));
            workflow.metadata.labels = cron.spec.workflow_metadata.labels;
            workflow.metadata.annotations = cron.spec.workflow_metadata.annotations;
            workflow.metadata.labels.insert(LABEL_CRON.to_owned(), name);
            Ok(workflow)
        }
        SubmitFrom::File { name, text } => from_file(&name, &text),
    }
}

fn referring(name: String, cluster_scope: bool, templates: &Templates) -> Result<Workflow, Problem> {
    let (kind, all) = if cluster_scope {
        ("ClusterWorkflowTemplate", &templates.cluster)
    } else {
        ("WorkflowTemplate", &templates.namespaced)
    };
    if !all.contains_key(&name) {
        return Err(missing(kind, &name, all.keys().map(String::as_str)));
    }
    let mut workflow = Workflow::default();
    workflow.metadata.generate_name = Some(format!("{name}-"));
    workflow.metadata.labels.insert(LABEL_TEMPLATE.to_owned(), name.clone());
    workflow.spec.workflow_template_ref = Some(WorkflowTemplateRef { name, cluster_scope });
    Ok(workflow)
}

fn missing<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Problem {
    let problem = Problem::new("G0510", Kind::NotFound, format!("There is no {kind} `{name}`."));
    match did_you_mean(name, known) {
        Some(near) => problem.try_this(format!("Did you mean `{near}`?")),
        None => problem,
    }
}

fn from_file(name: &str, text: &str) -> Result<Workflow, Problem> {
    let manifests =
        check_files(&[(name, text)], Externals::Allowed).map_err(|mut problems| problems.remove(0))?;
    let mut workflows = manifests.into_iter().filter_map(|manifest| match manifest {
        Manifest::Workflow(workflow) => Some(*workflow),
        _ => None,
    });
    match (workflows.next(), workflows.next()) {
        (Some(workflow), None) => Ok(workflow),
        (None, _) => Err(Problem::new("G0507", Kind::Invalid, "There is no Workflow in this file.")
            .at(name, 1, 1)
            .try_this("Templates are run with `--from workflowtemplate/NAME`.")),
        (Some(_), Some(_)) => {
            Err(Problem::new("G0507", Kind::Invalid, "There is more than one Workflow in this file.")
                .at(name, 1, 1)
                .try_this("Put each into a file of its own."))
        }
    }
}

/// Puts parameters in; each must be one that the workflow has.
fn give(
    arguments: &mut Arguments,
    beneath: Option<&WorkflowSpec>,
    given: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    for (name, value) in given {
        let known =
            |parameters: &[Parameter]| parameters.iter().find(|parameter| parameter.name == *name).cloned();
        let own = known(&arguments.parameters);
        let template = beneath.and_then(|spec| known(&spec.arguments.parameters));
        let Some(mut parameter) = own.or(template) else {
            let names =
                beneath.iter().flat_map(|spec| &spec.arguments.parameters).chain(&arguments.parameters);
            let names: Vec<&str> = names.map(|parameter| parameter.name.as_str()).collect();
            let problem =
                Problem::new("G0508", Kind::Usage, format!("The workflow has no parameter `{name}`."));
            return Err(match did_you_mean(name, names.iter().copied()) {
                Some(near) => problem.try_this(format!("Did you mean `{near}`?")),
                None if names.is_empty() => problem.try_this("It takes no parameters."),
                None => problem.try_this(format!("It takes: {}.", names.join(", "))),
            });
        };
        parameter.value = Some(value.as_str().into());
        parameter.value_from = None;
        match arguments.parameters.iter_mut().find(|known| known.name == *name) {
            Some(known) => *known = parameter,
            None => arguments.parameters.push(parameter),
        }
    }
    Ok(())
}

pub(crate) async fn find(client: &Client, namespace: &str, name: &str) -> Result<DynamicObject, Problem> {
    let found = api::workflow(client, namespace, name).await?;
    found.ok_or_else(|| {
        Problem::new("G0510", Kind::NotFound, format!("There is no workflow `{name}` in {namespace}."))
            .try_this(format!("`galley workflow list -n {namespace}` shows the ones there are."))
    })
}

/// Lets a workflow go on that waits: `spec.suspend` is taken away and suspended nodes end well.
///
/// # Errors
/// When there is no such workflow, when it has ended, or when nothing in it waits.
pub async fn resume(client: &Client, namespace: &str, name: &str) -> Result<(), Problem> {
    // Somebody else (the controller) may write in between; then everything is read again.
    for _ in 0..TRIES {
        match try_resume(client, namespace, name).await {
            Err(problem) if problem.kind == Kind::Conflict && problem.code == "G0509" => {}
            other => return other,
        }
    }
    Err(Problem::new("G0509", Kind::Conflict, format!("Workflow `{name}` changes too fast to be resumed."))
        .try_this("Try again."))
}

async fn try_resume(client: &Client, namespace: &str, name: &str) -> Result<(), Problem> {
    let mut object = find(client, namespace, name).await?;
    let mut workflow = as_workflow(&object)?;
    refuse_ended(&workflow)?;
    let workflows = within(client, namespace, &argo("Workflow"));
    let mut done = false;
    if workflow.spec.suspend == Some(true) {
        let patch = Patch::Merge(json!({"spec": {"suspend": null}}));
        object = workflows
            .patch(name, &PatchParams::default(), &patch)
            .await
            .map_err(Error::api("resuming the workflow"))?;
        workflow = as_workflow(&object)?;
        done = true;
    }
    // The engine notes the moment when it sees the node.
    let mut status = workflow.status.clone().unwrap_or_default();
    let mut changed = false;
    for node in status.nodes.values_mut() {
        if node.kind != NodeType::Suspend || node.phase != NodePhase::Running {
            continue;
        }
        for parameter in node.outputs.iter_mut().flat_map(|outputs| &mut outputs.parameters) {
            if parameter.value.is_none() {
                let default = parameter.value_from.as_ref().and_then(|from| from.default.clone());
                parameter.value = Some(default.ok_or_else(|| {
                    let what =
                        format!("`{}` waits for the value of `{}`.", node.display_name, parameter.name);
                    Problem::new("G0512", Kind::Conflict, what)
                        .try_this("Give the parameter a default in the template.")
                })?);
            }
        }
        node.phase = NodePhase::Succeeded;
        changed = true;
    }
    if changed {
        object.data["status"] = serde_json::to_value(&status)
            .map_err(|source| Error::Form { what: "the status".to_owned(), source })?;
        workflows
            .replace_status(name, &PostParams::default(), &object)
            .await
            .map_err(Error::api("resuming the workflow"))?;
    }
    if done || changed {
        return Ok(());
    }
    Err(Problem::new("G0512", Kind::Conflict, format!("Nothing in workflow `{name}` waits to be resumed.")))
}

/// Lets a workflow rest: what runs goes on, nothing new begins until it is resumed.
///
/// # Errors
/// When there is no such workflow, or when it has ended.
pub async fn suspend(client: &Client, namespace: &str, name: &str) -> Result<(), Problem> {
    let object = find(client, namespace, name).await?;
    refuse_ended(&typed(&object)?)?;
    patch_spec(client, namespace, name, json!({"suspend": true})).await
}

pub(crate) fn refuse_ended(workflow: &Workflow) -> Result<(), Problem> {
    let phase = workflow.status.as_ref().map_or(WorkflowPhase::Unknown, |status| status.phase);
    if phase.is_done() {
        let what = format!("Workflow `{}` has ended already: {}.", workflow.metadata.name, phase.as_str());
        return Err(Problem::new("G0512", Kind::Conflict, what).try_this("Submit it again to run it again."));
    }
    Ok(())
}

/// Ends a workflow; templates of its end still run.
///
/// # Errors
/// When there is no such workflow, or when it has ended.
pub async fn stop(client: &Client, namespace: &str, name: &str) -> Result<(), Problem> {
    shut_down(client, namespace, name, "Stop").await
}

/// Ends a workflow at once; nothing of it runs any more.
///
/// # Errors
/// When there is no such workflow, or when it has ended.
pub async fn terminate(client: &Client, namespace: &str, name: &str) -> Result<(), Problem> {
    shut_down(client, namespace, name, "Terminate").await
}

async fn shut_down(client: &Client, namespace: &str, name: &str, how: &str) -> Result<(), Problem> {
    let object = find(client, namespace, name).await?;
    refuse_ended(&typed(&object)?)?;
    patch_spec(client, namespace, name, json!({"shutdown": how})).await
}

/// Changes the spec of a workflow by a merge patch.
pub(crate) async fn patch_spec(
    client: &Client,
    namespace: &str,
    name: &str,
    spec: Value,
) -> Result<(), Problem> {
    let patch = Patch::Merge(json!({"spec": spec}));
    let workflows = within(client, namespace, &argo("Workflow"));
    let mut tries = 0;
    loop {
        match workflows.patch(name, &PatchParams::default(), &patch).await {
            Ok(_) => return Ok(()),
            // The controller wrote in between.
            Err(error) if code_of(&error) == Some(409) && tries < TRIES => tries += 1,
            Err(error) => return Err(Error::api("changing the workflow")(error).into()),
        }
    }
}

/// Waits until a workflow has ended and gives its phase.
///
/// # Errors
/// When there is no such workflow, when it is deleted meanwhile, or when it has not ended in time.
pub async fn wait(
    client: &Client,
    namespace: &str,
    name: &str,
    at_most: Duration,
) -> Result<String, Problem> {
    find(client, namespace, name).await?;
    let late = || {
        let time = galley_units::format_duration(at_most);
        Problem::new("G0511", Kind::Timeout, format!("Workflow `{name}` has not ended within {time}."))
            .try_this(format!("`galley workflow get {name} -n {namespace}` shows what it does."))
    };
    tokio::time::timeout(at_most, follow(client, namespace, name)).await.map_err(|_| late())?
}

async fn follow(client: &Client, namespace: &str, name: &str) -> Result<String, Problem> {
    let workflows = within(client, namespace, &argo("Workflow"));
    let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = watcher(workflows, one).default_backoff().boxed();
    let gone =
        || Problem::new("G0510", Kind::NotFound, format!("Workflow `{name}` was deleted before it ended."));
    let mut there = false;
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Apply(object) | watcher::Event::InitApply(object))) => {
                there = true;
                if let Some(phase) = ended(&object.data) {
                    return Ok(phase);
                }
            }
            Ok(Some(watcher::Event::Delete(_)) | None) => return Err(gone()),
            Ok(Some(watcher::Event::InitDone)) if !there => return Err(gone()),
            Ok(Some(watcher::Event::Init)) => there = false,
            Ok(Some(watcher::Event::InitDone)) => {}
            Err(error) => tracing::debug!(%error, "the watch was interrupted"),
        }
    }
}

fn ended(data: &Value) -> Option<String> {
    let phase = data["status"]["phase"].as_str()?;
    matches!(phase, "Succeeded" | "Failed" | "Error").then(|| phase.to_owned())
}
