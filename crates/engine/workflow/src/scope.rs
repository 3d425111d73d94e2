//! What names mean inside a steps or DAG template: its inputs and the outputs of what ran before.

use std::collections::BTreeMap;

use galley_argo_workflows::{Artifact, NodePhase, NodeStatus, Outputs, Parameter, Template, ValueFrom};
use galley_expr::{Mode, env_from, eval, go_json, substitute_text};
use serde_json::Value;

use crate::run::{Halt, Run};

/// Names and what they stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) names: BTreeMap<String, String>,
    pub(crate) artifacts: BTreeMap<String, Artifact>,
}

impl Scope {
    /// The inputs of a template.
    pub(crate) fn of(template: &Template) -> Scope {
        let mut scope = Scope::default();
        for parameter in &template.inputs.parameters {
            let value = parameter.value.as_ref().map(|value| value.as_str().to_owned()).unwrap_or_default();
            scope.names.insert(format!("inputs.parameters.{}", parameter.name), value);
        }
        for artifact in &template.inputs.artifacts {
            scope.artifacts.insert(format!("inputs.artifacts.{}", artifact.name), artifact.clone());
        }
        scope
    }

    pub(crate) fn add(&mut self, name: String, value: impl Into<String>) {
        self.names.insert(name, value.into());
    }

    /// Adds outputs below a prefix such as `steps.a`.
    pub(crate) fn add_outputs(&mut self, prefix: &str, outputs: &Outputs) {
        if prefix != "workflow" {
            if let Some(result) = &outputs.result {
                self.add(format!("{prefix}.outputs.result"), result);
            }
            if let Some(code) = &outputs.exit_code {
                self.add(format!("{prefix}.exitCode"), code);
            }
        }
        for parameter in &outputs.parameters {
            if let Some(value) = &parameter.value {
                self.add(format!("{prefix}.outputs.parameters.{}", parameter.name), value.as_str());
            }
        }
        for artifact in &outputs.artifacts {
            self.artifacts.insert(format!("{prefix}.outputs.artifacts.{}", artifact.name), artifact.clone());
        }
    }

    /// The artifact that an artifact refers to.
    pub(crate) fn artifact(
        &self,
        wanted: &Artifact,
        globals: &BTreeMap<String, String>,
    ) -> Result<Artifact, String> {
        let mut found = if let Some(expression) = &wanted.from_expression {
            let mut names = globals.clone();
            names.extend(self.names.clone());
            let mut env = env_from(&names);
            for (path, artifact) in &self.artifacts {
                put(&mut env, path, serde_json::to_value(artifact).unwrap_or_default());
            }
            let value = eval(expression, &env).map_err(|error| error.to_string())?;
            serde_json::from_value::<Artifact>(value)
                .map_err(|_| format!("`{expression}` gives no artifact"))?
        } else {
            let from = wanted.from.as_deref().unwrap_or_default();
            let name = from.trim().trim_start_matches("{{").trim_end_matches("}}").trim();
            self.artifacts.get(name).cloned().ok_or_else(|| format!("Unable to resolve: \"{from}\""))?
        };
        if let Some(sub_path) = &wanted.sub_path {
            let sub_path =
                substitute_text(sub_path, &self.names, Mode::Lenient).map_err(|error| error.to_string())?;
            for location in found.rest.values_mut().filter_map(Value::as_object_mut) {
                if let Some(Value::String(key)) = location.get_mut("key") {
                    *key = format!("{}/{sub_path}", key.trim_end_matches('/'));
                }
            }
        }
        found.name.clone_from(&wanted.name);
        Ok(found)
    }
}

