//! What a cluster is to have, from the pipeline repository's own files.

use std::path::{Path, PathBuf};

use base64::Engine;
use galley_cluster::{Cluster, Facts, ObjectRef};
use galley_git::{Author, Repo};
use galley_problem::{Kind, Problem};
use galley_release_types::{APPLICATIONS_NAMESPACE, ENVIRONMENTS, PIPELINE_NAMESPACE, PLATFORM_NAMESPACE};
use galley_render::{Capabilities, Files, ReleaseInfo, ValueSources};
use galley_units::{Clock, Secret, SystemClock};
use k8s_openapi::api::core::v1;
use kube::Api;
use serde_json::{Value, json};

use crate::{
    cli::cluster::Bootstrap,
    ground::TOKEN_USER,
    state::{MODEL_FILE, find_pipeline},
    up::{PIPELINE_URL, make_pipeline, root_application},
    voice,
};

/// Where a cluster's own values stand in the pipeline repository.
const CLUSTER_VALUES: &str = "k8s/platform/values-cluster.yaml";
/// The Application that delivers the platform once Argo CD has taken over.
const PLATFORM_APPLICATION: &str = "gourmetgram-platform";

/// The pipeline repository as it is handed over.
pub struct Source {
    /// The work tree.
    pub dir: PathBuf,
    /// The tip of its `main`.
    pub commit: String,
    /// Its files at that commit.
    pub files: Files,
}

/// Finds or makes the pipeline repository, and commits the cluster's values into it.
///
/// # Errors
/// G0109 or G0112 if the folder is none; G04xx if git refuses.
pub async fn source(args: &Bootstrap) -> Result<Source, Problem> {
    galley_git::check_git()?;
    let dir = args
        .dir
        .clone()
        .or_else(|| find_pipeline(Path::new(".")))
        .unwrap_or_else(|| PathBuf::from("gourmetgram"));
    if !dir.join(MODEL_FILE).is_file() {
        if args.dir.is_some() {
            return Err(Problem::new(
                "G0109",
                Kind::NotFound,
                format!("{} is no pipeline repository: it has no `{MODEL_FILE}`.", dir.display()),
            )
            .try_this("`galley init DIR` makes one in a new folder."));
        }
        make_pipeline(&dir).await?;
        voice::talk(&format!("Made a pipeline repository in {}.", dir.display()));
    }
    let dir = std::fs::canonicalize(&dir).map_err(|e| crate::io(&dir, "finding", &e))?;
    if let Some(values) = &args.values {
        commit_values(&dir, values, args.dry_run).await?;
    }
    let commit = galley_git::tip_of_main(&dir).await?.ok_or_else(|| {
        Problem::new("G0112", Kind::Invalid, format!("{} has no commit on the branch `main`.", dir.display()))
            .try_this("Commit what is there: `git switch -c main; git add -A; git commit -m 'first commit'`.")
    })?;
    let scratch = tempfile::tempdir()
        .map_err(|e| crate::io(&std::env::temp_dir(), "making a scratch folder in", &e))?;
    let copy = Repo::init_or_open(scratch.path().join("pipeline.git")).await?;
    copy.import(&dir, "main", "main").await?;
    let mut files = copy.read_tree(&commit, "").await?;
    // A dry run writes nothing, not even a commit: it takes the values as they would be committed.
    if let (Some(values), true) = (&args.values, args.dry_run) {
        files.insert(CLUSTER_VALUES.to_owned(), read(values)?);
    }
    Ok(Source { dir, commit, files })
}

async fn commit_values(dir: &Path, values: &Path, dry_run: bool) -> Result<(), Problem> {
    let bytes = read(values)?;
    galley_yaml::parse_value(&values.display().to_string(), &String::from_utf8_lossy(&bytes))?;
    if dry_run {
        return Ok(());
    }
    let message = "platform: the values of the cluster";
    let author = Author::galley(SystemClock.now());
    if galley_git::commit_file(dir, CLUSTER_VALUES, &bytes, message, &author).await? {
        voice::talk(&format!("Committed {} as {CLUSTER_VALUES}.", values.display()));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|e| crate::io(path, "reading", &e))
}

