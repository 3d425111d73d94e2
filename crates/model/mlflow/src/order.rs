//! `order_by`: ``metrics.accuracy DESC``, `attributes.start_time`.

use crate::{
    ApiError,
    filter::{self, Entity, Schema},
};

/// Most clauses in one `order_by`.
const MAX_CLAUSES: usize = 20;

/// One clause of an `order_by`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What to order by.
    pub entity: Entity,
    /// Which metric, parameter, tag or attribute.
    pub key: String,
    /// Smallest first.
    pub ascending: bool,
}

/// Reads the clauses for the search that `schema` describes.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for unknown keys and for a key named twice.
pub fn parse(clauses: &[String], schema: &Schema) -> Result<Vec<Order>, ApiError> {
    if clauses.len() > MAX_CLAUSES {
        return Err(ApiError::invalid(format!("`order_by` may have at most {MAX_CLAUSES} clauses.")));
    }
    let mut orders: Vec<Order> = Vec::new();
    for clause in clauses {
        let (word, ascending) = direction(clause.trim());
        let (entity, key) = filter::identifier_of(word, schema, &[schema.order]).map_err(|error| {
            ApiError::invalid(format!("Invalid order_by clause '{clause}'. {}", error.message))
        })?;
        if entity == Entity::Dataset || word.is_empty() {
            return Err(ApiError::invalid(format!("Invalid order_by clause '{clause}'.")));
        }
        if orders.iter().any(|known| known.entity == entity && known.key == key) {
            return Err(ApiError::invalid(format!("`order_by` contains duplicate fields: '{clause}'")));
        }
        orders.push(Order { entity, key, ascending });
    }
    Ok(orders)
}

fn direction(clause: &str) -> (&str, bool) {
    let Some((word, last)) = clause.rsplit_once(char::is_whitespace) else { return (clause, true) };
    if last.eq_ignore_ascii_case("asc") {
        (word.trim_end(), true)
    } else if last.eq_ignore_ascii_case("desc") {
        (word.trim_end(), false)
    } else {
        (clause, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{MODEL_VERSIONS, RUNS};

    #[test]
    fn reads_direction_and_key() {
        let parsed = parse(&["metrics.`val acc` DESC".into(), "start_time".into()], &RUNS).expect("valid");
        assert_eq!(parsed[0], Order { entity: Entity::Metric, key: "val acc".into(), ascending: false });
        assert_eq!(parsed[1], Order { entity: Entity::Attribute, key: "start_time".into(), ascending: true });
        assert!(parse(&["colour".into()], &RUNS).is_err());
        assert!(parse(&["name".into(), "name DESC".into()], &MODEL_VERSIONS).is_err());
    }
}
