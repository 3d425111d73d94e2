//! `ansible-playbook` through a callback that writes JSON lines: the events, typed, and the board that is made of them.
//!
//! The callback stands beside the playbooks (`plugins/callback/galley_events.py`). It writes events to a file of their
//! own, so that what Ansible prints by itself (errors of syntax, warnings) stays apart and can be shown.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Serialize;
use serde_json::Value;

use crate::{Ended, Error, Interrupts, Limits, Program, Running, follow};

/// Longest text of a result that is kept.
const TEXT: usize = 6000;

/// A playbook to run.
#[derive(Clone, Debug)]
pub struct Playbook {
    /// `ansible-playbook`, and words to put before it.
    pub command: Vec<String>,
    /// Folder with the playbooks and `ansible.cfg`.
    pub dir: PathBuf,
    /// Name of the playbook.
    pub name: String,
    /// More arguments.
    pub args: Vec<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// Folder for the streams.
    pub runs: PathBuf,
    /// The present moment, as it stands in names of files.
    pub stamp: String,
    /// How long it may take.
    pub timeout: Duration,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A play begins.
    Play {
        /// Its name.
        name: String,
        /// Whether only checked.
        check: bool,
    },
    /// A task begins.
    Task(Task),
    /// A host is done with a task.
    Result {
        /// Host.
        host: String,
        /// How.
        outcome: Outcome,
        /// Which task.
        task: Task,
        /// Seconds since the start.
        at: f64,
        /// Texts: message, output, difference.
        detail: Detail,
    },
    /// The end: host to counts.
    Stats(BTreeMap<String, Counts>),
    /// Anything else.
    Other,
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// Its role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its line.
    pub line: usize,
}

/// How a host is done with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be already.
    Ok,
    /// Changed.
    Changed,
    /// Not for this host.
    Skipped,
    /// Failed, and that ends it for the host.
    Failed,
    /// Failed, and it goes on.
    Ignored,
    /// The host does not answer.
    Unreachable,
    /// Failed, and is tried again.
    Retry,
}

/// What is told with a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Detail {
    /// Message.
    pub message: String,
    /// Output of a program, standard error first.
    pub output: String,
    /// What is changed, as a difference.
    pub diff: String,
}

/// Counts of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// As it should be.
    pub ok: u64,
    /// Changed.
    pub changed: u64,
    /// Failed.
    pub failures: u64,
    /// Did not answer.
    pub unreachable: u64,
    /// Not for this host.
    pub skipped: u64,
}

impl Event {
    /// Reads a line.
    pub fn read(line: &str) -> Event {
        let Ok(value) = serde_json::from_str::<Value>(line) else { return Event::Other };
        let outcome = match value["event"].as_str().unwrap_or_default() {
            "play" => {
                return Event::Play { name: text(&value["play"]), check: value["check"] == true };
            }
            "task" => return Event::Task(task(&value)),
            "stats" => return Event::Stats(stats(&value["hosts"])),
            "ok" => Outcome::Ok,
            "changed" => Outcome::Changed,
            "skipped" => Outcome::Skipped,
            "failed" if value["ignored"] == true => Outcome::Ignored,
            "failed" => Outcome::Failed,
            "unreachable" => Outcome::Unreachable,
            "retry" => Outcome::Retry,
            _ => return Event::Other,
        };
        Event::Result {
            host: text(&value["host"]),
            outcome,
            task: task(&value),
            at: value["at"].as_f64().unwrap_or_default(),
            detail: detail(&value),
        }
    }
}

fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    // Of a long text the end says more: programs give the reason last.
    let skip = text.chars().count().saturating_sub(TEXT);
    if skip == 0 { text } else { format!("...{}", text.chars().skip(skip).collect::<String>()) }
}

fn task(value: &Value) -> Task {
    let (name, role) = (text(&value["task"]), value["role"].as_str().map(str::to_owned));
    // Ansible puts the role before the name.
    let prefix = role.as_ref().map(|role| format!("{role} : ")).unwrap_or_default();
    Task {
        name: name.strip_prefix(&prefix).unwrap_or(&name).to_owned(),
        role,
        file: value["file"].as_str().map(str::to_owned),
        line: usize::try_from(value["line"].as_u64().unwrap_or_default()).unwrap_or_default(),
    }
}

