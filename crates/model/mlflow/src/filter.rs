//! MLflow's search language: comparisons joined by `AND`, such as
//! ``metrics.accuracy > 0.8 AND tags.`galley.commit` = 'abc'``.
//!
//! One grammar serves all searches; a [`Schema`] says which entities and attributes a particular search knows. The
//! result is a list of [`Comparison`]s that a store turns into a query. Nothing here evaluates.

mod lexer;
mod parser;
mod schema;

pub(crate) use parser::identifier_of;
pub use parser::parse;
pub use schema::{EXPERIMENTS, LOGGED_MODELS, MODEL_VERSIONS, REGISTERED_MODELS, RUNS, Schema};

/// What a comparison is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// A column of the object itself.
    Attribute,
    /// The latest value of a metric.
    Metric,
    /// A parameter.
    Param,
    /// A tag.
    Tag,
    /// A data set that was an input.
    Dataset,
}

impl Entity {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Entity::Attribute => "attribute",
            Entity::Metric => "metric",
            Entity::Param => "parameter",
            Entity::Tag => "tag",
            Entity::Dataset => "dataset",
        }
    }
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `LIKE`, case-sensitive, with `%` and `_`.
    Like,
    /// `ILIKE`, the same without regard to case.
    ILike,
    /// `IN`
    In,
    /// `NOT IN`
    NotIn,
    /// `IS NULL`: the key is absent.
    IsNull,
    /// `IS NOT NULL`: the key is present.
    IsNotNull,
}

impl Operator {
    /// The operator as it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Like => "LIKE",
            Operator::ILike => "ILIKE",
            Operator::In => "IN",
            Operator::NotIn => "NOT IN",
            Operator::IsNull => "IS NULL",
            Operator::IsNotNull => "IS NOT NULL",
        }
    }

    /// Orders numbers; has no meaning for text.
    pub const fn is_ordering(self) -> bool {
        matches!(self, Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual)
    }
}

/// The right side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A quoted text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number with a point or an exponent.
    Float(f64),
    /// A list of quoted texts, for `IN`.
    List(Vec<String>),
    /// Nothing, for `IS NULL`.
    Nothing,
}

/// One comparison of a filter; all of them must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What it is about.
    pub entity: Entity,
    /// Which metric, parameter, tag or attribute.
    pub key: String,
    /// How.
    pub operator: Operator,
    /// With what.
    pub operand: Operand,
}

/// Writes a text as a quoted literal of the search language, so that [`parse`] and MLflow read it back unchanged.
/// `None` if it holds both kinds of quotes, which MLflow's language cannot express.
///
/// ```
/// assert_eq!(galley_mlflow::filter::quote("it's"), Some("\"it's\"".to_owned()));
/// ```
pub fn quote(text: &str) -> Option<String> {
    match (text.contains('\''), text.contains('"')) {
        (false, _) => Some(format!("'{text}'")),
        (true, false) => Some(format!("\"{text}\"")),
        (true, true) => None,
    }
}
