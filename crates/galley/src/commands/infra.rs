//! `galley infra`: drives OpenTofu or Terraform on the pipeline repository's configuration.
//!
//! Every command that changes something goes the same way: what an earlier run left at work is followed to its end, what
//! a killed run left in doubt is settled, then plan, consent, and apply. State, plans and streams lie in the state folder,
//! for its owner only.

mod change;
mod check;
mod history;
mod look;
mod progress;
mod recover;
mod table;

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use galley_iac::{Backend, Interrupts, Options, Tool, Workspace};
use galley_problem::{Kind, Problem};
use galley_units::{Clock, SystemClock};
use tokio::sync::watch;

pub use table::padded;

use crate::{
    Answer,
    cli::{
        Global,
        infra::{Infra, Site},
    },
    ground::environment,
    state::{State, find_pipeline},
};
use progress::Screen;

/// Runs one of the commands.
///
/// # Errors
/// G12xx, each with place and remedy.
pub async fn run(global: &Global, infra: Infra) -> Result<Answer, Problem> {
    match infra {
        Infra::Check(site) => check::run(global, &site).await,
        Infra::Plan { destroy, site } => change::plan(global, &site, destroy).await,
        Infra::Apply { consent, site } => change::apply(global, &site, &consent).await,
        Infra::Replace { node, consent, site } => change::replace(global, &site, &node, &consent).await,
        Infra::Destroy { consent, site } => change::destroy(global, &site, &consent).await,
        Infra::Outputs { name, site } => look::output(global, &site, name.as_deref()).await,
        Infra::Inventory(site) => look::inventory(global, &site).await,
        Infra::Show(site) => look::show(global, &site).await,
        Infra::History(site) => history::list(global, &site).await,
        Infra::Restore { version, site } => history::restore(global, &site, &version).await,
        Infra::Unlock { id, site } => history::unlock(global, &site, &id).await,
    }
}

/// An opened configuration and what goes with it.
struct Here {
    space: Workspace,
    screen: Screen,
    site: Site,
    _lock: Option<File>,
}

impl Here {
    /// Opens the configuration. What changes something takes the folder for itself.
    async fn open(global: &Global, site: &Site, alone: bool) -> Result<Here, Problem> {
        let dir = configuration(site)?;
        let home = home(global, &dir)?;
        let tool = Tool::find(site.tool.as_deref()).await?;
        let lock = if alone { Some(lock(&home)?) } else { None };
        let options = Options {
            vars: site.vars.clone(),
            var_files: site.var_files.iter().map(|file| absolute(file)).collect::<Result<_, _>>()?,
            parallelism: site.parallelism,
            lock_timeout: site.lock_timeout,
            timeout: site.timeout,
            env: Vec::new(),
            stamp: stamp(),
            dir,
            home,
        };
        let mut space = Workspace::open(options, tool, interrupts())?;
        if server(&space).is_some_and(on_loopback) {
            space.options.env = credentials(global, &space.options);
        }
        let screen = Screen::new(global, site.output.output);
        Ok(Here { space, screen, site: site.clone(), _lock: lock })
    }

    /// Where a file of the home folder lies.
    fn path(&self, name: &str) -> PathBuf {
        self.space.options.home.join(name)
    }
}

/// The folder of the configuration.
fn configuration(site: &Site) -> Result<PathBuf, Problem> {
    let dir = match (&site.dir, find_pipeline(Path::new("."))) {
        (Some(dir), _) => dir.clone(),
        (None, Some(pipeline)) => pipeline.join("infra/tofu"),
        (None, None) => PathBuf::from("infra/tofu"),
    };
    dir.canonicalize().map_err(|error| {
        Problem::new("G1202", Kind::NotFound, format!("There is no configuration in {}.", dir.display()))
            .because(&error)
            .try_this("Run this in the pipeline repository that `galley init` made, or name the folder with `--dir DIR`.")
    })
}

/// The folder for state and plans.
pub fn home(global: &Global, dir: &Path) -> Result<PathBuf, Problem> {
    let pipeline = find_pipeline(Path::new(".")).unwrap_or_else(|| dir.to_owned());
    let state = State::of(global, &pipeline);
    state.create()?;
    let home = state.path("infra");
    std::fs::create_dir_all(&home).map_err(|e| crate::io(&home, "making the folder", &e))?;
    absolute(&home)
}

pub fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    path.canonicalize().map_err(|e| crate::io(path, "finding", &e))
}

/// One `galley infra` at a time that changes something; the kernel lets go however the process ends.
pub fn lock(home: &Path) -> Result<File, Problem> {
    let path = home.join("lock");
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| crate::io(&path, "opening", &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(crate::io(&path, "locking", &error)),
        Err(TryLockError::WouldBlock) => Err(Problem::new(
            "G1209",
            Kind::Conflict,
            format!("Another `galley infra` or `galley cluster` works on {}.", home.display()),
        )
        .try_this("Wait until that one has ended.")),
    }
}

/// The present moment as it stands in names of files.
pub fn stamp() -> String {
    SystemClock.now().strftime("%Y%m%dT%H%M%S%3f").to_string()
}

/// Counts interrupts and requests to end; the tools are told of each once.
pub fn interrupts() -> Interrupts {
    let (sender, receiver) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            crate::up::interrupted().await;
            sender.send_modify(|count| *count += 1);
            let text = match *sender.borrow() {
                1 => "Interrupted: waiting for what is being made to end. Again to end at once.",
                _ => "Ending at once; the next run puts right what is left.",
            };
            crate::voice::talk(text);
        }
    });
    receiver
}

/// Whether an address is of this machine: our token goes nowhere else by itself.
fn on_loopback(address: &str) -> bool {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    ["127.0.0.1:", "127.0.0.1/", "localhost:", "localhost/", "[::1]"]
        .iter()
        .any(|start| host.starts_with(start))
}

/// User and password for a state that Galley's server keeps, unless the environment has them.
fn credentials(global: &Global, options: &Options) -> Vec<(String, String)> {
    if environment("TF_HTTP_PASSWORD").is_some() {
        return Vec::new();
    }
    let token = options.home.parent().map(|state| state.join("token"));
    let token = token.and_then(|path| std::fs::read_to_string(path).ok());
    let token = token.or_else(|| std::fs::read_to_string(State::find(global).path("token")).ok());
    token.map_or_else(Vec::new, |token| {
        vec![
            ("TF_HTTP_USERNAME".to_owned(), crate::ground::TOKEN_USER.to_owned()),
            ("TF_HTTP_PASSWORD".to_owned(), token.trim().to_owned()),
        ]
    })
}

/// Address of the `http` backend, if that is where the state is.
fn server(space: &Workspace) -> Option<&str> {
    match &space.backend {
        Backend::Configured { kind, address } if kind == "http" => address.as_deref(),
        _ => None,
    }
}
