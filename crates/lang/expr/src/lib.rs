//! The expressions of workflows.
//!
//! Three small languages meet in a workflow file and each has its module:
//!
//! - [`when`]: conditions of steps and tasks, in the grammar of govaluate as Argo uses it (bare words are strings);
//! - [`eval`]: the expr-lang subset behind `{{=...}}`, `expression:`, `depends:` and retry conditions;
//! - [`substitute`]: `{{name}}` and `{{=expression}}` tags inside any JSON value.
//!
//! Everything here is pure: no clock, no disk, no randomness. Values are [`serde_json::Value`]; they are printed as
//! Go prints JSON ([`go_json`]), because people compare with what Argo writes.

mod ast;
mod builtin;
mod eval;
mod gojson;
mod jsonpath;
mod lexer;
mod names;
mod parser;
mod sprig;
mod tags;
mod when;

pub use builtin::decode_base64;
pub use eval::{Env, env_from, eval, eval_bool};
pub use gojson::{go_json, go_number};
pub use jsonpath::json_path;
pub use names::names_of;
pub use tags::{Mode, TagError, substitute, substitute_text, tags_of};
pub use when::{WhenError, when};

/// The name under which an environment holds the moment of the evaluation (RFC 3339), for functions of time. No
/// expression can write it.
pub const NOW: &str = "$now";

/// What went wrong with an expression; the text is the one expr-lang gives, with the place inside the expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExprError(pub String);

impl ExprError {
    /// An error at a byte offset of `source`, with the line drawn beneath as expr-lang does.
    fn at(source: &str, offset: usize, what: &str) -> Self {
        let before = &source[..source.floor_char_boundary(offset.min(source.len()))];
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or("").chars().count();
        let text = source.lines().nth(line).unwrap_or("");
        ExprError(format!("{what} ({}:{})\n | {text}\n | {}^", line + 1, column + 1, ".".repeat(column)))
    }
}
