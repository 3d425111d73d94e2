//! Evaluates expr-lang trees over JSON values.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::ast::Node;
use crate::parser::parse;
use crate::{ExprError, builtin, sprig};

/// The variables of an expression: a tree of maps.
pub type Env = Map<String, Value>;

/// The most steps one evaluation may take; a guard against `map(1..1000000, ...)` inside itself.
const MAX_STEPS: usize = 2_000_000;

/// Builds the tree of variables from dotted names, as Argo does: `a.b.c = v` is `v` at `a`, `b`, `c`. A name that is
/// also the beginning of a longer one is dropped.
pub fn env_from<'a>(names: impl IntoIterator<Item = (&'a String, &'a String)>) -> Env {
    let sorted: BTreeMap<&String, &String> = names.into_iter().collect();
    let mut env = Env::new();
    for (name, value) in sorted {
        // Sorted order brings `a.b` before `a.b.c`, so a longer name replaces the shorter one's text.
        let mut at = &mut env;
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                at.entry(part).or_insert_with(|| Value::String(value.clone()));
                break;
            }
            let next = at.entry(part).or_insert_with(|| Value::Object(Map::new()));
            if !next.is_object() {
                *next = Value::Object(Map::new());
            }
            let Value::Object(inner) = next else { break };
            at = inner;
        }
    }
    env
}

/// Evaluates an expression.
///
/// # Errors
/// The text of the parse or evaluation error.
pub fn eval(source: &str, env: &Env) -> Result<Value, ExprError> {
    let node = parse(source)?;
    check_names(source, &node, env)?;
    let mut machine =
        Machine { source, env, pointers: Vec::new(), accumulators: Vec::new(), locals: Vec::new(), steps: 0 };
    machine.run(&node)
}

/// Evaluates an expression that must give true or false.
///
/// # Errors
/// As [`eval`], and when the result is something else.
pub fn eval_bool(source: &str, env: &Env) -> Result<bool, ExprError> {
    match eval(source, env)? {
        Value::Bool(flag) => Ok(flag),
        other => Err(ExprError(format!("expected bool, but got {}", type_name(&other)))),
    }
}

/// The first name of every path must be known: a misspelt variable is told before anything is computed.
fn check_names(source: &str, node: &Node, env: &Env) -> Result<(), ExprError> {
    let mut found = Vec::new();
    crate::names::walk(node, &mut found);
    for path in found {
        let first = path.split('.').next().unwrap_or_default();
        if !env.contains_key(first) && first != "sprig" && first != "$env" {
            let at = source.find(first).unwrap_or(0);
            return Err(ExprError::at(source, at, &format!("unknown name {first}")));
        }
    }
    Ok(())
}

/// The name expr-lang gives a value's type.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

pub(crate) struct Machine<'a> {
    source: &'a str,
    env: &'a Env,
    pub(crate) pointers: Vec<Value>,
    pub(crate) accumulators: Vec<Value>,
    locals: Vec<(String, Value)>,
    steps: usize,
}

