//! `galley workflow` and `galley cron` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Isolation, Output, duration};

const RUN: &str = "\
Everything runs in this process and ends with it: a small API server, the workflow engine, and containers
in namespaces of their own. A file may hold several documents: templates, ConfigMaps, Secrets and claims are made first,
then each Workflow is run. A file with only a WorkflowTemplate or a CronWorkflow runs that.

Images are folders: `--image NAME=DIR` says which root file system stands for an image. NAME may be `busybox`,
`busybox:1.36`, `quay.io/team/tool`, or `*` for all others. DIR is a plain root file system, or an OCI bundle
(`config.json` beside `rootfs/`), whose command and environment are then used. A root file system can be made from a
Debian package, with `docker export`, or with `crane export`. `--pull` takes other images from their registries.

Examples:
  galley workflow run hello.yaml --image busybox=./rootfs/busybox
  galley workflow run train.yaml -p epochs=3 --image python=./rootfs/python -o json > result.json
  galley workflow run nightly.yaml --log --image '*=./rootfs/tools'
  galley workflow run big.yaml --state ./run         keeps logs, artifacts and caches; go on after a crash with
  galley workflow run --continue --state ./run

Exit codes: 0 Succeeded; 1 Failed or Error; 64 usage; 65 the file is wrong; 76 not ended within --timeout; 130 interrupted.";

/// Arguments of `workflow run`.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Files with Workflows and what they need; `-` is standard input
    #[arg(required_unless_present = "continue_")]
    pub files: Vec<PathBuf>,
    /// Parameter, `name=value`; repeatable
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,
    /// File with parameters: YAML or JSON, name to value
    #[arg(short = 'f', long, value_name = "FILE")]
    pub parameter_file: Option<PathBuf>,
    /// Root file system of an image; repeatable
    #[arg(long = "image", value_name = "NAME=DIR")]
    pub images: Vec<String>,
    /// Take images that `--image` does not name from their registries; kept for the next run
    #[arg(long)]
    pub pull: bool,
    /// Show the output of containers as it comes
    #[arg(long)]
    pub log: bool,
    /// Begin with this template
    #[arg(long, value_name = "TEMPLATE")]
    pub entrypoint: Option<String>,
    /// Name of the run
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Namespace of the run; default: the file's, or `default`
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Let every suspended node go on at once
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Give up after this long
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub timeout: Option<std::time::Duration>,
    /// Go on with the runs in `--state` that have not ended
    #[arg(long = "continue", conflicts_with_all = ["files", "parameters", "entrypoint", "name"])]
    pub continue_: bool,
    /// How containers are kept apart
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub isolation: Isolation,
    /// How to print the result; `json` and `yaml` give the whole Workflow with its status
    #[command(flatten)]
    pub output: Output,
}

const SERVE: &str = "\
Runs until it is stopped, and goes on where it stopped. What the addresses are is printed, and `-o json` prints it for
scripts. kubectl and the argo command work with the kubeconfig; the argo command and SDKs also with Argo Server's API.
The commands of `galley workflow` and `galley cron` find it by the same `--state DIR`.

Examples:
  galley workflow serve --state ./wf --image busybox=./rootfs/busybox
  galley workflow submit hello.yaml -n default --state ./wf --wait
  export ARGO_SERVER=127.0.0.1:2746 ARGO_HTTP1=true ARGO_SECURE=false ARGO_TOKEN=\"Bearer $(cat ./wf/token)\"
  argo submit --watch hello.yaml";

/// Arguments of `workflow serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Root file system of an image; repeatable
    #[arg(long = "image", value_name = "NAME=DIR")]
    pub images: Vec<String>,
    /// Take images that `--image` does not name from their registries
    #[arg(long)]
    pub pull: bool,
    /// Port of Argo Server's API; 0 takes a free one
    #[arg(long, default_value_t = 2746, value_name = "PORT")]
    pub argo_port: u16,
    /// Port of the Kubernetes API; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub api_port: u16,
    /// Namespaces to make, beside `default`; repeatable
    #[arg(short, long = "namespace", value_name = "NAME")]
    pub namespaces: Vec<String>,
    /// How containers are kept apart
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub isolation: Isolation,
    /// How to print the addresses
    #[command(flatten)]
    pub output: Output,
}

/// `workflow node ...`
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Give a node outputs, a message or an end
    #[command(
        after_help = "Example:\n  galley workflow node set @latest --node-field-selector displayName=approve --output-parameter decision=yes --phase Succeeded"
    )]
    Set {
        /// Name, or `@latest`
        name: String,
        /// Which nodes, as in `displayName=approve,templateName=ask`
        #[arg(long, value_name = "SELECTOR")]
        node_field_selector: String,
        /// Output parameter of a waiting node, `name=value`; repeatable
        #[arg(short = 'p', long = "output-parameter", value_name = "NAME=VALUE")]
        output_parameters: Vec<String>,
        /// What the node says; more than one is joined
        #[arg(short, long, value_name = "TEXT")]
        message: Option<String>,
        /// How it ended: Succeeded, Failed, Error, Skipped
        #[arg(long, value_name = "PHASE")]
        phase: Option<String>,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
}

