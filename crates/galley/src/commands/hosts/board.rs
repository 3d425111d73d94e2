//! What a person sees while a playbook runs: on a terminal a line for each host with its role and task, elsewhere a line for
//! each thing that is changed or fails; at the end a table host by role.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use galley_iac::ansible::{Board, Event, Outcome};
use galley_problem::Problem;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;
use serde::Serialize;

use super::play::aside;
use crate::{
    cli::{Format, Global},
    commands::infra::padded,
    voice,
};

/// The screen.
pub struct Screen {
    verbose: u8,
    quiet: bool,
    diff: bool,
    bars: Option<MultiProgress>,
    hosts: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Screen {
    /// A screen; only a terminal gets bars.
    pub fn new(global: &Global, diff: bool) -> Screen {
        let bars = (voice::on_terminal() && !global.quiet).then(MultiProgress::new);
        Screen { verbose: global.verbose, quiet: global.quiet, diff, bars, hosts: Mutex::default() }
    }

    fn say(&self, line: &str) {
        match &self.bars {
            _ if self.quiet => {}
            Some(bars) => bars.suspend(|| voice::talk(line)),
            None => voice::talk(line),
        }
    }

    /// The exact command, with `-v`.
    pub fn command(&self, shown: &str) {
        if self.verbose > 0 {
            self.say(&aside(&format!("+ {shown}")));
        }
    }

    /// Takes an event in.
    pub fn event(&self, event: &Event, board: &Board) {
        match event {
            Event::Play { name, check } => {
                let only = if *check { " (only looking)" } else { "" };
                self.say(&format!("{}{only}", name.bold()));
            }
            Event::Result { host, outcome, task, detail, .. } => {
                let role = task.role.as_deref().unwrap_or("-");
                self.show(host, role, &task.name, board);
                let line = |word: &str| format!("  {word:<11} {host}  {role}: {}", task.name);
                match outcome {
                    Outcome::Changed => {
                        self.say(&line("changed").yellow().to_string());
                        if self.diff && !detail.diff.is_empty() {
                            self.say(&aside(&detail.diff));
                        }
                    }
                    Outcome::Failed => self.say(&line("failed").red().to_string()),
                    Outcome::Unreachable => self.say(&line("unreachable").red().to_string()),
                    Outcome::Retry if self.verbose > 0 => self.say(&aside(&line("again"))),
                    Outcome::Ok if !detail.message.is_empty() => {
                        self.say(&line("says"));
                        self.say(&format!("              {}", detail.message));
                    }
                    Outcome::Ok if self.verbose > 1 => self.say(&aside(&line("ok"))),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn show(&self, host: &str, role: &str, task: &str, board: &Board) {
        let Some(bars) = &self.bars else { return };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = hosts.entry(host.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {prefix:<10} {wide_msg} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(host.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let cells = board.hosts.get(host).into_iter().flatten().map(|(_, cell)| cell);
        let (done, changed) =
            cells.fold((0, 0), |(done, changed), cell| (done + cell.done, changed + cell.changed));
        bar.set_message(format!("{role}: {task} ({done} done, {changed} changed)"));
    }

    /// Takes the bars away.
    pub fn close(&self) {
        for bar in self.hosts.lock().unwrap_or_else(PoisonError::into_inner).values() {
            bar.finish_and_clear();
        }
    }
}

/// The result for programs.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    board: &'a Board,
    total_seconds: f64,
}

/// Prints the table host by role, with the time of each role.
pub fn print(format: Format, board: &Board, took: Duration) -> Result<(), Problem> {
    if matches!(format, Format::Json | Format::Yaml) {
        return voice::object(format, &Report { board, total_seconds: took.as_secs_f64() });
    }
    if board.hosts.is_empty() {
        return Ok(());
    }
    let mut rows = vec![vec!["ROLE".to_owned(), "TIME".to_owned()]];
    rows[0].extend(board.hosts.keys().map(|host| host.to_uppercase()));
    for role in &board.roles {
        let seconds = board.seconds.get(role).copied().unwrap_or_default();
        let mut row = vec![role.clone(), galley_units::format_duration(Duration::from_secs_f64(seconds))];
        row.extend(board.hosts.values().map(|cells| {
            cells.get(role).map_or_else(
                || "-".to_owned(),
                |cell| match (cell.failed, cell.changed) {
                    (0, 0) => format!("{} ok", cell.done),
                    (0, changed) => format!("{} ok, {changed} changed", cell.done),
                    (failed, _) => format!("{} ok, {failed} failed", cell.done.saturating_sub(failed)),
                },
            )
        }));
        rows.push(row);
    }
    for row in padded(&rows) {
        voice::data(row.join("  ").trim_end());
    }
    let changed: u64 = board.hosts.values().flatten().map(|(_, cell)| cell.changed).sum();
    voice::data(&format!(
        "{} hosts, {changed} changed, {}.",
        board.hosts.len(),
        galley_units::format_duration(took)
    ));
    Ok(())
}
