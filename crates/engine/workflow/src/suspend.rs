//! Suspend templates: waits until told or for a time, and the values that people supply meanwhile.

use galley_argo_workflows::{NodePhase, NodeType, Template};

use crate::run::{Halt, Holder, Opts, Run};
use crate::template::duration_of;

impl Run<'_> {
    pub(crate) fn execute_suspend(
        &mut self,
        name: &str,
        template: &Template,
        holder: &Holder,
        scope: &str,
        opts: &Opts,
    ) -> Result<(), Halt> {
        if self.node(name).is_none() {
            self.init_executable(name, NodeType::Suspend, scope, template, holder, opts, NodePhase::Pending);
            self.add_supplied(name, template);
        }
        let duration =
            template.suspend.as_ref().and_then(|suspend| suspend.duration.as_deref()).unwrap_or_default();
        if !duration.is_empty() {
            let wait = duration_of(duration)?;
            let began = self.node(name).and_then(|node| node.started_at).unwrap_or(self.now);
            let until = began.checked_add(wait).unwrap_or(jiff::Timestamp::MAX);
            if self.now >= until {
                self.use_supplied_defaults(name)?;
                self.mark(name, NodePhase::Succeeded, None);
                return Ok(());
            }
            self.wake_at(until);
        }
        self.mark(name, NodePhase::Running, None);
        Ok(())
    }

    /// Outputs that a person will supply are listed from the start.
    fn add_supplied(&mut self, name: &str, template: &Template) {
        let supplied: Vec<_> = template
            .outputs
            .parameters
            .iter()
            .filter(|parameter| parameter.value_from.as_ref().is_some_and(|from| from.supplied.is_some()))
            .cloned()
            .map(|mut parameter| {
                let input =
                    template.inputs.parameter(&parameter.name).and_then(|input| input.default.clone());
                if let Some(from) = &mut parameter.value_from {
                    from.default = from.default.take().or(input);
                }
                parameter
            })
            .collect();
        if !supplied.is_empty()
            && let Some(node) = self.node_mut(name)
        {
            node.outputs.get_or_insert_default().parameters = supplied;
        }
    }

    fn use_supplied_defaults(&mut self, name: &str) -> Result<(), Halt> {
        let Some(outputs) = self.node_mut(name).and_then(|node| node.outputs.as_mut()) else { return Ok(()) };
        for parameter in &mut outputs.parameters {
            if parameter.value.is_none() {
                let default = parameter.value_from.as_ref().and_then(|from| from.default.clone());
                parameter.value = Some(default.ok_or_else(|| {
                    Halt::Wrong(format!(
                        "raw output parameter '{}' has not been set and does not have a default value",
                        parameter.name
                    ))
                })?);
            }
        }
        Ok(())
    }
}
