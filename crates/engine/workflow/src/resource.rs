//! Resource templates: something done to a Kubernetes object, and a wait for its state.
//!
//! Argo runs kubectl in a pod for this. Here the engine asks for the deed ([`Action::Resource`]) and is told what
//! came of it. The node is Pending until the deed is done and Running while conditions are awaited; names are made
//! from the node's id, so doing a deed twice finds what the first try made.

use galley_argo_workflows::{NodePhase, Outputs, Resource, Template};
use serde_json::{Value, json};

use crate::action::{Action, ResourceRequest, ResourceVerb};
use crate::run::{Halt, Holder, Opts, Run};
use crate::select::{Requirement, jq, requirements};
use crate::template::template_name;

impl Run<'_> {
    pub(crate) fn execute_resource(
        &mut self,
        name: &str,
        template: &Template,
        holder: &Holder,
        scope: &str,
        opts: &Opts,
    ) -> Result<(), Halt> {
        let Some(resource) = &template.resource else { return Ok(()) };
        if !self.begin_leaf(name, template, holder, scope, opts) {
            return Ok(());
        }
        if self.is_own_pod(name, template, holder, resource) {
            self.end_resource(name, template, NodePhase::Succeeded, "", Some(&Value::Null));
            return Ok(());
        }
        let id = self.id(name);
        let seen = self.seen.resources.iter().find(|seen| seen.node_id == id).cloned();
        match seen.map(|seen| seen.result) {
            None => {
                let verb = if self.phase(name) == Some(NodePhase::Running) {
                    Some(ResourceVerb::Watch)
                } else {
                    None
                };
                self.ask(name, resource, verb)
            }
            Some(Err(why)) => {
                self.end_resource(
                    name,
                    template,
                    NodePhase::Failed,
                    &format!("main: Error (exit code 64): {why}"),
                    None,
                );
                Ok(())
            }
            Some(Ok(object)) => self.judge(name, template, resource, &object),
        }
    }

    fn ask(&mut self, name: &str, resource: &Resource, verb: Option<ResourceVerb>) -> Result<(), Halt> {
        let id = self.id(name);
        let (mut manifest, patch) = self.target_of(resource)?;
        let meta = &mut manifest["metadata"];
        if meta["name"].is_null()
            && let Some(prefix) = meta["generateName"].as_str()
        {
            let generated = format!("{prefix}{:08x}", galley_units::fnv1a_32(&id));
            if let Some(meta) = meta.as_object_mut() {
                meta.remove("generateName");
                meta.insert("name".to_owned(), generated.into());
            }
        }
        if resource.set_owner_reference {
            manifest["metadata"]["ownerReferences"] = json!([self.owner_reference()]);
        }
        let verb = match verb {
            Some(verb) => verb,
            None => verb_of(&resource.action)?,
        };
        self.actions.push(Action::Resource(ResourceRequest {
            made_by: format!("{}/{id}", self.meta.uid.as_deref().unwrap_or_default()),
            node_id: id,
            verb,
            manifest,
            patch,
            merge_strategy: resource.merge_strategy.clone().unwrap_or_else(|| "strategic".to_owned()),
        }));
        Ok(())
    }

    /// Whether a resource template would change nothing but the pod that kubectl itself runs in. There is none here.
    fn is_own_pod(&self, name: &str, template: &Template, holder: &Holder, resource: &Resource) -> bool {
        let own = self.pod_of(name, template_name(holder, template));
        resource.action == "patch"
            && named_by_flags(&resource.flags).is_some_and(|(kind, target)| kind == "Pod" && target == own)
    }

    /// The object that is meant, and the patch when the object is named by flags.
    fn target_of(&self, resource: &Resource) -> Result<(Value, Option<Value>), Halt> {
        let Some(text) = &resource.manifest else {
            return Err(Halt::Wrong(
                "manifestFrom needs an artifact store, which one machine does not have".to_owned(),
            ));
        };
        let documents = galley_yaml::parse_documents("manifest", text)
            .map_err(|problem| Halt::Wrong(problem.to_string()))?;
        let object = documents.into_iter().next().map(|document| document.value).unwrap_or_default();
        let named = object["metadata"]["name"].is_string() || object["metadata"]["generateName"].is_string();
        if object["kind"].is_string() && object["apiVersion"].is_string() && named {
            return Ok((object, None));
        }
        if let Some((kind, name)) = named_by_flags(&resource.flags).filter(|_| resource.action == "patch") {
            let target = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
            return Ok((target, Some(object)));
        }
        Err(Halt::Wrong(
            "the manifest of a resource template needs apiVersion, kind and metadata.name".to_owned(),
        ))
    }

    fn judge(
        &mut self,
        name: &str,
        template: &Template,
        resource: &Resource,
        object: &Value,
    ) -> Result<(), Halt> {
        if resource.action != "delete" {
            if object.is_null() && self.phase(name) == Some(NodePhase::Running) {
                self.end_resource(
                    name,
                    template,
                    NodePhase::Failed,
                    "main: Error (exit code 64): the object was deleted",
                    None,
                );
                return Ok(());
            }
            let read = |text: &Option<String>| {
                requirements(text.as_deref().unwrap_or_default()).map_err(Halt::Wrong)
            };
            if let Some(broken) =
                read(&resource.failure_condition)?.iter().find(|requirement| requirement.matches(object))
            {
                let why = format!("main: Error (exit code 64): failure condition '{broken}' evaluated true");
                self.end_resource(name, template, NodePhase::Failed, &why, None);
                return Ok(());
            }
            let wanted: Vec<Requirement> = read(&resource.success_condition)?;
            if !wanted.iter().all(|requirement| requirement.matches(object)) {
                self.mark(name, NodePhase::Running, None);
                return self.ask(name, resource, Some(ResourceVerb::Watch));
            }
        }
        self.end_resource(name, template, NodePhase::Succeeded, "", Some(object));
        Ok(())
    }

    fn end_resource(
        &mut self,
        name: &str,
        template: &Template,
        phase: NodePhase,
        message: &str,
        object: Option<&Value>,
    ) {
        let (mut phase, mut message) = (phase, message.to_owned());
        let code = if phase == NodePhase::Succeeded { "0" } else { "64" };
        let mut outputs = Outputs {
            parameters: template.outputs.parameters.clone(),
            exit_code: Some(code.to_owned()),
            ..Outputs::default()
        };
        if let Some(object) = object {
            for parameter in &mut outputs.parameters {
                let Some(from) = &parameter.value_from else { continue };
                let found = match (&from.json_path, &from.jq_filter) {
                    (Some(path), _) => galley_expr::json_path(object, path).map(|value| text_of(&value)),
                    (None, Some(filter)) => jq(object, filter).map(|value| text_of(&value)),
                    (None, None) => Ok(String::new()),
                };
                match (found, &from.default) {
                    (Ok(value), _) => parameter.value = Some(value.into()),
                    (Err(_), Some(default)) => parameter.value = Some(default.clone()),
                    (Err(why), None) => {
                        phase = NodePhase::Error;
                        message = format!("main: Error (exit code 64): {why}");
                        break;
                    }
                }
            }
        }
        self.add_global_outputs(&outputs);
        if let Some(node) = self.node_mut(name) {
            node.outputs = Some(outputs);
        }
        self.mark(name, phase, Some(&message));
    }
}

