//! A small cluster for tests: it runs pods by the outcomes of a recording, keeps objects and a clock.

use std::collections::{BTreeMap, BTreeSet};

use galley_argo_workflows::{Workflow, WorkflowSpec};
use galley_workflow::{
    Abilities, Action, Engine, HttpAnswer, HttpSeen, Observations, PodSeen, ResourceRequest, ResourceSeen,
    ResourceVerb, Templates,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// How a pod ends: given by its node's name.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub exit_code: i64,
    pub reason: String,
    pub files: BTreeMap<String, String>,
    pub stdout: Option<String>,
    /// Output artifacts that are there.
    pub artifacts: Vec<String>,
    /// How the containers of a set end, by name.
    pub containers: BTreeMap<String, i64>,
    /// The pod fails with this message of its own, at its deadline.
    pub too_long: Option<String>,
}

/// A thing to do to the workflow from outside.
#[derive(Clone, Debug)]
pub enum Deed {
    After(i64, &'static str),
    When(String, String, &'static str),
}

struct Pod {
    object: Value,
    ends: Timestamp,
    outcome: Outcome,
}

/// The cluster.
pub struct Cluster<'a> {
    pub now: Timestamp,
    began: Timestamp,
    pods: BTreeMap<String, Pod>,
    objects: BTreeMap<(String, String), Value>,
    asked: BTreeMap<String, ResourceRequest>,
    pub seen: Observations,
    outcome: Box<dyn Fn(&str) -> Outcome + 'a>,
    job_fails: Box<dyn Fn(&str) -> bool + 'a>,
    deeds: Vec<Deed>,
    /// Keys in the artifact store.
    keys: BTreeSet<String>,
    /// The most pods that ran at one time.
    pub peak: usize,
}

/// The seconds that a pod sleeps, by its own words; one if it does not.
fn duration(pod: &Value) -> i64 {
    let main = &pod["spec"]["containers"][0];
    let script = pod["metadata"]["annotations"]["workflows.galley.dev/script"].as_str().unwrap_or_default();
    let words: Vec<String> = ["command", "args"]
        .iter()
        .flat_map(|list| main[list].as_array().cloned().unwrap_or_default())
        .flat_map(|item| {
            item.as_str().unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        })
        .chain(script.split_whitespace().map(str::to_owned))
        .collect();
    words.windows(2).find(|pair| pair[0] == "sleep").and_then(|pair| pair[1].parse().ok()).unwrap_or(1)
}

impl<'a> Cluster<'a> {
    pub fn new(
        outcome: impl Fn(&str) -> Outcome + 'a,
        job_fails: impl Fn(&str) -> bool + 'a,
        deeds: Vec<Deed>,
    ) -> Self {
        let now: Timestamp = "2026-11-05T10:00:00Z".parse().unwrap();
        Cluster {
            now,
            began: now,
            pods: BTreeMap::new(),
            objects: BTreeMap::new(),
            asked: BTreeMap::new(),
            seen: Observations {
                abilities: Abilities { artifacts: true, container_order: true, ..Default::default() },
                ..Observations::default()
            },
            outcome: Box::new(outcome),
            job_fails: Box::new(job_fails),
            deeds,
            keys: BTreeSet::new(),
            peak: 0,
        }
    }