/// `workflow artifacts ...`
#[derive(Debug, Subcommand)]
pub enum Artifacts {
    /// List what a workflow's nodes have kept
    List {
        /// Name, or `@latest`
        name: String,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
    /// Copy an artifact to a file or folder, as it is kept (archives stay archives)
    Get {
        /// Name, or `@latest`
        name: String,
        /// Which artifact: its name, or `node/name` if several nodes have kept one of that name
        artifact: String,
        /// Where to put it; default: its own file name, here
        #[arg(long, value_name = "PATH")]
        to: Option<PathBuf>,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
}

/// `cron ...`
#[derive(Debug, Subcommand)]
pub enum Cron {
    /// List CronWorkflows
    List {
        /// In every namespace
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
    /// Show a CronWorkflow
    Get {
        /// Name
        name: String,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
    /// Create CronWorkflows from files
    Create {
        /// Files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Other schedule than the file's
        #[arg(long, value_name = "CRON")]
        schedule: Option<String>,
        /// Other name than the file's
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Let a CronWorkflow begin no runs until it is resumed
    Suspend {
        /// Names
        #[arg(required = true)]
        names: Vec<String>,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Let a suspended CronWorkflow go on
    Resume {
        /// Names
        #[arg(required = true)]
        names: Vec<String>,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Delete CronWorkflows; their runs stay
    Delete {
        /// Names
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// All of the namespace
        #[arg(long)]
        all: bool,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Run a CronWorkflow once for each moment of its schedule in a span of the past
    #[command(
        after_help = "Example:\n  galley cron backfill nightly --start 2026-01-01T00:00:00Z --end 2026-01-08T00:00:00Z --argname date"
    )]
    Backfill {
        /// Name
        name: String,
        /// Begin of the span
        #[arg(long, value_name = "MOMENT")]
        start: jiff::Timestamp,
        /// End of the span; default: now
        #[arg(long, value_name = "MOMENT")]
        end: Option<jiff::Timestamp>,
        /// Parameter that takes the moment
        #[arg(long, default_value = "cronScheduleTime", value_name = "NAME")]
        argname: String,
        /// All at once instead of one after the other
        #[arg(long)]
        parallel: bool,
        /// Refuse to make more runs than this
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        max_workflow_count: usize,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
}

/// `workflow ...`
#[derive(Debug, Subcommand)]
pub enum Workflow {
    /// Run workflow files here and now, with no server and no cluster
    #[command(after_help = RUN)]
    Run(Run),
    /// Serve workflows alone, without a pipeline: the Kubernetes API and Argo Server's API on loopback
    #[command(after_help = SERVE)]
    Serve(Serve),
    /// Submit a workflow from a file or a template
    Submit {
        /// File with a Workflow
        #[arg(required_unless_present = "from")]
        file: Option<PathBuf>,
        /// `workflowtemplate/NAME` or `cronwf/NAME`
        #[arg(long, conflicts_with = "file", value_name = "KIND/NAME")]
        from: Option<String>,
        /// Parameter, `name=value`; repeatable
        #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
        parameters: Vec<String>,
        /// Wait for its end; exit code 1 unless it succeeds
        #[arg(short, long)]
        wait: bool,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// List workflows
    List {
        /// In every namespace
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
    /// Show a workflow and its nodes
    Get {
        /// Name, or `@latest`
        name: String,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
    /// Print the logs of a workflow's pods
    Logs {
        /// Name, or `@latest`
        name: String,
        /// Go on as they come
        #[arg(short, long)]
        follow: bool,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Let a suspended workflow go on
    Resume {
        /// Name, or `@latest`
        name: String,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Stop a workflow; exit handlers still run
    Stop {
        /// Name, or `@latest`
        name: String,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// End a workflow at once; exit handlers do not run
    Terminate {
        /// Name, or `@latest`
        name: String,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Let a workflow begin nothing new until it is resumed
    Suspend {
        /// Name, or `@latest`
        name: String,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Go on with a workflow that failed, from where it failed
    Retry {
        /// Name, or `@latest`
        name: String,
        /// Other value for a parameter, `name=value`; repeatable
        #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
        parameters: Vec<String>,
        /// Run the nodes that `--node-field-selector` names again, too, and what depends on them
        #[arg(long, requires = "node_field_selector")]
        restart_successful: bool,
        /// Which nodes, as in `displayName=train,phase=Succeeded`
        #[arg(long, value_name = "SELECTOR")]
        node_field_selector: Option<String>,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Submit a workflow again under a new name
    Resubmit {
        /// Name, or `@latest`
        name: String,
        /// Take over what succeeded
        #[arg(long)]
        memoized: bool,
        /// Other value for a parameter, `name=value`; repeatable
        #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
        parameters: Vec<String>,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Delete a workflow and its pods
    Delete {
        /// Name, or `@latest`
        name: String,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Follow a workflow until it has ended; exit code 1 unless it succeeds
    Watch {
        /// Name, or `@latest`
        name: String,
        /// Where
        #[command(flatten)]
        namespace: Namespace,
    },
    /// Change nodes of a workflow by hand
    #[command(subcommand)]
    Node(Node),
    /// List and fetch the artifacts that a workflow has kept on this machine
    #[command(subcommand)]
    Artifacts(Artifacts),
    /// Check files; every fault with file, line and column
    Lint {
        /// Files with Workflows, WorkflowTemplates or CronWorkflows; templates may refer to each other
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Templates that the files do not hold are a fault
        #[arg(long)]
        offline: bool,
    },
    /// Draw what a workflow file would run, as a Mermaid flowchart
    Graph {
        /// File with a Workflow or a WorkflowTemplate
        file: PathBuf,
    },
}

/// `-n`.
#[derive(Clone, Debug, Args)]
pub struct Namespace {
    /// Namespace
    #[arg(short, long, default_value = "gourmetgram-pipeline", value_name = "NAME")]
    pub namespace: String,
}