fn verb_of(action: &str) -> Result<ResourceVerb, Halt> {
    Ok(match action {
        "get" => ResourceVerb::Get,
        "create" => ResourceVerb::Create,
        "apply" => ResourceVerb::Apply,
        "replace" => ResourceVerb::Replace,
        "patch" => ResourceVerb::Patch,
        "delete" => ResourceVerb::Delete,
        other => return Err(Halt::Wrong(format!("`{other}` is not an action of resource templates"))),
    })
}

/// The kind and name that flags of kubectl give as two words (`pod NAME`) or one (`pod/NAME`); core kinds only.
fn named_by_flags(flags: &[String]) -> Option<(&'static str, String)> {
    let words: Vec<&str> = flags.iter().map(String::as_str).filter(|flag| !flag.starts_with('-')).collect();
    let (kind, name) = match words[..] {
        [word] => word.split_once('/')?,
        [kind, name] => (kind, name),
        _ => return None,
    };
    let kind = match kind.to_lowercase().trim_end_matches('s') {
        "pod" | "po" => "Pod",
        "configmap" | "cm" => "ConfigMap",
        "secret" => "Secret",
        "service" | "svc" => "Service",
        "serviceaccount" | "sa" => "ServiceAccount",
        "persistentvolumeclaim" | "pvc" => "PersistentVolumeClaim",
        _ => return None,
    };
    Some((kind, name.to_owned()))
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => galley_expr::go_json(other),
    }
}
