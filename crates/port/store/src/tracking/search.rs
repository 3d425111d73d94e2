//! What all searches share: their request, their page, and the clauses that look the same everywhere.

use galley_mlflow::{
    ApiError, KeyValue, ViewType,
    filter::{Comparison, Operator},
    order::Order,
    page,
};
use rusqlite::{Connection, params_from_iter, types::FromSql};

use super::{Result, query::Query};

/// A search, already parsed and checked.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// What must hold.
    pub filter: Vec<Comparison>,
    /// Which stages.
    pub view: ViewType,
    /// In which order.
    pub order: Vec<Order>,
    /// Results at most.
    pub max_results: u32,
    /// Results to skip.
    pub offset: u64,
}

/// A search for runs.
#[derive(Clone, Debug, Default)]
pub struct RunSearch {
    /// In which experiments.
    pub experiments: Vec<String>,
    /// The rest.
    pub search: Search,
}

/// Some results, and the token of the next page if there are more.
#[derive(Clone, Debug, Default)]
pub struct Page<T> {
    /// The results.
    pub items: Vec<T>,
    /// Token of the next page.
    pub next: Option<String>,
}

impl Search {
    /// Checks `max_results` and reads the page token.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub fn paged(mut self, max_results: i64, limit: i64, token: Option<&str>) -> Result<Self, ApiError> {
        let invalid = |why: String| {
            ApiError::invalid(format!(
                "Invalid value {max_results} for parameter 'max_results' supplied. {why}"
            ))
        };
        if max_results < 1 {
            return Err(invalid("It must be a positive integer".into()));
        }
        if max_results > limit {
            return Err(invalid(format!("It must be at most {limit}")));
        }
        self.max_results = u32::try_from(max_results).unwrap_or(u32::MAX);
        self.offset = page::offset(token)?;
        Ok(self)
    }

    /// Runs the query and returns the keys of one page, and of one row more if there is one.
    pub(super) fn ids<K: FromSql>(&self, c: &Connection, mut query: Query) -> Result<Vec<K>> {
        query.push(" LIMIT ").bind(i64::from(self.max_results) + 1);
        query.push(" OFFSET ").bind(i64::try_from(self.offset).unwrap_or(i64::MAX));
        let mut statement = c.prepare(&query.sql)?;
        let rows = statement.query_map(params_from_iter(query.args), |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Loads the objects of one page.
    pub(super) fn page<K, T>(&self, ids: Vec<K>, load: impl FnMut(&K) -> Result<T>) -> Result<Page<T>> {
        let wanted = self.max_results as usize;
        let more = ids.len() > wanted;
        Ok(Page {
            items: ids.iter().take(wanted).map(load).collect::<Result<_>>()?,
            next: more.then(|| page::token(self.offset + u64::from(self.max_results))),
        })
    }
}

/// `column` is one of the stages.
pub(super) fn stages(query: &mut Query, column: &str, view: ViewType) {
    query.push(match view {
        ViewType::All => "1",
        _ => column,
    });
    match view {
        ViewType::All => {}
        ViewType::ActiveOnly => drop(query.push(" = 'active'")),
        ViewType::DeletedOnly => drop(query.push(" = 'deleted'")),
    }
}

/// A tag or parameter compares so; only `IS NULL` holds where the key is absent. The table is called `x`.
pub(super) fn tag_filter<'q>(
    query: &'q mut Query,
    table: &str,
    join: &str,
    comparison: &Comparison,
) -> &'q mut Query {
    let Comparison { key, operator, operand, .. } = comparison;
    if *operator == Operator::IsNull {
        query.push("NOT ");
    }
    query.push("EXISTS (SELECT 1 FROM ").push(table).push(" x WHERE ").push(join).push(" AND x.key = ");
    query.bind(key.clone());
    if !matches!(operator, Operator::IsNull | Operator::IsNotNull) {
        query.push(" AND ").compare("x.value", *operator, operand);
    }
    query.push(")")
}

/// Tags by key, the last of a key wins.
pub(super) fn last_of_each(tags: Vec<KeyValue>) -> Vec<KeyValue> {
    let mut kept: Vec<KeyValue> = Vec::with_capacity(tags.len());
    for tag in tags {
        match kept.iter_mut().find(|known| known.key == tag.key) {
            Some(known) => *known = tag,
            None => kept.push(tag),
        }
    }
    kept
}
