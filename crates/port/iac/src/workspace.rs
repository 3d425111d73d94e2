//! One configuration with its state: what `galley infra` has the tools do, command by command.
//!
//! The state lies in the home folder unless the configuration names a backend of its own. Nothing here asks a person.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    Diagnostic, Ended, Error, Event, Interrupts, Limits, Plan, Program, Running, Severity, Summary, Tool,
    journal::{Doubt, Journal},
    process::{alive, end_rest, follow, tail},
};

mod init;
mod state;

pub use state::Resource;

/// How many runs' streams and how many backups of the state are kept.
const KEPT: usize = 50;

/// Where and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the configuration.
    pub dir: PathBuf,
    /// Folder for state, plans, streams and backups; its owner's only.
    pub home: PathBuf,
    /// `NAME=VALUE`.
    pub vars: Vec<String>,
    /// Files of variables.
    pub var_files: Vec<PathBuf>,
    /// How many resources at once; the tool's own default if none.
    pub parallelism: Option<u32>,
    /// How long to wait for a lock of the state.
    pub lock_timeout: Duration,
    /// How long any one command may take.
    pub timeout: Duration,
    /// More for the tool's environment.
    pub env: Vec<(String, String)>,
    /// The present moment, as it stands in names of files.
    pub stamp: String,
}

/// Where the state is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Backend {
    /// In the home folder.
    Local,
    /// Where the configuration says: its type, and the address if it is `http`.
    Configured {
        /// Such as `http` or `s3`.
        kind: String,
        /// `address` of an `http` backend.
        address: Option<String>,
    },
}

/// What a plan is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What the configuration says.
    #[default]
    Apply,
    /// Nothing is to be left.
    Destroy,
}

/// Is told what happens.
pub trait Progress: Send + Sync {
    /// A command is run.
    fn command(&self, shown: &str);
    /// The tool said something.
    fn event(&self, event: &Event);
    /// Something a person should know.
    fn note(&self, text: &str);
}

/// What an apply did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Counts, by the tool.
    pub summary: Summary,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}

/// A configuration, its state and a tool.
pub struct Workspace {
    /// Where and how.
    pub options: Options,
    /// The tool.
    pub tool: Tool,
    /// Where the state is.
    pub backend: Backend,
    interrupts: Interrupts,
}

/// What a command of the tool said.
struct Said {
    out: PathBuf,
    diagnostics: Vec<Diagnostic>,
    summary: Summary,
}