    /// Runs a workflow until it ends or nothing happens any more. The engine is rebuilt from JSON before every step,
    /// as after a crash, and every step is made twice: the second must change nothing.
    pub fn play(&mut self, workflow: Workflow, templates: &Templates) -> Workflow {
        let mut workflow = workflow;
        workflow.metadata.creation_timestamp = Some(self.now);
        for _ in 0..3000 {
            self.look();
            self.do_deeds(&mut workflow);
            let stored: Workflow = serde_json::from_value(serde_json::to_value(&workflow).unwrap()).unwrap();
            let mut engine = Engine::new(stored, templates.clone());
            let actions = engine.step(self.now, &self.seen);
            let once = engine.workflow().clone();
            engine.step(self.now, &self.seen);
            assert_eq!(engine.workflow().status, once.status, "a second step changed something");
            workflow = once;
            let mut wake = None;
            let mut changed = false;
            for action in actions {
                match action {
                    Action::WakeAt(moment) => wake = Some(moment),
                    other => changed |= self.act(other, &workflow),
                }
            }
            if workflow.status.as_ref().is_some_and(|status| status.phase.is_done()) {
                return workflow;
            }
            if changed || self.has_due_deed(&workflow) {
                continue;
            }
            let next = self
                .pods
                .values()
                .filter(|pod| pod.object["status"]["phase"] == "Running")
                .map(|pod| pod.ends)
                .chain(wake)
                .chain(self.deeds.iter().filter_map(|deed| match deed {
                    Deed::After(seconds, _) => Some(self.began + SignedDuration::from_secs(*seconds)),
                    Deed::When(..) => None,
                }))
                .filter(|moment| *moment > self.now)
                .min();
            match next {
                Some(next) => self.now = next,
                None => return workflow,
            }
        }
        workflow
    }

    fn is_due(&self, deed: &Deed, workflow: &Workflow) -> bool {
        match deed {
            Deed::After(seconds, _) => self.now >= self.began + SignedDuration::from_secs(*seconds),
            Deed::When(node, phase, _) => {
                let nodes = workflow.status.iter().flat_map(|status| status.nodes.values());
                nodes.into_iter().any(|known| known.display_name == *node && known.phase.as_str() == phase)
            }
        }
    }

    fn has_due_deed(&self, workflow: &Workflow) -> bool {
        self.deeds.iter().any(|deed| self.is_due(deed, workflow))
    }

    fn do_deeds(&mut self, workflow: &mut Workflow) {
        let deeds = std::mem::take(&mut self.deeds);
        let (ready, later): (Vec<Deed>, Vec<Deed>) =
            deeds.into_iter().partition(|deed| self.is_due(deed, workflow));
        self.deeds = later;
        for deed in ready {
            let (Deed::After(_, verb) | Deed::When(_, _, verb)) = deed;
            match verb {
                "resume" => workflow.spec.suspend = None,
                "terminate" => workflow.spec.shutdown = Some("Terminate".to_owned()),
                "stop" => workflow.spec.shutdown = Some("Stop".to_owned()),
                other => panic!("unknown deed {other}"),
            }
        }
    }

    /// Time passes for pods; what is seen of them is written down.
    fn look(&mut self) {
        for pod in self.pods.values_mut() {
            match pod.object["status"]["phase"].as_str() {
                Some("Pending") => {
                    let limit = pod.object["spec"]["activeDeadlineSeconds"].as_i64().unwrap_or(i64::MAX / 2);
                    let seconds = duration(&pod.object);
                    if seconds > limit && pod.outcome.too_long.is_none() {
                        pod.outcome.too_long =
                            Some("Pod was active on the node longer than the specified deadline".to_owned());
                    }
                    pod.ends = self.now + SignedDuration::from_secs(seconds.min(limit));
                    if let Some(why) = missing_input(&pod.object, &self.keys) {
                        pod.object["status"] = json!({"phase": "Failed", "initContainerStatuses": [{"name": "init",
                            "state": {"terminated": {"exitCode": 64, "reason": "Error", "message": why}}}]});
                        continue;
                    }
                    pod.object["status"] = json!({"phase": "Running", "podIP": "10.88.0.9",
                        "containerStatuses": [{"name": "main", "ready": true, "state": {"running": {}}}]});
                }
                Some("Running") if self.now >= pod.ends => end(pod, &mut self.keys),
                _ => {}
            }
        }
        let running = self.pods.values().filter(|pod| pod.object["status"]["phase"] == "Running").count();
        self.peak = self.peak.max(running);
        self.seen.pods = self.pods.values().filter_map(|pod| PodSeen::from_pod(&pod.object)).collect();
    }

