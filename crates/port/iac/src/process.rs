//! A program in a process group of its own, whose streams go to files that are followed.
//!
//! Files and not pipes: a tool whose reader is killed would die of the broken pipe in the middle of its work. A group of
//! its own: an interrupt at the terminal reaches only Galley, which passes it on once; and what a killed tool leaves
//! behind (plug-ins, programs that it had started) can be found and ended before anything else begins.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};
use tokio::sync::watch;

use crate::Error;

/// How often a file is looked at.
const TICK: Duration = Duration::from_millis(40);
/// A line that is longer is left out.
const LINE: usize = 4 << 20;
/// What is kept of standard error.
const TAIL: u64 = 16 << 10;
/// How long an interrupted program may take to end by itself after its deadline.
const GRACE: Duration = Duration::from_secs(120);
/// How long the rest of a killed program's group may take.
const REST: Duration = Duration::from_secs(10);

/// How many times somebody asked for an end.
pub type Interrupts = watch::Receiver<u32>;

/// A program to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Name or path.
    pub program: PathBuf,
    /// Arguments.
    pub args: Vec<String>,
    /// What is set in its environment, beside what it inherits.
    pub env: Vec<(String, String)>,
    /// Folder to run it in.
    pub dir: Option<PathBuf>,
    /// What it reads; nothing by default.
    pub input: Option<PathBuf>,
}

impl Program {
    /// The command as a person would type it. Values of the environment that look like secrets are not shown.
    pub fn shown(&self) -> String {
        let mut words = Vec::new();
        if let Some(dir) = &self.dir {
            words.push(format!("cd {} &&", quoted(&dir.display().to_string())));
        }
        for (name, value) in &self.env {
            let secret = ["PASSWORD", "TOKEN", "SECRET"].iter().any(|word| name.contains(word));
            words.push(if secret { format!("{name}=...") } else { format!("{name}={}", quoted(value)) });
        }
        words.push(quoted(&self.program.display().to_string()));
        words.extend(self.args.iter().map(|word| quoted(word)));
        words.join(" ")
    }

    /// Program and first word, for messages.
    pub fn short(&self) -> String {
        let name =
            self.program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let word = self.args.iter().find(|word| !word.starts_with('-'));
        word.map_or_else(|| name.clone(), |word| format!("{name} {word}"))
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A program at work, or one that an earlier process started.
#[derive(Debug)]
pub struct Running {
    child: Option<tokio::process::Child>,
    /// Process id, which is also its group's.
    pub pid: u32,
    /// When it was started, in the kernel's count: with the id it names one process for good.
    pub started: u64,
    out: PathBuf,
    err: PathBuf,
    command: String,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With an exit code; none is known of a program that an earlier process started.
    Code(Option<i32>),
    /// By a signal.
    Signal(i32),
}

/// Bounds of a run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest time.
    pub time: Duration,
    /// Largest stream, in bytes.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { time: Duration::from_secs(3600), bytes: 256 << 20 }
    }
}

impl Running {
    /// Starts the program; its streams are written to `out` and `err`, which only the owner may read.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such program.
    pub fn start(program: &Program, out: &Path, err: &Path) -> Result<Running, Error> {
        let create = |path: &Path| {
            let mut options = OpenOptions::new();
            options.create(true).truncate(true).write(true);
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(path).map_err(Error::file("creating", path))
        };
        let input = match &program.input {
            Some(path) => File::open(path).map_err(Error::file("opening", path))?.into(),
            None => std::process::Stdio::null(),
        };
        let mut command = tokio::process::Command::new(&program.program);
        command
            .args(&program.args)
            .envs(program.env.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(create(out)?)
            .stderr(create(err)?)
            .process_group(0);
        if let Some(dir) = &program.dir {
            command.current_dir(dir);
        }
        let name = program.program.display().to_string();
        let child = command.spawn().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::Missing(name.clone()),
            _ => Error::Start { program: name.clone(), source },
        })?;
        let pid = child.id().unwrap_or_default();
        Ok(Running {
            child: Some(child),
            pid,
            started: start_time(pid).unwrap_or_default(),
            out: out.to_owned(),
            err: err.to_owned(),
            command: program.short(),
        })
    }

    /// A program that an earlier process started.
    pub fn earlier(pid: u32, started: u64, out: &Path, err: &Path, command: &str) -> Running {
        Running {
            child: None,
            pid,
            started,
            out: out.to_owned(),
            err: err.to_owned(),
            command: command.to_owned(),
        }
    }

    /// Whether it has ended, and how.
    fn ended(&mut self) -> Option<Ended> {
        use std::os::unix::process::ExitStatusExt;
        match &mut self.child {
            Some(child) => match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(status.signal().map_or(Ended::Code(status.code()), Ended::Signal)),
                Err(_) => Some(Ended::Code(None)),
            },
            None => (!alive(self.pid, self.started)).then_some(Ended::Code(None)),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// The end of what it wrote to standard error.
    pub fn stderr(&self) -> String {
        tail(&self.err)
    }

    /// The command, short.
    pub fn command(&self) -> &str {
        &self.command
    }
}

