//! The functions of charts: sprig's and Helm's.

use galley_gotemplate::{Engine, Failure, Functions, Signature};
use galley_sprig::{Context, Param, Value};

use crate::keys;

/// Sprig's functions, and those of Helm that run templates or fail on purpose.
pub(crate) struct ChartFunctions {
    pub(crate) context: Context,
    /// Who makes keys and certificates, if they may be made.
    pub(crate) keys: Option<Box<dyn crate::Keys>>,
}

const INCLUDE: Signature = Signature { params: &[Param::Text, Param::Any], rest: None };
const LOOKUP: Signature =
    Signature { params: &[Param::Text, Param::Text, Param::Text, Param::Text], rest: None };

impl Functions for ChartFunctions {
    fn signature(&self, name: &str) -> Option<Signature> {
        match name {
            "include" | "tpl" | "required" => Some(INCLUDE),
            "lookup" => Some(LOOKUP),
            // Charts must not see the environment of whoever renders them.
            "env" | "expandenv" => None,
            name => galley_sprig::find(name)
                .map(|function| Signature { params: function.params, rest: function.rest }),
        }
    }

    fn call(&self, name: &str, arguments: &[Value], engine: &mut dyn Engine) -> Result<Value, Failure> {
        let text = |index: usize| arguments[index].as_text().unwrap_or_default();
        match name {
            "include" => engine.include(text(0), arguments[1].clone()).map(Value::from),
            "tpl" => engine.tpl(text(0), arguments[1].clone()).map(Value::from),
            "required" => match &arguments[1] {
                Value::Nil => Err(Failure::Requested(text(0).to_owned())),
                Value::Text(value) if value.is_empty() => Err(Failure::Requested(text(0).to_owned())),
                value => Ok(value.clone()),
            },
            "fail" => Err(Failure::Requested(text(0).to_owned())),
            "lookup" => Ok(Value::map([])),
            name if self.keys.is_some() && keys::NAMES.contains(&name) => match &self.keys {
                Some(maker) => keys::call(&**maker, name, arguments).map_err(Failure::Message),
                None => Err(Failure::Message(format!("{name:?} is not a defined function"))),
            },
            name => match galley_sprig::find(name) {
                Some(function) => (function.run)(&self.context, arguments).map_err(Failure::Message),
                None => Err(Failure::Message(format!("{name:?} is not a defined function"))),
            },
        }
    }
}
