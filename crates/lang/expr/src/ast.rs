//! The tree of an expr-lang expression.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Literal(Value),
    Name(String),
    /// `#` in a predicate, or `.field` (the pointer's member) when it stands before one.
    Pointer,
    /// `#acc` in `reduce`.
    Accumulator,
    Member {
        object: Box<Node>,
        key: Box<Node>,
        optional: bool,
    },
    Slice {
        object: Box<Node>,
        from: Option<Box<Node>>,
        to: Option<Box<Node>>,
    },
    Call {
        name: String,
        args: Vec<Node>,
    },
    /// `sprig.name(...)`.
    Method {
        object: Box<Node>,
        name: String,
        args: Vec<Node>,
    },
    Unary {
        op: &'static str,
        of: Box<Node>,
    },
    Binary {
        op: &'static str,
        left: Box<Node>,
        right: Box<Node>,
    },
    Ternary {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Box<Node>,
    },
    Array(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// A predicate: `{# > 1}` or its bare body.
    Closure(Box<Node>),
    Let {
        name: String,
        value: Box<Node>,
        body: Box<Node>,
    },
}
