//! The Release object and what its status records.

use serde::{Deserialize, Serialize};

/// One of the places where a version runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Tested here, seen by nobody.
    Staging,
    /// A small share of live traffic.
    Canary,
    /// Everybody.
    Production,
}

/// All environments, in the order a candidate passes them.
pub const ENVIRONMENTS: [Environment; 3] =
    [Environment::Staging, Environment::Canary, Environment::Production];

impl Environment {
    /// The name, as in paths, namespaces and aliases.
    pub const fn name(self) -> &'static str {
        match self {
            Environment::Staging => "staging",
            Environment::Canary => "canary",
            Environment::Production => "production",
        }
    }

    /// The namespace it lives in.
    pub fn namespace(self) -> String {
        format!("gourmetgram-{}", self.name())
    }

    /// The name of its Argo CD Application.
    pub fn application(self) -> String {
        format!("gourmetgram-{}", self.name())
    }

    /// The file in the pipeline repository that says which version it runs.
    pub fn values_file(self) -> String {
        format!("k8s/{}/values.yaml", self.name())
    }
}

impl std::fmt::Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Environment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ENVIRONMENTS
            .into_iter()
            .find(|environment| environment.name() == text)
            .ok_or_else(|| format!("`{text}` is not an environment; choose staging, canary or production"))
    }
}

/// What a gate decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Go on.
    Pass,
    /// Stop.
    Fail,
    /// Not enough evidence; treated as "not passed", never as a silent pass.
    Inconclusive,
}

/// A named check between two stages, with its verdict and evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// Which gate, such as `evaluation`, `staging-contract`, `staging-load`, `canary`.
    pub name: String,
    /// What it decided.
    pub verdict: Verdict,
    /// Why, in one sentence with figures.
    pub reason: String,
    /// The figures: name to number or text.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub evidence: serde_json::Map<String, serde_json::Value>,
    /// When, RFC 3339.
    pub at: String,
}

/// A commit that delivered the candidate to an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    /// Where to.
    pub environment: Environment,
    /// The commit's id.
    pub commit: String,
    /// What ran there before; nothing if the environment was empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Deployed>,
    /// When, RFC 3339.
    pub at: String,
}

/// What an environment runs, as its `values.yaml` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployed {
    /// Registered model version.
    pub version: String,
    /// Digest of the image, `sha256:...`.
    pub digest: String,
}

/// How far a release is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Asked for; nothing has started.
    #[default]
    Pending,
    /// Training and evaluation.
    Training,
    /// Registered, becoming an image.
    Building,
    /// In staging.
    Staging,
    /// In canary.
    Canary,
    /// In production: done.
    Promoted,
    /// Stopped by a gate.
    Stopped,
    /// Stopped by a fault.
    Failed,
}

impl Phase {
    /// Nothing more will happen.
    pub const fn is_final(self) -> bool {
        matches!(self, Phase::Promoted | Phase::Stopped | Phase::Failed)
    }
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseSpec {
    /// The commit of the pipeline repository that asked for it.
    pub commit: String,
    /// Digest of everything that decides the trained model ([`crate::ModelFile::training_digest`]).
    pub training_digest: String,
    /// Why: the commit's subject, a schedule, a person.
    #[serde(default)]
    pub reason: String,
}

/// What happened so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReleaseStatus {
    /// How far it is.
    pub phase: Phase,
    /// One sentence on the present state.
    pub message: String,
    /// The Workflow that carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// The MLflow run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The registered model version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The image, `repository@sha256:...`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The gates, in the order they were judged; a gate judged again replaces its entry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// The promotion commits, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<Commit>,
    /// When work began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// The Kubernetes object, without the metadata that the API client keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// What was asked for.
    #[serde(default)]
    pub spec: ReleaseSpec,
    /// What happened so far.
    #[serde(default)]
    pub status: ReleaseStatus,
}

impl ReleaseStatus {
    /// Records a gate's verdict; the same gate judged again replaces the earlier entry.
    pub fn record(&mut self, gate: Gate) {
        match self.gates.iter_mut().find(|known| known.name == gate.name) {
            Some(known) => *known = gate,
            None => self.gates.push(gate),
        }
    }

    /// The first gate that did not pass.
    pub fn stopped_by(&self) -> Option<&Gate> {
        self.gates.iter().find(|gate| gate.verdict != Verdict::Pass)
    }
}
