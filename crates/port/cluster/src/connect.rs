//! The way into a cluster, proved before anything relies on it.

use std::{path::Path, sync::Arc, time::Duration};

use galley_problem::{Kind, Problem, did_you_mean};
use galley_units::{Clock, SystemClock};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use crate::{
    certificate,
    mapping::Mapping,
    problem::{refused, unauthorised, unreached},
};

/// How long the server may take for its first answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// A cluster that answers. Clones share the connection and what is known of its kinds.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    server: String,
    user: String,
    pub(crate) mapping: Mapping,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Cluster {
    /// Reads the kubeconfig (or, without one, `KUBECONFIG`, `~/.kube/config` or the pod's files), and proves that the
    /// server answers and knows us.
    ///
    /// # Errors
    /// G1101 no file, G1102 not a kubeconfig, G1103 no such context, G1104 no answer, G1105 credentials refused, G1106 a
    /// certificate is the reason.
    pub async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Cluster, Problem> {
        let config = configuration(kubeconfig, context).await?;
        let certificate = client_certificate(&config);
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|e| {
            Problem::new("G1102", Kind::Config, "The kubeconfig cannot be used.")
                .because(&e)
                .try_this("Its certificates or keys are damaged; fetch a fresh kubeconfig.")
        })?;
        let mut cluster = Cluster::of(client, &server);
        cluster.user =
            prove(&cluster.client, &server).await.map_err(|p| expired(p, certificate, &*cluster.clock))?;
        Ok(cluster)
    }

    /// A cluster behind a client that exists already.
    pub fn of(client: Client, server: &str) -> Cluster {
        Cluster {
            mapping: Mapping::new(client.clone()),
            client,
            server: server.trim_end_matches('/').to_owned(),
            user: String::new(),
            clock: Arc::new(SystemClock),
        }
    }

    /// Takes the time from `clock` instead of the machine.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Cluster {
        self.clock = clock;
        self
    }

    /// The client.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Who we are there; empty if the server does not say.
    pub fn user(&self) -> &str {
        &self.user
    }
}

async fn configuration(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, Problem> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..Default::default() };
    let mut config = match kubeconfig {
        Some(path) => {
            let file = read(path)?;
            let known = contexts(&file);
            Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(|e| wrong(&path.display().to_string(), &known, &e))?
        }
        None if context.is_some() => {
            let file = Kubeconfig::read().map_err(|e| wrong("the kubeconfig", &[], &e))?;
            let known = contexts(&file);
            Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(|e| wrong("the kubeconfig", &known, &e))?
        }
        None => Config::infer().await.map_err(|e| {
            Problem::new("G1101", Kind::Config, "No kubeconfig was found.")
                .because(&e)
                .try_this("Name it: `--kubeconfig FILE`, or set `KUBECONFIG`.")
        })?,
    };
    config.connect_timeout = Some(DEADLINE);
    Ok(config)
}

fn read(path: &Path) -> Result<Kubeconfig, Problem> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| {
        if e.kind() == std::io::ErrorKind::InvalidData {
            return not_one(&shown.to_string()).because(&e);
        }
        Problem::new("G1101", Kind::Config, format!("The kubeconfig {shown} cannot be read."))
            .because(&e)
            .try_this("Check the path and the file's permissions.")
    })?;
    // Any YAML mapping reads as a kubeconfig without clusters; say so here rather than with "no context".
    let file = Kubeconfig::read_from(path).map_err(|e| not_one(&shown.to_string()).because(&e))?;
    if file.clusters.is_empty() || !text.contains("server:") {
        return Err(not_one(&shown.to_string()).because_of("It names no cluster."));
    }
    Ok(file)
}

fn not_one(shown: &str) -> Problem {
    Problem::new("G1102", Kind::Config, format!("{shown} is not a kubeconfig."))
        .try_this("`kubectl config view --raw --flatten > FILE` writes one.")
}

fn contexts(file: &Kubeconfig) -> Vec<String> {
    file.contexts.iter().map(|context| context.name.clone()).collect()
}

