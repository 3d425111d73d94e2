//! From a template to a pod.

use std::collections::BTreeSet;

use galley_argo_workflows::{
    ANNOTATION_NODE_ID, ANNOTATION_NODE_NAME, API_VERSION, LABEL_COMPLETED, LABEL_WORKFLOW, Template, lay,
};
use galley_expr::{Mode, substitute};
use serde_json::{Map, Value, json};

use crate::artifacts::ANNOTATION_ARTIFACTS;
use crate::run::{Holder, Opts, Run, node_id};
use crate::seen::Wanted;
use crate::sets;
use crate::template::{called_name, template_name};

/// The annotation in which the runtime hands back files and output.
pub const ANNOTATION_COLLECTED: &str = "runtime.galley.dev/collected";
/// Asks the runtime for a first process that hands signals on: a step ends when it is told to.
const ANNOTATION_FIRST: &str = "runtime.galley.dev/first-process";
/// Names the container whose end ends the others.
const ANNOTATION_ENDS: &str = "runtime.galley.dev/ends-with";
const ANNOTATION_FILES: &str = "runtime.galley.dev/collect-files";
const ANNOTATION_STDOUT: &str = "runtime.galley.dev/collect-stdout";
/// What the node wants of the pod, read back with it.
pub(crate) const ANNOTATION_OUTPUTS: &str = "workflows.galley.dev/outputs";
const ANNOTATION_SCRIPT: &str = "workflows.galley.dev/script";
const STAGING: &str = "argo-staging";
const STAGING_PATH: &str = "/argo/staging";
/// A pod's name leaves room for the hash behind the prefix.
const MAX_PREFIX: usize = 242;

/// The name of a node's pod.
pub fn pod_name(workflow: &str, node: &str, template: &str) -> String {
    if workflow == node {
        return workflow.to_owned();
    }
    let mut prefix = workflow.to_owned();
    if !template.is_empty() {
        prefix = format!("{prefix}-{template}");
    }
    prefix.truncate(prefix.floor_char_boundary(MAX_PREFIX));
    format!("{prefix}-{}", galley_units::fnv1a_32(node))
}

/// Parts of a pod's spec that templates may set, and the field of the workflow that stands in for each.
const POD_FIELDS: [(&str, &str); 14] = [
    ("nodeSelector", "nodeSelector"),
    ("affinity", "affinity"),
    ("tolerations", "tolerations"),
    ("schedulerName", "schedulerName"),
    ("priorityClassName", "podPriorityClassName"),
    ("hostAliases", "hostAliases"),
    ("securityContext", "securityContext"),
    ("automountServiceAccountToken", "automountServiceAccountToken"),
    ("imagePullSecrets", "imagePullSecrets"),
    ("hostNetwork", "hostNetwork"),
    ("dnsPolicy", "dnsPolicy"),
    ("dnsConfig", "dnsConfig"),
    ("serviceAccountName", "serviceAccountName"),
    ("runtimeClassName", "runtimeClassName"),
];

