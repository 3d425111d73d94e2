//! Parses expr-lang by precedence climbing.

use serde_json::{Number, Value};

use crate::ExprError;
use crate::ast::Node;
use crate::lexer::{Kind, Token, lex};

/// Builtins whose last arguments are predicates.
const WITH_PREDICATE: [&str; 15] = [
    "all",
    "any",
    "one",
    "none",
    "map",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "count",
    "sum",
    "groupBy",
    "sortBy",
    "reduce",
];
/// Nested deeper than this is refused rather than overflowing the stack.
const MAX_DEPTH: usize = 96;

/// Parses a whole expression.
pub(crate) fn parse(source: &str) -> Result<Node, ExprError> {
    if source.len() > 256 * 1024 {
        return Err(ExprError("expression is longer than 256 KiB".to_owned()));
    }
    let mut parser = Parser { source, tokens: lex(source)?, next: 0, depth: 0 };
    let node = parser.expression(0)?;
    match parser.peek() {
        Kind::End => Ok(node),
        _ => Err(parser.unexpected()),
    }
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

fn binary(op: &str) -> Option<(u32, bool)> {
    Some(match op {
        "|" => (0, false),
        "or" | "||" => (10, false),
        "and" | "&&" => (15, false),
        "==" | "!=" | "<" | ">" | "<=" | ">=" | "in" | "matches" | "contains" | "startsWith" | "endsWith" => {
            (20, false)
        }
        ".." => (25, false),
        "+" | "-" => (30, false),
        "*" | "/" | "%" => (60, false),
        "**" | "^" => (100, true),
        "??" => (500, false),
        _ => return None,
    })
}

impl Parser<'_> {
    fn peek(&self) -> &Kind {
        &self.tokens[self.next].kind
    }

    fn advance(&mut self) -> Kind {
        let kind = self.tokens[self.next].kind.clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        kind
    }

    fn is(&self, op: &str) -> bool {
        matches!(self.peek(), Kind::Op(known) if *known == op)
    }

    fn take(&mut self, op: &str) -> bool {
        let found = self.is(op);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, op: &str) -> Result<(), ExprError> {
        if self.take(op) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> ExprError {
        let token = &self.tokens[self.next];
        let what = match &token.kind {
            Kind::End => "unexpected token EOF".to_owned(),
            Kind::Op(op) if "()[]{}".contains(op) => format!("unexpected token Bracket(\"{op}\")"),
            Kind::Op(op) => format!("unexpected token Operator(\"{op}\")"),
            Kind::Name(name) => format!("unexpected token Identifier(\"{name}\")"),
            Kind::Str(text) => format!("unexpected token String(\"{text}\")"),
            Kind::Int(number) => format!("unexpected token Number(\"{number}\")"),
            Kind::Float(number) => format!("unexpected token Number(\"{number}\")"),
        };
        ExprError::at(self.source, token.at, &what)
    }

    fn expression(&mut self, least: u32) -> Result<Node, ExprError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExprError("expression is nested too deeply".to_owned()));
        }
        let node = self.expression_inner(least);
        self.depth -= 1;
        node
    }

    fn expression_inner(&mut self, least: u32) -> Result<Node, ExprError> {
        if least == 0 && self.take("let") {
            return self.binding();
        }
        let mut left = self.unary()?;
        while let Kind::Op(op) = *self.peek() {
            let negated = op == "not"
                && matches!(self.tokens.get(self.next + 1), Some(Token { kind: Kind::Op(next), .. }) if binary(next) == Some((20, false)));
            let op = if negated { self.op_after_not() } else { op };
            let Some((strength, to_right)) = binary(op) else { break };
            if strength < least {
                break;
            }
            if negated {
                self.advance();
            }
            self.advance();
            if op == "|" {
                left = self.pipe(left)?;
                continue;
            }
            let right = self.expression(if to_right { strength } else { strength + 1 })?;
            left = Node::Binary { op, left: Box::new(left), right: Box::new(right) };
            if negated {
                left = Node::Unary { op: "!", of: Box::new(left) };
            }
        }
        if least == 0 && self.take("?") {
            let then = self.expression(0)?;
            self.expect(":")?;
            let otherwise = self.expression(0)?;
            return Ok(Node::Ternary {
                condition: Box::new(left),
                then: Box::new(then),
                otherwise: Box::new(otherwise),
            });
        }
        Ok(left)
    }

    fn op_after_not(&self) -> &'static str {
        match self.tokens.get(self.next + 1).map(|token| &token.kind) {
            Some(Kind::Op(op)) => op,
            _ => "",
        }
    }

    fn binding(&mut self) -> Result<Node, ExprError> {
        let Kind::Name(name) = self.advance() else { return Err(self.unexpected()) };
        self.expect("=")?;
        let value = self.expression(0)?;
        self.expect(";")?;
        let body = self.expression(0)?;
        Ok(Node::Let { name, value: Box::new(value), body: Box::new(body) })
    }

    /// `left | name(args)` calls `name(left, args)`.
    fn pipe(&mut self, left: Node) -> Result<Node, ExprError> {
        let Kind::Name(name) = self.advance() else { return Err(self.unexpected()) };
        let mut args = vec![left];
        if self.take("(") {
            args.extend(self.arguments(&name)?);
        }
        self.postfix(Node::Call { name, args })
    }

    fn unary(&mut self) -> Result<Node, ExprError> {
        for (op, name, strength) in [("not", "!", 50), ("!", "!", 150), ("-", "-", 150), ("+", "+", 150)] {
            if self.take(op) {
                let of = self.expression(strength)?;
                return Ok(Node::Unary { op: name, of: Box::new(of) });
            }
        }
        let node = self.primary()?;
        self.postfix(node)
    }

    fn primary(&mut self) -> Result<Node, ExprError> {
        let at = self.next;
        Ok(match self.advance() {
            Kind::Int(number) => Node::Literal(number.into()),
            Kind::Float(number) => Node::Literal(Number::from_f64(number).map_or(Value::Null, Value::Number)),
            Kind::Str(text) => Node::Literal(text.into()),
            Kind::Name(name) => match name.as_str() {
                "true" => Node::Literal(true.into()),
                "false" => Node::Literal(false.into()),
                "nil" => Node::Literal(Value::Null),
                _ if self.take("(") => {
                    let args = self.arguments(&name)?;
                    Node::Call { name, args }
                }
                _ => Node::Name(name),
            },
            Kind::Op("(") => {
                let node = self.expression(0)?;
                self.expect(")")?;
                node
            }
            Kind::Op("[") => Node::Array(self.list("]")?),
            Kind::Op("{") => self.map()?,
            Kind::Op("#") => match self.peek().clone() {
                Kind::Name(name) if name == "acc" => {
                    self.advance();
                    Node::Accumulator
                }
                _ => Node::Pointer,
            },
            Kind::Op(".") => {
                let Kind::Name(name) = self.advance() else {
                    self.next = at;
                    return Err(self.unexpected());
                };
                member(Node::Pointer, Node::Literal(name.into()), false)
            }
            _ => {
                self.next = at;
                return Err(self.unexpected());
            }
        })
    }

    fn postfix(&mut self, mut node: Node) -> Result<Node, ExprError> {
        loop {
            let optional = self.is("?.");
            if self.take(".") || self.take("?.") {
                let name = match self.advance() {
                    Kind::Name(name) => name,
                    Kind::Op(word) if word.chars().all(char::is_alphabetic) => word.to_owned(),
                    _ => {
                        self.next = self.next.saturating_sub(1);
                        return Err(self.unexpected());
                    }
                };
                node = if self.take("(") {
                    Node::Method { object: Box::new(node), args: self.arguments("")?, name }
                } else {
                    member(node, Node::Literal(name.into()), optional)
                };
            } else if self.take("[") {
                node = self.index(node)?;
            } else {
                return Ok(node);
            }
        }
    }

    fn index(&mut self, node: Node) -> Result<Node, ExprError> {
        let from = if self.is(":") { None } else { Some(Box::new(self.expression(0)?)) };
        if self.take(":") {
            let to = if self.is("]") { None } else { Some(Box::new(self.expression(0)?)) };
            self.expect("]")?;
            return Ok(Node::Slice { object: Box::new(node), from, to });
        }
        self.expect("]")?;
        let key = from.ok_or_else(|| self.unexpected())?;
        Ok(member(node, *key, false))
    }

    /// Arguments up to the closing parenthesis; those after the first of a predicate builtin become closures.
    fn arguments(&mut self, name: &str) -> Result<Vec<Node>, ExprError> {
        let mut args = Vec::new();
        while !self.take(")") {
            if !args.is_empty() {
                self.expect(",")?;
                if self.take(")") {
                    break;
                }
            }
            args.push(if WITH_PREDICATE.contains(&name) && args.len() == 1 {
                self.predicate()?
            } else {
                self.expression(0)?
            });
        }
        Ok(args)
    }

    fn predicate(&mut self) -> Result<Node, ExprError> {
        let braces = self.take("{");
        let body = self.expression(0)?;
        if braces {
            self.expect("}")?;
        }
        Ok(Node::Closure(Box::new(body)))
    }

    fn list(&mut self, end: &str) -> Result<Vec<Node>, ExprError> {
        let mut items = Vec::new();
        while !self.take(end) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.take(end) {
                    break;
                }
            }
            items.push(self.expression(0)?);
        }
        Ok(items)
    }

    fn map(&mut self) -> Result<Node, ExprError> {
        let mut entries = Vec::new();
        while !self.take("}") {
            if !entries.is_empty() {
                self.expect(",")?;
                if self.take("}") {
                    break;
                }
            }
            let key = match self.advance() {
                Kind::Str(text) | Kind::Name(text) => Node::Literal(text.into()),
                Kind::Int(number) => Node::Literal(number.to_string().into()),
                Kind::Op("(") => {
                    let key = self.expression(0)?;
                    self.expect(")")?;
                    key
                }
                _ => {
                    self.next = self.next.saturating_sub(1);
                    return Err(self.unexpected());
                }
            };
            self.expect(":")?;
            entries.push((key, self.expression(0)?));
        }
        Ok(Node::Map(entries))
    }
}

fn member(object: Node, key: Node, optional: bool) -> Node {
    Node::Member { object: Box::new(object), key: Box::new(key), optional }
}