fn detail(value: &Value) -> Detail {
    if value["hidden"] == true {
        return Detail { message: "what it says is kept secret (no_log)".to_owned(), ..Detail::default() };
    }
    let result = &value["result"];
    let mut message = text(&result["msg"]);
    let mut outputs: Vec<String> =
        ["stderr", "module_stderr", "stdout"].iter().map(|name| text(&result[name])).collect();
    for item in result["items"].as_array().into_iter().flatten() {
        let why =
            ["msg", "stderr", "stdout"].iter().map(|name| text(&item[name])).find(|text| !text.is_empty());
        outputs.push(format!("{}: {}", text(&item["item"]), why.unwrap_or_default()));
    }
    if message.is_empty() {
        message = text(&value["msg"]);
    }
    outputs.retain(|text| !text.trim().is_empty() && *text != message);
    Detail { message, output: outputs.join("\n"), diff: text(&value["diff"]) }
}

fn stats(value: &Value) -> BTreeMap<String, Counts> {
    let hosts = value.as_object().into_iter().flatten();
    hosts
        .map(|(host, counts)| {
            let of = |name: &str| counts[name].as_u64().unwrap_or_default();
            let counts = Counts {
                ok: of("ok"),
                changed: of("changed"),
                failures: of("failures"),
                unreachable: of("unreachable"),
                skipped: of("skipped"),
            };
            (host.clone(), counts)
        })
        .collect()
}

/// What stands where: for each host and role, how far and how long.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Board {
    /// Roles, in the order in which they came; tasks of no role count for their play.
    pub roles: Vec<String>,
    /// Host, role, cell.
    pub hosts: BTreeMap<String, BTreeMap<String, Cell>>,
    /// Seconds in which tasks of a role were run, whichever host.
    pub seconds: BTreeMap<String, f64>,
    /// What failed for good.
    pub failures: Vec<Failure>,
    /// Counts at the end.
    pub stats: BTreeMap<String, Counts>,
    #[serde(skip)]
    now: (Option<String>, f64),
    #[serde(skip)]
    play: String,
}

/// A host in a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cell {
    /// Tasks done.
    pub done: u64,
    /// Of these, changed.
    pub changed: u64,
    /// Failed or did not answer.
    pub failed: u64,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// Host.
    pub host: String,
    /// Whether the host does not answer.
    pub unreachable: bool,
    /// Which task.
    pub task: Task,
    /// What it said.
    pub detail: Detail,
}

impl Board {
    /// Takes an event in.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Play { name, .. } => self.play.clone_from(name),
            Event::Stats(stats) => self.stats.clone_from(stats),
            Event::Result { host, outcome, task, at, detail } => {
                self.result(host, *outcome, task, *at, detail)
            }
            Event::Task(_) | Event::Other => {}
        }
    }

    fn result(&mut self, host: &str, outcome: Outcome, task: &Task, at: f64, detail: &Detail) {
        let role = task.role.clone().unwrap_or_else(|| self.play.clone());
        if !self.roles.contains(&role) {
            self.roles.push(role.clone());
        }
        *self.seconds.entry(role.clone()).or_default() += (at - self.now.1).max(0.0);
        self.now = (Some(role.clone()), at);
        let cell = self.hosts.entry(host.to_owned()).or_default().entry(role).or_default();
        match outcome {
            Outcome::Skipped | Outcome::Retry => return,
            Outcome::Changed => cell.changed += 1,
            Outcome::Failed | Outcome::Unreachable => {
                cell.failed += 1;
                let unreachable = outcome == Outcome::Unreachable;
                if self.failures.len() < 100 {
                    let (host, task, detail) = (host.to_owned(), task.clone(), detail.clone());
                    self.failures.push(Failure { host, unreachable, task, detail });
                }
            }
            Outcome::Ok | Outcome::Ignored => {}
        }
        cell.done += 1;
    }
}

/// How a playbook ended.
#[derive(Debug)]
pub struct Ran {
    /// What stands where.
    pub board: Board,
    /// Whether Ansible says that all is well.
    pub ok: bool,
    /// The end of what Ansible itself printed.
    pub said: String,
}

