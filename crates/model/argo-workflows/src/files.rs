//! Workflow files: read, check and tell what is wrong with line and column, before anything runs.
//!
//! Beyond Argo's own validation this finds what Argo finds only while running: conditions, expressions and durations
//! that cannot be read, `{{item}}` without items, features that do not exist on one machine.

use std::collections::BTreeMap;

use galley_problem::{Kind as ProblemKind, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::merge::execution_spec;
use crate::objects::{CronWorkflow, Workflow, WorkflowSpec, WorkflowTemplate};
use crate::scope::each_text;
use crate::semantics::{TemplateSource, Wrong, check_workflow, check_workflow_template};
use crate::shape::{Kind, ShapeFinding, check_shape};
use crate::template::{Step, Template};

/// An object of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Manifest {
    /// A run.
    Workflow(Box<Workflow>),
    /// Templates of a namespace.
    WorkflowTemplate(Box<WorkflowTemplate>),
    /// Templates of all namespaces.
    ClusterWorkflowTemplate(Box<WorkflowTemplate>),
    /// A timed run.
    CronWorkflow(Box<CronWorkflow>),
}

/// What a reference to an object in none of the files means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Externals {
    /// It may exist elsewhere.
    Allowed,
    /// It is a mistake.
    Refused,
}

/// Reads and checks one file on its own; references to templates of other files are taken on trust.
///
/// # Errors
/// Every problem found, in the order of the file.
pub fn parse_and_check(file: &str, text: &str) -> Result<Vec<Manifest>, Vec<Problem>> {
    check_files(&[(file, text)], Externals::Allowed)
}

/// Reads and checks files that belong together. Objects of other kinds are passed over.
///
/// # Errors
/// Every problem found, file by file.
pub fn check_files(files: &[(&str, &str)], externals: Externals) -> Result<Vec<Manifest>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut found: Vec<(Place, Manifest)> = Vec::new();
    for (file, text) in files {
        let documents = match galley_yaml::parse_documents(file, text) {
            Ok(documents) => documents,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        for document in documents {
            let place = Place { file: (*file).to_owned(), document };
            match read(&place) {
                Ok(Some(manifest)) => found.push((place, manifest)),
                Ok(None) => {}
                Err(more) => problems.extend(more),
            }
        }
    }
    let source = Files::new(&found, externals);
    for (place, manifest) in &found {
        problems.extend(meaning(place, manifest, &source));
    }
    if problems.is_empty() {
        Ok(found.into_iter().map(|(_, manifest)| manifest).collect())
    } else {
        Err(problems)
    }
}

/// A document and where it stands.
struct Place {
    file: String,
    document: galley_yaml::Document,
}

impl Place {
    fn problem(&self, code: &'static str, pointer: &str, what: impl Into<String>) -> Problem {
        self.problem_at(code, self.document.locate(pointer), what)
    }

    fn problem_at(&self, code: &'static str, at: Option<(usize, usize)>, what: impl Into<String>) -> Problem {
        let (line, column) = at.unwrap_or((self.document.first_line, 1));
        Problem::new(code, ProblemKind::Invalid, what).at(&self.file, line, column)
    }

    fn shape(&self, finding: &ShapeFinding) -> Problem {
        let problem = if finding.at_key {
            self.problem_at("G0501", self.document.locate_key(&finding.pointer), finding.what.clone())
        } else {
            self.problem("G0502", &finding.pointer, finding.what.clone())
        };
        match &finding.remedy {
            Some(remedy) => problem.try_this(remedy.clone()),
            None => problem,
        }
    }

    fn wrong(&self, wrong: &Wrong) -> Problem {
        self.problem("G0503", &wrong.pointer, format!("{}.", wrong.what.trim_end_matches('.')))
    }
}

fn read(place: &Place) -> Result<Option<Manifest>, Vec<Problem>> {
    let value = &place.document.value;
    let is_ours = value["apiVersion"].as_str().is_some_and(|version| version == crate::API_VERSION);
    let kind = match value["kind"].as_str() {
        Some("Workflow") => Kind::Workflow,
        Some("WorkflowTemplate" | "ClusterWorkflowTemplate") => Kind::WorkflowTemplate,
        Some("CronWorkflow") => Kind::CronWorkflow,
        _ => return Ok(None),
    };
    if !is_ours {
        return Ok(None);
    }
    let findings = check_shape(kind, value);
    if !findings.is_empty() {
        return Err(findings.iter().map(|finding| place.shape(finding)).collect());
    }
    let cluster = value["kind"] == "ClusterWorkflowTemplate";
    match kind {
        Kind::Workflow => typed(place).map(Manifest::Workflow),
        Kind::CronWorkflow => typed(place).map(Manifest::CronWorkflow),
        Kind::WorkflowTemplate if cluster => typed(place).map(Manifest::ClusterWorkflowTemplate),
        Kind::WorkflowTemplate => typed(place).map(Manifest::WorkflowTemplate),
    }
    .map(Some)
    .map_err(|problem| vec![problem])
}

