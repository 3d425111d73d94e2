//! The command line: definitions only, so that help, completions and the reference are made from one place.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub mod cluster;
pub mod hosts;
pub mod infra;
pub mod model;
pub mod render;
pub mod service;
pub mod steps;
pub mod workflow;

pub use workflow::{Cron, Namespace, Workflow};

/// Trains, judges, delivers and serves a model from one git repository
#[derive(Debug, Parser)]
#[command(name = "galley", version, about, long_about = None, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command
    #[command(flatten)]
    pub global: Global,
}

const EXAMPLES: &str = "\
Examples:
  galley up                         run the pipeline here; makes ./gourmetgram from the built-in template if there is none
  galley up --once                  the same, until the release has ended; for scripts
  galley status                     what runs where, and how to reach it
  galley release list               every candidate and how far it came
  galley release rollback production   put the former version back, by a commit
  galley kubectl get pods -A        the cluster on this machine through kubectl

Exit codes: 0 done; 1 the answer is no (a gate failed); 64 usage; 65 invalid input; 66 not found; 69 unavailable;
70 a fault of Galley; 74 reading or writing; 75 conflict; 76 deadline passed; 77 not allowed; 78 configuration.";

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Folder of all state; default `.galley` in the pipeline repository
    #[arg(long, global = true, env = "GALLEY_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Work on this cluster instead of this machine
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; default: its current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// More talk on standard error; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// No progress and no notices
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// How a list or an object is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people
    #[default]
    Table,
    /// A wider table
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Names only
    Name,
}

