//! `galley cluster`: drives Ansible on the pipeline repository's playbooks, and reaches the cluster that comes of it.
//!
//! The API of such a cluster is open to nobody outside its nodes, so `install` (for its bootstrap) and `status` go through
//! a tunnel of ssh, as a person would.

mod board;
mod play;
mod status;
mod tunnel;

use std::path::{Path, PathBuf};

use galley_problem::{Kind, Problem};

use crate::{
    Answer, bootstrap,
    cli::{
        Format, Global, Output,
        cluster::Bootstrap,
        hosts::{Hosts, Play, Reach},
    },
    state::find_pipeline,
    voice,
};
use play::Site;

/// Runs one of the commands.
///
/// # Errors
/// G1220 to G1224, each with place, output and remedy.
pub async fn run(global: &Global, hosts: Hosts) -> Result<Answer, Problem> {
    match hosts {
        Hosts::Install { no_bootstrap, values, play } => install(global, &play, no_bootstrap, values).await,
        Hosts::Verify(play) => playbook(global, &play, "verify.yml", Vec::new()).await,
        Hosts::Status(reach) => status::run(global, &reach).await,
        Hosts::Upgrade(play) => playbook(global, &play, "upgrade.yml", Vec::new()).await,
        Hosts::Backup { fetch, play } => {
            let fetch = fetch.map(|dir| folder(&dir)).transpose()?;
            let more = fetch.map(|dir| format!("backup_fetch_dir={}", dir.display())).into_iter().collect();
            playbook(global, &play, "backup.yml", more).await
        }
        Hosts::Restore { snapshot, yes, play } => restore(global, &play, &snapshot, yes).await,
        Hosts::Reset { yes, play } => reset(global, &play, yes.as_deref()).await,
    }
}

/// A playbook by itself.
async fn playbook(global: &Global, play: &Play, name: &str, more: Vec<String>) -> Result<Answer, Problem> {
    let site = Site::open(global, &play.reach)?;
    play::run(global, &site, play, name, more).await?;
    Ok(Answer::Yes)
}

async fn install(
    global: &Global,
    play: &Play,
    no_bootstrap: bool,
    values: Option<PathBuf>,
) -> Result<Answer, Problem> {
    let site = Site::open(global, &play.reach)?;
    play::run(global, &site, play, "site.yml", Vec::new()).await?;
    // A part of an install is not the moment for what stands on all of it.
    let part = play.check || play.limit.is_some() || play.tags.is_some() || play.start_at.is_some();
    if no_bootstrap || part {
        return Ok(Answer::Yes);
    }
    let tunnel = tunnel::Tunnel::open(global, &site, &play.reach).await?;
    voice::talk("The cluster stands. Bringing the pipeline: galley bootstrap");
    let global = Global { kubeconfig: Some(tunnel.kubeconfig().to_owned()), context: None, ..global.clone() };
    let args = Bootstrap {
        gateway_api: None,
        dir: find_pipeline(Path::new(".")),
        values,
        dry_run: false,
        remove: false,
        force_conflicts: false,
        timeout: std::time::Duration::from_secs(900),
        output: Output { output: Format::Table },
    };
    let answer = bootstrap::run(&global, args).await;
    tunnel.close().await;
    answer
}

async fn restore(global: &Global, play: &Play, snapshot: &Path, yes: bool) -> Result<Answer, Problem> {
    let snapshot = crate::commands::infra::absolute(snapshot)?;
    if !yes && !play.check {
        confirm("This puts etcd back as the snapshot has it; what came since is lost.", "restore", "--yes")?;
    }
    let more = vec![format!("backup_restore_from={}", snapshot.display())];
    playbook(global, play, "restore.yml", more).await
}

async fn reset(global: &Global, play: &Play, yes: Option<&str>) -> Result<Answer, Problem> {
    let site = Site::open(global, &play.reach)?;
    let tree = site.inventory(global, &play.reach).await?;
    let name = tunnel::cluster_name(&tree).unwrap_or_else(|| "all".to_owned());
    if !play.check && yes != Some(name.as_str()) {
        let whom = play.limit.clone().unwrap_or_else(|| "every machine of the inventory".to_owned());
        confirm(
            &format!("This takes everything of the cluster off {whom}."),
            &name,
            &format!("--yes={name}"),
        )?;
    }
    let more = if play.check { Vec::new() } else { vec!["reset_confirmed=true".to_owned()] };
    play::run(global, &site, play, "reset.yml", more).await?;
    Ok(Answer::Yes)
}

fn confirm(what: &str, word: &str, flag: &str) -> Result<(), Problem> {
    if voice::can_ask() {
        let answer = voice::ask(&format!("{what} Type {word} to go on: "));
        if answer.as_deref() == Some(word) {
            return Ok(());
        }
        return Err(Problem::new("G1207", Kind::Failed, "It was not agreed to, and nothing was changed."));
    }
    Err(Problem::new("G1207", Kind::Usage, format!("{what} Nobody has agreed to that."))
        .try_this(format!("Add `{flag}` if that is what you want.")))
}

fn folder(dir: &Path) -> Result<PathBuf, Problem> {
    std::fs::create_dir_all(dir).map_err(|e| crate::io(dir, "making the folder", &e))?;
    crate::commands::infra::absolute(dir)
}

/// The program beside `ansible-playbook` of another name.
fn beside(reach: &Reach, name: &str) -> String {
    reach
        .ansible
        .strip_suffix("ansible-playbook")
        .map_or_else(|| name.to_owned(), |folder| format!("{folder}{name}"))
}
