//! Arguments of `galley infra`: servers, networks and addresses through OpenTofu or Terraform.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{Output, duration};

/// `infra ...`
#[derive(Debug, Subcommand)]
pub enum Infra {
    /// Look at everything that can be known before anything is made: tool, configuration, credentials, quota, names
    Check(Site),
    /// Say what would be made, changed and destroyed, without doing it
    Plan {
        /// Say what `destroy` would do
        #[arg(long)]
        destroy: bool,
        /// The configuration
        #[command(flatten)]
        site: Site,
    },
    /// Make the cloud what the configuration says; goes on where a run was cut off
    #[command(after_help = CONSENT)]
    Apply {
        /// Whether to ask
        #[command(flatten)]
        consent: Consent,
        /// The configuration
        #[command(flatten)]
        site: Site,
    },
    /// Make a node's server anew; its addresses stay
    #[command(after_help = CONSENT)]
    Replace {
        /// Name of the node
        node: String,
        /// Whether to ask
        #[command(flatten)]
        consent: Consent,
        /// The configuration
        #[command(flatten)]
        site: Site,
    },
    /// Take away everything that was made
    #[command(after_help = CONSENT)]
    Destroy {
        /// Whether to ask
        #[command(flatten)]
        consent: Consent,
        /// The configuration
        #[command(flatten)]
        site: Site,
    },
    /// Print the outputs; what is marked sensitive is not shown
    #[command(name = "output")]
    Outputs {
        /// Only this one, as plain text
        name: Option<String>,
        /// The configuration
        #[command(flatten)]
        site: Site,
    },
    /// Print the nodes and how they are reached; `-o json` is an inventory for Ansible
    Inventory(Site),
    /// Show what the state holds, and where it is
    Show(Site),
    /// List older states
    History(Site),
    /// Make an older state the one that counts; nothing in the cloud is changed by it
    Restore {
        /// Version, as `history` lists it
        version: String,
        /// The configuration
        #[command(flatten)]
        site: Site,
    },
    /// Take away a lock whose holder is gone
    Unlock {
        /// The lock's id, as the message about it says
        id: String,
        /// The configuration
        #[command(flatten)]
        site: Site,
    },
}

const CONSENT: &str = "\
What destroys nothing is asked for with a yes; what destroys something, by name: of a node, or `all`. Without a terminal:
  galley infra apply --yes                 agrees to what is made and changed, and to nothing that is destroyed
  galley infra replace node2 --yes=node2   agrees to the loss of node2
  galley infra destroy --yes=all           agrees to the loss of everything";

/// A configuration, and how to work on it.
#[derive(Clone, Debug, Args)]
pub struct Site {
    /// Folder of the configuration; default: `infra/tofu` in the pipeline repository
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// `tofu`, `terraform` or a path; default: the first of the two that is installed
    #[arg(long, env = "GALLEY_TOFU", value_name = "PROGRAM")]
    pub tool: Option<String>,
    /// Variable, `name=value`; repeatable
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub vars: Vec<String>,
    /// File of variables; repeatable
    #[arg(long = "var-file", value_name = "FILE")]
    pub var_files: Vec<PathBuf>,
    /// Entry of clouds.yaml for the questions that Galley itself asks; default: the variable `cloud`
    #[arg(long, env = "OS_CLOUD", value_name = "NAME")]
    pub cloud: Option<String>,
    /// How many resources are worked on at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub parallelism: Option<u32>,
    /// Wait this long for somebody else's lock of the state
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "TIME")]
    pub lock_timeout: Duration,
    /// Interrupt the tool after this long
    #[arg(long, default_value = "1h", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
    /// How to print
    #[command(flatten)]
    pub output: Output,
}

/// Whether to ask, and what was agreed to beforehand.
#[derive(Clone, Debug, Args)]
pub struct Consent {
    /// Do not ask; `--yes=NAME` agrees to what is destroyed, too
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "", value_name = "NAME")]
    pub yes: Option<String>,
}
