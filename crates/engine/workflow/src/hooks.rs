//! Hooks: templates that run at moments of a node's life.

use galley_argo_workflows::{Arguments, Hook, NodeFlag};
use galley_expr::{Mode, env_from, eval_bool, substitute};
use indexmap::IndexMap;

use crate::run::{Halt, Holder, Opts, Run};
use crate::scope::Scope;

impl Holder {
    fn of_hook(hook: &Hook) -> Holder {
        Holder {
            template: hook.template.clone().unwrap_or_default(),
            template_ref: hook.template_ref.clone(),
            called: Some(("steps", String::new())),
            ..Holder::default()
        }
    }
}

impl Run<'_> {
    fn hook_holds(&self, hook: &Hook, names: &Scope) -> Result<bool, Halt> {
        let Some(expression) = hook.expression.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(true);
        };
        let mut all = self.globals.clone();
        all.extend(names.names.clone());
        eval_bool(expression, &env_from(&all)).map_err(|error| Halt::Wrong(error.to_string()))
    }

    fn run_hook(
        &mut self,
        node: &str,
        hook: &Hook,
        given: &Arguments,
        boundary: &str,
        inner: &str,
        on_exit: bool,
    ) -> Result<bool, Halt> {
        let opts = Opts {
            boundary: boundary.to_owned(),
            on_exit,
            flag: Some(NodeFlag { hooked: true, retried: false }),
            ..Opts::default()
        };
        match self.execute(node, &Holder::of_hook(hook), inner, given, &opts) {
            Ok(_) => Ok(self.is_fulfilled(node)),
            Err(Halt::Busy) => Ok(false),
            Err(halt) => Err(halt),
        }
    }

    /// Runs the hooks of a step or task whose expressions hold. True when none is under way.
    pub(crate) fn run_hooks(
        &mut self,
        hooks: &IndexMap<String, Hook>,
        parent: &str,
        prefix: &str,
        names: &mut Scope,
        boundary: &str,
        inner: &str,
    ) -> Result<bool, Halt> {
        let mut done = true;
        for (name, hook) in hooks.iter().filter(|(name, _)| *name != "exit") {
            let node = format!("{parent}.hooks.{name}");
            if hook.expression.as_deref().unwrap_or_default().is_empty() {
                return Err(Halt::Wrong(format!("Expression required for hook {node}")));
            }
            if self.node(&node).is_none() && !self.hook_holds(hook, names)? {
                continue;
            }
            let given = self.hook_arguments(hook, parent, prefix, names)?;
            done &= self.run_hook(&node, hook, &given, boundary, inner, false)?;
            self.add_child(parent, &node);
        }
        Ok(done)
    }

    /// Runs the hook of a step or task that has ended. True when there is none or it has ended too.
    pub(crate) fn run_exit_hook(
        &mut self,
        hook: Option<&Hook>,
        parent: &str,
        prefix: &str,
        names: &mut Scope,
        boundary: &str,
        inner: &str,
    ) -> Result<bool, Halt> {
        let Some(hook) = hook else { return Ok(true) };
        if !self.may_begin(true) || !self.hook_holds(hook, names)? {
            return Ok(true);
        }
        let node = format!("{parent}.onExit");
        let given = self.hook_arguments(hook, parent, prefix, names)?;
        let done = self.run_hook(&node, hook, &given, boundary, inner, true)?;
        self.add_child(parent, &node);
        Ok(done)
    }

    /// The arguments of a hook, which may read the outputs of what it follows.
    fn hook_arguments(
        &self,
        hook: &Hook,
        parent: &str,
        prefix: &str,
        names: &mut Scope,
    ) -> Result<Arguments, Halt> {
        if hook.arguments.is_empty() {
            return Ok(hook.arguments.clone());
        }
        let node = self.node(parent).cloned().unwrap_or_default();
        let last = self.last_attempt(&node);
        if let Some(outputs) = last.as_ref().unwrap_or(&node).outputs.clone() {
            for parameter in &outputs.parameters {
                let value =
                    parameter.value.as_ref().map(|value| value.as_str().to_owned()).unwrap_or_default();
                names.add(format!("{prefix}.outputs.parameters.{}", parameter.name), value);
            }
            for artifact in outputs.artifacts {
                names.artifacts.insert(format!("{prefix}.outputs.artifacts.{}", artifact.name), artifact);
            }
        }
        let mut all = self.globals.clone();
        all.extend(names.names.clone());
        let value = serde_json::to_value(&hook.arguments).map_err(|error| Halt::Wrong(error.to_string()))?;
        let value =
            substitute(&value, &all, Mode::Lenient).map_err(|error| Halt::Wrong(error.to_string()))?;
        let mut given: Arguments =
            serde_json::from_value(value).map_err(|error| Halt::Wrong(error.to_string()))?;
        for artifact in &mut given.artifacts {
            if artifact.from.is_some() || artifact.from_expression.is_some() {
                match names.artifact(artifact, &self.globals) {
                    Ok(found) => *artifact = found,
                    Err(_) if artifact.optional => {}
                    Err(why) => return Err(Halt::Wrong(format!("unable to resolve references: {why}"))),
                }
            }
        }
        Ok(given)
    }

    /// Runs the workflow's own hooks. True when none is under way.
    pub(crate) fn run_workflow_hooks(&mut self) -> Result<bool, Halt> {
        let root = self.meta.name.clone();
        let scope = self.local_scope();
        let mut done = true;
        for (name, hook) in self.spec.hooks.clone().iter().filter(|(name, _)| *name != "exit") {
            let node = format!("{root}.hooks.{name}");
            if hook.expression.as_deref().unwrap_or_default().is_empty() {
                return Err(Halt::Wrong(format!("Expression required for hook {node}")));
            }
            if self.node(&node).is_none() && !self.hook_holds(hook, &Scope::default())? {
                continue;
            }
            done &= self.run_hook(&node, hook, &hook.arguments, "", &scope, false)?;
            self.add_child(&root, &node);
        }
        Ok(done)
    }

    /// Runs the template of the workflow's end. True when there is none or it has ended.
    pub(crate) fn run_on_exit(&mut self) -> Result<bool, Halt> {
        let old =
            || self.spec.on_exit.clone().map(|template| Hook { template: Some(template), ..Hook::default() });
        let Some(hook) = self.spec.hooks.get("exit").cloned().or_else(old) else { return Ok(true) };
        let node = format!("{}.onExit", self.meta.name);
        if self.node(&node).is_none() {
            if !self.may_begin(true) {
                return Ok(true);
            }
            if !self.hook_holds(&hook, &Scope::default())? {
                return Ok(true);
            }
        }
        let scope = self.local_scope();
        self.run_hook(&node, &hook, &hook.arguments, "", &scope, true)
    }
}
