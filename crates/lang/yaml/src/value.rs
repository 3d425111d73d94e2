//! Trees become JSON values, and JSON pointers become places.

use galley_problem::{Kind as ProblemKind, Problem};
use serde_json::{Map, Number, Value};

use crate::resolve::Scalar;
use crate::tree::{At, Kind, Node};

/// The JSON value of a node; floats without a fraction become integers, as they do on the way through JSON.
pub(crate) fn to_value(file: &str, node: &Node) -> Result<Value, Problem> {
    Ok(match &node.kind {
        Kind::Sequence(items) => {
            Value::Array(items.iter().map(|item| to_value(file, item)).collect::<Result<_, _>>()?)
        }
        Kind::Mapping(entries) => {
            let mut map = Map::with_capacity(entries.len());
            for entry in entries {
                map.insert(entry.name.to_string(), to_value(file, &entry.value)?);
            }
            Value::Object(map)
        }
        Kind::Scalar { text, scalar, .. } => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => Value::Bool(*value),
            Scalar::Int(value) => Value::from(*value),
            Scalar::Uint(value) => Value::from(*value),
            Scalar::Float(value) => float(*value).map(Value::Number).ok_or_else(|| {
                Problem::new(
                    "G0304",
                    ProblemKind::Invalid,
                    format!("`{text}` is not a number that JSON can hold."),
                )
                .at(file, node.at.0, node.at.1)
                .try_this("Put it in quotes if it is text.")
            })?,
            Scalar::Text => Value::String(text.clone()),
        },
    })
}

/// A float as a JSON number, integral ones as integers.
pub(crate) fn float(value: f64) -> Option<Number> {
    // Up to 2^53 every integral float is exactly one integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// The place of what a JSON pointer names, or of its nearest existing parent; with `key`, the place of its key.
pub(crate) fn locate(root: &Node, pointer: &str, key: bool) -> At {
    let mut found = root.at;
    let mut node = root;
    for token in tokens(pointer) {
        let Some((child, key_at, _)) = node.child(&token) else { break };
        found = if key { key_at } else { child.at };
        node = child;
    }
    found
}

/// The unescaped tokens of a JSON pointer.
pub(crate) fn tokens(pointer: &str) -> impl Iterator<Item = String> + '_ {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}
