//! What a person sees while a tool works: on a terminal a table of what is being made with its time, elsewhere a line for
//! each thing that is done. With `-v` the commands, so that a person can do without us; with `-vv` what programs print.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use galley_iac::{Action, Event, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::{
    cli::{Format, Global},
    voice,
};

/// A resource that was worked on.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// Address.
    pub address: String,
    /// What was done with it.
    pub action: Action,
    /// Whether that worked.
    pub ok: bool,
    /// How long it took.
    pub seconds: f64,
}

/// The screen.
pub struct Screen {
    verbose: u8,
    quiet: bool,
    bars: Option<MultiProgress>,
    now: Mutex<BTreeMap<String, (Option<ProgressBar>, Instant)>>,
    done: Mutex<Vec<Done>>,
}

impl Screen {
    /// A screen; only a terminal gets bars.
    pub fn new(global: &Global, format: Format) -> Screen {
        let bars = voice::on_terminal() && !global.quiet;
        let _ = format;
        Screen {
            verbose: global.verbose,
            quiet: global.quiet,
            bars: bars.then(MultiProgress::new),
            now: Mutex::default(),
            done: Mutex::default(),
        }
    }

    /// What was worked on so far, in the order in which it ended.
    pub fn done(&self) -> Vec<Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A line of talk that does not tear the table.
    pub fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        match &self.bars {
            Some(bars) => bars.suspend(|| voice::talk(line)),
            None => voice::talk(line),
        }
    }

    fn start(&self, address: &str, action: Action) {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {prefix:<9} {msg}  {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(action.word());
            bar.set_message(address.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.insert(address.to_owned(), (bar, Instant::now()));
    }

    fn end(&self, address: &str, action: Action, ok: bool, seconds: u64) {
        let entry = self.now.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
        let seconds = entry.as_ref().map_or(seconds as f64, |(_, since)| since.elapsed().as_secs_f64());
        if let Some((Some(bar), _)) = entry {
            bar.finish_and_clear();
        }
        let time = galley_units::format_duration(Duration::from_secs_f64(seconds));
        let line = match (ok, action) {
            (true, Action::Delete) => format!("destroyed  {address}  {time}"),
            (true, Action::Update) => format!("changed    {address}  {time}"),
            (true, _) => format!("created    {address}  {time}"),
            (false, _) => format!("failed     {address}  {time}").red().to_string(),
        };
        self.say(&line);
        let done = Done { address: address.to_owned(), action, ok, seconds };
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(done);
    }
}

impl Progress for Screen {
    fn command(&self, shown: &str) {
        if self.verbose > 0 {
            self.say(&format!("+ {shown}").dimmed().to_string());
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Start { action: Action::Read, .. } | Event::Complete { action: Action::Read, .. } => {}
            Event::Start { address, action } => self.start(address, *action),
            Event::Complete { address, action, seconds } => self.end(address, *action, true, *seconds),
            Event::Errored { address, action, seconds } => self.end(address, *action, false, *seconds),
            Event::Said { address, text } if self.verbose > 1 => self.say(&format!("{address}: {text}")),
            Event::Message(text) if self.verbose > 1 && !text.is_empty() => self.say(text),
            _ => {}
        }
    }

    fn note(&self, text: &str) {
        self.say(text);
    }
}
