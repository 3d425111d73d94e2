//! One step of a workflow from start to end.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use galley_argo_workflows::{
    Arguments, Condition, LABEL_COMPLETED, LABEL_PHASE, NodePhase, NodeType, TemplateSource, Workflow,
    WorkflowPhase, WorkflowSpec, WorkflowStatus, check_workflow, execution_spec,
};
use jiff::Timestamp;
use serde_json::json;

use crate::action::Action;
use crate::run::{Halt, Holder, Known, Opts, Run};
use crate::seen::{Observations, Templates};

/// The most times a step looks again because locks were given back.
const MAX_ROUNDS: usize = 256;

/// A workflow and the templates it may use.
#[derive(Clone, Debug)]
pub struct Engine {
    workflow: Workflow,
    templates: Templates,
    known: Known,
}

impl Engine {
    /// Takes up a workflow as it is stored.
    pub fn new(workflow: Workflow, templates: Templates) -> Self {
        Engine { workflow, templates, known: Known::default() }
    }

    /// The workflow with its status, labels and annotations after the last step.
    pub fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    /// The status after the last step.
    pub fn status(&self) -> &WorkflowStatus {
        static NONE: std::sync::LazyLock<WorkflowStatus> = std::sync::LazyLock::new(WorkflowStatus::default);
        self.workflow.status.as_ref().unwrap_or(&NONE)
    }

    /// Replaces the workflow's spec and metadata, as after a change by a person (resume, stop); the status stays.
    pub fn update(&mut self, workflow: Workflow) {
        let status = self.workflow.status.take();
        self.workflow = workflow;
        self.workflow.status = status;
        self.known = Known::default();
    }

    /// Moves the workflow on as far as what was seen allows, and says what to do. The same moment and the same sight
    /// give the same status and the same actions.
    pub fn step(&mut self, now: Timestamp, seen: &Observations) -> Vec<Action> {
        // Moments are kept in whole seconds, as everywhere in Kubernetes.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let mut status = self.workflow.status.take().unwrap_or_default();
        if self.workflow.metadata.name.is_empty() {
            // Ids of nodes are made from it.
            finish(&mut status, now, WorkflowPhase::Failed, "invalid spec: metadata.name is required");
            self.keep(status);
            return Vec::new();
        }
        let spec = match Self::execution_spec(&self.workflow.spec, &self.templates, &status) {
            Ok(spec) => spec,
            Err(why) => {
                finish(&mut status, now, WorkflowPhase::Failed, &why);
                self.keep(status);
                return Vec::new();
            }
        };
        if status.phase.is_unknown() {
            if let Err(wrong) = check_workflow(&self.workflow, &spec, &self.templates) {
                finish(&mut status, now, WorkflowPhase::Failed, &format!("invalid spec: {wrong}"));
                self.keep(status);
                return Vec::new();
            }
            if self.workflow.spec.workflow_template_ref.is_some() && status.stored_spec.is_none() {
                status.stored_spec = Some(Box::new(spec.clone().into_owned()));
            }
        }
        let was_done = status.phase.is_done();
        let pods: HashMap<&str, _> = seen.pods.iter().map(|pod| (pod.node_id.as_str(), pod)).collect();
        let mut run = Run {
            meta: &self.workflow.metadata,
            spec,
            status,
            globals: BTreeMap::new(),
            now,
            seen,
            pods,
            templates: &self.templates,
            actions: Vec::new(),
            wake: None,
            depth: 0,
            families: HashMap::new(),
            changes: 0,
            counts: RefCell::default(),
            known: std::mem::take(&mut self.known),
            parents: HashMap::new(),
            deadline: None,
        };
        if !was_done {
            run.advance();
        }
        run.clean_up();
        run.summarize();
        let mut actions = std::mem::take(&mut run.actions);
        actions.extend(run.wake.map(Action::WakeAt));
        let (labels, annotations) = run.metadata();
        let known = std::mem::take(&mut run.known);
        let status = run.status;
        self.workflow.metadata.labels.extend(labels);
        self.workflow.metadata.annotations.extend(annotations);
        self.keep(status);
        self.known = known;
        actions
    }