impl Machine<'_> {
    fn error(&self, what: impl std::fmt::Display) -> ExprError {
        ExprError(format!("{what} in `{}`", self.source))
    }

    pub(crate) fn run(&mut self, node: &Node) -> Result<Value, ExprError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(self.error("too many steps"));
        }
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Name(name) => Ok(self.variable(name)),
            Node::Pointer => {
                self.pointers.last().cloned().ok_or_else(|| self.error("`#` outside a predicate"))
            }
            Node::Accumulator => {
                self.accumulators.last().cloned().ok_or_else(|| self.error("`#acc` outside `reduce`"))
            }
            Node::Member { object, key, optional } => self.member(object, key, *optional),
            Node::Slice { object, from, to } => self.slice(object, from.as_deref(), to.as_deref()),
            Node::Call { name, args } => builtin::call(self, name, args),
            Node::Method { object, name, args } => self.method(object, name, args),
            Node::Unary { op, of } => self.unary(op, of),
            Node::Binary { op, left, right } => self.binary(op, left, right),
            Node::Ternary { condition, then, otherwise } => match self.run(condition)? {
                Value::Bool(true) => self.run(then),
                Value::Bool(false) => self.run(otherwise),
                other => {
                    Err(self
                        .error(format!("non-bool expression (type {}) used as condition", type_name(&other))))
                }
            },
            Node::Array(items) => items.iter().map(|item| self.run(item)).collect(),
            Node::Map(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    let key = text(&self.run(key)?);
                    map.insert(key, self.run(value)?);
                }
                Ok(Value::Object(map))
            }
            Node::Closure(body) => self.run(body),
            Node::Let { name, value, body } => {
                let value = self.run(value)?;
                self.locals.push((name.clone(), value));
                let result = self.run(body);
                self.locals.pop();
                result
            }
        }
    }

    fn variable(&self, name: &str) -> Value {
        if let Some((_, value)) = self.locals.iter().rev().find(|(known, _)| known == name) {
            return value.clone();
        }
        if name == "$env" {
            return Value::Object(self.env.clone());
        }
        self.env.get(name).cloned().unwrap_or(Value::Null)
    }

    fn member(&mut self, object: &Node, key: &Node, optional: bool) -> Result<Value, ExprError> {
        let object = self.run(object)?;
        let key = self.run(key)?;
        match (&object, &key) {
            (Value::Null, _) if optional => Ok(Value::Null),
            (Value::Object(map), Value::String(key)) => Ok(map.get(key).cloned().unwrap_or(Value::Null)),
            (Value::Array(items), Value::Number(_)) => {
                let index = int(&key).ok_or_else(|| self.error("index is not an integer"))?;
                let at = if index < 0 { index + items.len() as i64 } else { index };
                usize::try_from(at).ok().and_then(|at| items.get(at)).cloned().ok_or_else(|| {
                    self.error(format!("index out of range: {index} (array length is {})", items.len()))
                })
            }
            (Value::String(source), Value::Number(_)) => {
                let index = int(&key).ok_or_else(|| self.error("index is not an integer"))?;
                let length = source.chars().count() as i64;
                let at = if index < 0 { index + length } else { index };
                usize::try_from(at)
                    .ok()
                    .and_then(|at| source.chars().nth(at))
                    .map(|c| Value::String(c.to_string()))
                    .ok_or_else(|| self.error(format!("index out of range: {index}")))
            }
            _ => Err(self.error(format!("cannot fetch {} from {}", text(&key), type_name(&object)))),
        }
    }

    fn slice(&mut self, object: &Node, from: Option<&Node>, to: Option<&Node>) -> Result<Value, ExprError> {
        let object = self.run(object)?;
        let length = match &object {
            Value::String(text) => text.chars().count(),
            Value::Array(items) => items.len(),
            other => return Err(self.error(format!("cannot slice {}", type_name(other)))),
        } as i64;
        let mut bound = |node: Option<&Node>, default: i64| -> Result<i64, ExprError> {
            let Some(node) = node else { return Ok(default) };
            let value = self.run(node)?;
            let at = int(&value).ok_or_else(|| self.error("slice bound is not an integer"))?;
            Ok(if at < 0 { at + length } else { at }.clamp(0, length))
        };
        let from = bound(from, 0)? as usize;
        let to = (bound(to, length)? as usize).max(from);
        Ok(match object {
            Value::String(text) => text.chars().skip(from).take(to - from).collect::<String>().into(),
            Value::Array(items) => Value::Array(items[from..to].to_vec()),
            other => other,
        })
    }

    fn method(&mut self, object: &Node, name: &str, args: &[Node]) -> Result<Value, ExprError> {
        if !matches!(object, Node::Name(root) if root == "sprig") {
            return Err(self.error(format!("`{name}` is not a function")));
        }
        let args = args.iter().map(|arg| self.run(arg)).collect::<Result<Vec<_>, _>>()?;
        let now = self.env.get(crate::NOW).and_then(Value::as_str).and_then(|text| text.parse().ok());
        sprig::call(name, &args, now).map_err(|what| self.error(what))
    }

    fn unary(&mut self, op: &str, of: &Node) -> Result<Value, ExprError> {
        let value = self.run(of)?;
        match (op, &value) {
            ("!", Value::Bool(flag)) => Ok((!flag).into()),
            ("+", Value::Number(_)) => Ok(value),
            ("-", Value::Number(number)) => match number.as_i64() {
                Some(number) => Ok((-number).into()),
                None => self.number(-number.as_f64().unwrap_or(0.0)),
            },
            _ => Err(self.error(format!("invalid operation: {op} (mismatched type {})", type_name(&value)))),
        }
    }

    fn binary(&mut self, op: &'static str, left: &Node, right: &Node) -> Result<Value, ExprError> {
        let a = match (op, left) {
            // `a?.b ?? c` and `a.b ?? c`: only nil gives way, an error does not.
            ("??", left) => match self.run(left)? {
                Value::Null => return self.run(right),
                value => return Ok(value),
            },
            (_, left) => self.run(left)?,
        };
        match (op, &a) {
            ("&&" | "and", Value::Bool(false)) => return Ok(false.into()),
            ("||" | "or", Value::Bool(true)) => return Ok(true.into()),
            _ => {}
        }
        let b = self.run(right)?;
        match op {
            "&&" | "and" | "||" | "or" => match (&a, &b) {
                (Value::Bool(_), Value::Bool(b)) => Ok((*b).into()),
                _ => Err(self.mismatch(op, &a, &b)),
            },
            "==" => Ok(equal(&a, &b).into()),
            "!=" => Ok((!equal(&a, &b)).into()),
            "<" | ">" | "<=" | ">=" => self.compare(op, &a, &b),
            "in" => match (&a, &b) {
                (_, Value::Array(items)) => Ok(items.iter().any(|item| equal(item, &a)).into()),
                (Value::String(key), Value::Object(map)) => Ok(map.contains_key(key).into()),
                (_, Value::Null) => Ok(false.into()),
                _ => Err(self.mismatch(op, &a, &b)),
            },
            "matches" | "contains" | "startsWith" | "endsWith" => self.strings(op, &a, &b),
            ".." => self.range(&a, &b),
            _ => self.arithmetic(op, &a, &b),
        }
    }

    fn mismatch(&self, op: &str, a: &Value, b: &Value) -> ExprError {
        self.error(format!(
            "invalid operation: {op} (mismatched types {} and {})",
            type_name(a),
            type_name(b)
        ))
    }

    fn compare(&self, op: &str, a: &Value, b: &Value) -> Result<Value, ExprError> {
        use std::cmp::Ordering;
        let order = match (a, b) {
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => a.as_f64().partial_cmp(&b.as_f64()),
            },
            _ => None,
        };
        let order = order.ok_or_else(|| self.mismatch(op, a, b))?;
        Ok(match op {
            "<" => order == Ordering::Less,
            ">" => order == Ordering::Greater,
            "<=" => order != Ordering::Greater,
            _ => order != Ordering::Less,
        }
        .into())
    }

    fn strings(&self, op: &str, a: &Value, b: &Value) -> Result<Value, ExprError> {
        let (Value::String(a), Value::String(b)) = (a, b) else { return Err(self.mismatch(op, a, b)) };
        Ok(match op {
            "contains" => a.contains(b.as_str()),
            "startsWith" => a.starts_with(b.as_str()),
            "endsWith" => a.ends_with(b.as_str()),
            _ => regex::Regex::new(b).map_err(|error| self.error(error))?.is_match(a),
        }
        .into())
    }

    fn range(&self, a: &Value, b: &Value) -> Result<Value, ExprError> {
        let (Some(from), Some(to)) = (int(a), int(b)) else { return Err(self.mismatch("..", a, b)) };
        if to.saturating_sub(from) > 1_000_000 {
            return Err(self.error("memory budget exceeded"));
        }
        Ok((from..=to).map(Value::from).collect())
    }

    fn arithmetic(&self, op: &str, a: &Value, b: &Value) -> Result<Value, ExprError> {
        if let ("+", Value::String(a), Value::String(b)) = (op, a, b) {
            return Ok(format!("{a}{b}").into());
        }
        let (Value::Number(x), Value::Number(y)) = (a, b) else { return Err(self.mismatch(op, a, b)) };
        if let (Some(x), Some(y)) = (x.as_i64(), y.as_i64()) {
            match op {
                "+" => return Ok(x.wrapping_add(y).into()),
                "-" => return Ok(x.wrapping_sub(y).into()),
                "*" => return Ok(x.wrapping_mul(y).into()),
                "%" if y == 0 => return Err(self.error("integer divide by zero")),
                "%" => return Ok(x.wrapping_rem(y).into()),
                _ => {}
            }
        }
        let (x, y) = (x.as_f64().unwrap_or(0.0), y.as_f64().unwrap_or(0.0));
        self.number(match op {
            "+" => x + y,
            "-" => x - y,
            "*" => x * y,
            "/" => x / y,
            "**" | "^" => x.powf(y),
            _ => return Err(self.mismatch(op, a, b)),
        })
    }

    fn number(&self, value: f64) -> Result<Value, ExprError> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| self.error("the result is not a finite number"))
    }
}