impl Workspace {
    /// Opens a configuration; its home is made if need be.
    ///
    /// # Errors
    /// [`Error::File`] if there is no configuration, or no home can be made.
    pub fn open(options: Options, tool: Tool, interrupts: Interrupts) -> Result<Workspace, Error> {
        let backend = init::backend(&options.dir)?;
        for folder in ["runs", "backups"] {
            let folder = options.home.join(folder);
            std::fs::create_dir_all(&folder).map_err(Error::file("making", &folder))?;
        }
        let owner = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&options.home, owner).map_err(Error::file("closing", &options.home))?;
        let space = Workspace { options, tool, backend, interrupts };
        let state = space.state_file();
        if !state.exists() {
            // Made beforehand so that it is never readable by others; the tools take an empty file for no state.
            private(&state, b"")?;
        }
        state::prune(&space.options.home.join("runs"), KEPT * 2);
        state::prune(&space.options.home.join("backups"), KEPT);
        Ok(space)
    }

    /// The state, when it is local.
    pub fn state_file(&self) -> PathBuf {
        self.options.home.join("terraform.tfstate")
    }

    /// Where a run that may have changed the cloud is written down.
    pub fn journal_file(&self) -> PathBuf {
        self.options.home.join("journal.json")
    }

    fn plan_file(&self) -> PathBuf {
        self.options.home.join("plan.tfplan")
    }

    fn program(&self, args: Vec<String>) -> Program {
        let data = self.options.home.join(format!("data-{}", self.tool.kind.program()));
        let mut env = vec![("TF_DATA_DIR".to_owned(), data.display().to_string())];
        env.extend(["TF_IN_AUTOMATION", "CHECKPOINT_DISABLE"].map(|name| (name.to_owned(), "1".to_owned())));
        env.extend(self.options.env.iter().cloned());
        let mut all = vec![format!("-chdir={}", self.options.dir.display())];
        all.extend(args);
        Program { program: self.tool.program.clone(), args: all, env, dir: None, input: None }
    }

    /// `-state=...` where the state is ours.
    fn state_flag(&self) -> Option<String> {
        (self.backend == Backend::Local).then(|| format!("-state={}", self.state_file().display()))
    }

    fn streams(&self, name: &str) -> (PathBuf, PathBuf) {
        let runs = self.options.home.join("runs");
        let name = format!("{}-{}-{name}", self.options.stamp, std::process::id());
        (runs.join(format!("{name}.jsonl")), runs.join(format!("{name}.err")))
    }

    /// Runs a command and reads its stream.
    async fn stream(&self, name: &str, program: &Program, progress: &dyn Progress) -> Result<Said, Error> {
        progress.command(&program.shown());
        let (out, err) = self.streams(name);
        let mut running = Running::start(program, &out, &err)?;
        self.listen(&mut running, out, progress).await
    }

    /// Follows a command to its end.
    async fn listen(
        &self,
        running: &mut Running,
        out: PathBuf,
        progress: &dyn Progress,
    ) -> Result<Said, Error> {
        let mut said = Said { out, diagnostics: Vec::new(), summary: Summary::default() };
        let limits = Limits { time: self.options.timeout, ..Limits::default() };
        let ended = follow(running, limits, self.interrupts.clone(), |line| {
            let event = Event::read(line);
            match &event {
                Event::Diagnostic(one) if one.is_noise() => return,
                Event::Diagnostic(one) if said.diagnostics.len() < 200 => {
                    said.diagnostics.push((**one).clone())
                }
                Event::Summary(summary) => said.summary = summary.clone(),
                _ => {}
            }
            progress.event(&event);
        })
        .await?;
        let command = running.command().to_owned();
        match ended {
            Ended::Signal(signal) => Err(Error::Killed { command, signal }),
            Ended::Code(Some(0)) => Ok(said),
            Ended::Code(None) if said.diagnostics.iter().all(|one| one.severity != Severity::Error) => {
                Ok(said)
            }
            Ended::Code(_) => {
                let stderr = running.stderr();
                if said.diagnostics.iter().all(|one| one.severity != Severity::Error) {
                    said.diagnostics.extend(init::from_text(&stderr));
                }
                Err(Error::Refused { command, changed: false, diagnostics: said.diagnostics, stderr })
            }
        }
    }

    /// Runs a command that prints one JSON document.
    async fn document(&self, name: &str, args: Vec<String>, progress: &dyn Progress) -> Result<Value, Error> {
        let program = self.program(args);
        let said = self.stream(name, &program, &Quiet(progress)).await?;
        let bytes = std::fs::read(&said.out).map_err(Error::file("reading", &said.out))?;
        // It may hold what is sensitive, and nobody needs it twice.
        let _ = std::fs::remove_file(&said.out);
        let start = bytes.iter().position(|byte| *byte == b'{').unwrap_or(0);
        serde_json::from_slice(&bytes[start..])
            .map_err(|why| Error::Output { command: program.short(), why: why.to_string() })
    }

    /// Plans, and keeps the plan for [`Workspace::apply`].
    ///
    /// # Errors
    /// [`Error::Refused`] with what the tool complains of.
    pub async fn plan(
        &self,
        mode: &Mode,
        replace: &[String],
        progress: &dyn Progress,
    ) -> Result<Plan, Error> {
        let file = self.plan_file();
        private(&file, b"")?;
        let mut args: Vec<String> = ["plan", "-json", "-input=false"].map(str::to_owned).into();
        args.push(format!("-out={}", file.display()));
        args.extend(self.state_flag());
        args.extend(self.lock_flags());
        args.extend(self.variables());
        args.extend(replace.iter().map(|address| format!("-replace={address}")));
        if *mode == Mode::Destroy {
            args.push("-destroy".to_owned());
        }
        self.stream("plan", &self.program(args), progress).await?;
        self.show_plan(progress).await
    }

    async fn show_plan(&self, progress: &dyn Progress) -> Result<Plan, Error> {
        let args = vec!["show".to_owned(), "-json".to_owned(), self.plan_file().display().to_string()];
        Ok(Plan::read(&self.document("show", args, progress).await?))
    }

    fn variables(&self) -> Vec<String> {
        let files = self.options.var_files.iter().map(|file| format!("-var-file={}", file.display()));
        files.chain(self.options.vars.iter().map(|var| format!("-var={var}"))).collect()
    }

    fn lock_flags(&self) -> Vec<String> {
        let mut flags = vec![format!("-lock-timeout={}s", self.options.lock_timeout.as_secs())];
        flags.extend(self.options.parallelism.map(|many| format!("-parallelism={many}")));
        flags
    }

    /// Applies the plan that was made last. The journal lies on the disk before the tool is started, and stays there
    /// unless the tool ended by itself.
    ///
    /// # Errors
    /// [`Error::Refused`] with what failed; what was made by then stands in the state.
    pub async fn apply(&self, mut journal: Journal, progress: &dyn Progress) -> Result<Outcome, Error> {
        self.backup(progress).await?;
        let mut args: Vec<String> = ["apply", "-json", "-input=false"].map(str::to_owned).into();
        args.extend(self.state_flag());
        if self.backend == Backend::Local {
            args.push("-backup=-".to_owned());
        }
        args.extend(self.lock_flags());
        args.push(self.plan_file().display().to_string());
        let program = self.program(args);
        progress.command(&program.shown());
        let (out, err) = self.streams("apply");
        (journal.out, journal.err, journal.command) = (out.clone(), err.clone(), program.short());
        journal.write(&self.journal_file())?;
        let mut running = Running::start(&program, &out, &err)?;
        (journal.pid, journal.started) = (running.pid, running.started);
        journal.write(&self.journal_file())?;
        let heard = self.listen(&mut running, out, progress).await;
        self.conclude(heard, journal)
    }

    /// What an apply came to. A tool that ended by itself has written its state, so its journal is done with.
    fn conclude(&self, heard: Result<Said, Error>, journal: Journal) -> Result<Outcome, Error> {
        let result = match heard {
            Ok(said) => {
                let warnings =
                    said.diagnostics.into_iter().filter(|one| one.severity == Severity::Warning).collect();
                Ok(Outcome { summary: said.summary, warnings })
            }
            Err(Error::Refused { command, diagnostics, stderr, .. }) => {
                Err(Error::Refused { command, changed: true, diagnostics, stderr })
            }
            Err(other) => return Err(other),
        };
        // Of its own doubts the state knows all; those that it took over it may not have come to.
        let own = Journal { creates: Vec::new(), ..journal };
        let doubts = own.in_doubt();
        self.forget()?;
        if !doubts.is_empty() {
            Journal { pid: 0, started: 0, out: self.options.home.join("runs/none"), doubts, ..own }
                .write(&self.journal_file())?;
        }
        result
    }

    /// Puts the journal away: the state is known to be right.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn forget(&self) -> Result<(), Error> {
        let _ = std::fs::remove_file(self.plan_file());
        match std::fs::remove_file(self.journal_file()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("removing", self.journal_file())(error))
            }
            _ => Ok(()),
        }
    }

    /// Waits for a run that a killed process left at work, and tells what is in doubt after it.
    ///
    /// # Errors
    /// As [`follow`].
    pub async fn settle(&self, progress: &dyn Progress) -> Result<Vec<Doubt>, Error> {
        let Some(journal) = Journal::read(&self.journal_file())? else { return Ok(Vec::new()) };
        let mut pid = (journal.pid, journal.started);
        if pid.0 == 0 {
            // Killed in the moment between the start and the note of it: known by the file that it writes.
            pid = state::writer(&journal.out).unwrap_or_default();
        }
        if alive(pid.0, pid.1) {
            progress.note(&format!(
                "A run of {} is still at work (process {}); following it to its end.",
                journal.begun, pid.0
            ));
            let mut running = Running::earlier(pid.0, pid.1, &journal.out, &journal.err, &journal.command);
            match self.listen(&mut running, journal.out.clone(), progress).await {
                Ok(_) | Err(Error::Refused { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        end_rest(pid.0).await;
        let broken = self.backend == Backend::Local
            && state::mend(&self.state_file(), &self.options.home.join("backups"))?;
        if broken {
            progress.note("The state was cut off in the middle; the one from before that run is used.");
        }
        let mut doubts = journal.in_doubt();
        if broken {
            doubts = journal
                .creates
                .iter()
                .map(|planned| doubt_of(&journal, planned))
                .chain(journal.doubts.clone())
                .collect();
        }
        if !doubts.is_empty() {
            progress.note(&format!(
                "The run of {} was cut off; {} of its resources may be unfinished: {}.",
                journal.begun,
                doubts.len(),
                names(&doubts)
            ));
        }
        Ok(doubts)
    }

    /// Takes a lock away that its holder left behind.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such lock.
    pub async fn unlock(&self, id: &str, progress: &dyn Progress) -> Result<(), Error> {
        let args = ["force-unlock", "-force", id].map(str::to_owned).into();
        self.stream("unlock", &self.program(args), progress).await.map(drop)
    }

    /// The outputs, as `output -json` prints them.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn outputs(&self, progress: &dyn Progress) -> Result<Value, Error> {
        let mut args: Vec<String> = ["output", "-json"].map(str::to_owned).into();
        args.extend(self.state_flag());
        self.document("output", args, progress).await
    }

    /// Where the last standard error of a run lies, for messages.
    pub fn stderr_of(&self, journal: &Journal) -> String {
        tail(&journal.err)
    }
}

fn doubt_of(journal: &Journal, planned: &crate::Planned) -> Doubt {
    let before = journal.before.get(&Journal::key(planned)).cloned().unwrap_or_default();
    Doubt { planned: planned.clone(), before }
}

fn names(doubts: &[Doubt]) -> String {
    let mut all: Vec<_> = doubts.iter().take(6).map(|doubt| doubt.planned.address.clone()).collect();
    if doubts.len() > all.len() {
        all.push(format!("and {} more", doubts.len() - all.len()));
    }
    all.join(", ")
}

/// Passes commands on, and keeps a document's lines from being told as messages.
struct Quiet<'a>(&'a dyn Progress);

impl Progress for Quiet<'_> {
    fn command(&self, shown: &str) {
        self.0.command(shown);
    }

    fn event(&self, _event: &Event) {}

    fn note(&self, text: &str) {
        self.0.note(text);
    }
}

/// Writes a file for its owner only, by a rename, and on the disk when this returns.
///
/// # Errors
/// [`Error::File`].
pub fn private(path: &Path, content: &[u8]) -> Result<(), Error> {
    use std::io::Write;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(true).write(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(Error::file("writing", path))
}