/// `-o`, on everything that shows something.
#[derive(Clone, Debug, Args)]
pub struct Output {
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a pipeline repository on this machine
    Up(Up),
    /// Stop what `up` runs
    Down(Down),
    /// Show what runs where, and how to reach it
    Status(Output),
    /// Make a new pipeline repository from the built-in template
    Init(Init),
    /// Say what would be done, without doing it
    Plan(Plan),
    /// Print what a chart, a kustomization or a folder of manifests amounts to
    Render(render::Render),
    /// Run, submit and follow workflows
    #[command(subcommand, alias = "wf")]
    Workflow(Workflow),
    /// Look at CronWorkflows, suspend them, and make up for missed runs
    #[command(subcommand)]
    Cron(Cron),
    /// Look at Applications and sync them
    #[command(subcommand)]
    App(App),
    /// Follow releases, promote and roll back
    #[command(subcommand)]
    Release(Release),
    /// Train, evaluate, register and try models
    #[command(subcommand)]
    Model(steps::Model),
    /// Serve GourmetGram from a model folder or an ONNX file
    Serve(model::Serve),
    /// Check and keep labelled photos
    #[command(subcommand)]
    Data(model::Data),
    /// Build and list images
    #[command(subcommand)]
    Image(Image),
    /// Make servers, networks and addresses on an OpenStack cloud, through OpenTofu or Terraform
    #[command(subcommand)]
    Infra(infra::Infra),
    /// Make machines a Kubernetes with Argo CD and Argo Workflows, through Ansible
    #[command(subcommand)]
    Cluster(hosts::Hosts),
    /// Give a cluster what the pipeline needs, and hand the pipeline over to its Argo CD
    Bootstrap(cluster::Bootstrap),
    /// Compare the same commit on this machine and on a cluster; exit code 1 if a difference has no reason
    Compare(cluster::Compare),
    /// Run one service of the platform on its own, as the Deployments on a cluster do
    #[command(subcommand)]
    Service(service::Service),
    /// Run kubectl against the cluster on this machine
    #[command(
        after_help = "Needs `kubectl` on PATH. For other tools: export KUBECONFIG=\"$(galley kubectl --print-kubeconfig)\""
    )]
    Kubectl(Kubectl),
    /// Answer git's question for a password (used by the repositories that `up` sets up)
    #[command(hide = true)]
    GitCredential(GitCredential),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Arguments of `up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// Pipeline repository; default: this folder if it holds a `galley.yaml`, else `./gourmetgram`
    pub dir: Option<PathBuf>,
    /// Stop when the release that this brings has ended; exit code 1 if it did not reach production
    #[arg(long)]
    pub once: bool,
    /// `default`, or `auto` to take free ports
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    pub ports: Ports,
    /// How pods are kept apart
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub isolation: Isolation,
    /// Give up with `--once` after this long
    #[arg(long, default_value = "15m", value_parser = duration, value_name = "TIME")]
    pub deadline: std::time::Duration,
}

/// Which ports to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Ports {
    /// The documented ones
    #[default]
    Default,
    /// Any that are free
    Auto,
}

/// How pods are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// Namespaces where the kernel allows, else plain processes
    #[default]
    Auto,
    /// Namespaces, or refuse to start
    Namespaces,
    /// Plain processes
    Plain,
}

/// Arguments of `down`.
#[derive(Clone, Debug, Args)]
pub struct Down {
    /// Wait this long for an orderly end
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub deadline: std::time::Duration,
}

/// Arguments of `init`.
#[derive(Clone, Debug, Args)]
pub struct Init {
    /// Folder to make; must not exist or be empty
    pub dir: PathBuf,
}

/// Arguments of `plan`.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// Check and show this workflow file instead of the Applications
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How to print
    #[command(flatten)]
    pub output: Output,
}

/// `app ...`; `serve` is what an image runs.
#[derive(Debug, Subcommand)]
pub enum App {
    /// List Applications
    List(Output),
    /// Show an Application and its resources
    Get {
        /// Name
        name: String,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
    /// Sync an Application now and wait for it
    Sync {
        /// Name
        name: String,
        /// Give up after this long
        #[arg(long, default_value = "2m", value_parser = duration, value_name = "TIME")]
        timeout: std::time::Duration,
    },
    /// Show what differs between git and the cluster; exit code 1 if anything does
    Diff {
        /// Name
        name: String,
    },
    /// Make an Application from a file; `-` is standard input
    Create {
        /// File with an Application
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Change one that is there
        #[arg(long)]
        upsert: bool,
    },
    /// Change fields of an Application: `revision=main`, `path=apps/web`, `repo=URL`, `namespace=NAME`
    Set {
        /// Name
        name: String,
        /// What to change
        #[arg(required = true, value_name = "FIELD=VALUE")]
        fields: Vec<String>,
    },
    /// Wait until an Application is synced and healthy
    Wait {
        /// Name
        name: String,
        /// Give up after this long
        #[arg(long, default_value = "2m", value_parser = duration, value_name = "TIME")]
        timeout: std::time::Duration,
    },
    /// Show what was synced, newest last
    History {
        /// Name
        name: String,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
    /// Go back to an entry of the history; refused while the Application syncs by itself
    Rollback {
        /// Name
        name: String,
        /// Number of the entry, as `galley app history` shows it
        id: i64,
        /// Delete what that entry did not have
        #[arg(long)]
        prune: bool,
    },
    /// Delete an Application and its objects
    Delete {
        /// Name
        name: String,
        /// Leave its objects
        #[arg(long)]
        orphan: bool,
    },
    /// Print what git says an Application is, as it would be applied
    Manifests {
        /// Name
        name: String,
        /// Another revision than its own
        #[arg(long, value_name = "REV", default_value = "")]
        revision: String,
    },
    /// Show an Application's objects with what they own, and how well each is
    Tree {
        /// Name
        name: String,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
    /// Serve GourmetGram from a model folder
    Serve {
        /// Folder with `model.onnx` and `contract.json`
        #[arg(long, value_name = "DIR")]
        model: PathBuf,
        /// Address to listen on
        #[arg(long, default_value = "127.0.0.1:8000", value_name = "ADDRESS")]
        listen: std::net::SocketAddr,
    },
}

/// `image ...`
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Build an image: the base (this binary), or a registered model version on top of it
    Build(steps::Build),
    /// List the images in this machine's store
    List(Output),
    /// Push an image to a registry
    #[command(
        after_help = "Credentials: `docker login` (its config.json), or GALLEY_REGISTRY_USER and GALLEY_REGISTRY_PASSWORD."
    )]
    Push {
        /// Where to, as in `registry.example.org/team/galley:0.1.0`
        target: String,
        /// Which image
        #[command(flatten)]
        which: Which,
        /// Speak plain HTTP to the registry (loopback: always)
        #[arg(long)]
        plain_http: bool,
    },
    /// Write an image as an archive for `ctr images import`, `docker load`, `podman load`, `skopeo`
    Save {
        /// File to write
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Which image
        #[command(flatten)]
        which: Which,
        /// What it is called where it is read; default: its own name
        #[arg(long, value_name = "REFERENCE")]
        name: Option<String>,
    },
}

/// One image.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// An image of this machine's store; default: the base image, this binary
    #[arg(long, value_name = "REFERENCE")]
    pub image: Option<String>,
}

/// `release ...`: a person's verbs first, then those of the workflow's steps.
#[derive(Debug, Subcommand)]
pub enum Release {
    /// List releases, newest first
    List(Output),
    /// Show a release: its gates, figures and commits
    Get {
        /// Name, or `@latest`
        name: String,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
    /// Put the former version of an environment back, by a revert commit
    Rollback {
        /// staging, canary or production
        environment: galley_release_types::Environment,
        /// Why, for the commit message
        #[arg(long, default_value = "asked for by a person", value_name = "TEXT")]
        reason: String,
        /// Wait until the environment answers with the former version
        #[arg(long, default_value = "1m", value_parser = duration, value_name = "TIME")]
        timeout: std::time::Duration,
    },
    /// Deliver a release to the next environment by a commit
    Promote(steps::Promote),
    /// Open the record of a release (first step of the workflow)
    Begin(steps::Begin),
    /// Wait until an environment is healthy and answers with a version
    Wait(steps::Wait),
    /// Judge what runs in an environment and record the gate
    Test(steps::Test),
    /// Close the record of a release (last step of the workflow)
    Settle(steps::Settle),
}

/// Arguments of `kubectl`.
#[derive(Clone, Debug, Args)]
pub struct Kubectl {
    /// Print the kubeconfig's path and end
    #[arg(long)]
    pub print_kubeconfig: bool,
    /// Arguments for kubectl
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
}

/// Arguments of `git-credential`, as git calls a credential helper.
#[derive(Clone, Debug, Args)]
pub struct GitCredential {
    /// `get`, `store` or `erase`
    pub operation: String,
}

/// Reads a duration on the command line.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    galley_units::parse_duration(text).map_err(|error| error.to_string())
}
