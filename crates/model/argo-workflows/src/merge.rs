//! Merging a run's own spec over its WorkflowTemplate's, and defaults under a template.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::objects::WorkflowSpec;
use crate::template::Template;

/// The spec to execute: the template's, with what the run says itself laid over it. Lists whose items have names are
/// merged by name.
pub fn execution_spec(own: &WorkflowSpec, template: &WorkflowSpec) -> WorkflowSpec {
    let mut merged: WorkflowSpec = overlay(template, own).unwrap_or_else(|| own.clone());
    merged.workflow_template_ref = own.workflow_template_ref.clone();
    merged
}

/// A template with the workflow's `templateDefaults` beneath it. Defaults of one kind of template do not reach
/// templates of another kind.
pub fn with_defaults(template: &Template, defaults: &Template) -> Template {
    let mut beneath = defaults.clone();
    beneath.name.clear();
    if template.container.is_none() {
        beneath.container = None;
    }
    if template.script.is_none() {
        beneath.script = None;
    }
    if template.container_set.is_none() {
        beneath.container_set = None;
    }
    if template.resource.is_none() {
        beneath.resource = None;
    }
    if template.suspend.is_none() {
        beneath.suspend = None;
    }
    beneath.steps = None;
    beneath.dag = None;
    if !template.is_leaf() {
        beneath.active_deadline_seconds = None;
        beneath.timeout = None;
    }
    overlay(&beneath, template).unwrap_or_else(|| template.clone())
}

fn overlay<T: Serialize + DeserializeOwned>(beneath: &T, above: &T) -> Option<T> {
    let mut merged = serde_json::to_value(beneath).ok()?;
    lay(&mut merged, &serde_json::to_value(above).ok()?);
    serde_json::from_value(merged).ok()
}

/// Lays `above` over `beneath`: objects by key, lists of named objects by name, everything else replaced.
pub fn lay(beneath: &mut Value, above: &Value) {
    match (beneath, above) {
        (Value::Object(beneath), Value::Object(above)) => {
            for (key, value) in above {
                match beneath.get_mut(key) {
                    Some(existing) => lay(existing, value),
                    None => {
                        beneath.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(beneath), Value::Array(above)) if named(beneath) && named(above) => {
            for item in above {
                match beneath.iter_mut().find(|known| known["name"] == item["name"]) {
                    Some(known) if known.get("value").is_some() || known.get("valueFrom").is_some() => {
                        *known = item.clone()
                    }
                    Some(known) => lay(known, item),
                    None => beneath.push(item.clone()),
                }
            }
        }
        (beneath, above) => *beneath = above.clone(),
    }
}

fn named(items: &[Value]) -> bool {
    items.iter().all(|item| item.get("name").is_some_and(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn own_arguments_win_and_others_stay() {
        let template: WorkflowSpec = serde_json::from_value(json!({
            "entrypoint": "main", "arguments": {"parameters": [{"name": "a", "value": "A"}, {"name": "b", "value": "B"}]},
        }))
        .unwrap();
        let own: WorkflowSpec = serde_json::from_value(json!({
            "arguments": {"parameters": [{"name": "a", "value": "mine"}]}, "workflowTemplateRef": {"name": "t"},
        }))
        .unwrap();
        let merged = execution_spec(&own, &template);
        assert_eq!(merged.entrypoint.as_deref(), Some("main"));
        let values: Vec<_> =
            merged.arguments.parameters.iter().map(|p| p.value.as_ref().unwrap().as_str()).collect();
        assert_eq!(values, ["mine", "B"]);
    }
}