/// Everything that a cluster is to have.
pub struct Desired {
    namespaces: Vec<Value>,
    secrets: Vec<Value>,
    /// The platform's objects; empty once Argo CD delivers them.
    platform: Vec<Value>,
    project: Option<Value>,
    /// The Applications to wait for.
    pub applications: Vec<String>,
    /// The token of everything that writes.
    pub token: Secret<String>,
    /// Whether claims without a class must find one.
    pub wants_default_class: bool,
    /// Which of the platform's services run in the cluster.
    services: Vec<String>,
}

impl Desired {
    /// Reads the repository's charts and Applications against what the cluster is.
    ///
    /// # Errors
    /// G03xx for a file that cannot be read or rendered; G1104 to G1108 if the cluster cannot be asked.
    pub async fn of(cluster: &Cluster, facts: &Facts, source: &Source) -> Result<Desired, Problem> {
        let token = token(cluster).await?;
        let (project, mut applications) = applications(&source.files)?;
        let rendered = platform(facts, &source.files)?;
        let delivered = cluster.application(APPLICATIONS_NAMESPACE, PLATFORM_APPLICATION).await;
        let delivered = delivered.is_ok_and(|state| state.sync != "Missing");
        let services = named(&rendered, "Deployment");
        let wants_default_class = rendered
            .iter()
            .any(|o| o["kind"] == "PersistentVolumeClaim" && o["spec"]["storageClassName"].is_null());
        applications.insert(0, root_name());
        Ok(Desired {
            namespaces: namespaces(),
            secrets: secrets(&token),
            platform: if delivered { Vec::new() } else { rendered },
            project,
            applications,
            token,
            wants_default_class,
            services,
        })
    }

    /// All of it.
    pub fn everything(&self) -> Vec<Value> {
        [self.foundation(), self.handover()].concat()
    }

    /// What comes before Argo CD takes over.
    pub fn foundation(&self) -> Vec<Value> {
        [self.namespaces.clone(), self.secrets.clone(), self.platform.clone()].concat()
    }

    /// What makes Argo CD take over.
    pub fn handover(&self) -> Vec<Value> {
        let mut all: Vec<Value> = self.project.iter().cloned().collect();
        all.push(root_application());
        all
    }

    /// The image of the platform's pods, while bootstrap brings them.
    pub fn platform_image(&self) -> Option<String> {
        let deployment = self.platform.iter().find(|object| object["kind"] == "Deployment")?;
        deployment.pointer("/spec/template/spec/containers/0/image")?.as_str().map(str::to_owned)
    }

    /// Whether the platform has this service in the cluster.
    pub fn serves(&self, name: &str) -> bool {
        self.services.iter().any(|service| service == name)
    }

    /// What must be rolled out before images and commits can be brought.
    ///
    /// # Errors
    /// None in practice: the names are ours.
    pub fn workloads(&self) -> Result<Vec<ObjectRef>, Problem> {
        self.services.iter().map(|name| super::deployment(name)).collect()
    }
}