    fn keep(&mut self, status: WorkflowStatus) {
        let labels = &mut self.workflow.metadata.labels;
        if !status.phase.is_unknown() {
            labels.insert(LABEL_PHASE.to_owned(), status.phase.as_str().to_owned());
            labels.insert(LABEL_COMPLETED.to_owned(), status.phase.is_done().to_string());
        }
        self.workflow.status = Some(status);
    }

    /// The spec to carry out: the one kept at the start, or the run's own laid over its template's. What a person may
    /// change while it runs is always the run's own.
    fn execution_spec<'a>(
        own: &'a WorkflowSpec,
        templates: &Templates,
        status: &WorkflowStatus,
    ) -> Result<Cow<'a, WorkflowSpec>, String> {
        let Some(reference) = &own.workflow_template_ref else { return Ok(Cow::Borrowed(own)) };
        let mut spec = match &status.stored_spec {
            Some(stored) => (**stored).clone(),
            None => {
                let found = templates.spec_of(&reference.name, reference.cluster_scope);
                let kind =
                    if reference.cluster_scope { "clusterworkflowtemplates" } else { "workflowtemplates" };
                let found = found.ok_or_else(|| {
                    format!("invalid spec: {kind}.argoproj.io \"{}\" not found", reference.name)
                })?;
                execution_spec(own, found)
            }
        };
        spec.suspend = own.suspend;
        spec.shutdown.clone_from(&own.shutdown);
        spec.parallelism = own.parallelism.or(spec.parallelism);
        spec.active_deadline_seconds = own.active_deadline_seconds.or(spec.active_deadline_seconds);
        Ok(Cow::Owned(spec))
    }
}

fn finish(status: &mut WorkflowStatus, now: Timestamp, phase: WorkflowPhase, message: &str) {
    status.phase = phase;
    status.message = message.to_owned();
    status.started_at.get_or_insert(now);
    status.finished_at = Some(now);
    if status.progress.is_empty() {
        status.progress = "0/0".to_owned();
    }
    set_condition(status, "Completed", true);
}

fn set_condition(status: &mut WorkflowStatus, kind: &str, holds: bool) {
    let word = if holds { "True" } else { "False" };
    match status.conditions.iter_mut().find(|condition| condition.kind == kind) {
        Some(condition) => word.clone_into(&mut condition.status),
        None => status.conditions.push(Condition {
            kind: kind.to_owned(),
            status: word.to_owned(),
            message: String::new(),
        }),
    }
}