fn typed<T: DeserializeOwned>(place: &Place) -> Result<Box<T>, Problem> {
    serde_json::from_value(place.document.value.clone())
        .map(Box::new)
        .map_err(|error| place.problem("G0502", "", "The object cannot be read.").because(&error))
}

/// The templates of all files.
struct Files<'a> {
    namespaced: BTreeMap<&'a str, &'a WorkflowSpec>,
    cluster: BTreeMap<&'a str, &'a WorkflowSpec>,
    externals: Externals,
}

impl<'a> Files<'a> {
    fn new(found: &'a [(Place, Manifest)], externals: Externals) -> Self {
        let mut files = Files { namespaced: BTreeMap::new(), cluster: BTreeMap::new(), externals };
        for (_, manifest) in found {
            match manifest {
                Manifest::WorkflowTemplate(template) => {
                    files.namespaced.insert(&template.metadata.name, &template.spec);
                }
                Manifest::ClusterWorkflowTemplate(template) => {
                    files.cluster.insert(&template.metadata.name, &template.spec);
                }
                _ => {}
            }
        }
        files
    }
}

impl TemplateSource for Files<'_> {
    fn spec_of(&self, name: &str, cluster: bool) -> Option<&WorkflowSpec> {
        if cluster { self.cluster.get(name) } else { self.namespaced.get(name) }.copied()
    }

    fn is_open(&self) -> bool {
        self.externals == Externals::Allowed
    }
}

fn meaning(place: &Place, manifest: &Manifest, source: &Files) -> Vec<Problem> {
    let (result, spec, base) = match manifest {
        Manifest::Workflow(workflow) => {
            (run(place, workflow, &workflow.spec, source), &workflow.spec, "/spec")
        }
        Manifest::WorkflowTemplate(template) | Manifest::ClusterWorkflowTemplate(template) => (
            check_workflow_template(template, source).map_err(|wrong| place.wrong(&wrong)),
            &template.spec,
            "/spec",
        ),
        Manifest::CronWorkflow(cron) => {
            let workflow = Workflow { spec: cron.spec.workflow_spec.clone(), ..Workflow::default() };
            let checked = schedules(place, cron)
                .and_then(|()| run(place, &workflow, &cron.spec.workflow_spec, source))
                .map_err(|problem| relocate(place, problem));
            (checked, &cron.spec.workflow_spec, "/spec/workflowSpec")
        }
    };
    let mut problems: Vec<Problem> = result.err().into_iter().collect();
    if problems.is_empty() {
        for (index, template) in spec.templates.iter().enumerate() {
            thorough(place, template, &format!("{base}/templates/{index}"), &mut problems);
        }
    }
    problems
}

/// A problem of a CronWorkflow's spec is told at the object's beginning when its own place is not known.
fn relocate(place: &Place, problem: Problem) -> Problem {
    match &problem.place {
        Some(known) if known.line > place.document.first_line => problem,
        _ => problem.at(&place.file, place.document.first_line, 1),
    }
}

fn schedules(place: &Place, cron: &CronWorkflow) -> Result<(), Problem> {
    if cron.metadata.name.len() > 52 {
        let what = format!(
            "The name of a CronWorkflow may have 52 letters, this one has {}.",
            cron.metadata.name.len()
        );
        return Err(place.problem("G0503", "/metadata/name", what));
    }
    if cron.spec.all_schedules().is_empty() {
        return Err(place
            .problem("G0503", "/spec", "A CronWorkflow needs at least one schedule.")
            .try_this("Add `schedules: [\"0 2 * * *\"]`."));
    }
    if cron.spec.starting_deadline_seconds.is_some_and(|seconds| seconds < 0) {
        return Err(place.problem("G0503", "/spec/startingDeadlineSeconds", "This must not be negative."));
    }
    Ok(())
}

fn run(place: &Place, workflow: &Workflow, own: &WorkflowSpec, source: &Files) -> Result<(), Problem> {
    let Some(reference) = &own.workflow_template_ref else {
        return check_workflow(workflow, own, source).map_err(|wrong| place.wrong(&wrong));
    };
    match source.spec_of(&reference.name, reference.cluster_scope) {
        Some(template) => {
            let merged = execution_spec(own, template);
            check_workflow(workflow, &merged, source).map_err(|wrong| place.wrong(&wrong))
        }
        None if source.is_open() => Ok(()),
        None => {
            let kind = if reference.cluster_scope { "ClusterWorkflowTemplate" } else { "WorkflowTemplate" };
            let what = format!("There is no {kind} `{}` in these files.", reference.name);
            let known = if reference.cluster_scope { &source.cluster } else { &source.namespaced };
            let problem = place.problem("G0504", "/spec/workflowTemplateRef", what);
            Err(match galley_problem::did_you_mean(&reference.name, known.keys().copied()) {
                Some(near) => problem.try_this(format!("Did you mean `{near}`?")),
                None => problem,
            })
        }
    }
}

