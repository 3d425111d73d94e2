//! The one voice: standard output is data, standard error is talk.

use std::io::{IsTerminal, Write};

use galley_problem::Problem;
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::cli::Format;

/// Prints a line of data.
pub fn data(line: &str) {
    let mut out = anstream::stdout().lock();
    // A reader that has gone away (`| head`) is not an error worth a word.
    let _ = writeln!(out, "{line}");
}

/// Prints a line of talk.
pub fn talk(line: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// Whether a person watches standard error.
pub fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Prints a problem: code, place, what, why, what to do.
pub fn problem(problem: &Problem) {
    let mut text = format!("{} {}", format!("error[{}]:", problem.code).red().bold(), problem.what.bold());
    if let Some(place) = &problem.place {
        text.push_str(&format!("\n  {} {place}", "at".dimmed()));
    }
    for cause in &problem.causes {
        text.push_str(&format!("\n  {} {cause}", "because".dimmed()));
    }
    if let Some(remedy) = &problem.remedy {
        text.push_str(&format!("\n  {} {remedy}", "try".green()));
    }
    talk(&text);
}

/// A table whose rows can also be printed as data.
pub struct Table {
    /// Column titles.
    pub columns: Vec<&'static str>,
    /// The columns only shown by `-o wide`.
    pub wide: Vec<&'static str>,
    /// Cells, in the order of `columns` and then `wide`.
    pub rows: Vec<Vec<String>>,
}

/// Prints a list in the asked format. `items` is what `json` and `yaml` show; the first column is the name.
///
/// # Errors
/// G0101 if the items cannot be written, which would be a fault of Galley.
pub fn list<T: Serialize>(format: Format, items: &T, table: Table) -> Result<(), Problem> {
    match format {
        Format::Json | Format::Yaml => object(format, items),
        Format::Name => {
            for row in &table.rows {
                data(row.first().map_or("", String::as_str));
            }
            Ok(())
        }
        Format::Table | Format::Wide => {
            data(&draw(&table, format == Format::Wide));
            Ok(())
        }
    }
}

/// Prints one object as JSON or YAML (YAML for the table formats, too).
///
/// # Errors
/// G0101 if it cannot be written, which would be a fault of Galley.
pub fn object<T: Serialize>(format: Format, value: &T) -> Result<(), Problem> {
    let value = serde_json::to_value(value).map_err(|e| crate::internal("writing an object", &e))?;
    match format {
        Format::Json => {
            data(&serde_json::to_string_pretty(&value).map_err(|e| crate::internal("writing JSON", &e))?)
        }
        _ => data(galley_yaml::to_string(&value).trim_end()),
    }
    Ok(())
}

fn draw(table: &Table, wide: bool) -> String {
    let mut columns = table.columns.clone();
    if wide {
        columns.extend(&table.wide);
    }
    let mut drawn = comfy_table::Table::new();
    drawn.load_style(comfy_table::presets::NOTHING);
    drawn.set_header(columns.iter().map(|title| title.to_uppercase()));
    for row in &table.rows {
        drawn.add_row(row.iter().take(columns.len()));
    }
    for index in 0..columns.len() {
        if let Some(column) = drawn.column_mut(index) {
            column.set_padding((0, 2));
        }
    }
    drawn.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A progress bar on a terminal, after a moment; nothing elsewhere.
pub struct Bar(Option<indicatif::ProgressBar>);

/// A bar that counts `what`.
pub fn bar(what: &'static str) -> Bar {
    Bar(on_terminal().then(|| {
        let bar = indicatif::ProgressBar::new(0);
        let style = indicatif::ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {eta}");
        bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()));
        bar.set_message(what);
        bar
    }))
}

impl Bar {
    /// So many of so many are done.
    pub fn at(&self, done: usize, all: usize) {
        if let Some(bar) = &self.0 {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        }
    }

    /// Takes the bar away.
    pub fn done(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Whether there is a person who can be asked something.
pub fn can_ask() -> bool {
    on_terminal() && std::io::stdin().is_terminal()
}

/// Asks a person for a line; nothing if there is none.
pub fn ask(question: &str) -> Option<String> {
    let mut out = anstream::stderr().lock();
    let _ = write!(out, "{question}");
    let _ = out.flush();
    drop(out);
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer).ok()?;
    (read > 0).then(|| answer.trim().to_owned())
}
