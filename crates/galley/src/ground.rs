//! How a command or a step reaches the services.
//!
//! The same subcommand runs in four places: in a pod of this machine's control plane, in a pod of a real cluster, by hand
//! beside a running `galley up`, and by hand against a real cluster (`--kubeconfig`). In a pod the addresses come from the
//! environment and the credentials from the usual files; beside `galley up` they come from the state folder; against a
//! cluster they are tunnels, and the token is the cluster's own.

mod afar;

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use galley_problem::{Kind, Problem};
use galley_release_types::{Deployed, Environment};
use galley_units::Secret;

use self::afar::Afar;
use crate::{
    cli::{Global, steps::Services},
    state::{Running, State},
};

/// The user name that goes with a token where a protocol wants one.
pub const TOKEN_USER: &str = "galley";
/// How long any single request to a service may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(60);

/// Where this process stands, and what it can reach from there.
pub struct Ground {
    services: Services,
    place: Place,
    hosts: BTreeMap<String, String>,
    root: Option<PathBuf>,
    token: Option<Secret<String>>,
}

/// Where that is.
enum Place {
    /// A pod; everything comes from its environment.
    Pod,
    /// Beside `galley up`.
    Machine(State, Box<Running>),
    /// Far from a cluster.
    Afar(Box<Afar>),
}

impl Ground {
    /// Looks around: pod, machine, or the cluster that was named.
    ///
    /// # Errors
    /// G0106 outside a pod when nothing runs here and no cluster was named; G11xx if the cluster cannot be reached.
    pub async fn find(global: &Global, services: &Services) -> Result<Ground, Problem> {
        let place = if global.kubeconfig.is_some() {
            Place::Afar(Box::new(Afar::connect(global).await?))
        } else if environment("KUBERNETES_SERVICE_HOST").is_some() {
            Place::Pod
        } else {
            let state = State::find(global);
            let running = state.running()?;
            Place::Machine(state, Box::new(running))
        };
        let token = match (environment("GALLEY_TOKEN"), &place) {
            (Some(token), _) => Some(Secret::new(token)),
            (None, Place::Machine(state, _)) => {
                fs::read_to_string(state.path("token")).ok().map(|text| Secret::new(text.trim().to_owned()))
            }
            (None, Place::Afar(afar)) => afar.token.clone(),
            (None, Place::Pod) => None,
        };
        let hosts = environment("GALLEY_HOSTS")
            .map(PathBuf::from)
            .map_or_else(BTreeMap::new, |path| read_hosts(&path));
        let root = environment("GALLEY_ROOT").map(PathBuf::from);
        Ok(Ground { services: services.clone(), place, hosts, root, token })
    }

