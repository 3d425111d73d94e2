//! Which variables an expression reads: needed to tell "not known yet" from "wrong".

use crate::ExprError;
use crate::ast::Node;
use crate::parser::parse;

/// Every variable path an expression mentions, prefixes included: `a.b.c` gives `a`, `a.b` and `a.b.c`.
///
/// # Errors
/// The parse error of the expression.
pub fn names_of(source: &str) -> Result<Vec<String>, ExprError> {
    let mut found = Vec::new();
    walk(&parse(source)?, &mut found);
    found.sort();
    found.dedup();
    Ok(found)
}

/// The dotted path of a chain of constant members that begins with a name.
fn path(node: &Node) -> Option<String> {
    match node {
        Node::Name(name) => Some(name.clone()),
        Node::Member { object, key, .. } => match key.as_ref() {
            Node::Literal(serde_json::Value::String(key)) => {
                path(object).map(|object| format!("{object}.{key}"))
            }
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn walk(node: &Node, found: &mut Vec<String>) {
    if let Some(path) = path(node) {
        found.push(path);
    }
    match node {
        Node::Literal(_) | Node::Name(_) | Node::Pointer | Node::Accumulator => {}
        Node::Member { object, key, .. } => {
            walk(object, found);
            walk(key, found);
        }
        Node::Slice { object, from, to } => {
            walk(object, found);
            from.iter().chain(to).for_each(|node| walk(node, found));
        }
        Node::Call { name, args } => {
            if !crate::builtin::is_known(name) {
                found.push(name.clone());
            }
            args.iter().for_each(|node| walk(node, found));
        }
        Node::Array(args) => args.iter().for_each(|node| walk(node, found)),
        Node::Method { object, args, .. } => {
            if !matches!(object.as_ref(), Node::Name(name) if name == "sprig") {
                walk(object, found);
            }
            args.iter().for_each(|node| walk(node, found));
        }
        Node::Unary { of, .. } | Node::Closure(of) => walk(of, found),
        Node::Binary { left, right, .. } => {
            walk(left, found);
            walk(right, found);
        }
        Node::Ternary { condition, then, otherwise } => {
            [condition, then, otherwise].into_iter().for_each(|node| walk(node, found));
        }
        Node::Map(entries) => entries.iter().for_each(|(key, value)| {
            walk(key, found);
            walk(value, found);
        }),
        Node::Let { name, value, body } => {
            walk(value, found);
            let mut inner = Vec::new();
            walk(body, &mut inner);
            found.extend(inner.into_iter().filter(|path| path.split('.').next() != Some(name)));
        }
    }
}
