//! What an Application's project permits.

use galley_argo_cd::{API_VERSION, AppProject, AppProjectSpec, Application, GroupKind, IN_CLUSTER};
use galley_problem::{Kind, Problem};
use galley_sync::Key;

use crate::{Error, kinds::Kinds, pattern::matches};

/// The rules of an Application's project.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    name: String,
    spec: AppProjectSpec,
}

/// Reads the project. The one named `default` permits everything if it is not there.
pub(crate) async fn rules(kinds: &Kinds, namespace: &str, application: &Application) -> Result<Rules, Error> {
    let name = match application.spec.project.as_str() {
        "" => "default",
        name => name,
    };
    let key = Key {
        group: "argoproj.io".into(),
        kind: "AppProject".into(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let object = match kinds.find(API_VERSION, "AppProject").await? {
        Some(served) => kinds.get(&served, &key).await.map_err(Error::api(format!("reading {key}")))?,
        None => None,
    };
    match object {
        Some(object) => {
            let project: AppProject = serde_json::from_value(object)
                .map_err(|source| Error::Object { object: key.to_string(), source })?;
            Ok(Rules { name: name.to_owned(), spec: project.spec })
        }
        None if name == "default" => Ok(Rules::everything()),
        None => Err(invalid(format!("Application referencing project {name} which does not exist")).into()),
    }
}

fn invalid(what: String) -> Problem {
    Problem::new("G0414", Kind::Invalid, what)
}

impl Rules {
    fn everything() -> Self {
        let any = GroupKind { group: "*".into(), kind: "*".into() };
        let anywhere = galley_argo_cd::ProjectDestination {
            server: "*".into(),
            name: String::new(),
            namespace: "*".into(),
        };
        let spec = AppProjectSpec {
            source_repos: vec!["*".into()],
            destinations: vec![anywhere],
            cluster_resource_whitelist: vec![any],
            ..AppProjectSpec::default()
        };
        Rules { name: "default".into(), spec }
    }

    /// When the project lets its Applications be synced, as written.
    pub(crate) fn windows(&self) -> Vec<serde_json::Value> {
        self.spec.other.get("syncWindows").and_then(|windows| windows.as_array().cloned()).unwrap_or_default()
    }

    /// Whether the Application may be: its repositories and its destination.
    pub(crate) fn check(&self, application: &Application) -> Result<(), Problem> {
        for source in application.sources() {
            if !listed(&self.spec.source_repos, &source.repo_url) {
                let (url, name) = (&source.repo_url, &self.name);
                return Err(invalid(format!("application repo {url} is not permitted in project '{name}'")));
            }
        }
        let destination = &application.spec.destination;
        if !self.permits_namespace(&destination.namespace) {
            let (server, namespace) = (IN_CLUSTER, &destination.namespace);
            let what = format!(
                "application destination server '{server}' and namespace '{namespace}' do not match any of the allowed \
                 destinations in project '{}'",
                self.name
            );
            return Err(invalid(what));
        }
        Ok(())
    }

    fn permits_namespace(&self, namespace: &str) -> bool {
        let fits = |d: &galley_argo_cd::ProjectDestination| {
            let server =
                matches(&d.server, IN_CLUSTER) || d.server.is_empty() && matches(&d.name, "in-cluster");
            server && (namespace.is_empty() || matches(&d.namespace, namespace))
        };
        self.spec.destinations.iter().any(fits)
    }

    /// Why an object may not be, if it may not.
    pub(crate) fn refuse(&self, key: &Key, namespaced: bool) -> Option<String> {
        let fits = |list: &[GroupKind]| {
            list.iter().any(|entry| matches(&entry.group, &key.group) && matches(&entry.kind, &key.kind))
        };
        let spec = &self.spec;
        let permitted = if namespaced {
            let white = &spec.namespace_resource_whitelist;
            (white.is_empty() || fits(white)) && !fits(&spec.namespace_resource_blacklist)
        } else {
            fits(&spec.cluster_resource_whitelist) && !fits(&spec.cluster_resource_blacklist)
        };
        if !permitted {
            return Some(format!(
                "resource {}:{} is not permitted in project {}",
                key.group, key.kind, self.name
            ));
        }
        (namespaced && !self.permits_namespace(&key.namespace))
            .then(|| format!("namespace {} is not permitted in project '{}'", key.namespace, self.name))
    }
}

/// Whether a list of patterns has the text; `!` before one forbids.
fn listed(patterns: &[String], text: &str) -> bool {
    let denied = patterns.iter().filter_map(|p| p.strip_prefix('!')).any(|p| matches(p, text));
    !denied && patterns.iter().filter(|p| !p.starts_with('!')).any(|p| matches(p, text))
}