fn root_name() -> String {
    root_application()["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn named(objects: &[Value], kind: &str) -> Vec<String> {
    let of_kind = objects.iter().filter(|object| object["kind"] == kind);
    of_kind.filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

/// The token that is in the cluster, or a new one.
async fn token(cluster: &Cluster) -> Result<Secret<String>, Problem> {
    let secrets: Api<v1::Secret> = Api::namespaced(cluster.client(), PLATFORM_NAMESPACE);
    let found = secrets
        .get_opt("platform-credentials")
        .await
        .map_err(|e| crate::commands::objects::refused("to read the platform's token", &e))?;
    let known = found
        .and_then(|secret| secret.data)
        .and_then(|mut data| data.remove("GALLEY_TOKEN"))
        .and_then(|bytes| String::from_utf8(bytes.0).ok())
        .filter(|token| !token.is_empty());
    Ok(Secret::new(
        known.unwrap_or_else(|| format!("{}{}", galley_units::uuid(), galley_units::uuid()).replace('-', "")),
    ))
}

fn namespaces() -> Vec<Value> {
    let environments = ENVIRONMENTS.iter().map(|environment| environment.namespace().to_owned());
    [PIPELINE_NAMESPACE.to_owned(), PLATFORM_NAMESPACE.to_owned()]
        .into_iter()
        .chain(environments)
        .map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
        .collect()
}

fn secrets(token: &Secret<String>) -> Vec<Value> {
    let text = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let secret = |name: &str, namespace: &str, labels: Value, data: Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": { "name": name, "namespace": namespace, "labels": labels },
            "data": data,
        })
    };
    let ours = json!({ "app.kubernetes.io/part-of": "gourmetgram" });
    let only_token = json!({ "GALLEY_TOKEN": text(token.expose()) });
    vec![
        secret("platform-credentials", PLATFORM_NAMESPACE, ours.clone(), only_token.clone()),
        secret("pipeline-credentials", PIPELINE_NAMESPACE, ours, only_token),
        // How Argo CD reads the pipeline repository.
        secret(
            "gourmetgram-pipeline-repository",
            APPLICATIONS_NAMESPACE,
            json!({ "app.kubernetes.io/part-of": "gourmetgram", "argocd.argoproj.io/secret-type": "repository" }),
            json!({
                "type": text("git"), "url": text(PIPELINE_URL),
                "username": text(TOKEN_USER), "password": text(token.expose()),
            }),
        ),
    ]
}

/// The project, and the names of the Applications, of the repository's `apps` folder.
fn applications(files: &Files) -> Result<(Option<Value>, Vec<String>), Problem> {
    let (mut project, mut names) = (None, Vec::new());
    for (path, bytes) in files.iter().filter(|(path, _)| path.starts_with("apps/")) {
        for document in galley_yaml::parse_documents(path, &String::from_utf8_lossy(bytes))? {
            let name = document.value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            match document.value["kind"].as_str() {
                Some("AppProject") => project = Some(document.value),
                Some("Application") => names.push(name),
                _ => {}
            }
        }
    }
    Ok((project, names))
}

/// The platform's chart, rendered as Argo CD will.
fn platform(facts: &Facts, files: &Files) -> Result<Vec<Value>, Problem> {
    let folder = "k8s/platform/";
    let chart: Files = files
        .iter()
        .filter_map(|(path, bytes)| Some((path.strip_prefix(folder)?.to_owned(), bytes.clone())))
        .collect();
    let own = CLUSTER_VALUES.trim_start_matches(folder).to_owned();
    let values: Vec<String> = chart.contains_key(&own).then_some(own).into_iter().collect();
    let release = ReleaseInfo {
        name: PLATFORM_APPLICATION.to_owned(),
        namespace: PLATFORM_NAMESPACE.to_owned(),
        revision: 1,
        is_upgrade: false,
    };
    let capabilities = Capabilities {
        kube_version: facts.version.git_version.clone(),
        api_versions: api_versions(facts),
        helm_version: galley_gitops::Config::default().helm_version,
    };
    let sources = ValueSources { files: &values, ..ValueSources::default() };
    let manifests = galley_render::render_chart(&chart, &sources, &release, &capabilities)?;
    Ok(manifests.into_iter().map(|manifest| manifest.value).collect())
}

fn api_versions(facts: &Facts) -> Vec<String> {
    let of = |(name, group): (&String, &galley_cluster::ApiGroup)| {
        group.versions.iter().map(|version| format!("{name}/{version}")).collect::<Vec<_>>()
    };
    let mut all: Vec<String> = facts.groups.iter().flat_map(of).collect();
    all.push("v1".to_owned());
    all
}