    fn act(&mut self, action: Action, workflow: &Workflow) -> bool {
        match action {
            Action::CreatePod { node_id, name, manifest } => self.create(node_id, name, manifest),
            Action::DeletePod { name } => self.pods.remove(&name).is_some(),
            Action::CompletePod { name } => {
                let pod = self.pods.get_mut(&name).expect("the pod exists");
                pod.object["metadata"]["labels"]["workflows.argoproj.io/completed"] = "true".into();
                false
            }
            Action::SaveCache { cache, key, entry } => {
                self.seen.caches.entry(cache).or_default().insert(key, entry);
                false
            }
            Action::Resource(request) => self.resource(request, workflow),
            Action::Http(request) => {
                let answer = HttpAnswer { status: 200, body: request.url.clone(), ..HttpAnswer::default() };
                self.seen.http.push(HttpSeen { node_id: request.node_id, result: Ok(answer) });
                true
            }
            Action::CreateClaim { .. } | Action::DeleteClaim { .. } => false,
            Action::WakeAt(_) => unreachable!("handled by the caller"),
        }
    }

    fn create(&mut self, node_id: String, name: String, manifest: Value) -> bool {
        if manifest["spec"]["serviceAccountName"] == "own-nobody" {
            let why = format!(
                "pods \"{name}\" is forbidden: error looking up service account argo/own-nobody: serviceaccount \"own-nobody\" not found"
            );
            return self.seen.refused.insert(node_id, why).is_none();
        }
        if self.pods.contains_key(&name) {
            return false;
        }
        let node = manifest["metadata"]["annotations"]["workflows.argoproj.io/node-name"]
            .as_str()
            .unwrap()
            .to_owned();
        let outcome = (self.outcome)(&node);
        let mut object = manifest;
        object["status"] = json!({"phase": "Pending"});
        object["spec"]["nodeName"] = "one".into();
        self.pods.insert(name, Pod { object, ends: self.now, outcome });
        true
    }

