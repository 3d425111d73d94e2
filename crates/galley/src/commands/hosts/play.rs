//! One playbook, from the command line to its end, and what a failure is to a person.

use std::{fs::File, path::PathBuf, time::Instant};

use galley_iac::ansible::{Failure, Playbook, Ran};
use galley_problem::{Kind, Problem};
use owo_colors::OwoColorize;
use serde_json::Value;

use super::board::Screen;
use crate::{
    cli::{
        Global,
        hosts::{Play, Reach},
    },
    commands::infra::{absolute, home, interrupts, lock, stamp},
    state::find_pipeline,
    voice,
};

/// Longest time for Ansible to say what its inventory is.
const INVENTORY: std::time::Duration = std::time::Duration::from_secs(120);
/// How many lines of a program's output are shown.
const LINES: usize = 15;

/// Playbooks, inventory and state.
pub struct Site {
    /// Folder of the playbooks.
    pub dir: PathBuf,
    /// Folder for state.
    pub home: PathBuf,
    /// The kubeconfig that `access` writes.
    pub kubeconfig: PathBuf,
    inventory: Option<PathBuf>,
    env: Vec<(String, String)>,
    _lock: Option<File>,
}

impl Site {
    /// Finds everything.
    pub fn open(global: &Global, reach: &Reach) -> Result<Site, Problem> {
        let dir = match (&reach.dir, find_pipeline(std::path::Path::new("."))) {
            (Some(dir), _) => dir.clone(),
            (None, Some(pipeline)) => pipeline.join("infra/ansible"),
            (None, None) => PathBuf::from("infra/ansible"),
        };
        let dir = dir.canonicalize().map_err(|error| {
            Problem::new("G1202", Kind::NotFound, format!("There are no playbooks in {}.", dir.display()))
                .because(&error)
                .try_this("Run this in the pipeline repository that `galley init` made, or name the folder with `--dir DIR`.")
        })?;
        let home = home(global, &dir)?;
        let kubeconfig = home.join("cluster.kubeconfig");
        let mut env = vec![
            ("ANSIBLE_CONFIG".to_owned(), dir.join("ansible.cfg").display().to_string()),
            ("GALLEY_KUBECONFIG".to_owned(), kubeconfig.display().to_string()),
        ];
        let inventory = match &reach.inventory {
            Some(path) => Some(absolute(path)?),
            None => {
                let outputs = home.join("outputs.json");
                if !outputs.is_file() {
                    return Err(Problem::new("G1223", Kind::NotFound, "No machines are known.").try_this(
                        "Make servers with `galley infra apply`, or write down your own: `-i inventory.yml` (see infra/ansible/inventory.example.yml).",
                    ));
                }
                env.push(("GALLEY_TOFU_OUTPUTS".to_owned(), outputs.display().to_string()));
                env.push(("GALLEY_KNOWN_HOSTS".to_owned(), home.join("known_hosts").display().to_string()));
                None
            }
        };
        if let Some(key) = &reach.ssh_key {
            env.push(("GALLEY_SSH_KEY".to_owned(), absolute(key)?.display().to_string()));
        }
        Ok(Site { dir, home, kubeconfig, inventory, env, _lock: None })
    }

    fn inventory_args(&self) -> Vec<String> {
        self.inventory.iter().flat_map(|path| ["-i".to_owned(), path.display().to_string()]).collect()
    }

    /// The inventory as Ansible understands it.
    pub async fn inventory(&self, global: &Global, reach: &Reach) -> Result<Value, Problem> {
        let program = super::beside(reach, "ansible-inventory");
        let mut command = tokio::process::Command::new(&program);
        command.args(self.inventory_args()).arg("--list").current_dir(&self.dir).kill_on_drop(true);
        command.envs(self.env.iter().map(|(name, value)| (name, value))).stdin(std::process::Stdio::null());
        if global.verbose > 0 {
            voice::talk(&format!("+ {program} {} --list", self.inventory_args().join(" ")));
        }
        let unusable = |why: String| {
            Problem::new("G1223", Kind::Invalid, "The inventory cannot be read.")
                .because_of(why)
                .try_this("See infra/ansible/inventory.example.yml for what it wants.")
        };
        let output = match tokio::time::timeout(INVENTORY, command.output()).await {
            Err(_) => return Err(unusable(format!("`{program}` did not end in two minutes"))),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(galley_iac::Error::Missing(program).into());
            }
            Ok(Err(error)) => return Err(unusable(error.to_string())),
            Ok(Ok(output)) => output,
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let tree: Value =
            serde_json::from_slice(&output.stdout).map_err(|_| unusable(last_lines(&said, 3).join(" ")))?;
        if tree["_meta"]["hostvars"].as_object().is_none_or(serde_json::Map::is_empty) {
            return Err(unusable(format!("it has no hosts. {}", last_lines(&said, 3).join(" "))));
        }
        Ok(tree)
    }
}

