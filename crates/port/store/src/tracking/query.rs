//! A query under construction: SQL with its arguments, and the comparisons of the search language in SQL.
//!
//! Keys and values only ever travel as arguments; the SQL text is made of this module's own words.

use galley_mlflow::filter::{Operand, Operator};
use rusqlite::types::Value;

/// SQL and its arguments.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) args: Vec<Value>,
}

impl Query {
    pub(super) fn new(sql: &str) -> Self {
        Query { sql: sql.to_owned(), args: Vec::new() }
    }

    pub(super) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    pub(super) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.sql.push('?');
        self.args.push(value.into());
        self
    }

    /// `(?, ?, ...)`
    pub(super) fn bind_list<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        self.push("(");
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
        self.push(")")
    }

    /// A comparison of the column (or expression) `column`. The parser has made sure that operator and operand fit.
    pub(super) fn compare(&mut self, column: &str, operator: Operator, operand: &Operand) -> &mut Self {
        match (operator, operand) {
            (Operator::IsNull, _) => self.push(column).push(" IS NULL"),
            (Operator::IsNotNull, _) => self.push(column).push(" IS NOT NULL"),
            (Operator::In, Operand::List(list)) => {
                self.push(column).push(" IN ").bind_list(list.iter().cloned())
            }
            (Operator::NotIn, Operand::List(list)) => {
                self.push(column).push(" NOT IN ").bind_list(list.iter().cloned())
            }
            // SQLite's LIKE knows no case; its GLOB does.
            (Operator::Like, Operand::Text(pattern)) => self.push(column).push(" GLOB ").bind(glob(pattern)),
            (Operator::ILike, Operand::Text(pattern)) => {
                self.push(column).push(" LIKE ").bind(pattern.clone())
            }
            (operator, operand) => {
                self.push(column).push(" ").push(operator.name()).push(" ").bind(value(operand))
            }
        }
    }
}

fn value(operand: &Operand) -> Value {
    match operand {
        Operand::Text(text) => Value::Text(text.clone()),
        Operand::Int(number) => Value::Integer(*number),
        Operand::Float(number) => Value::Real(*number),
        Operand::List(_) | Operand::Nothing => Value::Null,
    }
}

/// The GLOB pattern that means the same as a LIKE pattern.
fn glob(like: &str) -> String {
    let mut pattern = String::with_capacity(like.len());
    for c in like.chars() {
        match c {
            '%' => pattern.push('*'),
            '_' => pattern.push('?'),
            '*' | '?' | '[' => pattern.extend(['[', c, ']']),
            c => pattern.push(c),
        }
    }
    pattern
}
