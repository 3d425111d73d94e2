//! Arguments of the commands about a real cluster.

use std::path::PathBuf;

use clap::Args;

use super::{Output, duration};

/// Arguments of `compare`.
#[derive(Clone, Debug, Args)]
pub struct Compare {
    /// State folder of the `galley up` on this machine
    #[arg(long, value_name = "DIR")]
    pub local: PathBuf,
    /// Release to compare; default: the newest that both have
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// Show what is equal too
    #[arg(long)]
    pub all: bool,
    /// How to print
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `bootstrap`.
#[derive(Clone, Debug, Args)]
pub struct Bootstrap {
    /// Pipeline repository; default: this folder if it holds a `galley.yaml`, else `./gourmetgram`, made if need be
    pub dir: Option<PathBuf>,
    /// What this cluster needs different, for the platform's chart; committed as `k8s/platform/values-cluster.yaml`
    #[arg(long, value_name = "FILE")]
    pub values: Option<PathBuf>,
    /// The Gateway API's definitions (`standard-install.yaml` of a release of kubernetes-sigs/gateway-api), for a cluster
    /// that has none
    #[arg(long, value_name = "FILE")]
    pub gateway_api: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Take away what bootstrap brought, and nothing else
    #[arg(long, conflicts_with_all = ["dir", "values", "gateway_api", "dry_run"])]
    pub remove: bool,
    /// Take fields over that somebody else manages
    #[arg(long)]
    pub force_conflicts: bool,
    /// Give up waiting after this long
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "TIME")]
    pub timeout: std::time::Duration,
    /// How to print the plan
    #[command(flatten)]
    pub output: Output,
}