    /// The Kubernetes API.
    ///
    /// # Errors
    /// G0107 if it cannot be reached as configured.
    pub async fn kube(&self) -> Result<kube::Client, Problem> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            Problem::new("G0107", Kind::Unavailable, "The Kubernetes API cannot be reached.").because(error)
        };
        let config = match &self.place {
            Place::Afar(afar) => return Ok(afar.cluster.client()),
            Place::Machine(state, _) => from_kubeconfig(state).await.map_err(|e| failed(&e))?,
            Place::Pod => kube::Config::infer().await.map_err(|e| failed(&e))?,
        };
        kube::Client::try_from(config).map_err(|e| failed(&e))
    }

    /// The tracking server.
    ///
    /// # Errors
    /// G0108 if no address is known.
    pub fn tracking(&self) -> Result<galley_mlflow_client::Client, Problem> {
        let url = self.address(self.services.tracking.as_deref(), "tracking", "MLFLOW_TRACKING_URI")?;
        galley_mlflow_client::Client::new(&url, self.token.clone()).map_err(|error| {
            Problem::new("G0108", Kind::Config, format!("`{url}` is not the address of a tracking server."))
                .because(&error)
        })
    }

    /// The pipeline repository.
    ///
    /// # Errors
    /// G0108 if no address is known.
    pub fn pipeline(&self) -> Result<galley_git::remote::Remote, Problem> {
        let url = match (&self.services.pipeline, self.endpoints()) {
            (Some(url), _) => self.reach(url),
            (None, Some(endpoints)) => format!("{}/pipeline.git", endpoint(endpoints, "git")?),
            (None, None) => return Err(unknown("the pipeline repository", "GALLEY_PIPELINE_URL")),
        };
        let credentials = self.token.clone().map(|token| (TOKEN_USER.to_owned(), token));
        galley_git::remote::Remote::new(&url, credentials).map_err(Problem::from)
    }

    /// Host and port of the registry, as this process reaches it.
    ///
    /// # Errors
    /// G0108 if none is known.
    pub fn registry(&self) -> Result<String, Problem> {
        let url = self.address(self.services.registry.as_deref(), "registry", "GALLEY_REGISTRY")?;
        Ok(url.trim_start_matches("http://").trim_end_matches('/').to_owned())
    }

    /// Host and port of the registry, as images name it.
    pub fn registry_name(&self) -> String {
        self.services.registry.clone().unwrap_or_else(|| crate::up::REGISTRY_NAME.to_owned())
    }

    /// The token for everything that changes state, if there is one.
    pub fn token(&self) -> Option<&Secret<String>> {
        self.token.as_ref()
    }

    /// Address of the application in an environment.
    ///
    /// # Errors
    /// G0108 outside a pod if that environment has no address yet.
    pub fn application(&self, environment: Environment) -> Result<String, Problem> {
        if let Some(endpoints) = self.endpoints() {
            return endpoint(endpoints, environment.name());
        }
        let port = port_of(environment);
        Ok(self
            .reach(&format!("http://gourmetgram-app.{}.svc.cluster.local:{port}", environment.namespace())))
    }

    /// Writes an output parameter where the workflow engine looks for it.
    ///
    /// # Errors
    /// G0105 if the file cannot be written.
    pub fn output(&self, name: &str, value: &str) -> Result<(), Problem> {
        let Some(folder) = &self.services.outputs else { return Ok(()) };
        let folder = match &self.root {
            Some(root) => root.join(folder.strip_prefix("/").unwrap_or(folder)),
            None => folder.clone(),
        };
        let path = folder.join(name);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&path, value))
            .map_err(|e| crate::io(&path, "writing the output parameter", &e))
    }

    /// A client for plain requests.
    ///
    /// # Errors
    /// G0101 if none can be made.
    pub fn http(&self) -> Result<reqwest::Client, Problem> {
        reqwest::Client::builder()
            .timeout(REQUEST_DEADLINE)
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|e| crate::internal("making an HTTP client", &e))
    }

    /// What runs on this machine, if that is where we are.
    pub fn machine(&self) -> Option<(&State, &Running)> {
        match &self.place {
            Place::Machine(state, running) => Some((state, running)),
            _ => None,
        }
    }

    /// The cluster that was named, if one was.
    pub fn cluster(&self) -> Option<&galley_cluster::Cluster> {
        match &self.place {
            Place::Afar(afar) => Some(&afar.cluster),
            _ => None,
        }
    }

    /// Name to address, outside pods.
    pub fn endpoints(&self) -> Option<&BTreeMap<String, String>> {
        match &self.place {
            Place::Pod => None,
            Place::Machine(_, running) => Some(&running.endpoints),
            Place::Afar(afar) => Some(&afar.endpoints),
        }
    }

    fn address(&self, given: Option<&str>, name: &str, variable: &str) -> Result<String, Problem> {
        match (given, self.endpoints()) {
            (Some(url), _) => Ok(self.reach(url)),
            (None, Some(endpoints)) => endpoint(endpoints, name),
            (None, None) => Err(unknown(name, variable)),
        }
    }

    /// Replaces a cluster name by its address where names do not resolve (plain processes).
    fn reach(&self, url: &str) -> String {
        self.hosts
            .iter()
            .find(|(name, _)| url.contains(name.as_str()))
            .map_or_else(|| url.to_owned(), |(name, address)| url.replacen(name, address, 1))
    }
}

/// The kubeconfig of the state folder, whatever the environment says.
///
/// # Errors
/// What kube says of the file.
pub async fn from_kubeconfig(state: &State) -> Result<kube::Config, kube::config::KubeconfigError> {
    let file = kube::config::Kubeconfig::read_from(state.kubeconfig())?;
    kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default()).await
}

/// What `values.yaml` says an environment runs; nothing while its digest is empty.
pub fn deployed(values: &str) -> Option<Deployed> {
    let value = galley_yaml::parse_value("values.yaml", values).ok()?;
    let text = |key: &str| value["image"][key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Some(Deployed { version: text("version")?, digest: text("digest")? })
}

/// An environment variable that is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the binary reads the environment by itself"
)]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Port of an environment's Service.
const fn port_of(environment: Environment) -> u16 {
    match environment {
        Environment::Staging => 8082,
        Environment::Canary => 8081,
        Environment::Production => 8080,
    }
}

fn endpoint(endpoints: &BTreeMap<String, String>, name: &str) -> Result<String, Problem> {
    endpoints.get(name).cloned().ok_or_else(|| {
        Problem::new("G0108", Kind::Unavailable, format!("`{name}` has no address yet."))
            .try_this("`galley status` shows what is up.")
    })
}

fn unknown(what: &str, variable: &str) -> Problem {
    Problem::new("G0108", Kind::Config, format!("No address is known for {what}."))
        .try_this(format!("Set `{variable}`; `--help` names the flag."))
}

fn read_hosts(path: &std::path::Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(|line| {
            let mut words = line.split_whitespace();
            let address = words.next().unwrap_or_default().to_owned();
            words.map(move |name| (name.to_owned(), address.clone())).collect::<Vec<_>>()
        })
        .filter(|(name, _)| name.ends_with(".svc.cluster.local"))
        .collect()
}