    fn resource(&mut self, request: ResourceRequest, workflow: &Workflow) -> bool {
        let manifest = &request.manifest;
        let key = (
            manifest["kind"].as_str().unwrap_or_default().to_owned(),
            manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        );
        let node = workflow.status.as_ref().unwrap().nodes[&request.node_id].name.clone();
        let result = match request.verb {
            ResourceVerb::Create => {
                let mut object = manifest.clone();
                if key.0 == "Job" {
                    let field = if (self.job_fails)(&node) { "failed" } else { "succeeded" };
                    object["status"] = json!({field: 1});
                }
                Ok(self.objects.entry(key).or_insert(object).clone())
            }
            ResourceVerb::Apply | ResourceVerb::Patch => {
                let object = self.objects.entry(key).or_insert_with(|| json!({}));
                galley_argo_workflows::lay(object, manifest);
                Ok(object.clone())
            }
            ResourceVerb::Replace => Ok(self.objects.entry(key).insert_entry(manifest.clone()).get().clone()),
            ResourceVerb::Get | ResourceVerb::Watch => {
                self.objects.get(&key).cloned().ok_or_else(|| "not found".to_owned())
            }
            ResourceVerb::Delete => {
                self.objects.remove(&key);
                Ok(Value::Null)
            }
        };
        self.seen.resources.retain(|seen| seen.node_id != request.node_id);
        self.seen.resources.push(ResourceSeen { node_id: request.node_id.clone(), result });
        self.asked.insert(request.node_id.clone(), request).is_none()
    }
}

/// Why the input artifacts of a pod cannot be had.
fn missing_input(pod: &Value, keys: &BTreeSet<String>) -> Option<String> {
    let orders = pod["metadata"]["annotations"][galley_workflow::ANNOTATION_ARTIFACTS].as_str()?;
    let orders: Value = serde_json::from_str(orders).unwrap();
    let missing = |artifact: &&Value| {
        let wanted = artifact["s3"]["key"].as_str();
        wanted.is_some_and(|wanted| {
            !keys.iter().any(|key| wanted == key || wanted.starts_with(&format!("{key}/")))
        })
    };
    let first =
        orders["inputs"].as_array()?.iter().filter(|artifact| artifact["optional"] != true).find(missing)?;
    let name = first["name"].as_str().unwrap();
    Some(format!("artifact {name} failed to load: The specified key does not exist."))
}

/// How the containers of a set have ended: those whose needs failed did not begin.
fn set_statuses(pod: &Pod, order: &str) -> Value {
    let order: BTreeMap<String, Vec<String>> = serde_json::from_str(order).unwrap();
    let mut codes = pod.outcome.containers.clone();
    let mut list = Vec::new();
    for container in pod.object["spec"]["containers"].as_array().unwrap() {
        let name = container["name"].as_str().unwrap();
        let needs = order.get(name).cloned().unwrap_or_default();
        let bad = needs.iter().find(|need| codes.get(*need).copied().unwrap_or(0) != 0);
        let message =
            bad.map(|need| format!("dependency \"{need}\" exited with non-zero code: {}", codes[need]));
        if message.is_some() {
            codes.insert(name.to_owned(), 64);
        }
        let code = codes.get(name).copied().unwrap_or(0);
        let reason = if code == 0 { "Completed" } else { "Error" };
        list.push(json!({"name": name, "state": {"terminated": {"exitCode": code, "reason": reason, "message": message}}}));
    }
    list.into()
}

fn end(pod: &mut Pod, keys: &mut BTreeSet<String>) {
    let order = pod.object["metadata"]["annotations"]["runtime.galley.dev/container-dependencies"].as_str();
    let is_set = order.is_some() || !pod.outcome.containers.is_empty();
    let set = is_set.then(|| set_statuses(pod, order.unwrap_or("{}")));
    let outcome = &pod.outcome;
    let failed = outcome.exit_code != 0 || outcome.too_long.is_some();
    let mut status = json!({
        "phase": if failed { "Failed" } else { "Succeeded" },
        "containerStatuses": [{"name": "main", "state": {"terminated": {
            "exitCode": outcome.exit_code, "reason": outcome.reason, "finishedAt": pod.ends.to_string(),
        }}}],
    });
    if let Some(message) = &outcome.too_long {
        status["message"] = message.clone().into();
    }
    if let Some(set) = set {
        let bad = set.as_array().unwrap().iter().any(|one| one["state"]["terminated"]["exitCode"] != 0);
        status["phase"] = if bad { "Failed" } else { "Succeeded" }.into();
        status["containerStatuses"] = set;
    }
    pod.object["status"] = status;
    let annotations = &mut pod.object["metadata"]["annotations"];
    let wanted: Vec<String> = annotations["runtime.galley.dev/collect-files"]
        .as_str()
        .map(|text| serde_json::from_str(text).unwrap())
        .unwrap_or_default();
    let (there, missing): (Vec<String>, Vec<String>) =
        wanted.into_iter().partition(|path| outcome.files.contains_key(path));
    let files: BTreeMap<&String, &String> = there.iter().map(|path| (path, &outcome.files[path])).collect();
    let stdout = annotations["runtime.galley.dev/collect-stdout"].is_string().then_some(&outcome.stdout);
    let orders = annotations[galley_workflow::ANNOTATION_ARTIFACTS].as_str().unwrap_or("{}");
    let orders: Value = serde_json::from_str(orders).unwrap();
    let mut kept = Vec::new();
    for artifact in orders["outputs"].as_array().into_iter().flatten() {
        let name = artifact["name"].as_str().unwrap();
        if outcome.artifacts.iter().any(|known| known == name) {
            kept.push(name.to_owned());
            keys.extend(artifact["s3"]["key"].as_str().map(str::to_owned));
        }
    }
    annotations["runtime.galley.dev/collected"] =
        json!({"files": files, "missing": missing, "stdout": stdout, "artifacts": kept}).to_string().into();
}

/// Templates from the documents of a file.
pub fn templates_of(documents: &[Value]) -> Templates {
    let mut templates = Templates::default();
    for document in documents {
        let into = match document["kind"].as_str() {
            Some("WorkflowTemplate") => &mut templates.namespaced,
            Some("ClusterWorkflowTemplate") => &mut templates.cluster,
            _ => continue,
        };
        let spec: WorkflowSpec = serde_json::from_value(document["spec"].clone()).unwrap();
        into.insert(document["metadata"]["name"].as_str().unwrap().to_owned(), spec);
    }
    templates
}