/// An integer, or a float without a fraction.
pub(crate) fn int(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    number.as_i64().or_else(|| number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i64))
}

/// Equality across the two kinds of numbers.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        _ => a == b,
    }
}

/// A value as text: strings as they are, everything else as Go's JSON.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => crate::go_json(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(source: &str, expected: Value) {
        let env = json!({"a": {"n": "7", "x": null}, "xs": [3, 1, 2], "s": "Sour Dough",
            "rows": [{"n": 1, "t": "b"}, {"n": 2, "t": "a"}]});
        let result = eval(source, env.as_object().unwrap());
        assert_eq!(result.map_err(|error| error.to_string()), Ok(expected), "{source}");
    }

    fn fails(source: &str, expected: &str) {
        let error = eval(source, &Env::new()).unwrap_err().to_string();
        assert_eq!(error, expected, "{source}");
    }

    #[test]
    fn arithmetic_and_precedence() {
        check("1 + 2 * 3 - 4", json!(3));
        check("asInt(a.n) / 2", json!(3.5));
        check("2 ** 3 ** 2", json!(512.0));
        check("-2 + 5 % 3", json!(0));
        check("1 < 2 and 'a' < 'b'", json!(true));
        check("!true || (1 < 2 and 'a' < 'b')", json!(true));
        check("not (1 == 1.0)", json!(false));
        check("2 in 1..4", json!(true));
        check("5 not in [1, 2]", json!(true));
    }

    #[test]
    fn the_whole_of_sprig() {
        check("sprig.snakecase('SourDough')", json!("sour_dough"));
        check("sprig.substr(0, 4, s)", json!("Sour"));
        check("sprig.until(3)", json!([0, 1, 2]));
        check("sprig.semverCompare('>=1.2', '1.3.0')", json!(true));
        let env = Env::from_iter([(crate::NOW.to_owned(), json!("2026-11-05T10:00:00Z"))]);
        assert_eq!(eval("sprig.date('2006-01-02', 'x')", &env), Ok(json!("2026-11-05")));
        assert_eq!(eval("sprig.date('15:04', sprig.now())", &env), Ok(json!("10:00")));
        fails("sprig.nope(1)", "unknown function sprig.nope in `sprig.nope(1)`");
        assert!(eval("sprig.now()", &Env::new()).is_err());
        assert!(eval("sprig.env('HOME')", &Env::new()).is_err());
    }

    #[test]
    fn access() {
        check("a['n']", json!("7"));
        check("a.x ?? 'was nil'", json!("was nil"));
        check("a?.x?.y", json!(null));
        check("xs[-1]", json!(2));
        check("s[0:4]", json!("Sour"));
        check("rows[1].t", json!("a"));
        check("let x = 2; x * x", json!(4));
    }

    #[test]
    fn predicates() {
        check("filter(xs, {# > 1})", json!([3, 2]));
        check("filter(rows, .n > 1)[0].t", json!("a"));
        check("all(rows, .n > 0)", json!(true));
        check("count(rows, .n == 1)", json!(1));
        check("map(xs, # * 2)", json!([6, 2, 4]));
        check("sortBy(rows, .n, 'desc')[0].t", json!("a"));
        check("findIndex(rows, .t == 'a')", json!(1));
        check("reduce(xs, #acc + #, 0)", json!(6));
        check("xs | map(# + 1) | len()", json!(3));
    }

    #[test]
    fn errors_carry_their_place() {
        fails("1 +", "unexpected token EOF (1:3)\n | 1 +\n | ..^");
        fails(
            "lastRetry.exitCode ==",
            "unexpected token EOF (1:21)\n | lastRetry.exitCode ==\n | ....................^",
        );
        fails("nope + 1", "unknown name nope (1:1)\n | nope + 1\n | ^");
        fails("1 + )", "unexpected token Bracket(\")\") (1:5)\n | 1 + )\n | ....^");
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "(".repeat(5000);
        assert!(eval(&deep, &Env::new()).is_err());
    }

    #[test]
    fn dotted_names_become_a_tree() {
        let names: BTreeMap<String, String> =
            [("a.b", "1"), ("a.b.c", "2"), ("a.d-e", "3")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(Value::Object(env_from(&names)), json!({"a": {"b": {"c": "2"}, "d-e": "3"}}));
    }
}
