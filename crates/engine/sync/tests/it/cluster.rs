//! A cluster that is a map of values: it takes every object and settles jobs at once.

use std::collections::BTreeMap;

use galley_argo_cd::{HookPhase, OperationPhase, ResourceResult, ResultCode};
use galley_sync::{
    Action, Comparison, DeletePolicy, Ignore, Key, Options, Plan, Step, Target, Turn, advance, applied,
    created_message, merge_patch, prepare, record, tracking_of,
};
use serde_json::{Value, json};

pub struct Cluster {
    pub live: BTreeMap<Key, Value>,
    /// Names of jobs that fail.
    pub failing: Vec<&'static str>,
    /// Names that the API refuses, with its words.
    pub refusing: Vec<(&'static str, &'static str)>,
}

pub struct Done {
    pub phase: OperationPhase,
    pub message: String,
    pub results: Vec<ResourceResult>,
}

impl Cluster {
    pub fn new() -> Self {
        Cluster { live: BTreeMap::new(), failing: Vec::new(), refusing: Vec::new() }
    }

    pub fn compare(&self, wanted: &[Value]) -> Comparison {
        let cluster_scoped = ["ClusterRole", "Namespace"];
        let targets: Vec<Target> = wanted
            .iter()
            .map(|object| {
                let namespaced = !cluster_scoped.contains(&object["kind"].as_str().unwrap_or_default());
                Target::new(prepare(object.clone(), "app", "ns", namespaced))
            })
            .collect();
        let named: Vec<Key> = targets.iter().filter_map(|t| Key::of(&t.value)).collect();
        let ours = |key: &Key, object: &Value| {
            named.contains(key) || tracking_of(object).is_some_and(|t| t.application == "app")
        };
        let live =
            self.live.iter().filter(|(k, o)| ours(k, o)).map(|(k, o)| (k.clone(), o.clone())).collect();
        Comparison::new(targets, live, &Ignore::default())
    }

    /// Plays an operation to its end.
    pub fn sync(&mut self, wanted: &[Value], options: &Options) -> Done {
        let mut results = Vec::new();
        for _ in 0..100 {
            let options = Options { results: results.clone(), ..options.clone() };
            let plan = Plan::new("app", &self.compare(wanted), &options);
            let mut turn = advance(&plan, &mut results, |key| self.live.get(key).cloned());
            if let Turn::Run { steps, last } = turn {
                let mut ok = true;
                for number in steps {
                    ok &= self.run(&plan.steps[number], &mut results);
                }
                if !(ok && last) {
                    continue;
                }
                turn = Turn::run_to_the_end(&plan, &results);
            }
            match turn {
                Turn::End { phase, message, delete } => {
                    delete.iter().for_each(|key| {
                        self.live.remove(key);
                    });
                    return Done { phase, message, results };
                }
                turn => panic!("the cluster has settled, but: {turn:?}"),
            }
        }
        panic!("the operation does not end: {results:#?}");
    }

    fn run(&mut self, step: &Step, results: &mut Vec<ResourceResult>) -> bool {
        if let Some((_, reason)) = self.refusing.iter().find(|(name, _)| *name == step.key.name) {
            let status = step.hook.is_none().then_some(ResultCode::SyncFailed);
            record(results, step, status, (*reason).to_owned(), Some(HookPhase::Failed));
            return false;
        }
        let (status, action, phase) = match (step.action, &step.target) {
            (Action::Prune, _) => {
                self.live.remove(&step.key);
                (ResultCode::Pruned, Action::Prune, HookPhase::Succeeded)
            }
            (Action::PruneSkipped, _) | (_, None) => {
                (ResultCode::PruneSkipped, Action::PruneSkipped, HookPhase::Succeeded)
            }
            (_, Some(target)) => (ResultCode::Synced, self.apply(step, target), HookPhase::Running),
        };
        record(
            results,
            step,
            step.hook.is_none().then_some(status),
            created_message(step, action),
            Some(phase),
        );
        true
    }

    fn apply(&mut self, step: &Step, target: &Value) -> Action {
        if step.delete_policies.contains(&DeletePolicy::BeforeHookCreation) {
            self.live.remove(&step.key);
        }
        let Some(live) = self.live.get_mut(&step.key) else {
            let mut object = applied(target);
            self.settle(&mut object);
            self.live.insert(step.key.clone(), object);
            return Action::Create;
        };
        let patch = merge_patch(target, live).expect("objects");
        if patch == json!({}) {
            return Action::Unchanged;
        }
        galley_patch::apply_merge_patch(live, &patch);
        Action::Update
    }

    /// What controllers would do.
    fn settle(&self, object: &mut Value) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match object["kind"].as_str() {
            Some("Job") if self.failing.contains(&&*name) => {
                object["status"] = json!({"conditions": [
                    {"type": "Failed", "status": "True", "message": "Job has reached the specified backoff limit"}]});
            }
            Some("Job") => {
                object["status"] = json!({"conditions": [
                    {"type": "Complete", "status": "True", "message": "Reached expected number of succeeded pods"}]});
            }
            Some("Deployment") => {
                let replicas = object["spec"]["replicas"].as_i64().unwrap_or(1);
                object["metadata"]["generation"] = json!(1);
                object["status"] = json!({"observedGeneration": 1, "replicas": replicas,
                    "updatedReplicas": replicas, "availableReplicas": replicas});
                if self.failing.contains(&&*name) {
                    object["status"]["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
                }
            }
            _ => {}
        }
    }
}

/// An object of few words.
pub fn object(version: &str, kind: &str, name: &str, annotations: Value) -> Value {
    let annotations = annotations.as_object().into_iter().flatten();
    let annotations: serde_json::Map<String, Value> =
        annotations.map(|(key, value)| (format!("argocd.argoproj.io/{key}"), value.clone())).collect();
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "annotations": annotations}})
}

pub fn config_map(name: &str, annotations: Value) -> Value {
    object("v1", "ConfigMap", name, annotations)
}

pub fn job(name: &str, annotations: Value) -> Value {
    object("batch/v1", "Job", name, annotations)
}