impl Playbook {
    /// The command, without the environment that only we want.
    pub fn program(&self) -> Program {
        let mut words = self.command.iter().cloned();
        let first = words.next().unwrap_or_else(|| "ansible-playbook".to_owned());
        let mut args: Vec<String> = words.collect();
        args.push(self.name.clone());
        args.extend(self.args.iter().cloned());
        Program {
            program: first.into(),
            args,
            env: self.env.clone(),
            dir: Some(self.dir.clone()),
            input: None,
        }
    }

    /// Runs it, and gives each event away.
    ///
    /// # Errors
    /// [`Error::Missing`] without Ansible, [`Error::Killed`], [`Error::Deadline`].
    pub async fn run(
        &self,
        interrupts: Interrupts,
        mut event: impl FnMut(&Event, &Board),
    ) -> Result<Ran, Error> {
        std::fs::create_dir_all(&self.runs).map_err(Error::file("making", &self.runs))?;
        let name = format!("{}-{}-{}", self.stamp, std::process::id(), self.name.trim_end_matches(".yml"));
        let (out, err) = (self.runs.join(format!("{name}.jsonl")), self.runs.join(format!("{name}.err")));
        let mut program = self.program();
        program.env.push(("ANSIBLE_STDOUT_CALLBACK".into(), "galley_events".into()));
        program.env.push((
            "ANSIBLE_CALLBACK_PLUGINS".into(),
            self.dir.join("plugins/callback").display().to_string(),
        ));
        program.env.push(("ANSIBLE_NOCOLOR".into(), "1".into()));
        program.env.push(("PYTHONUNBUFFERED".into(), "1".into()));
        let mut running = Running::start(&program, &out, &err)?;
        let mut board = Board::default();
        let limits = Limits { time: self.timeout, ..Limits::default() };
        let mut stray = String::new();
        let ended = follow(&mut running, limits, interrupts, |line| {
            let one = Event::read(line);
            if one == Event::Other && !line.starts_with('{') && stray.len() < TEXT {
                stray.push_str(line);
                stray.push('\n');
            }
            board.take(&one);
            event(&one, &board);
        })
        .await?;
        if let Ended::Signal(signal) = ended {
            return Err(Error::Killed { command: self.name.clone(), signal });
        }
        let said = [running.stderr(), stray].join("\n").trim().to_owned();
        Ok(Ran { board, ok: ended == Ended::Code(Some(0)), said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_made_of_events() {
        let mut board = Board::default();
        for line in [
            r#"{"event":"play","at":0,"play":"Prepare","check":false,"hosts":2}"#,
            r#"{"event":"ok","at":1.5,"task":"Gather","role":null,"host":"node1","file":"site.yml","line":3}"#,
            r#"{"event":"changed","at":3.0,"task":"Write","role":"base","host":"node1","file":"/r/base/tasks/main.yml","line":7,"diff":"+x"}"#,
            r#"{"event":"failed","at":4.0,"task":"base : Start","role":"base","host":"node2","file":"/r/base/tasks/main.yml","line":9,"result":{"msg":"non-zero return code","stderr":"no space left","rc":"1"}}"#,
            r#"{"event":"failed","at":4.5,"task":"Try","role":"base","host":"node1","ignored":true,"hidden":true}"#,
            r#"{"event":"stats","at":5,"hosts":{"node1":{"ok":3,"changed":1,"failures":0,"unreachable":0,"skipped":0}}}"#,
            "not JSON",
        ] {
            board.take(&Event::read(line));
        }
        assert_eq!(board.roles, ["Prepare", "base"]);
        assert_eq!(board.hosts["node1"]["base"], Cell { done: 2, changed: 1, failed: 0 });
        assert_eq!(board.seconds["base"], 3.0);
        let failure = &board.failures[0];
        assert_eq!(
            (failure.host.as_str(), failure.task.line, failure.detail.output.as_str()),
            ("node2", 9, "no space left")
        );
        assert_eq!(board.stats["node1"].changed, 1);
        assert_eq!(failure.task.name, "Start");
    }

    #[test]
    fn what_is_secret_says_so() {
        let Event::Result { detail, .. } =
            Event::read(r#"{"event":"failed","host":"a","hidden":true,"result":{"msg":"x"}}"#)
        else {
            panic!("a result")
        };
        assert!(detail.message.contains("no_log") && detail.output.is_empty());
    }
}