fn wrong(shown: &str, known: &[String], error: &KubeconfigError) -> Problem {
    match error {
        KubeconfigError::LoadContext(name) => {
            let remedy = match did_you_mean(name, known.iter().map(String::as_str)) {
                Some(near) => format!("Did you mean `{near}`?"),
                None => format!("It has: {}.", known.join(", ")),
            };
            Problem::new("G1103", Kind::Config, format!("{shown} has no context `{name}`.")).try_this(remedy)
        }
        KubeconfigError::CurrentContextNotSet => {
            Problem::new("G1103", Kind::Config, format!("{shown} names no current context."))
                .try_this(format!("Choose one of {}: `--context NAME`.", known.join(", ")))
        }
        KubeconfigError::LoadCertificateAuthority(_)
        | KubeconfigError::LoadClientCertificate(_)
        | KubeconfigError::LoadClientKey(_) => Problem::new(
            "G1102",
            Kind::Config,
            format!("A certificate or key that {shown} names cannot be read."),
        )
        .because(error)
        .try_this("`kubectl config view --raw --flatten` writes a kubeconfig that needs no other files."),
        KubeconfigError::FindPath | KubeconfigError::ReadConfig(..) => {
            Problem::new("G1101", Kind::Config, "No kubeconfig was found.")
                .because(error)
                .try_this("Name it: `--kubeconfig FILE`, or set `KUBECONFIG`.")
        }
        other => Problem::new("G1102", Kind::Config, format!("{shown} cannot be used.")).because(other),
    }
}

/// Asks the server who we are; returns the user name.
async fn prove(client: &Client, server: &str) -> Result<String, Problem> {
    let what = format!("The Kubernetes API at {server} cannot be used.");
    let asked = async {
        client.apiserver_version().await?;
        let api: Api<SelfSubjectReview> = Api::all(client.clone());
        api.create(&Default::default(), &SelfSubjectReview::default()).await
    };
    match tokio::time::timeout(DEADLINE, asked).await {
        Err(_) => Err(Problem::new("G1104", Kind::Unavailable, what)
            .because_of(format!("It did not answer within {} s.", DEADLINE.as_secs()))
            .try_this(
                "Check that the server's address is right and reachable from here (`kubectl version`).",
            )),
        Ok(Ok(review)) => {
            let user = review.status.and_then(|s| s.user_info).and_then(|u| u.username).unwrap_or_default();
            if user == "system:anonymous" { Err(unauthorised(&what)) } else { Ok(user) }
        }
        // A server that does not serve reviews of ourselves, or an anonymous one.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 405) => Ok(String::new()),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => {
            Err(unauthorised(&what).because_of(status.message.clone()))
        }
        Ok(Err(error @ kube::Error::Api(_))) => Err(refused(format!("talk to {server}"), &error)),
        Ok(Err(error)) => Err(unreached(what, &error)),
    }
}

/// The client certificate, as PEM.
fn client_certificate(config: &Config) -> Option<String> {
    use base64::Engine as _;
    let auth = &config.auth_info;
    if let Some(data) = &auth.client_certificate_data {
        let bytes = base64::engine::general_purpose::STANDARD.decode(data.trim()).ok()?;
        return String::from_utf8(bytes).ok();
    }
    std::fs::read_to_string(auth.client_certificate.as_ref()?).ok()
}

/// Names the certificate as the reason if it has ended.
fn expired(problem: Problem, certificate: Option<String>, clock: &dyn Clock) -> Problem {
    let Some(end) = certificate.as_deref().and_then(certificate::end_of) else { return problem };
    if end > clock.now() {
        return problem;
    }
    Problem::new("G1106", Kind::Config, problem.what)
        .because_of(format!("The kubeconfig's client certificate expired on {}.", galley_units::rfc3339(end)))
        .try_this("Fetch a fresh kubeconfig (`kubeadm kubeconfig user`, or from whoever runs the cluster).")
}
