//! The sprig and Helm function library as pure functions.
//!
//! Templates call these functions by name with [`Value`]s; [`find`] looks one up. Nothing here knows the clock, the
//! environment or the disk: the time and randomness come in through a [`Context`], and functions that need them fail
//! with a clear message where none was given. Functions that need a template engine (`include`, `tpl`) live there.

pub mod print;
pub mod value;

mod case;
mod chart;
mod codec;
mod dates;
mod dicts;
mod encode;
mod flow;
mod function;
mod lists;
mod math;
mod paths;
mod quote;
pub mod raw;
mod regexes;
mod semver;
mod strings;
mod time;
mod toml;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use codec::{to_json, to_json_value};
pub use function::{Context, Function, MAX_SIZE, Param, Random, Run};
pub use time::Time;
pub use value::Value;

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    static TABLE: LazyLock<HashMap<&'static str, &'static Function>> =
        LazyLock::new(|| tables().map(|function| (function.name, function)).collect());
    TABLE.get(name).copied()
}

/// The names of all functions, in order.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = tables().map(|function| function.name).collect();
    names.sort_unstable();
    names
}

/// Later tables win.
fn tables() -> impl Iterator<Item = &'static Function> {
    [
        strings::FUNCTIONS,
        lists::FUNCTIONS,
        dicts::FUNCTIONS,
        math::FUNCTIONS,
        encode::FUNCTIONS,
        flow::FUNCTIONS,
        dates::FUNCTIONS,
        regexes::FUNCTIONS,
        semver::FUNCTIONS,
        paths::FUNCTIONS,
        chart::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let names = names();
        let mut unique = names.clone();
        unique.dedup();
        assert_eq!(names, unique);
    }

    #[test]
    fn very_deep_values_are_dropped_and_printed() {
        let mut value = Value::Nil;
        for _ in 0..200_000 {
            value = Value::Map(value::Map::new([("k".into(), value)].into_iter().collect()));
        }
        assert!(print::show(&value).len() > 1000);
        assert!(to_json(&value).is_err());
        assert!(!value.deep_equal(&Value::Nil));
    }
}