fn put(env: &mut serde_json::Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            env.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = env.entry(first).or_insert_with(|| Value::Object(serde_json::Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

impl Run<'_> {
    /// Adds what others know of a node.
    pub(crate) fn add_node(&self, scope: &mut Scope, prefix: &str, node: &NodeStatus) {
        let last = self.last_attempt(node);
        let node = last.as_ref().unwrap_or(node);
        scope.add(format!("{prefix}.id"), &node.id);
        for (field, moment) in [("startedAt", node.started_at), ("finishedAt", node.finished_at)] {
            if let Some(moment) = moment {
                scope.add(format!("{prefix}.{field}"), galley_units::rfc3339(moment));
            }
        }
        scope.add(format!("{prefix}.status"), node.phase.as_str());
        for (field, text) in [("ip", &node.pod_ip), ("hostNodeName", &node.host_node_name)] {
            if !text.is_empty() {
                scope.add(format!("{prefix}.{field}"), text);
            }
        }
        if let Some(outputs) = &node.outputs {
            scope.add_outputs(prefix, outputs);
        }
    }

    /// The nodes that a step or task with items became, in the order of the items.
    pub(crate) fn expanded(&self, boundary: &str, name: &str) -> Vec<NodeStatus> {
        let start = format!("{name}(");
        let mut found: Vec<NodeStatus> = self
            .status
            .nodes
            .values()
            .filter(|node| node.boundary_id == boundary && node.name.starts_with(&start))
            .filter(|node| node.node_flag.is_none_or(|flag| !flag.hooked && !flag.retried))
            .cloned()
            .collect();
        let index = |node: &NodeStatus| -> usize {
            let rest = &node.name[start.len()..];
            rest.split(':').next().and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX)
        };
        found.sort_by_key(index);
        found
    }

    /// Adds the outputs of all items as JSON lists.
    pub(crate) fn add_expanded(
        &self,
        scope: &mut Scope,
        prefix: &str,
        nodes: &[NodeStatus],
    ) -> Result<(), String> {
        if nodes.is_empty() {
            return Ok(());
        }
        let mut all: Vec<Value> = Vec::new();
        let mut results: Vec<Value> = Vec::new();
        let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for node in nodes.iter().filter(|node| node.phase == NodePhase::Succeeded) {
            let Some(outputs) = &node.outputs else { continue };
            if !outputs.parameters.is_empty() {
                let mut map = serde_json::Map::new();
                for parameter in &outputs.parameters {
                    let value =
                        parameter.value.as_ref().map(|value| value.as_str().to_owned()).unwrap_or_default();
                    lists.entry(parameter.name.clone()).or_default().push(value.clone());
                    map.insert(parameter.name.clone(), value.into());
                }
                all.push(Value::Object(map));
            }
            if let Some(result) = &outputs.result {
                results.push(serde_json::from_str(result).map_err(|_| go_json_error(result))?);
            }
        }
        scope.add(format!("{prefix}.outputs.result"), compact(&results));
        scope.add(format!("{prefix}.outputs.parameters"), go_json(&Value::Array(all)));
        for (name, values) in lists {
            // Values that are all maps or lists are put together as such, everything else as texts.
            let parsed: Option<Vec<Value>> = values
                .iter()
                .map(|text| {
                    serde_json::from_str::<Value>(text)
                        .ok()
                        .filter(|value| value.is_array() || value.is_object())
                })
                .collect();
            let list = parsed.unwrap_or_else(|| values.into_iter().map(Value::from).collect());
            scope.add(format!("{prefix}.outputs.parameters.{name}"), go_json(&Value::Array(list)));
        }
        Ok(())
    }

    /// The outputs of a steps or DAG template, read from what ran in it.
    pub(crate) fn outputs_from(&self, template: &Template, scope: &Scope) -> Result<Option<Outputs>, Halt> {
        if template.outputs.is_empty() {
            return Ok(None);
        }
        let mut outputs = Outputs::default();
        for parameter in &template.outputs.parameters {
            let from = parameter.value_from.as_ref();
            let from = from
                .ok_or_else(|| Halt::Wrong("output parameters must have a valueFrom specified".to_owned()))?;
            let value = match (self.value_of(from, scope), &from.default) {
                (Ok(value), _) => value,
                (Err(_), Some(default)) => default.as_str().to_owned(),
                (Err(why), None) => return Err(Halt::Wrong(why)),
            };
            outputs.parameters.push(Parameter {
                value: Some(value.into()),
                value_from: None,
                ..parameter.clone()
            });
        }
        for artifact in &template.outputs.artifacts {
            match scope.artifact(artifact, &self.globals) {
                Ok(found) => outputs.artifacts.push(found),
                Err(why) if artifact.optional && why.contains("Unable to resolve") => {}
                Err(why) => return Err(Halt::Wrong(format!("unable to resolve outputs from scope: {why}"))),
            }
        }
        Ok(Some(outputs))
    }

    fn value_of(&self, from: &ValueFrom, scope: &Scope) -> Result<String, String> {
        if let Some(expression) = &from.expression {
            let mut names = self.globals.clone();
            names.extend(scope.names.clone());
            let value = eval(expression, &env_from(&names)).map_err(|error| error.to_string())?;
            return Ok(match value {
                Value::String(text) => text,
                other => go_json(&other),
            });
        }
        let text = from.parameter.as_deref().unwrap_or_default();
        let inside = text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        match inside {
            Some(name) if !name.starts_with('=') => {
                let found = scope.names.get(name.trim()).or_else(|| self.globals.get(name.trim()));
                found.cloned().ok_or_else(|| format!("Unable to resolve: \"{text}\""))
            }
            _ => {
                let mut names = self.globals.clone();
                names.extend(scope.names.clone());
                substitute_text(text, &names, Mode::Outputs).map_err(|error| error.to_string())
            }
        }
    }

    /// Makes outputs with a global name known to the whole workflow.
    pub(crate) fn add_global_outputs(&mut self, outputs: &Outputs) {
        for parameter in &outputs.parameters {
            let (Some(global), Some(value)) = (&parameter.global_name, &parameter.value) else { continue };
            self.globals.insert(format!("workflow.outputs.parameters.{global}"), value.as_str().to_owned());
            let all = &mut self.status.outputs.get_or_insert_default().parameters;
            match all.iter_mut().find(|known| known.name == *global) {
                Some(known) => known.value = Some(value.clone()),
                None => all.push(Parameter {
                    name: global.clone(),
                    value: Some(value.clone()),
                    ..Parameter::default()
                }),
            }
        }
        for artifact in &outputs.artifacts {
            let Some(global) = &artifact.global_name else { continue };
            let mut kept = artifact.clone();
            kept.name.clone_from(global);
            kept.global_name = None;
            kept.path = None;
            let all = &mut self.status.outputs.get_or_insert_default().artifacts;
            match all.iter_mut().find(|known| known.name == *global) {
                Some(known) => *known = kept,
                None => all.push(kept),
            }
        }
    }
}

/// JSON without changing the order of keys, as Argo keeps items.
fn compact(items: &[Value]) -> String {
    serde_json::to_string(items).unwrap_or_default()
}

/// Go's words for a text that is no JSON.
pub(crate) fn go_json_error(text: &str) -> String {
    match text.trim_start().chars().next() {
        None => "unexpected end of JSON input".to_owned(),
        Some(c) => format!("invalid character '{c}' looking for beginning of value"),
    }
}
