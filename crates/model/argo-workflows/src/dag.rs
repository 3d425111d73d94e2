//! Which tasks a task waits for, and under what condition.

use std::collections::HashSet;

use indexmap::IndexMap;

use crate::template::{Dag, DagTask};

/// How a task is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// By its own result.
    Task,
    /// By the results of the tasks it became (`AnySucceeded`, `AllFailed`).
    Items,
}

/// A word of a `depends` expression that names a task, with the result it asks for, if any.
struct Mention<'a> {
    start: usize,
    end: usize,
    task: &'a str,
    result: Option<&'a str>,
}

fn mentions(text: &str) -> Vec<Mention<'_>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        let start = at + offset;
        let length = text[start..].find(|c| !is_word(c)).unwrap_or(text.len() - start);
        let task = &text[start..start + length];
        let mut end = start + length;
        let mut result = None;
        if text[end..].starts_with('.') {
            let after = &text[end + 1..];
            let length = after.find(|c| !is_word(c)).unwrap_or(after.len());
            result = Some(&after[..length]);
            end += 1 + length;
        }
        found.push(Mention { start, end, task, result });
        at = end;
    }
    found
}

/// The tasks that a task names in `dependencies` or `depends`, in order of first mention.
pub fn dependencies_of(task: &DagTask) -> IndexMap<String, Dependency> {
    let mut found: IndexMap<String, Dependency> =
        task.dependencies.iter().map(|name| (name.clone(), Dependency::Task)).collect();
    for mention in mentions(task.depends.as_deref().unwrap_or_default()) {
        let by_items = matches!(mention.result, Some("AnySucceeded" | "AllFailed"));
        let kind = found.entry(mention.task.to_owned()).or_insert(Dependency::Task);
        if by_items {
            *kind = Dependency::Items;
        }
    }
    found
}

/// The results that a `depends` expression asks for and that do not exist.
pub(crate) fn unknown_results(task: &DagTask) -> Option<(String, String)> {
    const KNOWN: [&str; 8] =
        ["Succeeded", "Failed", "Skipped", "Omitted", "Errored", "Daemoned", "AnySucceeded", "AllFailed"];
    mentions(task.depends.as_deref().unwrap_or_default()).into_iter().find_map(|mention| {
        let result = mention.result?;
        (!KNOWN.contains(&result)).then(|| (mention.task.to_owned(), result.to_owned()))
    })
}

/// The condition of a task as an expression over results, bare names expanded; empty when it waits for nothing.
/// `find` gives the tasks of the DAG by name.
pub fn depends_logic<'a>(task: &DagTask, find: impl Fn(&str) -> Option<&'a DagTask>) -> String {
    let expand = |name: &str| {
        let mut results = vec!["Succeeded", "Skipped", "Daemoned"];
        if let Some(on) = find(name).and_then(|task| task.step.continue_on) {
            results.extend(on.error.then_some("Errored"));
            results.extend(on.failed.then_some("Failed"));
        }
        format!(
            "({})",
            results.iter().map(|result| format!("{name}.{result}")).collect::<Vec<_>>().join(" || ")
        )
    };
    let Some(depends) = task.depends.as_deref().filter(|text| !text.is_empty()) else {
        return task.dependencies.iter().map(|name| expand(name)).collect::<Vec<_>>().join(" && ");
    };
    let mut logic = String::new();
    let mut at = 0;
    for mention in mentions(depends).into_iter().filter(|mention| mention.result.is_none()) {
        logic.push_str(&depends[at..mention.start]);
        logic.push_str(&expand(mention.task));
        at = mention.end;
    }
    logic.push_str(&depends[at..]);
    logic
}

/// The tasks that no other waits for, by name.
pub fn leaf_tasks(dag: &Dag) -> Vec<String> {
    let waited: HashSet<String> =
        dag.tasks.iter().flat_map(|task| dependencies_of(task).into_keys()).collect();
    let mut leaves: Vec<String> =
        dag.tasks.iter().map(|task| task.step.name.clone()).filter(|name| !waited.contains(name)).collect();
    leaves.sort();
    leaves.dedup();
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{ContinueOn, Step};

    fn task(name: &str, depends: &str) -> DagTask {
        DagTask {
            step: Step { name: name.to_owned(), ..Step::default() },
            depends: Some(depends.to_owned()),
            ..DagTask::default()
        }
    }

    #[test]
    fn bare_names_are_expanded_and_results_kept() {
        let last = task("last", "a-1 && !(b.Failed || c.AnySucceeded)");
        let dag = Dag {
            tasks: vec![task("a-1", ""), task("b", ""), task("c", ""), last.clone()],
            ..Dag::default()
        };
        assert_eq!(
            depends_logic(&last, |name| dag.tasks.iter().find(|task| task.step.name == name)),
            "(a-1.Succeeded || a-1.Skipped || a-1.Daemoned) && !(b.Failed || c.AnySucceeded)"
        );
        let found: Vec<_> = dependencies_of(&last).into_iter().collect();
        assert_eq!(
            found,
            [
                ("a-1".into(), Dependency::Task),
                ("b".into(), Dependency::Task),
                ("c".into(), Dependency::Items)
            ]
        );
        assert_eq!(leaf_tasks(&dag), ["last"]);
    }

    #[test]
    fn lists_respect_continue_on() {
        let mut first = task("a", "");
        first.step.continue_on = Some(ContinueOn { failed: true, error: false });
        let second = DagTask { dependencies: vec!["a".into()], ..task("b", "") };
        let dag = Dag { tasks: vec![first, second.clone()], ..Dag::default() };
        let find = |name: &str| dag.tasks.iter().find(|task| task.step.name == name);
        assert_eq!(depends_logic(&second, find), "(a.Succeeded || a.Skipped || a.Daemoned || a.Failed)");
    }
}
