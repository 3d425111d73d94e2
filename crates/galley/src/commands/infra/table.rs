//! Columns with colours: padded first, coloured after, so that what cannot be seen takes no room.

use owo_colors::OwoColorize;

use galley_iac::{Action, Change, Plan};

/// Lines of cells, each column as wide as its widest cell.
pub fn padded(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter()
        .map(|row| row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect())
        .collect()
}

/// The plan as a person reads it: a line for each resource, and below what is changed or replaced, why.
pub fn plan(plan: &Plan) -> String {
    let rows: Vec<Vec<String>> = plan
        .changes
        .iter()
        .map(|change| vec![change.action.word().to_owned(), change.address.clone(), what(change)])
        .collect();
    let mut lines = Vec::new();
    for (change, row) in plan.changes.iter().zip(padded(&rows)) {
        lines.push(coloured(change.action, row.join("  ").trim_end()));
        for field in change.fields.iter().take(12) {
            let reason = if field.replaces { "  (cannot be changed as it stands)" } else { "" };
            lines.push(
                format!("           {}: {} -> {}{reason}", field.path, field.old, field.new)
                    .dimmed()
                    .to_string(),
            );
        }
        if change.fields.len() > 12 {
            lines.push(format!("           and {} more", change.fields.len() - 12).dimmed().to_string());
        }
    }
    let (add, change, destroy) = plan.counts();
    let counts = format!("{add} to create, {change} to change, {destroy} to destroy.");
    lines.push(if destroy > 0 { counts.red().bold().to_string() } else { counts });
    lines.join("\n")
}

fn what(change: &Change) -> String {
    let mut words: Vec<String> = change.name.iter().cloned().collect();
    match change.reason.as_str() {
        "replace_because_tainted" => words.push("(was left unfinished)".to_owned()),
        "replace_by_request" => words.push("(as asked)".to_owned()),
        "delete_because_no_resource_config" | "delete_because_each_key" => {
            words.push("(no longer in the configuration)".to_owned())
        }
        _ => {}
    }
    words.join(" ")
}

fn coloured(action: Action, line: &str) -> String {
    match action {
        Action::Replace | Action::Delete => line.red().to_string(),
        Action::Create | Action::Import => line.green().to_string(),
        Action::Update => line.yellow().to_string(),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_even() {
        let rows = padded(&[vec!["a".into(), "bb".into()], vec!["ccc".into(), "d".into()]]);
        assert_eq!(rows, [["a  ", "bb"], ["ccc", "d "]]);
    }
}