impl Run<'_> {
    /// The name of the pod of a node, told from that of another node whose name has the same hash.
    pub(crate) fn pod_of(&self, node: &str, template: &str) -> String {
        let plain = pod_name(&self.meta.name, node, template);
        let id = self.id(node);
        match id.strip_prefix(&node_id(&self.meta.name, node)) {
            Some(suffix) => format!("{plain}{suffix}"),
            None => plain,
        }
    }

    /// The pod of a node: name and object.
    pub(crate) fn pod_manifest(
        &mut self,
        name: &str,
        template: &Template,
        holder: &Holder,
        opts: &Opts,
    ) -> Result<(String, Value), String> {
        let pod = self.pod_of(name, template_name(holder, template));
        let result = self.result_is_read(name, &opts.boundary);
        let wanted = Wanted {
            parameters: template.outputs.parameters.clone(),
            artifacts: self.kept_artifacts(template, &pod)?,
            set: template.container_set.is_some(),
            result,
            daemon: template.daemon == Some(true),
        };
        let mut annotations = self.pod_metadata(template, true);
        let mut labels = self.pod_metadata(template, false);
        let spec = self.pod_spec(template, &mut annotations, name, opts)?;
        labels.insert(LABEL_WORKFLOW.to_owned(), self.meta.name.clone().into());
        labels.insert(LABEL_COMPLETED.to_owned(), "false".into());
        annotations.insert(ANNOTATION_NODE_ID.to_owned(), self.id(name).into());
        annotations.insert(ANNOTATION_NODE_NAME.to_owned(), name.into());
        annotations.insert("kubectl.kubernetes.io/default-container".to_owned(), "main".into());
        annotations.insert(ANNOTATION_OUTPUTS.to_owned(), json!(wanted).to_string().into());
        let files: Vec<&str> = wanted
            .parameters
            .iter()
            .filter_map(|parameter| parameter.value_from.as_ref()?.path.as_deref())
            .collect();
        if !files.is_empty() {
            annotations.insert(ANNOTATION_FILES.to_owned(), json!(files).to_string().into());
        }
        if let Some(text) = self.artifact_orders(template, &wanted.artifacts) {
            annotations.insert(ANNOTATION_ARTIFACTS.to_owned(), text.into());
        }
        if let Some(order) = template.container_set.as_ref().and_then(sets::order_of) {
            annotations.insert(sets::ANNOTATION_ORDER.to_owned(), order.into());
        }
        annotations.insert(ANNOTATION_FIRST.to_owned(), "true".into());
        if !template.sidecars.is_empty() && template.container_set.is_none() {
            annotations.insert(ANNOTATION_ENDS.to_owned(), "main".into());
        }
        if result {
            annotations.insert(ANNOTATION_STDOUT.to_owned(), "true".into());
        }
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": pod,
                "namespace": self.meta.namespace,
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [self.owner_reference()],
            },
            "spec": spec,
        });
        Ok((pod, manifest))
    }

    pub(crate) fn owner_reference(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": "Workflow",
            "name": self.meta.name,
            "uid": self.meta.uid.as_deref().unwrap_or_default(),
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    /// Whether something in the parent reads the standard output of this node.
    fn result_is_read(&mut self, name: &str, boundary: &str) -> bool {
        self.parent_facts(boundary).results.contains(called_name(name))
    }

    fn pod_metadata(&self, template: &Template, annotations: bool) -> Map<String, Value> {
        let of = |part: &galley_argo_workflows::MetadataPart| {
            if annotations { part.annotations.clone() } else { part.labels.clone() }
        };
        let mut all = of(&self.spec.pod_metadata);
        all.extend(of(&template.metadata));
        let value = substitute(&json!(all), &self.globals, Mode::Lenient).unwrap_or_else(|_| json!(all));
        value.as_object().cloned().unwrap_or_default()
    }

    fn pod_spec(
        &self,
        template: &Template,
        annotations: &mut Map<String, Value>,
        name: &str,
        opts: &Opts,
    ) -> Result<Value, String> {
        let mut staged: Vec<Value> = Vec::new();
        let mut set = template.container_set.as_ref().map(sets::containers_of).unwrap_or_default();
        let at = set.iter().position(|container| container.get("name").is_some_and(|name| name == "main"));
        let mut main = match at {
            Some(at) => set.remove(at),
            None if !set.is_empty() => set.remove(0),
            None => {
                let mut main = self.main_container(template, annotations, &mut staged);
                main.insert("name".to_owned(), "main".into());
                main
            }
        };
        self.stage_artifacts(template, &mut main, annotations, &mut staged)?;
        let mounts = main.get("volumeMounts").and_then(Value::as_array).cloned().unwrap_or_default();
        let inits: Vec<Map<String, Value>> =
            template.init_containers.iter().map(|item| mirrored(item, &mounts)).collect();
        let mut containers = vec![main];
        containers.extend(set);
        containers.extend(template.sidecars.iter().map(|item| mirrored(item, &mounts)));
        let mut volumes = self.used_volumes(template, containers.iter().chain(&inits))?;
        if !staged.is_empty() {
            volumes.push(json!({"name": STAGING, "downwardAPI": {"items": staged}}));
        }
        let mut spec = Map::new();
        spec.insert("restartPolicy".to_owned(), "Never".into());
        spec.insert("containers".to_owned(), json!(containers));
        if !inits.is_empty() {
            spec.insert("initContainers".to_owned(), json!(inits));
        }
        if !volumes.is_empty() {
            spec.insert("volumes".to_owned(), volumes.into());
        }
        for (field, workflow_field) in POD_FIELDS {
            let own = template.rest.get(field).cloned();
            if let Some(value) = own.or_else(|| self.global_value(self.spec.rest.get(workflow_field)?)) {
                spec.insert(field.to_owned(), value);
            }
        }
        let account =
            template.service_account_name.clone().or_else(|| self.spec.service_account_name.clone());
        if let Some(account) = account {
            spec.insert("serviceAccountName".to_owned(), account.into());
        }
        if let Some(seconds) = self.active_deadline(template, name, opts)? {
            spec.insert("activeDeadlineSeconds".to_owned(), seconds.into());
        }
        self.patched(Value::Object(spec), template)
    }

    fn global_value(&self, value: &Value) -> Option<Value> {
        substitute(value, &self.globals, Mode::Lenient).ok()
    }

    fn main_container(
        &self,
        template: &Template,
        annotations: &mut Map<String, Value>,
        staged: &mut Vec<Value>,
    ) -> Map<String, Value> {
        let Some(script) = &template.script else { return template.container.clone().unwrap_or_default() };
        let mut main = script.container.clone();
        if !script.source.is_empty() {
            annotations.insert(ANNOTATION_SCRIPT.to_owned(), script.source.clone().into());
            staged.push(json!({"path": "script", "mode": 0o755, "fieldRef": {"fieldPath": format!("metadata.annotations['{ANNOTATION_SCRIPT}']")}}));
            push(&mut main, "volumeMounts", json!({"name": STAGING, "mountPath": STAGING_PATH}));
            push(&mut main, "args", format!("{STAGING_PATH}/script").into());
        }
        main
    }

    /// Raw artifacts become files beside the script; others need a store.
    fn stage_artifacts(
        &self,
        template: &Template,
        main: &mut Map<String, Value>,
        annotations: &mut Map<String, Value>,
        staged: &mut Vec<Value>,
    ) -> Result<(), String> {
        for artifact in &template.inputs.artifacts {
            let Some(data) = artifact.raw() else {
                if artifact.optional || self.seen.abilities.artifacts {
                    continue;
                }
                return Err(format!(
                    "input artifact {} cannot be fetched: there is no artifact store on one machine",
                    artifact.name
                ));
            };
            let annotation = format!("workflows.galley.dev/artifact-{}", artifact.name);
            annotations.insert(annotation.clone(), data.into());
            let path = format!("artifact-{}", artifact.name);
            let mut item = json!({"path": path, "fieldRef": {"fieldPath": format!("metadata.annotations['{annotation}']")}});
            if let Some(mode) = artifact.rest.get("mode") {
                item["mode"] = mode.clone();
            }
            staged.push(item);
            let mount = json!({"name": STAGING, "mountPath": artifact.path, "subPath": path});
            push(main, "volumeMounts", mount);
        }
        Ok(())
    }

    /// The volumes that the containers mount.
    fn used_volumes<'c>(
        &self,
        template: &Template,
        containers: impl Iterator<Item = &'c Map<String, Value>>,
    ) -> Result<Vec<Value>, String> {
        let mut known: Vec<Value> = template.volumes.clone();
        known.extend(self.spec.volumes.iter().filter_map(|volume| self.global_value(volume)));
        known.extend(self.status.persistent_volume_claims.iter().cloned());
        let mut used = BTreeSet::new();
        for container in containers {
            for list in ["volumeMounts", "volumeDevices"] {
                let mounts = container.get(list).and_then(Value::as_array).into_iter().flatten();
                used.extend(mounts.filter_map(|mount| mount["name"].as_str().map(str::to_owned)));
            }
        }
        used.remove(STAGING);
        used.into_iter()
            .map(|name| {
                let found = known.iter().find(|volume| volume["name"] == *name).cloned();
                found.ok_or_else(|| format!("volume '{name}' not found in workflow spec"))
            })
            .collect()
    }

    fn patched(&self, spec: Value, template: &Template) -> Result<Value, String> {
        let wrong = || "Error applying PodSpecPatch".to_owned();
        let mut spec = spec;
        let own = template.pod_spec_patch.clone();
        let all =
            self.spec.pod_spec_patch.as_ref().and_then(|text| self.global_value(&Value::from(text.as_str())));
        for patch in all.and_then(|value| value.as_str().map(str::to_owned)).into_iter().chain(own) {
            let documents = galley_yaml::parse_documents("podSpecPatch", &patch).map_err(|_| wrong())?;
            let Some(patch) = documents.into_iter().next().map(|document| document.value) else { continue };
            if !patch.is_object() {
                return Err(wrong());
            }
            lay(&mut spec, &patch);
        }
        let lists = ["containers", "initContainers", "volumes"];
        if lists.iter().any(|field| spec.get(field).is_some_and(|value| !value.is_array())) {
            return Err(wrong());
        }
        Ok(spec)
    }

    /// The seconds a pod may run, the least of all limits.
    fn active_deadline(&self, template: &Template, name: &str, opts: &Opts) -> Result<Option<i64>, String> {
        let own = self.own_deadline(template)?;
        let rest = |moment: jiff::Timestamp| moment.duration_since(self.now).as_secs().max(1);
        let timeout = self.timeout_of(template, name)?.map(rest);
        let workflow = self.deadline.filter(|_| !opts.on_exit).map(rest);
        let retry = opts.deadline.map(rest);
        Ok([own, timeout, workflow, retry].into_iter().flatten().min())
    }
}

fn push(container: &mut Map<String, Value>, list: &str, item: Value) {
    if let Value::Array(items) = container.entry(list).or_insert_with(|| Value::Array(Vec::new())) {
        items.push(item);
    }
}

/// A container that asks for it gets the mounts of the main one.
fn mirrored(container: &Map<String, Value>, mounts: &[Value]) -> Map<String, Value> {
    let mut container = container.clone();
    if container.remove("mirrorVolumeMounts") == Some(Value::Bool(true)) {
        let staging = |mount: &&Value| mount["name"] != STAGING;
        mounts.iter().filter(staging).for_each(|mount| push(&mut container, "volumeMounts", mount.clone()));
    }
    container
}
