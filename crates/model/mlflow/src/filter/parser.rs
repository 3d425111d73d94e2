//! From tokens to comparisons, with the checks and messages of MLflow.

use super::{
    Comparison, Entity, Operand, Operator, Schema,
    lexer::{Token, tokens},
};
use crate::ApiError;

/// Most comparisons in one filter.
const MAX_COMPARISONS: usize = 100;

/// Reads a filter for the search that `schema` describes. An empty filter holds for everything.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` with the clause that is wrong.
pub fn parse(filter: &str, schema: &Schema) -> Result<Vec<Comparison>, ApiError> {
    let tokens = tokens(filter)?;
    let mut parser = Parser { tokens: &tokens, at: 0, schema };
    let mut comparisons = Vec::new();
    while parser.at < tokens.len() {
        comparisons.push(parser.comparison()?);
        if comparisons.len() > MAX_COMPARISONS {
            return Err(ApiError::invalid(format!("A filter may have at most {MAX_COMPARISONS} clauses.")));
        }
        match parser.next() {
            None => break,
            Some(token) if token.is("and") && parser.at < tokens.len() => {}
            Some(token) => return Err(clause(&token.shown())),
        }
    }
    Ok(comparisons)
}

/// The entity and key that an identifier names, with aliases resolved.
pub(crate) fn identifier_of(
    word: &str,
    schema: &Schema,
    known: &[&[&str]],
) -> Result<(Entity, String), ApiError> {
    let (entity, key) = match word.split_once('.') {
        _ if word.starts_with('`') || word.starts_with('"') => (Entity::Attribute, word),
        None => (Entity::Attribute, word),
        Some((prefix, key)) => {
            let prefix = unquoted(prefix);
            let entity = schema.prefixes.iter().find(|(name, _)| *name == prefix).map(|(_, entity)| *entity);
            (entity.ok_or_else(|| unknown_entity(prefix, schema))?, key)
        }
    };
    let key = unquoted(key);
    if entity == Entity::Dataset && !["name", "digest", "context"].contains(&key) {
        return Err(ApiError::invalid(format!(
            "Invalid dataset key '{key}' specified. Valid keys are 'name', 'digest', 'context'"
        )));
    }
    if entity != Entity::Attribute {
        return Ok((entity, key.to_owned()));
    }
    let key = schema.aliases.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| *name);
    if known.iter().any(|names| names.contains(&key)) {
        return Ok((entity, key.to_owned()));
    }
    let valid: Vec<&str> = known.iter().flat_map(|names| names.iter().copied()).collect();
    Err(ApiError::invalid(format!(
        "Invalid attribute key '{key}' specified. Valid keys are '{}'",
        valid.join("', '")
    )))
}

