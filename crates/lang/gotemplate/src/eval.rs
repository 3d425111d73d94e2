//! Evaluating pipelines: operands, fields, methods and calls, with Go's rules for types and nil.

use std::ops::Range;
use std::rc::Rc;

use galley_sprig::value::{IntType, Map, MapType};
use galley_sprig::{Param, Value};

use crate::Signature;
use crate::ast::{Command, Number, Operand, OperandKind, Pipe};
use crate::builtins;
use crate::error::{Error, Failure};
use crate::exec::State;

impl State<'_, '_, '_> {
    /// The value of a pipeline; its variables are set or declared.
    pub(crate) fn pipe(&mut self, dot: &Value, pipe: &Pipe) -> Result<Value, Error> {
        let entered = self.machine.enter().and_then(|()| self.machine.step());
        entered.map_err(|failure| self.fail(&pipe.range, "", failure))?;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or_default();
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone());
            } else {
                self.declare(name, value.clone());
            }
        }
        self.machine.leave();
        Ok(value)
    }

    /// The value of a command; `last` is what the pipeline has so far.
    fn command(&mut self, dot: &Value, command: &Command, last: Option<Value>) -> Result<Value, Error> {
        // Never empty, says the parser.
        let Some((first, arguments)) = command.operands.split_first() else { return Ok(Value::Nil) };
        match &first.kind {
            OperandKind::Field(names) => self.chain(dot, dot.clone(), false, names, first, arguments, last),
            OperandKind::Chain(inner, names) => {
                let receiver = self.operand(dot, inner, Param::Any)?;
                self.chain(dot, receiver, false, names, first, arguments, last)
            }
            OperandKind::Variable(name, names) if !names.is_empty() => {
                let receiver = self.variable_at(name, &first.range)?;
                self.chain(dot, receiver, false, names, first, arguments, last)
            }
            OperandKind::Function(name) => self.function(dot, name, &command.range, arguments, last),
            kind => {
                if !arguments.is_empty() || last.is_some() {
                    let excerpt = self.template.source.excerpt(&first.range);
                    return Err(
                        self.error(&first.range, format!("can't give argument to non-function {excerpt}"))
                    );
                }
                match kind {
                    OperandKind::Nil => Err(self.error(&first.range, "nil is not a command")),
                    _ => self.operand(dot, first, Param::Any),
                }
            }
        }
    }

    fn variable_at(&self, name: &str, at: &Range<usize>) -> Result<Value, Error> {
        self.variable(name).ok_or_else(|| self.error(at, format!("undefined variable: {name}")))
    }

    /// The value of an operand where a type is wanted: literals become that type, other values must have it.
    pub(crate) fn operand(&mut self, dot: &Value, operand: &Operand, wanted: Param) -> Result<Value, Error> {
        let value = match &operand.kind {
            OperandKind::Nil => {
                return match wanted {
                    Param::Any | Param::Map | Param::Texts => self.accept(Value::Nil, wanted, &operand.range),
                    other => {
                        Err(self.error(&operand.range, format!("cannot assign nil to {}", other.name())))
                    }
                };
            }
            OperandKind::Bool(value) => match wanted {
                Param::Any | Param::Bool => Value::Bool(*value),
                other => return Err(self.expected(other, operand)),
            },
            OperandKind::Text(text) => match wanted {
                Param::Any | Param::Text => Value::Text(Rc::clone(text)),
                other => return Err(self.expected(other, operand)),
            },
            OperandKind::Number(number) => return self.number(number, operand, wanted),
            OperandKind::Dot => dot.clone(),
            OperandKind::Field(names) => self.chain(dot, dot.clone(), false, names, operand, &[], None)?,
            OperandKind::Variable(name, names) => {
                let receiver = self.variable_at(name, &operand.range)?;
                self.chain(dot, receiver, false, names, operand, &[], None)?
            }
            OperandKind::Function(name) => self.function(dot, name, &operand.range, &[], None)?,
            OperandKind::Chain(inner, names) => {
                let receiver = self.operand(dot, inner, Param::Any)?;
                self.chain(dot, receiver, false, names, operand, &[], None)?
            }
            OperandKind::Pipe(pipe) => self.pipe(dot, pipe)?,
        };
        // A missing field is a nil of type `interface {}`, which is no nil map or list.
        let is_field = match &operand.kind {
            OperandKind::Field(_) | OperandKind::Chain(..) => true,
            OperandKind::Variable(_, names) => !names.is_empty(),
            _ => false,
        };
        if is_field && value.is_nil() && matches!(wanted, Param::Map | Param::Texts) {
            let message = format!("wrong type for value; expected {}; got interface {{}}", wanted.name());
            return Err(self.error(&operand.range, message));
        }
        self.accept(value, wanted, &operand.range)
    }

    fn accept(&self, value: Value, wanted: Param, at: &Range<usize>) -> Result<Value, Error> {
        wanted.accept(value).map_err(|message| self.error(at, message))
    }

    fn expected(&self, wanted: Param, operand: &Operand) -> Error {
        let excerpt = self.template.source.excerpt(&operand.range);
        let message = match wanted {
            Param::Text => format!("expected string; found {excerpt}"),
            Param::Int => format!("expected integer; found {excerpt}"),
            Param::Float => format!("expected float; found {excerpt}"),
            Param::Bool => format!("expected bool; found {excerpt}"),
            other => format!("can't handle {excerpt} for arg of type {}", other.name()),
        };
        self.error(&operand.range, message)
    }

    fn number(&self, number: &Number, operand: &Operand, wanted: Param) -> Result<Value, Error> {
        match (wanted, number.int) {
            (Param::Any, _) if number.is_float => Ok(Value::Float(number.float)),
            (Param::Any | Param::Int, Some(value)) => Ok(Value::Int(value, IntType::Int)),
            (Param::Float, _) => Ok(Value::Float(number.float)),
            (other, _) => Err(self.expected(other, operand)),
        }
    }

    /// `.a.b.c` on a receiver; a method at the end gets the arguments.
    #[allow(
        clippy::too_many_arguments,
        reason = "a chain is its receiver, its names, its place and its arguments"
    )]
    fn chain(
        &mut self,
        dot: &Value,
        receiver: Value,
        inside: bool,
        names: &[Rc<str>],
        node: &Operand,
        arguments: &[Operand],
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let Some((name, rest)) = names.split_first() else { return Ok(receiver) };
        // A field of nothing at all is nothing; a field of a missing key is a mistake.
        if receiver.is_nil() && !inside {
            return Ok(Value::Nil);
        }
        if rest.is_empty() {
            return self.field(dot, &receiver, name, node, arguments, last);
        }
        let value = self.field(dot, &receiver, name, node, &[], None)?;
        self.chain(dot, value, true, rest, node, arguments, last)
    }

    fn field(
        &mut self,
        dot: &Value,
        receiver: &Value,
        name: &Rc<str>,
        node: &Operand,
        arguments: &[Operand],
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let at = &node.range;
        if receiver.is_nil() {
            return Err(self.error(at, format!("nil pointer evaluating interface {{}}.{name}")));
        }
        if has_methods(receiver) {
            let mut values = Vec::new();
            for argument in arguments {
                values.push(self.operand(dot, argument, Param::Any)?);
            }
            values.extend(last.clone());
            match method(receiver, name, &values) {
                Some(Ok(value)) => return Ok(value),
                Some(Err(message)) => return Err(self.fail(at, name, Failure::Message(message))),
                None => {}
            }
        }
        let has_arguments = !arguments.is_empty() || last.is_some();
        if let Value::Object(object) = receiver
            && let Some(value) = object.field(name)
        {
            return match has_arguments {
                true => {
                    Err(self.error(at, format!("{name} has arguments but cannot be invoked as function")))
                }
                false => Ok(value),
            };
        }
        match receiver.plain() {
            Value::Map(_) if has_arguments => {
                Err(self.error(at, format!("{name} is not a method but has arguments")))
            }
            Value::Map(map) if self.machine.limits.strict && map.get(name).is_none() => {
                Err(self.error(at, format!("map has no entry for key {name:?}")))
            }
            Value::Map(map) => Ok(lookup(&map, name)),
            _ => Err(self.error(at, format!("can't evaluate field {name} in type {}", receiver.type_name()))),
        }
    }

    /// Calls a function by name.
    fn function(
        &mut self,
        dot: &Value,
        name: &str,
        at: &Range<usize>,
        arguments: &[Operand],
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let own = self.machine.functions.signature(name);
        if own.is_none() && matches!(name, "and" | "or") {
            return self.short_circuit(dot, name, at, arguments, last);
        }
        let builtin = builtins::find(name);
        let Some(signature) = own.or_else(|| builtin.map(|builtin| builtin.signature)) else {
            return Err(self.error(at, format!("{name:?} is not a defined function")));
        };
        let values = self.arguments(dot, name, at, &signature, arguments, last)?;
        self.machine.step().map_err(|failure| self.fail(at, "", failure))?;
        let result = match (own, builtin) {
            (None, Some(builtin)) => (builtin.run)(&values).map_err(Failure::Message),
            _ => self.machine.functions.call(name, &values, self.machine),
        };
        let size = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::List(list) => list.items().len() * 32,
            Value::Map(_) => 64,
            _ => 0,
        };
        let result = result.and_then(|value| self.machine.spend(size(&value)).map(|()| value));
        result.map_err(|failure| self.fail(at, name, failure))
    }

    /// The arguments of a call, counted and checked.
    fn arguments(
        &mut self,
        dot: &Value,
        name: &str,
        at: &Range<usize>,
        signature: &Signature,
        arguments: &[Operand],
        last: Option<Value>,
    ) -> Result<Vec<Value>, Error> {
        let (wanted, given) = (signature.params.len(), arguments.len() + usize::from(last.is_some()));
        if signature.rest.is_some() && given < wanted {
            let message =
                format!("wrong number of args for {name}: want at least {wanted} got {}", arguments.len());
            return Err(self.error(at, message));
        }
        if signature.rest.is_none() && given != wanted {
            return Err(self.error(at, format!("wrong number of args for {name}: want {wanted} got {given}")));
        }
        let param =
            |index: usize| signature.params.get(index).copied().or(signature.rest).unwrap_or(Param::Any);
        let mut values = Vec::with_capacity(given);
        for (index, argument) in arguments.iter().enumerate() {
            values.push(self.operand(dot, argument, param(index))?);
        }
        if let Some(last) = last {
            values.push(self.accept(last, param(arguments.len()), at)?);
        }
        Ok(values)
    }

    /// `and` and `or` evaluate no more than they need.
    fn short_circuit(
        &mut self,
        dot: &Value,
        name: &str,
        at: &Range<usize>,
        arguments: &[Operand],
        last: Option<Value>,
    ) -> Result<Value, Error> {
        if arguments.is_empty() && last.is_none() {
            return Err(self.error(at, format!("wrong number of args for {name}: want at least 1 got 0")));
        }
        let mut value = Value::Nil;
        for argument in arguments {
            value = self.operand(dot, argument, Param::Any)?;
            if value.truth() == (name == "or") {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }
}

fn has_methods(value: &Value) -> bool {
    match value {
        Value::Object(_) | Value::Time(_) => true,
        Value::Map(map) => map.kind() == MapType::Values,
        _ => false,
    }
}

/// Calls a method; nothing if there is none of this name.
fn method(receiver: &Value, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let none = |value: Value| match arguments {
        [] => Ok(value),
        _ => Err(format!("wrong number of args for {name}: want 0 got {}", arguments.len())),
    };
    match receiver {
        Value::Object(object) => object.method(name, arguments),
        Value::Map(map) => match name {
            "AsMap" => Some(none(Value::Map(map.retyped(MapType::Any)))),
            "YAML" => Some(
                galley_sprig::to_json_value(receiver)
                    .and_then(|json| none(Value::from(galley_yaml::to_string(&json)))),
            ),
            _ => None,
        },
        Value::Time(time) => {
            let text = |index: usize| arguments.get(index).and_then(Value::as_text);
            match (name, text(0)) {
                ("Format", Some(layout)) => Some(Ok(Value::from(time.format(layout)))),
                ("Unix", _) => Some(none(Value::Int(time.unix(), IntType::Int64))),
                ("UTC", _) => Some(none(Value::Time(time.in_utc()))),
                ("String", _) => Some(none(Value::from(time.to_string()))),
                ("Year" | "Day" | "Hour" | "Minute" | "Second", _) => {
                    let layout = match name {
                        "Year" => "2006",
                        "Day" => "2",
                        "Hour" => "15",
                        "Minute" => "4",
                        _ => "5",
                    };
                    let number = time.format(layout).parse().unwrap_or(0);
                    Some(none(Value::Int(number, IntType::Int)))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A key of a map; a missing one is the empty value of the map's type.
pub(crate) fn lookup(map: &Map, key: &str) -> Value {
    map.get(key).unwrap_or_else(|| match map.kind() {
        MapType::Text => Value::text(""),
        MapType::Any | MapType::Values => Value::Nil,
    })
}
