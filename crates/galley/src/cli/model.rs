//! Arguments of what a person does with models and photos at hand: no release, no cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, steps::Services};

/// Arguments of `serve`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Routes: `/` the page; POST /predict and /v1/predict; /v2/models/MODEL/infer (Open Inference Protocol);
/openapi.json the description of all; /metrics for Prometheus; /healthz and /readyz. POST /flag/ID and
/correct-label/ID say that an answer is wrong, DELETE /predictions/ID deletes a photo.
The folder or file is looked at again every two seconds: a new model takes over without a refused request.

Example:
  galley serve --model model --listen 127.0.0.1:8000
  curl -F file=@photo.jpg http://127.0.0.1:8000/v1/predict")]
pub struct Serve {
    /// Folder with `model.onnx` and `contract.json`, or an ONNX file
    #[arg(long, value_name = "DIR_OR_ONNX")]
    pub model: PathBuf,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Photos worked on at a time; 0: one for each core
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub workers: usize,
    /// Requests that may wait; more are told to come back
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub queue: usize,
    /// Folder for photos, answers and what people say of them
    #[arg(long, default_value = ".galley/feedback", value_name = "DIR")]
    pub feedback: PathBuf,
    /// Keep no photo and take no feedback
    #[arg(long)]
    pub no_feedback: bool,
    /// Most that the folder of `--feedback` may hold, MiB; the oldest go first
    #[arg(long, default_value_t = 512, value_name = "MIB")]
    pub feedback_limit: u64,
    /// Do not look for a new model
    #[arg(long)]
    pub no_reload: bool,
}

/// Arguments of `model bench`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  galley model bench --model model --threads 1 --batch 1 -o json")]
pub struct Bench {
    /// Folder with `model.onnx` and `contract.json`, or an ONNX file
    #[arg(long, default_value = "model", value_name = "DIR_OR_ONNX")]
    pub model: PathBuf,
    /// Threads
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,
    /// Photos at a time
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub batch: u16,
    /// Measurements of each part
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: u32,
    /// A photo to decode; default: a made one, 1280 x 960, as JPEG
    #[arg(long, value_name = "FILE")]
    pub photo: Option<PathBuf>,
    /// How to print
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `model inspect`.
#[derive(Clone, Debug, Args)]
pub struct Inspect {
    /// Folder with `model.onnx` and `contract.json`, or an ONNX file
    #[arg(default_value = "model", value_name = "DIR_OR_ONNX")]
    pub model: PathBuf,
    /// How to print
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `model export`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Example:
  galley model export --stage production --out model    then: galley serve --model model")]
pub struct Export {
    /// Alias whose version is taken, such as `production`
    #[arg(long, default_value = "production", value_name = "ALIAS", conflicts_with = "model_version")]
    pub stage: String,
    /// Version, instead of an alias
    #[arg(long, value_name = "N")]
    pub model_version: Option<String>,
    /// Folder to write `model.onnx`, `contract.json` and `head.safetensors` into
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where the services are
    #[command(flatten)]
    pub services: Services,
}

/// `data ...`
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Check a folder or an archive of labelled photos and keep a snapshot that can be trained on
    #[command(after_help = "\
Layouts: <split>/<class>/*.jpg, <class>/*.jpg, or Food-11's flat <class number>_<anything>.jpg; archives: .zip, .tar, .tar.gz.
Photos of one split that are in another one too, or nearly, are leakage and an error.

Example:
  galley data add photos --name food11
  galley model train --data data/food11-3f2a91c0d4e5")]
    Add {
        /// Folder or archive
        #[arg(value_name = "DIR|ARCHIVE")]
        source: PathBuf,
        /// Name of the data; default: the source's own
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Folder that holds the snapshots
        #[arg(long, default_value = "data", value_name = "DIR")]
        into: PathBuf,
        /// Only check and tell; keep nothing
        #[arg(long)]
        check: bool,
        /// Keep it although photos leak from one split into another; leaked training photos are left out
        #[arg(long)]
        allow_leaks: bool,
        /// How to print
        #[command(flatten)]
        output: Output,
    },
}
