//! The names that the whole workflow knows: `workflow.*`.

use galley_argo_workflows::{ANNOTATION_SCHEDULED, NodePhase, WorkflowPhase};
use serde_json::{Value, json};

use crate::run::Run;

/// The letters of `{{workflow.creationTimestamp.X}}`, as in strftime.
const STRFTIME: &str = "aAbBcCdDeFgGhHIjklmMpRrSTUuVwWxXyYzZ";

impl Run<'_> {
    /// Sets the names that do not change during a step.
    pub(crate) fn set_globals(&mut self) -> Result<(), String> {
        let meta = self.meta;
        self.set("workflow.name", &meta.name.clone());
        self.set("workflow.namespace", meta.namespace.as_deref().unwrap_or_default());
        self.set("workflow.uid", meta.uid.as_deref().unwrap_or_default());
        let entrypoint = self.spec.entrypoint.clone().unwrap_or_default();
        self.set("workflow.mainEntrypoint", &entrypoint);
        let account = self.spec.service_account_name.clone().unwrap_or_default();
        self.set("workflow.serviceAccountName", &account);
        if let Some(priority) = self.spec.priority {
            self.set("workflow.priority", &priority.to_string());
        }
        if let Some(due) = meta.annotations.get(ANNOTATION_SCHEDULED) {
            self.set("workflow.scheduledTime", due);
        }
        self.set_times();
        self.set_parameters()?;
        self.set_metadata();
        let outputs = self.status.outputs.clone().unwrap_or_default();
        for parameter in outputs.parameters {
            if let Some(value) = parameter.value {
                self.set(&format!("workflow.outputs.parameters.{}", parameter.name), value.as_str());
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) {
        self.globals.insert(name.to_owned(), value.to_owned());
    }

    fn set_times(&mut self) {
        let created = self.meta.creation_timestamp.unwrap_or(self.now);
        let stamp = galley_units::rfc3339(created);
        self.set("workflow.creationTimestamp", &stamp);
        self.set("workflow.creationTimestamp.RFC3339", &stamp);
        self.set("workflow.creationTimestamp.s", &created.as_second().to_string());
        let zoned = created.to_zoned(jiff::tz::TimeZone::UTC);
        for letter in STRFTIME.chars() {
            if let Ok(text) = jiff::fmt::strtime::format(format!("%{letter}"), &zoned) {
                self.set(&format!("workflow.creationTimestamp.{letter}"), &text);
            }
        }
        let now = self.now.to_string();
        self.set(galley_expr::NOW, &now);
        let began = self.status.started_at.unwrap_or(self.now);
        let seconds = self.now.duration_since(began).as_secs_f64();
        self.set("workflow.duration", &format!("{seconds:.6}"));
    }

    fn set_parameters(&mut self) -> Result<(), String> {
        let parameters = self.spec.arguments.parameters.clone();
        let all = galley_expr::go_json(&json!(parameters));
        self.set("workflow.parameters", &all);
        self.set("workflow.parameters.json", &all);
        for parameter in parameters {
            let name = format!("workflow.parameters.{}", parameter.name);
            if let Some(value) = &parameter.value {
                self.set(&name, value.as_str());
                continue;
            }
            let from = parameter.value_from.as_ref();
            let Some(reference) = from.and_then(|from| from.config_map_key_ref.as_ref()) else {
                return Err(format!(
                    "either value or valueFrom must be specified in order to set global parameter {}",
                    parameter.name
                ));
            };
            match (self.config_map_value(reference), from.and_then(|from| from.default.as_ref())) {
                (Ok(value), _) => self.set(&name, &value),
                (Err(_), Some(default)) => self.set(&name, default.as_str()),
                (Err(why), None) => {
                    return Err(format!(
                        "failed to set global parameter {} from configmap with name {} and key {}: {why}",
                        parameter.name,
                        reference["name"].as_str().unwrap_or_default(),
                        reference["key"].as_str().unwrap_or_default()
                    ));
                }
            }
        }
        Ok(())
    }

    /// The value at a `configMapKeyRef`.
    pub(crate) fn config_map_value(&self, reference: &Value) -> Result<String, String> {
        let replaced = |field: &str| {
            let text = reference[field].as_str().unwrap_or_default();
            galley_expr::substitute_text(text, &self.globals, galley_expr::Mode::Strict)
                .map_err(|error| format!("failed to substitute configMapKeyRef: {error}"))
        };
        let (name, key) = (replaced("name")?, replaced("key")?);
        let map = self.seen.parameters.get(&name).ok_or_else(|| {
            format!(
                "ConfigMap '{name}' does not exist. Please make sure it has the label workflows.argoproj.io/configmap-type: Parameter to be detectable by the controller"
            )
        })?;
        map.get(&key).cloned().ok_or_else(|| format!("ConfigMap '{name}' does not have the key '{key}'"))
    }

    fn set_metadata(&mut self) {
        let mut labels = self.meta.labels.clone();
        let mut annotations = self.meta.annotations.clone();
        if let Some(own) = &self.spec.workflow_metadata {
            labels.extend(own.labels.clone());
            annotations.extend(own.annotations.clone());
            labels.retain(|name, _| !own.labels_from.contains_key(name));
        }
        for (kind, map) in [("labels", &labels), ("annotations", &annotations)] {
            let all = galley_expr::go_json(&json!(map));
            self.set(&format!("workflow.{kind}"), &all);
            self.set(&format!("workflow.{kind}.json"), &all);
            for (name, value) in map {
                self.set(&format!("workflow.{kind}.{name}"), value);
            }
        }
    }

    /// Sets `workflow.status` and `workflow.failures` from the phase of the entry node.
    pub(crate) fn set_outcome(&mut self, phase: NodePhase) {
        let status = match phase {
            NodePhase::Pending => WorkflowPhase::Pending,
            NodePhase::Running => WorkflowPhase::Running,
            NodePhase::Succeeded | NodePhase::Skipped | NodePhase::Omitted => WorkflowPhase::Succeeded,
            NodePhase::Failed => WorkflowPhase::Failed,
            NodePhase::Error => WorkflowPhase::Error,
        };
        self.set("workflow.status", status.as_str());
        let failures: Vec<Value> = self
            .status
            .nodes
            .values()
            .filter(|node| node.phase.is_bad())
            .map(|node| {
                let template =
                    node.template_ref.as_ref().map_or(&node.template_name, |reference| &reference.template);
                json!({
                    "displayName": node.display_name,
                    "message": node.message,
                    "templateName": template,
                    "phase": node.phase,
                    "podName": self.pod_of(&node.name, template),
                    "finishedAt": node.finished_at.map(galley_units::rfc3339),
                })
            })
            .collect();
        // Argo quotes the list once more so that it survives being put into JSON text.
        let list =
            if failures.is_empty() { "null".to_owned() } else { galley_expr::go_json(&json!(failures)) };
        self.set("workflow.failures", &galley_expr::go_json(&json!(list)));
    }
}