fn unquoted(text: &str) -> &str {
    for quote in ['`', '"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

fn unknown_entity(prefix: &str, schema: &Schema) -> ApiError {
    let valid: Vec<&str> = schema.prefixes.iter().map(|(name, _)| *name).collect();
    ApiError::invalid(format!("Invalid entity type '{prefix}'. Valid values are '{}'", valid.join("', '")))
}

fn clause(shown: &str) -> ApiError {
    ApiError::invalid(format!("Invalid clause(s) in filter string: '{shown}'"))
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    schema: &'a Schema,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    fn expect(&mut self, what: &str) -> Result<&'a Token, ApiError> {
        self.next().ok_or_else(|| {
            ApiError::invalid(format!("Invalid clause(s) in filter string: {what} is missing at the end"))
        })
    }

    fn comparison(&mut self) -> Result<Comparison, ApiError> {
        let Token::Word(word) = self.expect("a name")? else {
            return Err(clause(&self.tokens[self.at - 1].shown()));
        };
        let (entity, key) = identifier_of(word, self.schema, &[self.schema.text, self.schema.numbers])?;
        let operator = self.operator()?;
        self.check_operator(entity, &key, operator)?;
        let operand = match operator {
            Operator::IsNull | Operator::IsNotNull => Operand::Nothing,
            Operator::In | Operator::NotIn => Operand::List(self.list()?),
            _ => self.value(entity, &key)?,
        };
        Ok(Comparison { entity, key, operator, operand })
    }

    fn operator(&mut self) -> Result<Operator, ApiError> {
        let token = self.expect("a comparison")?;
        match token {
            Token::Symbol(symbol) => match symbol.as_str() {
                "=" => Ok(Operator::Equal),
                "!=" => Ok(Operator::NotEqual),
                "<" => Ok(Operator::Less),
                "<=" => Ok(Operator::LessOrEqual),
                ">" => Ok(Operator::Greater),
                ">=" => Ok(Operator::GreaterOrEqual),
                other => Err(ApiError::invalid(format!("Invalid comparator '{other}'"))),
            },
            token if token.is("like") => Ok(Operator::Like),
            token if token.is("ilike") => Ok(Operator::ILike),
            token if token.is("in") => Ok(Operator::In),
            token if token.is("not") => match self.expect("IN")? {
                token if token.is("in") => Ok(Operator::NotIn),
                other => Err(clause(&other.shown())),
            },
            token if token.is("is") => match self.expect("NULL")? {
                token if token.is("null") => Ok(Operator::IsNull),
                token if token.is("not") => match self.expect("NULL")? {
                    token if token.is("null") => Ok(Operator::IsNotNull),
                    other => Err(clause(&other.shown())),
                },
                other => Err(clause(&other.shown())),
            },
            other => Err(clause(&other.shown())),
        }
    }

    fn is_number(&self, entity: Entity, key: &str) -> bool {
        entity == Entity::Metric || (entity == Entity::Attribute && self.schema.numbers.contains(&key))
    }

    fn check_operator(&self, entity: Entity, key: &str, operator: Operator) -> Result<(), ApiError> {
        let fits = match operator {
            Operator::Equal | Operator::NotEqual => true,
            Operator::Like | Operator::ILike => !self.is_number(entity, key),
            Operator::IsNull | Operator::IsNotNull => self.schema.nullable.contains(&entity),
            Operator::In | Operator::NotIn => match entity {
                Entity::Attribute
                    if !self.schema.lists.contains(&key) && !self.schema.numbers.contains(&key) =>
                {
                    return Err(ApiError::invalid(format!(
                        "Only the attributes '{}' support comparison with a list of quoted string values.",
                        self.schema.lists.join("', '")
                    )));
                }
                Entity::Attribute => self.schema.lists.contains(&key),
                Entity::Dataset => true,
                Entity::Metric => false,
                Entity::Param | Entity::Tag => self.schema.lists_everywhere,
            },
            _ => self.is_number(entity, key),
        };
        // An experiment's id looks like a number and is stored as one, but has no order or pattern of its own.
        let fits = fits && !(key == "experiment_id" && matches!(operator, Operator::Like | Operator::ILike));
        if fits {
            return Ok(());
        }
        Err(ApiError::invalid(format!(
            "Invalid comparator '{}' for {} '{key}'",
            operator.name(),
            entity.name()
        )))
    }

    fn value(&mut self, entity: Entity, key: &str) -> Result<Operand, ApiError> {
        let token = self.expect("a value")?;
        if self.is_number(entity, key) {
            return match token {
                Token::Number(text) => number(text),
                other => Err(ApiError::invalid(format!(
                    "Expected numeric value type for {} '{key}'. Found {}",
                    entity.name(),
                    other.shown()
                ))),
            };
        }
        match token {
            Token::Text(text) => Ok(Operand::Text(text.clone())),
            Token::Open => Err(ApiError::invalid(format!(
                "Only 'IN' and 'NOT IN' compare {} '{key}' with a list of quoted string values.",
                entity.name()
            ))),
            other => Err(ApiError::invalid(format!(
                "Expected a quoted string value for {} (e.g. 'my-value'). Got value {}",
                entity.name(),
                other.shown()
            ))),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, ApiError> {
        let wrong = |token: &Token| {
            ApiError::invalid(format!(
                "While parsing a list in the query, expected string value, punctuation, or whitespace, but got {}",
                token.shown()
            ))
        };
        match self.expect("a list")? {
            Token::Open => {}
            other => return Err(wrong(other)),
        }
        let mut values = Vec::new();
        loop {
            match self.expect("`)`")? {
                Token::Text(text) => values.push(text.clone()),
                Token::Close if values.is_empty() => {
                    return Err(ApiError::invalid(
                        "While parsing a list in the query, expected a non-empty list of string values, but got empty \
                         list",
                    ));
                }
                // A comma may stand before the closing parenthesis, as in Python.
                Token::Close => return Ok(values),
                other => return Err(wrong(other)),
            }
            match self.expect("`)`")? {
                Token::Comma => {}
                Token::Close => return Ok(values),
                other => return Err(wrong(other)),
            }
        }
    }
}

fn number(text: &str) -> Result<Operand, ApiError> {
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(Operand::Int(whole));
    }
    text.parse::<f64>()
        .map(Operand::Float)
        .map_err(|_| ApiError::invalid(format!("Expected numeric value type. Found {text}")))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{EXPERIMENTS, LOGGED_MODELS, MODEL_VERSIONS, RUNS},
        *,
    };

    fn check(filter: &str, expected: &[(Entity, &str, Operator, Operand)]) {
        let expected: Vec<Comparison> = expected
            .iter()
            .map(|(entity, key, operator, operand)| Comparison {
                entity: *entity,
                key: (*key).to_owned(),
                operator: *operator,
                operand: operand.clone(),
            })
            .collect();
        assert_eq!(parse(filter, &RUNS), Ok(expected), "{filter}");
    }

    fn text(value: &str) -> Operand {
        Operand::Text(value.to_owned())
    }

    #[test]
    fn reads_what_mlflow_reads() {
        check("", &[]);
        check("  ", &[]);
        check(
            "metrics.acc > 0.8 and params.lr = '0.1'",
            &[
                (Entity::Metric, "acc", Operator::Greater, Operand::Float(0.8)),
                (Entity::Param, "lr", Operator::Equal, text("0.1")),
            ],
        );
        check("tags.`a b/c` != \"it's\"", &[(Entity::Tag, "a b/c", Operator::NotEqual, text("it's"))]);
        check(
            "tags.\"mlflow.runName\" ilike '%X_'",
            &[(Entity::Tag, "mlflow.runName", Operator::ILike, text("%X_"))],
        );
        check("tags.mlflow.runName = 'x'", &[(Entity::Tag, "mlflow.runName", Operator::Equal, text("x"))]);
        check(
            "metrics.loss <= -1.5e-3",
            &[(Entity::Metric, "loss", Operator::LessOrEqual, Operand::Float(-1.5e-3))],
        );
        check("status = 'FINISHED'", &[(Entity::Attribute, "status", Operator::Equal, text("FINISHED"))]);
        check(
            "attributes.created >= 1700",
            &[(Entity::Attribute, "start_time", Operator::GreaterOrEqual, Operand::Int(1700))],
        );
        check(
            "run_id NOT IN ('a', 'b')",
            &[(Entity::Attribute, "run_id", Operator::NotIn, Operand::List(vec!["a".into(), "b".into()]))],
        );
        check(
            "run_id in ('a',)",
            &[(Entity::Attribute, "run_id", Operator::In, Operand::List(vec!["a".into()]))],
        );
        check(
            "params.x IS NULL AND tags.y is not null",
            &[
                (Entity::Param, "x", Operator::IsNull, Operand::Nothing),
                (Entity::Tag, "y", Operator::IsNotNull, Operand::Nothing),
            ],
        );
        check("dataset.name = 'food-11'", &[(Entity::Dataset, "name", Operator::Equal, text("food-11"))]);
    }

    #[test]
    fn says_what_is_wrong() {
        for (filter, part) in [
            ("metrics.acc > 'x'", "Expected numeric value"),
            ("params.lr = 0.1", "Expected a quoted string value"),
            ("params.lr > '1'", "Invalid comparator '>'"),
            ("metrics.acc LIKE 'x'", "Invalid comparator 'LIKE'"),
            ("status IN ('x')", "support comparison with a list"),
            ("colour = 'red'", "Invalid attribute key 'colour'"),
            ("things.x = 'y'", "Invalid entity type 'things'"),
            ("params.x = 'a' OR params.y = 'b'", "'OR'"),
            ("params.x = 'a' AND", "'AND'"),
            ("params.x = 'a", "not closed"),
            ("params.x =", "missing at the end"),
            ("run_id IN ()", "non-empty list"),
            ("metrics.acc IS NULL", "Invalid comparator 'IS NULL'"),
            ("dataset.size = '1'", "Invalid dataset key"),
            ("; DROP TABLE runs", "';'"),
        ] {
            let error = parse(filter, &RUNS).expect_err(filter);
            assert!(error.message.contains(part), "{filter}: {}", error.message);
        }
    }

    #[test]
    fn each_search_has_its_own_names() {
        assert!(parse("name = 'm' AND version_number = 3", &MODEL_VERSIONS).is_ok());
        assert!(parse("metrics.x > 1", &MODEL_VERSIONS).is_err());
        assert!(parse("name ILIKE 'food%' AND tags.team IS NULL", &EXPERIMENTS).is_ok());
        assert!(parse("experiment_id LIKE '1%'", &EXPERIMENTS).is_err());
        assert!(parse("name IN ('a') AND metrics.acc > 0.5 AND tags.x IN ('y')", &LOGGED_MODELS).is_ok());
    }
}