impl Run<'_> {
    fn advance(&mut self) {
        self.release_locks();
        self.forget_waiting();
        if !self.lock_workflow() {
            return;
        }
        if matches!(self.status.phase, WorkflowPhase::Unknown | WorkflowPhase::Pending) {
            self.status.message.clear();
            self.status.phase = WorkflowPhase::Running;
            self.status.started_at = Some(self.now);
        }
        self.set_deadline();
        if let Err(why) = self.set_globals() {
            return finish(&mut self.status, self.now, WorkflowPhase::Error, &why);
        }
        self.set_computed_labels();
        self.look_at_pods();
        self.end_by_control();
        self.release_locks();
        if self.spec.suspend == Some(true) {
            return;
        }
        if let Err(why) = self.make_claims() {
            return finish(&mut self.status, self.now, WorkflowPhase::Error, &why);
        }
        // What gives a lock back lets others of the same run begin.
        for _ in 0..MAX_ROUNDS {
            if self.carry_out() {
                self.end_daemons("");
                break;
            }
            let waits = self.waits_for_lock();
            if !waits || !self.release_locks() {
                break;
            }
            self.forget_waiting();
        }
        if self.status.phase.is_done() {
            self.release_locks();
            self.forget_waiting();
        }
    }

    /// Takes the locks of the whole run. False when it must wait.
    fn lock_workflow(&mut self) -> bool {
        let Some(asked) = self.spec.synchronization.clone() else { return true };
        if self.globals.is_empty()
            && let Err(why) = self.set_globals()
        {
            finish(&mut self.status, self.now, WorkflowPhase::Error, &why);
            return false;
        }
        match self.acquire("", &asked) {
            Ok(None) => true,
            Ok(Some(_)) if self.shutdown().is_some() => {
                let message = format!("Stopped with strategy '{}'", self.shutdown().unwrap_or_default());
                finish(&mut self.status, self.now, WorkflowPhase::Failed, &message);
                self.release_locks();
                false
            }
            Ok(Some(held)) => {
                if self.status.phase.is_unknown() {
                    self.status.phase = WorkflowPhase::Pending;
                }
                self.status.message = held.message;
                false
            }
            Err(why) => {
                let why = format!("Failed to acquire the synchronization lock. {why}");
                finish(&mut self.status, self.now, WorkflowPhase::Failed, &why);
                false
            }
        }
    }

    fn set_deadline(&mut self) {
        let began = self.status.started_at.unwrap_or(self.now);
        let seconds = self.spec.active_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        self.deadline =
            seconds.and_then(|seconds| began.checked_add(std::time::Duration::from_secs(seconds)).ok());
        if let Some(deadline) = self.deadline {
            let grace = deadline.checked_add(std::time::Duration::from_secs(5)).unwrap_or(deadline);
            if self.now < deadline {
                self.wake_at(deadline);
            } else if self.now < grace {
                self.wake_at(grace);
            }
        }
    }

    /// Labels of the workflow that are computed from expressions, as names for the rest of the step.
    fn set_computed_labels(&mut self) {
        for (name, value) in self.computed_labels() {
            self.globals.insert(format!("workflow.labels.{name}"), value);
        }
    }

    fn computed_labels(&self) -> Vec<(String, String)> {
        let from = self.spec.workflow_metadata.iter().flat_map(|metadata| &metadata.labels_from);
        let env = galley_expr::env_from(&self.globals);
        from.filter_map(|(name, from)| match galley_expr::eval(&from.expression, &env) {
            Ok(serde_json::Value::String(text)) => Some((name.clone(), text)),
            _ => None,
        })
        .collect()
    }

    /// Labels and annotations that the workflow itself should have.
    fn metadata(&self) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let Some(own) = &self.spec.workflow_metadata else { return Default::default() };
        let mut labels = own.labels.clone();
        labels.extend(self.computed_labels());
        (labels, own.annotations.clone())
    }

    /// Carries out the entry template, hooks and the template of the end. True when the workflow has ended.
    fn carry_out(&mut self) -> bool {
        let root = self.meta.name.clone();
        let scope = self.local_scope();
        let entrypoint = self.spec.entrypoint.clone().unwrap_or_default();
        let holder =
            Holder { template: entrypoint, called: Some(("steps", String::new())), ..Holder::default() };
        let given = self.entry_arguments();
        match self.execute(&root, &holder, &scope, &given, &Opts::default()) {
            Ok(_) | Err(Halt::Busy) => {}
            Err(halt) => {
                let why = format!("error in entry template execution: {}", words(&halt));
                finish(&mut self.status, self.now, WorkflowPhase::Error, &why);
                return true;
            }
        }
        let Some(phase) = self.phase(&root) else { return false };
        self.set_outcome(phase);
        match self.run_workflow_hooks() {
            Ok(true) => {}
            Ok(false) => return false,
            Err(halt) => self.mark_error(&root, &words(&halt)),
        }
        let Some(node) = self.node(&root).cloned().filter(|node| node.phase.is_fulfilled()) else {
            return false;
        };
        self.set_outcome(node.phase);
        match self.run_on_exit() {
            Ok(true) => {}
            Ok(false) => return false,
            Err(halt) => {
                let why = format!("error in exit template execution : {}", words(&halt));
                finish(&mut self.status, self.now, WorkflowPhase::Error, &why);
                return true;
            }
        }
        let message = match self.shutdown() {
            Some(shutdown) if node.phase.is_bad() => format!("Stopped with strategy '{shutdown}'"),
            _ => node.message.clone(),
        };
        let exit = self.node(&format!("{root}.onExit")).filter(|exit| exit.phase.is_bad()).cloned();
        let (phase, message) = match (node.phase, exit) {
            (NodePhase::Failed, _) => (WorkflowPhase::Failed, message),
            (NodePhase::Error, _) => (WorkflowPhase::Error, message),
            (_, Some(exit)) if exit.phase == NodePhase::Failed => (WorkflowPhase::Failed, exit.message),
            (_, Some(exit)) => (WorkflowPhase::Error, exit.message),
            _ => (WorkflowPhase::Succeeded, String::new()),
        };
        finish(&mut self.status, self.now, phase, &message);
        true
    }

    /// The workflow's arguments; those from ConfigMaps are read where they are used.
    fn entry_arguments(&self) -> Arguments {
        let mut given = self.spec.arguments.clone();
        for parameter in &mut given.parameters {
            if parameter.value_from.is_none()
                && let Some(value) = self.globals.get(&format!("workflow.parameters.{}", parameter.name))
            {
                parameter.value = Some(value.as_str().into());
            }
        }
        given
    }

    fn make_claims(&mut self) -> Result<(), String> {
        for claim in &self.spec.volume_claim_templates {
            let mut claim = galley_expr::substitute(claim, &self.globals, galley_expr::Mode::Lenient)
                .map_err(|error| format!("pvc create error: {error}"))?;
            let short = claim["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if short.is_empty() {
                return Err("pvc create error: volumeClaimTemplates[].metadata.name is required".to_owned());
            }
            let name = format!("{}-{short}", self.meta.name);
            claim["apiVersion"] = "v1".into();
            claim["kind"] = "PersistentVolumeClaim".into();
            claim["metadata"]["name"] = name.clone().into();
            claim["metadata"]["namespace"] = json!(self.meta.namespace);
            claim["metadata"]["ownerReferences"] = json!([self.owner_reference()]);
            claim["metadata"]["labels"][galley_argo_workflows::LABEL_WORKFLOW] =
                self.meta.name.clone().into();
            self.actions.push(Action::CreateClaim { manifest: claim });
            let volume = json!({"name": short, "persistentVolumeClaim": {"claimName": name}});
            if !self.status.persistent_volume_claims.contains(&volume) {
                self.status.persistent_volume_claims.push(volume);
            }
        }
        Ok(())
    }

    /// Progress and conditions.
    fn summarize(&mut self) {
        // A node that a person let go on has no end yet.
        for node in self.status.nodes.values_mut().filter(|node| node.phase.is_fulfilled()) {
            node.finished_at.get_or_insert(self.now);
        }
        let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        let mut total = (0, 0);
        for node in self.status.nodes.values() {
            if !matches!(node.kind, NodeType::Pod | NodeType::Suspend | NodeType::Container) {
                continue;
            }
            let done = usize::from(node.phase == NodePhase::Succeeded);
            total = (total.0 + done, total.1 + 1);
            counts.insert(node.id.clone(), (done, 1));
            let mut boundary = node.boundary_id.clone();
            while let Some(parent) =
                self.status.nodes.get(&boundary).filter(|parent| parent.boundary_id != parent.id)
            {
                let count = counts.entry(parent.id.clone()).or_default();
                *count = (count.0 + done, count.1 + 1);
                boundary.clone_from(&parent.boundary_id);
            }
        }
        for (id, (done, all)) in counts {
            if let Some(node) = self.status.nodes.get_mut(&id) {
                node.progress = format!("{done}/{all}");
            }
        }
        self.status.progress = format!("{}/{}", total.0, total.1);
        let pods = self.status.nodes.values().any(|node| node.kind == NodeType::Pod);
        if pods {
            let runs = self
                .status
                .nodes
                .values()
                .any(|node| node.kind == NodeType::Pod && node.phase == NodePhase::Running);
            set_condition(&mut self.status, "PodRunning", runs);
        }
    }
}

fn words(halt: &Halt) -> String {
    match halt {
        Halt::Wrong(why) => why.clone(),
        Halt::Depth => "max recursion depth exceeded".to_owned(),
        Halt::Busy => "parallelism reached".to_owned(),
    }
}