/// What Argo would find only while running.
fn thorough(place: &Place, template: &Template, pointer: &str, problems: &mut Vec<Problem>) {
    let retry = template.retry_strategy.as_ref();
    let durations = [
        (template.timeout.as_deref(), "timeout"),
        (template.suspend.as_ref().and_then(|suspend| suspend.duration.as_deref()), "suspend/duration"),
        (
            retry.and_then(|retry| retry.backoff.as_ref()?.duration.as_deref()),
            "retryStrategy/backoff/duration",
        ),
        (
            retry.and_then(|retry| retry.backoff.as_ref()?.max_duration.as_deref()),
            "retryStrategy/backoff/maxDuration",
        ),
        (retry.and_then(|retry| retry.backoff.as_ref()?.cap.as_deref()), "retryStrategy/backoff/cap"),
    ];
    for (text, field) in durations {
        if let Some(text) = text
            && !text.contains("{{")
            && let Err(error) = galley_units::parse_duration(text)
        {
            problems.push(place.problem("G0505", &format!("{pointer}/{field}"), format!("{error}.")));
        }
    }
    if let Some(expression) = retry.and_then(|retry| retry.expression.as_deref())
        && !expression.contains("{{")
        && let Err(error) = galley_expr::names_of(expression)
    {
        problems.push(place.problem(
            "G0505",
            &format!("{pointer}/retryStrategy/expression"),
            format!("The expression cannot be read: {error}"),
        ));
    }
    for (set, what, remedy) in [
        (
            template.plugin.is_some(),
            "plugin",
            "Executor plugins are programs of a cluster; use a container or an `http` template.",
        ),
        (template.data.is_some(), "data", "List the artifacts in a container or script instead."),
    ] {
        if set {
            let what = format!("`{what}` is not available on one machine.");
            let place_of = template.kinds().first().copied().unwrap_or_default();
            problems.push(place.problem("G0506", &format!("{pointer}/{place_of}"), what).try_this(remedy));
        }
    }
    for (group, steps) in template.steps.iter().flatten().enumerate() {
        for (at, step) in steps.0.iter().enumerate() {
            step_thorough(place, step, &format!("{pointer}/steps/{group}/{at}"), problems);
        }
    }
    for (at, task) in template.dag.iter().flat_map(|dag| &dag.tasks).enumerate() {
        let pointer = format!("{pointer}/dag/tasks/{at}");
        step_thorough(place, &task.step, &pointer, problems);
        if let Some(depends) = task.depends.as_deref().filter(|text| !text.trim().is_empty())
            && let Err(error) = galley_expr::names_of(&depends.replace('-', "_"))
        {
            problems.push(place.problem(
                "G0505",
                &format!("{pointer}/depends"),
                format!("`depends` cannot be read: {error}"),
            ));
        }
    }
}

fn step_thorough(place: &Place, step: &Step, pointer: &str, problems: &mut Vec<Problem>) {
    if let Some(when) = step.when.as_deref().filter(|text| !text.contains("{{"))
        && let Err(error) = galley_expr::when(when)
    {
        problems.push(place.problem(
            "G0505",
            &format!("{pointer}/when"),
            error.to_string().trim_end().to_owned(),
        ));
    }
    let mut mentions_item = None;
    if !step.expands()
        && let Ok(value) = serde_json::to_value(step)
    {
        each_text(&value, &mut |text| {
            mentions_item = mentions_item.take().or_else(|| {
                galley_expr::tags_of(text)
                    .into_iter()
                    .find(|tag| tag.trim() == "item" || tag.trim().starts_with("item."))
                    .map(str::to_owned)
            });
        });
    }
    if let Some(tag) = mentions_item {
        let problem = place.problem(
            "G0505",
            pointer,
            format!("`{{{{{tag}}}}}` is used, but `{}` has no items.", step.name),
        );
        problems.push(problem.try_this("Add `withItems`, `withParam` or `withSequence`."));
    }
    for (field, value) in step
        .with_sequence
        .iter()
        .flat_map(|sequence| [("count", &sequence.count), ("start", &sequence.start), ("end", &sequence.end)])
    {
        if let Some(Value::String(text)) = value
            && !text.contains("{{")
            && text.parse::<i64>().is_err()
        {
            problems.push(place.problem(
                "G0505",
                &format!("{pointer}/withSequence/{field}"),
                format!("`{text}` is not a whole number."),
            ));
        }
    }
    if let Some(inline) = &step.inline {
        thorough(place, inline, &format!("{pointer}/inline"), problems);
    }
}
