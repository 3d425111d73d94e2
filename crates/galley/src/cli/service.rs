//! Arguments of the platform's services, one process each: what the Deployments of the platform chart run.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};

/// `service ...`
#[derive(Debug, Subcommand)]
pub enum Service {
    /// Git server with the pipeline repository; it starts releases and tells Argo CD of pushes
    Git(Keeping),
    /// OCI registry
    Registry(Keeping),
    /// Tracking server with MLflow's REST interface
    Tracking(Keeping),
    /// Gateway API controller and proxy
    Gateway(Gateway),
    /// State of OpenTofu and Terraform over HTTP: locked, with a history
    State(Keeping),
}

/// A service that keeps something.
#[derive(Clone, Debug, Args)]
pub struct Keeping {
    /// Folder for everything it keeps
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
}

/// The gateway.
#[derive(Clone, Debug, Args)]
pub struct Gateway {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Port that Gateways give the listener which is served here
    #[arg(long, default_value_t = 80, value_name = "PORT")]
    pub port: u16,
    /// Address that is shown in the status of Gateways
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    pub address: String,
    /// Address for health and metrics
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    pub admin: SocketAddr,
}