/// Follows a program to its end and gives each line of its standard output away.
///
/// An interrupt is passed on once for each time it was asked for; the third ends the program at once. A program that is
/// out of time is interrupted, and ended if that does not help.
///
/// # Errors
/// [`Error::Deadline`], and [`Error::Output`] when it wrote more than `limits` allow.
pub async fn follow(
    running: &mut Running,
    limits: Limits,
    mut interrupts: Interrupts,
    mut line: impl FnMut(&str),
) -> Result<Ended, Error> {
    let begun = Instant::now();
    let mut reader = Reader::open(&running.out)?;
    let mut passed = 0;
    let mut late = None;
    interrupts.mark_unchanged();
    let before = *interrupts.borrow();
    loop {
        let ended = running.ended();
        reader.read(&mut line)?;
        if let Some(ended) = ended {
            reader.finish(&mut line)?;
            if matches!(ended, Ended::Signal(_)) || running.child.is_none() {
                end_rest(running.pid).await;
            }
            return match late {
                Some(_) => Err(Error::Deadline { command: running.command.clone(), limit: limits.time }),
                None => Ok(ended),
            };
        }
        let asked = *interrupts.borrow_and_update() - before;
        while passed < asked {
            passed += 1;
            running.signal(if passed < 3 { Signal::INT } else { Signal::KILL });
        }
        if late.is_none() && begun.elapsed() > limits.time {
            running.signal(Signal::INT);
            late = Some(Instant::now());
        }
        if late.is_some_and(|since| since.elapsed() > GRACE) {
            running.signal(Signal::KILL);
        }
        if reader.position > limits.bytes {
            running.signal(Signal::INT);
            return Err(Error::Output {
                command: running.command.clone(),
                why: format!("more than {} MiB", limits.bytes >> 20),
            });
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Whether that very process is alive; one that has ended and was not waited for is not.
pub fn alive(pid: u32, started: u64) -> bool {
    pid != 0 && stat(pid).is_some_and(|(state, time, _)| time == started && state != 'Z' && state != 'X')
}

/// When a process was started, in the kernel's count of ticks since boot.
pub fn start_time(pid: u32) -> Option<u64> {
    stat(pid).map(|(_, time, _)| time)
}

/// State, start time and group of a process.
fn stat(pid: u32) -> Option<(char, u64, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let rest = text.rsplit_once(')')?.1;
    let mut words = rest.split_whitespace();
    let state = words.next()?.chars().next()?;
    let group = words.nth(1)?.parse().ok()?;
    let time = words.nth(16)?.parse().ok()?;
    Some((state, time, group))
}

/// Processes of a group that still run.
fn members(group: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| stat(*pid).is_some_and(|(state, _, of)| of == group && state != 'Z' && state != 'X'))
        .collect()
}

/// Waits for what a killed program has left of its group, and ends it if it stays. Two of them at once would each make
/// the same things.
pub(crate) async fn end_rest(group: u32) {
    let begun = Instant::now();
    let Some(id) = i32::try_from(group).ok().and_then(Pid::from_raw) else { return };
    let mut told = false;
    while group != 0 && !members(group).is_empty() {
        if begun.elapsed() > REST + Duration::from_secs(5) {
            let _ = rustix::process::kill_process_group(id, Signal::KILL);
        } else if begun.elapsed() > REST && !told {
            told = true;
            let _ = rustix::process::kill_process_group(id, Signal::TERM);
        }
        if begun.elapsed() > REST + Duration::from_secs(20) {
            tracing::warn!(group, "what a killed program has left cannot be ended");
            return;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// The end of a text file.
pub(crate) fn tail(path: &Path) -> String {
    let Ok(mut file) = File::open(path) else { return String::new() };
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let _ = file.seek(SeekFrom::Start(size.saturating_sub(TAIL)));
    let mut bytes = Vec::new();
    let _ = file.take(TAIL).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// Whole lines of a file that grows.
struct Reader {
    file: File,
    path: PathBuf,
    position: u64,
    rest: Vec<u8>,
    skipping: bool,
}

impl Reader {
    fn open(path: &Path) -> Result<Reader, Error> {
        let file = File::open(path).map_err(Error::file("opening", path))?;
        Ok(Reader { file, path: path.to_owned(), position: 0, rest: Vec::new(), skipping: false })
    }

    fn read(&mut self, line: &mut impl FnMut(&str)) -> Result<(), Error> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = self.file.read(&mut buffer).map_err(Error::file("reading", &self.path))?;
            if read == 0 {
                return Ok(());
            }
            self.position += read as u64;
            self.rest.extend_from_slice(&buffer[..read]);
            while let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let whole: Vec<u8> = self.rest.drain(..=at).collect();
                if !std::mem::take(&mut self.skipping) {
                    line(String::from_utf8_lossy(&whole).trim_end());
                }
            }
            if self.rest.len() > LINE {
                self.rest.clear();
                self.skipping = true;
            }
        }
    }

    fn finish(&mut self, line: &mut impl FnMut(&str)) -> Result<(), Error> {
        self.read(line)?;
        if !self.rest.is_empty() && !self.skipping {
            line(String::from_utf8_lossy(&self.rest).trim_end());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Program {
        Program {
            program: "sh".into(),
            args: vec!["-c".into(), text.into()],
            env: vec![("A_TOKEN".into(), "hush".into())],
            dir: None,
            input: None,
        }
    }

    async fn run(text: &str, limits: Limits, interrupts: Interrupts) -> (Result<Ended, Error>, Vec<String>) {
        let dir = tempfile::tempdir().expect("a folder");
        let (out, err) = (dir.path().join("out"), dir.path().join("err"));
        let mut running = Running::start(&shell(text), &out, &err).expect("starts");
        let mut lines = Vec::new();
        let ended = follow(&mut running, limits, interrupts, |line| lines.push(line.to_owned())).await;
        (ended, lines)
    }

    #[tokio::test]
    async fn lines_come_whole_and_the_last_one_too() {
        let (_keep, interrupts) = watch::channel(0);
        let (ended, lines) = run("printf 'a\\nb'; exit 3", Limits::default(), interrupts).await;
        assert_eq!(ended.expect("ends"), Ended::Code(Some(3)));
        assert_eq!(lines, ["a", "b"]);
    }

    #[tokio::test]
    async fn an_interrupt_is_passed_on_once() {
        let (ask, interrupts) = watch::channel(0);
        let script = "trap 'echo one; exit 5' INT; echo ready; while :; do sleep 0.05; done";
        let task = tokio::spawn(run(script, Limits::default(), interrupts));
        tokio::time::sleep(Duration::from_millis(300)).await;
        ask.send_modify(|count| *count += 1);
        let (ended, lines) = task.await.expect("joins");
        assert_eq!(ended.expect("ends"), Ended::Code(Some(5)));
        assert_eq!(lines, ["ready", "one"]);
    }

    #[tokio::test]
    async fn too_much_and_too_long_are_refused() {
        let (_keep, interrupts) = watch::channel(0);
        let limits = Limits { time: Duration::from_millis(200), bytes: 1 << 20 };
        let (ended, _) =
            run("trap 'exit 1' INT; while :; do sleep 0.05; done", limits, interrupts.clone()).await;
        assert!(matches!(ended, Err(Error::Deadline { .. })), "{ended:?}");
        let limits = Limits { time: Duration::from_secs(20), bytes: 10_000 };
        let (ended, _) =
            run("trap 'exit 1' INT; while :; do echo 0123456789; done", limits, interrupts).await;
        assert!(matches!(ended, Err(Error::Output { .. })), "{ended:?}");
    }

    #[test]
    fn a_command_is_shown_as_it_can_be_typed_and_without_secrets() {
        assert_eq!(shell("echo 'x'").shown(), "A_TOKEN=... sh -c 'echo '\\''x'\\'''");
    }

    #[test]
    fn a_process_is_known_by_its_start() {
        let pid = std::process::id();
        let time = start_time(pid).expect("this process has one");
        assert!(alive(pid, time));
        assert!(!alive(pid, time + 1));
        assert!(!alive(0, 0));
    }
}
