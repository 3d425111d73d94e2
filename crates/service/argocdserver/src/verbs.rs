//! The same as the paths do, for callers in the same process.

use serde_json::{Value, json};

use crate::{Deps, Error, applications, operations, tree};

/// What can be asked for.
#[derive(Clone, Debug)]
pub enum Verb {
    /// Make an Application; with the flag, change one that is there.
    Create(Value, bool),
    /// Delete one, with its objects or without.
    Delete(String, bool),
    /// Begin going back to an entry of the history, with pruning or without.
    Rollback(String, i64, bool),
    /// All objects of one, with what they own.
    Tree(String),
    /// Change fields by a merge patch.
    Patch(String, Value),
}

/// Does it.
///
/// # Errors
/// Refusals as Argo CD words them.
pub async fn ask(deps: &Deps, verb: Verb) -> Result<Value, Error> {
    let answer = match verb {
        Verb::Create(application, upsert) => applications::create(deps, application, upsert).await?,
        Verb::Delete(name, cascade) => {
            let query = [("cascade".to_owned(), cascade.to_string())].into();
            applications::delete(deps, &name, &query).await?
        }
        Verb::Rollback(name, id, prune) => {
            operations::rollback(deps, &name, &json!({"id": id, "prune": prune})).await?
        }
        Verb::Tree(name) => tree::tree(deps, &name).await?,
        Verb::Patch(name, patch) => {
            let body = json!({"patch": patch.to_string(), "patchType": "merge"});
            applications::patch(deps, &name, &body).await?
        }
    };
    Ok(answer.0)
}
