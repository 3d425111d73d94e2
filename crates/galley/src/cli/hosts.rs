//! Arguments of `galley cluster`: three machines become a Kubernetes through Ansible.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{Output, duration};

/// `cluster ...`
#[derive(Debug, Subcommand)]
pub enum Hosts {
    /// Make machines a Kubernetes with Argo CD and Argo Workflows, and bring the pipeline; a second run changes nothing
    #[command(after_help = INSTALL)]
    Install {
        /// Stop when the cluster stands; `galley bootstrap` can be run later
        #[arg(long)]
        no_bootstrap: bool,
        /// What the cluster needs different, for `bootstrap`
        #[arg(long, value_name = "FILE", conflicts_with = "no_bootstrap")]
        values: Option<PathBuf>,
        /// The playbook
        #[command(flatten)]
        play: Play,
    },
    /// Prove that the cluster works: nodes, pods, names, volumes, etcd, certificates
    Verify(Play),
    /// Show nodes and what does not run, from here
    Status(Reach),
    /// Bring Kubernetes to the version in `group_vars`, one node after the other
    Upgrade(Play),
    /// Take a snapshot of etcd
    Backup {
        /// Copy it into this folder, too. It holds every secret of the cluster
        #[arg(long, value_name = "DIR")]
        fetch: Option<PathBuf>,
        /// The playbook
        #[command(flatten)]
        play: Play,
    },
    /// Put a snapshot of etcd back; everything since then is lost
    Restore {
        /// Snapshot, as `backup --fetch` copied it
        snapshot: PathBuf,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// The playbook
        #[command(flatten)]
        play: Play,
    },
    /// Take everything of the cluster off the machines
    Reset {
        /// Do not ask; must be the cluster's name, or `all` where it has none
        #[arg(short, long, require_equals = true, value_name = "NAME")]
        yes: Option<String>,
        /// The playbook
        #[command(flatten)]
        play: Play,
    },
}

const INSTALL: &str = "\
Machines come from `galley infra apply`, or from a file of your own: `-i inventory.yml` (see infra/ansible/inventory.example.yml).
  galley cluster install --check --diff    what would be done
  galley cluster install --limit node2     only there
  galley cluster install --start-at TASK   from there on";

/// A playbook, and how to run it.
#[derive(Clone, Debug, Args)]
pub struct Play {
    /// The machines
    #[command(flatten)]
    pub reach: Reach,
    /// Only these hosts or groups
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Begin at the task of that name
    #[arg(long, value_name = "TASK")]
    pub start_at: Option<String>,
    /// Only roles and tasks with these tags
    #[arg(short, long, value_name = "TAGS")]
    pub tags: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    pub check: bool,
    /// Show what differs in files
    #[arg(long)]
    pub diff: bool,
    /// More variables for Ansible: `name=value`, or `@FILE`; repeatable
    #[arg(short, long = "extra-vars", value_name = "VARS")]
    pub extra_vars: Vec<String>,
    /// Interrupt Ansible after this long
    #[arg(long, default_value = "2h", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
}

/// The machines, and how they are reached.
#[derive(Clone, Debug, Args)]
pub struct Reach {
    /// Inventory; default: the servers that `galley infra apply` made
    #[arg(short, long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// Folder of the playbooks; default: `infra/ansible` in the pipeline repository
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Private key for the machines
    #[arg(long, env = "GALLEY_SSH_KEY", value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,
    /// `ansible-playbook`, or its path
    #[arg(long, env = "GALLEY_ANSIBLE", default_value = "ansible-playbook", value_name = "PROGRAM")]
    pub ansible: String,
    /// How to print the result
    #[command(flatten)]
    pub output: Output,
}
