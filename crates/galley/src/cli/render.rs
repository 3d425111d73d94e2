//! `galley render`.

use std::path::PathBuf;

use clap::Args;

const EXAMPLES: &str = "\
Examples:
  galley render k8s/staging --name staging -n gourmetgram-staging     a chart, as `helm template` prints it
  galley render k8s/staging -f values.ci.yaml --set image.tag=1.2     with other values
  galley render chart-1.2.3.tgz --include-crds                        a packed chart with its CRDs
  galley render overlays/production                                   a kustomization, as `kustomize build` prints it
  galley render manifests/ -o json                                    plain manifests, as a JSON list

Nothing is asked of a cluster or of the network: `lookup` finds nothing, dependencies must lie under charts/.";

/// Arguments of `render`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Render {
    /// Chart (folder or .tgz), folder with a kustomization, or folder of manifests
    pub path: PathBuf,
    /// Name of the release; default `release-name`
    #[arg(long, value_name = "NAME", default_value = "")]
    pub name: String,
    /// Namespace of the release; default `default`
    #[arg(short, long, value_name = "NAME", default_value = "")]
    pub namespace: String,
    /// Values file, `-` for standard input; repeatable, later ones win
    #[arg(short = 'f', long = "values", value_name = "FILE")]
    pub values: Vec<PathBuf>,
    /// Value, `image.tag=1.2,replicas=3`; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Value that stays text
    #[arg(long, value_name = "KEY=VALUE")]
    pub set_string: Vec<String>,
    /// Value as JSON
    #[arg(long, value_name = "KEY=JSON")]
    pub set_json: Vec<String>,
    /// Value from a file
    #[arg(long, value_name = "KEY=FILE")]
    pub set_file: Vec<String>,
    /// Value that stays as it is, commas and all
    #[arg(long, value_name = "KEY=VALUE")]
    pub set_literal: Vec<String>,
    /// Version of Kubernetes that the chart sees
    #[arg(long, value_name = "VERSION")]
    pub kube_version: Option<String>,
    /// Further API version that the chart sees; repeatable
    #[arg(short, long, value_name = "VERSION", value_delimiter = ',')]
    pub api_versions: Vec<String>,
    /// Print the chart's CRDs, too
    #[arg(long)]
    pub include_crds: bool,
    /// Print no hooks
    #[arg(long)]
    pub no_hooks: bool,
    /// Print no hooks that are tests
    #[arg(long)]
    pub skip_tests: bool,
    /// Print only this template, such as `templates/service.yaml`; repeatable
    #[arg(short, long = "show-only", value_name = "TEMPLATE")]
    pub show_only: Vec<String>,
    /// Render as an upgrade of a release that is there
    #[arg(long)]
    pub is_upgrade: bool,
    /// Do not hold the values against the charts' schemas
    #[arg(long)]
    pub skip_schema_validation: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Text,
}

/// How manifests are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Text {
    /// YAML documents
    #[default]
    Yaml,
    /// One JSON list
    Json,
}