/// Runs a playbook and tells what came of it.
pub async fn run(
    global: &Global,
    site: &Site,
    play: &Play,
    name: &str,
    more: Vec<String>,
) -> Result<(), Problem> {
    let _alone = lock(&site.home)?;
    let playbook = Playbook {
        command: vec![play.reach.ansible.clone()],
        dir: site.dir.clone(),
        name: name.to_owned(),
        args: arguments(site, play, more)?,
        env: site.env.clone(),
        runs: site.home.join("runs"),
        stamp: stamp(),
        timeout: play.timeout,
    };
    let screen = Screen::new(global, play.diff);
    screen.command(&playbook.program().shown());
    let begun = Instant::now();
    let ran = playbook.run(interrupts(), |event, board| screen.event(event, board)).await?;
    screen.close();
    super::board::print(play.reach.output.output, &ran.board, begun.elapsed())?;
    if ran.ok {
        if ran.board.hosts.is_empty() {
            return Err(Problem::new("G1223", Kind::NotFound, "No machine was worked on.")
                .because_of(last_lines(&ran.said, 2).join(" "))
                .try_this("Look at `--limit` and at the inventory."));
        }
        return Ok(());
    }
    Err(problem(site, &ran, name))
}

fn arguments(site: &Site, play: &Play, more: Vec<String>) -> Result<Vec<String>, Problem> {
    let mut args = site.inventory_args();
    let mut pair = |flag: &str, value: &Option<String>| {
        if let Some(value) = value {
            args.extend([flag.to_owned(), value.clone()]);
        }
    };
    pair("--limit", &play.limit);
    pair("--start-at-task", &play.start_at);
    pair("--tags", &play.tags);
    for extra in &play.extra_vars {
        let extra = match extra.strip_prefix('@') {
            Some(file) => format!("@{}", absolute(std::path::Path::new(file))?.display()),
            None => extra.clone(),
        };
        pair("-e", &Some(extra));
    }
    for extra in more {
        pair("-e", &Some(extra));
    }
    args.extend(play.check.then(|| "--check".to_owned()));
    args.extend(play.diff.then(|| "--diff".to_owned()));
    Ok(args)
}

fn problem(site: &Site, ran: &Ran, name: &str) -> Problem {
    let failures = &ran.board.failures;
    let Some(first) = failures.iter().find(|one| !one.unreachable).or_else(|| failures.first()) else {
        let mut problem = Problem::new("G1221", Kind::Invalid, format!("Ansible did not run {name}."));
        problem.causes = last_lines(&ran.said, 6);
        return problem.try_this("Mend that; `-v` shows the exact command.");
    };
    let mut problem = if first.unreachable { unreachable(first) } else { failed(first) };
    if let Some(file) = &first.task.file {
        let shown = std::path::Path::new(file)
            .strip_prefix(&site.dir)
            .map_or_else(|_| file.clone(), |path| path.display().to_string());
        problem = problem.at(shown, first.task.line, 0);
    }
    for other in failures.iter().filter(|other| *other != first).take(5) {
        let how = if other.unreachable { "does not answer" } else { "failed, too" };
        problem.causes.push(format!("{} {how}: {}", other.host, other.task.name));
    }
    problem
}

fn failed(failure: &Failure) -> Problem {
    let Failure { host, task, detail, .. } = failure;
    let role = task.role.as_ref().map_or_else(String::new, |role| format!("{role}: "));
    let mut problem = Problem::new("G1221", Kind::Failed, format!("{host} failed at `{role}{}`.", task.name));
    problem.causes.extend(last_lines(&detail.message, LINES));
    problem.causes.extend(last_lines(&detail.output, LINES));
    let all = format!("{} {}", detail.message, detail.output).to_lowercase();
    problem.try_this(match remedy(&all) {
        Some(remedy) => format!("{remedy} Then run it again; it goes on where it was."),
        None => format!(
            "Mend that and run it again; what is done stays. `--limit {host}` works on that one only, `--start-at '{}'` begins there.",
            task.name
        ),
    })
}

fn remedy(said: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 8] = [
        ("no space left", "The disk of that machine is full: make room."),
        (
            "missing sudo password",
            "The user needs sudo without a password there: add it to sudoers with NOPASSWD.",
        ),
        (
            "a password is required",
            "The user needs sudo without a password there: add it to sudoers with NOPASSWD.",
        ),
        (
            "is not in the sudoers",
            "The user needs sudo without a password there: add it to sudoers with NOPASSWD.",
        ),
        (
            "is pinned",
            "The file is not the one that is pinned: fetch it again from the address in the message.",
        ),
        (
            "checksum",
            "The file is not the one that is pinned: fetch it again, or correct `group_vars/all/versions.yml`.",
        ),
        ("could not resolve", "The machine resolves no names: look at its DNS."),
        ("could not get lock", "Another program installs packages there: wait until it is done."),
    ];
    KNOWN.iter().find(|(word, _)| said.contains(word)).map(|(_, remedy)| *remedy)
}

fn unreachable(failure: &Failure) -> Problem {
    let mut problem = Problem::new("G1222", Kind::Unavailable, format!("{} does not answer.", failure.host));
    problem.causes.extend(last_lines(&failure.detail.message, 4));
    let said = failure.detail.message.to_lowercase();
    problem.try_this(if said.contains("host key") || said.contains("identification has changed") {
        "Its host key is not the one that is known. If it was made anew, take the new key from its console (inventory/host_keys.py)."
    } else if said.contains("permission denied") {
        "It lets this key in nowhere: name the right one with `--ssh-key FILE`, and look at `ansible_user`."
    } else {
        "Look whether it runs and at its console; then run it again with `--limit` and its name."
    })
}

fn last_lines(text: &str, many: usize) -> Vec<String> {
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(many)).map(|line| (*line).to_owned()).collect()
}

/// A line that a person may skip.
pub fn aside(text: &str) -> String {
    text.dimmed().to_string()
}
