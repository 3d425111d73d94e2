//! Arguments of the workflow's steps: subcommands that a person may run by hand with the same flags.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use galley_release_types::Environment;

use super::{Output, duration};

/// Where a step finds its services; on a pod these come from the environment.
#[derive(Clone, Debug, Args)]
pub struct Services {
    /// Tracking server (MLflow's REST interface)
    #[arg(long, env = "MLFLOW_TRACKING_URI", value_name = "URL")]
    pub tracking: Option<String>,
    /// Pipeline repository
    #[arg(long, env = "GALLEY_PIPELINE_URL", value_name = "URL")]
    pub pipeline: Option<String>,
    /// Registry for images, `host:port`
    #[arg(long, env = "GALLEY_REGISTRY", value_name = "HOST")]
    pub registry: Option<String>,
    /// Folder for output parameters, one file each
    #[arg(long, value_name = "DIR")]
    pub outputs: Option<PathBuf>,
}

/// `model ...`
#[derive(Debug, Subcommand)]
pub enum Model {
    /// Train a head on the features and keep it as a run
    Train(Train),
    /// Judge a model on photos, or a run on the test split with its gate
    Evaluate(Evaluate),
    /// Register a run's model as a version
    Register(Register),
    /// Move an alias to a version
    Alias(Alias),
    /// Classify photos
    Predict(Predict),
    /// Time decoding, resizing and the network on this machine
    Bench(super::model::Bench),
    /// Write a registered version's files into a folder
    Export(super::model::Export),
    /// Show what a model file says about itself, and what runs it
    Inspect(super::model::Inspect),
    /// List registered versions
    List {
        /// Where the services are
        #[command(flatten)]
        services: Services,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
}

/// Arguments of `model train`.
#[derive(Clone, Debug, Args)]
pub struct Train {
    /// Release to train for; without one, the `galley.yaml` of this folder is used and nothing is recorded
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// Photos `<split>/<class>/*.jpg`, instead of what `galley.yaml` names
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Without a release: folder for the model
    #[arg(long, default_value = "model", value_name = "DIR")]
    pub model: PathBuf,
    /// Where the services are
    #[command(flatten)]
    pub services: Services,
}

/// Arguments of `model evaluate`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  galley model evaluate --model model --data photos -o json
  galley model evaluate --model new --against old --data photos --html report.html")]
pub struct Evaluate {
    /// Release that the gate belongs to; without one, a model folder is judged and nothing is recorded
    #[arg(long, value_name = "NAME", requires = "run_id")]
    pub release: Option<String>,
    /// Run to judge
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// Without a release: folder of the model, or an ONNX file
    #[arg(long, default_value = "model", value_name = "DIR_OR_ONNX")]
    pub model: PathBuf,
    /// Judge on these photos: a folder with class folders, split folders with those, or flat `3_17.jpg` files
    #[arg(long, value_name = "DIR", conflicts_with_all = ["release", "run_id"])]
    pub data: Option<PathBuf>,
    /// Another model to compare with on the same photos
    #[arg(long, value_name = "DIR_OR_ONNX", requires = "data")]
    pub against: Option<PathBuf>,
    /// Write a report as an HTML page, too
    #[arg(long, value_name = "FILE", requires = "data")]
    pub html: Option<PathBuf>,
    /// Leave out the spoilt photos (blur, low light, small, rotation, compression)
    #[arg(long)]
    pub no_robustness: bool,
    /// How to print
    #[command(flatten)]
    pub output: Output,
    /// Where the services are
    #[command(flatten)]
    pub services: Services,
}

/// Arguments of `model register`.
#[derive(Clone, Debug, Args)]
pub struct Register {
    /// Release that the version belongs to
    #[arg(long, value_name = "NAME")]
    pub release: String,
    /// Run to register
    #[arg(long, value_name = "ID")]
    pub run_id: String,
    /// Where the services are
    #[command(flatten)]
    pub services: Services,
}

/// Arguments of `model alias`.
#[derive(Clone, Debug, Args)]
pub struct Alias {
    /// The alias, such as `staging-approved`
    pub alias: String,
    /// Release that the version belongs to; its gates must have passed
    #[arg(long, value_name = "NAME")]
    pub release: String,
    /// Version to point at
    #[arg(long, value_name = "N")]
    pub model_version: String,
    /// Where the services are
    #[command(flatten)]
    pub services: Services,
}

/// Arguments of `model predict`.
#[derive(Clone, Debug, Args)]
pub struct Predict {
    /// Photos
    #[arg(required = true, value_name = "PHOTO")]
    pub photos: Vec<PathBuf>,
    /// Folder with `model.onnx` and `contract.json`
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub model: Option<PathBuf>,
    /// Address of a running GourmetGram; default: production on this machine
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// How to print
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `image build`.
#[derive(Clone, Debug, Args)]
pub struct Build {
    /// Build the base image: this binary
    #[arg(long, conflicts_with_all = ["model_version", "release"])]
    pub base: bool,
    /// Release that the image belongs to
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// Registered version to pack
    #[arg(long, value_name = "N", required_unless_present = "base")]
    pub model_version: Option<String>,
    /// Push it to the registry
    #[arg(long)]
    pub push: bool,
    /// Where the services are
    #[command(flatten)]
    pub services: Services,
}

/// Arguments of `release begin`.
#[derive(Clone, Debug, Args)]
pub struct Begin {
    /// Release; empty for one named after the workflow
    #[arg(long, default_value = "", value_name = "NAME")]
    pub name: String,
    /// Workflow that carries it
    #[arg(long, value_name = "NAME")]
    pub workflow: String,
    /// Commit or branch to train from
    #[arg(long, default_value = "main", value_name = "REV")]
    pub revision: String,
    /// Where the services are
    #[command(flatten)]
    pub services: Services,
}

/// Arguments of `release promote`.
#[derive(Clone, Debug, Args)]
pub struct Promote {
    /// Release
    pub name: String,
    /// Environment to deliver to
    #[arg(long, value_name = "ENVIRONMENT")]
    pub to: Environment,
    /// Environment that must run the version now
    #[arg(long, value_name = "ENVIRONMENT")]
    pub from: Option<Environment>,
    /// Version, as a check that it is the release's
    #[arg(long, value_name = "N")]
    pub model_version: Option<String>,
    /// Where the services are
    #[command(flatten)]
    pub services: Services,
}

/// Arguments of `release wait`.
#[derive(Clone, Debug, Args)]
pub struct Wait {
    /// Release
    pub name: String,
    /// Environment to wait for
    #[arg(long = "in", value_name = "ENVIRONMENT")]
    pub environment: Environment,
    /// Version that must answer
    #[arg(long, value_name = "N")]
    pub model_version: String,
    /// Give up after this long
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "TIME")]
    pub timeout: std::time::Duration,
    /// Where the services are
    #[command(flatten)]
    pub services: Services,
}

/// What to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Check {
    /// The routes answer as the serving contract says
    Contract,
    /// Many requests at once, within limits
    Load,
    /// The same requests to canary and production: errors, times, agreement
    Canary,
}

/// Arguments of `release test`.
#[derive(Clone, Debug, Args)]
pub struct Test {
    /// Release
    pub name: String,
    /// Environment to judge
    #[arg(long = "in", value_name = "ENVIRONMENT")]
    pub environment: Environment,
    /// What to judge
    #[arg(long, value_enum)]
    pub check: Check,
    /// Version that must be running
    #[arg(long, value_name = "N")]
    pub model_version: String,
    /// Where the services are
    #[command(flatten)]
    pub services: Services,
}

/// Arguments of `release settle`.
#[derive(Clone, Debug, Args)]
pub struct Settle {
    /// Release; empty for the one named after the workflow
    #[arg(long, default_value = "", value_name = "NAME")]
    pub name: String,
    /// Workflow that carried it
    #[arg(long, value_name = "NAME")]
    pub workflow: String,
    /// How the workflow ended
    #[arg(long, value_name = "STATUS")]
    pub status: String,
    /// Where the services are
    #[command(flatten)]
    pub services: Services,
}
